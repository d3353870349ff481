# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies of the scene become a file: one code path for the operator, scripts and the command line."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix

from ..errors import RefitError, SourceError
from ..scene import cameras
from ..scene.body import is_rig, rig_of
from ..scene.keying import curves_of
from .amass import write_amass
from .amass_body import read_motion_of
from .formats import SHAPES, TARGETS, Format, Shape, Target, check_choice, exporter, format_of, layout_of
from .skeleton import rigid
from .stage import Stage, sample_object, stage, values_kept
from .stand_in import build, key_object, read_source

MOST_FRAMES = 100_000


def export_bodies(
    path: str | Path,
    rigs: Sequence[bpy.types.Object] | None = None,
    *,
    target: Target = "plain",
    frames: tuple[int, int] | None = None,
    shape: Shape = "baked",
    camera: bpy.types.Object | None = None,
) -> tuple[int, int]:
    """Write bodies with their motion to a file: .fbx, .glb, .bvh, .usd, .usdc or AMASS-style .npz, by its name.

    rigs: their armature objects, by default all ReFit bodies of the scene; target: the program that shall read it;
    frames: the first and the last, by default those of the bodies' keys, or the current one where there are none; shape:
    baked into the mesh, or kept as shape keys; camera: written to a .glb, too.
    Returns the first and the last frame. Raises a RefitError, whose message is one sentence; nothing in the scene changes.
    """
    path, scene = Path(path), bpy.context.scene
    kind = format_of(path)
    check_choice(target, TARGETS, "target")
    check_choice(shape, SHAPES, "shape")
    layout = layout_of(kind, target)
    chosen = list(dict.fromkeys(rigs)) if rigs is not None else bodies_of(scene)
    if not chosen:
        raise SourceError("There is no ReFit body to export.")
    if other := next((item for item in chosen if not is_rig(item)), None):
        raise SourceError(f"“{other.name}” is no ReFit body.")
    if layout.one_body and len(chosen) > 1:
        reader = "Unreal reads" if kind == "fbx" else f"{path.suffix} holds"
        raise SourceError(f"{reader} one body of a file: choose one of {', '.join(rig.name for rig in chosen)}.")
    first, last = frames or _keyed_frames(scene, chosen)
    if not first <= last < first + MOST_FRAMES:
        raise SourceError(f"Frames {first} to {last} cannot be exported.")
    span = range(first, last + 1)
    with stage(scene) as place:
        unit = cameras.metres_per_unit(scene)
        if kind == "npz":
            motion = read_motion_of(place, chosen[0], span, unit)
            _deliver(path, lambda written: write_amass(written, motion))
            return first, last
        sources = [read_source(place, rig, span, unit) for rig in chosen]
        start = 0 if layout.from_zero else max(first, 0)  # scenes have no range before frame 0
        settings = place.scene.unit_settings
        settings.system, settings.scale_length = "METRIC", 1 / layout.units_per_metre
        made = [build(place, source, start, layout, shape) for source in sources]
        if camera is not None and kind == "glb":
            _add_camera(place, camera, span, start, unit)
        place.call_it(place.scene, bpy.data.scenes, sources[0].name)  # what a motion in FBX is called
        place.scene.frame_start, place.scene.frame_end = start, start + len(span) - 1
        place.scene.frame_set(start - 1 if layout.rest_before else start)
        _write(place, made[0], kind, target, path)
    return first, last


def bodies_of(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """All ReFit bodies of a scene."""
    return [item for item in scene.objects if is_rig(item)]


def named_body(scene: bpy.types.Scene, name: str) -> bpy.types.Object:
    """The body with this name of its armature or its mesh. Raises SourceError."""
    rig = rig_of(scene.objects.get(name))
    if rig is None:
        listed = ", ".join(one.name for one in bodies_of(scene)) or "none"
        raise SourceError(f"The scene has no ReFit body “{name}”; its bodies: {listed}.")
    return rig


def _keyed_frames(scene: bpy.types.Scene, rigs: Sequence[bpy.types.Object]) -> tuple[int, int]:
    """The whole frames from the first to the last key of bodies' bones; the current one where they have none."""
    ends: list[tuple[float, float]] = []
    for rig in rigs:
        curves = [curve for curve in curves_of(rig) if curve.data_path.startswith("pose.bones")]
        ends += [(curve.range()[0], curve.range()[1]) for curve in curves if len(curve.keyframe_points)]
        tracks = rig.animation_data.nla_tracks if rig.animation_data else ()
        ends += [(strip.frame_start, strip.frame_end) for track in tracks for strip in track.strips]
    if not ends:
        return scene.frame_current, scene.frame_current
    return math.floor(min(first for first, _ in ends)), math.ceil(max(last for _, last in ends))


def _add_camera(place: Stage, camera: bpy.types.Object, frames: Sequence[int], start: int, unit: float) -> None:
    """A camera at the same places, keyed where it moves."""
    world = rigid(sample_object(place, camera, frames, unit))
    item = place.add(camera.name, camera.data)
    place.call_it(item, bpy.data.objects, camera.name)
    item.matrix_world = Matrix(world[0].tolist())
    if np.ptp(world, axis=0).max() > 0:
        key_object(place, item, world, start)


def _write(place: Stage, active: bpy.types.Object, kind: Format, target: Target, path: Path) -> None:
    """Have Blender's exporter write what is on the stage. Raises RefitError."""
    scene = place.scene
    operator, options = exporter(kind, target, scene.name, (scene.frame_start, scene.frame_end))
    category, name = operator.split(".")
    try:
        known = getattr(getattr(bpy.ops, category), name).get_rna_type().properties.keys()
    except KeyError:
        raise RefitError(
            f"This Blender cannot write {path.suffix}: it was built without that, or the add-on for it is switched off."
        ) from None
    usable: dict[str, Any] = {option: value for option, value in options.items() if option in known}
    with values_kept():
        _deliver(path, lambda written: place.call(operator, active, {**usable, "filepath": str(written)}))


def _deliver(path: Path, write: Callable[[Path], None]) -> None:
    """Have a file written elsewhere first: where that fails, one that was there stays as it was. Raises RefitError."""
    try:
        with tempfile.TemporaryDirectory(prefix="refit-", dir=bpy.app.tempdir or None) as folder:
            written = Path(folder, path.name)
            write(written)
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(written, path)
    except OSError as error:
        raise RefitError(f"{path} could not be written: {error.strerror or error}.") from error
    except RuntimeError as error:
        # An add-on's error comes as its traceback, which ends with its name and text and with Blender's place.
        lines = [line for line in str(error).strip().splitlines() if not line.startswith("Location:")]
        raise RefitError(f"{path} could not be written: {lines[-1].strip().removesuffix('.')}.") from error
