# SPDX-License-Identifier: GPL-3.0-or-later
"""Where Blender draws a camera's background image, against where the add-on says that the image's pixels are seen.

The picture holds four coloured squares. On the screen they must be where Blender projects points of the world that the
add-on's K, R and t put behind the squares' centres.
"""

import subprocess

import numpy as np
import pytest
from desktop import SCREEN

SIZE = (600, 400)
SQUARE = 28
# Centres in pixels from the top left corner, and colours.
SPOTS = {(210, 130): (255, 0, 0), (400, 150): (0, 255, 0), (390, 280): (0, 0, 255), (220, 260): (255, 255, 0)}

SET_UP = f"""
import os, tempfile
import numpy as np
pixels = np.full(({SIZE[1]}, {SIZE[0]}, 4), 0.1, dtype=np.float32)
pixels[..., 3] = 1
for (x, y), color in {SPOTS!r}.items():
    pixels[y - {SQUARE // 2}:y + {SQUARE // 2}, x - {SQUARE // 2}:x + {SQUARE // 2}, :3] = np.array(color) / 255
image = bpy.data.images.new('spots', {SIZE[0]}, {SIZE[1]})
image.pixels.foreach_set(pixels[::-1].ravel())
image.filepath_raw = os.path.join(tempfile.mkdtemp(), 'spots.png')
image.file_format = 'PNG'
image.save()
path = image.filepath_raw
bpy.data.images.remove(image)
for item in list(bpy.data.objects):
    if item.type != 'CAMERA':
        bpy.data.objects.remove(item)
camera = bpy.data.objects['Camera']
background = camera.data.background_images.new()
background.image = bpy.data.images.load(path)
background.alpha = 1.0
background.display_depth = 'FRONT'
camera.data.show_background_images = True
camera.data.display_size = 0.01
camera.data.passepartout_alpha = 0.0
clip_background = camera.data.background_images.new()
clip_background.source, clip_background.show_background_image = 'MOVIE_CLIP', False
clip_background.clip = bpy.data.movieclips.load(background.image.filepath)
clip_background.alpha, clip_background.display_depth = 1.0, 'FRONT'
area = view_3d()[1]
area.spaces.active.overlay.show_floor = area.spaces.active.overlay.show_axis_x = False
area.spaces.active.overlay.show_axis_y = area.spaces.active.overlay.show_text = False
area.spaces.active.overlay.show_cursor = area.spaces.active.show_gizmo = False
area.spaces.active.region_3d.view_perspective = 'CAMERA'
area.spaces.active.region_3d.view_camera_zoom = 12
"""

SHOW = """
scene, data = bpy.context.window_manager.windows[0].scene, bpy.data.objects['Camera'].data
for name, value in {render!r}.items():
    setattr(scene.render, name, value)
for name, value in {lens!r}.items():
    setattr(data, name, value)
for index, background in enumerate(data.background_images):
    background.show_background_image = index == {which}
    for name, value in {placement!r}.items():
        setattr(background, name, value)
data.background_images[0].image.display_aspect = {aspect!r}
data.background_images[1].clip.display_aspect = {aspect!r}
view_3d()[1].tag_redraw()
"""

# Where the squares are seen on the screen, pixels from its top left corner.
PROJECT = f"""
import tempfile
from pathlib import Path
import numpy as np
from bpy_extras.view3d_utils import location_3d_to_region_2d
from bl_ext.user_default.refit_blender.scene.views import camera_view
window, area, _, region = view_3d()
scene, view_layer = window.scene, window.view_layer
with tempfile.TemporaryDirectory() as folder:
    view = camera_view(bpy.data.objects['Camera'], scene, view_layer.depsgraph, Path(folder))
data = bpy.data.objects['Camera'].data.background_images
placement = next(one for one in data if one.show_background_image)
pixels = np.array([*{SPOTS!r}], dtype=float)
# A mirrored background is handed over mirrored back, with the matrices of that.
if placement.use_flip_x:
    pixels[:, 0] = {SIZE[0]} - pixels[:, 0]
if placement.use_flip_y:
    pixels[:, 1] = {SIZE[1]} - pixels[:, 1]
rays = np.column_stack([pixels, np.ones(len(pixels))]) @ np.linalg.inv(view.K).T
world = (rays * 5 - view.t) @ view.R
answer = []
for point in world.tolist():
    x, y = location_3d_to_region_2d(region, area.spaces.active.region_3d, point)
    # Blender counts from the bottom of the screen; the window has a frame and a title.
    answer.append([window.x + region.x + x, {SCREEN[1]} - window.y - region.y - y])
"""


@pytest.fixture(scope="module", autouse=True)
def camera_view_with_spots(window):
    window.ask(SET_UP)


def squares_on_screen(window, name: str) -> np.ndarray:
    """Centres [4,2] of the coloured squares in pixels of the screen, NaN where one is not seen."""
    picture = window.picture(name)
    raw = subprocess.run(["convert", picture, "-depth", "8", "rgb:-"], stdout=subprocess.PIPE, check=True).stdout
    width, height = SCREEN
    screen = np.frombuffer(raw, dtype=np.uint8).reshape(height, width, 3).astype(float)
    rows, columns = np.mgrid[0:height, 0:width] + 0.5
    found = []
    for color in SPOTS.values():
        # Whatever the display makes of it: as bright as can be here, and dark there.
        matches = np.all(np.where(np.array(color) > 0, screen > 170, screen < 80), axis=2)
        found.append([columns[matches].mean(), rows[matches].mean()] if matches.sum() > 20 else [np.nan, np.nan])
    return np.array(found)


LANDSCAPE = {"resolution_x": 1600, "resolution_y": 900, "resolution_percentage": 100, "pixel_aspect_y": 1.0}
PORTRAIT = {**LANDSCAPE, "resolution_x": 900, "resolution_y": 1600}
HIGH_PIXELS = {**LANDSCAPE, "resolution_x": 1200, "resolution_y": 500, "pixel_aspect_y": 1.5}
PERCENTAGE = {**LANDSCAPE, "resolution_x": 333, "resolution_y": 187, "resolution_percentage": 51}
PLAIN = {"scale": 1.0, "offset": (0.0, 0.0), "rotation": 0.0, "use_flip_x": False, "use_flip_y": False}
LENS = {"lens": 40.0, "sensor_fit": "AUTO", "sensor_width": 36.0, "shift_x": 0.0, "shift_y": 0.0}

CASES = {
    f"{method.lower()}-{name}": dict(render=render, placement={"frame_method": method})
    for method in ("STRETCH", "FIT", "CROP")
    for name, render in {
        "landscape": LANDSCAPE,
        "portrait": PORTRAIT,
        "high-pixels": HIGH_PIXELS,
        "percentage": PERCENTAGE,
    }.items()
}
CASES |= {
    "shift": dict(placement={"frame_method": "FIT"}, lens={"shift_x": 0.1, "shift_y": -0.07}),
    "sensor-fit": dict(placement={"frame_method": "CROP"}, lens={"sensor_fit": "VERTICAL", "sensor_width": 50.0}),
    "turned": dict(placement={"frame_method": "FIT", "rotation": 0.4}, lens={"shift_x": 0.05}),
    "moved-and-scaled": dict(placement={"frame_method": "FIT", "scale": 0.8, "offset": (0.1, -0.15)}),
    "moved-in-portrait": dict(render=PORTRAIT, placement={"frame_method": "CROP", "scale": 0.7, "offset": (0.1, 0.05)}),
    "mirrored": dict(placement={"frame_method": "FIT", "use_flip_x": True, "offset": (0.05, 0.0)}),
    "upside-down": dict(placement={"frame_method": "STRETCH", "use_flip_y": True}),
    "wide-pixels-of-the-image": dict(placement={"frame_method": "FIT"}, aspect=(1.4, 1.0)),
    "clip": dict(placement={"frame_method": "CROP", "offset": (0.05, 0.02)}, which=1),
    "clip-with-wide-pixels": dict(placement={"frame_method": "FIT"}, which=1, aspect=(1.4, 1.0)),
}


@pytest.mark.parametrize("name", CASES)
def test_pixels_are_drawn_where_the_add_on_sees_them(window, name):
    case = {"render": LANDSCAPE, "lens": {}, "which": 0, "aspect": (1.0, 1.0), **CASES[name]}
    case["lens"] = {**LENS, **case["lens"]}
    case["placement"] = {**PLAIN, **case["placement"]}
    window.ask(SHOW.format(**case))
    window.let_it_work()
    window.let_it_work()
    drawn = squares_on_screen(window, f"background-{name}")
    seen = np.array(window.ask(PROJECT))
    visible = ~np.isnan(drawn[:, 0])
    assert visible.sum() >= 3
    np.testing.assert_allclose(drawn[visible], seen[visible], atol=1.0)
