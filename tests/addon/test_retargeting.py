# SPDX-License-Identifier: GPL-3.0-or-later
"""A walk onto rigs of all kinds: directions of limbs, feet on the floor, travel, keys, undo, cancelling."""

import subprocess
import sys
from pathlib import Path

import bpy
import numpy as np
import pytest
from blender_helpers import scene_state
from mathutils import Quaternion, Vector
from rig_tables import RIGS, add_arp_behaviour, make
from walking_body import make_walker

from refit_blender import api, session
from refit_blender.errors import SourceError
from refit_blender.retarget import maps
from refit_blender.retarget.roles import SIDES, joint
from refit_blender.retarget.structure import by_structure
from refit_blender.retarget.transfer import Options
from refit_blender.retargeting import retarget_steps
from refit_blender.scene.keying import curves_of, pose_bones
from refit_blender.scene.skeletons import skeleton_of

LIMBS = (("upper_arm", "forearm"), ("forearm", "hand"), ("thigh", "shin"), ("shin", "foot"))
FRAMES = range(1, 46, 4)
RIGIFY_RIG = Path(__file__).with_name("rigify_rig.py")


@pytest.fixture
def walker(tmp_path):
    return make_walker(tmp_path)


def make_rig(name: str) -> bpy.types.Object:
    made = make(RIGS[name])
    if name == "auto-rig pro controls":
        add_arp_behaviour(made)
    return made


def heads(armature: bpy.types.Object, bones: dict[str, str]) -> dict[str, np.ndarray]:
    """Role to the place of its bone in the world, as Blender evaluates it."""
    return {role: np.array(armature.matrix_world @ armature.pose.bones[name].head) for role, name in bones.items()}


def angle(first: np.ndarray, second: np.ndarray) -> float:
    cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def largest_angle(body: bpy.types.Object, target: bpy.types.Object, bones: dict[str, str]) -> float:
    """Between the limbs of body and target, at the present frame."""
    places = np.array([body.matrix_world @ bone.head for bone in pose_bones(body)])
    own = heads(target, bones)
    found = []
    for side in SIDES:
        for part, after in LIMBS:
            start, end = f"{part}.{side}", f"{after}.{side}"
            found.append(angle(places[joint(end)] - places[joint(start)], own[end] - own[start]))
    return max(found)


def sole_heights(target: bpy.types.Object, bones: dict[str, str]) -> np.ndarray:
    """Heights [2,3] in the world of heels (3.5 cm behind the ankles), balls and toe tips of both feet."""
    found = []
    for side in SIDES:
        foot = target.pose.bones[bones[f"foot.{side}"]]
        toe = target.pose.bones[bones.get(f"toe.{side}", foot.name)]
        rest = target.matrix_world @ foot.bone.matrix_local
        ankle = rest.translation
        ball = target.matrix_world @ (foot.bone.tail_local if toe == foot else toe.bone.head_local)
        ahead = (ball - ankle) * Vector((1, 1, 0))
        ahead.normalize()
        points = ((foot, ankle - 0.035 * ahead), (foot, ball), (toe, ball + 0.05 * ahead))
        found.append([])
        for bone, point in points:
            moved = (
                target.matrix_world @ bone.matrix @ bone.bone.matrix_local.inverted() @ target.matrix_world.inverted()
            )
            found[-1].append((moved @ Vector((*point.xy, target.location.z))).z)
    return np.array(found)


@pytest.mark.parametrize("name", RIGS)
def test_limbs_point_where_the_bodys_do_and_feet_are_on_the_floor(name, walker):
    target = make_rig(name)
    api.retarget(walker.name, target.name)
    directions, soles = [], []
    for frame in FRAMES:
        bpy.context.scene.frame_set(frame)
        directions.append(largest_angle(walker, target, RIGS[name].bones))
        soles.append(sole_heights(target, RIGS[name].bones))
    assert max(directions) < 1.0
    lowest = np.array(soles).min(axis=(1, 2))
    assert np.abs(lowest).max() < 0.01, np.round(lowest, 3)


def test_both_kinds_of_rigs_give_the_same(tmp_path):
    found = []
    for kind in ("animation", "smpl"):
        body, target = make_walker(tmp_path, kind=kind, frames=20), make_rig("ue5 manny")
        api.retarget(body.name, target.name)
        bpy.context.scene.frame_set(13)
        assert largest_angle(body, target, RIGS["ue5 manny"].bones) < 1.0
        found.append(np.array([bone.matrix for bone in target.pose.bones]))
    assert np.abs(found[0] - found[1]).max() < 0.05  # hundredths of a millimetre


@pytest.mark.parametrize("kind", ["animation", "smpl"])
def test_a_body_of_the_same_size_takes_the_walk_as_it_is(walker, tmp_path, kind):
    (tmp_path / "other").mkdir()
    other = make_walker(tmp_path / "other", kind=kind, frames=2, turned=70.0)
    assert api.retarget(walker.name, other.name, options=Options(feet=False)).kept
    for frame in FRAMES:
        bpy.context.scene.frame_set(frame)
        places = [[rig.matrix_world @ bone.head for bone in pose_bones(rig)] for rig in (walker, other)]
        assert np.linalg.norm(np.subtract(*places), axis=1).max() < 1e-3


def _generated_rig(file: Path) -> bpy.types.Object:
    """The rig that Rigify generates from its basic human, at the place of the test's own one."""
    subprocess.run([sys.executable, RIGIFY_RIG, file], check=True, capture_output=True)
    with bpy.data.libraries.load(str(file)) as (_, wanted):
        wanted.objects = ["generated"]
    (generated,) = wanted.objects
    bpy.context.scene.collection.objects.link(generated)
    bpy.context.view_layer.update()
    return generated


def test_rigify_takes_the_walk(tmp_path):
    body = make_walker(tmp_path, frames=9)
    bpy.ops.preferences.addon_enable(module="rigify")
    try:
        bpy.ops.object.armature_human_metarig_add()
        whole = skeleton_of(bpy.context.object)
        assert maps.find_map(whole).bones == by_structure(whole)
        bpy.ops.object.armature_basic_human_metarig_add()
        metarig = bpy.context.object
        metarig.location = (1, 2, 0)
        plain = api.retarget(body.name, metarig.name)
        bpy.context.scene.frame_set(5)
        bones = maps.find_map(skeleton_of(metarig)).bones
        assert largest_angle(body, metarig, bones) < 1.0
        assert abs(sole_heights(metarig, bones).min()) < 0.01
        plain_heads = heads(metarig, bones)
    finally:
        bpy.ops.preferences.addon_disable(module="rigify")
    generated = _generated_rig(tmp_path / "rigify.blend")
    found = maps.find_map(skeleton_of(generated))
    assert found.kind == "Rigify"
    assert found.bones["body"] == "torso"
    done = api.retarget(body.name, generated.name)
    assert done.action != plain.action
    bpy.context.scene.frame_set(5)
    deforming = {role: _deforming(role, name) for role, name in found.bones.items() if role not in {"root", "body"}}
    assert largest_angle(body, generated, deforming) < 1.0
    assert abs(sole_heights(generated, deforming).min()) < 0.01
    for role in ("forearm.L", "hand.R", "shin.R", "foot.L", "head"):
        assert np.abs(heads(generated, deforming)[role] - plain_heads[role]).max() < 5e-3
    for limb in ("upper_arm", "thigh"):
        for side in SIDES:
            assert generated.pose.bones[f"{limb}_parent.{side}"]["IK_FK"] == 1.0
    keyed = {curve.data_path for curve in curves_of(generated)}
    assert 'pose.bones["upper_arm_parent.L"]["IK_FK"]' in keyed
    assert 'pose.bones["torso"].location' in keyed
    assert not [path for path in keyed if "tweak" in path or "DEF-" in path or "_ik" in path]


def _deforming(role: str, name: str) -> str:
    """The bone by which Rigify's generated rig deforms what a control is for."""
    trunk = {"pelvis": "DEF-spine", "head": "DEF-spine.006", "neck_1": "DEF-spine.004"}
    if role in trunk or role.startswith("spine"):
        return trunk.get(role, f"DEF-spine.00{role[-1]}")
    return f"DEF-{name.replace('_fk', '')}"


def test_auto_rig_pros_limbs_are_switched_to_fk(walker):
    target = make_rig("auto-rig pro controls")
    api.retarget(walker.name, target.name)
    paths = {curve.data_path for curve in curves_of(target)}
    for side in "lr":
        assert target.pose.bones[f"c_foot_ik.{side}"]["ik_fk_switch"] == 1.0
        assert f'pose.bones["c_foot_ik.{side}"]["ik_fk_switch"]' in paths


def test_the_root_bone_walks_and_turns(walker):
    target = make_rig("ue4 mannequin")
    api.retarget(walker.name, target.name)
    root, pelvis = (target.pose.bones[name] for name in ("root", "pelvis"))
    for frame in (1, 20, 45):
        bpy.context.scene.frame_set(frame)
        places = [target.matrix_world @ bone.head for bone in (root, pelvis)]
        assert abs(places[0].z) < 1e-4
        assert np.allclose(places[0].xy, places[1].xy, atol=0.03)
        assert root.matrix.to_3x3().col[1].z == pytest.approx(root.bone.matrix_local.to_3x3().col[1].z, abs=1e-4)
    assert places[0].y < -1.5
    own = [curve for curve in curves_of(target) if curve.data_path == pelvis.path_from_id("location")]
    assert 100 * 0.001 < max(_range(curve) for curve in own) < 100 * 0.2


def _range(curve: bpy.types.FCurve) -> float:
    values = [key.co.y for key in curve.keyframe_points]
    return max(values) - min(values)


def test_without_the_root_bone_the_pelvis_carries_everything(walker):
    target = make_rig("ue4 mannequin")
    api.retarget(walker.name, target.name, options=Options(root=False))
    bpy.context.scene.frame_set(45)
    assert not [curve for curve in curves_of(target) if '"root"' in curve.data_path]
    assert (target.matrix_world @ target.pose.bones["pelvis"].head).y < -1.5
    assert largest_angle(walker, target, RIGS["ue4 mannequin"].bones) < 1.0


def test_travel_is_scaled_by_the_legs_or_kept(walker):
    target = make_rig("mixamo")
    target.scale *= 0.5
    bpy.context.view_layer.update()
    ways = []
    for scale in (True, False):
        api.retarget(walker.name, target.name, options=Options(scale=scale))
        ends = []
        for frame in (1, 45):
            bpy.context.scene.frame_set(frame)
            ends.append(target.matrix_world @ target.pose.bones["mixamorig:Hips"].head)
        ways.append((ends[1] - ends[0]).xy.length)
    assert ways[0] == pytest.approx(0.5 * ways[1], rel=0.05)
    assert ways[1] == pytest.approx(44 * 0.045, abs=0.05)


@pytest.mark.parametrize("turned", [0.0, 70.0, 180.0])
def test_targets_and_bodies_may_stand_and_face_anywhere(tmp_path, turned):
    body = make_walker(tmp_path, turned=turned, frames=15)
    body.location, body.rotation_euler.z = (3, -1, 0.4), 0.7
    target = make_rig("ue5 manny")
    target.location, target.rotation_euler.z = (-2, 5, 0.1), 2.0
    bpy.context.view_layer.update()
    api.retarget(body.name, target.name)
    for frame in (2, 9):
        bpy.context.scene.frame_set(frame)
        assert largest_angle(body, target, RIGS["ue5 manny"].bones) < 1.0
        assert abs(sole_heights(target, RIGS["ue5 manny"].bones).min() - 0.4) < 0.01


@pytest.mark.parametrize("name", ["mixamo", "mpfb game engine", "unity humanoid", "vrm humanoid"])
def test_keys_do_not_jump_whatever_the_rotation_mode(name, tmp_path):
    body = make_walker(tmp_path, turned=150.0)
    target = make_rig(name)
    api.retarget(body.name, target.name)
    expected = {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}
    curves = curves_of(target)
    wanted = expected.get(RIGS[name].mode, "rotation_euler")
    assert {curve.data_path.rpartition(".")[2] for curve in curves} == {wanted, "location"}
    for curve in curves:
        if wanted != "rotation_axis_angle" and not curve.data_path.endswith("location"):
            assert np.abs(np.diff([key.co.y for key in curve.keyframe_points])).max() < 0.6


def test_twist_bones_and_fingers_are_left_alone(walker):
    target = make_rig("ue5 manny")
    target.pose.bones["index_01_l"].rotation_quaternion = (0.9, 0.1, 0.2, 0.3)
    api.retarget(walker.name, target.name)
    keyed = {curve.data_path.split('"')[1] for curve in curves_of(target)}
    assert keyed == set(RIGS["ue5 manny"].bones.values())
    assert tuple(target.pose.bones["index_01_l"].rotation_quaternion) == pytest.approx((0.9, 0.1, 0.2, 0.3))


def test_the_earlier_action_is_kept(walker):
    target = make_rig("mixamo")
    target.pose.bones["mixamorig:Head"].keyframe_insert("location", frame=1)
    before = target.animation_data.action
    done = api.retarget(walker.name, target.name)
    assert (done.kept, done.frames) == (before.name, 45)
    assert done.action != before == bpy.data.actions[before.name]
    assert before.use_fake_user
    assert f"Its action “{before.name}” is kept." in done.summary()
    assert tuple(done.action.frame_range) == (1, 45)


def test_a_pose_is_keyed_at_the_present_frame(walker):
    target = make_rig("vroid")
    bpy.context.scene.frame_set(17)
    walker.pose.bones["forearm.L"].rotation_quaternion = (0.7, 0.1, -0.7, 0.1)
    done = api.retarget(walker.name, target.name, pose_only=True)
    assert tuple(done.action.frame_range) in {(17, 17), (17, 18)}
    assert largest_angle(walker, target, RIGS["vroid"].bones) < 1.0
    assert tuple(walker.pose.bones["forearm.L"].rotation_quaternion) == pytest.approx((0.7, 0.1, -0.7, 0.1))


def test_somebody_who_lies_stays_where_he_is(walker):
    target = make_rig("vroid")
    bpy.context.scene.frame_set(3)
    walker.animation_data.action = None
    root, pelvis = walker.pose.bones["root"], walker.pose.bones["pelvis"]
    pelvis.rotation_quaternion = Quaternion((1, 0, 0), 1.5) @ pelvis.rotation_quaternion
    bpy.context.view_layer.update()
    root.location = root.bone.matrix_local.to_3x3().inverted() @ Vector(
        (0, 0, 0.1 - (walker.matrix_world @ pelvis.head).z)
    )
    bpy.context.view_layer.update()
    assert (walker.matrix_world @ walker.pose.bones["foot.L"].head).z < 0.4
    api.retarget(walker.name, target.name, pose_only=True)
    hips = [target.matrix_world @ target.pose.bones[f"J_Bip_{side}_UpperLeg"].head for side in "LR"]
    own = [walker.matrix_world @ walker.pose.bones[f"thigh.{side}"].head for side in "LR"]
    assert sum(place.z for place in hips) == pytest.approx(sum(place.z for place in own), abs=0.03)
    assert largest_angle(walker, target, RIGS["vroid"].bones) < 0.1


def test_the_frame_stays(walker):
    bpy.context.scene.frame_set(7)
    api.retarget(walker.name, make_rig("mixamo").name)
    assert bpy.context.scene.frame_current == 7


@pytest.mark.parametrize(("name", "share"), [("mixamo", 0.2), ("auto-rig pro controls", 0.7)])
def test_cancelling_leaves_everything_as_it_was(walker, name, share):
    target = make_rig(name)
    first = next(iter(RIGS[name].bones.values()))
    target.pose.bones[first].location = (1, 2, 3)
    target.pose.bones[first].keyframe_insert("location", frame=3)
    target.pose.bones[first].location = (3, 2, 1)  # not keyed
    walker.pose.bones["neck"].rotation_quaternion = (0.6, 0.8, 0, 0)
    action, state, frame = target.animation_data.action, scene_state(), bpy.context.scene.frame_current
    bases = [bone.matrix_basis.copy() for bone in target.pose.bones]
    steps = retarget_steps(bpy.context, walker, target, RIGS[name].bones)
    while next(steps) < share:
        pass
    steps.close()
    assert scene_state() == state
    assert (target.animation_data.action, bpy.context.scene.frame_current) == (action, frame)
    for bone, basis in zip(target.pose.bones, bases, strict=True):
        assert np.allclose(bone.matrix_basis, basis, atol=1e-6)
    assert list(walker.pose.bones["neck"].rotation_quaternion) == pytest.approx([0.6, 0.8, 0, 0])
    if "c_hand_ik.l" in target.pose.bones:
        assert target.pose.bones["c_hand_ik.l"]["ik_fk_switch"] == 0.0


def test_progress_rises_to_the_end(walker):
    shares: list[float] = []
    api.retarget(walker.name, make_rig("auto-rig pro controls").name, on_progress=shares.append)
    assert shares == sorted(shares)
    assert (len(shares) > 80, shares[-1]) == (True, 1.0)


def test_what_cannot_be_done_is_said(walker):
    target = make_rig("mixamo")
    bones = RIGS["mixamo"].bones
    state = scene_state()
    cases = [
        (("nobody", target.name), "The scene has no armature “nobody”."),
        ((target.name, walker.name), "“Mixamo” is no reconstructed body."),
        ((walker.name, walker.name), "A body cannot get its own motion: choose another armature."),
    ]
    for names, sentence in cases:
        with pytest.raises(SourceError) as raised:
            api.retarget(*names, bones)
        assert str(raised.value) == sentence
    target.scale.x *= 2
    bpy.context.view_layer.update()
    with pytest.raises(SourceError, match="“Mixamo” is stretched or mirrored by its scale"):
        api.retarget(walker.name, target.name)
    target.scale.x /= 2
    walker.animation_data.action = None
    with pytest.raises(SourceError, match="“walker” has no action: carry its pose over instead"):
        api.retarget(walker.name, target.name)
    target.data.pose_position = "REST"
    with pytest.raises(SourceError, match="“Mixamo” shows its rest position"):
        api.retarget(walker.name, target.name, pose_only=True)
    target.hide_viewport = True
    with pytest.raises(SourceError, match="“Mixamo” is switched off in the viewport: switch it on first"):
        api.retarget(walker.name, target.name, pose_only=True)
    assert scene_state() == state


def test_a_held_control_is_said_and_nothing_changes(walker):
    target = make_rig("auto-rig pro controls")
    holder = target.pose.bones["c_forearm_fk.l"].constraints.new("COPY_ROTATION")
    holder.target, holder.subtarget = target, "c_pos"
    state = scene_state()
    with pytest.raises(SourceError, match="Controls of “Auto-Rig Pro” do not turn as they should"):
        api.retarget(walker.name, target.name)
    assert scene_state() == state
    assert target.animation_data is None or target.animation_data.action is None


class TestPanel:
    """What the sidebar's part does."""

    @pytest.fixture
    def settings(self, walker):
        bpy.context.view_layer.objects.active = walker
        return bpy.context.scene.refit_retarget

    def test_choosing_a_target_finds_its_bones(self, settings):
        settings.target = make_rig("mixamo 7")
        assert settings.kind == "Mixamo"
        assert settings.bones() == RIGS["mixamo 7"].bones
        settings.target = None
        assert (settings.kind, len(settings.choices)) == ("", 0)

    def test_the_list_is_what_is_used(self, settings, walker):
        settings.target = make_rig("mixamo")
        bpy.context.view_layer.objects.active = walker
        next(choice for choice in settings.choices if choice.role == "head").bone = ""
        assert bpy.ops.refit.retarget() == {"FINISHED"}
        keyed = {curve.data_path.split('"')[1] for curve in curves_of(settings.target)}
        assert keyed == set(RIGS["mixamo"].bones.values()) - {"mixamorig:Head"}
        assert session.state.report.startswith("“Mixamo” has 45 frames in the new action")

    def test_a_missing_bone_is_said(self, settings, walker):
        settings.target = make_rig("mixamo")
        bpy.context.view_layer.objects.active = walker
        next(choice for choice in settings.choices if choice.role == "thigh.L").bone = ""
        with pytest.raises(RuntimeError, match="Choose bones for these parts first: Thigh L\\."):
            bpy.ops.refit.retarget()
        assert settings.target.animation_data is None

    def test_presets_go_to_a_file_and_back(self, settings, tmp_path):
        settings.target = make_rig("mixamo")
        next(choice for choice in settings.choices if choice.role == "neck_1").bone = "mixamorig:HeadTop_End"
        path = tmp_path / "my rig.json"
        assert bpy.ops.refit.save_bone_map(filepath=str(path)) == {"FINISHED"}
        bpy.ops.refit.find_bones()
        assert settings.bones() == RIGS["mixamo"].bones
        assert bpy.ops.refit.load_bone_map(filepath=str(path)) == {"FINISHED"}
        assert settings.bones() == dict(RIGS["mixamo"].bones) | {"neck_1": "mixamorig:HeadTop_End"}
        assert settings.kind == "my rig"

    def test_a_preset_of_another_rig_is_refused(self, settings, tmp_path):
        path = tmp_path / "other.json"
        maps.write_preset(path, RIGS["vroid"].bones)
        settings.target = make_rig("mixamo")
        with pytest.raises(RuntimeError, match="“Mixamo” has none of the bones of other.json"):
            bpy.ops.refit.load_bone_map(filepath=str(path))
        assert settings.bones() == RIGS["mixamo"].bones

    def test_one_undo_takes_everything_back(self, settings, walker):
        target = make_rig("mixamo")
        settings.target = target
        bpy.context.view_layer.objects.active = walker
        name = target.name
        bpy.ops.ed.undo_push(message="before")
        bpy.ops.refit.retarget()
        bpy.ops.ed.undo_push(message="after")
        bpy.ops.ed.undo()
        assert bpy.data.objects[name].animation_data is None
        assert [action.name for action in bpy.data.actions] == ["walker motion"]
