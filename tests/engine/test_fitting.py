# SPDX-License-Identifier: GPL-3.0-or-later
"""Single-view fitting around an untrained network: geometry, frames, bodies, failures; not accuracy."""

import gc
import os
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from engine_doubles import Found, ScriptedDetector, ScriptedModels, as_people, street
from parity_rules import fake_smpl
from picture_files import encoded, saved, with_exif
from refit_engine.body import SMPL_JOINT_NAMES, BodyModel, load_body
from refit_engine.body.transfer import transfer_betas
from refit_engine.camera import Intrinsics, project
from refit_engine.crop import Crop, crop_matrix, cut, roll_rotation, transform
from refit_engine.distortion import Distortion, undistort_box, undistort_image
from refit_engine.errors import BodyFileError, Cancelled, DeviceError, ImageError, NoPersonFound, RefitError
from refit_engine.fitting import FitOptions, Fitter, ImageRequest
from refit_engine.fitting.boxes import turn_boxes
from refit_engine.fitting.job import crop_camera
from refit_engine.fitting.output import write_output
from refit_engine.fitting.shown import FEET
from refit_engine.fitting.single import unroll
from refit_engine.images import Photo, read_photo, write_image
from refit_engine.network.geometry import project_to_crop
from refit_engine.results import read_result

BOX = (110.0, 40.0, 90.0, 170.0)
K = np.array([[300.0, 0, 150], [0, 300, 130], [0, 0, 1]])


@pytest.fixture(scope="module")
def models():
    return ScriptedModels(ScriptedDetector([Found(BOX, 0.9), Found((10.0, 60.0, 60.0, 120.0), 0.6)]))


@pytest.fixture
def fitter(models, untrained_weights):
    return Fitter(models, FitOptions(weights=untrained_weights), "cpu")


def with_options(fitter, **changes):
    return Fitter(fitter.models, replace(fitter.options, **changes), "cpu")


def posed(result, body):
    """The result's vertices again, from its parameters alone."""
    tensors = (torch.tensor(np.asarray(a), dtype=torch.float32) for a in (result.betas, result.rotmats, result.transl))
    return BodyModel(body)(*tensors)


def test_parameters_give_the_vertices_and_joints_even_after_a_rolled_crop(fitter, photo_file):
    for roll in (0.0, 0.7, np.pi):
        people = fitter.fit(street(), np.array([BOX]), Intrinsics(K, "scene"), roll=roll)
        output = posed(people, load_body())
        np.testing.assert_allclose(output.vertices, people.vertices, atol=2e-5)
        np.testing.assert_allclose(output.joints, people.joints, atol=2e-5)


@pytest.mark.parametrize("roll", [0.0, 0.7, -2.0])
def test_network_and_result_agree_on_where_the_body_is_in_the_crop(fitter, roll):
    """The network's reprojection into the rolled crop, and the result's pixels warped into it, are one."""
    intrinsics = Intrinsics(np.array([[300.0, 0, 90], [0, 250, 130], [0, 0, 1]]), "scene")
    crop = Crop(np.array([190.0, 110.0]), 170.0, roll)
    camera = crop_camera([crop], [intrinsics], fitter.device)
    subject = fitter.subject()
    with torch.inference_mode():
        estimate = subject.estimate(
            torch.from_numpy(cut(street(), crop, intrinsics)).permute(2, 0, 1)[None].float() / 255, camera
        )
        marks = subject.points(estimate.betas, estimate.rotmats())
        seen = project_to_crop(marks, estimate.cam, camera)[0]
        people = unroll(as_people(*(value.numpy() for value in subject.pose(estimate, camera))), np.array([roll]))
    points = people.vertices[0][load_body().marker_ids].astype(np.float64)
    pixels = transform(crop_matrix(crop, intrinsics), project(points, intrinsics.K))
    np.testing.assert_allclose(pixels, seen, atol=0.01)


def test_unroll_turns_bodies_with_the_camera():
    people = _some_people()
    turned = unroll(people, np.array([0.3, -2.0]))
    for person, roll in enumerate((0.3, -2.0)):
        back = people.vertices[person] @ roll_rotation(-roll).T
        np.testing.assert_allclose(turned.vertices[person], back, atol=1e-5)
    np.testing.assert_allclose(posed(turned, load_body()).vertices, turned.vertices, atol=2e-5)


def _some_people():
    rng = np.random.default_rng(0)
    rotmats = np.linalg.qr(rng.normal(size=(2, 24, 3, 3)))[0]
    rotmats *= np.linalg.det(rotmats)[..., None, None]
    betas, transl = rng.normal(size=(2, 10)), rng.normal(size=(2, 3)) + (0, 0, 4)
    tensors = (torch.tensor(a, dtype=torch.float32) for a in (betas, rotmats, transl))
    output = BodyModel(load_body())(*tensors)
    return as_people(betas, rotmats, transl, output.joints.numpy(), output.vertices.numpy())


def test_picture_lying_on_its_side_gives_the_same_body_on_its_side(fitter):
    """A quarter turn of picture and camera, with `roll` saying so, turns the result and changes nothing else."""
    upright = fitter.fit(street(), np.array([BOX]), Intrinsics(K, "scene"))
    lying = np.ascontiguousarray(np.rot90(street()))  # counter-clockwise, as a camera held sideways stores it
    width = street().shape[1]
    sideways = np.array([[300.0, 0, K[1, 2]], [0, 300, width - K[0, 2]], [0, 0, 1]])
    box = turn_boxes(np.array([BOX]), 1, lying.shape[1::-1])
    people = fitter.fit(lying, box, Intrinsics(sideways, "scene"), roll=np.pi / 2)
    np.testing.assert_allclose(people.betas, upright.betas, atol=1e-3)
    np.testing.assert_allclose(people.vertices @ roll_rotation(np.pi / 2).T, upright.vertices, atol=2e-3)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_boxes_of_the_upright_picture_find_their_pixels_in_the_stored_one(turns):
    upright = np.zeros((60, 100), int)
    upright[10:30, 50:90] = 1
    stored = np.rot90(upright, turns)
    ((x, y, w, h),) = turn_boxes(np.array([[50.0, 10, 40, 20]]), turns, stored.shape[::-1]).astype(int)
    assert stored[y : y + h, x : x + w].all() and stored.sum() == w * h


def test_wide_pixels_see_the_same_body(fitter):
    """Squeezing the picture and its K together changes nothing."""
    square = fitter.fit(street(640, 480), np.array([BOX]) * 2, Intrinsics(np.diag([2, 2, 1]) @ K, "scene"))
    squeezed = np.ascontiguousarray(street(640, 480).reshape(480, 320, 2, 3).mean(axis=2).astype(np.uint8))
    scale = np.array([1.0, 2.0, 1.0, 2.0])
    wide = fitter.fit(squeezed, np.array([BOX]) * scale, Intrinsics(np.diag([1, 2, 1]) @ K, "scene"))
    np.testing.assert_allclose(wide.transl, square.transl, atol=0.1)
    np.testing.assert_allclose(wide.joints, square.joints, atol=0.1)


def test_result_of_a_picture_is_complete_and_consistent(fitter, photo_file):
    result, photo = fitter.reconstruct(ImageRequest(photo_file))
    assert result.people == 2 and result.vertices_cam.shape == (2, len(load_body().v_template), 3)
    assert result.scores.tolist() == [0.9, 0.6]
    assert result.focal_source == "default" and photo.size == (320, 240)
    assert (result.vertices_cam[..., 2] > 0).all()
    np.testing.assert_allclose(project(result.joints_cam, result.K), result.joints2d)
    assert result.body_file.endswith("body.npz") and result.weights_name == "untrained"
    stages = {"detect", "lines", "crop", "network", "confidence", "body"}
    assert {stage for stage, seconds in fitter.seconds.items() if seconds > 0} == stages


def test_people_fitted_together_or_alone_are_the_same(fitter):
    boxes = np.array([BOX, (10, 60, 60, 120), (200, 20, 80, 200)])
    together = fitter.fit(street(), boxes, Intrinsics(K, "scene"))
    for index, box in enumerate(boxes):
        alone = fitter.fit(street(), box[None], Intrinsics(K, "scene"))
        np.testing.assert_allclose(alone.vertices[0], together.vertices[index], atol=2e-3)


def test_more_people_than_a_batch_holds(fitter):
    boxes = np.tile(BOX, (19, 1)) + np.arange(19)[:, None]
    assert len(fitter.fit(street(), boxes, Intrinsics(K, "scene")).betas) == 19


def test_largest_person_alone(fitter, photo_file):
    result, _ = with_options(fitter, people="largest").reconstruct(ImageRequest(photo_file))
    np.testing.assert_allclose(result.boxes_xywh, [BOX])
    assert 0 < result.scores[0] <= 1


def test_given_box_has_no_score(fitter, photo_file):
    result, _ = fitter.reconstruct(ImageRequest(photo_file, boxes_xywh=np.array([BOX])))
    assert np.isnan(result.scores).all()


def test_iterations_change_the_estimate_and_none_is_allowed(fitter):
    first = with_options(fitter, iterations=0).fit(street(), np.array([BOX]), Intrinsics(K, "scene"))
    last = fitter.fit(street(), np.array([BOX]), Intrinsics(K, "scene"))
    assert np.abs(first.rotmats - last.rotmats).max() > 1e-3


def test_given_shape_is_the_results_shape_exactly(fitter, photo_file):
    betas = np.linspace(-1.5, 1.5, 10)
    result, _ = with_options(fitter, betas=betas).reconstruct(ImageRequest(photo_file))
    np.testing.assert_array_equal(result.betas, np.tile(betas.astype(np.float32), (2, 1)))


@pytest.fixture
def smpl_file(tmp_path):
    np.savez(tmp_path / "SMPL_NEUTRAL.npz", **fake_smpl())
    return tmp_path / "SMPL_NEUTRAL.npz"


def test_smpl_body_of_the_user_stands_where_the_followed_body_stood(fitter, photo_file, smpl_file):
    alone = with_options(fitter, people="largest")  # several would move to one floor
    bundled, _ = alone.reconstruct(ImageRequest(photo_file))
    result, _ = with_options(alone, body=smpl_file).reconstruct(ImageRequest(photo_file))
    smpl = load_body(smpl_file)
    assert result.body_kind == "smpl" and result.body_file == str(smpl.file)
    np.testing.assert_allclose(posed(result, smpl).vertices, result.vertices_cam, atol=2e-5)
    np.testing.assert_allclose(result.rotmats, bundled.rotmats, atol=1e-5)
    np.testing.assert_allclose(result.joints_cam.mean(axis=1), bundled.joints_cam.mean(axis=1), atol=1e-4)
    np.testing.assert_allclose(result.betas, transfer_betas(load_body(), bundled.betas, smpl), atol=1e-4)


def test_bundled_body_of_a_sex_is_followed_itself(fitter, photo_file, tmp_path, monkeypatch):
    for variable in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    result, _ = with_options(fitter, gender="female").reconstruct(ImageRequest(photo_file))
    female = load_body(gender="female")
    assert result.body_kind == "bundled_female" and result.body_file == str(female.file)
    np.testing.assert_allclose(posed(result, female).vertices, result.vertices_cam, atol=2e-5)


def test_known_smpl_shape_is_kept_and_followed(fitter, photo_file, smpl_file):
    betas = np.linspace(-1, 1, 10).astype(np.float32)
    result, _ = with_options(fitter, body=smpl_file, betas=betas).reconstruct(ImageRequest(photo_file))
    np.testing.assert_array_equal(result.betas, np.tile(betas, (2, 1)))


def test_weights_that_follow_smpl_need_an_smpl_body(fitter, photo_file, monkeypatch):
    network = fitter.subject().network
    monkeypatch.setattr(fitter.models, "network", lambda *_: replace(network, trained_on="smpl"))
    with pytest.raises(BodyFileError, match="choose an SMPL file"):
        with_options(fitter).reconstruct(ImageRequest(photo_file))


def sideways_file(tmp_path):
    """A photo of 240x320 that its camera stored as 320x240, to be turned clockwise."""
    path = tmp_path / "portrait.jpg"
    path.write_bytes(with_exif(encoded(".jpg", street()), {0x0112: ("H", 6), 0xA405: ("H", 28)}))
    return path


def test_turned_photo_is_seen_upright_and_an_upright_copy_is_kept(fitter, tmp_path):
    path = sideways_file(tmp_path)
    result, photo = fitter.reconstruct(ImageRequest(path))
    assert result.image_size.tolist() == [240, 320] and result.focal_source == "exif"
    output = write_output(tmp_path / "out", result, photo, load_body(), overlay=True)
    back = read_result(output.npz)
    assert back.image == str(output.image) != str(path)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["overlay.png", "result.npz", "upright.jpg"]


def test_scene_camera_refers_to_the_stored_pixels_of_a_turned_photo(fitter, tmp_path):
    """The body found upright must come out lying, as Blender shows the photo."""
    path = sideways_file(tmp_path)
    K = np.array([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]])
    # Up is given: where it has to be found, the two frames may differ by half a degree, and so may sizes on the floor.
    upright, _ = fitter.reconstruct(ImageRequest(path, focal=300.0, up=np.array([0.0, -1, 0])))
    stored, photo = fitter.reconstruct(ImageRequest(path, K=K, up=np.array([-1.0, 0, 0])))
    assert stored.image_size.tolist() == [320, 240] and stored.focal_source == "scene" and not photo.turned
    np.testing.assert_allclose(stored.joints_cam @ roll_rotation(np.pi / 2).T, upright.joints_cam, atol=5e-3)


@pytest.mark.parametrize("kind", ["heic", "avif", "gif"])
def test_photo_that_blender_cannot_show_leaves_a_copy_that_it_can(fitter, tmp_path, kind):
    path = tmp_path / f"photo.{kind}"
    path.write_bytes(encoded(".gif", street()) if kind == "gif" else saved(kind, street()))
    result, photo = fitter.reconstruct(ImageRequest(path))
    output = write_output(tmp_path / "out", result, photo, load_body(), overlay=False)
    assert output.image == tmp_path / "out" / "upright.jpg" and read_result(output.npz).image == str(output.image)
    assert np.abs(read_photo(output.image).pixels.astype(int) - photo.pixels).mean() < 25  # blocks of colour, dithered


def test_mirrored_photo_of_a_scene_camera_is_detected_as_mirrored_as_it_is_shown(fitter, models, monkeypatch):
    """Boxes are turned back into the stored pixels, so that nothing but turns may lie between."""
    seen = []
    monkeypatch.setattr(models.detector(fitter.device), "detect", lambda pixels: seen.append(pixels) or [])
    photo = Photo(Path("photo.jpg"), street(), quarter_turns=1, mirrored=True)
    fitter.detect(photo)
    np.testing.assert_array_equal(seen[0], np.rot90(street(), -1))


def test_focal_length_in_millimetres_belongs_to_the_longer_side(fitter, tmp_path):
    result, _ = fitter.reconstruct(ImageRequest(sideways_file(tmp_path), focal_mm=72.0))
    assert result.K[0, 0] == pytest.approx(72 / 36 * 320) and result.focal_source == "user"


def test_remark_about_the_file_reaches_the_user(fitter, tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(".jpg", street())[:-2])
    fitter.reconstruct(ImageRequest(path))
    assert fitter.messages[0].startswith("photo.jpg has no end mark")


def test_people_share_a_floor_unless_the_cameras_place_is_given(fitter, photo_file, nothing_hidden):
    known = ImageRequest(photo_file, K=K, up=np.array([0.0, -1.0, 0.0]))
    alone = fitter.fit(street(), np.array([BOX, (10.0, 60.0, 60.0, 120.0)]), Intrinsics(K, "scene"))
    given, _ = fitter.reconstruct(known)
    rest = [joint for joint in range(len(SMPL_JOINT_NAMES)) if joint not in FEET]  # feet may be laid flat
    np.testing.assert_allclose(given.joints_cam[:, rest], alone.joints[:, rest], atol=1e-5)
    np.testing.assert_allclose(given.rotmats[:, rest], alone.rotmats[:, rest], atol=1e-5)
    free, _ = fitter.reconstruct(replace(known, up=None))
    above = (free.vertices_cam @ free.up_cam).min(axis=1) + free.camera_height
    np.testing.assert_allclose(above[free.on_floor], 0, atol=0.03)
    assert free.on_floor.any() and (above > -0.03).all()
    np.testing.assert_allclose(posed(free, load_body()).vertices, free.vertices_cam, atol=2e-5)
    np.testing.assert_allclose(project(free.joints_cam, K), free.joints2d, atol=1e-2)


def test_nobody_in_the_picture(untrained_weights, photo_file):
    fitter = Fitter(ScriptedModels(ScriptedDetector([])), FitOptions(weights=untrained_weights), "cpu")
    with pytest.raises(NoPersonFound, match="photo.png"):
        fitter.reconstruct(ImageRequest(photo_file))


@pytest.mark.parametrize(
    "box", [(400, 10, 50, 50), (10, 10, 0, 50), (10, 10, -5, 50), (np.nan, 0, 10, 10), (-90, 0, 60, 60)], ids=str
)
def test_boxes_outside_of_the_picture_are_named(fitter, photo_file, box):
    with pytest.raises(ImageError, match="does not lie in photo.png"):
        fitter.reconstruct(ImageRequest(photo_file, boxes_xywh=np.array([box])))


def test_no_box_at_all_is_an_error(fitter, photo_file):
    with pytest.raises(ImageError, match="one to"):
        fitter.reconstruct(ImageRequest(photo_file, boxes_xywh=np.empty((0, 4))))


def test_unknown_device_is_named(models):
    with pytest.raises(DeviceError, match="tpu"):
        Fitter(models, FitOptions(), "tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has it")
def test_missing_device_is_named(models):
    with pytest.raises(DeviceError, match="no cuda device"):
        Fitter(models, FitOptions(), "cuda")


def test_cancellation_stops_between_steps(models, untrained_weights, photo_file):
    seen = []

    def step(stage):
        seen.append(stage)
        if stage == "fit":
            raise Cancelled("Cancelled.")

    fitter = Fitter(models, FitOptions(weights=untrained_weights), "cpu", step)
    with pytest.raises(Cancelled):
        fitter.reconstruct(ImageRequest(photo_file))
    assert seen == ["detect", "fit"]


def test_one_lost_person_costs_only_that_person(fitter, photo_file, monkeypatch):
    whole = fitter.fit

    def fit(*args, **kwargs):
        people = whole(*args, **kwargs)
        people.vertices[0] = np.nan
        return people

    monkeypatch.setattr(fitter, "fit", fit)
    result, _ = fitter.reconstruct(ImageRequest(photo_file))
    assert result.people == 1 and result.scores.tolist() == [0.6]
    assert fitter.messages == ["1 of 2 people in photo.png could not be fitted."]

    monkeypatch.setattr(fitter, "fit", lambda *a, **k: replace(whole(*a, **k), transl=np.full((2, 3), np.inf)))
    with pytest.raises(RefitError, match="no usable body"):
        fitter.reconstruct(ImageRequest(photo_file))


class SmallDevice:
    """Stands in for a graphics card on which only so many people fit."""

    def __init__(self, fitter, capacity):
        self.fitter, self.capacity, self.whole, self.sizes = fitter, capacity, fitter._fit_batch, []

    def __call__(self, sources, batch, height):
        if self.fitter.device.type == "cuda":
            self.sizes.append(len(sources))
            if len(sources) > self.capacity:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            device, self.fitter.device = self.fitter.device, torch.device("cpu")
            try:
                return self.whole(sources, batch, height)
            finally:
                self.fitter.device = device
        return self.whole(sources, batch, height)


@pytest.mark.parametrize("capacity, ends_on", [(3, "cuda"), (0, "cpu")])
def test_full_graphics_card_gets_smaller_batches_then_the_processor_takes_over(fitter, monkeypatch, capacity, ends_on):
    fitter.device = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(fitter, "_fit_batch", SmallDevice(fitter, capacity))
    boxes = np.tile(BOX, (7, 1))
    people = fitter.fit(street(), boxes, Intrinsics(K, "scene"))
    assert len(people.betas) == 7 and fitter.device.type == ends_on
    assert len(fitter.messages) == (ends_on == "cpu")


def test_other_failures_of_the_device_are_not_taken_for_a_lack_of_memory(fitter, monkeypatch):
    def fail(*_):
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr(fitter, "_fit_batch", fail)
    with pytest.raises(RuntimeError, match="shape"):
        fitter.fit(street(), np.array([BOX]), Intrinsics(K, "scene"))


def test_changed_weights_file_is_read_again(models, untrained_weights, tmp_path):
    copy = tmp_path / "mine.safetensors"
    copy.write_bytes(untrained_weights.read_bytes())
    options = FitOptions(weights=copy)
    first = Fitter(models, options, "cpu").subject().network
    assert Fitter(models, options, "cpu").subject().network is first
    os.utime(copy, (1, 1))
    assert Fitter(models, options, "cpu").subject().network is not first


def test_photos_are_let_go_one_after_another(fitter, tmp_path):
    """Memory must not grow with the number of pictures: nothing may hold on to pixels or results."""
    held = []
    for number in range(4):
        path = tmp_path / f"{number}.png"
        write_image(path, street())
        result, photo = fitter.reconstruct(ImageRequest(path))
        held += [weakref.ref(photo.pixels), weakref.ref(result.vertices_cam)]
        del result, photo
    gc.collect()
    assert [ref() for ref in held] == [None] * len(held)


def test_distortion_is_taken_out_before_anything_is_fitted(fitter, photo_file):
    lens = Distortion("polynomial", (-0.2, 0.05, 0.0))
    given = ImageRequest(photo_file, boxes_xywh=np.array([BOX]), K=K)
    plain, taken = fitter.reconstruct(given)
    result, photo = fitter.reconstruct(replace(given, distortion=lens))
    straight, _ = undistort_image(taken.pixels, K, lens)
    np.testing.assert_array_equal(photo.pixels, straight)
    np.testing.assert_allclose(result.K, K)
    np.testing.assert_allclose(result.boxes_xywh[0], undistort_box(np.array(BOX), K, lens))
    assert np.abs(result.transl - plain.transl).max() > 1e-6
