# SPDX-License-Identifier: GPL-3.0-or-later
"""A motion job that was stopped goes on where it was, and ends with the same bytes."""

import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from engine_doubles import SAMPLES
from refit_engine.errors import Cancelled
from refit_engine.fitting import FitOptions, Models
from refit_engine.fitting.motion import MotionFitter, MotionRequest, VideoRequest, blocks
from refit_engine.fitting.motion.blocks import Block, BlockStore, pack, unpack
from refit_engine.images import read_photo
from refit_engine.motion_results import write_motion
from refit_engine.moving_pictures import FrameRange, MovieWriter
from refit_engine.work_cache import WorkCache
from short_blocks import BLOCK, shorten

FRAMES, RATE, SHIFT = 14, 25.0, 6


@pytest.fixture(scope="module")
def models():
    return Models()


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch):
    shorten(monkeypatch.setattr)


@pytest.fixture(scope="module")
def movie(tmp_path_factory):
    path = tmp_path_factory.mktemp("movie") / "walk.mp4"
    pixels = cv2.resize(read_photo(SAMPLES / "balance.jpg").pixels, (360, 640), interpolation=cv2.INTER_AREA)
    with MovieWriter(path, (360, 640), RATE) as writer:
        for number in range(FRAMES):
            writer.write(np.roll(pixels, number * SHIFT, axis=1), number / RATE)
    return path


class Interruption:
    """Stops a job when it has looked at some frames; counts the frames that it is told of."""

    def __init__(self, after=None):
        self.after, self.looked = after, []

    def __call__(self, stage, done, total):
        if stage == "observe":
            self.looked.append(done)
        if self.after is not None and stage == "observe" and done >= self.after:
            raise Cancelled("Cancelled.")


def track(models, movie, progress=lambda *_: None, cache=None, **options):
    fitter = MotionFitter(models, FitOptions(people="largest", **options), progress=progress, cache=cache)
    return fitter.track(MotionRequest((VideoRequest(movie),)))[0]


@pytest.fixture(scope="module")
def undisturbed(models, movie, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch.setattr)
        return content(track(models, movie), tmp_path_factory.mktemp("undisturbed"))


def content(motion, folder):
    write_motion(folder / "motion.npz", motion)
    return (folder / "motion.npz").read_bytes()


@pytest.mark.parametrize("after", [1, 5, 13])
def test_a_stopped_job_goes_on_and_ends_with_the_same_bytes(models, movie, undisturbed, tmp_path, after):
    cache = WorkCache(tmp_path / "cache")
    with pytest.raises(Cancelled):
        track(models, movie, Interruption(after), cache)
    again = Interruption()
    assert content(track(models, movie, again, cache), tmp_path) == undisturbed
    assert again.looked[0] == after // BLOCK * BLOCK


def test_a_finished_job_is_not_looked_at_again(models, movie, undisturbed, tmp_path):
    cache = WorkCache(tmp_path / "cache")
    track(models, movie, cache=cache)
    again = Interruption()
    assert content(track(models, movie, again, cache), tmp_path) == undisturbed
    assert again.looked == []


def test_damaged_blocks_are_looked_at_again(models, movie, undisturbed, tmp_path):
    cache = WorkCache(tmp_path / "cache")
    track(models, movie, cache=cache)
    second = sorted((tmp_path / "cache").rglob("*.npz"))[1]
    second.write_bytes(second.read_bytes()[:-200])
    again = Interruption()
    assert content(track(models, movie, again, cache), tmp_path) == undisturbed
    assert again.looked[0] == BLOCK


def test_other_videos_options_and_frames_are_other_jobs(models, movie, tmp_path):
    cache = WorkCache(tmp_path / "cache")
    with pytest.raises(Cancelled):
        track(models, movie, Interruption(BLOCK), cache)
    again = Interruption(0)
    with pytest.raises(Cancelled):
        track(models, movie, again, cache, gender="female")
    fitter = MotionFitter(models, FitOptions(people="largest"), progress=again, cache=cache)
    with pytest.raises(Cancelled):
        fitter.track(MotionRequest((VideoRequest(movie),), FrameRange(0, FRAMES, 2)))
    other = movie.with_name("other.mp4")
    other.write_bytes(movie.read_bytes() + bytes(8))  # which players take for padding
    with pytest.raises(Cancelled):
        track(models, other, again, cache)
    assert again.looked == [0, 0, 0]
    # Where the file lies and whom the user wants do not matter: everybody is looked at.
    copy = movie.with_name("copy.mp4")
    copy.write_bytes(movie.read_bytes())
    with pytest.raises(Cancelled):
        track(models, copy, again, cache, height=1.7)
    assert again.looked[-1] == BLOCK


def test_without_room_on_the_disk_the_job_is_done_all_the_same(models, movie, undisturbed, tmp_path, monkeypatch):
    def full(_path, _data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(blocks, "write_atomically", full)
    assert content(track(models, movie, cache=WorkCache(tmp_path / "cache")), tmp_path) == undisturbed


def test_blocks_come_back_as_they_were(models, movie, tmp_path):
    cache = WorkCache(tmp_path / "cache")
    track(models, movie, cache=cache)
    (folder,) = (tmp_path / "cache").iterdir()
    for start in range(0, FRAMES, BLOCK):
        block = BlockStore(folder).read(0, start)
        again = pack(unpack(pack(block)))
        assert again.keys() == pack(block).keys()
        for name, array in pack(block).items():
            np.testing.assert_array_equal(again[name], array)
        assert [frame for record in block.records.values() for frame in record.frames][0] == max(start - 2, 0)
    empty = unpack(pack(Block(np.zeros(3, bool), [], {})))
    assert (empty.records, empty.tracks) == ({}, [])


def test_a_killed_process_loses_no_more_than_its_present_block(movie, tmp_path):
    cache, words = (
        tmp_path / "cache",
        [sys.executable, str(Path(__file__).with_name("short_blocks.py")), "track", str(movie)],
    )
    words += ["--people", "largest", "--no-overlay"]
    for killed_with in (1, 3):
        running = subprocess.Popen([*words, "--out", str(tmp_path / "killed"), "--cache", str(cache)])
        while len(list(cache.rglob("view-*.npz"))) < killed_with and running.poll() is None:
            time.sleep(0.01)
        running.kill()
        running.wait()
    subprocess.run([*words, "--out", str(tmp_path / "again"), "--cache", str(cache)], check=True)
    subprocess.run([*words, "--out", str(tmp_path / "undisturbed"), "--no-cache"], check=True)
    again, undisturbed = ((tmp_path / name / "motion.npz").read_bytes() for name in ("again", "undisturbed"))
    assert again == undisturbed
    assert not (tmp_path / "killed" / "motion.npz").exists()


def test_the_cache_forgets_what_was_used_least_recently(tmp_path):
    cache = WorkCache(tmp_path, limit_bytes=250)
    keys = [character * 64 for character in "abc"]
    for age, key in enumerate(keys):
        (cache.entry(key) / "part").write_bytes(bytes(100))
        os.utime(tmp_path / key, (1000 + age, 1000 + age))
    (tmp_path / "not ours").mkdir()
    assert cache.size_bytes() == 300
    cache.entry(keys[0])
    assert sorted(path.name for path in tmp_path.iterdir()) == [keys[0], keys[2], "not ours"]
    cache.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["not ours"]


def test_a_present_job_stays_however_large_it_is(tmp_path):
    cache = WorkCache(tmp_path, limit_bytes=50)
    (cache.entry("a" * 64) / "part").write_bytes(bytes(100))
    assert (cache.entry("a" * 64) / "part").exists()
