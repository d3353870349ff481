# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a photo's camera and people stand, which way is up there, and correcting it by hand."""

import bpy
import numpy as np
import pytest
from blender_helpers import evaluated_vertices
from mathutils import Matrix

from refit_blender.panels_upright import up_note
from refit_blender.scene import body as bodies
from refit_blender.scene import cameras, placement, reconstructions, upright
from refit_blender.scene.keying import curves_of

TILTED = placement.up_of(np.radians(-20), np.radians(7))


@pytest.fixture
def tilted(install_fake):
    """An engine that says that the camera looks down by 20° and is rolled by 7°."""

    def install(**result):
        fake = install_fake(**result)
        arrays = fake.result
        heights = -(arrays["vertices_cam"] @ TILTED).min(axis=1)
        arrays |= {"up_cam": TILTED, "camera_height": np.array(heights.max()), "up_source": np.array("lines")}
        arrays |= {"up_sure": np.array(True), "up_std_deg": np.array(2.0), "on_floor": heights > heights.max() - 0.05}
        np.savez(fake.folder / "result.npz", **arrays)
        return fake

    return install


def press(photo, **settings):
    """Press Reconstruct; the latest reconstruction."""
    for name, value in {"image_path": str(photo), **settings}.items():
        setattr(bpy.context.scene.refit, name, value)
    assert bpy.ops.refit.reconstruct() == {"FINISHED"}
    return reconstructions.in_scene(bpy.context.scene)[0]


def skins(known) -> list[np.ndarray]:
    return [evaluated_vertices(bodies.body_mesh(rig)) for rig in known.bodies.values()]


def pixels(known) -> np.ndarray:
    """What the camera sees of the bodies' vertices."""
    scene = bpy.context.scene
    bpy.context.view_layer.update()
    R, t = cameras.extrinsics(np.array(known.camera.matrix_world))
    K = cameras.intrinsics(cameras.lens_of(known.camera, scene), cameras.frame_of(scene))
    seen = (np.concatenate(skins(known)) @ R.T + t) @ K.T
    return seen[:, :2] / seen[:, 2:]


@pytest.mark.parametrize("unit", [1.0, 0.01])
def test_first_person_stands_at_the_cursor(photo, tilted, unit):
    scene = bpy.context.scene
    scene.unit_settings.scale_length = unit
    scene.cursor.location = np.array([2.0, -3.0, 0.5]) / unit
    tilted(people=2)
    known = press(photo)
    first, second = known.bodies.values()
    pelvis = np.array(first.matrix_world @ first.pose.bones["pelvis"].head) * unit
    np.testing.assert_allclose(pelvis[:2], [2, -3], atol=1e-4)
    np.testing.assert_allclose(np.array(first.matrix_world.translation) * unit, [2, -3, 0.5], atol=1e-4)
    assert second.matrix_world.translation.z * unit == pytest.approx(0.5, abs=1e-5)
    assert min(skin[:, 2].min() for skin in skins(known)) * unit == pytest.approx(0.5, abs=1e-4)


def test_camera_stands_as_the_photo_says_and_looks_along_y(photo, tilted):
    tilted()
    known = press(photo)
    R, _ = cameras.extrinsics(np.array(known.camera.matrix_world))
    np.testing.assert_allclose(R @ [0, 0, 1], TILTED, atol=1e-6)
    ahead = R[2]
    assert ahead[0] == pytest.approx(0, abs=1e-6) and ahead[1] > 0.9
    assert np.degrees([known.collection.refit.pitch, known.collection.refit.roll]) == pytest.approx([-20, 7], abs=1e-4)


@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (-30, 12), (45, -170), (-89.9, 5), (10, 95)])
def test_pitch_and_roll_say_which_way_is_up(pitch, roll):
    up = placement.up_of(np.radians(pitch), np.radians(roll))
    assert np.degrees(placement.angles_of(up)) == pytest.approx([pitch, roll], abs=1e-6)
    R = placement.level_axes(up)
    np.testing.assert_allclose(R @ up, [0, 0, 1], atol=1e-9)
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-9)
    assert np.degrees(np.arcsin((R @ [0, 0, 1])[2])) == pytest.approx(pitch, abs=1e-6)


def test_heading_is_that_of_the_camera():
    up = placement.up_of(-0.4, 0.1)
    place = placement.standing_camera(up, 1.5, np.array([0.2, 0.1, 4.0]), np.array([1.0, 2.0, 0.3]), heading=0.8)
    assert placement.heading_of(place, up) == pytest.approx(0.8)
    assert place[2, 3] == pytest.approx(1.8)
    np.testing.assert_allclose((place @ [0.2, 0.1, 4.0, 1])[:2], [1, 2], atol=1e-9)


def test_photo_from_straight_above(photo, install_fake):
    fake = install_fake()
    height = -(fake.result["vertices_cam"] @ [0, 0, -1]).min()
    down = {"up_cam": np.array([0.0, 0, -1]), "camera_height": np.array(height)}
    np.savez(fake.folder / "result.npz", **{**fake.result, **down})
    known = press(photo)
    assert not upright.set_by_hand(known)
    assert min(skin[:, 2].min() for skin in skins(known)) == pytest.approx(0, abs=1e-4)
    seen = pixels(known)
    known.collection.refit.pitch = np.radians(-70)
    np.testing.assert_allclose(pixels(known), seen, atol=0.02)


def test_given_camera_is_not_moved(photo, install_fake):
    install_fake()
    scene = bpy.context.scene
    camera = bpy.data.objects.new("cam", bpy.data.cameras.new("cam"))
    scene.collection.objects.link(camera)
    scene.camera, camera.location, camera.rotation_euler = camera, (3, -5, 2), (1.2, 0.1, 0.7)
    camera.data.background_images.new().image = bpy.data.images.load(str(photo))
    scene.cursor.location = (7, 7, 7)
    bpy.context.view_layer.update()
    before = camera.matrix_world.copy()
    known = press(photo, source="CAMERA")
    assert camera.matrix_world == before and not known.own_camera
    assert upright.obstacle(known)
    pitch = known.collection.refit.pitch
    known.collection.refit.pitch = pitch + 0.3
    assert known.collection.refit.pitch == pytest.approx(pitch) and camera.matrix_world == before


@pytest.mark.parametrize(("kind", "unit"), [("ANIMATION", 1.0), ("ANIMATION", 0.001), ("SMPL", 1.0)])
def test_pitch_and_roll_turn_everything_and_keep_overlay_and_floor(photo, tilted, kind, unit):
    scene = bpy.context.scene
    scene.unit_settings.scale_length = unit
    tilted(people=2)
    known = press(photo, rig=kind)
    seen, first = pixels(known), next(iter(known.bodies.values()))
    ground = first.matrix_world.translation.copy()
    known.collection.refit.pitch = np.radians(-11)
    known.collection.refit.roll = np.radians(2)
    np.testing.assert_allclose(pixels(known), seen, atol=0.02)
    R, _ = cameras.extrinsics(np.array(known.camera.matrix_world))
    np.testing.assert_allclose(R @ [0, 0, 1], placement.up_of(np.radians(-11), np.radians(2)), atol=1e-5)
    np.testing.assert_allclose(first.matrix_world.translation, ground, atol=1e-5 / unit)
    for rig in known.bodies.values():
        np.testing.assert_allclose(rig.rotation_euler, [np.pi / 2 if kind == "SMPL" else 0, 0, 0], atol=1e-6)
        assert rig.matrix_world.translation.z * unit == pytest.approx(0, abs=1e-5)
    touching = [skin for skin, rig in zip(skins(known), known.bodies.values(), strict=True) if rig["refit_on_floor"]]
    assert min(skin[:, 2].min() for skin in touching) * unit == pytest.approx(0, abs=1e-4)


def test_reset_brings_back_what_was_found(photo, tilted):
    tilted(people=2)
    known = press(photo)
    before = skins(known)
    assert "straight lines" in up_note(known) and "± 2°" in up_note(known) and not upright.set_by_hand(known)
    for pitch in (-5, 12, -40):
        known.collection.refit.pitch = np.radians(pitch)
    assert upright.set_by_hand(known) and "by hand" in up_note(known)
    assert np.abs(skins(known)[0] - before[0]).max() > 0.05
    assert bpy.ops.refit.reset_upright() == {"FINISHED"}
    for now, then in zip(skins(known), before, strict=True):
        np.testing.assert_allclose(now, then, atol=1e-4)
    assert not upright.set_by_hand(known) and not bpy.ops.refit.reset_upright.poll()


def test_guess_is_called_one(photo, install_fake):
    install_fake()
    assert up_note(press(photo)) == "Up is a guess by a camera that is held level. If the bodies lean, correct it here"


def test_things_moved_by_hand_turn_from_where_they_are(photo, tilted):
    tilted(people=2)
    known = press(photo)
    by_hand = Matrix.Translation((4, 5, 6)) @ Matrix.Rotation(1.1, 4, "Z")
    for moved in [known.camera, *known.bodies.values()]:
        moved.matrix_world = by_hand @ moved.matrix_world
    seen = pixels(known)
    lowest = min(skin[:, 2].min() for skin in skins(known))
    known.collection.refit.roll = 0.0
    np.testing.assert_allclose(pixels(known), seen, atol=0.02)
    R, _ = cameras.extrinsics(np.array(known.camera.matrix_world))
    np.testing.assert_allclose(R @ [0, 0, 1], placement.up_of(np.radians(-20), 0), atol=1e-5)
    assert min(skin[:, 2].min() for skin in skins(known)) == pytest.approx(lowest, abs=1e-4)


@pytest.mark.parametrize(("kind", "root_motion"), [("ANIMATION", True), ("ANIMATION", False), ("SMPL", True)])
def test_every_key_of_a_body_turns(photo, tilted, kind, root_motion):
    tilted()
    scene = bpy.context.scene
    known = press(photo, rig=kind, root_motion=root_motion)
    (rig,) = known.bodies.values()
    scene.frame_set(20)
    root = rig.pose.bones["pelvis"]
    root.location.x += 0.7
    root.keyframe_insert("location", frame=20)
    root.rotation_quaternion.rotate(Matrix.Rotation(0.5, 3, "Y"))
    root.keyframe_insert("rotation_quaternion", frame=20)
    seen = {}
    for frame in (1, 20):
        scene.frame_set(frame)
        seen[frame] = pixels(known)
    known.collection.refit.pitch = np.radians(3)
    for frame in (1, 20):
        scene.frame_set(frame)
        np.testing.assert_allclose(pixels(known), seen[frame], atol=0.05)


def test_sliders_are_kept_with_the_file(photo, tilted, tmp_path):
    tilted()
    known = press(photo)
    known.collection.refit.pitch = np.radians(-9)
    seen = pixels(known)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "kept.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "kept.blend"))
    (known,) = reconstructions.in_scene(bpy.context.scene)
    assert known.collection.refit.pitch == pytest.approx(np.radians(-9)) and upright.set_by_hand(known)
    known.collection.refit.pitch = np.radians(-2)
    np.testing.assert_allclose(pixels(known), seen, atol=0.02)


def test_animated_camera_is_not_turned(photo, tilted):
    tilted()
    known = press(photo)
    known.camera.keyframe_insert("location", frame=1)
    assert {curve.data_path for curve in curves_of(known.camera)} == {"location"}
    before = skins(known)[0]
    known.collection.refit.pitch = 0.0
    np.testing.assert_array_equal(skins(known)[0], before)
    assert "animated" in upright.obstacle(known) and np.degrees(known.collection.refit.pitch) == pytest.approx(-20)
