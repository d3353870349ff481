# SPDX-License-Identifier: GPL-3.0-or-later
"""The evaluation format: one line per record whatever happens, in the dataset's own pixels and camera."""

import json

import numpy as np
import pytest
import refit_engine.fitting
from engine_doubles import ScriptedDetector, ScriptedModels, street
from refit_engine.camera import project
from refit_engine.cli import main
from refit_engine.distortion import Distortion, undistort_image
from refit_engine.evaluate import JOINTS, DatasetError, multiview_predictions, predictions, read_dataset
from refit_engine.fitting import FitOptions, Fitter
from refit_engine.fitting.job import FitJob
from refit_engine.images import write_image

K = [[300.0, 0, 160], [0, 300, 120], [0, 0, 1]]
BOX = [110, 40, 90, 170]
DIST = [-0.2, 0.05, 0.001, 0.0, 0.0]


@pytest.fixture(scope="module")
def fitter(untrained_weights):
    return Fitter(ScriptedModels(ScriptedDetector([])), FitOptions(weights=untrained_weights), "cpu")


@pytest.fixture
def record(photo_file):
    return {
        "id": "a/1",
        "image": photo_file.name,
        "width": 320,
        "height": 240,
        "bbox_xywh": BOX,
        "K": K,
        "dist": None,
        "group": None,
        "joints3d": "ground truth is not looked at",
    }


@pytest.fixture(scope="module")
def together(untrained_weights):
    return FitJob(ScriptedModels(ScriptedDetector([])), FitOptions(weights=untrained_weights, iterations=2), "cpu")


@pytest.fixture
def group(record):
    """Two cameras that look at the origin along and across, and a third that nobody has calibrated."""
    along = {"R_world2cam": [[1, 0, 0], [0, 1, 0], [0, 0, 1]], "t_world2cam": [0, 0, 4]}
    across = {"R_world2cam": [[0, 0, 1], [0, 1, 0], [-1, 0, 0]], "t_world2cam": [0, 0, 4]}
    unknown = {"R_world2cam": None, "t_world2cam": None}
    return [
        {**record, **camera, "id": f"g/{number}", "group": "g", "view": f"cam{number}"}
        for number, camera in enumerate((along, across, unknown))
    ]


def predict(record, folder, fitter):
    (prediction,) = predictions([record], folder, fitter)
    return prediction


def arrays(prediction):
    return (np.array([prediction[field][name] for name in JOINTS]) for field in ("joints3d_cam", "keypoints2d"))


def assert_marks_lie_at_joints(joints, pixels, camera):
    """People mark hips higher than the joints, and nothing farther than that."""
    apart = np.linalg.norm(pixels - project(joints, camera), axis=1) * joints[:, 2] / camera[0, 0]
    hips = [name.endswith("hip") for name in JOINTS]
    assert (apart < 0.08).all()
    assert 0.02 < apart[hips].mean() < 0.06


def test_prediction_has_the_named_joints_in_both_spaces(record, tmp_path, fitter):
    prediction = predict(record, tmp_path, fitter)
    assert prediction["id"] == "a/1" and prediction["seconds"] > 0
    assert (
        sorted(prediction["joints3d_cam"])
        == sorted(prediction["keypoints2d"])
        == sorted(
            f"{side}_{joint}"
            for side in ("left", "right")
            for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
        )
    )
    assert_marks_lie_at_joints(*arrays(prediction), np.array(K))


def test_camera_is_assumed_where_none_is_given(record, tmp_path, fitter):
    prediction = predict({**record, "K": None, "width": None, "height": None}, tmp_path, fitter)
    assumed = np.array([[400.0, 0, 160], [0, 400, 120], [0, 0, 1]])
    assert_marks_lie_at_joints(*arrays(prediction), assumed)


def test_distorted_picture_gives_the_body_of_the_undistorted_one_and_pixels_of_its_own(record, tmp_path, fitter):
    distorted = predict({**record, "dist": DIST}, tmp_path, fitter)
    write_image(tmp_path / "flat.png", undistort_image(street(), np.array(K), Distortion.opencv(DIST))[0])
    flat = predict({**record, "image": "flat.png"}, tmp_path, fitter)
    (joints, pixels), (flat_joints, _) = arrays(distorted), arrays(flat)
    # The box grows a little when it is undistorted, so the bodies agree but roughly.
    assert np.abs(joints - flat_joints).max() < 0.5
    assert np.abs(pixels - project(joints, np.array(K))).max() > 0.3


@pytest.mark.parametrize(
    "change, says",
    [
        ({"image": "missing.jpg"}, "no image"),
        ({"image": None}, "has no image"),
        ({"bbox_xywh": None}, "bbox_xywh"),
        ({"bbox_xywh": [1, 2, 3]}, "bbox_xywh"),
        ({"bbox_xywh": [1, 2, float("nan"), 4]}, "bbox_xywh"),
        ({"bbox_xywh": [900, 2, 10, 10]}, "does not lie"),
        ({"K": [[0, 0, 0]] * 3}, "matrix"),
        ({"K": "yes"}, "proper K"),
        ({"width": 111}, "320x240 pixels, not 111x240"),
        ({"width": "abc"}, "a/1 has no proper width"),
        ({"image": "a\0b.jpg"}, "image of record a/1 is no path"),
        ({"group": ["g"]}, "group of record a/1 is no name"),
        ({"bbox_xywh": [10**400, 2, 30, 40]}, "a/1 has no proper bbox_xywh"),
        ({"K": [[1e300, 0, 160], [0, 1e300, 120], [0, 0, 1]]}, "a/1 has no proper K"),
    ],
    ids=str,
)
def test_bad_record_says_why_and_the_next_is_predicted(record, tmp_path, fitter, change, says):
    bad, good = predictions([{**record, **change}, record], tmp_path, fitter)
    assert set(bad) == {"id", "error"} and says in bad["error"]
    assert "joints3d_cam" in good


def test_members_of_a_group_share_one_body_in_the_world_and_keep_their_own(record, group, tmp_path, fitter, together):
    records = [group[0], record, *group[1:]]
    found = {one["id"]: one for one in multiview_predictions(records, tmp_path, fitter, together)}
    assert set(found) == {"a/1", "g/0", "g/1", "g/2"} and "world_joints3d" not in found["a/1"]
    world = [found[f"g/{number}"]["world_joints3d"] for number in range(3)]
    assert world[0] == world[1] == world[2] and sorted(world[0]) == sorted(JOINTS)
    assert np.isfinite([world[0][name] for name in JOINTS]).all()
    alone = predict(group[0], tmp_path, fitter)
    assert found["g/0"]["joints3d_cam"] == alone["joints3d_cam"]


@pytest.mark.parametrize(
    "change, says",
    [
        ({"image": "missing.jpg"}, "Fewer than two"),
        ({"R_world2cam": None}, "Fewer than two"),
        ({"t_world2cam": [1, 2]}, "proper t_world2cam"),
        ({"R_world2cam": [[0, 0, 0]] * 3}, "is no rotation"),
    ],
    ids=str,
)
def test_group_that_cannot_be_fitted_leaves_the_single_views(group, tmp_path, fitter, change, says, untrained_weights):
    job = FitJob(ScriptedModels(ScriptedDetector([])), FitOptions(weights=untrained_weights), "cpu")
    found = list(multiview_predictions([{**group[0], **change}, group[1]], tmp_path, fitter, job))
    assert [("error" in one) for one in found] == ["image" in change, False]
    assert "joints3d_cam" in found[1] and "world_joints3d" not in found[1]
    assert len(job.messages) == 1 and job.messages[0].startswith("Group g ") and says in job.messages[0]


@pytest.mark.parametrize("text", ["{}", "[1]", '[{"image": "a"}]', "no json", "[" * 100_000], ids=range(5))
def test_foreign_dataset_is_named(tmp_path, text):
    (tmp_path / "set.json").write_text(text)
    with pytest.raises(DatasetError, match="set.json"):
        read_dataset(tmp_path / "set.json")


def test_command_writes_a_line_per_record(record, tmp_path, untrained_weights, monkeypatch, capsys):
    monkeypatch.setattr(refit_engine.fitting, "Models", lambda: ScriptedModels(ScriptedDetector([])))
    records = [record, {**record, "id": 2, "image": "missing.jpg"}, {**record, "id": 3, "dist": DIST}]
    (tmp_path / "set.json").write_text(json.dumps(records))
    out = tmp_path / "new" / "predictions.jsonl"
    arguments = ["evaluate", tmp_path / "set.json", "--out", out, "--weights", untrained_weights]
    assert main([str(part) for part in [*arguments, "--device", "cpu"]]) == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(line["id"], "error" in line) for line in lines] == [("a/1", False), (2, True), (3, False)]
    assert "1 of 3 records failed" in capsys.readouterr().err


def test_command_fits_groups_together_where_asked(group, tmp_path, untrained_weights, monkeypatch, capsys):
    monkeypatch.setattr(refit_engine.fitting, "Models", lambda: ScriptedModels(ScriptedDetector([])))
    (tmp_path / "set.json").write_text(json.dumps([*group, {**group[0], "group": "alone"}]))
    out = tmp_path / "predictions.jsonl"
    arguments = ["evaluate", tmp_path / "set.json", "--multiview", "--out", out, "--weights", untrained_weights]
    assert main([str(part) for part in [*arguments, "--device", "cpu", "--iterations", "1"]]) == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert ["world_joints3d" in line for line in lines] == [True, True, True, False]
    assert "Group alone has no body in the world" in capsys.readouterr().err
