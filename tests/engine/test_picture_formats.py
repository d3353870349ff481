# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of every format: orientation, focal length, colours, and what Blender cannot show."""

import io

import cv2
import numpy as np
import pillow_heif
import pytest
from picture_files import ORIENTATION, WRITERS, encoded, picture, saved
from PIL import Image, ImageCms
from refit_engine.errors import ImageError
from refit_engine.images import read_photo

ORIENTED = {  # EXIF's orientation: the stored picture as it is to be seen
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.rot90(image, 2).transpose(1, 0, 2),
    8: lambda image: np.rot90(image),
}


def read(folder, data, name="photo"):
    (folder / name).write_bytes(data)
    return read_photo(folder / name)


def four_colours():
    """RGB with another colour in each quarter, so that every turn and mirroring shows."""
    image = picture()
    image[:40, 60:] = (20, 200, 30)
    image[40:, :60] = (20, 30, 220)
    return image


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_picture_in_every_format_and_orientation(tmp_path, kind, orientation):
    image = four_colours()
    photo = read(tmp_path, saved(kind, image, {ORIENTATION: ("H", orientation)}))
    expected = ORIENTED[orientation](image)
    upright = photo.upright()
    assert upright.size == (expected.shape[1], expected.shape[0])
    assert np.abs(upright.pixels.astype(int) - expected).mean() < 6
    assert upright.upright() is upright
    if kind in ("heic", "avif"):  # the container turns, and Blender shows neither
        assert photo.foreign and not photo.quarter_turns and not photo.mirrored
    else:
        assert not photo.foreign and np.abs(photo.pixels.astype(int) - image).mean() < 6


@pytest.mark.parametrize("kind", WRITERS)
def test_focal_length_in_every_format(tmp_path, kind):
    tags = {ORIENTATION: ("H", 6), 0xA405: ("H", 26), 0xA002: ("I", 120), 0xA003: ("I", 80)}
    assert read(tmp_path, saved(kind, tags=tags)).exif_focal == pytest.approx(26 * np.hypot(120, 80) / np.hypot(36, 24))
    cropped = {**tags, 0xA003: ("I", 120)}
    assert read(tmp_path, saved(kind, tags=cropped)).exif_focal is None


@pytest.mark.parametrize("kind", ["tif", "jpg"])
def test_standing_picture_is_turned_but_left_mirrored(tmp_path, kind):
    image = four_colours()
    photo = read(tmp_path, saved(kind, image, {ORIENTATION: ("H", 5)}))
    standing = photo.standing()
    assert (standing.quarter_turns, standing.mirrored) == (0, True)
    assert np.abs(standing.pixels.astype(int) - np.rot90(image, -1)).mean() < 6


@pytest.mark.parametrize("options", [{"compression": "tiff_lzw"}, {"compression": "jpeg"}, {"big_tiff": True}])
def test_orientation_of_packed_tiffs(tmp_path, options):
    image, stream = four_colours(), io.BytesIO()
    Image.fromarray(image).save(stream, "TIFF", tiffinfo={ORIENTATION: 6}, **options)
    photo = read(tmp_path, stream.getvalue())
    assert photo.quarter_turns == 1
    assert np.abs(photo.pixels.astype(int) - image).mean() < 6


def modes():
    """Files whose colours are stored in other ways, and their colour at the upper left."""
    red = (230, 20, 30)
    rgb = Image.fromarray(picture())
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    yield "CMYK JPEG", "JPEG", rgb.convert("CMYK"), {}, red
    yield "CMYK TIFF", "TIFF", rgb.convert("CMYK"), {}, red
    yield "palette PNG", "PNG", rgb.quantize(8), {}, red
    yield "palette BMP", "BMP", rgb.quantize(8), {}, red
    yield "palette TIFF", "TIFF", rgb.quantize(8), {}, red
    yield "grey and alpha", "PNG", rgb.convert("LA"), {}, (84, 84, 84)
    yield "grey JPEG", "JPEG", rgb.convert("L"), {}, (84, 84, 84)
    yield (
        "black and white TIFF",
        "TIFF",
        rgb.convert("L").point(lambda grey: 255 * (grey > 85)).convert("1"),
        {},
        (0, 0, 0),
    )
    yield "colour profile", "JPEG", rgb, {"icc_profile": profile}, red
    yield "colour profile in PNG", "PNG", rgb, {"icc_profile": profile}, red
    yield "progressive", "JPEG", rgb, {"progressive": True}, red
    yield "JPEG 2000", "JPEG2000", rgb, {}, red
    yield "PPM", "PPM", rgb, {}, red
    yield "GIF", "GIF", rgb, {}, red


@pytest.mark.parametrize(
    "kind, image, options, colour", [mode[1:] for mode in modes()], ids=[mode[0] for mode in modes()]
)
def test_colours_however_they_are_stored(tmp_path, kind, image, options, colour):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    photo = read(tmp_path, stream.getvalue())
    assert photo.size == (120, 80)
    assert np.abs(photo.pixels[10, 10].astype(int) - colour).max() < 12
    assert photo.foreign == (kind in ("JPEG2000", "PPM", "GIF"))


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bits_of_colour(tmp_path, suffix):
    deep = picture()[..., ::-1].astype(np.uint16) * 257
    assert (read(tmp_path, cv2.imencode(suffix, deep)[1].tobytes()).pixels == picture()).all()


@pytest.mark.parametrize("mode, bits", [("RGB;16", 10), ("RGBA;16", 10)])
def test_heic_of_ten_bits(tmp_path, mode, bits):
    stream, channels = io.BytesIO(), len(mode.split(";")[0])
    deep = np.full((80, 120, channels), 65535, np.uint16)
    deep[..., :3] = picture().astype(np.uint16) * 257
    pillow_heif.from_bytes(mode=mode, size=(120, 80), data=deep.tobytes()).save(stream, quality=95, chroma=444)
    assert pillow_heif.open_heif(stream).info["bit_depth"] == bits
    photo = read(tmp_path, stream.getvalue())
    assert photo.size == (120, 80) and np.abs(photo.pixels.astype(int) - picture()).mean() < 4


def test_heic_of_tiles_as_phones_write_it(tmp_path):
    image, stream = cv2.resize(four_colours(), (600, 400)), io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(image)).save(stream, quality=90, tile_size=256)
    photo = read(tmp_path, stream.getvalue())
    assert photo.size == (600, 400) and np.abs(photo.pixels.astype(int) - image).mean() < 4


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_animation_gives_its_first_picture(tmp_path, kind):
    stream, first = io.BytesIO(), Image.fromarray(picture())
    second = Image.fromarray(255 - picture())
    first.save(stream, kind, save_all=True, append_images=[second], duration=100)
    photo = read(tmp_path, stream.getvalue())
    assert np.abs(photo.pixels[10, 10].astype(int) - (230, 20, 30)).max() < 12
    # Blender shows an animated PNG's first picture, a GIF not at all, and an animated WebP black.
    assert photo.foreign == (kind != "PNG")


def dng():
    """A TIFF with DNG's version tag."""
    stream = io.BytesIO()
    Image.fromarray(picture()).save(stream, "TIFF", tiffinfo={50706: b"\1\4\0\0"})
    return stream.getvalue()


@pytest.mark.parametrize(
    "name, data",
    [
        ("a.cr2", b"II*\0\x10\0\0\0CR\2\0" + bytes(64)),
        ("a.cr3", b"\0\0\0\x18ftypcrx " + bytes(64)),
        ("a.NEF", encoded(".tiff")),
        ("a.arw", encoded(".tiff")),
        ("a.raf", b"FUJIFILMCCD-RAW " + bytes(64)),
        ("a.orf", b"IIRO\x08\0\0\0" + bytes(64)),
        ("a.rw2", b"IIU\0\x18\0\0\0" + bytes(64)),
        ("a.tif", dng()),
    ],
)
def test_raw_files_are_named(tmp_path, name, data):
    with pytest.raises(ImageError, match=f"^{name} is a raw camera file: export it as JPEG or PNG first.$"):
        read(tmp_path, data, name)


def test_jpeg_that_is_called_raw_is_read(tmp_path):
    assert read(tmp_path, encoded(), "a.raw").size == (120, 80)


@pytest.mark.parametrize(
    "data, says",
    [
        (b"\x76\x2f\x31\x01" + bytes(64), "an OpenEXR picture: save it as JPEG or PNG"),
        (b"8BPS\0\1" + bytes(64), "a Photoshop file"),
        (b"SDPX" + bytes(64), "a DPX picture"),
        (b"#?RADIANCE\n" + bytes(64), "a Radiance HDR picture"),
        (b"%PDF-1.7" + bytes(64), "a PDF document"),
        (b"\x1a\x45\xdf\xa3" + bytes(64), "a video: save one frame"),
        (b"RIFF\0\0\0\0AVI " + bytes(64), "a video or a sound"),
        (b"\0\0\0\x18ftypheic" + bytes(400), "HEIC"),
    ],
)
def test_files_that_are_no_pictures_are_named(tmp_path, data, says):
    with pytest.raises(ImageError, match=says):
        read(tmp_path, data)
