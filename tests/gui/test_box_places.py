# SPDX-License-Identifier: GPL-3.0-or-later
"""A box that is drawn on the screen from one thing in the picture to another has these things' pixels for its corners.

The picture holds four coloured squares, which are looked for on the screen.
"""

import numpy as np
import pytest
from desktop import wait_until
from job import STATE
from test_background_images import (
    HIGH_PIXELS,
    LANDSCAPE,
    LENS,
    PLAIN,
    PORTRAIT,
    SET_UP,
    SHOW,
    SIZE,
    SPOTS,
    squares_on_screen,
)
from test_boxes import boxes, drawing, pull

START = """
window = bpy.context.window_manager.windows[0]
area = next(area for area in window.screen.areas if area.type == {area!r})
main = next(region for region in area.regions if region.type == 'WINDOW')
settings = window.scene.refit
settings.source = {source!r}
settings.boxes.clear()
settings.people = 'ALL'
with bpy.context.temp_override(window=window, area=area, region=main):
    bpy.ops.refit.draw_boxes('INVOKE_DEFAULT')
"""
CASES = {
    "camera": dict(placement={"frame_method": "FIT"}),
    "stretched": dict(placement={"frame_method": "STRETCH"}, render=PORTRAIT),
    "cropped-and-shifted": dict(placement={"frame_method": "CROP"}, lens={"shift_x": 0.1, "shift_y": -0.07}),
    "turned": dict(placement={"frame_method": "FIT", "rotation": 0.3, "scale": 0.8}),
    "mirrored": dict(placement={"frame_method": "FIT", "use_flip_x": True, "offset": (0.05, 0.0)}),
    "high-pixels": dict(placement={"frame_method": "FIT"}, render=HIGH_PIXELS),
}


@pytest.fixture(scope="module", autouse=True)
def picture(window):
    window.ask(SET_UP)
    window.ask(
        "window = bpy.context.window_manager.windows[0]\n"
        "window.scene.refit.image_path = bpy.data.objects['Camera'].data.background_images[0].image.filepath"
    )


def draw_between_squares(window, name, area="VIEW_3D", source="CAMERA"):
    """Draw from the first square's centre to the third one's; the box's corners [2,2] in pixels, and a pixel's size."""
    window.ask(START.format(area=area, source=source))
    wait_until(lambda: drawing(window), "boxes could be drawn", 60)
    window.let_it_work()
    seen = squares_on_screen(window, f"box-{name}")
    pull(window, np.round(seen[0]).astype(int), np.round(seen[2]).astype(int))
    window.picture(f"box-{name}-drawn")
    window.input("key", "Return")
    wait_until(lambda: not drawing(window), "the box was accepted", 60)
    ((left, top, width, height),) = boxes(window)
    places = np.array([*SPOTS], dtype=float)
    pixel = np.linalg.norm(places[2] - places[0]) / np.linalg.norm(seen[2] - seen[0])
    return np.array([[left, top], [left + width, top + height]]), pixel


def expected(mirrored=False):
    corners = np.array([*SPOTS], dtype=float)[[0, 2]]
    if mirrored:  # the engine gets the mirrored picture
        corners[:, 0] = SIZE[0] - corners[:, 0]
    return np.sort(corners, axis=0)


@pytest.mark.parametrize("name", CASES)
def test_over_the_camera_view(window, name):
    case = {"render": LANDSCAPE, "lens": {}, "which": 0, "aspect": (1.0, 1.0), **CASES[name]}
    mirrored = case["placement"].get("use_flip_x", False)
    case["lens"], case["placement"] = {**LENS, **case["lens"]}, {**PLAIN, **case["placement"]}
    window.ask(SHOW.format(**case))
    window.let_it_work()
    corners, pixel = draw_between_squares(window, name)
    np.testing.assert_allclose(np.sort(corners, axis=0), expected(mirrored), atol=1 + pixel)


def test_over_the_picture_in_the_viewport(window):
    corners, pixel = draw_between_squares(window, "file", source="FILE")
    np.testing.assert_allclose(corners, expected(), atol=1 + pixel)


def test_over_the_picture_in_the_viewport_zoomed_and_moved(window):
    window.ask(START.format(area="VIEW_3D", source="FILE"))
    wait_until(lambda: drawing(window), "boxes could be drawn", 60)
    window.let_it_work()
    first = squares_on_screen(window, "box-before-zoom")
    window.input("mousemove", *np.round(first[0]).astype(int))
    window.let_it_work()
    window.input("click", "5")
    window.let_it_work()
    window.input("mousedown", "2", "mousemove_relative", "--", "-30", "25")
    window.let_it_work()
    window.input("mouseup", "2")
    window.let_it_work()
    seen = squares_on_screen(window, "box-after-zoom")
    np.testing.assert_allclose(seen[0] - first[0], [-30, 25], atol=2)
    shrunk = np.linalg.norm(seen[2] - seen[0]) / np.linalg.norm(first[2] - first[0])
    assert shrunk == pytest.approx(1 / 1.2, abs=0.02)
    pull(window, np.round(seen[0]).astype(int), np.round(seen[2]).astype(int))
    window.input("key", "Return")
    wait_until(lambda: not drawing(window), "the box was accepted", 60)
    ((left, top, width, height),) = boxes(window)
    np.testing.assert_allclose([[left, top], [left + width, top + height]], expected(), atol=3)


def test_over_the_image_editor(window):
    window.ask(
        "window, area, _, _ = view_3d()\n"
        "area.type = 'IMAGE_EDITOR'\n"
        "area.spaces.active.image = bpy.data.objects['Camera'].data.background_images[0].image"
    )
    window.let_it_work()
    try:
        corners, pixel = draw_between_squares(window, "editor", area="IMAGE_EDITOR", source="FILE")
        window.picture("box-editor-accepted")
    finally:
        window.ask(
            "areas = bpy.context.window_manager.windows[0].screen.areas\n"
            "next(area for area in areas if area.type == 'IMAGE_EDITOR').type = 'VIEW_3D'"
        )
    np.testing.assert_allclose(corners, expected(), atol=1 + pixel)
    settings = window.ask(
        STATE + "settings = bpy.context.window_manager.windows[0].scene.refit; answer = settings.people"
    )
    assert settings == "BOX"


def test_loading_a_file_ends_the_drawing(window):
    window.ask(START.format(area="VIEW_3D", source="FILE"))
    wait_until(lambda: drawing(window), "boxes could be drawn", 60)
    window.let_it_work()
    window.ask("bpy.ops.wm.read_homefile()")
    wait_until(lambda: not drawing(window), "the drawing ended", 60)
    window.let_it_work()
    left = "answer = [image.name for image in bpy.data.images]"
    assert "spots.png" not in window.ask(left)
    window.picture("box-other-file")
