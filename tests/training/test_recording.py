# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies of one camera against the yardstick, on recordings."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from engine_doubles import sample_views, view_call
from refit_engine.camera import project
from refit_engine.detect import COCO_JOINT_NAMES
from refit_engine.fitting.annotation_joints import annotation_convention_joints
from refit_engine.fitting.models import FitOptions, Models
from refit_engine.fitting.multiview.view_fitter import ViewFitter
from refit_engine.fitting.multiview.views import ViewRequest
from refit_engine.images import read_photo
from refit_training.evaluation import measure_recording
from refit_training.evaluation.recording import instants
from refit_training.evaluation.yardstick import Yardstick, save_yardsticks


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
    taken = [[read_photo(one.image).pixels for one in instant] for instant in instants(requests, 2, tmp_path)]
    assert [[picture.shape for picture in instant] for instant in taken] == 3 * [[(24, 32, 3), (48, 64, 3)]]
    for number, instant in enumerate(taken):
        assert all(abs(picture.mean() - 40 * number) < 3 for picture in instant)


def test_what_is_no_video_is_named(tmp_path):
    (tmp_path / "a.mp4").write_text("no video")
    request = ViewRequest("a", tmp_path / "a.mp4", np.eye(3), np.eye(3), np.zeros(3))
    with pytest.raises(OSError, match="a.mp4 could not be read"):
        next(instants([request], 1, tmp_path))


@pytest.fixture(scope="module")
def seen_together(tmp_path_factory) -> tuple[Path, Yardstick]:
    """The four sample photos as videos of one frame, and what they see together as a yardstick."""
    folder = tmp_path_factory.mktemp("recording")
    views = []
    for view in sample_views():
        film(folder / f"{view.name}.avi", [cv2.imread(str(view.image))])
        views.append({**view_call(view), "image": f"{view.name}.avi"})
    (folder / "views.json").write_text(json.dumps(views))
    fitter = ViewFitter(Models(), FitOptions(iterations=10, confidence=False))
    result, _ = fitter.reconstruct(sample_views())
    body = fitter.subject().result_body.data
    joints = annotation_convention_joints(body, COCO_JOINT_NAMES, result.betas, result.rotmats, result.transl)
    known = np.ones((1, 1, len(COCO_JOINT_NAMES)), bool)
    known[..., COCO_JOINT_NAMES.index("left_wrist")] = False
    yardstick = Yardstick(
        folder / "views.json", 1, 30.0, result.boxes_xywh[:1, None], joints[:1, None], np.full(known.shape, 0.01), known,
        result.R_world2cam, result.t_world2cam,
    )  # fmt: skip
    return folder, yardstick


def measured(file: Path, monkeypatch, capsys, *arguments: str) -> list[dict]:
    monkeypatch.setattr(sys, "argv", ["measure_recording", str(file), *arguments])
    measure_recording.main()
    return list(map(json.loads, capsys.readouterr().out.splitlines()))


def test_updates_bring_bodies_of_one_picture_nearer_to_what_all_cameras_see(seen_together, monkeypatch, capsys):
    folder, yardstick = seen_together
    save_yardsticks(folder / "yardstick.npz", [yardstick])
    first, last = measured(folder / "yardstick.npz", monkeypatch, capsys, "--iterations", "0", "5")
    assert (first["iterations"], last["iterations"], first["bodies"], first["blocks"]) == (0, 5, 4, 1)
    assert last["PA-MPJPE"][0] < first["PA-MPJPE"][0] < 100
    assert last["PA-MPJPE less offsets"][0] < last["PA-MPJPE"][0] < last["MPJPE"][0]
    assert last["difference"]["PA-MPJPE"][0] == pytest.approx(last["PA-MPJPE"][0] - first["PA-MPJPE"][0], abs=0.2)
    assert last["MPJPE"][1] is None  # one half second has no standard error
    assert set(last["joints"]["MPJPE"]) == {"shoulder", "elbow", "wrist", "hip", "knee", "ankle"}


def test_single_video_is_compared_in_the_picture(seen_together, monkeypatch, capsys):
    folder, world = seen_together
    camera = sample_views()[0]
    flat = project(world.points[0, 0] @ world.R[0].T + world.t[0], camera.K)[None, None]
    video = folder / f"{camera.name}.avi"
    one = replace(
        world, recording=video, boxes=world.boxes[:, :, :1], points=flat, R=np.eye(3)[None], t=np.zeros((1, 3))
    )
    save_yardsticks(folder / "flat.npz", [one])
    (line,) = measured(folder / "flat.npz", monkeypatch, capsys)
    assert 0 < line["2D"][0] < 15
    with pytest.raises(SystemExit, match="determines nobody"):
        measured(folder / "flat.npz", monkeypatch, capsys, "--seconds", "odd")
