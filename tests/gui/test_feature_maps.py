# SPDX-License-Identifier: GPL-3.0-or-later
"""Keypoint maps, from the button in the Debug panel to the image editor."""

import pytest
from desktop import SCREEN, wait_until
from job import SAMPLE_PHOTO, Job

HEADER = 33  # pixels from the middle of a button to that of the panel's header below

EDITORS = """
answer = [
    [index, area.ui_type, area.spaces.active.image.name if area.spaces.active.image else '']
    for index, window in enumerate(bpy.context.window_manager.windows)
    for area in window.screen.areas
    if area.ui_type == 'IMAGE_EDITOR'
]
"""


@pytest.fixture(scope="module", autouse=True)
def debug_panel(window):
    """The panel is closed at first; its header is the row below the last button."""
    job = Job(window)
    job.choose(SAMPLE_PHOTO)
    window.let_it_work()
    x, y = window.find_button("refit.start_engine")
    window.click((x, y + HEADER))
    window.picture("maps-panel")


def editors(window):
    return window.ask(EDITORS)


def test_button_opens_the_maps_in_a_window_of_their_own(window, job):
    assert editors(window) == []
    before = {**job.content(), "images": []}
    window.click(window.find_button("refit.feature_maps"))
    job.wait_for_end()
    assert not job.error(), job.error()
    wait_until(lambda: editors(window) == [[1, "IMAGE_EDITOR", "Keypoint Maps"]], "the maps were shown", 60)
    assert {**job.content(), "images": []} == before
    window.let_it_work()
    window.picture("maps-window")


def test_next_maps_are_shown_in_an_image_editor_that_is_there(window):
    window.ask(
        "windows = bpy.context.window_manager.windows\n"
        "with bpy.context.temp_override(window=windows[1]): bpy.ops.wm.window_close()\n"
        "area = next(area for area in windows[0].screen.areas if area.ui_type == 'PROPERTIES')\n"
        "area.ui_type = 'IMAGE_EDITOR'"
    )
    window.let_it_work()
    # The report of the first press has moved the button.
    window.ask(
        "window, area, _, main = view_3d()\n"
        "with bpy.context.temp_override(window=window, area=area, region=main):\n"
        "    bpy.ops.refit.feature_maps('INVOKE_DEFAULT')"
    )
    wait_until(lambda: editors(window) == [[0, "IMAGE_EDITOR", "Keypoint Maps"]], "the maps were shown", 60)
    assert window.ask("answer = len(bpy.context.window_manager.windows)") == 1
    assert "Traceback" not in window.log.read_text()
    window.let_it_work()
    window.picture("maps-in-editor")


def test_undo_takes_the_maps_away_and_redo_brings_them_back(window):
    names = "answer = [image.name for image in bpy.data.images]"
    window.input("mousemove", SCREEN[0] // 3, SCREEN[1] // 2, "sleep", "0.2")
    for _ in range(2):
        window.input("key", "ctrl+z")
        window.let_it_work()
    wait_until(lambda: "Keypoint Maps" not in window.ask(names), "undo took the maps away", 60)
    window.picture("maps-undone")
    window.input("key", "ctrl+shift+z")
    wait_until(lambda: window.ask(names).count("Keypoint Maps") == 1, "redo brought them back", 60)
