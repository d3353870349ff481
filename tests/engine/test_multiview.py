# SPDX-License-Identifier: GPL-3.0-or-later
"""Multi-view fitting: the geometry alone with the true update, views that mislead, and whole fits."""

from dataclasses import replace

import numpy as np
import pytest
import roma
import torch
from engine_doubles import ScriptedDetector, ScriptedModels
from refit_engine.body import BodyModel, LandmarkBody, load_body
from refit_engine.camera import Intrinsics, project
from refit_engine.crop import Crop, roll_rotation
from refit_engine.device import exact
from refit_engine.errors import Cancelled
from refit_engine.fitting import FitOptions, job
from refit_engine.fitting.height import standing_height
from refit_engine.fitting.job import FitJob, crop_camera
from refit_engine.fitting.multiview import fit
from refit_engine.fitting.multiview.extrinsics import correct_extrinsics
from refit_engine.fitting.multiview.fit import View, fit_people, fit_person
from refit_engine.fitting.multiview.rows import ObservedPoints, SharedBodies
from refit_engine.fitting.multiview.sides import side_order
from refit_engine.fitting.multiview.view_fusion import ViewFusion, bodies_in_world, in_views, mean_rotations
from refit_engine.fitting.shown import FEET
from refit_engine.network import Encoding, Estimate
from refit_engine.overlay import draw_overlay

UP = np.array([0.0, 0.0, 1.0])
SIZE = (320, 240)
FAR_AWAY = np.array([400.0, -900.0, 30.0])


@pytest.fixture(scope="module")
def body():
    return load_body()


@pytest.fixture(scope="module")
def models():
    return ScriptedModels(ScriptedDetector([]))


@pytest.fixture
def fit_job(models, untrained_weights):
    return FitJob(models, FitOptions(weights=untrained_weights, iterations=2, confidence=False), "cpu")


def standing(body, seed=0, place=(0.2, -0.1, 0.9), people=1):
    """Bodies in a world with Z up, somehow posed and shaped."""
    rng = np.random.default_rng(seed)
    rotmats = roma.rotvec_to_rotmat(torch.from_numpy(0.25 * rng.normal(size=(people, 24, 3))))
    upright = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=torch.float64)
    turn = roma.rotvec_to_rotmat(torch.tensor([[0.0, 0, float(rng.uniform(-3, 3))] for _ in range(people)])).double()
    rotmats[:, 0] = turn @ upright @ rotmats[:, 0]
    betas = torch.from_numpy(rng.normal(size=(people, 10)))
    transl = torch.tensor(np.array(place) + np.arange(people)[:, None] * (1.5, 0, 0))
    return SharedBodies(betas, rotmats, transl)


def camera_views(count, pixels=None, middle=(0.2, -0.1, 0.9), focal=400.0, seed=1):
    """Cameras around a place, at different heights and distances, with shifted lenses and wide pixels."""
    rng = np.random.default_rng(seed)
    views = []
    for number in range(count):
        angle = 2 * np.pi * number / count + rng.uniform(-0.2, 0.2)
        distance = rng.uniform(3, 5)
        eye = np.array(middle) + (distance * np.cos(angle), distance * np.sin(angle), rng.uniform(-0.5, 1.5))
        forward = (np.array(middle) - eye) / np.linalg.norm(np.array(middle) - eye)
        right = np.cross(forward, UP) / np.linalg.norm(np.cross(forward, UP))
        R = roll_rotation(rng.uniform(-0.3, 0.3)) @ np.stack([right, np.cross(forward, right), forward])
        K = np.array([[focal, 0, 160 + rng.uniform(-40, 40)], [0, focal * rng.uniform(0.7, 1.4), 120], [0, 0, 1]])
        image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8) if pixels is None else pixels
        views.append(View(f"camera {number}", image, Intrinsics(K, "scene"), R, -R @ eye))
    return views


def rows_of(views, people=1, rolls=(0.0,)):
    """Every person in every view, in crops that are rolled by turns."""
    crops, owners, person = [], [], []
    for owner in range(people):
        for number, view in enumerate(views):
            crops.append(Crop(np.array([150.0, 110.0]), 260.0, rolls[number % len(rolls)]))
            owners.append(view)
            person.append(owner)
    camera = crop_camera(crops, [view.intrinsics for view in owners], torch.device("cpu"))
    return fit._rows(owners, crops, camera, torch.tensor(person), people, np.zeros(3))


def landmarks_of(truth, rows, body):
    points = exact(LandmarkBody(body)(truth.betas.float(), truth.rotmats.float())) + truth.transl[:, None]
    return ObservedPoints(rows.project(points[rows.person]), torch.ones(len(rows.person), 33, dtype=torch.float64))


def like(rows):
    count = len(rows.person)
    return Estimate(torch.zeros(count, 144), torch.zeros(count, 10), torch.zeros(count, 3))


def pelvis_of(body):
    return fit.rest_pelvis(type("Loaded", (), {"data": body}))


def merge_for(rows, body, seen=None, betas=None):
    points = LandmarkBody(body) if seen is not None else BodyModel(body).subset(body.marker_ids)
    return ViewFusion(rows, points, pelvis_of(body), seen, betas)


def joints(bodies, body):
    return BodyModel(body).joints(bodies.betas.float(), bodies.rotmats.float()) + bodies.transl.float()[:, None]


def millimetres(bodies, truth, body):
    return 1000 * float((joints(bodies, body) - joints(truth, body)).norm(dim=-1).max())


def degrees(bodies, truth):
    return float(torch.rad2deg(roma.rotmat_geodesic_distance(bodies.rotmats, truth.rotmats)).max())


@pytest.mark.parametrize("count", [2, 3, 4, 16])
@pytest.mark.parametrize("evidence", ["landmarks", "proposals"])
def test_true_update_puts_the_body_where_it_stands(fit_job, body, count, evidence):
    """The loop as it is, but for every update leading to the truth: what is left is geometry."""
    truth = standing(body, seed=count, people=2)
    rows = rows_of(camera_views(count), people=2, rolls=(0.0, 0.7, -2.5))
    oracle = in_views(truth, rows, pelvis_of(body), like(rows))
    merge = merge_for(rows, body, landmarks_of(truth, rows, body) if evidence == "landmarks" else None)
    subject = fit_job.subject()
    with torch.inference_mode():
        encoding = subject.network.model.encode(torch.rand(len(rows.person), 3, 256, 256))
        estimates = subject.follow(encoding, rows.camera, lambda _: merge(oracle))
    assert millimetres(merge.shared, truth, body) < 1 and degrees(merge.shared, truth) < 0.1
    np.testing.assert_allclose(estimates[-1].cam, oracle.cam, atol=1e-3)  # and each view gets it back as its own
    np.testing.assert_allclose(estimates[-1].rotmats(), oracle.rotmats(), atol=1e-3)


def test_bodies_go_into_views_and_back(body):
    truth = standing(body)
    rows = rows_of(camera_views(3), rolls=(0.0, 1.0))
    back = bodies_in_world(in_views(truth, rows, pelvis_of(body), like(rows)), rows, pelvis_of(body))
    for number in range(3):
        one = SharedBodies(*(value[number : number + 1] for value in back))
        assert millimetres(one, truth, body) < 0.1 and degrees(one, truth) < 0.05


def test_place_is_kept_by_a_camera_that_the_network_cannot_deal_with(body):
    """A very wide lens: the network works with a longer one, the body stays where it is."""
    truth = standing(body)
    rows = rows_of(camera_views(3, focal=90.0))
    assert (rows.camera.focal > 1.5 * rows.focal).all()
    merge = merge_for(rows, body, landmarks_of(truth, rows, body))
    merge(in_views(truth, rows, pelvis_of(body), like(rows)))
    assert millimetres(merge.shared, truth, body) < 1


def disturbed(rows, truth, sigma=0.1):
    """The views' estimates of a network that is a little wrong, differently in every view."""
    generator = torch.Generator().manual_seed(3)
    estimate = in_views(truth, rows, pelvis_of(load_body()), like(rows))
    noise = torch.randn(estimate.pose6d.shape, generator=generator)
    return estimate._replace(pose6d=estimate.pose6d + sigma * noise)


@pytest.mark.parametrize("count", [3, 4, 8])
def test_view_of_somebody_else_does_not_pull_the_body(body, count):
    truth, stranger = standing(body), standing(body, seed=5, place=(0.9, 0.6, 0.9))
    rows = rows_of(camera_views(count))
    seen, other = landmarks_of(truth, rows, body), landmarks_of(stranger, rows, body)
    estimate = in_views(truth, rows, pelvis_of(body), like(rows))
    strange = in_views(stranger, rows, pelvis_of(body), like(rows))
    row = (torch.arange(count) == 1)[:, None]
    mixed = Estimate(*(torch.where(row, theirs, ours) for theirs, ours in zip(strange, estimate, strict=True)))
    pixels = torch.where(row[..., None], other.pixels, seen.pixels)
    merge = merge_for(rows, body, seen._replace(pixels=pixels))
    merge(mixed)
    assert merge.weight[1] < fit.NUMBERS.least_weight and (merge.weight[row[:, 0].logical_not()] > 0.5).all()
    assert millimetres(merge.shared, truth, body) < 10


def test_hidden_view_counts_little(body):
    truth = standing(body)
    rows = rows_of(camera_views(4))
    seen = landmarks_of(truth, rows, body)
    confidence = seen.confidence.clone()
    confidence[2] = 0.02
    pixels = seen.pixels.clone()
    pixels[2] += 30
    merge = merge_for(rows, body, ObservedPoints(pixels, confidence))
    merge(disturbed(rows, truth))
    assert merge.weight[2] < 0.05


@pytest.mark.parametrize("count", [4, 8])
def test_turned_camera_is_turned_back(body, count):
    """Its landmarks are right but for a turn of three degrees: it keeps its word on the pose."""
    truth = standing(body)
    rows = rows_of(camera_views(count))
    seen = landmarks_of(truth, rows, body)
    turn = roma.rotvec_to_rotmat(torch.deg2rad(torch.tensor([1.0, -2.5, 1.3])).double())
    rotation, translation = rows.rotation.clone(), rows.translation.clone()
    rotation[0], translation[0] = turn @ rotation[0], turn @ translation[0]
    straight, angle = correct_extrinsics(replace(rows, rotation=rotation, translation=translation), seen)
    assert float(torch.rad2deg(angle[0])) == pytest.approx(3.0, abs=0.3) and (angle[1:] == 0).all()
    np.testing.assert_allclose(straight.rotation[0], rows.rotation[0], atol=2e-3)
    np.testing.assert_allclose(straight.translation[0], rows.translation[0], atol=1e-2)


def test_cameras_that_agree_are_left_as_they_are(body):
    truth = standing(body)
    rows = rows_of(camera_views(4))
    straight, angle = correct_extrinsics(rows, landmarks_of(truth, rows, body))
    assert (angle == 0).all() and torch.equal(straight.rotation, rows.rotation)


def test_legs_that_one_view_takes_for_each_other_are_exchanged(body):
    truth = standing(body)
    rows = rows_of(camera_views(4))
    seen = landmarks_of(truth, rows, body)
    left, right = fit._PARTS[2]
    pixels = seen.pixels.clone()
    pixels[2, left], pixels[2, right] = seen.pixels[2, right], seen.pixels[2, left]
    order = side_order(rows, seen._replace(pixels=pixels), fit._PARTS)
    np.testing.assert_array_equal(pixels.take_along_dim(order[..., None], 1), seen.pixels)
    assert torch.equal(side_order(rows, seen, fit._PARTS), torch.arange(33).expand(4, 33))


def test_mirrored_view_is_found_although_another_camera_is_turned(body):
    truth = standing(body)
    rows = rows_of(camera_views(4))
    seen = landmarks_of(truth, rows, body)
    left, right = ([point for part in fit._PARTS[1:] for point in part[side]] for side in (0, 1))
    pixels = seen.pixels.clone()
    pixels[2, left], pixels[2, right] = seen.pixels[2, right], seen.pixels[2, left]
    turn = roma.rotvec_to_rotmat(torch.tensor([0.0, np.radians(3), 0.0], dtype=torch.float64))
    rotation, translation = rows.rotation.clone(), rows.translation.clone()
    rotation[0], translation[0] = turn @ rotation[0], turn @ translation[0]
    turned = replace(rows, rotation=rotation, translation=translation)
    order = side_order(turned, seen._replace(pixels=pixels), fit._PARTS)
    np.testing.assert_array_equal(pixels.take_along_dim(order[..., None], 1), seen.pixels)


def test_two_views_that_contradict_each_other_count_alike(body):
    """Nobody can tell which of two is wrong."""
    truth, stranger = standing(body), standing(body, seed=5, place=(0.3, -0.2, 2.2))
    rows = rows_of(camera_views(2))
    pixels = landmarks_of(truth, rows, body).pixels.clone()
    pixels[1] = landmarks_of(stranger, rows, body).pixels[1]
    merge = merge_for(rows, body, ObservedPoints(pixels, torch.ones(2, 33, dtype=torch.float64)))
    assert merge.weight[0] == pytest.approx(float(merge.weight[1])) and merge.weight[0] < 0.1


def plain_rows(count, people=1):
    rows = rows_of(camera_views(count))
    return replace(rows, person=torch.arange(count) % people, people=people)


@pytest.mark.parametrize("count", [2, 3, 5, 16])
def test_mean_of_rotations_is_a_rotation_between_them(count):
    rotmats = roma.random_rotmat(24).double().expand(count, 24, 3, 3)
    strayed = 0.2 * torch.randn(count, 24, 3, dtype=torch.float64)
    mean = mean_rotations(
        rotmats @ roma.rotvec_to_rotmat(strayed), torch.ones(count, dtype=torch.float64), plain_rows(count)
    )
    assert mean.shape == (1, 24, 3, 3)
    np.testing.assert_allclose(torch.linalg.det(mean), 1, atol=1e-9)
    farthest = strayed.norm(dim=-1).amax(0)
    assert (roma.rotmat_geodesic_distance(mean[0], rotmats[0]) <= farthest + 1e-6).all()


def test_mean_of_two_rotations_is_half_way():
    rotmats = roma.rotvec_to_rotmat(torch.tensor([[[0.0, 0, 0]], [[0, 0, 0.8]]], dtype=torch.float64))
    mean = mean_rotations(rotmats, torch.ones(2, dtype=torch.float64), plain_rows(2))
    np.testing.assert_allclose(roma.rotmat_to_rotvec(mean)[0, 0], [0, 0, 0.4], atol=1e-9)


def test_mean_of_rotations_ignores_one_that_is_upside_down():
    rotvecs = torch.tensor([[[0.0, 0, 0.1]], [[0, 0, -0.1]], [[0, 0, 0.0]], [[3.0, 0, 0]]], dtype=torch.float64)
    mean = mean_rotations(roma.rotvec_to_rotmat(rotvecs), torch.ones(4, dtype=torch.float64), plain_rows(4))
    assert roma.rotmat_to_rotvec(mean).norm() < 0.05


def test_opposite_rotations_still_give_a_rotation():
    rotvecs = torch.tensor([[[0.0, 0, 0]], [[0, 0, np.pi]]], dtype=torch.float64)
    mean = mean_rotations(roma.rotvec_to_rotmat(rotvecs), torch.ones(2, dtype=torch.float64), plain_rows(2))
    np.testing.assert_allclose(torch.linalg.det(mean), 1, atol=1e-9)


def test_people_do_not_mix():
    rotmats = roma.random_rotmat(6).double()[:, None]
    rows = plain_rows(6, people=2)
    mean = mean_rotations(rotmats, torch.ones(6, dtype=torch.float64), rows)
    alone = mean_rotations(rotmats[::2], torch.ones(3, dtype=torch.float64), plain_rows(3))
    np.testing.assert_allclose(mean[0], alone[0], atol=1e-9)


# ------------------------------------------------------------------------------------------------------- whole fits


@pytest.fixture(scope="module")
def scene(body):
    """Three pictures of a body, and the boxes around it."""
    truth = standing(body, seed=2)
    output = BodyModel(body)(truth.betas.float(), truth.rotmats.float(), truth.transl.float())
    vertices = output.vertices.numpy().astype(np.float64)
    views, boxes = [], []
    for view in camera_views(3, focal=330.0):
        seen = vertices @ view.R.T + view.t
        room = np.full((SIZE[1], SIZE[0], 3), (150, 160, 165), np.uint8)
        views.append(replace(view, pixels=draw_overlay(room, seen, body.faces, view.intrinsics.K)))
        pixels = project(seen[0], view.intrinsics.K)
        boxes.append(np.concatenate([pixels.min(axis=0), pixels.max(axis=0) - pixels.min(axis=0)]))
    return views, np.array(boxes), truth


def test_fit_gives_one_consistent_body(fit_job, scene, body):
    views, boxes, _ = scene
    people = fit_person(fit_job, views, boxes)
    assert people.betas.shape == (1, 10) and people.seen.tolist() == [[True] * 3]
    posed = BodyModel(body)(*(torch.from_numpy(a).float() for a in (people.betas, people.rotmats, people.transl)))
    np.testing.assert_allclose(posed.vertices, people.vertices, atol=1e-4)
    np.testing.assert_allclose(posed.joints, people.joints, atol=1e-4)
    assert np.isfinite(people.reprojection_errors).all() and ((people.weights >= 0) & (people.weights <= 1)).all()


def test_world_far_from_its_origin_changes_nothing(fit_job, scene):
    views, boxes, _ = scene
    near = fit_person(fit_job, views, boxes)
    far = fit_person(fit_job, [replace(view, t=view.t - view.R @ FAR_AWAY) for view in views], boxes)
    np.testing.assert_allclose(far.joints - FAR_AWAY, near.joints, atol=1e-4)
    np.testing.assert_allclose(far.rotmats, near.rotmats, atol=1e-4)


def test_turned_world_turns_the_body(fit_job, scene):
    """Nothing depends on which way the world's axes point."""
    views, boxes, _ = scene
    turn = roma.rotvec_to_rotmat(torch.tensor([0.5, -1.0, 0.3])).double().numpy()
    plain = fit_person(fit_job, views, boxes)
    turned = fit_person(fit_job, [replace(view, R=view.R @ turn.T) for view in views], boxes)
    np.testing.assert_allclose(turned.joints, plain.joints @ turn.T, atol=1e-3)


def test_without_fusion_each_view_is_what_it_is_alone(models, untrained_weights, scene):
    from refit_engine.fitting import Fitter

    views, boxes, _ = scene
    fitter = Fitter(models, FitOptions(weights=untrained_weights, iterations=2, confidence=False), "cpu")
    apart = fit_person(fitter, views, boxes, fusion="never")
    assert len(apart.betas) == 3 and (apart.seen.sum(axis=1) == 1).all()
    rest = [joint for joint in range(24) if joint not in FEET]  # a photo's feet turn toward their landmarks
    for number, (view, box) in enumerate(zip(views, boxes, strict=True)):
        alone = fitter.fit(view.pixels, box[None], view.intrinsics)
        np.testing.assert_allclose((apart.joints[number] @ view.R.T + view.t)[rest], alone.joints[0, rest], atol=2e-3)


def test_average_at_the_end_is_the_mean_of_the_views(fit_job, scene):
    views, boxes, _ = scene
    apart = fit_person(fit_job, views, boxes, fusion="never")
    average = fit_person(fit_job, views, boxes, fusion="at_the_end")
    np.testing.assert_allclose(average.betas[0], apart.betas.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(average.joints[0, 0], apart.joints[:, 0].mean(axis=0), atol=1e-3)


@pytest.mark.parametrize("fusion", ["every_iteration", "at_the_end"])
def test_given_shape_is_kept_exactly(models, untrained_weights, scene, fusion):
    views, boxes, truth = scene
    betas = truth.betas[0].numpy().astype(np.float32)
    options = FitOptions(weights=untrained_weights, betas=betas, iterations=2, confidence=False)
    people = fit_person(FitJob(models, options, "cpu"), views, boxes, fusion)
    np.testing.assert_array_equal(people.betas[0], betas)


@pytest.mark.parametrize("fusion", ["every_iteration", "at_the_end", "never"])
def test_known_height_is_met_by_the_first_person_alone(models, untrained_weights, scene, body, fusion):
    views, boxes, _ = scene
    options = FitOptions(weights=untrained_weights, height=1.58, iterations=2, confidence=False)
    boxes_of_people = [fit.PersonBox(person, view, box) for person in (0, 1) for view, box in enumerate(boxes)]
    people = fit_people(FitJob(models, options, "cpu"), views, boxes_of_people, fusion)
    tall = np.array([standing_height(body, betas) for betas in people.betas])
    first, second = np.split(tall, 2)
    np.testing.assert_allclose(first, 1.58, atol=1e-3)
    assert (np.abs(second - 1.58) > 0.01).any()


def test_many_views_go_through_the_backbone_in_bounded_batches(fit_job, scene, monkeypatch):
    views, boxes, _ = scene
    model, sizes = fit_job.subject().network.model, []
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda crop: sizes.append(len(crop)) or encode(crop))
    monkeypatch.setitem(job.MAX_BATCH, "cpu", 3)
    sixteen = [replace(views[number % 3], name=str(number)) for number in range(16)]
    people = fit_person(fit_job, sixteen, boxes[np.arange(16) % 3])
    assert max(sizes) == 3 and sum(sizes) >= 16 and people.seen.shape == (1, 16)


def test_people_fitted_together_or_alone_are_the_same(fit_job, scene):
    views, boxes, _ = scene
    boxes_of_people = [fit.PersonBox(p, v, boxes[v] + p * 5) for p in range(2) for v in range(3) if (p, v) != (1, 2)]
    together = fit_people(fit_job, views, boxes_of_people)
    alone = fit_person(fit_job, views, boxes)
    assert together.seen.tolist() == [[True] * 3, [True, True, False]]
    assert np.isnan(together.reprojection_errors[1, 2])
    np.testing.assert_allclose(together.joints[0], alone.joints[0], atol=1e-3)


def test_published_kind_of_network_needs_no_landmarks(fit_job, scene, body):
    """Without a backbone that finds landmarks, the views' own proposals are what is compared."""
    views, _, truth = scene
    rows = rows_of(views)
    merge = merge_for(rows, body)
    merge(disturbed(rows, truth, sigma=0.01))
    assert millimetres(merge.shared, truth, body) < 40
    nothing = dict.fromkeys(Encoding._fields) | {"keypoint_maps": torch.zeros(3, 67, 64, 64)}
    assert fit._evidence(fit_job.subject(), Encoding(**nothing), rows)[1] is None


def test_cancellation_stops_the_fit(models, untrained_weights, scene):
    def step(stage):
        raise Cancelled("Cancelled.")

    views, boxes, _ = scene
    with pytest.raises(Cancelled):
        fit_person(FitJob(models, FitOptions(weights=untrained_weights), "cpu", step), views, boxes)
