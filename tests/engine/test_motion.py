# SPDX-License-Identifier: GPL-3.0-or-later
"""From a video to motion.npz with the bundled network: movies are made of the sample photos, whose people stand still."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from engine_doubles import SAMPLES, sample_views, view_call
from refit_engine.body import SMPL_JOINT_NAMES
from refit_engine.camera import project
from refit_engine.cli import main
from refit_engine.errors import BodyFileError, Cancelled, ImageError, NoPersonFound, ViewsError, WeightsFileError
from refit_engine.evaluate_sequences import sequence_predictions
from refit_engine.fitting import FitOptions, Models
from refit_engine.fitting.motion import MotionFitter, MotionRequest, VideoRequest
from refit_engine.fitting.motion.output import Sheet, vertices_at, write_motion_output
from refit_engine.fitting.motion.request import nearest_frames, own_frames
from refit_engine.images import read_photo
from refit_engine.motion_params import motion_request, read_betas, read_videos
from refit_engine.motion_results import FILLED, SEEN, read_motion, write_motion
from refit_engine.moving_pictures import FrameRange, MovieWriter, open_footage
from refit_engine.protocol import Params, ProtocolError
from refit_engine.results import ResultFileError
from refit_engine.service import EngineService

FRAMES, RATE, SHIFT = 8, 25.0, 6
FOCAL = 800.0
LARGEST = FitOptions(people="largest")  # somebody else stands in the background


@pytest.fixture(scope="module")
def models():
    return Models()


def shifted(number):
    """The sample photo at half size, its content moved to the right by SHIFT pixels a frame."""
    pixels = cv2.resize(read_photo(SAMPLES / "balance.jpg").pixels, (540, 960), interpolation=cv2.INTER_AREA)
    return np.roll(pixels, number * SHIFT, axis=1)


@pytest.fixture(scope="module")
def movie(tmp_path_factory):
    path = tmp_path_factory.mktemp("movie") / "walk.mp4"
    with MovieWriter(path, (540, 960), RATE) as writer:
        for number in range(FRAMES):
            writer.write(shifted(number), number / RATE)
    return path


@pytest.fixture(scope="module")
def tracked(models, movie, tmp_path_factory):
    """The result of the command line, and its folder."""
    out = tmp_path_factory.mktemp("out")
    assert main(["track", str(movie), "--out", str(out), "--focal", str(FOCAL), "--people", "largest"]) == 0
    return read_motion(out / "motion.npz"), out


def test_somebody_who_glides_sideways_is_followed(tracked):
    motion, _ = tracked
    assert motion.people == 1
    assert motion.state.tolist() == [[SEEN] * FRAMES]
    np.testing.assert_allclose(motion.times, np.arange(FRAMES) / RATE, atol=1e-3)
    pelvis = motion.joints_world[0, :, 0]
    step = SHIFT * pelvis[:, 2].mean() / FOCAL
    np.testing.assert_allclose(np.diff(pelvis[:, 0]), step, atol=0.4 * step)
    assert np.ptp(pelvis[:, 1]) < 0.03
    assert np.ptp(pelvis[:, 2]) < 0.15
    assert motion.world == "camera"
    assert motion.up_world[1] < -0.9
    assert 0 < -motion.floor < 3 or np.isnan(motion.floor)


def test_joints_lie_in_the_boxes_and_have_deviations(tracked):
    motion, _ = tracked
    for instant in range(FRAMES):
        joints = project(motion.joints_world[0, instant, [1, 2, 16, 17]], motion.K[0, instant])
        x, y, w, h = motion.boxes_xywh[0, 0, instant]
        assert ((joints > (x, y)) & (joints < (x + w, y + h))).all()
    assert (motion.joint_std_mm[0, :, 1:] > 0).all()
    assert (motion.joint_std_mm[0, :, 0] < 1e-3).all()


def test_a_larger_body_farther_away_looks_the_same(models, movie):
    fitter = MotionFitter(models, LARGEST)
    observed = fitter.observe_videos(MotionRequest((VideoRequest(movie, focal=FOCAL),)))
    (person,) = fitter._people(observed)
    draft = fitter.draft(person, observed.views, observed.times)
    larger = draft.enlarged(1.1)
    assert larger.height() == pytest.approx(1.1 * draft.height(), abs=1e-4)
    before, after = (pixels_of(one, observed.views[0].intrinsics[0].K) for one in (draft, larger))
    assert np.abs(after - before).mean() < 2
    torch.testing.assert_close(larger.seen.depth, 1.1 * draft.seen.depth)
    again = fitter.solve(larger, None, observed.times)
    assert float(again.pelvis[:, 2].mean()) == pytest.approx(float(larger.track.pelvis[:, 2].mean()), rel=0.03)


def test_feet_that_no_picture_shows_do_not_stand(models, movie):
    fitter = MotionFitter(models, LARGEST)
    observed = fitter.observe_videos(MotionRequest((VideoRequest(movie, focal=FOCAL),)))
    (person,) = fitter._people(observed)
    draft, times = fitter.draft(person, observed.views, observed.times), torch.from_numpy(observed.times)
    guessed = np.zeros((FRAMES, 24), dtype=bool)
    guessed[:, SMPL_JOINT_NAMES.index("left_foot")] = True
    seen, hidden = draft.feet(times).stands, draft.feet(times, guessed).stands
    assert seen[:, :3].sum() > 0
    assert hidden[:, :3].sum() == 0
    torch.testing.assert_close(hidden[:, 3:], seen[:, 3:])


def pixels_of(draft, K):
    """The landmarks [F,33,2] of a draft's body in the picture."""
    posed = draft.body.pose(draft.betas.expand(len(draft.motion.pelvis), -1), draft.motion.rotmats)
    points = posed.points - posed.joints[:, :1] + draft.motion.pelvis[:, None]
    return project(points.numpy().reshape(-1, 3), K).reshape(len(points), -1, 2)


def test_the_overlay_has_every_frame(tracked):
    _, out = tracked
    overlay = open_footage(out / "overlay.mp4")
    assert overlay.footage.count == FRAMES
    drawn = [pixels for _, pixels in overlay.read(range(FRAMES))]
    changed = np.abs(drawn[3].astype(int) - shifted(3)).max(axis=2) > 60
    assert 0.02 < changed.mean() < 0.4
    assert sorted(path.name for path in out.iterdir()) == ["motion.npz", "overlay.mp4"]


def test_a_pan_over_somebody_who_stands_leaves_the_body_still(models, movie):
    K = np.tile([[FOCAL, 0, 270], [0, FOCAL, 480], [0, 0, 1.0]], (FRAMES, 1, 1))
    K[:, 0, 2] += SHIFT * np.arange(FRAMES)
    video = VideoRequest(movie, K=K, R=np.diag([1.0, 1, 1]), t=np.zeros(3))
    motion, _ = MotionFitter(models, LARGEST, "cpu").track(MotionRequest((video,)))
    assert motion.world == "scene"
    moved = np.linalg.norm(motion.joints_world[0] - motion.joints_world[0, :1], axis=-1)
    assert np.median(moved) < 0.015
    assert moved.max() < 0.08


def test_a_scene_five_kilometres_from_the_origin_is_as_exact_as_one_there(models, movie, tmp_path):
    K = np.array([[FOCAL, 0, 270], [0, FOCAL, 480], [0, 0, 1.0]])

    def track(place):
        video = VideoRequest(movie, K=K, R=np.eye(3), t=-place)
        motion, _ = MotionFitter(models, LARGEST, "cpu").track(MotionRequest((video,), FrameRange(0, 3)))
        write_motion(tmp_path / "motion.npz", motion)
        return read_motion(tmp_path / "motion.npz")

    far = np.array([5000.0, -3000.0, 20.0])
    near, away = track(np.zeros(3)), track(far)
    np.testing.assert_allclose(away.transl - far, near.transl, atol=1e-5)
    np.testing.assert_allclose(away.joints_world - far, near.joints_world, atol=1e-5)
    body = models.body(None, "neutral", torch.device("cpu"))
    np.testing.assert_allclose(vertices_at(away, 1, body) - far, vertices_at(near, 1, body), atol=1e-5)


def test_frames_that_cannot_be_read_are_filled_and_named(models, tmp_path):
    for number in (0, 1, 2, 5, 6):
        cv2.imwrite(str(tmp_path / f"shot_{number}.png"), shifted(number)[..., ::-1])
    fitter = MotionFitter(models, LARGEST, "cpu")
    motion, _ = fitter.track(MotionRequest((VideoRequest(tmp_path, rate=RATE, focal=FOCAL),)))
    assert motion.readable.tolist() == [[True] * 3 + [False] * 2 + [True] * 2]
    assert motion.state.tolist() == [[SEEN] * 3 + [FILLED] * 2 + [SEEN] * 2]
    assert fitter.messages == [f"2 frames of {tmp_path.name} cannot be read and are filled in: 3, 4."]
    steps = np.linalg.norm(np.diff(motion.joints_world[0, :, 0], axis=0), axis=1)
    assert steps.max() < 3 * np.median(steps)


def test_several_calibrated_videos_give_one_person_in_the_scene(models, tmp_path):
    videos = []
    for view in sample_views():
        folder = tmp_path / view.name
        folder.mkdir()
        for number in range(2):
            shutil.copy(view.image, folder / f"{number}.jpg")
        call = view_call(view)
        videos.append(
            {"name": view.name, "video": view.name} | {key: call[key] for key in call if key not in ("name", "image")}
        )
    (tmp_path / "views.json").write_text(json.dumps(videos))
    request = MotionRequest(read_videos(tmp_path / "views.json"))
    fitter = MotionFitter(models, LARGEST, "cpu")
    motion, views = fitter.track(request)
    assert motion.people == 1
    assert motion.seen.all()
    for view in range(4):
        seen = motion.joints_world[0, 0] @ motion.R_world2cam[view, 0].T + motion.t_world2cam[view, 0]
        joints = project(seen[[1, 2, 16, 17]], motion.K[view, 0])
        x, y, w, h = motion.boxes_xywh[0, view, 0]
        assert ((joints > (x, y)) & (joints < (x + w, y + h))).all()
    assert motion.up_world.tolist() == [0, 0, 1]
    assert np.abs(motion.betas[0]).max() < 1.5  # a slim man
    views[3] = replace(views[3], frames=np.array([0, -1]))
    written = write_motion_output(tmp_path / "out", motion, views, fitter.subject().result_body, overlay=True)
    (overlay,) = written.overlays
    (_, first), (_, second) = open_footage(overlay).read(range(2))
    sheet = Sheet.of([view.pictures.footage.size for view in views])
    assert first.shape[1::-1] == sheet.size
    for number, view in enumerate(views):
        shown = sheet.part(first, number).astype(int)
        photo = cv2.resize(next(view.read()), shown.shape[1::-1], interpolation=cv2.INTER_AREA)
        assert 0.01 < (np.abs(shown - photo).max(axis=2) > 60).mean() < 0.5
        assert np.abs(shown - sheet.part(second, number)).mean() < 3


def test_views_stand_where_they_are_seen_largest():
    for sizes, columns, cell in (
        ([(1920, 1080)] * 4, 2, (960, 540)),
        ([(1080, 1920)] * 3, 3, (608, 1080)),
        ([(640, 480), (320, 480)], 2, (640, 480)),
        ([(1000, 400), (1000, 400)], 1, (1000, 400)),
        ([(4000, 1000)], 1, (1280, 320)),
    ):
        sheet = Sheet.of(sizes)
        assert (sheet.columns, sheet.cell) == (columns, cell)
    picture = np.zeros((800, 1000, 3), np.uint8)
    Sheet.of([(1000, 400), (600, 400)]).part(picture, 1)[:] = 1
    assert np.flatnonzero(picture.any(axis=(0, 2))).tolist() == list(range(200, 800))
    assert np.flatnonzero(picture.any(axis=(1, 2))).tolist() == list(range(400, 800))


def test_one_person_is_chosen_by_a_box(models, movie):
    frames = FrameRange(0, 3)
    box = np.array([371.0, 250.0, 61.0, 197.0])
    motion, _ = MotionFitter(models, FitOptions(), "cpu").track(MotionRequest((VideoRequest(movie),), frames, box, 1))
    assert motion.people == 1
    np.testing.assert_allclose(motion.boxes_xywh[0, 0, 1], box, atol=20)
    with pytest.raises(ImageError, match="frame 7"):
        MotionFitter(models, FitOptions(), "cpu").track(MotionRequest((VideoRequest(movie),), frames, box, 7))


def test_a_video_without_people_says_so(models, tmp_path):
    for number in range(2):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((120, 160, 3), 90, np.uint8))
    with pytest.raises(NoPersonFound):
        MotionFitter(models, FitOptions(), "cpu").track(MotionRequest((VideoRequest(tmp_path),)))


def test_the_service_tracks_tells_progress_and_can_be_cancelled(models, movie, tmp_path):
    told = []

    def progress(stage, done, total, message=""):
        told.append((stage, done, total))
        if stage == "solve":
            raise Cancelled("Cancelled.")

    params = {
        "videos": [{"video": str(movie), "focal": FOCAL}],
        "frames": ":3",
        "people": "largest",
        "job_folder": str(tmp_path / "job"),
    }
    with pytest.raises(Cancelled):
        EngineService(models).track(params, SimpleNamespace(progress=progress))
    assert ("observe", 2, 3) in told
    assert not (tmp_path / "job").exists()
    answer = EngineService(models).track(params, SimpleNamespace(progress=lambda *_: None))
    assert answer["people"] == 1
    assert answer["overlays"] == []
    assert read_motion(tmp_path / "job" / "motion.npz").frames.tolist() == [[0, 1, 2]]


def test_a_known_shape_is_kept(models, movie, tmp_path):
    betas = np.array([1.5, -0.5, 0, 0, 0, 0, 0, 0, 0, 0])
    (tmp_path / "betas.json").write_text(json.dumps(betas.tolist()))
    options = FitOptions(betas=read_betas(tmp_path / "betas.json"))
    motion, _ = MotionFitter(models, options, "cpu").track(MotionRequest((VideoRequest(movie),), FrameRange(0, 2)))
    np.testing.assert_allclose(motion.betas[0], betas, atol=1e-6)
    (tmp_path / "betas.json").write_text("[1, 2]")
    with pytest.raises(BodyFileError):
        read_betas(tmp_path / "betas.json")


def test_networks_without_landmarks_are_refused(models, movie):
    fitter = MotionFitter(models, FitOptions(), "cpu")
    network = SimpleNamespace(name="published", model=SimpleNamespace(config=SimpleNamespace(compact=False)))
    fitter._subject = SimpleNamespace(network=network)
    with pytest.raises(WeightsFileError, match="published"):
        fitter.track(MotionRequest((VideoRequest(movie),)))


@pytest.mark.parametrize(
    "videos",
    [
        [],
        [{"name": "a"}],
        [{"video": "a.mp4", "K": [[1, 0], [0, 1]]}],
        [{"video": "a.mp4", "K": "large"}],
        [{"video": "a.mp4", "speed": 2}],
    ],
)
def test_calls_that_are_wrong_are_refused(videos):
    with pytest.raises(ProtocolError):
        motion_request(Params({"videos": videos}))


def test_cameras_that_do_not_fit_the_video_are_refused(models, movie, tmp_path):
    def track(*videos):
        MotionFitter(models, FitOptions(), "cpu").track(MotionRequest(videos))

    with pytest.raises(ViewsError, match="calibration"):
        track(VideoRequest(movie), VideoRequest(movie))
    with pytest.raises(ViewsError, match="for each of the 8"):
        track(VideoRequest(movie, K=np.tile(np.diag([500.0, 500, 1]), (5, 1, 1))))
    with pytest.raises(ViewsError, match="no rotation"):
        track(VideoRequest(movie, R=2 * np.eye(3), t=np.zeros(3)))
    (tmp_path / "views.json").write_text("[{]")
    with pytest.raises(ViewsError):
        read_videos(tmp_path / "views.json")


def test_frames_of_other_rates_are_the_nearest_in_time():
    stamps = np.arange(6) / 30
    assert nearest_frames(stamps, np.array([-0.1, 0, 0.04, 0.08, 0.12, 0.16, 0.3])).tolist() == [-1, 0, 1, 2, 4, 5, -1]
    assert nearest_frames(np.array([0.0]), np.array([0.0, 5.0])).tolist() == [0, 0]


def test_each_frame_of_another_clock_is_used_once_with_its_delay():
    frames, lag = own_frames(np.arange(4) * 0.1 + 0.013, np.arange(7) * 0.05)
    assert frames.tolist() == [0, -1, 1, -1, 2, -1, 3]
    np.testing.assert_allclose(lag, [0.013, 0, 0.013, 0, 0.013, 0, 0.013], atol=1e-9)
    frames, lag = own_frames(np.arange(20) / 60 - 0.004, np.arange(5) / 25)
    np.testing.assert_allclose(frames / 60 - 0.004, np.arange(5) / 25 + lag)
    assert np.abs(lag).max() <= 0.5 / 60


def test_files_that_are_no_motion_are_refused(tracked, tmp_path):
    (tmp_path / "motion.npz").write_bytes((tracked[1] / "motion.npz").read_bytes()[:-100])
    with pytest.raises(ResultFileError):
        read_motion(tmp_path / "motion.npz")


def test_sequences_of_records_are_solved_together(models, tmp_path):
    """Five frames, in the third of which nobody knows a box, and one picture that is missing."""
    records = []
    for number in range(5):
        cv2.imwrite(str(tmp_path / f"{number}.png"), shifted(number)[..., ::-1])
        box = [75 + SHIFT * number, 185, 305, 395] if number != 2 else None
        camera = {"K": [[FOCAL, 0, 270], [0, FOCAL, 480], [0, 0, 1]]}
        record = {"id": f"r{number}", "image": f"{number}.png", "width": 540, "height": 960, "bbox_xywh": box, **camera}
        records.append(record | {"sequence": "s", "time": number / RATE})
    records.append(records[4] | {"id": "gone", "image": "gone.png", "time": 5 / RATE})
    records.append({key: value for key, value in records[0].items() if key != "sequence"} | {"id": "alone"})
    fitter = MotionFitter(models, FitOptions(), "cpu")
    answers = {one["id"]: one for one in sequence_predictions(records, tmp_path, fitter, multiview=False)}
    assert len(answers) == 7
    assert "gone.png" in answers["gone"]["error"]
    assert "sequence" in answers["alone"]["error"]
    hips = np.array([answers[f"r{number}"]["joints3d_cam"]["left_hip"] for number in range(5)])
    step = SHIFT * hips[:, 2].mean() / FOCAL
    np.testing.assert_allclose(np.diff(hips[:, 0]), step, atol=0.5 * step)
    one = answers["r2"]
    assert one["joint_std_mm"]["left_wrist"] > 0
    assert set(one["contacts"]) == {"left_foot", "right_foot"}
    assert len(one["keypoints2d"]["left_knee"]) == 2
    assert json.dumps(one)
