# SPDX-License-Identifier: GPL-3.0-or-later
"""A calibration file chosen in the file browser becomes cameras, and one undo takes them away."""

from pathlib import Path

import pytest
from desktop import SCREEN, wait_until

CALIBRATION = Path(__file__).parents[2] / "docs" / "samples" / "multiview" / "calibration.toml"


@pytest.fixture(scope="module", autouse=True)
def empty_scene(window):
    window.ask("bpy.ops.object.select_all(action='SELECT'); bpy.ops.object.delete()")
    window.ask("bpy.context.window_manager.windows[0].scene.refit.source = 'CAMERAS'")
    # What scripts do is no step of its own, as what users do is.
    window.ask("bpy.ops.ed.undo_push(message='Empty scene')")


def cameras(window) -> list[str]:
    return window.ask("answer = sorted(item.name for item in bpy.data.objects if item.type == 'CAMERA')")


def over_the_viewport(window) -> None:
    window.input("mousemove", SCREEN[0] // 3, SCREEN[1] // 2, "sleep", "0.2")


def test_button_opens_the_file_browser_and_the_file_becomes_cameras(window, job):
    before = job.content()
    window.click(window.find_button("refit.import_calibration"))
    browser = "any(area.type == 'FILE_BROWSER' for w in bpy.context.window_manager.windows for area in w.screen.areas)"
    wait_until(lambda: window.ask(f"answer = {browser}"), "the file browser was open", 60)
    window.picture("import-calibration")
    window.ask(
        "space = next(area.spaces.active for w in bpy.context.window_manager.windows for area in w.screen.areas"
        f" if area.type == 'FILE_BROWSER')\nspace.params.directory = {str(CALIBRATION.parent).encode()!r}\n"
        f"space.params.filename = {CALIBRATION.name!r}"
    )
    window.let_it_work()
    window.ask(
        "for w in bpy.context.window_manager.windows:\n"
        "    for area in w.screen.areas:\n"
        "        if area.type == 'FILE_BROWSER':\n"
        "            region = next(region for region in area.regions if region.type == 'WINDOW')\n"
        "            with bpy.context.temp_override(window=w, area=area, region=region):\n"
        "                bpy.ops.file.execute()\n"
        "            break"
    )
    wait_until(lambda: cameras(window) == ["cam01", "cam02", "cam03", "cam04"], "the cameras were there", 60)
    wait_until(lambda: not window.ask(f"answer = {browser}"), "the file browser was closed", 60)
    window.picture("imported-cameras")

    over_the_viewport(window)
    window.input("key", "ctrl+z")
    wait_until(lambda: job.content() == before, "one undo took everything away", 60)
    window.input("key", "ctrl+shift+z")
    wait_until(lambda: len(cameras(window)) == 4, "redo brought it back", 60)


def test_yaml_is_read_by_the_library_that_the_extension_brings(window, tmp_path):
    lens = tmp_path / "lens.yml"
    lens.write_text("camera_matrix:\n- - 500.0\n  - 0.0\n  - 320.0\n- [0.0, 500.0, 240.0]\n- [0.0, 0.0, 1.0]\n")
    window.ask(f"bpy.ops.refit.import_calibration(filepath={str(lens)!r})")
    assert "lens" in cameras(window)
