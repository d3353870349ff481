# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibrated pictures to a result file: who is who, reasons, failures, protocol and command line."""

import io
import json
from dataclasses import fields, replace

import cv2
import numpy as np
import pytest
import tqdm
from engine_doubles import ScriptedDetector, ScriptedModels, view_call
from refit_engine import cli
from refit_engine.body import BodyModel, load_body
from refit_engine.camera import project
from refit_engine.detect import Detection
from refit_engine.distortion import Distortion, distort_points
from refit_engine.errors import Cancelled, ImageError, NoPersonFound, ViewsError
from refit_engine.fitting import FitOptions, ViewFitter, ViewRequest
from refit_engine.fitting.multiview.fit import FitNumbers, WorldPeople
from refit_engine.fitting.multiview.view_fitter import _reasons, mixed_up
from refit_engine.fitting.multiview.views import load_view
from refit_engine.fitting.output import write_views_output
from refit_engine.images import write_image
from refit_engine.multiview_results import read_multiview_result
from refit_engine.overlay import draw_overlay
from refit_engine.protocol import ProtocolError
from refit_engine.service import EngineService
from refit_engine.worker import Job
from test_multiview import SIZE, camera_views, standing


class SeesNobody(ScriptedDetector):
    """A detector for boxes that are given."""

    def __init__(self):
        super().__init__([])


@pytest.fixture(scope="module")
def body():
    return load_body()


@pytest.fixture(scope="module")
def scene(body, tmp_path_factory):
    """Requests for three pictures of two people, with the boxes around the first, and the second person's boxes."""
    folder = tmp_path_factory.mktemp("views")
    truth = standing(body, seed=2, people=2)
    output = BodyModel(body)(truth.betas.float(), truth.rotmats.float(), truth.transl.float())
    vertices = output.vertices.numpy().astype(np.float64)
    requests, others = [], []
    for view in camera_views(3, focal=300.0, middle=(0.9, -0.1, 0.9)):
        seen = vertices @ view.R.T + view.t
        room = np.full((SIZE[1], SIZE[0], 3), (150, 160, 165), np.uint8)
        path = folder / f"{view.name}.png"
        write_image(path, draw_overlay(room, seen, body.faces, view.intrinsics.K))
        boxes = [np.concatenate([p.min(axis=0), np.ptp(p, axis=0)]) for p in project(seen, view.intrinsics.K)]
        requests.append(ViewRequest(view.name, path, view.intrinsics.K, view.R, view.t, boxes_xywh=boxes[0][None]))
        others.append(boxes[1])
    return requests, others


@pytest.fixture(scope="module")
def models():
    return ScriptedModels(SeesNobody())


@pytest.fixture(autouse=True)
def all_views_agree(monkeypatch):
    """Smooth puppets in small pictures are hard to see: what matters here is not whether views agree."""
    monkeypatch.setattr("refit_engine.fitting.multiview.fit.NUMBERS", FitNumbers(least_weight=0.0))


@pytest.fixture
def fitter(models, untrained_weights):
    return ViewFitter(models, FitOptions(weights=untrained_weights, iterations=1), "cpu")


def test_result_is_complete_consistent_and_survives_the_file(fitter, scene, body, tmp_path):
    requests, _ = scene
    result, views = fitter.reconstruct(requests)
    assert result.view_names == tuple(request.name for request in requests) and result.people == 1
    assert result.used.tolist() == [[True] * 3] and result.iterations == 1
    output = write_views_output(tmp_path / "out", result, views, body, overlay=True)
    back = read_multiview_result(output.npz)
    for name in result.__dataclass_fields__:
        before, after = getattr(result, name), getattr(back, name)
        if isinstance(before, np.ndarray) and before.dtype.kind == "f":
            np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)
        else:
            assert np.array_equal(after, before)
    seen = back.joints_world @ back.R_world2cam[1].T + back.t_world2cam[1]
    np.testing.assert_allclose(project(seen, back.K[1])[0], back.joints2d[0, 1], atol=0.01)
    assert [cv2.imread(str(path)).shape[1::-1] for path in output.overlays] == [SIZE] * 3


def test_people_are_told_apart_over_views(scene, untrained_weights, monkeypatch):
    """Two people, listed in another order by each view: the matched ones go together."""
    requests, others = scene
    given = []

    class Matched:
        def __init__(self, *indices):
            self.indices = indices

    def match(views):
        given.extend(views)
        return [Matched(1, 0, 1), Matched(0, None, 0)]

    monkeypatch.setattr("refit_engine.fitting.multiview.view_fitter.match_people", match)
    monkeypatch.setattr("refit_engine.fitting.multiview.view_fitter.mixed_up", lambda _people, kept, _views: ~kept)
    both = [
        replace(one, boxes_xywh=np.stack([other, one.boxes_xywh[0]] if number != 1 else [one.boxes_xywh[0], other]))
        for number, (one, other) in enumerate(zip(requests, others, strict=True))
    ]
    joints = np.full((17, 3), 0.5, np.float32)
    models = ScriptedModels(ScriptedDetector([Detection((60.0, 60.0, 130.0, 130.0), 0.9, joints)]))
    fitter = ViewFitter(models, FitOptions(weights=untrained_weights, iterations=1, confidence=False), "cpu")
    result, _ = fitter.reconstruct(both)
    assert [len(view.boxes) for view in given] == [2, 2, 2] and given[0].joint_scores.max() == 0.5
    np.testing.assert_allclose(result.boxes_xywh[0], [one.boxes_xywh[0] for one in requests])
    np.testing.assert_allclose(result.boxes_xywh[1, 0], others[0])
    assert np.isnan(result.boxes_xywh[1, 1]).all() and "not found" in result.reasons[1, 1]
    largest = replace(fitter.options, people="largest")
    assert ViewFitter(models, largest, "cpu").reconstruct(both)[0].people == 1


def test_reasons_are_plain_words():
    from types import SimpleNamespace

    people = SimpleNamespace(
        used=np.array([[True, False, False, False, False, True]]),
        seen=np.array([[True, False, True, True, False, True]]),
        visibility=np.array([[0.9, np.nan, 0.2, 0.9, np.nan, 0.9]]),
        reprojection_errors=np.array([[3.0, np.nan, 40.0, 85.4, np.nan, 20.0]]),
        turned_degrees=np.array([[0, 0, 0, 0, 0, 2.96]]),
    )
    reasons = _reasons(people, [True, True, True, True, False, True])[0]
    assert reasons[0] == "" and reasons[4] == "nobody was found in the picture"
    assert "this person was not" in reasons[1] or "the person was not" in reasons[1]
    assert "too little" in reasons[2] and "85 px" in reasons[3] and "turned by 3.0°" in reasons[5]


def test_lens_distortion_is_taken_out_of_picture_and_boxes(scene):
    requests, _ = scene
    request = requests[0]
    distortion = Distortion.opencv((-0.2, 0.05, 0.001, -0.001, 0.0))
    box = np.array([60.0, 50.0, 40.0, 80.0])
    x, y, w, h = box
    corners = distort_points(np.array([[x, y], [x + w, y], [x, y + h], [x + w, y + h]]), request.K, distortion)
    taken = np.concatenate([corners.min(axis=0), np.ptp(corners, axis=0)])
    view, photo, boxes = load_view(replace(request, distortion=distortion, boxes_xywh=taken[None]))
    assert np.abs(boxes[0] - box).max() < 6 and photo.pixels is view.pixels
    plain, _, _ = load_view(request)
    assert not np.array_equal(view.pixels, plain.pixels)
    np.testing.assert_allclose(view.intrinsics.K, request.K)


@pytest.mark.parametrize(
    "change, error, words",
    [
        (lambda r: r[:1], ViewsError, "two to"),
        (lambda r: [r[0], replace(r[1], name=r[0].name)], ViewsError, "called camera 0"),
        (lambda r: [r[0], replace(r[1], R=2 * r[1].R)], ViewsError, "no rotation"),
        (lambda r: [r[0], replace(r[1], R=-r[1].R)], ViewsError, "no rotation"),
        (lambda r: [r[0], replace(r[1], t=np.full(3, np.nan))], ViewsError, "finite"),
        (lambda r: [r[0], replace(r[1], t=np.full(3, 1e300))], ViewsError, "1e.300 metres from the origin: check"),
        (lambda r: [r[0], replace(r[1], size=(1920, 1080))], ImageError, "320x240 pixels, but the camera camera 1"),
        (lambda r: [r[0], replace(r[1], K=np.diag([-300.0, 300.0, 1.0]))], ImageError, "camera matrix"),
        (lambda r: [r[0], replace(r[1], image=r[1].image.with_name("none.png"))], ImageError, "no image"),
        (lambda r: [replace(one, boxes_xywh=None) for one in r], NoPersonFound, "any of the pictures"),
        (lambda r: [r[0], *(replace(one, boxes_xywh=None) for one in r[1:])], ViewsError, "Only the camera camera 0"),
    ],
    ids=["one view", "names", "scaled", "mirrored", "nan", "far", "size", "matrix", "missing", "nobody", "one shows"],
)
def test_each_bad_input_is_one_sentence(fitter, scene, change, error, words):
    with pytest.raises(error, match=words) as caught:
        fitter.reconstruct(change(scene[0]))
    assert str(caught.value).endswith(".")


def test_views_that_do_not_agree_are_an_error_that_says_why(fitter, scene, monkeypatch):
    monkeypatch.setattr("refit_engine.fitting.multiview.fit.NUMBERS", FitNumbers(least_weight=1.1))
    with pytest.raises(ViewsError, match="agree on where the person is .camera 0: .* px beside"):
        fitter.reconstruct(scene[0])


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([[1, 1, np.nan, np.nan], [np.nan, np.nan, 6, 5]], [False, True]),  # pixels; 3 of them are some 4 cm
        ([[1, 1, np.nan, np.nan], [np.nan, np.nan, 2, 2]], [False, False]),
        ([[5, 5, np.nan, np.nan], [np.nan, np.nan, 12, 13]], [False, True]),
        ([[1, 1, np.nan, np.nan], [np.nan, 6, 5, 6]], [False, False]),  # three views vouch for it
    ],
)
def test_bodies_of_two_views_that_do_not_belong_together_are_told(errors, expected):
    views = camera_views(4, focal=300.0, middle=(0.0, 0.0, 0.0))
    seen = np.isfinite(errors)
    blank = dict.fromkeys(field.name for field in fields(WorldPeople))
    known = {"joints": np.zeros((2, 24, 3)), "seen": seen, "weights": seen * 1.0}
    people = WorldPeople(**{**blank, **known, "reprojection_errors": np.array(errors, dtype=float)})
    assert mixed_up(people, np.ones(2, dtype=bool), views).tolist() == expected


# --------------------------------------------------------------------------------------- protocol and command line


@pytest.fixture
def parameters(scene, untrained_weights, tmp_path):
    return {
        "views": [
            {
                **view_call(one),
                "distortion": {"model": "opencv", "coefficients": [0.01, 0.0, 0.0, 0.0]},
                "bboxes_xywh": one.boxes_xywh.tolist(),
            }
            for one in scene[0]
        ],
        "people": "all",
        "weights": str(untrained_weights),
        "iterations": 1,
        "device": "cpu",
        "overlay": True,
        "job_folder": str(tmp_path / "job"),
    }


@pytest.fixture
def service(models):
    return EngineService(models)


@pytest.fixture
def job():
    lines = []
    job = Job(1, lines.append)
    job.lines = lines
    return job


def test_fit_views_answers_what_it_wrote(service, job, parameters):
    answer = service.fit_views(parameters, job)
    result = read_multiview_result(answer["npz"])
    assert answer["people"] == result.people == 1 and answer["body_file"] == result.body_file
    assert [view["name"] for view in answer["views"]] == list(result.view_names)
    for number, view in enumerate(answer["views"]):
        (person,) = view["people"]
        assert person["used"] and person["weight"] == pytest.approx(result.weights[0, number], abs=1e-5)
        assert person["reprojection_error_px"] == pytest.approx(result.reprojection_errors[0, number], rel=1e-4)
        assert cv2.imread(view["overlay"]).shape[1::-1] == SIZE
    steps = [json.loads(line)["params"] for line in job.lines]
    assert steps[0]["stage"] == "load" and steps[-1]["stage"] == "done" and steps[-1]["done"] == steps[-1]["total"]
    assert [step["done"] for step in steps] == sorted(step["done"] for step in steps)
    assert {"detect", "fit", "write"} <= {step["stage"] for step in steps}
    json.dumps(answer, allow_nan=False)


def test_fit_views_takes_ten_updates_unless_told_otherwise(service, job, parameters):
    del parameters["iterations"]
    assert read_multiview_result(service.fit_views(parameters, job)["npz"]).iterations == 10


def test_cancelled_fit_writes_nothing(service, job, parameters, tmp_path):
    job.cancelled.set()
    with pytest.raises(Cancelled):
        service.fit_views(parameters, job)
    assert not (tmp_path / "job").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"K": None},
        {"K": [[1, 2], [3, 4]]},
        {"R_world2cam": [[1, 0, 0]]},
        {"t_world2cam": [0, 0]},
        {"distortion": {"model": "opencv"}},
        {"distortion": [0.1]},
        {"distortion": {"model": "opencv", "coefficients": ["much"]}},
        {"image": None},
        {"colour": "red"},
    ],
    ids=str,
)
def test_wrong_parameters_are_named(service, job, parameters, change):
    parameters["views"][1] |= change
    with pytest.raises(ProtocolError, match=r"views\[1\]"):
        service.fit_views(parameters, job)


def test_command_line_fits_views(models, monkeypatch, parameters, tmp_path, capsys):
    monkeypatch.setattr("refit_engine.fitting.Models", lambda: models)
    for view in parameters["views"]:
        view["image"] = view["image"].rpartition("/")[2]
    file = tmp_path / "views.json"
    file.write_text(json.dumps(parameters["views"]))
    for one in parameters["views"]:
        (tmp_path / one["image"]).write_bytes(_png())
    bars = []

    class Bar(tqdm.tqdm):
        def __init__(self, *words, **options):
            super().__init__(*words, **{**options, "disable": False, "file": io.StringIO()})
            bars.append(self)

    monkeypatch.setattr(tqdm, "tqdm", Bar)
    weights = parameters["weights"]
    options = ["--weights", weights, "--iterations", "1", "--device", "cpu", "--out", str(tmp_path / "out")]
    assert cli.main(["fit-views", str(file), *options]) == 0
    assert [(bar.n, bar.total) for bar in bars] == [(3, 3)]  # the bar has counted all views
    assert read_multiview_result(tmp_path / "out" / "result.npz").people == 1
    assert len(list((tmp_path / "out").glob("overlay_*.png"))) == 3
    assert "camera 1:" in capsys.readouterr().err


def _png():
    pixels = np.random.default_rng(0).integers(0, 255, (SIZE[1], SIZE[0], 3), np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


@pytest.mark.parametrize("content", ["", "{", "[]", '[{"name": "a"}]', '{"cameras": []}'])
def test_command_line_names_what_is_wrong_with_the_file(tmp_path, capsys, content):
    file = tmp_path / "views.json"
    file.write_text(content)
    assert cli.main(["fit-views", str(file), "--out", str(tmp_path / "out")]) == 1
    assert "views.json" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
