# SPDX-License-Identifier: GPL-3.0-or-later
"""One camera against the others, on recordings."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from engine_doubles import sample_views, view_call
from refit_engine.fitting.views import ViewRequest
from refit_engine.images import read_photo
from refit_training.evaluation import measure_recording


def film(path: Path, pictures: list[np.ndarray]) -> None:
    """Pictures [H,W,3] uint8 BGR as a video."""
    height, width = pictures[0].shape[:2]
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 30, (width, height))
    for picture in pictures:
        video.write(picture)
    video.release()


def test_every_so_many_frames_are_taken_from_all_videos_until_one_ends(tmp_path):
    requests = []
    for name, frames, size in (("a", 9, (32, 24)), ("b", 6, None)):
        film(tmp_path / f"{name}.avi", [np.full((48, 64, 3), 20 * number, np.uint8) for number in range(frames)])
        requests.append(ViewRequest(name, tmp_path / f"{name}.avi", np.eye(3), np.eye(3), np.zeros(3), size=size))
    taken = [
        [read_photo(one.image).pixels for one in instant]
        for instant in measure_recording.instants(requests, 2, tmp_path)
    ]
    assert [[picture.shape for picture in instant] for instant in taken] == 3 * [[(24, 32, 3), (48, 64, 3)]]
    for number, instant in enumerate(taken):
        assert all(abs(picture.mean() - 40 * number) < 3 for picture in instant)


def test_what_is_no_video_is_named(tmp_path):
    (tmp_path / "a.mp4").write_text("no video")
    request = ViewRequest("a", tmp_path / "a.mp4", np.eye(3), np.eye(3), np.zeros(3))
    with pytest.raises(OSError, match="a.mp4 could not be read"):
        next(measure_recording.instants([request], 1, tmp_path))


def test_updates_bring_bodies_of_one_picture_nearer_to_what_the_other_cameras_see(tmp_path, monkeypatch, capsys):
    views = []
    for view in sample_views():
        film(tmp_path / f"{view.name}.avi", [cv2.imread(str(view.image))])
        views.append({**view_call(view), "image": f"{view.name}.avi"})
    (tmp_path / "views.json").write_text(json.dumps(views))
    monkeypatch.setattr(sys, "argv", ["measure_recording", str(tmp_path / "views.json"), "--iterations", "0", "5"])
    measure_recording.main()
    first, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["iterations"], last["iterations"], first["bodies"]) == (0, 5, 4)
    assert last["PA-MPJPE"][0] < first["PA-MPJPE"][0] < 100
