# SPDX-License-Identifier: GPL-3.0-or-later
"""What the first press shows, with the factory's scene; then up corrected by hand, a second frame, and undo of each.

The tests tell one story in one Blender, in their order.
"""

import numpy as np
import pytest
from desktop import SCREEN, wait_until
from job import SAMPLE_PHOTO, Job

HELPERS = """
import bpy, numpy as np
from bpy_extras.view3d_utils import location_3d_to_region_2d
window, area, sidebar, main = view_3d()
scene, view_layer = window.scene, window.view_layer
view = area.spaces.active.region_3d
rig = next(item for item in scene.objects if item.type == 'ARMATURE')
mesh = next(child for child in rig.children if child.type == 'MESH')
view_layer.update()
skin = mesh.evaluated_get(view_layer.depsgraph)
points = np.array([skin.matrix_world @ vertex.co for vertex in list(skin.data.vertices)[::50]])
def on_screen():
    return [list(location_3d_to_region_2d(main, view, point) or (-1e6, -1e6)) for point in points.tolist()]
upright = next(item for item in bpy.data.collections if 'refit_kind' in item).refit
"""


@pytest.fixture(scope="module", autouse=True)
def pressed(window):
    """The photo is chosen and the button pressed: nothing else was done to Blender's own first scene."""
    job = Job(window)
    job.choose(SAMPLE_PHOTO)
    job.set(people="LARGEST")
    window.ask("bpy.context.window_manager.windows[0].scene.refit.people = 'LARGEST'")
    window.ask("bpy.ops.ed.undo_push(message='chosen')")
    job.click_reconstruct()
    job.wait_for_end()
    assert not job.error()
    window.let_it_work()
    return job.report()


def over_the_viewport(window):
    window.input("mousemove", SCREEN[0] // 3, SCREEN[1] // 2, "sleep", "0.2")


def press_key(window, key):
    over_the_viewport(window)
    window.input("key", key)
    window.let_it_work()


def seen(window) -> np.ndarray:
    return np.array(window.ask(HELPERS + "answer = on_screen()"))


def test_the_viewport_looks_through_the_new_camera_at_the_whole_photo(window, pressed):
    window.picture("first-press")
    assert pressed.startswith("1 body from balance.jpg")
    assert window.ask(HELPERS + "answer = [view.view_perspective, scene.camera.name]") == ["CAMERA", "balance camera"]
    width, height = window.ask(HELPERS + "answer = [main.width, main.height]")
    places = seen(window)
    assert (places > 0).all() and (places < [width, height]).all()
    assert np.ptp(places[:, 1]) > 0.3 * height


@pytest.mark.parametrize(("key", "name"), [("KP_3", "side"), ("KP_7", "top"), ("KP_1", "front")])
def test_the_body_fills_the_other_views(window, key, name):
    press_key(window, key)
    window.picture(f"first-press-{name}")
    width, height = window.ask(HELPERS + "answer = [main.width, main.height]")
    places = seen(window)
    assert (places > -0.1 * width).all() and (places < [1.1 * width, 1.1 * height]).all()


def test_body_stands_at_the_cursor(window):
    lowest, x, y = window.ask(
        HELPERS
        + "answer = [float(points[:, 2].min()), *map(float, (rig.matrix_world @ rig.pose.bones['pelvis'].head)[:2])]"
    )
    assert abs(lowest) < 0.03
    assert max(abs(x), abs(y)) < 1e-3


def test_sliders_turn_camera_and_body_and_keep_the_overlay(window):
    window.ask(HELPERS + "view.view_perspective = 'CAMERA'")
    window.let_it_work()
    before = seen(window)
    was = window.ask(HELPERS + "answer = points.tolist()")
    window.ask(HELPERS + "upright.pitch -= 0.2; upright.roll += 0.05; bpy.ops.ed.undo_push(message='Pitch')")
    window.let_it_work()
    window.picture("up-by-hand")
    np.testing.assert_allclose(seen(window), before, atol=1.0)
    now = np.array(window.ask(HELPERS + "answer = points.tolist()"))
    assert np.abs(now - was).max() > 0.1
    assert now[:, 2].min() == pytest.approx(np.array(was)[:, 2].min(), abs=0.02)
    press_key(window, "ctrl+z")
    wait_until(
        lambda: np.allclose(window.ask(HELPERS + "answer = points.tolist()"), was, atol=1e-5), "the turn was undone", 60
    )


def test_press_at_another_frame_moves_the_same_body(window):
    job = Job(window)
    before = job.content()
    window.ask(HELPERS + "scene.frame_set(20); bpy.ops.ed.undo_push(message='frame')")
    job.click_reconstruct()
    job.wait_for_end()
    assert not job.error() and "updated at frame 20" in job.report()
    assert job.content() == before
    window.picture("second-frame")
    keys = "answer = sorted(next(item for item in bpy.data.collections if 'refit_kind' in item)['refit_frames'])"
    assert window.ask(keys) == [1, 20]
    press_key(window, "ctrl+z")
    wait_until(lambda: window.ask(keys) == [1], "the second frame was undone", 60)


def test_undo_takes_everything_away(window):
    job = Job(window)
    for _ in range(4):
        if "balance" not in job.content()["armatures"]:
            break
        press_key(window, "ctrl+z")
    wait_until(lambda: "balance" not in job.content()["armatures"], "undo took the body away", 60)
    window.picture("first-press-undone")
