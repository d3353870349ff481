# SPDX-License-Identifier: GPL-3.0-or-later
"""From videos to the yardstick and bodies' errors, with eyes and detectors that know where people are."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import roma
import torch
from refit_engine.detect import Detection
from refit_training.evaluation import yardstick
from refit_training.evaluation.alignment import (
    mean_offsets,
    root_aligned,
    similarity_aligned,
    trunk_frames,
    without_offsets,
)
from refit_training.evaluation.blocks import mean_and_error
from refit_training.evaluation.triangulation import Rig, project
from scenes import motion, ring, seen

FPS, FRAMES = 30, 24
SIZE = (540, 960)


class Stage:
    """People who are filmed: every picture's brightness tells its camera and frame.

    truth: [P,T,17,3] metres. Two eyes see pixels [P,T,C,2,17,2]; the second puts hips 4 cm lower.
    """

    def __init__(self, folder: Path, rig: Rig, truth: np.ndarray, rng: np.random.Generator) -> None:
        lower = truth.copy()
        lower[:, :, 11:13, 2] -= 0.04
        both = [
            np.stack([seen(one, rig, rng, noise=2.0), seen(other, rig, rng, noise=2.0)])
            for one, other in zip(truth, lower, strict=True)
        ]
        self.pixels = np.array([np.stack([pair[0][:, :, 0], pair[1][:, :, 1]], axis=2) for pair in both])
        self.exact = np.array([project(one, rig)[0] for one in truth])
        self.looks = 0
        views = []
        for camera in range(len(rig)):
            video = cv2.VideoWriter(str(folder / f"{camera}.avi"), cv2.VideoWriter_fourcc(*"FFV1"), FPS, (96, 54))
            for frame in range(truth.shape[1]):
                video.write(np.full((54, 96, 3), 40 * camera + frame, np.uint8))
            video.release()
            views.append(
                {
                    "name": f"c{camera}",
                    "image": f"{camera}.avi",
                    "K": rig.K[camera].tolist(),
                    "R_world2cam": rig.R[camera].tolist(),
                    "t_world2cam": rig.t[camera].tolist(),
                    "image_size": list(SIZE),
                }
            )
        self.recording = folder / "views.json"
        self.recording.write_text(json.dumps(views))
        self.video = folder / "0.avi"

    @staticmethod
    def _where(image: np.ndarray) -> tuple[int, int]:
        camera, frame = divmod(round(float(image.mean())), 40)
        return camera, frame

    def detect(self, image: np.ndarray) -> list[Detection]:
        """Everybody, each time in another order."""
        camera, frame = self._where(image)
        people = []
        for joints in self.exact[:, frame, camera]:
            low, high = joints.min(axis=0), joints.max(axis=0)
            people.append(Detection((*low, *(high - low)), 0.9, np.column_stack([joints, np.full(17, 0.9)])))
        return people[:: 1 if (camera + frame) % 2 else -1]

    def eye(self, number: int) -> object:
        stage = self

        class Eye:
            name = f"eye{number}"

            def joints(self, image: np.ndarray, box_xywh: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
                stage.looks += 1
                camera, frame = stage._where(image)
                corner = stage.exact[:, frame, camera].min(axis=1)
                person = np.linalg.norm(corner - box_xywh[:2], axis=1).argmin()
                return stage.pixels[person, frame, camera, number], np.full(17, 0.9)

        return Eye()


@pytest.fixture
def crossing(tmp_path, monkeypatch) -> Stage:
    """Two people who cross each other's way, 80 cm apart, before four cameras."""
    rng = np.random.default_rng(5)
    way = np.linspace(-0.5, 0.5, FRAMES)[:, None] * [1.0, 0, 0]
    truth = np.array([motion(rng, FRAMES, FPS, way + [0, 0.4, 0]), motion(rng, FRAMES, FPS, [0, -0.4, 0] - way)])
    stage = Stage(tmp_path, ring(distance=5.0), truth, rng)
    stage.truth = truth
    monkeypatch.setattr(yardstick, "PersonDetector", lambda: stage)
    monkeypatch.setattr(yardstick, "all_eyes", lambda: [stage.eye(0), stage.eye(1)])
    return stage


@pytest.fixture
def make(tmp_path, monkeypatch, capsys) -> Callable[..., tuple[list[yardstick.Yardstick], list[dict]]]:
    def run(*arguments: str) -> tuple[list[yardstick.Yardstick], list[dict]]:
        out = tmp_path / "out.npz"
        monkeypatch.setattr(sys, "argv", ["yardstick", *arguments, "--out", str(out)])
        yardstick.main()
        return yardstick.load_yardsticks(out), list(map(json.loads, capsys.readouterr().out.splitlines()))

    return run


def test_two_people_are_kept_apart_and_found_within_the_stated_error(crossing, make):
    (made,), (checks,) = make(str(crossing.recording), "--every", "1")
    assert made.points.shape == (2, FRAMES, 17, 3) and checks["people"] == 2
    assert made.determined.mean() > 0.95
    truth = crossing.truth.copy()
    truth[:, :, 11:13, 2] -= 0.02  # where both eyes mean the same
    truth = truth[np.linalg.norm(made.points[:1, 0, 0] - truth[:, 0, 0], axis=-1).argsort()]
    # Where the world as a whole lies is as little known as the calibration is.
    rotation, shift = roma.rigid_points_registration(
        *(torch.from_numpy(one.reshape(-1, 3)) for one in (truth, made.points))
    )
    truth = truth @ rotation.numpy().T + shift.numpy()
    off = np.linalg.norm(made.points - truth, axis=-1)
    assert off.max() < 0.08
    assert np.sqrt(np.mean(off**2)) < 1.2 * np.sqrt(np.mean(made.error**2)) < 0.03
    assert (off < 2 * made.error).mean() > 0.9
    assert max(checks["camera_turned_degrees"]) < 0.5


def test_what_was_seen_is_not_looked_at_again(crossing, tmp_path):
    def look(every: int) -> yardstick.Sightings:
        return yardstick.sightings_of(crossing.recording, every, tmp_path / "seen.npz", crossing)

    first = look(3)
    assert crossing.looks == 2 * 4 * 2 * FRAMES // 3
    again = look(3)
    assert crossing.looks == 2 * 4 * 2 * FRAMES // 3
    assert np.array_equal(first.points, again.points) and first.fps == again.fps == FPS / 3
    assert look(6).points.shape[1] == FRAMES // 6


def test_single_video_gets_joints_in_the_picture(crossing, make):
    (made,), (checks,) = make(str(crossing.video), "--every", "1")
    assert made.points.shape == (2, FRAMES, 17, 2) and checks["people"] == 2
    order = np.linalg.norm(made.points[:1, 0, 0] - crossing.exact[:, 0, 0, 0], axis=-1).argsort()
    off = np.linalg.norm(made.points - crossing.exact[order, :, 0], axis=-1)
    others = np.delete(np.arange(17), [11, 12])
    assert np.median(off[..., others]) < 3
    assert (off < 2 * made.error)[made.determined].mean() > 0.85


def test_similarity_and_root_are_taken_out():
    rng = np.random.default_rng(0)
    truth = motion(rng, 6, 30.0)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    found = 1.3 * truth @ turn.T + [1, 2, 3]
    truth[:, 9] = np.nan
    known = np.arange(17) != 9
    assert np.abs(similarity_aligned(found, truth)[:, known]).max() < 1e-9
    assert np.isnan(similarity_aligned(found, truth)[:, 9]).all()
    assert np.abs(root_aligned(truth + [5, 0, 1], truth)[:, known]).max() < 1e-9
    few = np.where((np.arange(17) < 5)[:, None], truth, np.nan)
    assert np.isnan(similarity_aligned(found, few)).all()


def test_offset_that_stays_with_the_body_is_taken_out_whichever_way_it_faces():
    rng = np.random.default_rng(1)
    truth = motion(rng, 50, 30.0)
    frames = trunk_frames(truth)
    assert np.allclose(frames.mT @ frames, np.eye(3))
    assert (np.linalg.det(frames) > 0.999).all()
    offset = np.zeros((17, 3))
    offset[5], offset[6] = (0.01, 0.02, 0.03), (-0.01, 0.02, 0.03)
    differences = np.einsum("nij,kj->nki", frames, offset)
    assert np.allclose(mean_offsets(differences, frames), offset)
    assert np.abs(without_offsets(differences, frames)).max() < 1e-9
    assert np.abs(without_offsets(rng.normal(size=(50, 17, 3)), frames)).mean() > 0.5


def test_standard_error_knows_that_frames_of_a_block_err_alike():
    rng = np.random.default_rng(2)
    spread = []
    for _ in range(300):
        values = np.repeat(rng.normal(size=20), 30) + 0.1 * rng.normal(size=600)
        mean, error = mean_and_error(values, np.repeat(np.arange(20), 30))
        spread.append(mean / error)
    assert np.std(spread) == pytest.approx(1.0, abs=0.15)
    mean, error = mean_and_error(np.array([1.0, np.nan, 3.0]), np.array([0, 0, 0]))
    assert mean == 2.0 and np.isnan(error)
