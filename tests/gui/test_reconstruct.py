# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user does first: choose a photo, press Reconstruct, change their mind, press it again, undo.

The tests tell one story in one Blender, in their order.
"""

import pytest
from desktop import SCREEN, wait_until
from job import SAMPLE_PHOTO


@pytest.fixture(scope="module", autouse=True)
def the_cube_is_deleted(window):
    """As everybody does first; the photo's camera would stand in it."""
    over_the_viewport(window)
    window.input("key", "Delete")
    wait_until(lambda: window.ask("answer = 'Cube' not in bpy.data.objects"), "the cube was deleted", 60)


@pytest.fixture(autouse=True)
def photo_is_chosen(job):
    job.choose(SAMPLE_PHOTO)


def over_the_viewport(window):
    window.input("mousemove", SCREEN[0] // 3, SCREEN[1] // 2, "sleep", "0.2")


def view(window):
    return window.ask("answer = view_3d()[1].spaces.active.region_3d.view_perspective")


def rigs(window):
    return window.ask("answer = [item.name for item in bpy.data.objects if item.type == 'ARMATURE']")


def test_progress_is_shown_and_cancel_leaves_the_scene_as_it_was(window, job, untouched):
    with job.held():
        cancel = window.find_button("refit.cancel")
        assert job.progress()
        window.picture("progress")
        window.click(cancel)
    job.wait_for_end(60)
    assert job.report() == "Cancelled."
    assert not job.error()
    window.picture("cancelled")
    assert not rigs(window)


def test_escape_cancels_as_well(window, job, untouched):
    with job.held():
        over_the_viewport(window)
        window.input("key", "Escape")
    job.wait_for_end(60)
    assert job.report() == "Cancelled."
    assert not job.error()


def test_reconstruct_puts_a_rigged_body_and_a_matching_camera_there_and_one_undo_takes_all_away(window, job):
    before = job.content()
    job.click_reconstruct()
    job.wait_for_end()
    assert not job.error()
    assert len(rigs(window)) >= 1
    window.picture("result")
    window.click(window.find_button("refit.look_through"))
    wait_until(lambda: view(window) == "CAMERA", "the view went through the photo's camera", 60)
    window.picture("result-through-its-camera")

    over_the_viewport(window)
    window.input("key", "ctrl+z")
    wait_until(lambda: job.content() == before, "one undo took everything away", 60)
    window.picture("undone")
    window.input("key", "ctrl+shift+z")
    wait_until(lambda: rigs(window), "redo brought it back", 60)


def test_the_user_can_go_on_working_while_the_engine_works(window, job):
    with job.held():
        over_the_viewport(window)
        window.input("key", "KP_7")
        wait_until(lambda: view(window) == "ORTHO", "the view turned to the top", 60)
        assert job.running()
    job.wait_for_end()
    assert not job.error()
