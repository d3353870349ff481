# SPDX-License-Identifier: GPL-3.0-or-later
"""F-curves of one vector, taken together: other values for the same keys, or new keys at every frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import bpy
import numpy as np

_TYPES = bpy.types.Keyframe.bl_rna.properties["type"].enum_items
_HANDLE_TYPES = bpy.types.Keyframe.bl_rna.properties["handle_left_type"].enum_items
_AUTOMATIC = tuple(_HANDLE_TYPES[name].value for name in ("AUTO", "AUTO_CLAMPED"))
_ALIGNED = _HANDLE_TYPES["ALIGNED"].value
_BEZIER = bpy.types.Keyframe.bl_rna.properties["interpolation"].enum_items["BEZIER"].value

Mapping = Callable[[np.ndarray], np.ndarray]


def in_step(curves: Sequence[bpy.types.FCurve | None], *, bezier: bool = True) -> bool:
    """Whether all components have curves, with keys at the same frames that go over into each other in the same way.

    A linear mapping of their values then is exact between the keys, too.
    """
    if any(curve is None or not len(curve.keyframe_points) or len(curve.modifiers) for curve in curves):
        return False
    if len({(len(curve.keyframe_points), curve.extrapolation) for curve in curves if curve}) > 1:
        return False
    found = [curve for curve in curves if curve]
    kinds = np.array([_choices(curve, "interpolation") for curve in found])
    if (kinds != kinds[0]).any():
        return False
    names = ("co", "handle_left", "handle_right") if bezier and (kinds == _BEZIER).any() else ("co",)
    times = [np.array([_pairs(curve, name)[:, 0] for curve in found]) for name in names]
    return all(np.abs(one - one[0]).max() < 1e-3 for one in times)


def map_keys(curves: Sequence[bpy.types.FCurve], mapping: Mapping) -> None:
    """Map the values [K,N] of N curves that are in step, linearly; keys keep all that they are besides.

    Handles that Blender would place by itself become aligned ones, which stay where the mapping has them.
    """
    for name in ("co", "handle_left", "handle_right"):
        pairs = [_pairs(curve, name) for curve in curves]
        values = mapping(np.stack([pair[:, 1] for pair in pairs], axis=1))
        for curve, pair, column in zip(curves, pairs, values.T, strict=True):
            pair[:, 1] = column
            curve.keyframe_points.foreach_set(name, pair.astype(np.float32).ravel().data)
    for curve in curves:
        if (_choices(curve, "interpolation") == _BEZIER).any():
            for name in ("handle_left_type", "handle_right_type"):
                types = _choices(curve, name)
                types[np.isin(types, _AUTOMATIC)] = _ALIGNED
                curve.keyframe_points.foreach_set(name, types.tolist())
        curve.update()


def every_frame(curves: Sequence[bpy.types.FCurve | None]) -> np.ndarray:
    """The keys' frames, and all whole frames between the first and the last, rising; empty without keys."""
    keyed = np.concatenate([_pairs(curve, "co")[:, 0] for curve in curves if curve] or [np.zeros(0)])
    if not len(keyed):
        return keyed
    return np.unique(np.concatenate([keyed.round(3), np.arange(np.ceil(keyed.min()), np.floor(keyed.max()) + 1)]))


def values_at(curves: Sequence[bpy.types.FCurve | None], static: Sequence[float], frames: np.ndarray) -> np.ndarray:
    """Values [K,N] at frames [K]; static [N]: of components without a curve."""
    columns = [
        np.full(len(frames), value) if curve is None else np.array([curve.evaluate(float(frame)) for frame in frames])
        for curve, value in zip(curves, static, strict=True)
    ]
    return np.stack(columns, axis=1)


def types_at(curves: Sequence[bpy.types.FCurve | None], frames: np.ndarray) -> np.ndarray:
    """Blender's numbers of the types [K] that the keys at frames have; plain where there is none."""
    types = np.full(len(frames), _TYPES["KEYFRAME"].value)
    for curve in curves:
        if curve is not None:
            places = np.searchsorted(frames, _pairs(curve, "co")[:, 0].round(3))
            types[places] = _choices(curve, "type")
    return types


def constant(curves: Sequence[bpy.types.FCurve | None]) -> bool:
    """Whether nothing of this moves."""
    spans = [np.ptp(_pairs(curve, "co")[:, 1]) for curve in curves if curve and len(curve.keyframe_points)]
    return max(spans, default=0.0) < 1e-6


def _pairs(curve: bpy.types.FCurve, name: str) -> np.ndarray:
    flat = np.empty(2 * len(curve.keyframe_points), dtype=np.float32)
    curve.keyframe_points.foreach_get(name, flat.data)
    return flat.reshape(-1, 2).astype(np.float64)


def _choices(curve: bpy.types.FCurve, name: str) -> np.ndarray:
    numbers = [0] * len(curve.keyframe_points)
    curve.keyframe_points.foreach_get(name, numbers)
    return np.array(numbers, dtype=int)
