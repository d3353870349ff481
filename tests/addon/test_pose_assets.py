# SPDX-License-Identifier: GPL-3.0-or-later
"""A pose becomes an asset, with a picture, that another body can take."""

import bpy
import numpy as np
import pytest
from blender_helpers import scene_state

from refit_blender import api
from refit_blender.engine_job import Options
from refit_blender.export.picture import SIZE, draw
from refit_blender.scene.keying import curves_of
from refit_blender.scene.rigs import bone_names


@pytest.fixture
def make_two(install_fake, pictures):
    """Call it for two bodies that move at frames 1 to 31."""

    def make(**options):
        install_fake(correctives=True).prepare_motion(pictures, people=2)
        bpy.context.scene.render.fps = 30
        return [made.rig for made in api.reconstruct_motion(pictures, Options(**options)).outcome.bodies]

    return make


@pytest.fixture
def two_people(make_two):
    return make_two()


def another(rig):
    """A body of the same shape at rest that stands elsewhere."""
    made = rig.copy()
    bpy.context.scene.collection.objects.link(made)
    made.animation_data_clear()
    made.location.x += 5
    for bone in made.pose.bones:
        bone.matrix_basis.identity()
    return made


def in_armature(rig):
    """Joints [24,3] in the armature's space, and at rest."""
    bpy.context.view_layer.update()
    places = np.array([rig.pose.bones[name].head for name in bone_names(rig)])
    return places, np.array([rig.data.bones[name].head_local for name in bone_names(rig)])


@pytest.mark.parametrize(("kind", "up"), [("animation", [0, 0, 1]), ("smpl", [0, 1, 0])])
def test_another_body_takes_the_pose_and_stays_where_it_stands(make_two, kind, up):
    one = make_two(rig=kind, root_motion=False)[0]
    other = another(one)
    bpy.context.scene.frame_set(20)
    wanted, rest = in_armature(one)
    action = api.pose_asset(one)
    turns = [one.pose.bones[name].matrix.to_quaternion() for name in bone_names(one)]
    other.pose.apply_pose_from_action(action)
    found, its_rest = in_armature(other)
    for name, turn in zip(bone_names(other), turns, strict=True):
        assert other.pose.bones[name].matrix.to_quaternion().rotation_difference(turn).angle < 1e-3
    assert np.abs(found[0] - its_rest[0] - (wanted[0] - rest[0]) @ up * np.array(up)).max() < 1e-5
    assert np.linalg.norm(wanted[0] - rest[0]) > 0.3


def test_a_body_with_root_motion_gives_the_pose_without_the_root(make_two):
    one = make_two(root_motion=True)[0]
    other = another(one)
    bpy.context.scene.frame_set(25)
    assert np.linalg.norm(one.pose.bones["root"].location) > 0.3
    action = api.pose_asset(one)
    assert not any('"root"' in curve.data_path for curve in action_curves(action))
    other.pose.apply_pose_from_action(action)
    found, rest = in_armature(other)
    assert np.abs(found[0] - rest[0])[:2].max() < 1e-5


def action_curves(action):
    holder = bpy.data.objects.new("holder", None)
    animation = holder.animation_data_create()
    animation.action = action
    if hasattr(animation, "action_slot"):
        animation.action_slot = action.slots[0]
    return curves_of(holder)


def test_it_is_an_asset_with_a_picture_and_nothing_else_changes(two_people):
    rig = two_people[0]
    scene = bpy.context.scene
    scene.frame_set(5)
    rig.pose.bones["neck"].rotation_quaternion = (0.6, 0.8, 0, 0)  # not keyed
    before = scene_state(), rig.animation_data.action, [len(one.keyframe_points) for one in curves_of(rig)]
    action = api.pose_asset(rig, 12, "crouch")
    assert (action.name, action.asset_data is not None, action.use_fake_user) == ("crouch", True, True)
    assert [tag.name for tag in action.asset_data.tags] == ["ReFit"]
    assert tuple(action.preview.image_size) == (SIZE, SIZE)
    pixels = np.empty(SIZE * SIZE * 4, dtype=np.float32)
    action.preview.image_pixels_float.foreach_get(pixels)
    cover = pixels.reshape(SIZE, SIZE, 4)[..., 3]
    assert 0.005 < cover.mean() < 0.9
    assert cover[:8].max() == cover[-8:].max() == 0  # a margin
    assert list(rig.pose.bones["neck"].rotation_quaternion) == pytest.approx([0.6, 0.8, 0, 0])
    bpy.data.actions.remove(action)
    assert (scene_state(), rig.animation_data.action, [len(one.keyframe_points) for one in curves_of(rig)]) == before


def test_the_button_names_it_after_body_and_frame(two_people):
    bpy.context.view_layer.objects.active = two_people[1]
    bpy.context.scene.frame_set(7)
    assert bpy.ops.refit.pose_asset() == {"FINISHED"}
    assert bpy.data.actions[f"{two_people[1].name} 7"].asset_data


def test_a_picture_shows_what_is_nearest():
    square = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    small = square * 0.5 + [0.25, 0.25, 1.0]
    slanted = small + np.array([[0, 0, 0.4]]) * (small[:, :1] - 0.25)
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    picture = draw(np.concatenate([square, slanted]), np.concatenate([faces, faces + 4]), np.eye(3))
    middle, corner = picture[SIZE // 2, SIZE // 2], picture[SIZE // 8, SIZE // 8]
    assert middle[3] == corner[3] == 1
    assert abs(middle[0] - corner[0]) > 0.02
    assert picture[0, 0, 3] == 0
    covered = picture[..., 3] > 0.99
    assert 0.85**2 < covered.mean() < 0.9**2
