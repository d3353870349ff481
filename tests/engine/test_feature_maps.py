# SPDX-License-Identifier: GPL-3.0-or-later
"""Keypoint maps: whose they are, where the body's keypoints lie in them, and how they are drawn."""

import json

import numpy as np
import pytest
import refit_engine.fitting
from engine_doubles import Found, ScriptedDetector, ScriptedModels, street
from parity_rules import fake_smpl
from refit_engine.body import load_body
from refit_engine.camera import project
from refit_engine.cli import main
from refit_engine.crop import crop_matrix, transform
from refit_engine.fitting import FitOptions, ImageRequest
from refit_engine.fitting.crops.refinement import CropSource
from refit_engine.fitting.feature_maps import FeatureMaps, MapFitter
from refit_engine.fitting.shown import FEET
from refit_engine.images import read_photo, write_image
from refit_engine.map_sheet import CAPTION, TILE, draw_sheet, draw_tile
from refit_engine.network.keypoints import KEYPOINT_COUNTS, keypoint_names
from refit_engine.protocol import ProtocolError
from refit_engine.service import EngineService
from refit_engine.worker import Job

SMALL, LARGE = (10.0, 40.0, 40.0, 80.0), (110.0, 40.0, 90.0, 170.0)


@pytest.fixture
def models():
    """Two people in pictures of 320x240, nobody in others."""
    return ScriptedModels(ScriptedDetector([Found(SMALL, 0.9), Found(LARGE, 0.8)], size=(320, 240)))


@pytest.fixture
def fitter(models, untrained_weights):
    def build(**options) -> MapFitter:
        return MapFitter(models, FitOptions(weights=untrained_weights, confidence=False, **options), "cpu")

    return build


def test_maps_are_of_the_largest_person_and_keypoints_of_the_body(fitter, photo_file, nothing_hidden):
    job = fitter(iterations=3)
    maps = job.feature_maps(ImageRequest(photo_file, focal=400))
    assert maps.maps.shape == (67, 64, 64) and maps.iterations == 3 and maps.weights_name == "untrained"
    ready = job.prepare(ImageRequest(photo_file, focal=400))
    box = np.array([LARGE])
    (crop,), _, encoding = job.observe([CropSource(ready.photo.pixels, box[0], ready.intrinsics)], 1)
    np.testing.assert_allclose(maps.maps, encoding.keypoint_maps[0], atol=1e-4)
    body = job.subject().loop_body.data
    still = body.weights[body.marker_ids][:, FEET.ravel()].sum(axis=1) < 1e-6  # the result's feet turn after the loop
    assert still.sum() > 50
    for keypoints, iterations in ((maps.first, 0), (maps.last, 3)):
        people = fitter(iterations=iterations).fit(ready.photo.pixels, box, ready.intrinsics)
        pixels = project(people.vertices[0, body.marker_ids[still]], ready.intrinsics.K)
        np.testing.assert_allclose(keypoints[still], transform(crop_matrix(crop, ready.intrinsics), pixels), atol=0.05)
    assert np.abs(maps.first - maps.last).max() > 1


def test_maps_are_of_the_person_in_a_given_box(fitter, photo_file):
    given = ImageRequest(photo_file, boxes_xywh=np.array([SMALL]))
    assert np.abs(fitter().feature_maps(given).crop - fitter().feature_maps(ImageRequest(photo_file)).crop).any()


def test_every_keypoint_has_a_name_of_its_own(tmp_path):
    np.savez(tmp_path / "SMPL_NEUTRAL.npz", **fake_smpl())
    for data in (load_body(), load_body(tmp_path / "SMPL_NEUTRAL.npz")):
        for kind, count in KEYPOINT_COUNTS.items():
            names = keypoint_names(data, kind)
            assert len(names) == len(set(names)) == count
    assert keypoint_names(load_body(), "markers67")[0] == "head_top"


def made_up(**changes) -> FeatureMaps:
    """A peak at cell (16, 40) and a valley at (48, 8) of the first of five maps, on a black crop."""
    maps = np.zeros((5, 64, 64), np.float32)
    maps[0, 39:42, 15:18], maps[0, 7:10, 47:50] = 5, -5
    places = np.full((5, 2), 128.0)
    values = {"crop": np.zeros((256, 256, 3), np.uint8), "maps": maps, "first": places, "last": places}
    return FeatureMaps(**values | changes, names=tuple("abcde"), iterations=4, weights_name="w")


def test_peaks_are_red_and_valleys_blue_where_the_lookup_finds_them():
    tile = draw_tile(made_up(), 0)
    assert tile.shape == (TILE + CAPTION, TILE, 3)
    picture, cell = tile[CAPTION:].astype(int), TILE / 64
    red, _, blue = picture[round(40 * cell), round(16 * cell)]
    assert red > 150 > 80 > blue
    red, _, blue = picture[round(8 * cell), round(48 * cell)]
    assert blue > 150 > 80 > red
    other = picture[TILE // 2 :, TILE // 2 + 10 :]
    assert np.ptp(other, axis=2).max() == 0  # grey


def test_marks_lie_at_the_keypoints_and_those_outside_are_not_seen():
    first, last = np.full((5, 2), 64.0), np.full((5, 2), 192.0)
    plain = draw_tile(made_up(first=first - 1e9, last=last + 1e9), 1)
    marked = draw_tile(made_up(first=first, last=last), 1)
    rows, columns = np.nonzero((plain != marked).any(axis=2))
    ring = columns < TILE / 2
    for part, place in ((ring, 64), (~ring, 192)):
        middle = columns[part].mean() + 0.5, rows[part].mean() + 0.5 - CAPTION
        np.testing.assert_allclose(middle, place * TILE / 256, atol=1)


def test_sheet_has_a_tile_for_each_keypoint_and_one_for_the_crop():
    sheet = draw_sheet(made_up())
    assert sheet.shape == (2 * CAPTION + 2 * (TILE + CAPTION), 3 * TILE, 3)


def command(photo, tmp_path, *arguments):
    return main([str(part) for part in ["maps", photo, "--out", tmp_path / "out", "--device", "cpu", *arguments]])


@pytest.fixture
def scripted(monkeypatch, models):
    monkeypatch.setattr(refit_engine.fitting, "Models", lambda: models)


def test_command_writes_a_picture_a_keypoint_and_a_sheet(scripted, photo_file, untrained_weights, tmp_path, capsys):
    assert command(photo_file, tmp_path, "--weights", untrained_weights) == 0
    files = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert len(files) == 68 and files[0] == "000_head_top.png" and files[-1] == "sheet.png"
    assert read_photo(tmp_path / "out" / "000_head_top.png").size == (TILE, TILE + CAPTION)
    assert "67 keypoint maps" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["missing.jpg"], "There is no image at missing.jpg."),
        (["TEXT"], "text.jpg is not an image"),
        (["EMPTY_STREET"], "Nobody was found in empty.png."),
        (["PHOTO", "--bbox", "900,900,10,10"], "does not lie in"),
        (["PHOTO", "--out", "PHOTO"], "Not a directory"),
        (["PHOTO", "--weights", "TEXT"], "text.jpg is not a weights file"),
    ],
    ids=["missing", "no image", "nobody", "box", "folder", "weights"],
)
def test_failure_is_one_sentence_and_writes_nothing(scripted, photo_file, tmp_path, capsys, arguments, says):
    write_image(tmp_path / "empty.png", street(160, 120))
    (tmp_path / "text.jpg").write_text("no picture")
    names = {"PHOTO": photo_file, "EMPTY_STREET": tmp_path / "empty.png", "TEXT": tmp_path / "text.jpg"}
    photo, *arguments = [names.get(part, part) for part in arguments]
    assert command(photo, tmp_path, *arguments) == 1
    error = capsys.readouterr().err
    assert says in error and error.startswith("refit-engine: ") and "Traceback" not in error
    assert not (tmp_path / "out").exists()


@pytest.fixture
def answer(models, untrained_weights, tmp_path):
    """What the service answers, and the progress that it tells."""

    def ask(*images, **changes):
        lines = []
        params = {"images": [{"image": str(image)} for image in images], "job_folder": str(tmp_path / "job")}
        params |= {"weights": str(untrained_weights), "device": "cpu", **changes}
        found = EngineService(models).feature_maps(params, Job(1, lines.append))
        return found, [json.loads(line)["params"] for line in lines]

    return ask


def test_service_draws_the_sheet_into_the_folder_of_the_job(answer, photo_file, tmp_path):
    found, progress = answer(photo_file)
    assert found["sheet"] == str(tmp_path / "job" / "sheet.png") and found["keypoints"] == 67
    assert [file.name for file in (tmp_path / "job").iterdir()] == ["sheet.png"]
    assert [one["stage"] for one in progress] == ["load", "detect", "fit", "write", "done"]
    assert [one["done"] for one in progress] == [0, 1, 2, 3, 4]


def test_service_draws_maps_of_one_picture_only(answer, photo_file):
    with pytest.raises(ProtocolError, match="one picture"):
        answer(photo_file, photo_file)
