# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of properties that have keys: Blender sets them to their curves at every change of the frame, and what was
changed by hand and not keyed would be lost.
"""

from __future__ import annotations

from typing import Any

import bpy

from .keying import curves_of

KeyedValues = list[tuple[bpy.types.ID, str, Any]]
"""Owner, path and value."""


def keyed_values(scene: bpy.types.Scene, *left_out: bpy.types.Object) -> KeyedValues:
    """The present values of all properties with keys, of a scene's objects and what they are made of."""
    items = (item for item in scene.objects if item not in left_out)
    blocks = (block for item in items for block in (item, item.data, getattr(item.data, "shape_keys", None)))
    owners = {block for block in blocks if block is not None}
    return [
        (owner, curve.data_path, _value_at(owner, curve.data_path)) for owner in owners for curve in curves_of(owner)
    ]


def restore_values(values: KeyedValues) -> None:
    """Set those that differ now."""
    for owner, path, value in values:
        if value is not None and _value_at(owner, path) != value:
            _set_value(owner, path, value)


def _value_at(owner: bpy.types.ID, path: str) -> Any:
    """A property's value, as a list where it has several; None where it is no plain property."""
    try:
        value = owner.path_resolve(path)
    except ValueError:
        return None
    return list(value) if hasattr(value, "__len__") and not isinstance(value, str) else value


def _set_value(owner: bpy.types.ID, path: str, value: Any) -> None:
    before, _, name = path.rpartition(".")
    if name.isidentifier():
        setattr(owner.path_resolve(before) if before else owner, name, value)
