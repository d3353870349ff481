# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder of movies, some of which are broken."""

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from engine_doubles import SAMPLES
from refit_engine.cli import main
from refit_engine.images import read_photo
from refit_engine.motion_command import frames_to_look_at
from refit_engine.motion_results import ABSENT, read_motion
from refit_engine.moving_pictures import MovieWriter
from refit_engine.worth_a_look import worst_frames

CLIPS, FRAMES, BROKEN = 30, 2, (4, 11, 29)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """30 short movies; one is no movie, one is empty, and one ends early."""
    folder = tmp_path_factory.mktemp("clips")
    pixels = cv2.resize(read_photo(SAMPLES / "balance.jpg").pixels, (180, 320), interpolation=cv2.INTER_AREA)
    for number in range(CLIPS):
        with MovieWriter(folder / f"{number:02d}.mp4", (180, 320), 25.0) as writer:
            for frame in range(FRAMES):
                writer.write(np.roll(pixels, number + 3 * frame, axis=1), frame / 25)
    whole = (folder / "29.mp4").read_bytes()
    for number, content in zip(BROKEN, (b"no movie", b"", whole[: len(whole) // 2]), strict=True):
        (folder / f"{number:02d}.mp4").write_bytes(content)
    return folder


def test_broken_clips_are_named_and_do_not_stop_the_others(folder, tmp_path, capsys):
    words = ["track", str(folder), "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]
    assert main([*words, "--people", "largest", "--no-overlay"]) == 1
    printed = capsys.readouterr()
    broken = [f"{number:02d}.mp4" for number in BROKEN]
    told = [line for line in printed.err.splitlines() if line.startswith("refit-engine:")]
    assert [line.split(": ")[1] for line in told[:-1]] == broken
    assert all(line.endswith(".") for line in told)
    assert told[-1] == "refit-engine: 3 of 30 clips failed."
    results = sorted((tmp_path / "out").glob("*/motion.npz"))
    assert len(results) == CLIPS - len(BROKEN)
    rows = [line.split() for line in printed.out.splitlines()][1:]
    assert [row[0] for row in rows] == [path.name for path in sorted(folder.iterdir())]
    assert [row[0] for row in rows if row[1:] == ["failed"]] == broken
    assert {(row[1], row[2]) for row in rows if len(row) > 2} == {(str(FRAMES), "1")}
    assert " ".join(rows[0][4:]) == ", ".join(map(str, frames_to_look_at(read_motion(results[0]))))


def test_results_do_not_go_where_the_movies_are(folder, tmp_path, capsys):
    words = ["track", str(folder), "--out", str(folder), "--cache", str(tmp_path / "cache")]
    assert main(words) == 1
    assert capsys.readouterr().err == f"refit-engine: Not a directory ({folder / '00.mp4'}).\n"
    assert not (tmp_path / "cache").exists()


def test_names_that_the_terminals_encoding_lacks_are_spelled_out(tmp_path):
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "語.mp4").write_bytes(b"no movie")
    words = [sys.executable, "-m", "refit_engine.cli", "track", "clips", "--out", "out", "--no-cache"]
    ended = subprocess.run(words, cwd=tmp_path, env={**os.environ, "PYTHONIOENCODING": "latin-1"}, capture_output=True)
    assert ended.stdout.splitlines()[1].split() == [b"\\u8a9e.mp4", b"failed"]
    assert ended.stderr.endswith(b"1 of 1 clips failed.\n")


def test_frames_to_look_at_are_the_least_certain_of_somebody():
    class Motion:
        frame_rate, frames = 10.0, np.arange(100, 130)[None]
        state = np.ones((2, 30), np.uint8)
        joint_std_mm = np.full((2, 30, 24), 5.0)

    Motion.joint_std_mm[0, 12:15] = [[7], [9], [8]]
    Motion.joint_std_mm[0, 20, 1:] = 6
    Motion.joint_std_mm[1, 13] = 30
    Motion.joint_std_mm[1, 3] = np.nan
    Motion.joint_std_mm[1, 25, 0] = 40  # the root's, which counts with the place of the body
    Motion.state[1, 3] = ABSENT
    assert frames_to_look_at(Motion) == [113, 120]


def test_tables_name_the_worst_three_frames_each_once():
    assert worst_frames([(5, 1.0), (9, 3.0), (5, 4.0), (2, 2.0), (7, 1.5), (9, 0.5)]) == [5, 9, 2]
    assert worst_frames([]) == []
