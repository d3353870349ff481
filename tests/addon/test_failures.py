# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever goes wrong: one sentence, the scene as it was, and the next click works."""

import os
import signal
import time
from pathlib import Path

import bpy
import pytest
from blender_helpers import scene_state

from refit_blender import api, engine
from refit_blender.errors import Cancelled, EngineHung, RefitError
from refit_blender.jobs import Limits
from refit_blender.scene import body as bodies
from refit_blender.session import state

SENTENCES = {
    "crash": "The engine stopped unexpectedly (signal 6, last message: “terminate called: out of memory”).",
    "crash_at_start": "The engine stopped while starting (exit code 3, last message: “ImportError: no libtorch”).",
    "no_engine": "has no refit_engine: press Install Engine in the preferences.",
    "no_torch": "The engine's Python lacks torch.",
    "garbage": "The engine sent something that is not its protocol: “Segmentation fault is not JSON”.",
    "not_an_object": "The engine sent something that is not its protocol: “[1, 2]”.",
    "binary": "The engine sent something that is not its protocol",
    "no_result": "The engine sent something that is not its protocol",
    "error_text": "The engine sent something that is not its protocol",
    "error_without_code": "The engine sent something that is not its protocol",
    "id_is_text": "The engine sent something that is not its protocol",
    "infinite_progress": "The engine sent something that is not its protocol",
    "deep": "The engine sent something that is not its protocol",
    "other_protocol": "The engine speaks protocol 99 and this add-on 2: install the engine again from the preferences.",
    "refuse": "The engine refused this add-on: Too old.",
    "damaged_result": "result.npz cannot be read",
    "fail:NoPersonFound:Nobody was found in a photo.png.": "Nobody was found in a photo.png.",
    "fail:ImageError:a photo.png is truncated.": "a photo.png is truncated.",
    "fail:WeightsFileError:w.pt is no ReFit checkpoint.": "w.pt is no ReFit checkpoint.",
    "fail:FileError:No space left on device.": "No space left on device.",
}


def press(photo: Path) -> str:
    """Run the operator and return the sentence with which it fails."""
    bpy.context.scene.refit.image_path = str(photo)
    with pytest.raises(RuntimeError):
        bpy.ops.refit.reconstruct()
    assert state.job is None
    return state.error


@pytest.mark.parametrize("behaviour", SENTENCES)
def test_each_failure_has_its_sentence_and_leaves_the_scene_untouched(photo, install_fake, behaviour):
    install_fake(behaviour)
    before = scene_state()
    assert SENTENCES[behaviour] in press(photo)
    assert scene_state() == before
    install_fake("good")
    assert bpy.ops.refit.reconstruct() == {"FINISHED"}
    assert state.error == ""


@pytest.mark.parametrize("behaviour", ["hang_at_start", "hang"])
def test_hung_engine_is_stopped(photo, install_fake, monkeypatch, behaviour):
    install_fake(behaviour)
    monkeypatch.setattr(engine, "_limits", Limits(start=0.5, silence=0.5, cancel=0.5))
    before = scene_state()
    assert "was stopped" in press(photo)
    assert scene_state() == before
    with pytest.raises(EngineHung):
        api.reconstruct(photo)


def test_engine_killed_in_the_middle_of_a_job(photo, install_fake):
    install_fake("hang")
    job = start(photo)
    wait_for_progress(job)
    os.kill(engine.resident().pid, signal.SIGKILL)
    with pytest.raises(RefitError, match=r"The engine stopped unexpectedly \(signal 9\)\."):
        job.wait()


def test_cancelled_job_ends_as_cancelled_and_the_engine_stays(photo, install_fake):
    fake = install_fake("wait_for_cancel")
    for _ in range(2):
        job = start(photo)
        wait_for_progress(job)
        job.cancel()
        with pytest.raises(Cancelled):
            job.wait()
    assert fake.starts == 1


def test_engine_that_ignores_cancel_is_killed(photo, install_fake, monkeypatch):
    install_fake("hang")
    monkeypatch.setattr(engine, "_limits", Limits(cancel=0.2))
    job = start(photo)
    wait_for_progress(job)
    process = engine.resident()
    job.cancel()
    with pytest.raises(Cancelled):
        job.wait()
    assert not process.alive


def test_job_cancelled_before_the_engine_is_up_is_never_sent(photo, install_fake):
    fake = install_fake()
    job = start(photo)
    job.cancel()
    with pytest.raises(Cancelled):
        job.wait()
    assert not (fake.folder / "request.json").exists()


def test_missing_engine_says_what_to_do(photo, monkeypatch, tmp_path):
    monkeypatch.setattr(engine, "managed_root", lambda: tmp_path / "none")
    assert press(photo) == "No engine is installed: press Install Engine in the add-on's preferences."


def test_python_that_is_no_program(photo, monkeypatch, tmp_path):
    monkeypatch.setenv(engine.PYTHON_VARIABLE, str(tmp_path / "nowhere" / "python"))
    assert "cannot be started: No such file or directory." in press(photo)


def test_error_while_building_leaves_nothing_behind(photo, install_fake, monkeypatch):
    install_fake(people=2)
    mine = bpy.data.objects.new("mine", None)
    bpy.context.scene.collection.objects.link(mine)
    bpy.context.view_layer.objects.active = mine
    mine.select_set(True)
    before = scene_state()

    def fail(*_args):
        raise RefitError("The mesh is in a bad mood.")

    monkeypatch.setattr(bodies, "_add_shape_keys", fail)
    assert press(photo) == "The mesh is in a bad mood."
    assert scene_state() == before


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"image_path": ""}, "No image is chosen."),
        ({"source": "CAMERA"}, "The scene has no active camera."),
        ({"source": "EMPTY"}, "The active object is no empty with an image."),
        ({"people": "BOX"}, "There is no box: draw one around each person."),
        ({"body": "FILE"}, "No body file is chosen."),
    ],
)
def test_incomplete_settings(photo, install_fake, settings, sentence):
    install_fake()
    bpy.context.scene.refit.image_path = str(photo)
    for name, value in settings.items():
        setattr(bpy.context.scene.refit, name, value)
    with pytest.raises(RuntimeError, match=sentence):
        bpy.ops.refit.reconstruct()


def start(photo: Path):
    from refit_blender.reconstruction import Options, PhotoJob
    from refit_blender.scene.sources import file_source

    return PhotoJob(file_source(photo, photo.parent), Options(), photo.parent)


def wait_for_progress(job, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while job.progress.stage != "fit" and time.monotonic() < end:
        job.poll()
        time.sleep(0.01)
    assert job.progress.stage == "fit"
