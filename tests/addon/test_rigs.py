# SPDX-License-Identifier: GPL-3.0-or-later
"""The two kinds of rigs: the same body, and what Blender's own tools make of the animation rig."""

from pathlib import Path

import bpy
import numpy as np
import pytest
from blender_helpers import evaluated_vertices
from mathutils import Quaternion
from synthetic_body import random_rotations

from refit_blender.errors import SourceError
from refit_blender.results import Body, read_body
from refit_blender.scene import keying, rigs
from refit_blender.scene.body import BodyObjects, Pose, build_body, set_shape

BUNDLED = Path(__file__).parents[2] / "engine" / "refit_engine" / "data" / "body.npz"
GROUND = np.array([1.0, 2.0, 0.5])
MIRROR = np.diag([-1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def body() -> Body:
    return read_body(BUNDLED)


def rotations(seed: int = 1) -> np.ndarray:
    """Joint rotations [24,3,3], the first in the world."""
    found = random_rotations(np.random.default_rng(seed), 24, 0.8)
    found[0] = rigs.REST_TO_WORLD @ found[0]
    return found


def build(body: Body, kind: rigs.RigKind = "animation", *, root_motion: bool = True, betas=None) -> BodyObjects:
    betas = np.linspace(-1, 1, 10) if betas is None else betas
    pose = Pose(betas, rotations(), np.array([1.1, 2.1, 1.4]), np.eye(4), GROUND)
    style = rigs.RigStyle(kind, root_motion)
    made = build_body(kind, body, pose, bpy.context.scene.collection, style)
    bpy.context.view_layer.update()
    return made


def clear_pose(rig: bpy.types.Object) -> None:
    for bone in rig.pose.bones:
        bone.matrix_basis.identity()
    bpy.context.view_layer.update()


def enter(mode: str, rig: bpy.types.Object) -> None:
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode=mode)


def test_both_rigs_show_the_same_body(body):
    made = {kind: build(body, kind) for kind in rigs.RIG_KINDS}
    skins = [evaluated_vertices(one.mesh) for one in made.values()]
    np.testing.assert_allclose(*skins, atol=1e-5)
    np.testing.assert_allclose(*[rigs.joint_places(one.rig) for one in made.values()], atol=1e-5)
    for one in made.values():
        read, pelvis = keying.read_pose(one.rig)
        np.testing.assert_allclose(read, rotations(), atol=1e-5)
        np.testing.assert_allclose(pelvis, rigs.joint_places(one.rig)[0], atol=1e-6)


@pytest.mark.parametrize("kind", rigs.RIG_KINDS)
def test_a_cleared_pose_stands_on_the_floor_at_the_objects_origin(body, kind):
    made = build(body, kind)
    for betas in (np.linspace(-1, 1, 10), np.linspace(2, -1, 10)):
        set_shape(made.rig, body, betas)
        clear_pose(made.rig)
        skin, pelvis = evaluated_vertices(made.mesh), rigs.joint_places(made.rig)[0]
        assert skin[:, 2].min() == pytest.approx(GROUND[2], abs=1e-5)
        np.testing.assert_allclose(pelvis[:2], GROUND[:2], atol=1e-5)
        toes = rigs.joint_places(made.rig)[[10, 11], 1].mean()
        assert toes < pelvis[1] - 0.05  # it faces -Y


def test_bones_of_the_animation_rig_lead_from_joint_to_joint(body):
    rig = build(body).rig
    bones = rig.data.bones
    assert set(bones.keys()) == {"root", *rigs.bone_names(rig)}
    np.testing.assert_allclose(rig.rotation_euler, 0, atol=1e-7)
    np.testing.assert_allclose(np.array(bones["root"].matrix_local), np.eye(4), atol=1e-6)
    for side in ("L", "R"):
        for chain in (("upper_arm", "forearm", "hand", "fingers"), ("thigh", "shin", "foot", "toe")):
            for upper, lower in zip(chain, chain[1:], strict=False):
                assert bones[f"{lower}.{side}"].use_connect
                assert bones[f"{lower}.{side}"].parent.name == f"{upper}.{side}"
                assert bones[f"{upper}.{side}"].tail_local == bones[f"{lower}.{side}"].head_local
    trunk = ("pelvis", "spine_01", "spine_02", "spine_03", "neck", "head")
    assert all(bones[name].use_connect for name in trunk[1:]) and bones["pelvis"].parent.name == "root"
    assert all(0.03 < bone.length < 0.5 for bone in bones)
    collections = {one.name: {bone.name for bone in one.bones} for one in rig.data.collections}
    assert "thigh.L" in collections["Left"] and "toe.R" in collections["Right"] and "neck" in collections["Middle"]
    assert len({bones[name].color.palette for name in ("hand.L", "hand.R", "neck", "root")}) == 4


@pytest.mark.parametrize(
    ("bone", "end", "direction"),
    [("forearm", "hand", (0, -1, 0)), ("shin", "foot", (0, 1, 0)), ("fingers", None, (0, 0, -1))],
)
def test_limbs_bend_about_x_in_one_direction_on_both_sides(body, bone, end, direction):
    rig = build(body).rig
    clear_pose(rig)
    for side in ("L", "R"):
        pose = rig.pose.bones[f"{bone}.{side}"]
        before = np.array(pose.tail)
        pose.rotation_quaternion = Quaternion((1, 0, 0), np.radians(60))
        bpy.context.view_layer.update()
        moved = np.array(pose.tail) - before
        assert moved @ direction > 0.7 * np.linalg.norm(moved), side


def test_symmetrize_makes_the_other_side_again(body):
    rig = build(body).rig
    before = {bone.name: (np.array(bone.matrix_local), bone.length) for bone in rig.data.bones}
    enter("EDIT", rig)
    edit = rig.data.edit_bones
    for name in [bone.name for bone in edit if bone.name.endswith(".R")]:
        edit.remove(edit[name])
    bpy.ops.armature.select_all(action="SELECT")
    bpy.ops.armature.symmetrize()
    bpy.ops.object.mode_set(mode="OBJECT")
    assert set(rig.data.bones.keys()) == set(before)
    for name, (matrix, length) in before.items():
        np.testing.assert_allclose(np.array(rig.data.bones[name].matrix_local), matrix, atol=1e-5, err_msg=name)
        assert rig.data.bones[name].length == pytest.approx(length, abs=1e-5)


@pytest.mark.parametrize("root_motion", [True, False])
def test_a_pose_that_is_pasted_flipped_is_the_mirror_image(body, root_motion):
    rig = build(body, root_motion=root_motion).rig
    before = rigs.joint_places(rig) - GROUND
    enter("POSE", rig)
    bpy.ops.pose.select_all(action="SELECT")
    bpy.ops.pose.copy()
    bpy.ops.pose.paste(flipped=True)
    bpy.context.view_layer.update()
    after = rigs.joint_places(rig) - GROUND
    names = rigs.bone_names(rig)
    swapped = [
        names.index(name[:-1] + {"L": "R", "R": "L"}[name[-1]]) if "." in name else index
        for index, name in enumerate(names)
    ]
    np.testing.assert_allclose(after[swapped] @ MIRROR, before, atol=1e-4)


def test_the_root_stands_under_the_pelvis_and_heads_as_the_body_does(body):
    rig = build(body).rig
    root, pelvis = rig.pose.bones["root"], rig.pose.bones["pelvis"]
    np.testing.assert_allclose(root.head, [*pelvis.head[:2], 0], atol=1e-6)
    np.testing.assert_allclose(root.matrix.col[2][:3], [0, 0, 1], atol=1e-6)
    assert root.rotation_quaternion.angle > 0.01
    on_pelvis = build(body, root_motion=False).rig
    assert on_pelvis.pose.bones["root"].matrix_basis.is_identity
    np.testing.assert_allclose(rigs.joint_places(on_pelvis), rigs.joint_places(rig), atol=1e-5)


def test_the_root_bone_may_be_moved_by_hand(body):
    rig = build(body, root_motion=False).rig
    keying.key_pose(rig, 1)
    before = rigs.joint_places(rig)
    bpy.context.scene.frame_set(10)
    root = rig.pose.bones["root"]
    root.location, root.rotation_quaternion = (1, 0, 0.5), Quaternion((0, 0, 1), 0.7)
    root.keyframe_insert("location", frame=10)
    root.keyframe_insert("rotation_quaternion", frame=10)
    bpy.context.view_layer.update()
    there = rigs.joint_places(rig)
    assert np.abs(there - before).max() > 0.5
    read, pelvis = keying.read_pose(rig)
    keying.set_pose(rig, read, pelvis)
    bpy.context.view_layer.update()
    np.testing.assert_allclose(rigs.joint_places(rig), there, atol=1e-5)


def test_the_panel_offers_every_kind():
    items = bpy.context.scene.refit.bl_rna.properties["rig"].enum_items
    assert tuple(item.identifier.lower() for item in items) == rigs.RIG_KINDS
    assert bpy.context.scene.refit.rig_style() == rigs.DEFAULT_STYLE


def test_a_missing_bone_is_named(body):
    rig = build(body).rig
    rig.data.bones["hand.L"].name = "Hand"
    with pytest.raises(SourceError, match="has no bone “hand.L”"):
        rigs.bone_names(rig)
    assert len(rigs.joint_places(rig)) == 23


def test_a_rig_that_says_nothing_is_smpls(body):
    rig = build(body, "smpl").rig
    for name in (rigs.KIND, rigs.REST_SHIFT):
        del rig[name]
    assert rigs.kind_of(rig) == "smpl" and rigs.root_bone(rig) is None
    heads = np.array([bone.head_local for bone in rig.data.bones])
    set_shape(rig, body, np.linspace(1, -1, 10))
    assert np.abs(np.array([bone.head_local for bone in rig.data.bones]) - heads).max() > 0.01
    np.testing.assert_allclose(rig.data.bones["pelvis"].head_local, body.joints(np.linspace(1, -1, 10))[0], atol=1e-6)
