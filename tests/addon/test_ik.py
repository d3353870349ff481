# SPDX-License-Identifier: GPL-3.0-or-later
"""IK for arms and legs: it starts in the pose that is there, follows its controls, and leaves the pose when it goes."""

import bpy
import numpy as np
import pytest
from blender_helpers import evaluated_vertices
from test_rig_conversion import STYLES, build_keyed, seen
from test_rigs import BUNDLED, build

from refit_blender import api
from refit_blender.errors import SourceError
from refit_blender.results import Body, read_body
from refit_blender.scene import rigs
from refit_blender.scene.armature import edit_bones
from refit_blender.scene.conversion import convert_rig
from refit_blender.scene.ik import LIMBS, add_ik, has_ik, remove_ik
from refit_blender.scene.keying import curves_of, key_pose


@pytest.fixture(scope="module")
def body() -> Body:
    return read_body(BUNDLED)


def test_ik_of_a_pose_changes_nothing(body):
    made = build(body)
    before = evaluated_vertices(made.mesh)
    add_ik(made.rig)
    assert has_ik(made.rig)
    np.testing.assert_allclose(evaluated_vertices(made.mesh), before, atol=1e-4)
    for limb in LIMBS:
        elbow, pole = made.rig.pose.bones[limb.lower].head, made.rig.pose.bones[limb.pole].head
        start, end = made.rig.pose.bones[limb.upper].head, made.rig.pose.bones[limb.end].head
        plane = (end - start).cross(elbow - start)
        assert abs((pole - start).normalized().dot(plane.normalized())) < 1e-3  # the elbow points at its pole
        assert (pole - elbow).length > 0.2
    remove_ik(made.rig)
    assert not has_ik(made.rig) and not any(bone.constraints for bone in made.rig.pose.bones)
    np.testing.assert_allclose(evaluated_vertices(made.mesh), before, atol=1e-4)
    assert set(made.rig.data.bones.keys()) == {"root", *rigs.bone_names(made.rig)}
    assert "IK" not in made.rig.data.collections and not curves_of(made.rig)
    assert {item.type for item in bpy.data.objects} == {"ARMATURE", "MESH"} and len(bpy.data.objects) == 2


@pytest.mark.parametrize("style", STYLES[:2], ids=["root motion", "all on the pelvis"])
def test_ik_of_a_motion_changes_nothing_at_any_frame(body, style):
    made = build_keyed(body, style)
    before = seen(made)
    add_ik(made.rig)
    np.testing.assert_allclose(seen(made), before, atol=1e-4)
    paths = {curve.data_path for curve in curves_of(made.rig)}
    assert {f'pose.bones["{limb.target}"].location' for limb in LIMBS} <= paths
    remove_ik(made.rig)
    np.testing.assert_allclose(seen(made), before, atol=1e-4)
    assert {curve.data_path.split('"')[1] for curve in curves_of(made.rig)} == {"root", *rigs.bone_names(made.rig)}


def test_a_key_at_one_frame_gives_the_controls_one(body):
    made = build(body)
    key_pose(made.rig, 4)
    add_ik(made.rig)
    assert {key.co.x for curve in curves_of(made.rig) for key in curve.keyframe_points} == {4.0}
    remove_ik(made.rig)
    assert {key.co.x for curve in curves_of(made.rig) for key in curve.keyframe_points} == {4.0}


@pytest.mark.parametrize("keys", [(4,), (1, 6, 11)], ids=["a still", "a motion"])
def test_a_pose_that_was_changed_by_hand_is_not_lost(body, keys):
    made = build_keyed(body, STYLES[0], keys) if len(keys) > 1 else build(body)
    rig = made.rig
    key_pose(rig, keys[0])
    bpy.context.scene.frame_set(keys[0])
    rig.pose.bones["forearm.L"].rotation_quaternion = (np.cos(0.6), np.sin(0.6), 0, 0)
    changed = evaluated_vertices(made.mesh)
    for change in (add_ik, remove_ik, lambda rig: convert_rig(rig, STYLES[2]), lambda rig: convert_rig(rig, STYLES[0])):
        change(rig)
        bpy.context.scene.frame_set(keys[0])
        np.testing.assert_allclose(evaluated_vertices(made.mesh), changed, atol=1e-4)


def test_limbs_follow_their_controls_and_keep_that_when_ik_goes(body):
    made = build(body)
    rig = made.rig
    add_ik(rig)
    hand, foot = rig.pose.bones["hand_ik.L"], rig.pose.bones["foot_ik.R"]
    hand.location.z += 0.1
    foot.location.x += 0.05
    bpy.context.view_layer.update()
    for control, end in ((hand, "hand.L"), (foot, "foot.R")):
        np.testing.assert_allclose(rig.pose.bones[end].head, control.head, atol=2e-3)
        turn = rig.pose.bones[end].matrix.to_quaternion().rotation_difference(control.matrix.to_quaternion())
        assert min(turn.angle, 2 * np.pi - turn.angle) < 1e-3
    followed = evaluated_vertices(made.mesh)
    remove_ik(rig)
    np.testing.assert_allclose(evaluated_vertices(made.mesh), followed, atol=1e-4)


def test_scaled_bones_stay_as_they_are(body):
    made = build_keyed(body, STYLES[0])
    for frame, size in ((1, 1.0), (11, 1.8)):
        made.rig.pose.bones["forearm.L"].scale = (size, size, size)
        made.rig.pose.bones["forearm.L"].keyframe_insert("scale", frame=frame)
    before = seen(made)
    add_ik(made.rig)
    np.testing.assert_allclose(seen(made), before, atol=1e-4)
    remove_ik(made.rig)
    np.testing.assert_allclose(seen(made), before, atol=1e-4)


def test_between_two_frames_no_key_is_changed(body):
    made = build_keyed(body, STYLES[0])
    before, scene = seen(made), bpy.context.scene
    for change in (add_ik, remove_ik, lambda rig: convert_rig(rig, STYLES[2])):
        scene.frame_set(6, subframe=0.5)
        change(made.rig)
        assert (scene.frame_current, scene.frame_subframe) == (6, 0.5)
        np.testing.assert_allclose(seen(made), before, atol=1e-4)


def test_bones_and_collections_of_ones_own_are_kept(body):
    rig = build(body).rig
    rig.data.collections.new("IK").assign(rig.data.bones["head"])
    add_ik(rig)
    remove_ik(rig)
    assert [one.name for one in rig.data.bones["head"].collections] == ["Middle", "IK"]
    assert [one.name for one in rig.data.collections if one.name.startswith("IK")] == ["IK"]
    edit_bones(rig, lambda bones: setattr(bones.new("elbow_pole.L"), "tail", (0, 0, 1)))
    with pytest.raises(SourceError, match="“elbow_pole.L” of yours"):
        add_ik(rig)
    assert "elbow_pole.R" not in rig.data.bones


def test_a_pose_without_keys_of_somebody_else_is_kept(body):
    rig, other = build_keyed(body, STYLES[0]).rig, build_keyed(body, STYLES[0]).rig
    for call in (add_ik, remove_ik):
        other.pose.bones["neck"].rotation_quaternion = (0.6, 0.8, 0, 0)
        call(rig)
        assert list(other.pose.bones["neck"].rotation_quaternion) == pytest.approx([0.6, 0.8, 0, 0])


def test_an_elbow_follows_its_pole(body):
    rig = build(body).rig
    for bone in rig.pose.bones:
        bone.matrix_basis.identity()
    rig.pose.bones["forearm.L"].rotation_quaternion = (np.cos(0.5), np.sin(0.5), 0, 0)
    add_ik(rig)
    pole, elbow, hand = (rig.pose.bones[name] for name in ("elbow_pole.L", "forearm.L", "hand.L"))
    before, held = elbow.head.copy(), hand.head.copy()
    pole.location.y -= 3.0  # poles rest upright: that is down
    bpy.context.view_layer.update()
    assert elbow.head.z < before.z - 0.05 and (hand.head - held).length < 1e-3


def test_what_is_in_the_way_is_named(body):
    smpl = build(body, "smpl").rig
    with pytest.raises(SourceError, match="convert it to the animation rig"):
        add_ik(smpl)
    rig = build(body).rig
    add_ik(rig)
    for call in (lambda: add_ik(rig), lambda: convert_rig(rig, STYLES[2])):
        with pytest.raises(SourceError, match="press Remove IK first"):
            call()
    remove_ik(rig)
    bones = set(rig.data.bones.keys())

    def refuse(why: str) -> None:
        bpy.context.view_layer.update()
        with pytest.raises(SourceError, match=why):
            add_ik(rig)
        assert set(rig.data.bones.keys()) == bones

    rig.scale = (1, 2, 1)
    refuse("stretched or mirrored")
    rig.scale = (1, 1, 1)
    rig.pose.bones["shin.L"].scale = (1, 2, 1)
    refuse("“shin.L” is stretched")
    rig.pose.bones["shin.L"].scale = (1, 1, 1)
    twin = rig.copy()
    refuse("shares its data")
    bpy.data.objects.remove(twin)
    key_pose(rig, 1)
    rig.animation_data.nla_tracks.new().strips.new("walk", 1, rig.animation_data.action)
    rig.animation_data.action = None
    refuse("has tracks of actions")


def test_buttons_and_jobs_know_about_ik(photo, install_fake):
    fake = install_fake()
    scene = bpy.context.scene
    scene.refit.image_path = str(photo)
    assert bpy.ops.refit.reconstruct() == {"FINISHED"}
    assert not bpy.ops.refit.remove_ik.poll()
    assert bpy.ops.refit.add_ik() == {"FINISHED"}
    assert not bpy.ops.refit.add_ik.poll()
    scene.frame_set(5)
    asked = len(fake.requests())
    with pytest.raises(RuntimeError, match="press Remove IK first"):
        bpy.ops.refit.reconstruct()
    with pytest.raises(SourceError, match="press Remove IK first"):
        api.reconstruct(photo, update=True)
    assert len(fake.requests()) == asked  # nobody waits for a job whose result is refused
    with pytest.raises(RuntimeError, match="press Remove IK first"):
        bpy.ops.refit.joints_to_shape()
    assert bpy.ops.refit.remove_ik() == {"FINISHED"}
    assert bpy.ops.refit.reconstruct() == {"FINISHED"}
