# SPDX-License-Identifier: GPL-3.0-or-later
"""Boxes drawn with the mouse: a photo's two people, a third one added later; what stands before them is hidden.

The tests tell one story in one Blender, in their order. It begins with the start-up file, cube and all.
"""

import numpy as np
from desktop import SCREEN, wait_until
from job import SAMPLE_PHOTO, STATE

BOXES = (
    "settings = bpy.context.window_manager.windows[0].scene.refit\nanswer = [box.numbers() for box in settings.boxes]"
)
# Boxes (left, top, width, height) in the photo's pixels.
MAN, WOMAN, SKELETON = (170, 370, 600, 780), (760, 470, 100, 420), (940, 420, 140, 560)


def over_the_viewport(window):
    window.input("mousemove", SCREEN[0] // 3, SCREEN[1] // 2, "sleep", "0.2")
    window.let_it_work()


def drawing(window):
    return window.ask(STATE + "answer = state.drawing")


def press_button(window, operator):
    window._buttons.pop(operator, None)  # what the panel shows above it changes
    window.click(window.find_button(operator))


def start(window, operator="refit.draw_boxes"):
    press_button(window, operator)
    wait_until(lambda: drawing(window), "boxes could be drawn", 60)
    window.let_it_work()


def key(window, name):
    over_the_viewport(window)
    window.input("key", name)
    window.let_it_work()


def end(window, name):
    key(window, name)
    wait_until(lambda: not drawing(window), "the drawing ended", 60)


def pull(window, begin, end):
    """Draw from one place of the screen to another."""
    window.input("mousemove", *begin)
    window.let_it_work()
    window.input("mousedown", "1")
    window.let_it_work()
    for share in (0.5, 1.0):
        window.input("mousemove", *(round(a + (b - a) * share) for a, b in zip(begin, end, strict=True)))
        window.let_it_work()
    window.input("mouseup", "1")
    window.let_it_work()


def draw(window, box, show):
    """Draw a box given in the photo's pixels; show: (left, top, scale) of the photo on the screen."""
    left, top, scale = show
    x, y, width, height = box
    pull(window, (left + x * scale, top + y * scale), (left + (x + width) * scale, top + (y + height) * scale))


def boxes(window):
    return window.ask(BOXES)


def rigs(window):
    return window.ask("answer = [item.name for item in bpy.data.objects if item.type == 'ARMATURE']")


def look(window):
    """What the viewport shows, and how."""
    return window.ask(
        "space = view_3d()[1].spaces.active; view = space.region_3d\n"
        "answer = [view.view_perspective, view.view_distance, list(view.view_location), list(view.view_rotation),\n"
        "    list(view.view_camera_offset), view.view_camera_zoom, space.use_local_camera, space.lock_camera]"
    )


def photo_on_screen(window, region_free):
    """(left, top, scale) of the photo in a free place of the screen (left, top, right, bottom)."""
    left, top, right, bottom = region_free
    scale = min((right - left) / 1080, (bottom - top) / 1920)
    return (left + right - scale * 1080) / 2, (top + bottom - scale * 1920) / 2, scale


def free_place(window):
    """Left, top, right and bottom of what no toolbar and no header covers, on the screen."""
    return window.ask(
        "window, area, sidebar, main = view_3d()\n"
        "tools = next(region for region in area.regions if region.type == 'TOOLS')\n"
        "headers = [region for region in area.regions if region.type in {'HEADER', 'TOOL_HEADER'}]\n"
        "top = min(region.y for region in headers if region.height > 1)\n"
        f"bottom = {SCREEN[1]} - window.y\n"
        "answer = [window.x + tools.x + tools.width, bottom - top, window.x + sidebar.x, bottom - main.y]"
    )


def test_escape_leaves_everything_as_it_was(window, job, untouched):
    job.choose(SAMPLE_PHOTO)
    before = look(window)
    start(window)
    pull(window, (400, 300), (500, 700))
    window.picture("boxes-one")
    end(window, "Escape")
    assert boxes(window) == []
    assert look(window) == before


def test_two_boxes_are_drawn_and_accepted(window, job):
    start(window)
    show = photo_on_screen(window, free_place(window))
    for box in (MAN, WOMAN, (100, 1300, 300, 300)):
        draw(window, box, show)
    key(window, "x")
    window.picture("boxes-two")
    end(window, "Return")
    window.picture("boxes-accepted")
    np.testing.assert_allclose(boxes(window), [MAN, WOMAN], atol=2.5 / show[2])


def test_each_box_becomes_a_body_and_the_cube_before_them_is_hidden(window, job):
    press_button(window, "refit.reconstruct")
    job.wait_for_end()
    assert not job.error()
    assert len(rigs(window)) == 2
    window.picture("boxes-reconstructed")
    press_button(window, "refit.hide_before")
    hidden = "cube = bpy.data.objects['Cube']; answer = [cube.hide_get(), cube.hide_render]"
    wait_until(lambda: window.ask(hidden) == [True, True], "the cube was hidden", 60)
    window.picture("boxes-cube-hidden")


def test_missed_person_is_added_in_one_step(window, job):
    before = job.content(), rigs(window)
    start(window, "refit.draw_person")
    window.picture("add-person-begin")
    left, top, right, _ = window.ask(CAMERA_FRAME)
    draw(window, SKELETON, (left, top, (right - left) / 1080))
    window.picture("add-person-drawn")
    end(window, "Return")
    job.wait_for_end()
    assert not job.error()
    window.picture("add-person-done")
    assert len(rigs(window)) == 3
    over_the_viewport(window)
    window.input("key", "ctrl+z")
    wait_until(lambda: len(rigs(window)) == 2, "undo took the third one away", 60)
    assert (job.content(), rigs(window)) == before


# Left, top, right and bottom of the camera's frame on the screen, from Blender's own projection of the frame's corners.
CAMERA_FRAME = f"""
from bpy_extras.view3d_utils import location_3d_to_region_2d
window, area, _, main = view_3d()
camera = area.spaces.active.camera
corners = [camera.matrix_world @ corner for corner in camera.data.view_frame(scene=window.scene)]
places = [location_3d_to_region_2d(main, area.spaces.active.region_3d, corner) for corner in corners]
xs = [window.x + main.x + x for x, _ in places]
ys = [{SCREEN[1]} - window.y - main.y - y for _, y in places]
answer = [min(xs), min(ys), max(xs), max(ys)]
"""


RENDER = """
import numpy as np
window, area, _, main = view_3d()
scene = window.scene
scene.render.engine, scene.render.resolution_percentage, scene.eevee.taa_render_samples = {engine!r}, 20, 8
scene.render.filepath = {path!r}
with bpy.context.temp_override(window=window, area=area, region=main):
    bpy.ops.render.render(write_still=True)
shown = bpy.data.images.load(scene.render.filepath)
photo = bpy.data.images.load({photo!r})
photo.scale(*shown.size)
values = []
for image in (shown, photo):
    pixels = np.empty(len(image.pixels), dtype=np.float32)
    image.pixels.foreach_get(pixels)
    values.append(pixels.reshape(image.size[1], image.size[0], 4)[..., :3])
    bpy.data.images.remove(image)
apart = np.abs(values[0] - values[1]).max(axis=2) * 255
height, width = apart.shape
# The man is in the middle.
answer = [float(np.median(apart[: height // 4])), float(np.median(apart[-height // 8 :])), float((apart > 40).mean())]
"""


def test_eevee_shows_the_photo_behind_the_bodies(window):
    window.ask(
        "window, area, _, main = view_3d()\n"
        "with bpy.context.temp_override(window=window, area=area, region=main):\n"
        "    bpy.ops.refit.photo_in_renders()\n"
        "    bpy.ops.refit.shadow_catcher()"
    )
    path = str(window.pictures / "eevee-with-photo.png")
    below, above, body = window.ask(RENDER.format(engine="BLENDER_EEVEE", path=path, photo=str(SAMPLE_PHOTO)), 400)
    assert max(below, above) < 4
    assert 0.02 < body < 0.3
