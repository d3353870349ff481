# SPDX-License-Identifier: GPL-3.0-or-later
"""The network from pose to up learns, pictures come with their true up, the measure says how far off the engine is."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from engine_doubles import sample_views
from refit_engine.gravity.bodies import LAYERS, BalanceNetwork, load_network
from refit_engine.gravity.directions import up_of

pytest.importorskip("moderngl", reason="the training extra (moderngl) is not installed")

from refit_training.evaluation import measure_up
from refit_training.evaluation.measure_up import Findings, spread
from refit_training.poses import PoseLibrary
from refit_training.render.tilted import recorded, tilted_rotation
from refit_training.train.train_up import Recipe, angles, main, negative_log_likelihood, train


def recording(folder: Path) -> np.ndarray:
    """One calibrated photo of the samples as a recording of six frames; returns the true up."""
    (view,) = [view for view in sample_views() if view.name == "cam02"]
    (folder / "calibration").mkdir()
    (folder / "videos").mkdir()
    turn = np.diag([1.0, -1.0, -1.0]) @ view.R
    rows = " ".join(f'r{i + 1}{j + 1}="{turn[i, j]:.9f}"' for i in range(3) for j in range(3))
    K = 64 * view.K
    lens = f'focalLengthU="{K[0, 0]}" focalLengthV="{K[1, 1]}" centerPointU="{K[0, 2]}" centerPointV="{K[1, 2]}"'
    camera = f'<camera serial="cam02"><transform {rows} x="0" y="0" z="0"/><intrinsic {lens}/></camera>'
    (folder / "calibration" / "Calib.qca.txt").write_text(f"<calibration><cameras>{camera}</cameras></calibration>")
    picture = cv2.imread(str(view.image))
    video = cv2.VideoWriter(
        str(folder / "videos" / "cam02.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 30, (picture.shape[1], picture.shape[0])
    )
    for _ in range(6):
        video.write(picture)
    video.release()
    return view.R @ np.array([0.0, 0, 1])


def test_frames_of_a_recording_come_with_camera_and_up(tmp_path):
    up = recording(tmp_path)
    first, second = recorded(tmp_path, every=3, first=1)
    np.testing.assert_allclose(first.up, up, atol=1e-6)
    (view,) = [view for view in sample_views() if view.name == "cam02"]
    np.testing.assert_allclose(first.K, view.K, atol=1e-6)
    assert (first.place, second.place) == ("cam02 1", "cam02 4") and first.pixels.shape == (960, 540, 3)
    assert first.pixels[..., 0].mean() == pytest.approx(cv2.imread(str(view.image))[..., 2].mean(), abs=3)
    (tmp_path / "videos" / "cam02.mp4").unlink()
    with pytest.raises(OSError, match="cam02.mp4 could not be read"):
        next(recorded(tmp_path, every=3))


def test_the_measure_reports_every_way(tmp_path, capsys):
    recording(tmp_path)
    measure_up.main(["--recordings", str(tmp_path), "--every", "2"])
    report = json.loads(capsys.readouterr().out)
    assert report["pictures"] == 1 and report["part"] == "report" and report["ms"] > 0
    assert 15 < report["level"][0] < 20
    assert report["both"][0] < 3 and report["both, focal known"][0] < 3 and report["lines"][0] < 3
    assert report["bodies"][0] < 20 and report["sure"] == 1.0 and report["sure and beyond 10"] == 0


def test_reports_count_who_is_sure():
    findings = Findings(sure=[True, True, False], focal=[np.nan, 0.1, np.nan], seconds=[0.1, 0.2, 0.3])
    findings.off["both"] = [1.0, 12.0, 30.0]
    report = findings.report()
    assert report["sure"] == 0.667 and report["sure and beyond 10"] == 0.5 and report["both, where not"] == [30.0, 30.0]
    assert report["focal found"] == 0.333 and report["focal off"][0] == pytest.approx(0.105) and report["ms"] == 200
    assert report["bodies"] is None and spread([1, 2, 3]) == [2.0, 2.8]


@pytest.mark.parametrize("pitch, roll", [(0, 0), (30, -12), (-10, 15)])
def test_tilted_cameras_have_the_up_of_their_pitch_and_roll(pitch, roll):
    rotation = tilted_rotation(pitch, roll)
    np.testing.assert_allclose(rotation @ (0, 1, 0), up_of(np.radians(pitch), np.radians(roll)), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)


@pytest.mark.parametrize("kappa", [0.5, 10.0])
def test_the_likelihood_of_ups_is_a_density_on_the_sphere(kappa):
    height, turn = np.meshgrid(np.linspace(-1, 1, 2001), np.linspace(0, 2 * np.pi, 101)[:-1], indexing="ij")
    level = np.sqrt(1 - height**2)
    ups = torch.from_numpy(np.stack([level * np.cos(turn), height, level * np.sin(turn)], -1).reshape(-1, 3))
    natural = torch.tensor([[0.6, 0.8, 0.0]], dtype=torch.float64) * kappa
    density = torch.exp(-negative_log_likelihood(natural.expand(len(ups), 3), ups))
    assert float(density.mean()) * 2 == pytest.approx(1, rel=0.01)  # 4 pi times the mean, over 2 pi


def leaning_library() -> PoseLibrary:
    """Poses that lean to the side by what their hips say."""
    count = 60
    lean = np.radians(np.random.default_rng(0).uniform(-50, 50, count))
    quaternions = np.zeros((count, 24, 4), np.float32)
    quaternions[..., 3] = 1
    quaternions[:, 0, 2], quaternions[:, 0, 3] = np.sin(lean / 2), np.cos(lean / 2)
    for hip in (1, 2):
        quaternions[:, hip, 2], quaternions[:, hip, 3] = np.sin(-lean / 2), np.cos(lean / 2)
    return PoseLibrary(quaternions, np.full(count, 1 / count), np.arange(count))


def test_training_learns_up_from_the_pose(tmp_path, capsys):
    library = leaning_library()
    ignorant = BalanceNetwork(
        tuple(np.zeros(shape, np.float32) for shape in LAYERS),
        (np.zeros(64, np.float32), np.zeros(64, np.float32), np.array([0, 1, 0], np.float32)),
    )
    recipe = Recipe(steps=400, batch=256, noise_deg=2.0, rate=5e-3)
    before, after = (np.median(angles(network, library, recipe)) for network in (ignorant, train(library, recipe)))
    assert before > 15 and after < before / 3
    library.save(tmp_path / "poses.npz")
    main(["--poses", str(tmp_path / "poses.npz"), "--out", str(tmp_path / "up.npz"), "--steps", "5"])
    assert "degrees on poses never seen" in capsys.readouterr().out
    assert load_network(tmp_path / "up.npz").weights[0].shape == LAYERS[0]
