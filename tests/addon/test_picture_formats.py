# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pixels Blender shows of a file, and which file the engine gets for them."""

import os
import threading

import bpy
import numpy as np
import picture_files
import pytest

from refit_blender.errors import SourceError
from refit_blender.operators.reconstruct import PICTURES
from refit_blender.scene import frames, images
from refit_blender.scene.sources import camera_source, empty_source, file_source

OWN = {".tga": "TARGA", ".exr": "OPEN_EXR", ".dpx": "DPX", ".hdr": "HDR", ".cin": "CINEON"}


def close(pixels, expected):
    return pixels.shape == expected.shape and np.abs(pixels.astype(int) - expected).max() < 12


def behind_camera(path, source="FILE"):
    camera = bpy.data.objects.new("plate", bpy.data.cameras.new("plate"))
    scene = bpy.context.scene
    scene.collection.objects.link(camera)
    scene.camera = camera
    background = camera.data.background_images.new()
    background.image = bpy.data.images.load(str(path))
    background.image.source = source
    return background


def camera_picture(folder):
    return camera_source(bpy.context.scene, bpy.context.evaluated_depsgraph_get(), folder / "job").picture


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_blender_shows_pixels_as_they_are_stored(tmp_path, suffix, orientation):
    """The engine counts on it: a scene camera's matrix belongs to the stored pixels."""
    path = picture_files.oriented(tmp_path / f"photo{suffix}", orientation)
    assert np.abs(picture_files.seen(path).astype(int) - picture_files.four_colours()).mean() < 12
    assert images.picture_size(path) == (60, 40)


@pytest.mark.parametrize("suffix", OWN)
def test_background_in_a_format_of_blenders_own_becomes_a_png(tmp_path, suffix):
    plate = picture_files.save(tmp_path / f"plate{suffix}", OWN[suffix])
    behind_camera(plate)
    before = len(bpy.data.images)
    picture = camera_picture(tmp_path)
    assert picture.name == "plate.png" and picture.read_bytes().startswith(b"\x89PNG")
    assert close(picture_files.seen(picture), picture_files.four_colours())
    assert len(bpy.data.images) == before


@pytest.mark.parametrize("suffix", OWN)
def test_chosen_file_in_a_format_of_blenders_own_becomes_a_png(tmp_path, suffix):
    source = file_source(picture_files.save(tmp_path / f"plate{suffix}", OWN[suffix]), tmp_path / "job")
    assert source.name == "plate"
    assert close(picture_files.seen(source.picture), picture_files.four_colours())


@pytest.mark.parametrize("suffix", [".exr", ".tga"])
def test_frame_of_a_sequence_in_a_format_of_blenders_own(tmp_path, suffix):
    for number, grey in ((1, 60), (2, 180)):
        picture_files.save(tmp_path / f"shot_{number:02d}{suffix}", OWN[suffix], np.full((40, 60, 3), grey, np.uint8))
    background = behind_camera(tmp_path / f"shot_01{suffix}", "SEQUENCE")
    background.image_user.frame_duration, background.image_user.frame_start = 2, 1
    bpy.context.scene.frame_set(2)
    picture = camera_picture(tmp_path)
    assert picture.name == "shot_02.png"
    assert close(picture_files.seen(picture), np.full((40, 60, 3), 180, np.uint8))


def test_clip_of_pictures_in_a_format_of_blenders_own(tmp_path):
    picture_files.save(tmp_path / "shot_01.exr", "OPEN_EXR")
    camera = bpy.data.objects.new("plate", bpy.data.cameras.new("plate"))
    bpy.context.scene.collection.objects.link(camera)
    background = camera.data.background_images.new()
    background.source, background.clip = "MOVIE_CLIP", bpy.data.movieclips.load(str(tmp_path / "shot_01.exr"))
    found = frames.background_file(images.camera_background(camera), 1, tmp_path / "job")
    assert close(picture_files.seen(found), picture_files.four_colours())


def test_packed_plate_is_converted_too(tmp_path):
    plate = picture_files.save(tmp_path / "plate.exr", "OPEN_EXR")
    background = behind_camera(plate)
    background.image.pack()
    plate.unlink()
    assert close(picture_files.seen(camera_picture(tmp_path)), picture_files.four_colours())


def test_mirrored_plate_keeps_its_colours(tmp_path):
    behind_camera(picture_files.save(tmp_path / "plate.exr", "OPEN_EXR")).use_flip_x = True
    assert close(picture_files.seen(camera_picture(tmp_path)), picture_files.four_colours()[:, ::-1])


def test_sixteen_bits_are_handed_over_as_they_are_and_mirrored_in_their_own_colours(tmp_path):
    """Blender has them linear, which is no colour of a PNG."""
    path, scene = tmp_path / "deep.png", bpy.context.scene
    scene.render.image_settings.color_depth = "16"
    image = bpy.data.images.new("deep", 60, 40, float_buffer=True)
    image.pixels.foreach_set(np.tile(np.array([0.5, 0.1, 0.02, 1.0], np.float32), 60 * 40))
    scene.view_settings.view_transform = "Standard"
    image.save_render(str(path), scene=scene)
    background = behind_camera(path)
    assert background.image.is_float and camera_picture(tmp_path) == path
    background.use_flip_x = True
    # sRGB of 0.5, 0.1, 0.02.
    np.testing.assert_allclose(picture_files.seen(camera_picture(tmp_path))[5, 5], [188, 89, 39], atol=1)


def test_light_beyond_white_is_white(tmp_path):
    image = bpy.data.images.new("light", 20, 20, float_buffer=True)
    pixels = np.ones((20, 20, 4), np.float32)
    pixels[..., :3] = [50.0, -1.0, 0.2140411]
    image.pixels.foreach_set(pixels.ravel())
    scenes = len(bpy.data.scenes)
    np.testing.assert_array_equal(picture_files.seen(images.image_file(image, tmp_path))[3, 3], [255, 0, 128])
    assert len(bpy.data.scenes) == scenes


def test_empty_shows_a_gif_that_the_engine_reads(tmp_path):
    """Its file goes to the engine: newer versions of Blender cannot show it."""
    path = tmp_path / "wave.gif"
    path.write_bytes(b"GIF89a" + bytes(30))
    empty = bpy.data.objects.new("reference", None)
    empty.empty_display_type = "IMAGE"
    empty.data = bpy.data.images.load(str(path))
    assert empty_source(empty, tmp_path).picture == path


@pytest.mark.parametrize("name", ["photo.HEIC", "photo.avif", "photo.gif", "photo.jpg"])
def test_formats_of_the_engine_are_not_opened(tmp_path, name):
    assert file_source(tmp_path / name, tmp_path / "job").picture == tmp_path / name
    assert (tmp_path / name).suffix.lower() in PICTURES.split(";")


def test_focal_length_in_millimetres_goes_to_the_engine_unread(tmp_path):
    source = file_source(tmp_path / "photo.heic", tmp_path, focal_mm=50.0)
    assert (source.focal, source.focal_mm) == (None, 50.0)


def test_copy_that_the_engine_made_is_packed(tmp_path):
    """As for a HEIC photo, whose result refers to a JPEG in the job's folder."""
    copy = picture_files.save(tmp_path / "upright.jpg", "JPEG")
    camera = bpy.data.objects.new("plate", bpy.data.cameras.new("plate"))
    images.show_behind(camera, copy, "photo.heic", pack=True)
    copy.unlink()
    (background,) = camera.data.background_images
    assert background.image.name == "photo.heic" and background.image.packed_file
    assert images.pixels_of(background.image).shape == (40, 60, 4)


def finishes(work):
    """Whether a call ends within seconds; what it raised."""
    raised = []

    def run():
        try:
            work()
        except SourceError as error:
            raised.append(str(error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    return raised


@pytest.mark.skipif(os.name != "posix", reason="special files of POSIX")
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_nothing_waits_for_a_pipe_or_reads_a_device(tmp_path, kind):
    for suffix in (".png", ".exr"):
        path = tmp_path / f"a{suffix}"
        if kind == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to("/dev/zero")
        image = bpy.data.images.new("a", 8, 8)
        image.source, image.filepath_raw = "FILE", str(path)
        assert images.picture_size(path) is None
        assert finishes(lambda path=path: images.mirrored_file(path, tmp_path, True, False))
        assert finishes(lambda image=image: images.image_file(image, tmp_path))
        camera = bpy.data.cameras.new("a")
        assert finishes(lambda path=path, camera=camera: images.show_behind(camera, path, "a", pack=True))
    assert finishes(lambda: file_source(tmp_path / "a.exr", tmp_path))
