# SPDX-License-Identifier: GPL-3.0-or-later
"""Outlines that Blender draws in the place of control bones: objects that are in no scene."""

from __future__ import annotations

import itertools

import bpy

from .ownership import own_block

TARGET, POLE = "ReFit IK target", "ReFit IK pole"


def outline(name: str) -> bpy.types.Object:
    """A box around a bone, or a diamond about its head, in lengths of the bone; made if it is not there yet."""
    found = own_block(bpy.data.objects, name)
    if found is not None:
        return found
    if name == TARGET:
        corners = list(itertools.product((-0.4, 0.4), (-0.1, 1.1), (-0.4, 0.4)))
        joined = [pair for pair in itertools.combinations(range(8), 2) if _differences(corners, *pair) == 1]
    else:
        corners = [
            (sign * (axis == 0), sign * (axis == 1), sign * (axis == 2)) for axis in range(3) for sign in (-0.5, 0.5)
        ]
        joined = [pair for pair in itertools.combinations(range(6), 2) if _differences(corners, *pair) == 2]
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(corners, joined, [])
    return bpy.data.objects.new(name, mesh)


def _differences(corners: list[tuple[float, float, float]], first: int, second: int) -> int:
    """In how many coordinates two corners differ."""
    return sum(a != b for a, b in zip(corners[first], corners[second], strict=True))


def remove_unused() -> None:
    """Delete outlines that no bone has any more."""
    for name in (TARGET, POLE):
        found = own_block(bpy.data.objects, name)
        if found is not None and not found.users and isinstance(found.data, bpy.types.Mesh):
            bpy.data.meshes.remove(found.data)
