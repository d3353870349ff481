# SPDX-License-Identifier: GPL-3.0-or-later
"""A pose becomes an asset, with a picture, that another body can take."""

import bpy
import numpy as np
import pytest
from blender_helpers import scene_state

from refit_blender import api
from refit_blender.export.picture import SIZE, draw
from refit_blender.results import JOINT_NAMES
from refit_blender.scene.keying import curves_of


@pytest.fixture
def two_people(install_fake, pictures):
    """Two bodies that move at frames 1 to 31."""
    install_fake(correctives=True).prepare_motion(pictures, people=2)
    bpy.context.scene.render.fps = 30
    return [made.rig for made in api.reconstruct_motion(pictures).outcome.bodies]


def joints(rig):
    """Joints [24,3] in the armature's space, from the pelvis."""
    bpy.context.view_layer.update()
    places = np.array([rig.pose.bones[name].head for name in JOINT_NAMES])
    return places - places[0]


def test_another_body_takes_the_pose_and_stays_where_it_stands(two_people):
    one, other = two_people
    scene = bpy.context.scene
    scene.frame_set(20)
    action = api.pose_asset(one)
    wanted = [one.pose.bones[name].matrix.to_quaternion() for name in JOINT_NAMES]
    height = one.pose.bones["pelvis"].head.y - one.data.bones["pelvis"].head_local.y
    other.animation_data_clear()
    other.pose.apply_pose_from_action(action)
    bpy.context.view_layer.update()
    for name, turn in zip(JOINT_NAMES, wanted, strict=True):
        assert other.pose.bones[name].matrix.to_quaternion().rotation_difference(turn).angle < 1e-3
    place = other.pose.bones["pelvis"].head - other.data.bones["pelvis"].head_local
    assert np.abs(np.array(place) - [0, height, 0]).max() < 1e-5


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
