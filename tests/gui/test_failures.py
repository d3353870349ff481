# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong gives one sentence in the panel and leaves the scene as it was; the next job works again."""

import signal
import subprocess

import pytest
from desktop import signal_engine
from job import SAMPLE_PHOTO

pytestmark = pytest.mark.usefixtures("untouched")


def fails(job, window, name):
    """Press Reconstruct, expect a failure, and return its sentence."""
    job.click_reconstruct()
    job.wait_for_end()
    window.picture(name)
    message = job.error()
    assert message
    assert "Traceback" not in message
    assert "Internal" not in message
    return message


def test_an_engine_killed_in_mid_job(window, job):
    job.choose(SAMPLE_PHOTO)
    with job.held():
        signal_engine(signal.SIGKILL)
    job.wait_for_end(60)
    window.picture("engine-killed")
    assert "engine" in job.error()


def test_a_text_file_named_jpg(window, job, tmp_path):
    """Also shows that a killed engine was replaced."""
    path = tmp_path / "letter.jpg"
    path.write_text("Dear animator,\n")
    job.choose(path)
    assert "letter.jpg" in fails(job, window, "text-file")


def test_a_truncated_photo(window, job, tmp_path):
    path = tmp_path / "half.jpg"
    photo = SAMPLE_PHOTO.read_bytes()
    path.write_bytes(photo[: len(photo) // 2])
    job.choose(path)
    assert "half.jpg" in fails(job, window, "truncated-photo")


def test_a_photo_without_people(window, job, tmp_path):
    path = tmp_path / "floor.jpg"
    subprocess.run(["convert", SAMPLE_PHOTO, "-crop", "1080x520+0+1390", "+repage", path], check=True)
    job.choose(path)
    assert fails(job, window, "nobody-there") == "Nobody was found in floor.jpg."


def test_a_file_that_is_not_there(window, job, tmp_path):
    job.choose(tmp_path / "nowhere.jpg")
    assert "nowhere.jpg" in fails(job, window, "no-file")


def test_weights_of_the_wrong_kind(window, job, tmp_path):
    path = tmp_path / "weights.pt"
    path.write_bytes(SAMPLE_PHOTO.read_bytes())
    job.choose(SAMPLE_PHOTO)
    job.set(weights_path=str(path))
    assert "weights.pt" in fails(job, window, "wrong-weights")
