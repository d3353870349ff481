# SPDX-License-Identifier: GPL-3.0-or-later
"""What each format and each program wants, and the options with which Blender's own exporters give it.

In every file all transforms are those of the bones: the node of the armature has no turn and no scale, so that nothing
has to be corrected where the file is opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ..errors import SourceError

Format = Literal["fbx", "glb", "bvh", "usd", "npz"]
Target = Literal["plain", "unreal", "unity", "godot"]
Shape = Literal["baked", "keys"]

TARGETS: tuple[Target, ...] = get_args(Target)
SHAPES: tuple[Shape, ...] = get_args(Shape)
SUFFIXES: dict[str, Format] = {
    ".fbx": "fbx", ".glb": "glb", ".bvh": "bvh", ".usd": "usd", ".usdc": "usd", ".npz": "npz"
}  # fmt: skip
_LISTED = ", ".join(SUFFIXES)


@dataclass(frozen=True)
class Layout:
    """How bodies are laid out in a file.

    y_up: of the file's axes; otherwise Z points up. units_per_metre: of the file's lengths. from_zero: the first frame
    is frame 0; otherwise frames are the scene's. root: there is a bone for the place on the floor. one_body: of a file.
    node: name of the armature's node; by default the body's.
    """

    y_up: bool = False
    units_per_metre: float = 1.0
    from_zero: bool = False
    root: bool = True
    one_body: bool = False
    rest_before: bool = False
    node: str | None = None


def format_of(path: Path) -> Format:
    """The format that a file's name stands for. Raises SourceError."""
    found = SUFFIXES.get(path.suffix.lower())
    if found is None:
        raise SourceError(f"“{path.name}” has to end with one of {_LISTED}.")
    return found


def check_choice(given: str, choices: tuple[str, ...], what: str) -> None:
    """Raises SourceError where a script asks for what there is not."""
    if given not in choices:
        raise SourceError(f"The {what} “{given}” is none of {', '.join(choices)}.")


def layout_of(kind: Format, target: Target) -> Layout:
    """What a program wants of a format.

    Unreal takes centimetres and Z up as they are; a node named Armature in a file of Blender's is no bone to it.
    glTF and USD files are laid out in Blender's axes, which their exporters turn or name.
    """
    in_engine = target != "plain"
    if kind == "fbx" and target == "unreal":
        return Layout(units_per_metre=100.0, from_zero=True, one_body=True, rest_before=True, node="Armature")
    if kind == "fbx":
        return Layout(y_up=True, from_zero=in_engine, rest_before=True)
    if kind == "bvh":
        return Layout(y_up=True, root=False, one_body=True)
    if kind == "npz":
        return Layout(one_body=True)
    return Layout(from_zero=in_engine)


def exporter(kind: Format, target: Target, name: str, frames: tuple[int, int]) -> tuple[str, Mapping[str, Any]]:
    """Blender's operator that writes a format, and its options.

    name: of the motion; frames: the first and the last of the scene.
    """
    if kind == "fbx":
        return "export_scene.fbx", _fbx(target)
    if kind == "glb":
        return "export_scene.gltf", _gltf(target, name)
    if kind == "bvh":
        first, last = frames
        return "export_anim.bvh", {"frame_start": first, "frame_end": last, "root_transform_only": True}
    return "wm.usd_export", _USD


def _fbx(target: Target) -> dict[str, Any]:
    if target == "unreal":
        axes = {"axis_forward": "Y", "axis_up": "Z", "apply_scale_options": "FBX_SCALE_NONE"}
    else:
        axes = {"axis_forward": "-Z", "axis_up": "Y", "apply_scale_options": "FBX_SCALE_ALL"}
    return {
        **axes,
        "apply_unit_scale": True,
        "object_types": {"ARMATURE", "MESH"},
        "use_mesh_modifiers": False,  # they would take shape keys away; the skin is no part of them
        "mesh_smooth_type": "FACE",
        "add_leaf_bones": False,
        "use_armature_deform_only": False,
        "bake_anim_use_nla_strips": False,
        "bake_anim_use_all_actions": False,
        "bake_anim_simplify_factor": 0.0,
    }


def _gltf(target: Target, name: str) -> dict[str, Any]:
    return {
        "export_format": "GLB",
        "use_active_scene": True,
        "export_cameras": True,
        "export_animation_mode": "ACTIVE_ACTIONS",
        "export_nla_strips_merged_animation_name": name,
        # Godot takes the bones' rest from their nodes; others show the nodes where nothing is played.
        "export_rest_position_armature": target != "plain",
        "export_current_frame": True,
    }


_USD: dict[str, Any] = {
    "export_animation": True,
    "visible_objects_only": False,
    "export_armatures": True,
    "export_shapekeys": True,
    "export_textures": False,
    "export_textures_mode": "KEEP",
    "export_lights": False,
    "export_cameras": False,
    "export_custom_properties": False,
    "author_blender_name": False,
    "convert_world_material": False,
}
