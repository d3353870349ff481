# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures that are cut off, much too large, no regular files, or damaged in any way."""

import io
import os
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from picture_files import encoded, saved
from PIL import Image
from refit_engine.errors import ImageError
from refit_engine.formats import read_header
from refit_engine.images import MAX_BYTES, MAX_PIXELS, read_photo

FUZZ = Path(__file__).with_name("picture_fuzz.py")
POSIX = pytest.mark.skipif(os.name != "posix", reason="special files of POSIX")


def detailed(width=400, height=600):
    """A picture whose compressed size is spread evenly over its rows."""
    noise = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def pillow(kind, **options):
    stream = io.BytesIO()
    Image.fromarray(detailed()).save(stream, kind, **options)
    return stream.getvalue()


def read(folder, data, name="photo"):
    (folder / name).write_bytes(data)
    return read_photo(folder / name)


ENDLESS = {
    "jpeg": (pillow("JPEG"), 2),
    "jpeg, half a mark": (pillow("JPEG"), 1),
    "progressive": (pillow("JPEG", progressive=True), 2),
    "png": (pillow("PNG"), 12),
    "png, half a mark": (pillow("PNG"), 2),
    "png, no checksum of the pixels": (pillow("PNG"), 16),
    "gif": (pillow("GIF"), 1),
}


@pytest.mark.parametrize("data, missing", ENDLESS.values(), ids=ENDLESS)
def test_picture_without_its_end_mark_is_read_with_a_remark(tmp_path, data, missing):
    whole, cut = read(tmp_path, data), read(tmp_path, data[:-missing])
    np.testing.assert_array_equal(cut.pixels, whole.pixels)
    assert not whole.remark and cut.remark == "photo has no end mark; its pixels are complete, or nearly so."


@pytest.mark.parametrize("name", ["jpeg", "progressive", "png"])
def test_last_rows_may_be_missing(tmp_path, name):
    data, _ = ENDLESS[name]
    whole, cut = read(tmp_path, data), read(tmp_path, data[: -len(data) // 200])
    differs = (cut.pixels != whole.pixels).any(axis=(1, 2))
    assert cut.remark and 0 < differs.sum() <= 24 and differs[:-24].sum() == 0


CUT = {
    **{name: data for name, (data, _) in ENDLESS.items() if name in ("jpeg", "progressive", "png")},
    "webp": pillow("WEBP"),
    "lossless webp": pillow("WEBP", lossless=True),
    "tiff": pillow("TIFF"),
    "packed tiff": pillow("TIFF", compression="tiff_lzw"),
    "bmp": pillow("BMP"),
    "jpeg 2000": pillow("JPEG2000"),
    "ppm": pillow("PPM"),
    "heic": saved("heic", detailed()),
    "avif": saved("avif", detailed()),
}


@pytest.mark.parametrize("data", CUT.values(), ids=CUT)
def test_picture_that_is_cut_off_is_refused(tmp_path, data):
    for part in (0.05, 0.5, 0.9):
        with pytest.raises(ImageError, match="^photo is (truncated: the end of the image is|not an image that)"):
            read(tmp_path, data[: int(part * len(data))])


def test_jpeg_between_two_scans_of_a_gradual_one_is_read(tmp_path):
    """All rows are there, if blurred; a viewer shows them, too."""
    data = ENDLESS["progressive"][0]
    last_scan = data.rfind(b"\xff\xda")
    assert read(tmp_path, data[:last_scan]).remark


def tiff(width, height, channels, bits, **tags):
    """A TIFF header of this size, without pixels. tags: by number, as `t322`."""
    entries = {256: width, 257: height, 258: bits, 259: 1, 262: 2, 273: 8, 277: channels, 278: 1, 279: 1}
    entries |= {int(name[1:]): value for name, value in tags.items()}
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(entries.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + bytes(4)


def png(width, height, depth, colour):
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + bytes(4)

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def bmff(kind, width, height):
    """The file of a small picture with another size in its properties."""
    data = bytearray(saved(kind))
    for place in [at for at in range(len(data)) if data[at : at + 4] == b"ispe"]:
        data[place + 8 : place + 16] = struct.pack(">II", width, height)
    return bytes(data)


SIZE = (32768, 32000)
CODESTREAM = b"\xff\x4f\xff\x51\0\x29\0\0"  # JPEG 2000's
BOMBS = {
    "gif": b"GIF89a" + struct.pack("<HH", *SIZE) + b"\x80\0\0\0\0\0\xff\xff\xff,;",
    "tiff": tiff(*SIZE, 3, 8),
    "tiff of 16 bits": tiff(17000, 17000, 4, 16),
    "tiff of 32 channels": tiff(10000, 10000, 32, 8),
    "tiff of one huge tile": tiff(100, 100, 3, 8, t322=65536, t323=65536),
    "png": png(*SIZE, 8, 2),
    "png of 16 bits": png(17000, 17000, 16, 6),
    "webp": b"RIFF\x1a\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff\xff\xff" * 2,
    "bmp": b"BM" + bytes(12) + struct.pack("<IiiHHI", 40, SIZE[0], -SIZE[1], 1, 24, 1) + bytes(20),
    "jpeg 2000": CODESTREAM + struct.pack(">8IH", *SIZE, 0, 0, *SIZE, 0, 0, 3) + b"\7\1\1" * 3 + b"\xff\xd9",
    "jpeg 2000 of many channels": CODESTREAM + struct.pack(">8IH", 400, 400, 0, 0, 400, 400, 0, 0, 9999),
    "ppm": b"P6 40000 40000 255\n",
    "text of numbers": b"P3 # a remark\n40000\n40000 255\n",
    "heic": bmff("heic", *SIZE),
    "avif": bmff("avif", *SIZE),
}  # fmt: skip


@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS)
def test_absurd_size_is_refused_before_memory_is_spent(tmp_path, data, monkeypatch):
    def never(*_):
        raise AssertionError("decoded")

    monkeypatch.setattr(cv2, "imdecode", never)
    with pytest.raises(ImageError, match=r"^photo is too large: \d+x\d+ pixels.$"):
        read(tmp_path, data)


def test_announced_sizes_are_the_real_ones():
    assert MAX_PIXELS * 3 <= MAX_BYTES  # every JPEG of the allowed size fits
    for kind in ("jpg", "webp", "png", "tif", "heic", "avif"):
        assert read_header(saved(kind)).size == (120, 80)
    for suffix in (".jp2", ".bmp", ".gif", ".ppm"):
        assert read_header(encoded(suffix)).size == (120, 80)


def test_text_that_grows_when_it_is_unpacked_is_cut(tmp_path):
    """A gigabyte of packed zeros as a PNG's EXIF."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(1 << 24)) for _ in range(64)) + packer.flush()
    text = b"Raw profile type exif\0\0" + packed
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text + struct.pack(">I", zlib.crc32(b"zTXt" + text))
    data = encoded(".png")
    assert len(text) < 1 << 20 and read_header(data[:33] + chunk + data[33:]).exif == b""


def item_places(count, extents, size):
    """HEIC's box with the places of `count` items, of `extents` pieces each, every number in `size` bytes."""
    items = b"".join(
        struct.pack(">HHH", number + 1, 0, extents) + (bytes(size) + b"\xff" * size) * (extents if size else 0)
        for number in range(count)
    )
    content = b"\0\0\0\0" + bytes([size << 4 | size, 0]) + struct.pack(">H", count) + items
    return struct.pack(">I4s", len(content) + 8, b"iloc") + content


@pytest.mark.parametrize(
    "extents, size", [(65535, 0), (64, 4)], ids=["pieces without bytes", "the whole file 64 times"]
)
def test_places_in_a_heic_file_take_no_longer_and_no_more_than_they_are(extents, size):
    name = struct.pack(">I4sIHH", 21, b"infe", 2 << 24, 1, 0) + b"Exif\0"
    names = struct.pack(">I4sIH", 14 + len(name), b"iinf", 0, 1) + name
    meta = b"\0\0\0\0" + names + item_places(50000 if not size else 1, extents, size)
    data = b"\0\0\0\x10ftypheic\0\0\0\0" + struct.pack(">I4s", len(meta) + 8, b"meta") + meta + bytes(1 << 16)
    # With a step for each of the 3,000,000,000 pieces this would take hours.
    header = read_header(data)
    assert header is not None and header.exif == b""


def test_huge_file_is_refused_unread(tmp_path):
    with open(tmp_path / "a.png", "wb") as stream:
        stream.truncate(MAX_BYTES + 1)  # takes no room on the disk
    with pytest.raises(ImageError, match="^a.png is too large: 1.1 GB.$"):
        read_photo(tmp_path / "a.png")


@POSIX
@pytest.mark.parametrize("target", ["/dev/zero", "/dev/null"])
def test_devices_are_not_read(tmp_path, target):
    (tmp_path / "a.png").symlink_to(target)
    with pytest.raises(ImageError, match="a.png is not a regular file.$"):
        read_photo(tmp_path / "a.png")


@POSIX
def test_pipes_are_not_waited_for(tmp_path):
    path = tmp_path / "a.jpg"
    os.mkfifo(path)
    said = []

    def attempt():
        try:
            read_photo(path)
        except ImageError as error:
            said.append(str(error))

    waiting = threading.Thread(target=attempt, daemon=True)
    waiting.start()
    waiting.join(30)
    assert said == [f"{path} is not a regular file."]


@pytest.mark.parametrize("name", ["a\0b.png", "a" * 5000 + ".png"])
def test_impossible_names_are_errors_of_the_picture(name):
    with pytest.raises(ImageError):
        read_photo(name)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited and measured as Linux does it")
def test_any_damage_ends_in_an_image_error_and_takes_no_memory():
    """200 seeded mutations of each format, with the addresses of the process limited."""
    done = subprocess.run([sys.executable, FUZZ, "200"], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    *formats, megabytes = done.stdout.splitlines()
    assert len(formats) == 11 and int(megabytes) < 300
    # The mutations are no noise: some of them leave a picture that can be read.
    assert sum(int(line.split()[-4]) for line in formats) > 200
