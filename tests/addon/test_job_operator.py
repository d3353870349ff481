# SPDX-License-Identifier: GPL-3.0-or-later
"""What buttons share: the scene a job belongs to, and its end whatever happens."""

from types import SimpleNamespace

import bpy
import pytest

from refit_blender import api, blocking
from refit_blender.errors import RefitError, SourceError
from refit_blender.operators import job
from refit_blender.operators.job import JobOperator, scene_of_job
from refit_blender.scene import reconstructions
from refit_blender.session import state


@pytest.fixture
def two_scenes():
    """The scene in which a job was started, and the one that the window shows by now."""
    first = bpy.context.scene
    second = bpy.data.scenes.new("second")
    bpy.context.window.scene = second
    return first, second


def test_result_goes_into_the_scene_of_the_press(photo, install_fake, two_scenes):
    install_fake()
    first, second = two_scenes
    uid = first.session_uid
    first.name = "renamed"
    with scene_of_job(bpy.context, uid):
        made = api.reconstruct(photo).outcome
    assert bpy.context.scene == second
    assert [len(reconstructions.in_scene(scene)) for scene in (first, second)] == [1, 0]
    assert (first.camera, second.camera) == (made.camera, None)
    assert first.view_layers[0].objects.active == made.bodies[0].rig


def test_removed_scene_is_said(two_scenes):
    uid = two_scenes[0].session_uid
    bpy.data.scenes.remove(two_scenes[0])
    with pytest.raises(SourceError, match="The scene was removed"), scene_of_job(bpy.context, uid):
        pass


def test_full_disk_is_said(photo, monkeypatch):
    def full():
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(job, "JobFolder", full)
    bpy.context.scene.refit.image_path = str(photo)
    with pytest.raises(RuntimeError, match="Error: No space left on device\\."):
        bpy.ops.refit.reconstruct()
    monkeypatch.setattr(blocking, "JobFolder", full)
    with pytest.raises(RefitError, match="No space left on device"):
        api.reconstruct(photo)
    assert state.job is None


def test_unforeseen_error_ends_the_job_all_the_same():
    def poll() -> bool:
        raise KeyError("a mistake")

    removed, closed = [], []
    operator = JobOperator()
    operator._timer, operator._folder = "timer", SimpleNamespace(close=lambda: closed.append(True))
    state.job = SimpleNamespace(poll=poll)
    manager = SimpleNamespace(event_timer_remove=removed.append, windows=[])
    with pytest.raises(KeyError, match="a mistake"):
        operator.modal(SimpleNamespace(window_manager=manager), SimpleNamespace(type="TIMER", value="NOTHING"))
    assert (state.job, removed, closed) == (None, ["timer"], [True])
