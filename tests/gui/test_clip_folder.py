# SPDX-License-Identifier: GPL-3.0-or-later
"""Reconstruct Folder in a window: two very short clips and a broken file; the table, another row, one undo.

The tests tell one story in one Blender, in their order.
"""

import os
import subprocess
from pathlib import Path

import pytest
from desktop import SCREEN, wait_until

SAMPLE_VIDEO = Path(__file__).parents[2] / "docs" / "samples" / "walk.mp4"
FRAMES = 6
SCENE = "scene = bpy.context.window_manager.windows[0].scene\n"
# Run by the engine's Python, which has PyAV.
CUT = """
import sys, av
source, target, first, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
frames = list(av.open(source).decode(video=0))[first : first + count]
with av.open(target, "w") as out:
    stream = out.add_stream("mpeg4", rate=30)
    stream.width, stream.height, stream.pix_fmt, stream.bit_rate = *frames[0].to_image().size, "yuv420p", 4_000_000
    for frame in frames:
        out.mux(stream.encode(av.VideoFrame.from_image(frame.to_image())))
    out.mux(stream.encode(None))
"""
BROWSER = "any(area.type == 'FILE_BROWSER' for w in bpy.context.window_manager.windows for area in w.screen.areas)"
ACCEPT = """
for w in bpy.context.window_manager.windows:
    for area in w.screen.areas:
        if area.type == 'FILE_BROWSER':
            region = next(region for region in area.regions if region.type == 'WINDOW')
            with bpy.context.temp_override(window=w, area=area, region=region):
                bpy.ops.file.execute()
            break
"""


@pytest.fixture(scope="module")
def clips(window, tmp_path_factory):
    """A folder with two very short clips and a file that is no movie; the cube of the new scene is gone."""
    folder = tmp_path_factory.mktemp("footage") / "clips"
    folder.mkdir()
    for name, first in (("a walk.mp4", 0), ("walk on.mp4", 40)):
        command = [os.environ["REFIT_ENGINE_PYTHON"], "-c", CUT, SAMPLE_VIDEO, folder / name, first, FRAMES]
        subprocess.run(list(map(str, command)), check=True)
    (folder / "broken.mp4").write_bytes(b"no movie at all")
    over_the_viewport(window)
    window.input("key", "Delete")
    wait_until(lambda: window.ask("answer = 'Cube' not in bpy.data.objects"), "the cube was deleted", 60)
    return folder


def over_the_viewport(window):
    window.input("mousemove", SCREEN[0] // 3, SCREEN[1] // 2, "sleep", "0.2")


def choose(window, folder):
    """Press the button, show the folder in the file browser, and accept."""
    window.click(window.find_button("refit.reconstruct_folder"))
    wait_until(lambda: window.ask(f"answer = {BROWSER}"), "the file browser was open", 60)
    window.ask(
        "space = next(area.spaces.active for w in bpy.context.window_manager.windows for area in w.screen.areas"
        f" if area.type == 'FILE_BROWSER')\nspace.params.directory = {str(folder).encode()!r}"
    )
    window.let_it_work()
    window.picture("folder-browser")
    window.ask(ACCEPT)
    wait_until(lambda: not window.ask(f"answer = {BROWSER}"), "the file browser was closed", 60)


def seen(window):
    return window.ask(
        SCENE
        + "answer = [clip.name for clip in scene.refit.clips if clip.collection and not clip.collection.hide_viewport]"
    )


def people(window):
    return window.ask(SCENE + "answer = [clip.people for clip in scene.refit.clips]")


def test_cancel_before_a_clip_is_finished_leaves_the_scene_as_it_was(window, job, clips, untouched):
    with job.held(lambda: choose(window, clips)):
        assert job.progress().startswith("Clip 1/3")
        window.picture("folder-progress")
        over_the_viewport(window)
        window.input("key", "Escape")
    job.wait_for_end(120)
    assert job.report() == "Cancelled."


def test_the_clips_become_a_library_and_the_broken_one_is_named(window, job, clips):
    before = job.content()
    choose(window, clips)
    job.wait_for_end(900)
    assert not job.error(), job.error()
    assert job.report().startswith("2 of 3 clips, 4 bodies, from clips in ")
    rows = window.ask(
        SCENE + "answer = [[clip.name, clip.frames, clip.people, clip.failed] for clip in scene.refit.clips]"
    )
    assert rows == [["a walk.mp4", FRAMES, 2, False], ["broken.mp4", 0, 0, True], ["walk on.mp4", FRAMES, 2, False]]
    assert seen(window) == ["a walk.mp4"]
    assets = window.ask("answer = sorted(action.name for action in bpy.data.actions if action.asset_data)")
    assert assets == [f"{clip} person {number}" for clip in ("a walk", "walk on") for number in (1, 2)]
    over_the_viewport(window)
    window.let_it_work()
    window.picture("folder-first")

    window.input("key", "Delete")  # the bodies of the first clip are selected
    wait_until(lambda: people(window)[0] == 0, "the bodies were deleted", 60)
    window.let_it_work()
    window.picture("folder-deleted")
    window.input("key", "ctrl+z")
    wait_until(lambda: people(window)[0] == 2, "undo brought the bodies back", 60)

    window.ask(SCENE + "scene.refit.clip_index = 2\nview_3d()[1].tag_redraw()")
    window.let_it_work()
    assert seen(window) == ["walk on.mp4"]
    assert window.ask(SCENE + "answer = scene.camera.name") == "walk on camera"
    window.picture("folder-other")

    window.ask("view_3d()[1].ui_type = 'ASSETS'")
    window.let_it_work()
    window.ask("import time; time.sleep(2)")
    window.let_it_work()
    window.picture("folder-assets")
    window.ask(
        "area = next(a for a in bpy.context.window_manager.windows[0].screen.areas if a.ui_type == 'ASSETS')\n"
        "area.ui_type = 'VIEW_3D'"
    )
    over_the_viewport(window)
    window.input("key", "ctrl+z")
    wait_until(lambda: job.content() == before, "one undo took everything away", 60)
    assert window.ask(SCENE + "answer = len(scene.refit.clips)") == 0
