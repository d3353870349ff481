# SPDX-License-Identifier: GPL-3.0-or-later
"""Stills of moving backgrounds: the picture that Blender shows at the current frame.

counting.mp4: 20 pictures of 64 x 48 pixels, each of one grey: 0, 12, 24, ….
"""

from pathlib import Path

import bpy
import numpy as np
import pytest

from refit_blender.errors import SourceError
from refit_blender.scene import frames, images
from refit_blender.scene.views import camera_view

MOVIE = Path(__file__).parents[1] / "data" / "counting.mp4"
GREYS = 12


@pytest.fixture
def camera():
    made = bpy.data.objects.new("cam", bpy.data.cameras.new("cam"))
    bpy.context.scene.collection.objects.link(made)
    return made


@pytest.fixture
def sequence(tmp_path):
    """The first picture of a sequence shot_05.png … shot_09.png of 32 x 24 pixels; grey counts on from 5."""
    for number in range(5, 10):
        pixels = np.ones((24, 32, 4), dtype=np.float32)
        pixels[..., :3] = number * GREYS / 255
        images.write_pixels(pixels, tmp_path / f"shot_{number:02d}.png")
    return tmp_path / "shot_05.png"


def show_image(camera, path: Path, source: str = "MOVIE", **timing):
    background = camera.data.background_images.new()
    background.image = bpy.data.images.load(str(path))
    background.image.source = source
    for name, value in timing.items():
        setattr(background.image_user, name, value)
    return background


def show_clip(camera, path: Path, **timing) -> bpy.types.MovieClip:
    background = camera.data.background_images.new()
    background.source = "MOVIE_CLIP"
    background.clip = bpy.data.movieclips.load(str(path))
    for name, value in timing.items():
        setattr(background.clip, name, value)
    return background.clip


def view_at(camera, frame: int, folder: Path):
    bpy.context.scene.frame_set(frame)
    return camera_view(camera, bpy.context.scene, bpy.context.evaluated_depsgraph_get(), folder)


def number_at(camera, frame: int, folder: Path) -> int:
    """Which picture the engine gets at a frame of the scene, told from its grey."""
    with images.loaded(view_at(camera, frame, folder).picture) as image:
        return round(float(images.pixels_of(image)[5, 5, 0]) * 255 / GREYS)


def test_movie_is_read_at_the_current_frame(camera, tmp_path):
    show_image(camera, MOVIE, frame_duration=20, frame_start=3, frame_offset=2)
    before = len(bpy.data.images)
    # The first picture of the scene's frame 3 is the movie's third one.
    assert [number_at(camera, frame, tmp_path) for frame in (3, 4, 10)] == [2, 3, 9]
    assert [number_at(camera, frame, tmp_path) for frame in (-5, 500)] == [1, 19]
    assert len(bpy.data.images) == before
    view = view_at(camera, 1, tmp_path)
    assert view.size == (64, 48) and view.picture.name.startswith("counting picture")


@pytest.mark.parametrize("timing", [(20, 1, 0, False), (5, 3, 2, True), (4, -2, 7, False), (0, 1, 0, False)])
def test_number_is_the_one_that_blender_shows(camera, timing):
    names = ("frame_duration", "frame_start", "frame_offset", "use_cyclic")
    user = show_image(camera, MOVIE, **dict(zip(names, timing, strict=True))).image_user
    for frame in (-4, 0, 1, 2, 3, 8, 30):
        bpy.context.scene.frame_set(frame)
        assert frames.shown_number(user, frame) == user.frame_current


def test_sequence_is_read_at_the_current_frame(camera, sequence, tmp_path):
    show_image(camera, sequence, "SEQUENCE", frame_duration=5, frame_start=1, frame_offset=4)
    assert [number_at(camera, frame, tmp_path) for frame in (1, 4)] == [5, 8]
    assert view_at(camera, 2, tmp_path).picture == tmp_path / "shot_06.png"


def test_sequence_shows_nothing_beyond_its_ends(camera, sequence, tmp_path):
    show_image(camera, sequence, "SEQUENCE", frame_duration=5, frame_start=1, frame_offset=4)
    for frame in (0, 6):
        with pytest.raises(SourceError, match=f"“shot_05.png” shows nothing at frame {frame}"):
            view_at(camera, frame, tmp_path)


def test_missing_picture_of_a_sequence_is_named(camera, sequence, tmp_path):
    show_image(camera, sequence, "SEQUENCE", frame_duration=5, frame_start=1, frame_offset=4)
    (tmp_path / "shot_07.png").unlink()
    with pytest.raises(SourceError, match="“shot_05.png” is missing: .*shot_07.png"):
        view_at(camera, 3, tmp_path)


def test_movie_clip_is_read_at_the_current_frame(camera, tmp_path):
    show_clip(camera, MOVIE, frame_start=3, frame_offset=2)
    assert [number_at(camera, frame, tmp_path) for frame in (3, 4, 10)] == [2, 3, 9]
    view = view_at(camera, 1, tmp_path)
    assert (view.size, view.distortion) == ((64, 48), None)


def test_clip_of_a_sequence_counts_from_its_first_file(camera, sequence, tmp_path):
    show_clip(camera, sequence, frame_start=1)
    assert [number_at(camera, frame, tmp_path) for frame in (1, 4)] == [5, 8]
    with pytest.raises(SourceError, match="is missing: .*shot_10.png"):
        view_at(camera, 6, tmp_path)


def test_missing_movie_is_named(camera, tmp_path):
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(MOVIE.read_bytes())
    show_clip(camera, copy)
    copy.unlink()
    with pytest.raises(SourceError, match="“copy.mp4” is missing"):
        view_at(camera, 1, tmp_path)


def test_wide_pixels_of_a_clip_count(camera, tmp_path):
    render = bpy.context.scene.render
    render.resolution_x, render.resolution_y = 2 * 64, 48
    show_clip(camera, MOVIE).display_aspect = (2.0, 1.0)
    K = view_at(camera, 1, tmp_path).K
    assert K[0, 0] == pytest.approx(64 * 50 / 36)
    assert K[1, 1] == pytest.approx(2 * K[0, 0])
    np.testing.assert_allclose(K[:2, 2], [32, 24], atol=1e-4)


# ----------------------------------------------------------------------------------------------- lens distortion

LENSES = {
    "POLYNOMIAL": ({"k1": -0.2, "k2": 0.05, "k3": 0.01}, (2, 4, 6)),
    "DIVISION": ({"division_k1": 0.15, "division_k2": 0.03}, (2, 4)),
    "NUKE": ({"nuke_k1": 0.08, "nuke_k2": 0.01}, (0, 0)),
    "BROWN": (
        {f"brown_{name}": value for name, value in zip(("k1", "k2", "k3", "k4", "p1", "p2"), range(1, 7), strict=True)},
        (2, 4, 6, 8, 1, 1),
    ),
}


def clip_that_matches(camera, model: str) -> bpy.types.MovieClip:
    """A clip whose lens is the camera's, with a distortion."""
    render = bpy.context.scene.render
    render.resolution_x, render.resolution_y = 64, 48
    clip = show_clip(camera, MOVIE)
    lens = clip.tracking.camera
    lens.focal_length_pixels = 64 * camera.data.lens / 36
    lens.distortion_model = model
    for name, value in LENSES[model][0].items():
        setattr(lens, name, value)
    return clip


@pytest.mark.parametrize("model", LENSES)
def test_distortion_of_a_clip_is_handed_over(camera, tmp_path, model):
    clip_that_matches(camera, model)
    found = view_at(camera, 1, tmp_path).distortion
    expected = list(LENSES[model][0].values())
    if model == "BROWN":
        expected[-1] *= -1  # the engine's y points down
    assert found.model == model.lower()
    assert found.coefficients == pytest.approx(expected)


@pytest.mark.parametrize("model", LENSES)
def test_distortion_is_the_same_on_the_picture_whatever_lens_the_camera_has(camera, tmp_path, model):
    clip_that_matches(camera, model)
    before = view_at(camera, 1, tmp_path).distortion.coefficients
    camera.data.lens *= 2
    after = view_at(camera, 1, tmp_path).distortion.coefficients
    assert after == pytest.approx([value * 2**power for value, power in zip(before, LENSES[model][1], strict=True)])


def test_optical_centre_of_clip_and_camera_must_agree(camera, tmp_path):
    clip_that_matches(camera, "POLYNOMIAL").tracking.camera.principal_point_pixels = (38, 20)
    with pytest.raises(
        SourceError, match=r"“cam” looks at pixel \(32, 24\) of its clip, whose optical centre is \(38, 28\)"
    ):
        view_at(camera, 1, tmp_path)
    camera.data.shift_x, camera.data.shift_y = -6 / 64, 4 / 64
    assert view_at(camera, 1, tmp_path).distortion


def test_note_of_an_import_comes_before_the_clips_own_lens(camera, tmp_path):
    clip_that_matches(camera, "BROWN")
    camera.data["refit_distortion"] = {"model": "opencv", "coefficients": [0.1, 0.0, 0.0, 0.0]}
    assert view_at(camera, 1, tmp_path).distortion.model == "opencv"
