# SPDX-License-Identifier: GPL-3.0-or-later
"""A video becomes animated bodies: poses at frames, another rate, parts that are done again, gaps, undo, cameras."""

import struct
from pathlib import Path
from unittest.mock import MagicMock

import bpy
import numpy as np
import pytest
from blender_helpers import scene_state

from refit_blender import api, panels_cameras, session
from refit_blender.engine_job import Options
from refit_blender.errors import RefitError, ResultFileError, SourceError
from refit_blender.guesses import guessed_parts
from refit_blender.motion import Wanted
from refit_blender.motion_results import read_motion
from refit_blender.panels import guesses_note
from refit_blender.results import JOINT_NAMES, read_body
from refit_blender.scene import cameras
from refit_blender.scene.assemble_motion import frames_worth_a_look
from refit_blender.scene.frames import shown_number
from refit_blender.scene.guesses import guesses_of
from refit_blender.scene.images import camera_background
from refit_blender.scene.keying import curves_of
from refit_blender.scene.rigs import bone_names, joint_places

SAMPLE_VIDEO = Path(__file__).parents[2] / "docs" / "samples" / "walk.mp4"
BLENDER_TO_OPENCV = np.diag([1.0, -1, -1])


def joints_at(rig: bpy.types.Object, frame: float) -> np.ndarray:
    """Joints [24,3] in the world as Blender evaluates the rig at a frame."""
    whole = int(np.floor(frame))
    bpy.context.scene.frame_set(whole, subframe=frame - whole)
    return joint_places(rig)


def seen_by(camera: bpy.types.Object, points: np.ndarray) -> np.ndarray:
    """World points [N,3] in a camera's OpenCV frame."""
    matrix = np.array(camera.matrix_world)
    return (points - matrix[:3, 3]) @ matrix[:3, :3] @ BLENDER_TO_OPENCV


def quaternions(rig: bpy.types.Object, bone: str) -> np.ndarray:
    """The keys [K,4] of a bone's rotation."""
    path = f'pose.bones["{bone}"].rotation_quaternion'
    curves = sorted((one for one in curves_of(rig) if one.data_path == path), key=lambda one: one.array_index)
    return np.array([[key.co.y for key in curve.keyframe_points] for curve in curves]).T


KINDS = pytest.mark.parametrize(
    "bones",
    [Options(), Options(root_motion=False), Options(rig="smpl")],
    ids=["animation", "all on the pelvis", "smpl"],
)


def reconstruct(pictures: Path, **options):
    bpy.context.scene.render.fps = 30
    return api.reconstruct_motion(pictures, **options)


@KINDS
def test_the_pose_at_every_frame_is_the_engines(install_fake, pictures, bones):
    expected = install_fake().prepare_motion(pictures)
    finished = reconstruct(pictures, options=bones)
    (made,) = finished.outcome.bodies
    for instant in (0, 7, 15, 30):
        found = seen_by(finished.outcome.camera, joints_at(made.rig, 1 + instant))
        assert np.abs(found - expected["joints_world"][0, instant]).max() < 1e-4


def test_the_pose_is_right_in_a_scene_of_centimetres(install_fake, pictures):
    expected = install_fake().prepare_motion(pictures)
    settings = bpy.context.scene.unit_settings
    settings.system, settings.scale_length = "METRIC", 0.01
    finished = reconstruct(pictures)
    (made,) = finished.outcome.bodies
    found = 0.01 * seen_by(finished.outcome.camera, joints_at(made.rig, 12))
    assert np.abs(found - expected["joints_world"][0, 11]).max() < 1e-4


def test_every_body_has_one_action_with_keys_at_whole_frames_and_steady_signs(install_fake, pictures):
    install_fake().prepare_motion(pictures, people=2, largest=6.0)
    finished = reconstruct(pictures)
    assert len(bpy.data.actions) == 2
    for made in finished.outcome.bodies:
        for name in ("root", *bone_names(made.rig)):
            keys = quaternions(made.rig, name)
            assert keys.shape == (31, 4)
            assert (np.abs(np.linalg.norm(keys, axis=1) - 1) < 1e-5).all()
            assert ((keys[1:] * keys[:-1]).sum(axis=1) > 0.9).all()
        assert all(key.co.x == int(key.co.x) for curve in curves_of(made.rig) for key in curve.keyframe_points)
        assert {curve.data_path for curve in curves_of(made.rig)}.isdisjoint({"location", "rotation_euler"})
    betas = [made.rig["refit_betas"][:] for made in finished.outcome.bodies]
    assert betas[0] != betas[1]


def test_a_scene_in_which_nothing_moves_takes_the_videos_rate_and_range(install_fake, pictures):
    install_fake().prepare_motion(pictures, rate=29.97, instants=20, first=5)
    api.reconstruct_motion(pictures, start=101)
    scene = bpy.context.scene
    assert scene.render.fps / scene.render.fps_base == pytest.approx(29.97)
    assert (scene.frame_start, scene.frame_end, scene.frame_current) == (106, 125, 106)


def test_a_scene_with_another_rate_gets_keys_at_its_own_frames(install_fake, pictures):
    expected = install_fake().prepare_motion(pictures, rate=30.0)
    scene = bpy.context.scene
    scene.render.fps = 24
    cube = bpy.data.objects.new("moves", None)
    scene.collection.objects.link(cube)
    cube.keyframe_insert("location", frame=1)
    finished = api.reconstruct_motion(pictures)
    assert scene.render.fps == 24
    assert finished.outcome.frames == (1, 25)
    (made,) = finished.outcome.bodies
    # Frame 3 is 2/24 s, which lies between instants 2 and 3; everything turns evenly, so that slerp is exact.
    between = expected["transl"][0, 2:4].mean(axis=0) + expected["joints_world"][0, 0, 0] - expected["transl"][0, 0]
    assert np.abs(seen_by(finished.outcome.camera, joints_at(made.rig, 3))[0] - between).max() < 1e-4
    angle = 2 * np.arccos(np.abs((quaternions(made.rig, "shin.L")[1:] * quaternions(made.rig, "shin.L")[:-1]).sum(1)))
    assert np.ptp(angle) < 1e-3
    assert angle.mean() > 0.005


@KINDS
def test_a_part_that_is_done_again_replaces_these_frames_and_goes_over_into_the_others(install_fake, pictures, bones):
    engine = install_fake()
    engine.prepare_motion(pictures)
    first = reconstruct(pictures, options=bones)
    (made,) = first.outcome.bodies
    before = {frame: joints_at(made.rig, frame) for frame in (1, 9, 10, 11, 25, 31)}
    shapes = [made.rig["refit_betas"][:]]
    expected = engine.prepare_motion(pictures, instants=12, first=10, seed=8, place=0.2, shapes=shapes)
    again = reconstruct(pictures, wanted=Wanted(10, 21), update=True, options=bones)
    assert engine.request()["frames"] == "10:22:1"
    assert engine.request()["videos"][0]["focal"] == 70.0
    assert engine.request()["betas"] == pytest.approx(list(made.rig["refit_betas"][:]))
    assert len(bpy.data.objects) == 3
    assert again.outcome.bodies[0].rig == made.rig
    for frame in (1, 9, 10, 25, 31):
        assert np.abs(joints_at(made.rig, frame) - before[frame]).max() < 1e-5
    camera = first.outcome.camera
    pelvis = seen_by(camera, joints_at(made.rig, 17))[0]
    assert np.abs(pelvis - expected["joints_world"][0, 6, 0]).max() < 1e-4
    edge = seen_by(camera, joints_at(made.rig, 11))[0]  # the first frame of the part: mostly the old motion
    old = seen_by(camera, before[11])[0]
    new = expected["joints_world"][0, 0, 0]
    assert np.abs(edge - (5 * old + new) / 6).max() < 1e-4
    assert np.linalg.norm(new - old) > 0.05
    for name in bone_names(made.rig):
        keys = quaternions(made.rig, name)
        assert keys.shape == (31, 4)
        assert ((keys[1:] * keys[:-1]).sum(axis=1) > 0).all()


def test_the_other_of_two_people_keeps_the_motion_when_one_is_followed_again(install_fake, pictures):
    engine = install_fake()
    engine.prepare_motion(pictures, people=2)
    first = reconstruct(pictures)
    rigs = [made.rig for made in first.outcome.bodies]
    kept = joints_at(rigs[0], 15)
    engine.prepare_motion(pictures, people=1, place=3.1, seed=2)
    again = reconstruct(pictures, update=True, options=Options(boxes=[[1, 2, 30, 40]]))
    assert [made.rig for made in again.outcome.bodies] == [rigs[1]]
    assert np.abs(joints_at(rigs[0], 15) - kept).max() < 1e-5
    assert engine.request()["bbox_xywh"] == [1, 2, 30, 40]


def test_bodies_that_keep_their_shape_lie_over_the_picture_when_a_part_is_done_again(install_fake, pictures):
    engine = install_fake()
    engine.prepare_motion(pictures, people=2)
    first = reconstruct(pictures)
    rigs = [made.rig for made in first.outcome.bodies]
    body = read_body(Path(rigs[0]["refit_body_file"]))
    expected = engine.prepare_motion(pictures, people=2, instants=12, first=10, seed=8)
    reconstruct(pictures, wanted=Wanted(10, 21), update=True)
    for rig, betas, joints in zip(rigs, expected["betas"], expected["joints_world"], strict=True):
        sizes = [np.ptp(body.vertices(shape)[:, 1]) for shape in (np.array(rig["refit_betas"][:]), betas)]
        assert abs(sizes[0] / sizes[1] - 1) > 0.001
        pelvis = seen_by(first.outcome.camera, joints_at(rig, 17))[0]
        assert np.abs(pelvis - sizes[0] / sizes[1] * joints[6, 0]).max() < 1e-4


def test_somebody_who_is_away_is_hidden_and_filled_frames_are_marked(install_fake, pictures):
    install_fake().prepare_motion(pictures, absent=range(10), filled=(20, 21))
    finished = reconstruct(pictures)
    (made,) = finished.outcome.bodies
    scene = bpy.context.scene
    found = []
    for frame in (1, 10, 11, 21, 23):
        scene.frame_set(frame)
        found.append((made.mesh.hide_viewport, made.mesh.hide_render, made.rig["refit_state"]))
    assert found == [(True, True, 0), (True, True, 0), (False, False, 1), (False, False, 2), (False, False, 1)]
    location = next(curve for curve in curves_of(made.rig) if curve.data_path.endswith("location"))
    marked = [key.co.x for key in location.keyframe_points if key.type == "BREAKDOWN"]
    assert marked == [21, 22]
    assert location.range()[0] == 11


def test_nothing_is_said_of_guesses_where_nobody_is_there(install_fake, pictures):
    install_fake().prepare_motion(pictures, absent=range(25, 31))
    (made,) = reconstruct(pictures).outcome.bodies
    made.rig["refit_guessed"] = [1] * 24
    curves = [curve for curve in curves_of(made.rig) if "refit_guessed" in curve.data_path]
    for curve in curves:
        for key in curve.keyframe_points:
            key.co.y = 1
    bpy.context.scene.frame_set(20)
    assert "both arms, both legs" in guesses_note(made.rig)
    bpy.context.scene.frame_set(30)
    assert guesses_note(made.rig) == ""


def test_feet_that_stand_are_keyed_with_steps(install_fake, pictures):
    expected = install_fake().prepare_motion(pictures, absent=range(20, 24))["contacts"][0] > 0.5
    (made,) = reconstruct(pictures).outcome.bodies
    for side, name in enumerate(("refit_contact_left", "refit_contact_right")):
        (curve,) = (one for one in curves_of(made.rig) if one.data_path == f'["{name}"]')
        assert {key.interpolation for key in curve.keyframe_points} == {"CONSTANT"}
        for instant in range(31):
            bpy.context.scene.frame_set(instant + 1)
            assert made.rig[name] == (expected[instant, side] and not 20 <= instant < 24)


def test_guessed_limbs_are_named_at_every_frame(install_fake, pictures):
    fake = install_fake()
    arrays = fake.prepare_motion(pictures, filled=range(20, 22))
    arrays["guessed"][0, 10:15, [4, 7, 10]] = True  # from the left knee on
    arrays["guessed"][0, 20:22] = True
    np.savez(fake.folder / "motion.npz", **arrays)
    (made,) = reconstruct(pictures).outcome.bodies
    named = []
    for frame in (1, 10, 11, 15, 16, 21, 23):
        bpy.context.scene.frame_set(frame)
        named.append(guessed_parts(guesses_of(made.rig)))
    assert named == ["", "", "left leg", "left leg", "", "head, both arms, both legs, hips", ""]
    assert all(len(curve.keyframe_points) == 5 for curve in curves_of(made.rig) if "refit_guessed" in curve.data_path)


def test_limbs_that_are_guessed_in_a_part_that_is_done_again_stay_known_beside_it(install_fake, pictures):
    fake = install_fake()
    arrays = fake.prepare_motion(pictures)
    arrays["guessed"][0, 15:25, [4, 7, 10]] = True  # from the left knee on
    np.savez(fake.folder / "motion.npz", **arrays)
    (made,) = reconstruct(pictures).outcome.bodies
    arrays = fake.prepare_motion(pictures, instants=12, first=10)
    arrays["guessed"][0, :, [19, 21, 23]] = True  # from the right elbow on
    np.savez(fake.folder / "motion.npz", **arrays)
    reconstruct(pictures, wanted=Wanted(10, 21), update=True)
    named = []
    for frame in (1, 10, 11, 22, 23, 25, 26, 31):
        bpy.context.scene.frame_set(frame)
        named.append(guessed_parts(guesses_of(made.rig)))
    assert named == ["", "", "right arm", "right arm", "left leg", "left leg", "", ""]


def test_uncertainty_is_keyed_and_names_the_frames_that_deserve_a_look(install_fake, pictures):
    expected = install_fake().prepare_motion(pictures)
    (made,) = reconstruct(pictures).outcome.bodies
    bpy.context.scene.frame_set(16)
    assert np.allclose(made.rig["refit_joint_std_mm"][:], expected["joint_std_mm"][0, 15], rtol=1e-4)
    frame, millimetres, joint = frames_worth_a_look(made.rig)[0]
    assert (frame, JOINT_NAMES[joint]) == (16, "right_knee")
    assert millimetres == pytest.approx(np.sqrt((expected["joint_std_mm"][0, 15, 1:] ** 2).mean()), rel=1e-4)
    assert bpy.ops.refit.jump_to_frame(frame=7) == {"FINISHED"}
    assert bpy.context.scene.frame_current == 7


def test_the_video_lies_behind_the_camera_in_step(install_fake, pictures):
    install_fake().prepare_motion(pictures)
    camera = reconstruct(pictures, start=5).outcome.camera
    (background,) = camera.data.background_images
    assert (background.image.source, Path(background.image.filepath)) == ("SEQUENCE", pictures)
    user = background.image_user
    assert (user.frame_start, user.frame_offset, user.frame_duration) == (5, 0, 40)
    assert camera == bpy.context.scene.camera


def test_the_button_takes_the_panels_range_and_one_undo_takes_all_away(install_fake, pictures):
    engine = install_fake()
    engine.prepare_motion(pictures, instants=10, first=4)
    scene = bpy.context.scene
    scene.render.fps = 30
    scene.refit.image_path = str(pictures)
    scene.refit.motion_frames = "SCENE"
    scene.use_preview_range, scene.frame_preview_start, scene.frame_preview_end = True, 5, 14
    bpy.ops.ed.undo_push()
    before = scene_state()
    assert bpy.ops.refit.reconstruct_motion() == {"FINISHED"}
    assert engine.request()["frames"] == "4:14:1"
    assert session.state.report.startswith("1 body moving from frame 5 to 14, from walk_001.png")
    bpy.ops.ed.undo_push()
    bpy.ops.ed.undo()
    assert scene_state() == before


@pytest.mark.parametrize("behaviour", ["crash", "fail:NoPersonFound:Nobody was found.", "damaged_result"])
def test_a_failed_job_leaves_the_scene_as_it_was(install_fake, pictures, behaviour):
    install_fake(behaviour).prepare_motion(pictures)
    scene = bpy.context.scene
    before, rate = scene_state(), scene.render.fps
    with pytest.raises(RefitError):
        api.reconstruct_motion(pictures)
    assert (scene_state(), scene.render.fps) == (before, rate)


@pytest.fixture
def walking_camera(pictures):
    """A keyed camera with the sequence behind it: file 1 at frame 11."""
    camera = bpy.data.objects.new("keyed", bpy.data.cameras.new("keyed"))
    scene = bpy.context.scene
    scene.collection.objects.link(camera)
    scene.camera = camera
    for frame, x in ((11, 0.0), (41, 3.0)):
        camera.location, camera.rotation_euler = (x, -4, 1), (1.5, 0, 0.1 * x)
        camera.keyframe_insert("location", frame=frame)
        camera.keyframe_insert("rotation_euler", frame=frame)
    background = camera.data.background_images.new()
    background.image = bpy.data.images.load(str(pictures))
    background.image.source = "SEQUENCE"
    user = background.image_user
    user.frame_start, user.frame_offset, user.frame_duration = 11, 0, 40
    scene.render.resolution_x, scene.render.resolution_y = 640, 480
    return camera


def test_a_keyed_camera_is_read_at_every_frame_and_stays_as_it_is(install_fake, pictures, walking_camera):
    engine = install_fake()
    expected = engine.prepare_motion(pictures, names=("keyed",), world="scene", instants=21, first=5)
    scene = bpy.context.scene
    scene.frame_set(3)
    finished = api.fit_motion_from_cameras(["keyed"], span=(16, 36))
    request = engine.request()
    assert request["frames"] == "5:26:1"
    (video,) = request["videos"]
    assert (video["video"], video["rate"]) == (str(pictures), scene.render.fps)
    R, t = np.array(video["R_world2cam"]), np.array(video["t_world2cam"])
    assert R.shape == (21, 3, 3)
    assert t.shape == (21, 3)
    assert np.shape(video["K"]) == (3, 3)  # the lens does not change
    for row, frame in ((0, 16), (20, 36)):
        scene.frame_set(frame)
        assert np.abs(-R[row].T @ t[row] - np.array(walking_camera.matrix_world.translation)).max() < 1e-5
    (made,) = finished.outcome.bodies
    assert finished.outcome.frames == (16, 36)
    for instant in (0, 13, 20):
        assert np.abs(joints_at(made.rig, 16 + instant) - expected["joints_world"][0, instant]).max() < 1e-4
    assert len(bpy.data.cameras) == 1
    assert finished.outcome.camera == walking_camera


def test_still_cameras_are_read_once_and_say_how_far_their_clocks_differ(install_fake, pictures, walking_camera):
    engine = install_fake()
    engine.prepare_motion(pictures, names=("keyed", "other"), world="scene", instants=40)
    walking_camera.animation_data_clear()
    other = walking_camera.copy()
    other.name = "other"
    other.data = walking_camera.data.copy()
    bpy.context.scene.collection.objects.link(other)
    other.data.background_images[0].image_user.frame_start = 8
    api.fit_motion_from_cameras()
    videos = engine.request()["videos"]
    assert [np.shape(video["R_world2cam"]) for video in videos] == [(3, 3), (3, 3)]
    assert [video["offset"] for video in videos] == pytest.approx([0.0, 3 / bpy.context.scene.render.fps])
    walking_camera.data.refit.delay, other.data.refit.delay = 0.25, 0.262  # 12 ms after the first one
    api.fit_motion_from_cameras()
    videos = engine.request()["videos"]
    assert [video["offset"] for video in videos] == pytest.approx([0.0, 3 / bpy.context.scene.render.fps - 0.012])


def test_the_panel_has_the_delay_of_each_camera_where_all_have_videos(install_fake, walking_camera):
    install_fake()
    other = walking_camera.copy()
    other.data = walking_camera.data.copy()
    bpy.context.scene.collection.objects.link(other)
    bpy.context.scene.refit.source = "CAMERAS"

    def drawn():
        layout = MagicMock()
        panels_cameras.draw_cameras(layout, bpy.context)
        calls = layout.box.return_value.column.return_value.prop.call_args_list
        return [(call.args[0].id_data, call.args[1]) for call in calls]

    assert sorted(drawn(), key=lambda one: one[0].name) == [(walking_camera.data, "delay"), (other.data, "delay")]
    image = other.data.background_images[0].image = bpy.data.images.new("still", 64, 48)
    assert image.source == "GENERATED"
    assert drawn() == []


def test_a_still_behind_the_camera_is_named(install_fake, pictures, walking_camera):
    install_fake()
    walking_camera.data.background_images[0].image.source = "FILE"
    with pytest.raises(SourceError, match="does not move"):
        api.fit_motion_from_cameras(["keyed"])


def test_frames_that_the_video_does_not_have_are_named(install_fake, walking_camera):
    install_fake()
    with pytest.raises(SourceError, match="shows nothing from frame 60 to 70"):
        api.fit_motion_from_cameras(["keyed"], span=(60, 70))


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("rotmats", 2.0, "no rotations"),
        ("times", 0.0, "does not rise"),
        ("state", 3, "not from 0 to 2"),
        ("joint_std_mm", -1.0, "no sensible numbers"),
        ("contacts", 1.5, "no sensible numbers"),
        ("frame_rate", 0.0, "frames a second"),
    ],
)
def test_wrong_numbers_in_the_file_are_named(install_fake, pictures, tmp_path, name, value, what):
    arrays = install_fake().prepare_motion(pictures)
    arrays[name] = np.full_like(arrays[name], value)
    np.savez(tmp_path / "motion.npz", **arrays)
    with pytest.raises(ResultFileError, match=what):
        read_motion(tmp_path / "motion.npz")


def test_bone_colours_follow_the_frames(install_fake, pictures):
    expected = install_fake().prepare_motion(pictures)
    (made,) = reconstruct(pictures).outcome.bodies
    scene, knee = bpy.context.scene, made.rig.data.bones["shin.R"]
    surest = 1 + int(np.argmin(expected["joint_std_mm"][0, :, JOINT_NAMES.index("right_knee")]))
    scene.frame_set(surest)
    assert bpy.ops.refit.confidence_colors(measure="POSITION") == {"FINISHED"}
    for frame, is_sure in ((surest, True), (16, False), (surest, True)):
        scene.frame_set(frame)
        red, green, _ = knee.color.custom.normal
        assert (green > red) == is_sure


def test_a_movie_of_another_rate_is_shown_in_step(install_fake):
    engine = install_fake()
    engine.prepare_motion(SAMPLE_VIDEO, size=(744, 680))
    scene = bpy.context.scene
    scene.render.fps = 60
    other = bpy.data.objects.new("moves", None)
    scene.collection.objects.link(other)
    other.keyframe_insert("location", frame=1)
    finished = api.reconstruct_motion(SAMPLE_VIDEO)
    assert finished.outcome.frames == (1, 61)
    (background,) = finished.outcome.camera.data.background_images
    assert (background.image.source, background.image.size[:]) == ("MOVIE", (744, 680))
    shown = []
    for frame in (1, 3, 21, 61):
        scene.frame_set(frame)
        shown.append(shown_number(background.image_user, frame))
    assert shown == [1, 2, 11, 31]


def test_a_movie_says_its_rate_so_that_a_range_of_the_scene_is_found_in_it(install_fake):
    engine = install_fake()
    engine.prepare_motion(SAMPLE_VIDEO, instants=10, first=20)
    api.reconstruct_motion(SAMPLE_VIDEO, wanted=Wanted(20, 29))
    scene = bpy.context.scene
    assert scene.render.fps == 30
    scene.refit.image_path, scene.refit.motion_frames = str(SAMPLE_VIDEO), "SCENE"
    scene.render.fps = 60
    scene.frame_start, scene.frame_end = 41, 60
    box = scene.refit.boxes.add()
    box.left, box.top, box.width, box.height = 100, 200, 50, 150
    scene.refit.people = "BOX"
    scene.frame_set(51)
    assert bpy.ops.refit.reconstruct_motion() == {"FINISHED"}
    request = engine.request()
    assert (request["frames"], request["bbox_xywh"], request["bbox_frame"]) == ("20:31:1", [100, 200, 50, 150], 25)


def test_a_video_that_is_stored_lying_stands_upright_behind_its_camera(install_fake, tmp_path):
    movie = tmp_path / "phone.mp4"
    content = bytearray(SAMPLE_VIDEO.read_bytes())
    matrix = content.index(b"tkhd") + 44
    content[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)  # clockwise
    movie.write_bytes(content)
    install_fake().prepare_motion(movie, size=(680, 744), turns=1)
    camera = api.reconstruct_motion(movie).outcome.camera
    scene = bpy.context.scene
    assert (scene.render.resolution_x, scene.render.resolution_y) == (680, 744)
    background = camera_background(camera)
    width, height = background.picture.size
    lens, frame = cameras.lens_of(camera, scene), cameras.frame_of(scene)
    seen = cameras.image_camera(lens, frame, background.placement, width, height)
    for u, v in ((0.0, 0.0), (100, 600), (680, 744)):
        place = seen.K @ seen.turn @ np.linalg.inv(cameras.intrinsics(lens, frame)) @ [u, v, 1.0]
        stored = (u, v) if (width, height) == (680, 744) else (v, 680 - u)
        assert place[:2] / place[2] == pytest.approx(stored, abs=0.01)


def test_a_video_of_one_frame_between_two_of_the_scenes_is_keyed_at_the_next(install_fake, pictures):
    install_fake().prepare_motion(pictures, instants=1, first=1, rate=30.0)
    scene = bpy.context.scene
    other = bpy.data.objects.new("moves", None)
    scene.collection.objects.link(other)
    other.keyframe_insert("location", frame=1)
    scene.render.fps = 24
    finished = api.reconstruct_motion(pictures)
    assert finished.outcome.frames == (2, 2)
    assert quaternions(finished.outcome.bodies[0].rig, "neck").shape == (1, 4)


@KINDS
def test_turning_upright_moves_the_whole_motion_with_the_camera(install_fake, pictures, bones):
    expected = install_fake().prepare_motion(pictures)
    outcome = reconstruct(pictures, options=bones).outcome
    (made,) = outcome.bodies
    before = np.array(outcome.camera.matrix_world)
    outcome.collection.refit.pitch += 0.2
    bpy.context.view_layer.update()
    assert np.abs(np.array(outcome.camera.matrix_world) - before).max() > 0.1
    for instant in (0, 20, 30):
        found = seen_by(outcome.camera, joints_at(made.rig, 1 + instant))
        assert np.abs(found - expected["joints_world"][0, instant]).max() < 1e-4


def test_the_root_bone_follows_the_body_over_the_floor(install_fake, pictures):
    install_fake().prepare_motion(pictures)
    (made,) = reconstruct(pictures).outcome.bodies
    scene, (root, pelvis) = bpy.context.scene, (made.rig.pose.bones[name] for name in ("root", "pelvis"))
    places = []
    for frame in (1, 16, 31):
        scene.frame_set(frame)
        assert root.matrix.translation.z == pytest.approx(0, abs=1e-6)
        np.testing.assert_allclose(root.head[:2], pelvis.head[:2], atol=1e-5)
        np.testing.assert_allclose(root.matrix.col[2][:3], [0, 0, 1], atol=1e-6)
        places.append(np.array(root.head))
    assert np.linalg.norm(places[2] - places[0]) > 0.1
