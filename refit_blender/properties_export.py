# SPDX-License-Identifier: GPL-3.0-or-later
"""What the panel's section Export is set to."""

from __future__ import annotations

import bpy
from bpy.props import EnumProperty

FORMATS = (
    ("FBX", "FBX", "Rig, skin and motion for game engines and other 3D programs"),
    ("GLB", "glTF (.glb)", "Rig, skin and motion for Godot, the web and viewers"),
    ("USD", "USD (.usdc)", "Rig, skin and motion for film pipelines"),
    ("BVH", "BVH", "The bones' motion alone, of one body, as motion-capture programs read it"),
    ("NPZ", "AMASS (.npz)", "SMPL's parameters of one body, as research programs read them"),
)
TARGETS = (
    ("PLAIN", "Any Program", "Metres, and the scene's frames"),
    ("UNREAL", "Unreal Engine", "Centimetres, Z up, the first frame at 0; nothing has to be set at import"),
    ("UNITY", "Unity", "Metres, Y up, the first frame at 0; no turned and no scaled nodes"),
    ("GODOT", "Godot", "Metres, the first frame at 0; the nodes have the rest pose"),
)
SHAPES = (
    ("BAKED", "Baked", "The mesh has the body's shape"),
    ("KEYS", "Shape Keys", "The mesh keeps a shape key for each number of the body's shape"),
)


def target_property() -> object:
    return EnumProperty(name="For", description="The program that shall read the file", items=TARGETS)


def shape_property() -> object:
    return EnumProperty(name="Shape", description="How the body's shape is written", items=SHAPES)


class RefitExport(bpy.types.PropertyGroup):
    format: EnumProperty(name="Format", description="The kind of file", items=FORMATS)
    target: target_property()
    shape: shape_property()
