# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures as files: every way of being good or bad, orientation and focal length from EXIF."""

import math
import os
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from picture_files import encoded, picture, with_exif
from refit_engine.errors import ImageError
from refit_engine.exif import focal_in_pixels, read_exif
from refit_engine.formats import read_header
from refit_engine.images import MAX_PIXELS, read_photo, write_image


@pytest.fixture
def save(tmp_path):
    def write(data: bytes, name: str = "photo.jpg") -> Path:
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return write


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tiff", ".bmp"])
def test_common_formats_give_the_same_rgb(save, suffix):
    photo = read_photo(save(encoded(suffix), "photo" + suffix))
    assert photo.size == (120, 80)
    assert np.abs(photo.pixels[10, 10].astype(int) - (230, 20, 30)).max() < 12


def test_sixteen_bits_grey_and_alpha_become_rgb(save):
    grey = np.full((40, 40), 40000, np.uint16)
    assert read_photo(save(cv2.imencode(".png", grey)[1].tobytes(), "a.png")).pixels[0, 0].tolist() == [156] * 3
    bgra = np.full((40, 40, 4), (10, 20, 200, 255), np.uint8)
    bgra[:20, :, 3] = 0
    seen = read_photo(save(cv2.imencode(".png", bgra)[1].tobytes(), "b.png")).pixels
    assert seen[30, 30].tolist() == [200, 20, 10]
    assert seen[5, 5].tolist() == [0, 0, 0]


def test_names_beyond_ascii_are_read_and_written(tmp_path):
    path = tmp_path / "Bär 写真.png"
    write_image(path, picture())
    np.testing.assert_array_equal(read_photo(path).pixels, picture())


@pytest.mark.parametrize(
    "data, name, says",
    [
        (b"", "a.jpg", "is empty"),
        (b"Dear diary, this is no picture.\n" * 40, "a.jpg", "holds text"),
        (os.urandom(4000), "a.png", "not an image"),
        (encoded()[: len(encoded()) // 2], "a.jpg", "truncated"),
        (encoded()[:100], "a.jpg", "truncated"),
        (encoded(".png")[:-30], "a.png", "truncated"),
        (b"\0\0\0\x18ftypheic" + bytes(400), "a.heic", "HEIC"),
        (b"\0\0\0\x18ftypisom" + bytes(400), "a.jpg", "video"),
        (encoded(".png", picture(8, 300)), "a.png", "too small"),
        (cv2.imencode(".tiff", np.ones((40, 40), np.float32))[1].tobytes(), "a.tiff", "8 or 16 bits"),
    ],
    ids=["empty", "text", "noise", "half", "header only", "png cut", "heic", "video", "tiny", "float"],
)
def test_bad_files_are_named_in_one_sentence(save, data, name, says):
    with pytest.raises(ImageError, match=says) as caught:
        read_photo(save(data, name))
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_missing_file_and_folder_are_named(tmp_path):
    with pytest.raises(ImageError, match="no image at"):
        read_photo(tmp_path / "nothing.jpg")
    with pytest.raises(ImageError, match="folder"):
        read_photo(tmp_path)


def test_absurd_size_is_refused_before_memory_is_spent(save):
    png = bytearray(encoded(".png"))
    png[16:24] = struct.pack(">II", MAX_PIXELS, 60000)
    with pytest.raises(ImageError, match="too large"):
        read_photo(save(bytes(png), "bomb.png"))


def test_what_follows_the_end_of_a_jpeg_does_not_matter(save):
    assert read_photo(save(encoded() + b"maker's trailer" * 50)).size == (120, 80)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation, corner", [(1, (0, 0)), (3, (1, 1)), (6, (0, 1)), (8, (1, 0))])
def test_orientation_is_kept_apart_from_the_pixels_and_can_be_carried_out(save, order, orientation, corner):
    """`corner` (row, column) is where the stored upper left quarter stands in the upright picture."""
    photo = read_photo(save(with_exif(encoded(), {0x0112: ("H", orientation)}, order)))
    assert photo.size == (120, 80)
    assert photo.pixels[10, 10, 0] > 200
    upright = photo.upright()
    width, height = upright.size
    quarters = upright.pixels[height // 4 :: height // 2, width // 4 :: width // 2, 0]
    assert np.argwhere(quarters[:2, :2] > 200).tolist() == [list(corner)]
    assert upright.quarter_turns == 0


def test_focal_length_from_its_35mm_equivalent_uses_the_diagonal(save):
    photo = read_photo(save(with_exif(encoded(), {0x920A: ("R", 4.25), 0xA405: ("H", 26)})))
    assert photo.exif_focal == pytest.approx(26 * math.hypot(120, 80) / math.hypot(36, 24))


def test_focal_length_from_the_sensor_resolution_follows_a_resize(save):
    # A 36 mm wide sensor of 6000 pixels; the photo was since shrunk to 120.
    tags = {0x920A: ("R", 50), 0xA20E: ("R", 6000 / 3.6), 0xA210: ("H", 3), 0xA002: ("I", 6000), 0xA003: ("I", 4000)}
    assert read_photo(save(with_exif(encoded(), tags))).exif_focal == pytest.approx(50 / 36 * 120, rel=1e-3)


# What the files of real cameras say, and the width of their sensors in millimetres, which they do not.
REAL_CAMERAS = {
    "Canon G1 X": ({0x920A: 12.5, 0xA20E: 5909.09, 0xA210: 2, 0xA002: 4352, 0xA003: 2904}, 12.5, 18.7),
    "Sony, full frame": ({0x920A: 35, 0xA405: 35, 0xA002: 6000, 0xA003: 4000}, 35, 35.8),
    "Ricoh, APS-C": ({0x920A: 18.3, 0xA405: 28, 0xA002: 4928, 0xA003: 3264}, 18.3, 23.6),
    "Sigma, portrait": ({0x920A: 50, 0xA405: 75, 0xA002: 3136, 0xA003: 4704}, 50, 23.5),
    "Olympus compact, 1/1.7 inch, 4:3": ({0x920A: 16.1, 0xA405: 76, 0xA002: 3968, 0xA003: 2976}, 16.1, 7.4),
    "phone": ({0x920A: 8.0, 0xA405: 39, 0xA002: 1920, 0xA003: 2560}, 8.0, 7.18),
}


@pytest.mark.parametrize("tags, focal_mm, sensor_mm", REAL_CAMERAS.values(), ids=REAL_CAMERAS)
def test_focal_length_of_real_cameras_agrees_with_their_sensors(tags, focal_mm, sensor_mm):
    """Also after the photo was shrunk, and for sensors that are not 3:2. Cameras round to a millimetre."""
    width, height = tags[0xA002], tags[0xA003]
    expected = focal_mm / sensor_mm * max(width, height)
    for shrink in (1, 4):
        found = focal_in_pixels(tags, width // shrink, height // shrink)
        assert found == pytest.approx(expected / shrink, rel=0.05)


def test_focal_length_from_the_sensor_resolution_in_every_unit(save):
    """Inches, centimetres, and no unit at all, which means inches; rationals and bytes in both orders."""
    for order in "<>":
        for unit, per_mm in ((None, 25.4), (1, 25.4), (2, 25.4), (3, 10.0), (4, 1.0)):
            tags = {0x920A: ("R", 50), 0xA20E: ("R", per_mm * 100), 0xA002: ("I", 3600), 0xA003: ("I", 2400)}
            if unit:
                tags[0xA210] = ("H", unit)
            photo = read_photo(save(with_exif(encoded(), tags, order)))
            assert photo.exif_focal == pytest.approx(50 * 100 * 120 / 3600, rel=1e-3)


def test_focal_length_of_a_portrait_photo_ignores_the_turn():
    tags = {0xA405: 28.0, 0xA002: 4000.0, 0xA003: 3000.0}
    assert focal_in_pixels(tags, 3000, 4000) == focal_in_pixels(tags, 4000, 3000)


def test_cropped_photo_or_senseless_tags_tell_no_focal_length():
    assert focal_in_pixels({0xA405: 28.0, 0xA002: 4000.0, 0xA003: 3000.0}, 1000, 1000) is None
    assert focal_in_pixels({0xA405: 30000.0}, 4000, 3000) is None
    assert focal_in_pixels({}, 4000, 3000) is None


def test_damaged_exif_never_fails():
    good = with_exif(encoded(), {0x0112: ("H", 6), 0x920A: ("R", 4.25), 0xA405: ("H", 26)})
    rng = np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(good)
        for place in rng.integers(2, 120, 4):
            data[place] = rng.integers(256)
        read_exif(read_header(bytes(data[: rng.integers(3, len(data))])).exif)


def test_failed_write_leaves_the_old_file_and_no_rest(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    write_image(path, picture())
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="space"):
        write_image(path, picture(50, 50))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.png"]
