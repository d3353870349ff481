# SPDX-License-Identifier: GPL-3.0-or-later
"""A rig becomes one of the other kind: the body is the same at every frame, and what was keyed and attached stays."""

import bpy
import numpy as np
import pytest
from blender_helpers import evaluated_vertices, scene_state
from mathutils import Matrix, Vector
from test_rigs import BUNDLED, build, rotations

from refit_blender import api
from refit_blender.engine_job import Options
from refit_blender.errors import SourceError
from refit_blender.results import Body, read_body
from refit_blender.scene import keying, rigs
from refit_blender.scene.armature import edit_bones, move_mesh
from refit_blender.scene.body import BodyObjects
from refit_blender.scene.conversion import convert_rig
from refit_blender.scene.keying import curves_of
from refit_blender.scene.rigs import RigStyle

STYLES = [RigStyle("animation"), RigStyle("animation", root_motion=False), RigStyle("smpl")]
WAYS = [(old, new) for old in STYLES for new in STYLES if old != new]


@pytest.fixture(scope="module")
def body() -> Body:
    return read_body(BUNDLED)


def named(style: RigStyle) -> str:
    return f"{style.kind}{'' if style.root_motion else ', all on the pelvis'}"


def all_ways(test):
    return pytest.mark.parametrize(("old", "new"), WAYS, ids=lambda style: named(style))(test)


def build_keyed(body: Body, style: RigStyle, frames=(1, 6, 11)) -> BodyObjects:
    """A body that is keyed at a few frames, with the curves that Blender gives by itself."""
    made = build(body, style.kind, root_motion=style.root_motion)
    for index, frame in enumerate(frames):
        keying.set_pose(made.rig, rotations(index + 2), np.array([1 + 0.3 * index, 2, 1.4]))
        keying.key_pose(made.rig, frame)
    for curve in curves_of(made.rig):
        for key in curve.keyframe_points:
            key.interpolation = "BEZIER"
        curve.keyframe_points[1].type = "EXTREME"
        curve.update()
    return made


def seen(made: BodyObjects, frames=range(1, 12)) -> np.ndarray:
    """Some of the skin [F,V,3] in the world at frames."""
    found = []
    for frame in frames:
        bpy.context.scene.frame_set(frame)
        found.append(evaluated_vertices(made.mesh)[::50])
    return np.array(found)


@all_ways
def test_a_pose_is_the_same_afterwards(body, old, new):
    made = build(body, old.kind, root_motion=old.root_motion)
    before = evaluated_vertices(made.mesh)
    convert_rig(made.rig, new)
    assert rigs.kind_of(made.rig) == new.kind and rigs.root_follows(made.rig) == (new == STYLES[0])
    np.testing.assert_allclose(evaluated_vertices(made.mesh), before, atol=2e-5)
    fresh = build(body, new.kind, root_motion=new.root_motion)
    for bone in fresh.rig.data.bones:
        there = made.rig.data.bones[bone.name]
        np.testing.assert_allclose(np.array(there.matrix_local), np.array(bone.matrix_local), atol=1e-5)
        assert (there.use_connect, there.color.palette) == (bone.use_connect, bone.color.palette)
        np.testing.assert_allclose(
            np.array(made.rig.pose.bones[bone.name].matrix), np.array(fresh.rig.pose.bones[bone.name].matrix), atol=1e-5
        )
    assert {one.name for one in made.mesh.vertex_groups} == set(rigs.bone_names(made.rig))
    assert {one.name for one in made.rig.data.collections} == {one.name for one in fresh.rig.data.collections}
    np.testing.assert_allclose(np.array(made.rig.matrix_world), np.array(fresh.rig.matrix_world), atol=1e-6)


@all_ways
def test_sparse_keys_are_exact_at_every_frame(body, old, new):
    made = build_keyed(body, old)
    before = seen(made)
    convert_rig(made.rig, new)
    np.testing.assert_allclose(seen(made), before, atol=1e-4)
    curves = {(curve.data_path, curve.array_index): curve for curve in curves_of(made.rig)}
    names = rigs.bone_names(made.rig)
    for curve in (curves[f'pose.bones["{names[5]}"].rotation_quaternion', index] for index in range(4)):
        assert [key.co.x for key in curve.keyframe_points] == [1, 6, 11]
        assert [key.type for key in curve.keyframe_points] == ["KEYFRAME", "EXTREME", "KEYFRAME"]
        assert curve.group.name == names[5]
    assert all(path.split('"')[1] in made.rig.pose.bones for path, _ in curves)
    location = curves['pose.bones["pelvis"].location', 0]
    assert next(key.type for key in location.keyframe_points if key.co.x == 6) == "EXTREME"


def test_keys_of_the_pelvis_stay_where_the_root_bone_does_not_follow(body):
    made = build_keyed(body, STYLES[2])
    for style in (STYLES[1], STYLES[2]):
        convert_rig(made.rig, style)
        for curve in curves_of(made.rig):
            assert [key.co.x for key in curve.keyframe_points] == [1, 6, 11], curve.data_path


@pytest.mark.parametrize("new", STYLES[1:], ids=named)
def test_a_motion_keeps_what_is_keyed_besides(install_fake, pictures, new):
    install_fake().prepare_motion(pictures, filled=(20, 21), absent=range(5))
    bpy.context.scene.render.fps = 30
    (made,) = api.reconstruct_motion(pictures).outcome.bodies
    frames = range(6, 32)
    before = seen(made, frames)
    kept = {name: made.rig[name] for name in made.rig.keys() if name not in (rigs.KIND, rigs.ROOT_MOTION)}
    api.convert_rig(made.rig.name, new.kind, root_motion=new.root_motion)
    np.testing.assert_allclose(seen(made, frames), before, atol=1e-4)
    assert set(kept) <= set(made.rig.keys())
    curves = {(curve.data_path, curve.array_index): curve for curve in curves_of(made.rig)}
    assert len(curves['["refit_joint_std_mm"]', 3].keyframe_points) == 26
    location = curves['pose.bones["pelvis"].location', 0].keyframe_points
    assert [key.co.x for key in location if key.type == "BREAKDOWN"] == [21, 22]
    api.convert_rig(made.rig.name, "animation")
    np.testing.assert_allclose(seen(made, frames), before, atol=1e-4)
    assert len(bpy.data.actions) == 2  # the body's, and that of its mesh


def test_what_animators_did_is_kept(body):
    """Another rotation mode, a bone that was moved, keys of one component, a modifier, a hat and a shoe."""
    made = build_keyed(body, STYLES[2])
    rig, mesh = made.rig, made.mesh
    elbow, knee, neck = (rig.pose.bones[name] for name in ("left_elbow", "right_knee", "neck"))
    elbow.rotation_mode = "XYZ"
    for frame, angle in ((1, 0.2), (11, 1.0)):
        elbow.rotation_euler = (angle, 0.3, -angle)
        elbow.keyframe_insert("rotation_euler", frame=frame)
    knee.location = (0.0, -0.05, 0.02)
    knee.keyframe_insert("location", frame=1)
    neck.keyframe_insert("rotation_quaternion", index=1, frame=8)
    mesh.modifiers.new("smooth", "SUBSURF").show_viewport = False
    hat, shoe = bpy.data.objects.new("hat", None), bpy.data.objects.new("shoe", None)
    for item, bone in ((hat, "head"), (shoe, None)):
        bpy.context.scene.collection.objects.link(item)
        item.parent = rig
        if bone:
            item.parent_type, item.parent_bone = "BONE", bone
        item.location = (0.1, 0.2, 0.3)
    before = seen(made)
    bpy.context.scene.frame_set(3)
    places = {item: np.array(item.matrix_world) for item in (hat, shoe)}
    convert_rig(rig, STYLES[0])
    np.testing.assert_allclose(seen(made), before, atol=1e-4)
    assert [modifier.type for modifier in mesh.modifiers] == ["ARMATURE", "SUBSURF"]
    bpy.context.scene.frame_set(3)
    bpy.context.view_layer.update()
    for item, place in places.items():
        np.testing.assert_allclose(np.array(item.matrix_world), place, atol=1e-5)
    assert not rig.data.bones["shin.R"].use_connect and rig.data.bones["shin.L"].use_connect


def make_old(made: BodyObjects) -> np.ndarray:
    """Give a rig of SMPL's kind the body file's own rest pose and no notes, as rigs had before; how far it stood off."""
    shift = Vector(made.rig[rigs.REST_SHIFT])
    back = Matrix.Translation(-shift)
    edit_bones(made.rig, lambda bones: [bone.transform(back) for bone in bones] and None)
    move_mesh(made.mesh, back)
    made.rig.pose.bones["pelvis"].location += shift
    for name in (rigs.KIND, rigs.REST_SHIFT):
        del made.rig[name]
    return np.array(shift)


def test_an_old_rig_is_converted_and_stands_on_its_feet(body):
    made = build(body, "smpl")
    before = evaluated_vertices(made.mesh)
    shift = make_old(made)
    np.testing.assert_allclose(evaluated_vertices(made.mesh), before, atol=2e-5)
    convert_rig(made.rig, STYLES[0])
    np.testing.assert_allclose(evaluated_vertices(made.mesh), before, atol=2e-5)
    np.testing.assert_allclose(made.rig[rigs.REST_SHIFT][:], shift, atol=1e-5)
    for bone in made.rig.pose.bones:
        bone.matrix_basis.identity()
    assert evaluated_vertices(made.mesh)[:, 2].min() == pytest.approx(made.rig.location.z, abs=1e-5)


def test_an_old_rig_is_still_updated(photo, install_fake):
    fake = install_fake()
    scene = bpy.context.scene
    made = api.reconstruct(photo, rig="smpl").outcome.bodies[0]
    make_old(made)
    keying.key_pose(made.rig, 1)
    scene.frame_set(9)
    result = fake.prepare(photo, seed=9, shapes=fake.result["betas"])
    assert api.reconstruct(photo, update=True).outcome.bodies[0].rig == made.rig
    camera = np.array(scene.camera.matrix_world)
    expected = result["vertices_cam"][0] @ np.diag([1, -1, -1]) @ camera[:3, :3].T + camera[:3, 3]
    np.testing.assert_allclose(evaluated_vertices(made.mesh), expected, atol=1e-4)


def test_the_button_converts_in_one_step_and_bodies_are_updated_after_it(photo, install_fake):
    fake = install_fake(correctives=True)
    scene = bpy.context.scene
    scene.refit.image_path = str(photo)
    assert bpy.ops.refit.reconstruct() == {"FINISHED"}
    rig = bpy.context.view_layer.objects.active
    made = BodyObjects(rig, rig.children[0])
    before, state = evaluated_vertices(made.mesh), scene_state()
    assert bpy.ops.refit.confidence_colors(measure="POSITION") == {"FINISHED"}
    bpy.ops.object.mode_set(mode="OBJECT")
    bpy.ops.ed.undo_push()
    assert bpy.ops.refit.convert_rig() == {"FINISHED"}
    np.testing.assert_allclose(evaluated_vertices(made.mesh), before, atol=2e-5)
    assert rigs.kind_of(rig) == "smpl" and scene_state() == state
    assert rig.data.bones["left_knee"].color.palette == "CUSTOM"
    scene.frame_set(9)
    result = fake.prepare(photo, seed=9, shapes=fake.result["betas"])
    assert bpy.ops.refit.reconstruct() == {"FINISHED"}
    camera = np.array(scene.camera.matrix_world)
    expected = result["vertices_cam"][0] @ np.diag([1, -1, -1]) @ camera[:3, :3].T + camera[:3, 3]
    np.testing.assert_allclose(evaluated_vertices(made.mesh), expected, atol=1e-4)


def test_one_undo_takes_a_conversion_back(photo, install_fake):
    install_fake()
    name = api.reconstruct(photo).outcome.bodies[0].rig.name
    before = evaluated_vertices(bpy.data.objects[name].children[0])
    bpy.ops.ed.undo_push()
    assert bpy.ops.refit.convert_rig() == {"FINISHED"}
    bpy.ops.ed.undo_push()
    bpy.ops.ed.undo()
    rig = bpy.data.objects[name]
    assert rigs.kind_of(rig) == "animation" and "thigh.L" in rig.data.bones
    np.testing.assert_allclose(evaluated_vertices(rig.children[0]), before, atol=2e-5)


def test_what_is_in_the_way_is_named_and_nothing_changes(body):
    rig = build_keyed(body, STYLES[0]).rig
    twin = rig.copy()
    bpy.context.scene.collection.objects.link(twin)
    before = scene_state()
    with pytest.raises(SourceError, match="shares its data"):
        convert_rig(rig, STYLES[2])
    bpy.data.objects.remove(twin)
    rig.keyframe_insert("rotation_euler", frame=1)
    with pytest.raises(SourceError, match="is animated"):
        convert_rig(rig, STYLES[2])
    rig.hide_set(True)
    with pytest.raises(SourceError, match="is hidden"):
        convert_rig(rig, STYLES[2])
    with pytest.raises(SourceError, match="no object “nobody”"):
        api.convert_rig("nobody", "smpl")
    with pytest.raises(SourceError, match="There is no rig “unreal”"):
        Options(rig="unreal")
    assert rigs.kind_of(rig) == "animation" and "thigh.L" in rig.data.bones and before["armatures"]


def test_what_another_rig_could_not_show_is_named(body):
    rig = build_keyed(body, STYLES[0]).rig
    root, elbow = rig.pose.bones["root"], rig.pose.bones["forearm.L"]

    def refuse(why: str) -> None:
        with pytest.raises(SourceError, match=why):
            convert_rig(rig, STYLES[2])
        assert rigs.kind_of(rig) == "animation"

    root.scale = (2, 2, 2)
    refuse("Bone “root” is scaled")
    root.scale = (1, 1, 1)
    elbow.scale = (1, 2, 1)
    elbow.keyframe_insert("scale", frame=4)
    elbow.scale = (1, 1, 1)
    refuse("Bone “forearm.L” is stretched")
    elbow.keyframe_delete("scale", frame=4)
    elbow.scale = (1, 1, 1)
    curves_of(rig)[0].mute = True
    refuse("are muted")
    curves_of(rig)[0].mute = False
    turning = rig.constraints.new("COPY_ROTATION")
    refuse("Constraint “Copy Rotation” turns")
    turning.mute = True
    rig.driver_add("rotation_euler", 2)
    refuse("is animated")
    rig.driver_remove("rotation_euler", 2)
    edit_bones(rig, lambda bones: setattr(bones.new("left_elbow"), "tail", (0, 0, 1)))
    refuse("“left_elbow” of yours")
    rig.data.bones["left_elbow"].name = "tail"
    convert_rig(rig, STYLES[2])
    assert rigs.kind_of(rig) == "smpl"
