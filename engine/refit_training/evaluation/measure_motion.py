# SPDX-License-Identifier: GPL-3.0-or-later
"""How near solved motions come to the truth, beside each frame's own fit and that fit smoothed.

    python -m refit_training.evaluation.measure_motion CLIP [CLIP ...] [--cameras 1] [--known-shape]

CLIP is a folder of `refit_training.render.clips`. Prints a row each for frames of the first camera fitted alone (T = 5), for the
same after a Gaussian over time of one to three frames, and for the solver:

acc, abs    error of the second difference of joints, mm a frame², relative to the pelvis and absolute
mpjpe, pa   millimetres
place       error of the pelvis across and along the first camera's ray, mm, after the mean offset is removed
slide       mm a second of ankles that truly stand
kept        correlation of the speeds of wrists and ankles with the truth
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from refit_engine.body import SMPL_JOINT_NAMES
from refit_engine.camera import Intrinsics
from refit_engine.fitting import FitOptions, Models
from refit_engine.fitting.motion import MotionFitter, MotionRequest, VideoRequest
from refit_engine.fitting.single import Fitter
from refit_engine.motion_params import read_videos
from refit_engine.moving_pictures import open_footage
from scipy.ndimage import gaussian_filter1d

from refit_training.known import known

from .metrics import mpjpe, pa_mpjpe

STILL = 0.05
"""Metres a second below which a foot truly stands."""
LIMBS = [SMPL_JOINT_NAMES.index(name) for name in ("left_wrist", "right_wrist", "left_ankle", "right_ankle")]
ANKLES = LIMBS[2:]
ROW = "{:28} {:6.1f} {:6.1f} {:6.0f} {:6.1f} {:6.0f} {:6.0f} {:6.0f} {:6.2f}"


def measures(joints: np.ndarray, truth: np.ndarray, rate: float, R: np.ndarray) -> list[float]:
    """Errors of joints [F,24,3] against true ones; R: [3,3] the first camera's rotation, world to camera."""
    ours, true = torch.from_numpy(joints), torch.from_numpy(truth)
    relative, true_relative = joints - joints[:, :1], truth - truth[:, :1]

    def bend(values: np.ndarray) -> np.ndarray:
        return values[2:] - 2 * values[1:-1] + values[:-2]

    def speed(values: np.ndarray) -> np.ndarray:
        return np.linalg.norm(np.diff(values, axis=0), axis=-1) * rate

    acc = np.linalg.norm(bend(relative) - bend(true_relative), axis=-1).mean()
    absolute = np.linalg.norm(bend(joints) - bend(truth), axis=-1).mean()
    offset = (joints[:, 0] - truth[:, 0]) @ R.T
    offset = offset - offset.mean(axis=0)
    stands = speed(truth[:, ANKLES]) < STILL
    slide = speed(joints[:, ANKLES])[stands].mean() if stands.any() else np.nan
    kept = np.corrcoef(speed(relative[:, LIMBS]).ravel(), speed(true_relative[:, LIMBS]).ravel())[0, 1]
    return [
        1000 * acc,
        1000 * absolute,
        float(mpjpe(ours, true).mean()),
        float(pa_mpjpe(ours, true).mean()),
        1000 * float(np.linalg.norm(offset[:, :2], axis=1).mean()),
        1000 * float(np.abs(offset[:, 2]).mean()),
        1000 * float(slide),
        float(kept),
    ]


def frames_alone(video: VideoRequest, boxes: np.ndarray, models: Models, iterations: int) -> np.ndarray:
    """Joints [F,24,3] in the camera's frame of each frame's own fit in boxes [F,4]."""
    fitter = Fitter(models, FitOptions(iterations=iterations, confidence=False))
    pictures, intrinsics = open_footage(video.video), Intrinsics(np.asarray(video.K), "scene")
    found = [
        fitter.fit(known(pixels), boxes[frame][None], intrinsics).joints[0]
        for frame, pixels in pictures.read(range(len(boxes)))
    ]
    return np.array(found, dtype=np.float64)


def measure_clip(folder: Path, cameras: int, known_shape: bool, models: Models) -> None:
    """Print the rows of a clip."""
    with np.load(folder / "truth.npz") as archive:
        truth, times, betas = archive["joints"], archive["times"], archive["betas"]
    rate = 1 / float(np.median(np.diff(times)))
    videos = read_videos(folder / "views.json")[:cameras]
    options = FitOptions(betas=betas.astype(np.float32) if known_shape else None, people="largest")
    fitter = MotionFitter(models, options)
    motion, _ = fitter.track(MotionRequest(videos))
    R, t = np.asarray(videos[0].R), np.asarray(videos[0].t)
    there = motion.state[0] > 0
    boxes = motion.boxes_xywh[0, 0].astype(np.float64)
    known = np.flatnonzero(np.isfinite(boxes[:, 0]))
    boxes = np.stack([np.interp(np.arange(len(times)), known, boxes[known, side]) for side in range(4)], axis=1)
    alone = (frames_alone(videos[0], boxes, models, 5) - t) @ R
    print(
        f"{folder.name}: {len(times)} frames, {there.sum()} solved, {rate:.0f} a second; seconds {dict(fitter.seconds)}"
    )
    print("                                acc    abs  mpjpe     pa across  along  slide   kept")
    rows = {"alone (T = 5)": alone}
    rows |= {f"alone, Gaussian {width}": gaussian_filter1d(alone, width, axis=0) for width in (1, 2, 3)}
    rows["solved"] = motion.joints_world[0].astype(np.float64)
    for name, joints in rows.items():
        print(ROW.format(name, *measures(joints[there], truth[there], rate, R)))
    error = np.linalg.norm((rows["solved"] - rows["solved"][:, :1]) - (truth - truth[:, :1]), axis=-1)[there, 1:]
    std = motion.joint_std_mm[0, there, 1:] / 1000
    print(f"within two deviations {100 * (error < 2 * std).mean():.0f} %, error over deviation (rms) "
          f"{np.sqrt((error**2).mean() / (std**2).mean()):.2f}")  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP")
    parser.add_argument("--cameras", type=int, default=1)
    parser.add_argument("--known-shape", action="store_true")
    options = parser.parse_args(arguments)
    models = Models()
    for clip in options.clips:
        measure_clip(clip, options.cameras, options.known_shape, models)


if __name__ == "__main__":
    main()
