# SPDX-License-Identifier: GPL-3.0-or-later
"""What a camera sees, against pictures that Cycles renders: where its matrices say that a thing is, there it is."""

import bpy
import numpy as np
import pytest
from blender_helpers import add_marker, render_picture

from refit_blender.errors import SourceError
from refit_blender.scene import images
from refit_blender.scene.views import camera_view

# Corners of a slanted square before the camera, in its own axes.
MARKERS = np.array([[-0.5, -0.3, -5.0], [0.55, -0.25, -4.0], [0.5, 0.35, -5.0], [-0.4, 0.3, -4.5]])
RADIUS = 0.03


@pytest.fixture
def camera():
    """A camera that looks at glowing balls, somewhere in the world, with a scaled parent that moves."""
    scene = bpy.context.scene
    made = bpy.data.objects.new("cam", bpy.data.cameras.new("cam"))
    dolly = bpy.data.objects.new("dolly", None)
    scene.collection.objects.link(made)
    scene.collection.objects.link(dolly)
    made.parent = dolly
    made.location, made.rotation_euler, dolly.scale = (0.5, -1, 0.25), (1.3, 0.2, 0.4), (2, 2, 2)
    for frame, x in ((1, -7.0), (11, 2.0)):
        dolly.location.x = x
        dolly.keyframe_insert("location", frame=frame)
    scene.frame_set(11)
    made.data.lens, made.data.sensor_fit = 40.0, "AUTO"
    scene.camera = made
    return made


def markers_world(camera) -> np.ndarray:
    """Places of the balls in the world [4,3], by Blender's own matrix."""
    matrix = np.array(camera.evaluated_get(bpy.context.evaluated_depsgraph_get()).matrix_world.normalized())
    return MARKERS @ matrix[:3, :3].T + matrix[:3, 3]


def render_markers(camera, path) -> np.ndarray:
    """What the camera sees of the balls: brightness [H,W], top row first."""
    for centre in markers_world(camera):
        add_marker(centre, RADIUS)
    return render_picture(path)


def use_as_background(camera, picture: np.ndarray, **settings) -> None:
    """Put brightness [H,W] behind the camera as a picture."""
    height, width = picture.shape
    image = bpy.data.images.new("background", width, height, float_buffer=True)
    pixels = np.ones((height, width, 4), dtype=np.float32)
    pixels[..., :3] = picture[::-1, :, None]
    image.pixels.foreach_set(pixels.ravel())
    background = camera.data.background_images.new()
    background.image = image
    for name, value in settings.items():
        setattr(background, name, value)


def seen(camera, folder):
    return camera_view(camera, bpy.context.scene, bpy.context.evaluated_depsgraph_get(), folder)


def projected(view, points: np.ndarray) -> np.ndarray:
    """World points [N,3] to pixels [N,2] by the view's matrices."""
    pixels = (points @ view.R.T + view.t) @ view.K.T
    return pixels[:, :2] / pixels[:, 2:]


def spots(picture: np.ndarray, near: np.ndarray, reach: float = 7.0) -> np.ndarray:
    """Centres of brightness [N,2] around given pixels [N,2]."""
    height, width = picture.shape
    rows, columns = np.mgrid[0:height, 0:width] + 0.5
    found = []
    for x, y in near:
        weight = np.where((np.abs(columns - x) < reach) & (np.abs(rows - y) < reach), picture, 0.0)
        assert weight.sum() > 1, f"nothing is at ({x:.1f}, {y:.1f})"
        found.append([(weight * columns).sum() / weight.sum(), (weight * rows).sum() / weight.sum()])
    return np.array(found)


def check(camera, picture: np.ndarray, folder, tolerance: float = 0.12) -> None:
    """The balls must be in the picture where the view's matrices project them."""
    expected = projected(seen(camera, folder), markers_world(camera))
    np.testing.assert_allclose(spots(picture, expected), expected, atol=tolerance)


def set_frame(width: int, height: int, percentage: int = 100, aspect=(1.0, 1.0)) -> None:
    render = bpy.context.scene.render
    render.resolution_x, render.resolution_y, render.resolution_percentage = width, height, percentage
    render.pixel_aspect_x, render.pixel_aspect_y = aspect


def halved(picture: np.ndarray, axis: int) -> np.ndarray:
    """A picture with half as many pixels along an axis."""
    even, odd = [slice(None)] * 2, [slice(None)] * 2
    even[axis], odd[axis] = slice(0, None, 2), slice(1, None, 2)
    return (picture[tuple(even)] + picture[tuple(odd)]) / 2


@pytest.mark.parametrize("method", ["STRETCH", "FIT", "CROP"])
@pytest.mark.parametrize(
    "frame",
    [
        dict(width=160, height=90),
        dict(width=90, height=160),
        dict(width=333, height=187, percentage=51),
        dict(width=150, height=60, aspect=(1.0, 1.5)),
    ],
    ids=["landscape", "portrait", "percentage", "high pixels"],
)
def test_a_picture_of_the_frames_own_size(camera, tmp_path, method, frame):
    camera.data.shift_x, camera.data.shift_y = 0.08, -0.05
    set_frame(**frame)
    picture = render_markers(camera, tmp_path / "render.exr")
    aspect = frame.get("aspect", (1, 1))
    use_as_background(camera, picture, frame_method=method)
    camera.data.background_images[0].image.display_aspect = aspect
    check(camera, picture, tmp_path)


def test_stretch_shows_a_squeezed_picture_in_the_whole_frame(camera, tmp_path):
    set_frame(320, 180)
    picture = halved(render_markers(camera, tmp_path / "render.exr"), axis=1)
    use_as_background(camera, picture, frame_method="STRETCH")
    check(camera, picture, tmp_path)


def test_fit_shows_a_broader_picture_as_a_band(camera, tmp_path):
    set_frame(160, 120)
    picture = render_markers(camera, tmp_path / "render.exr")[20:100]
    use_as_background(camera, picture, frame_method="FIT")
    check(camera, picture, tmp_path)


def test_fit_shows_a_narrower_picture_as_a_column(camera, tmp_path):
    set_frame(160, 90)
    picture = render_markers(camera, tmp_path / "render.exr")[:, 30:130]
    use_as_background(camera, picture, frame_method="FIT")
    check(camera, picture, tmp_path)


def test_crop_shows_the_middle_of_a_broader_picture(camera, tmp_path):
    set_frame(160, 100)
    picture = render_markers(camera, tmp_path / "render.exr")
    # The same lens, seen through a narrower frame: its sensor is as much narrower.
    camera.data.sensor_fit, camera.data.sensor_width = "HORIZONTAL", camera.data.sensor_width * 100 / 160
    set_frame(100, 100)
    use_as_background(camera, picture, frame_method="CROP")
    check(camera, picture, tmp_path)


def test_crop_shows_the_middle_of_a_higher_picture(camera, tmp_path):
    set_frame(160, 120)
    picture = render_markers(camera, tmp_path / "render.exr")
    set_frame(160, 80)
    use_as_background(camera, picture, frame_method="CROP")
    check(camera, picture, tmp_path)


def test_scale_and_offset_of_the_background(camera, tmp_path):
    set_frame(160, 90)
    picture = render_markers(camera, tmp_path / "render.exr")
    # The right half of the frame's middle band, drawn where it was taken.
    part = picture[22:68, 40:132]
    use_as_background(camera, part, frame_method="FIT", scale=92 / 160, offset=(6 / 160, 0.0))
    check(camera, part, tmp_path)


@pytest.mark.parametrize(("flip_x", "flip_y"), [(True, False), (False, True), (True, True)])
def test_a_mirrored_background_is_handed_over_mirrored_back(camera, tmp_path, flip_x, flip_y):
    set_frame(160, 90)
    picture = render_markers(camera, tmp_path / "render.exr")
    mirrored = picture[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
    use_as_background(camera, mirrored, frame_method="FIT", use_flip_x=flip_x, use_flip_y=flip_y)
    check(camera, picture, tmp_path)
    with images.loaded(seen(camera, tmp_path).picture) as file:
        written = images.pixels_of(file)[::-1, :, 0]
    assert np.corrcoef(written.ravel(), picture.ravel())[0, 1] > 0.95


def test_a_turned_background(camera, tmp_path):
    set_frame(160, 160)
    camera.data.shift_x = 0.05
    picture = render_markers(camera, tmp_path / "render.exr")
    # A quarter of a turn to the right on screen puts back what was turned to the left.
    use_as_background(camera, np.rot90(picture), frame_method="FIT", rotation=np.pi / 2)
    check(camera, np.rot90(picture), tmp_path)


def test_camera_is_read_at_the_current_frame(camera, tmp_path):
    set_frame(160, 90)
    use_as_background(camera, np.ones((90, 160)))
    bpy.context.scene.frame_set(1)
    view = seen(camera, tmp_path)
    np.testing.assert_allclose(-view.R.T @ view.t, [-7 + 2 * 0.5, -2, 0.5], atol=1e-5)


def test_animated_lens_is_read_at_the_current_frame(camera, tmp_path):
    set_frame(160, 90)
    use_as_background(camera, np.ones((90, 160)))
    for frame, lens in ((1, 20.0), (11, 60.0)):
        camera.data.lens = lens
        camera.data.keyframe_insert("lens", frame=frame)
    bpy.context.scene.frame_set(1)
    assert seen(camera, tmp_path).K[0, 0] == pytest.approx(160 * 20 / 36)


# ----------------------------------------------------------------------------------------------- lens distortion


def test_distortion_that_an_import_noted_is_handed_over(camera, tmp_path):
    set_frame(160, 90)
    use_as_background(camera, np.ones((90, 160)))
    assert seen(camera, tmp_path).distortion is None
    camera.data["refit_distortion"] = {"model": "opencv", "coefficients": [-0.2, 0.1, 0.001, -0.002, 0.0]}
    noted = seen(camera, tmp_path).distortion
    assert noted.model == "opencv"
    assert noted.coefficients == pytest.approx((-0.2, 0.1, 0.001, -0.002, 0.0))


def test_distortion_of_a_mirrored_picture_is_mirrored(camera, tmp_path):
    set_frame(160, 90)
    use_as_background(camera, np.ones((90, 160)), use_flip_x=True)
    camera.data["refit_distortion"] = {"model": "opencv", "coefficients": [-0.2, 0.1, 0.001, -0.002, 0.0]}
    assert seen(camera, tmp_path).distortion.coefficients == pytest.approx((-0.2, 0.1, 0.001, 0.002, 0.0))


@pytest.mark.parametrize("noted", [3.0, {"model": "opencv"}, {"model": "opencv", "coefficients": [0.1] * 3}])
def test_damaged_note_of_a_distortion_is_refused(camera, tmp_path, noted):
    set_frame(160, 90)
    use_as_background(camera, np.ones((90, 160)))
    camera.data["refit_distortion"] = noted
    with pytest.raises(SourceError, match="Camera “cam”: its property refit_distortion must hold"):
        seen(camera, tmp_path)
