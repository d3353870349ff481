# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's own exporters, with their defaults, give other programs the pose that is seen: here they are read again."""

from pathlib import Path

import bpy
import numpy as np
import pytest
from test_rigs import build, rotations

from refit_blender.results import Body, read_body
from refit_blender.scene import keying, rigs

BUNDLED = Path(__file__).parents[2] / "engine" / "refit_engine" / "data" / "body.npz"
FORMATS = {
    "glb": (
        lambda path: bpy.ops.export_scene.gltf(filepath=path),
        lambda path: bpy.ops.import_scene.gltf(filepath=path),
    ),
    "fbx": (lambda path: bpy.ops.export_scene.fbx(filepath=path), lambda path: bpy.ops.import_scene.fbx(filepath=path)),
    "usdc": (lambda path: bpy.ops.wm.usd_export(filepath=path), lambda path: bpy.ops.wm.usd_import(filepath=path)),
}
KINDS = pytest.mark.parametrize("kind", rigs.RIG_KINDS)


@pytest.fixture(scope="module")
def body() -> Body:
    return read_body(BUNDLED)


def build_keyed(body: Body, kind: rigs.RigKind, frames: tuple[int, ...]) -> dict[int, dict[str, np.ndarray]]:
    """A body with keys at frames, as a reconstruction leaves it; where its joints are at each frame by their bones."""
    rig = build(body, kind).rig
    for index, frame in enumerate(frames):
        if index:
            keying.set_pose(rig, rotations(index + 2), np.array([1 + 0.3 * index, 2, 1.4]))
        keying.key_pose(rig, frame)
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = frames[0], frames[-1]
    found = {frame: joints(rig, frame) for frame in range(frames[-1], frames[0] - 1, -1)}
    names = rigs.bone_names(rig)
    return {frame: dict(zip(names, places, strict=True)) for frame, places in found.items()}


def joints(rig: bpy.types.Object, frame: int) -> np.ndarray:
    bpy.context.scene.frame_set(frame)
    return rigs.joint_places(rig)


def check_import(expected: dict[int, dict[str, np.ndarray]], first: int) -> None:
    """Compare the only armature of the scene with joints at frames. first: the frame at which its motion begins."""
    (armature,) = (item for item in bpy.context.scene.objects if item.type == "ARMATURE")
    start = min(expected)
    for frame, places in expected.items():
        bpy.context.scene.frame_set(frame - start + first)
        for name, place in places.items():
            bone = armature.pose.bones.get(name) or armature.pose.bones[name.replace(".", "_")]
            np.testing.assert_allclose(
                armature.matrix_world @ bone.head, place, atol=1e-3, err_msg=f"{name} at {frame}"
            )


@KINDS
@pytest.mark.parametrize("suffix", FORMATS)
def test_a_still_comes_back_in_its_pose(body, kind, suffix, tmp_path):
    if suffix == "usdc" and bpy.app.version < (4, 5):
        pytest.skip("Blender 4.2 reads no poses without motion from USD")
    expected = build_keyed(body, kind, (5,))
    path = str(tmp_path / f"still.{suffix}")
    write, read = FORMATS[suffix]
    write(path)
    bpy.ops.wm.read_homefile(use_empty=True)
    read(path)
    check_import(expected, 5)


@KINDS
@pytest.mark.parametrize("suffix", ["glb", "fbx"])
def test_a_motion_comes_back_at_every_frame(body, kind, suffix, tmp_path):
    expected = build_keyed(body, kind, (1, 4, 6))
    path = str(tmp_path / f"motion.{suffix}")
    write, read = FORMATS[suffix]
    write(path)
    bpy.ops.wm.read_homefile(use_empty=True)
    read(path)
    check_import(expected, 1)


@KINDS
def test_a_motion_comes_back_from_usd_with_its_animation(body, kind, tmp_path):
    expected = build_keyed(body, kind, (1, 4, 6))
    path = str(tmp_path / "motion.usdc")
    bpy.ops.wm.usd_export(filepath=path, export_animation=True)
    bpy.ops.wm.read_homefile(use_empty=True)
    bpy.ops.wm.usd_import(filepath=path)
    check_import(expected, 1)


@KINDS
def test_bvh_has_the_joints_where_the_armature_has_them(body, kind, tmp_path):
    """BVH keeps no place of the object: joints are compared in the armature's own axes."""
    expected = build_keyed(body, kind, (1, 4, 6))
    (rig,) = (item for item in bpy.context.scene.objects if item.type == "ARMATURE")
    back = np.linalg.inv(np.array(rig.matrix_world))
    bpy.context.view_layer.objects.active = rig
    path = str(tmp_path / "motion.bvh")
    bpy.ops.export_anim.bvh(filepath=path, frame_start=1, frame_end=6)
    bpy.ops.wm.read_homefile(use_empty=True)
    bpy.ops.import_anim.bvh(filepath=path, axis_forward="Y", axis_up="Z", rotate_mode="NATIVE")
    within = {
        frame: {name: back[:3, :3] @ place + back[:3, 3] for name, place in places.items()}
        for frame, places in expected.items()
    }
    check_import(within, 1)
