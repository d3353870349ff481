# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: files it writes, JSON it prints, one sentence and a non-zero exit for what fails."""

import json
import subprocess
import sys

import numpy as np
import pytest
import refit_engine.fitting
from engine_doubles import Found, ScriptedDetector, ScriptedModels, street
from refit_engine.cli import main
from refit_engine.images import read_photo, write_image
from refit_engine.results import read_result

BOX = "110,40,90,170"


@pytest.fixture(autouse=True)
def scripted_detector(monkeypatch):
    """One person in pictures of 320x240, nobody in others."""
    detector = ScriptedDetector([Found((110.0, 40.0, 90.0, 170.0), 0.87654)], size=(320, 240))
    monkeypatch.setattr(refit_engine.fitting, "Models", lambda: ScriptedModels(detector))


@pytest.fixture
def reconstruct(untrained_weights, tmp_path):
    def run(*arguments: object) -> int:
        defaults = ["--out", tmp_path / "out", "--weights", untrained_weights, "--device", "cpu"]
        return main([str(part) for part in ["reconstruct", *defaults, *arguments]])

    return run


def test_one_image_leaves_its_files_in_the_folder(reconstruct, photo_file, tmp_path):
    assert reconstruct(photo_file) == 0
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["overlay.png", "result.npz"]
    result = read_result(tmp_path / "out" / "result.npz")
    assert result.people == 1 and result.focal_source == "default"
    assert read_photo(tmp_path / "out" / "overlay.png").size == (320, 240)


def test_boxes_and_focal_length_are_taken_as_given(reconstruct, photo_file, tmp_path):
    assert reconstruct(photo_file, "--bbox", BOX, "--bbox", "10,60,60,120", "--focal", "500", "--iterations", "2") == 0
    result = read_result(tmp_path / "out" / "result.npz")
    np.testing.assert_allclose(result.boxes_xywh, [[110, 40, 90, 170], [10, 60, 60, 120]])
    assert result.K[0, 0] == 500 and result.focal_source == "user" and result.iterations == 2


def test_several_images_get_folders_and_a_bad_one_stops_nothing(reconstruct, photo_file, tmp_path, capsys):
    (tmp_path / "other").mkdir()
    namesake = tmp_path / "other" / photo_file.name
    write_image(namesake, street())
    broken = tmp_path / "broken.jpg"
    broken.write_text("no picture")
    assert reconstruct(photo_file, broken, namesake) == 1
    assert sorted(folder.name for folder in (tmp_path / "out").iterdir()) == ["photo", "photo_2"]
    assert "broken.jpg is not an image" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["missing.jpg"], "There is no image at missing.jpg."),
        (["PHOTO", "--weights", "missing.pt"], "missing.pt"),
        (["PHOTO", "--weights", "PHOTO"], "photo.png is not a weights file"),
        (["PHOTO", "--body", "PHOTO"], "photo.png is no body file"),
        (["PHOTO", "--bbox", "900,900,10,10"], "does not lie in"),
        (["PHOTO", "--bbox", "9,9,1,30"], "is too small: 4 pixels a side"),
        (["PHOTO", "--focal", "-5"], "focal length must be a positive number"),
        (["EMPTY_STREET"], "Nobody was found in empty.png."),
        (["PHOTO", "--out", "PHOTO"], "photo.png"),
        (["missing.jpg", "--out", "PHOTO"], "Not a directory (PHOTO)"),  # before anything else
    ],
    ids=["image", "weights", "wrong weights", "body", "box", "small box", "focal", "nobody", "folder", "folder first"],
)
def test_failure_is_one_sentence_and_exit_code_1(reconstruct, photo_file, tmp_path, capsys, arguments, says):
    write_image(tmp_path / "empty.png", street(160, 120))
    names = {"PHOTO": photo_file, "EMPTY_STREET": tmp_path / "empty.png"}
    arguments = [names.get(part, part) for part in arguments]
    code = reconstruct(*arguments)
    error = capsys.readouterr().err
    assert code == 1 and says.replace("PHOTO", str(photo_file)) in error and "Traceback" not in error
    assert [line for line in error.splitlines() if line.startswith("refit-engine: ")]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("wrong", [["--bbox", "1,2,3"], ["--device", "tpu"], ["--iterations", "-1"], []], ids=str)
def test_wrong_call_is_exit_code_2(wrong, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["reconstruct", "a.jpg", *wrong])
    assert caught.value.code == 2


def test_detect_prints_boxes_and_scores(photo_file, tmp_path, capsys):
    write_image(tmp_path / "empty.png", street(160, 120))
    assert main(["detect", str(photo_file), str(tmp_path / "empty.png")]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert first == {
        "image": str(photo_file),
        "image_size": [320, 240],
        "people": [{"bbox_xywh": [110.0, 40.0, 90.0, 170.0], "score": 0.8765}],
    }
    assert second["people"] == []


def test_detect_reports_a_bad_image_and_goes_on(photo_file, tmp_path, capsys):
    assert main(["detect", str(tmp_path / "missing.jpg"), str(photo_file)]) == 1
    output = capsys.readouterr()
    first, second = json.loads(output.out)
    assert "no image" in first["error"] and second["people"]


def test_help_needs_no_torch():
    script = (
        "import atexit, sys\n"
        "import refit_engine.cli\n"
        "atexit.register(lambda: print('torch' in sys.modules))\n"
        "refit_engine.cli.main()\n"
    )
    command = [sys.executable, "-c", script, "--help"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.endswith("False\n")
