# SPDX-License-Identifier: GPL-3.0-or-later
"""The paper's evaluation: the mirror test and the rows of table 5, with the published network and weights made by a rule."""

import json
from typing import get_args

import cv2
import numpy as np
import pytest
import refit_engine.fitting
import refit_engine.fitting.job
import roma
import torch
from engine_doubles import ScriptedDetector, ScriptedModels, street
from parity_rules import fake_smpl, fill_by_rule, reference
from refit_engine.body import SMPL_JOINT_NAMES
from refit_engine.camera import Intrinsics
from refit_engine.cli import MULTIVIEW, main
from refit_engine.evaluate import JOINTS, MultiView, multiview_predictions, predictions
from refit_engine.fitting import FitOptions, Fitter
from refit_engine.fitting.crops.refinement import CropSource
from refit_engine.fitting.job import FitJob
from refit_engine.fitting.models import Network
from refit_engine.fitting.multiview.fit import View, fit_person
from refit_engine.images import write_image
from refit_engine.network import CropCamera, ReFit
from refit_engine.network.backbones import BackboneOutput
from torch import nn

K = np.array([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]])
BOX = [110, 40, 90, 170]
MIRRORED_BOX = [320 - 110 - 90, 40, 90, 170]


class SmallBackbone(nn.Module):
    """Stands in for HRNet where its numbers do not matter: it sees edges and colours."""

    channels, vector_size = 8, 16

    def __init__(self) -> None:
        super().__init__()
        self.edges = nn.Conv2d(3, self.channels, 7, stride=4, padding=3)
        self.deep = nn.Conv2d(self.channels, self.vector_size, 16, stride=16)

    def forward(self, crop: torch.Tensor) -> BackboneOutput:
        features = 5 * self.edges(crop - 0.5)
        return BackboneOutput(features, 3 * self.deep(features).tanh().mean(dim=(2, 3)), None)


class PublishedModels(ScriptedModels):
    """The published network with weights made by a rule, which the models keep whatever is asked for."""

    def __init__(self, backbone: nn.Module | None = None) -> None:
        super().__init__(ScriptedDetector([]))
        self.model = ReFit(backbone=backbone).eval()
        fill_by_rule(self.model, reference())

    def network(self, _weights, _device) -> Network:
        return Network(self.model, "by rule", "smpl")


@pytest.fixture(scope="module")
def models():
    return PublishedModels(SmallBackbone())


@pytest.fixture(scope="module")
def body_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("body") / "SMPL_NEUTRAL.npz"
    np.savez(path, **fake_smpl())
    return path


@pytest.fixture
def options(body_file):
    def build(**changes) -> FitOptions:
        return FitOptions(body=body_file, **{"confidence": False, "iterations": 1, **changes})

    return build


@pytest.fixture
def fit(models, options):
    """One person of a picture: rotmats [24,3,3], betas [10]."""

    def run(pixels: np.ndarray, box: list[int], **changes):
        fitter = Fitter(models, options(**changes), "cpu")
        people = fitter.fit(pixels, np.array([box], dtype=float), Intrinsics(K, "scene"))
        return people.rotmats[0], people.betas[0]

    return run


def mirrored(rotmats: np.ndarray) -> np.ndarray:
    """The pose of the person in the mirrored picture."""
    # fmt: off
    other = [0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20, 23, 22]
    # fmt: on
    flip = np.diag([-1.0, 1, 1])
    return flip @ rotmats[other] @ flip


def test_mirror_test_gives_the_published_numbers(options, monkeypatch):
    """The reference's crops, which are normalised already, in the place of those that would be cut."""
    published = {name: torch.from_numpy(np.asarray(value)) for name, value in reference().items()}
    names = ("in_center", "in_scale", "in_img_focal", "in_img_center")
    center, scale, focal, principal = (published[name] for name in names)
    monkeypatch.setattr(refit_engine.fitting.job, "cut_out", lambda *_: published["in_img"])
    camera = CropCamera(center, 200 * scale, focal, principal)
    monkeypatch.setattr(refit_engine.fitting.job, "crop_camera", lambda *_: camera)
    models = PublishedModels()
    network = models.model
    monkeypatch.setattr(network, "encode", lambda rgb: network.encode_features(network.backbone.trunk(rgb)))
    fitter = Fitter(models, options(flip=True, iterations=5), "cpu")
    people = fitter.fit(street(), np.array([BOX, BOX], dtype=float), Intrinsics(K, "scene"))

    np.testing.assert_allclose(people.betas, published["flip_out_pred_shape"], atol=1e-5)
    # See test_parity: the published code's own rounding, where a component of its quaternions is nearly zero.
    error = np.abs(people.rotmats - published["flip_out_pred_rotmat"].numpy()).max(axis=(2, 3))
    assert (error > 1e-5).sum() <= 1 and error.max() < 3e-5


def test_mirror_test_is_the_mean_of_picture_and_mirrored_picture(fit):
    pixels = street()
    rotmats, betas = fit(pixels, BOX, flip=True)
    one, other = fit(pixels, BOX), fit(pixels[:, ::-1], MIRRORED_BOX)
    mean = roma.special_procrustes(torch.from_numpy(one[0] + mirrored(other[0]))).numpy()
    np.testing.assert_allclose(rotmats, mean, atol=2e-4)
    np.testing.assert_allclose(betas, (one[1] + other[1]) / 2, atol=2e-4)
    assert np.abs(one[0] - mirrored(other[0])).max() > 0.01


def turned(degrees: float) -> np.ndarray:
    return cv2.Rodrigues(np.array([0.0, np.radians(degrees), 0.0]))[0]


@pytest.fixture
def group(tmp_path):
    """Three cameras around the origin, each with another part of the street."""
    records = []
    for number, degrees in enumerate((0, 70, 150)):
        write_image(tmp_path / f"{number}.png", np.roll(street(), 60 * number, axis=1))
        record = {"id": number, "image": f"{number}.png", "bbox_xywh": BOX, "K": K.tolist(), "group": "g"}
        records.append({**record, "R_world2cam": turned(degrees).tolist(), "t_world2cam": [0.0, 0.1, 4.0]})
    return records


@pytest.fixture
def views(group):
    pictures = [np.roll(street(), 60 * number, axis=1) for number in range(3)]
    poses = [(np.array(one["R_world2cam"]), np.array(one["t_world2cam"])) for one in group]
    intrinsics = Intrinsics(K, "scene")
    return [View(str(n), one, intrinsics, *pose) for n, (one, pose) in enumerate(zip(pictures, poses, strict=True))]


@pytest.fixture
def alone(fit, views):
    """Rotations [3,24,3,3], the root's in the world, and betas [3,10] of each view by itself."""

    def run(iterations: int):
        found = [fit(view.pixels, BOX, iterations=iterations) for view in views]
        rotmats = np.stack([one[0] for one in found])
        rotmats[:, 0] = [view.R.T @ root for view, root in zip(views, rotmats[:, 0], strict=True)]
        return rotmats, np.stack([one[1] for one in found])

    return run


def mean_of(rotmats: np.ndarray, betas: np.ndarray):
    return roma.special_procrustes(torch.from_numpy(rotmats.sum(axis=0))).numpy(), betas.mean(axis=0)


def fused(models, options, views, fusion, iterations):
    return fit_person(FitJob(models, options(iterations=iterations), "cpu"), views, np.array([BOX] * 3, float), fusion)


def test_average_is_the_mean_of_the_views_by_themselves(models, options, views, alone):
    body = fused(models, options, views, "at_the_end", 1)
    rotmats, betas = mean_of(*alone(1))
    np.testing.assert_allclose(body.rotmats[0], rotmats, atol=2e-5)
    np.testing.assert_allclose(body.betas[0], betas, atol=2e-5)


def test_together_is_the_mean_after_every_update(models, options, views, alone):
    start = fused(models, options, views, "as_published", 0)
    rotmats, betas = mean_of(*alone(0))
    np.testing.assert_allclose(start.rotmats[0], rotmats, atol=2e-5)
    np.testing.assert_allclose(start.betas[0], betas, atol=2e-5)

    proposals = [one_update(models, options, view, start) for view in views]
    rotmats, betas = mean_of(*(np.stack(values) for values in zip(*proposals, strict=True)))
    end = fused(models, options, views, "as_published", 1)
    np.testing.assert_allclose(end.rotmats[0], rotmats, atol=2e-5)
    np.testing.assert_allclose(end.betas[0], betas, atol=2e-5)
    assert np.abs(end.rotmats[0] - fused(models, options, views, "at_the_end", 1).rotmats[0]).max() > 1e-4


def one_update(models, options, view, start):
    """What a view makes of the shared start by itself, with its own camera: rotations in the world, betas."""
    job = FitJob(models, options(), "cpu")
    _, camera, encoding = job.observe([CropSource(view.pixels, np.array(BOX, dtype=float), view.intrinsics)], 1)
    shared = start.rotmats[0].copy()
    shared[0] = view.R @ shared[0]
    pose6d = torch.from_numpy(shared[..., :2].reshape(1, -1)).float()
    seen = []

    def begin_there(estimate):
        seen.append(estimate)
        betas = torch.from_numpy(start.betas).float()
        return estimate._replace(pose6d=pose6d, betas=betas) if len(seen) == 1 else estimate

    with torch.inference_mode():
        models.model.refine(encoding, camera, job.subject().points, iterations=1, merge=begin_there)
    rotmats = seen[-1].rotmats()[0].double().numpy()
    rotmats[0] = view.R.T @ rotmats[0]
    return rotmats, seen[-1].betas[0].numpy()


def joints_of(prediction, field):
    return np.array([prediction[field][name] for name in JOINTS])


@pytest.fixture
def predicted(models, options, group, tmp_path):
    """The group's predictions."""

    def run(how: MultiView, iterations: int = 1, **changes):
        fitter = Fitter(models, options(iterations=iterations, **changes), "cpu")
        job = FitJob(models, options(iterations=iterations), "cpu")
        found = list(multiview_predictions(group, tmp_path, fitter, job, how))
        return found, job.messages

    return run


@pytest.mark.parametrize("flip", [False, True])
def test_separate_predictions_are_the_single_views_in_the_world(predicted, group, tmp_path, models, options, flip):
    found, _ = predicted("separate", flip=flip)
    single = list(predictions(group, tmp_path, Fitter(models, options(flip=flip), "cpu")))
    for record, one, other in zip(group, found, single, strict=True):
        assert one["joints3d_cam"] == other["joints3d_cam"]
        R, t = np.array(record["R_world2cam"]), np.array(record["t_world2cam"])
        world = joints_of(one, "world_joints3d")
        np.testing.assert_allclose(world @ R.T + t, joints_of(other, "joints3d_cam"), atol=1e-9)


def test_separate_prediction_needs_its_own_camera_only(predicted, group):
    group[0]["R_world2cam"] = [[0, 0, 0]] * 3
    group[1]["t_world2cam"] = None
    found, messages = predicted("separate")
    assert ["world_joints3d" in one for one in found] == [False, False, True]
    assert len(messages) == 1 and messages[0].startswith("Record 0 ") and "is no rotation" in messages[0]


@pytest.mark.parametrize(("how", "fusion"), [("average", "at_the_end"), ("together", "as_published")])
def test_members_share_the_body_of_the_rule_that_was_asked_for(predicted, models, options, views, how, fusion):
    found, _ = predicted(how)
    body = fused(models, options, views, fusion, 1)
    indices = [SMPL_JOINT_NAMES.index(name) for name in JOINTS]
    for one in found:
        np.testing.assert_allclose(joints_of(one, "world_joints3d"), body.joints[0, indices], atol=1e-5)


def test_command_and_predictions_know_the_same_rules():
    assert get_args(MultiView) == MULTIVIEW


@pytest.fixture
def command(models, body_file, group, tmp_path, monkeypatch):
    """Runs `evaluate` with these arguments, the dataset at the end; its lines."""
    monkeypatch.setattr(refit_engine.fitting, "Models", lambda: models)
    (tmp_path / "set.json").write_text(json.dumps(group))

    def run(*arguments: str):
        out = tmp_path / "out.jsonl"
        fixed = ["evaluate", "--out", str(out), "--body", str(body_file), "--device", "cpu"]
        assert main([*fixed, *arguments, str(tmp_path / "set.json")]) == 0
        return [json.loads(line) for line in out.read_text().splitlines()]

    return run


@pytest.mark.parametrize(
    ("arguments", "how", "iterations"),
    [
        (["--multiview", "separate"], "separate", 5),
        (["--multiview", "average"], "average", 5),
        (["--multiview", "together"], "together", 10),
        (["--multiview", "together", "--iterations", "2"], "together", 2),
        (["--multiview"], "fit-views", 10),
    ],
)
def test_command_fits_groups_by_the_rule(command, predicted, arguments, how, iterations):
    expected, _ = predicted(how, iterations)
    for one, other in zip(command(*arguments), expected, strict=True):
        shared = joints_of(other, "world_joints3d")
        np.testing.assert_allclose(joints_of(one, "world_joints3d"), shared, atol=1e-6)


def test_command_averages_with_the_mirrored_crop(command, models, options, group, tmp_path):
    expected = list(predictions(group, tmp_path, Fitter(models, options(flip=True, iterations=5), "cpu")))
    plain = command()
    for one, other, without in zip(command("--flip"), expected, plain, strict=True):
        assert one["joints3d_cam"] == other["joints3d_cam"] != without["joints3d_cam"]


@pytest.mark.parametrize("arguments", [["--multiview"], ["--multiview", "average"], ["--multiview", "together"]])
def test_mirror_test_of_several_views_is_refused(command, capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        command("--flip", *arguments)
    assert caught.value.code == 2 and "--flip is for single views" in capsys.readouterr().err
