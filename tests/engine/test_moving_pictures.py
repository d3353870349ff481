# SPDX-License-Identifier: GPL-3.0-or-later
"""Movies and numbered pictures: which frames there are, when, and how they stand."""

from fractions import Fraction
from itertools import count

import av
import numpy as np
import pytest
from refit_engine.errors import ImageError
from refit_engine.images import write_image
from refit_engine.moving_pictures import FrameRange, MovieWriter, open_footage
from refit_engine.moving_pictures.movie import _one_field
from refit_engine.moving_pictures.reading import read_ahead

WIDTH, HEIGHT = 64, 48


def picture(number, width=WIDTH, height=HEIGHT):
    """Grey that tells the number, with a white block in the upper left corner."""
    pixels = np.full((height, width, 3), 8 * number, np.uint8)
    pixels[: height // 3, : width // 3] = 255
    return pixels


def number_of(pixels):
    return round(float(pixels[-8:, -8:].mean()) / 8)


def movie(path, times, codec="libx264", pixel_format="yuv420p", rotation=None, options=None, size=(WIDTH, HEIGHT)):
    """A movie of `picture`s at times in seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"g": "5", **(options or {})})
        stream.width, stream.height = size
        stream.pix_fmt = pixel_format
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(number, *size), format="rgb24")
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("a.mp4", "libx264", "yuv420p"),
        ("a.mov", "prores_ks", "yuv422p10le"),
        ("a.mp4", "libx265", "yuv420p10le"),
        ("a.webm", "libvpx-vp9", "yuv420p"),
        ("a.avi", "mpeg4", "yuv420p"),
    ],
)
def test_every_kind_of_movie_gives_its_frames_in_order(tmp_path, name, codec, pixel_format):
    options = {"x265-params": "log-level=none:pools=1"} if codec == "libx265" else None
    movie_file = movie(tmp_path / name, np.arange(8) / 25, codec, pixel_format, options=options)
    pictures = open_footage(movie_file)
    assert pictures.footage.size == (WIDTH, HEIGHT)
    np.testing.assert_allclose(pictures.footage.times, np.arange(8) / 25, atol=1.5e-3)
    assert [number_of(pixels) for _, pixels in pictures.read(range(8))] == list(range(8))


def test_uneven_times_are_kept(tmp_path):
    times = [0, 0.04, 0.08, 0.18, 0.2, 0.5]
    pictures = open_footage(movie(tmp_path / "a.mp4", times))
    np.testing.assert_allclose(pictures.footage.times, times, atol=1.5e-3)
    assert pictures.footage.rate == pytest.approx(10, rel=0.01)


@pytest.mark.parametrize(("rotation", "corner"), [(0, (0, 0)), (90, (1, 0)), (180, (1, 1)), (-90, (0, 1))])
def test_rotation_flags_are_carried_out(tmp_path, rotation, corner):
    """FFmpeg's angle counts counter-clockwise: the block of the upper left corner goes down at 90 degrees."""
    pictures = open_footage(movie(tmp_path / "a.mp4", [0, 0.04], rotation=rotation))
    (_, pixels), _ = pictures.read([0, 1])
    upright = (WIDTH, HEIGHT) if rotation % 180 == 0 else (HEIGHT, WIDTH)
    assert pictures.footage.size == upright == pixels.shape[1::-1]
    assert pictures.footage.quarter_turns == -rotation / 90 % 4
    bright = [[pixels[y, x].mean() > 200 for x in (4, -5)] for y in (4, -5)]
    assert np.argwhere(bright).tolist() == [list(corner)]


def test_some_frames_of_a_movie_are_the_same_as_in_all(tmp_path):
    pictures = open_footage(movie(tmp_path / "a.mp4", np.arange(20) / 25, options={"bf": "3"}))
    wanted = FrameRange.parse("7:18:4").of(pictures.footage)
    assert [(frame, number_of(pixels)) for frame, pixels in pictures.read(wanted)] == [(7, 7), (11, 11), (15, 15)]


def test_a_damaged_frame_is_named_and_the_others_keep_their_numbers(tmp_path):
    file = movie(tmp_path / "a.mov", np.arange(10) / 25, "prores_ks", "yuv422p10le")
    with av.open(str(file)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][4]
        start, size = packet.pos, packet.size
    data = bytearray(file.read_bytes())
    data[start : start + size] = bytes(size)
    file.write_bytes(data)
    found = dict(open_footage(file).read(range(10)))
    assert [number for number, pixels in found.items() if pixels is None] == [4]
    assert [number_of(found[number]) for number in (3, 5, 9)] == [3, 5, 9]


def test_a_movie_that_breaks_off_gives_what_is_there(tmp_path):
    file = movie(tmp_path / "a.ts", np.arange(20) / 25)
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    pictures = open_footage(file)
    frames = [pixels for _, pixels in pictures.read(range(pictures.footage.count))]
    assert 4 < pictures.footage.count < 20
    assert number_of(frames[0]) == 0
    assert number_of(frames[3]) == 3


def test_files_that_are_no_movies_give_one_sentence(tmp_path):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no movie")
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\na.ts\n")
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 80), np.int16), layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
    for name in ("empty.mp4", "text.mp4", "list.m3u8", "sound.wav", "missing.mp4", "bad\0name.mp4"):
        with pytest.raises(ImageError) as error:
            open_footage(tmp_path / name)
        assert str(error.value).endswith(".")
        assert "\n" not in str(error.value)


def test_numbered_pictures_are_frames_and_gaps_are_missing_ones(tmp_path):
    for number in (8, 9, 11):
        write_image(tmp_path / f"shot_{number:04d}.png", picture(number))
    write_image(tmp_path / "other_1.png", picture(1))
    (tmp_path / "shot_0012.png").write_bytes(b"damaged")
    write_image(tmp_path / "shot_0013.png", picture(13, 80, 60))
    for path in (tmp_path, tmp_path / "shot_0009.png"):
        pictures = open_footage(path, rate=30.0)
        found = [None if pixels is None else number_of(pixels) for _, pixels in pictures.read(range(6))]
        assert found == [8, 9, None, 11, None, None]
        np.testing.assert_allclose(pictures.footage.times, np.arange(6) / 30)


def test_pictures_before_the_first_that_can_be_read_are_missing_frames(tmp_path):
    (tmp_path / "walk_0.png").write_bytes(b"torn")
    (tmp_path / "walk_1.png").touch()
    with pytest.raises(ImageError, match="walk_0.png"):
        open_footage(tmp_path)
    for number in (2, 3):
        write_image(tmp_path / f"walk_{number}.png", picture(number))
    pictures = open_footage(tmp_path)
    assert pictures.footage.size == (WIDTH, HEIGHT)
    found = [None if pixels is None else number_of(pixels) for _, pixels in pictures.read(range(4))]
    assert found == [None, None, 2, 3]


def test_ranges_of_frames(tmp_path):
    footage = open_footage(movie(tmp_path / "a.mp4", np.arange(10) / 25)).footage
    for text, frames in (
        (":", range(10)),
        ("3:7", range(3, 7)),
        ("::4", (0, 4, 8)),
        ("8:99", (8, 9)),
        ("5", range(5, 10)),
    ):
        assert FrameRange.parse(text).of(footage).tolist() == list(frames)
    for text in ("a:b", "1:2:3:4", "-1:", "5:5", "::0"):
        with pytest.raises(ImageError):
            FrameRange.parse(text)
    with pytest.raises(ImageError, match="10 frames"):
        FrameRange(10).of(footage)


def test_one_field_is_one_instant():
    """Odd lines, which an interlaced camera takes later, are made of the even ones."""
    frame = np.zeros((5, 2, 3), np.uint8)
    frame[::2] = np.array([10, 20, 30])[:, None, None]
    frame[1::2] = 200
    assert _one_field(frame)[:, 0, 0].tolist() == [10, 15, 20, 25, 30]
    assert _one_field(frame[:4])[:, 0, 0].tolist() == [10, 15, 20, 20]


def test_reading_ahead_stays_a_few_frames_ahead():
    made = []
    ahead = read_ahead((made.append(number) or number for number in count()), 3)
    assert [next(ahead) for _ in range(5)] == [0, 1, 2, 3, 4]
    ahead.close()
    assert len(made) <= 5 + 3 + 2


def test_reading_ahead_hands_errors_on():
    def fails():
        yield 1
        raise ImageError("Damaged.")

    ahead = read_ahead(fails())
    assert next(ahead) == 1
    with pytest.raises(ImageError):
        next(ahead)


def test_written_movies_keep_times_and_appear_whole(tmp_path):
    path = tmp_path / "a.mp4"
    with MovieWriter(path, (65, 49), 25) as writer:
        for number, time in enumerate((0, 0.04, 0.2)):
            writer.write(picture(number, 65, 49), time)
        assert not path.exists()
    pictures = open_footage(path)
    np.testing.assert_allclose(pictures.footage.times, [0, 0.04, 0.2], atol=1e-3)
    assert [number_of(pixels) for _, pixels in pictures.read(range(3))] == [0, 1, 2]


def test_a_movie_that_was_not_finished_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), MovieWriter(tmp_path / "a.mp4", (64, 48), 25) as writer:
        writer.write(picture(0), 0)
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
