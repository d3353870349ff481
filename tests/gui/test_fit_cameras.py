# SPDX-License-Identifier: GPL-3.0-or-later
"""A rig of calibrated cameras, one click, and the body stands where the person stood."""

import pytest
from desktop import SCREEN, wait_until
from job import SAMPLE_PHOTO

CALIBRATION = SAMPLE_PHOTO.parent / "multiview" / "calibration.toml"
CAMERAS = ["cam01", "cam02", "cam03", "cam04"]

VIEWS = """
rig = next(item for item in bpy.data.objects if 'refit_views' in item)
answer = [[view['name'], bool(view['used']), view['reason'], view.get('reprojection_error_px')] for view in rig['refit_views']]
"""


@pytest.fixture(scope="module", autouse=True)
def cameras_are_there(window):
    """The sample's cameras with their pictures; nothing else is in the scene, and the engine is up."""
    window.ask("for item in list(bpy.data.objects): bpy.data.objects.remove(item)")
    window.ask(f"bpy.ops.refit.import_calibration(filepath={str(CALIBRATION)!r})")
    window.ask("bpy.context.window_manager.windows[0].scene.refit.people = 'LARGEST'")
    window.ask(
        "window, area, sidebar, main = view_3d()\n"
        "with bpy.context.temp_override(window=window, area=area, region=main):\n"
        "    bpy.ops.view3d.view_all()\n"
        # What scripts do is no step of its own that undo could go back to.
        "    bpy.ops.ed.undo_push(message='cameras')"
    )
    window.let_it_work()


def rigs(window):
    return window.ask("answer = [item.name for item in bpy.data.objects if item.type == 'ARMATURE']")


def test_escape_leaves_the_scene_as_it_was(window, job, untouched):
    button = window.find_button("refit.fit_cameras")
    window.picture("cameras-chosen")
    with job.held(lambda: window.click(button)):
        window.picture("cameras-progress")
        window.input("mousemove", SCREEN[0] // 3, SCREEN[1] // 2, "sleep", "0.2")
        window.input("key", "Escape")
    job.wait_for_end(120)
    assert job.report() == "Cancelled."
    assert not rigs(window)


def test_one_click_puts_the_body_there_and_tells_what_each_camera_did(window, job):
    before = job.content()
    window.click(window.find_button("refit.fit_cameras"))
    job.wait_for_end(600)
    assert not job.error()
    assert len(rigs(window)) == 1
    views = window.ask(VIEWS)
    assert [name for name, *_ in views] == CAMERAS
    assert sum(used for _, used, *_ in views) >= 3
    for _, used, reason, _ in views:
        assert used or reason
    # A man of ordinary size who stands on the floor in the middle of the cameras.
    height, lowest = window.ask(
        "import numpy as np\n"
        "mesh = next(item for item in bpy.data.objects if item.type == 'MESH')\n"
        "depsgraph = view_3d()[0].view_layer.depsgraph\n"
        "points = np.array([mesh.matrix_world @ vertex.co for vertex in mesh.evaluated_get(depsgraph).data.vertices])\n"
        "answer = [float(np.ptp(points[:, 2])), float(points[:, 2].min())]"
    )
    assert 1.3 < height < 2.1
    assert abs(lowest) < 0.4
    window.picture("cameras-result")

    # The icons at the ends of the cameras' rows.
    window.click(window.find_button("refit.look_through", across=0.81))
    wait_until(
        lambda: window.ask("answer = view_3d()[1].spaces.active.region_3d.view_perspective") == "CAMERA",
        "the view went through one of the cameras",
        60,
    )
    window.picture("cameras-result-through-one")

    window.input("mousemove", SCREEN[0] // 3, SCREEN[1] // 2, "sleep", "0.2")
    window.input("key", "ctrl+z")
    wait_until(lambda: job.content() == before, "one undo took the body away", 60)
    window.input("key", "ctrl+shift+z")
    wait_until(lambda: rigs(window), "redo brought it back", 60)
