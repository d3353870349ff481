# SPDX-License-Identifier: GPL-3.0-or-later
"""Reconstruct Motion in a window: a short piece of a video, cancelled first, then seen through its camera and undone.

The tests tell one story in one Blender, in their order.
"""

from pathlib import Path

import numpy as np
import pytest
from desktop import SCREEN, wait_until

SAMPLE_VIDEO = Path(__file__).parents[2] / "docs" / "samples" / "walk.mp4"
FRAMES = 1, 14
RIGS = "[item for item in bpy.data.objects if item.type == 'ARMATURE']"


@pytest.fixture(scope="module", autouse=True)
def a_piece_of_the_video_is_chosen(window):
    over_the_viewport(window)
    window.input("key", "Delete")
    wait_until(lambda: window.ask("answer = 'Cube' not in bpy.data.objects"), "the cube was deleted", 60)
    window.ask(
        "scene = bpy.context.window_manager.windows[0].scene\n"
        f"scene.refit.image_path, scene.refit.motion_frames = {str(SAMPLE_VIDEO)!r}, 'SCENE'\n"
        f"scene.frame_start, scene.frame_end = {FRAMES!r}\n"
        "view_3d()[1].tag_redraw()"
    )


def over_the_viewport(window):
    window.input("mousemove", SCREEN[0] // 3, SCREEN[1] // 2, "sleep", "0.2")


def view_turn(window):
    return window.ask("answer = list(view_3d()[1].spaces.active.region_3d.view_rotation)")


def press(window):
    window.click(window.find_button("refit.reconstruct_motion"))


def test_cancel_leaves_the_scene_as_it_was(window, job, untouched):
    with job.held(lambda: press(window)):
        assert job.progress()
        window.picture("motion-progress")
        over_the_viewport(window)
        window.input("key", "Escape")
    job.wait_for_end(120)
    assert job.report() == "Cancelled."


def test_the_video_becomes_a_moving_body_and_one_undo_takes_all_away(window, job):
    before = job.content()
    press(window)
    job.wait_for_end(900)
    assert not job.error(), job.error()
    for frame in (3, 12):
        window.ask(f"bpy.context.window_manager.windows[0].scene.frame_set({frame})")
        window.let_it_work()
        window.picture(f"motion-frame-{frame}")
    places = window.ask(
        "scene = bpy.context.window_manager.windows[0].scene\n"
        f"rig = {RIGS}[0]\n"
        "answer = []\n"
        f"for frame in {FRAMES}:\n"
        "    scene.frame_set(frame)\n"
        "    answer.append(list(rig.matrix_world @ rig.pose.bones['toe.R'].head))"
    )
    assert sum((a - b) ** 2 for a, b in zip(*places, strict=True)) > 0.01
    facts = window.ask(
        "scene = bpy.context.window_manager.windows[0].scene\n"
        "image = scene.camera.data.background_images[0].image\n"
        "answer = [scene.render.fps, scene.frame_start, scene.frame_end, image.source, view_3d()[1].spaces.active.region_3d.view_perspective]"
    )
    assert facts == [30, *FRAMES, "MOVIE", "CAMERA"]
    over_the_viewport(window)
    for key, name, turn in (("KP_7", "top", [1, 0, 0, 0]), ("KP_3", "side", [0.5, 0.5, 0.5, 0.5])):
        window.input("key", key)
        wait_until(lambda turn=turn: np.allclose(view_turn(window), turn, atol=1e-3), f"the view came from the {name}")
        window.let_it_work()
        window.picture(f"motion-{name}")
    window.input("key", "ctrl+z")
    wait_until(lambda: job.content() == before, "one undo took everything away", 60)
