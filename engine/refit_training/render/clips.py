# SPDX-License-Identifier: GPL-3.0-or-later
"""Movies of people whose motion is known, rendered from captured motions that no training has seen.

    python -m refit_training.render.clips --pack pack.npz --mocap more_clips.npz --clip cmu_135_01 --out CLIP
        [--start 0] [--frames 100] [--cameras 1] [--seed 0]

CLIP/camera_0.mp4 ... and CLIP/truth.npz: betas [10], rotmats [F,24,3,3] and transl [F,3] in a world with Z up (metres),
joints [F,24,3], times [F]; CLIP/views.json has the cameras, as `refit-engine track` takes them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from refit_engine.body import BodyModel, load_body
from refit_engine.camera import camera_matrix
from refit_engine.moving_pictures import MovieWriter
from scipy.spatial.transform import Rotation
from tqdm import tqdm

from refit_training.poses.retarget import retarget
from refit_training.poses.skeleton import JOINT_COUNT, frame_from_axes
from refit_training.poses.sources import Motion
from refit_training.render import AssetPack, PeopleRenderer, PosedPerson, random_appearance, random_background

from .rig_people import Y_UP_TO_Z_UP

SIDE, FOCAL = 720, 900.0
DISTANCE, HEIGHT = 5.0, 1.4
"""Metres of the cameras from the middle of the motion, and above the floor."""
_RIGHT, _UP, _AHEAD = np.eye(3)


def read_clip(path: Path, name: str) -> tuple[np.ndarray, np.ndarray, float]:
    """Rotations [F,24,3,3], places of the pelvis [F,3] for the bundled body's size (Y up), and frames a second."""
    with np.load(path) as archive:
        number = archive["clip"].tolist().index(name)
        rest = archive[f"rest.{archive['skeleton'][number]}"].astype(np.float64)
        positions = archive[f"positions.{name}"].astype(np.float64)
        turns = archive[f"rotations.{name}"].astype(np.float64)
        rate = float(archive["fps"][number])
        parents = archive["parents"].astype(int)
    world = Rotation.from_quat(turns.reshape(-1, 4)).as_matrix().reshape(-1, JOINT_COUNT, 3, 3)
    motion = Motion(name, rate, world, _rest_frames(rest), rest, world, parents)
    template = load_body().joints_linear()[0]
    scale = (template[0, 1] - template[7, 1]) / (rest[0, 1] - rest[7, 1])  # so that feet cover the same ground
    return retarget(motion).astype(np.float64), scale * positions[:, 0], rate


def _rest_frames(rest: np.ndarray) -> np.ndarray:
    """Anatomical frames [24,3,3] of a T-pose: legs by their bones and X, arms by theirs and Y, hands and Z, feet Y and toes."""
    frames = np.tile(np.eye(3), (JOINT_COUNT, 1, 1))
    for left, (hip, knee, ankle, toe, shoulder, elbow, wrist, hand) in (
        (True, (1, 4, 7, 10, 16, 18, 20, 22)),
        (False, (2, 5, 8, 11, 17, 19, 21, 23)),
    ):
        hinge = -_UP if left else _UP
        frames[hip] = frame_from_axes(rest[knee] - rest[hip], _RIGHT)
        frames[knee] = frame_from_axes(rest[ankle] - rest[knee], _RIGHT)
        frames[ankle] = frame_from_axes(_UP, rest[toe] - rest[ankle])
        frames[shoulder] = frame_from_axes(rest[elbow] - rest[shoulder], hinge)
        frames[elbow] = frame_from_axes(rest[wrist] - rest[elbow], hinge)
        frames[wrist] = frame_from_axes(rest[hand] - rest[wrist], _AHEAD)
    return frames


def cameras_around(middle: np.ndarray, count: int, heading: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rotation [3,3] and translation [3], camera from a world with Z up, of cameras that look at a place [3] from all sides."""
    placed = []
    for angle in heading + 2 * np.pi * np.arange(count) / max(count, 1):
        eye = middle + DISTANCE * np.array([np.cos(angle), np.sin(angle), 0])
        eye[2] = HEIGHT
        forward = (middle - eye) / np.linalg.norm(middle - eye)
        right = np.cross(forward, [0.0, 0, 1])
        right /= np.linalg.norm(right)
        R = np.stack([right, np.cross(forward, right), forward])
        placed.append((R, -R @ eye))
    return placed


def render_clip(options: argparse.Namespace) -> None:
    """Write the folder that the module describes."""
    rng = np.random.default_rng(options.seed)
    pack = AssetPack.load(options.pack).part(held_out=True)
    rotmats, pelvis, rate = read_clip(options.mocap, options.clip)
    chosen = slice(options.start, options.start + options.frames)
    rotmats, pelvis = rotmats[chosen], pelvis[chosen] @ Y_UP_TO_Z_UP.T
    rotmats[:, 0] = Y_UP_TO_Z_UP @ rotmats[:, 0]
    betas = np.clip(rng.normal(size=10), -2, 2)
    model = BodyModel(load_body()).double()
    count = len(rotmats)
    with torch.no_grad():
        shapes = torch.from_numpy(betas).expand(count, -1)
        posed = model(shapes, torch.from_numpy(rotmats))
    transl = pelvis - posed.joints[:, 0].numpy()
    lowest = (posed.vertices.numpy()[..., 2] + transl[:, 2:]).min(axis=1)
    transl[:, 2] -= np.percentile(lowest, 10)
    vertices, joints = (value.numpy() + transl[:, None] for value in (posed.vertices, posed.joints))
    options.out.mkdir(parents=True, exist_ok=True)
    times = np.arange(count) / rate
    np.savez(options.out / "truth.npz", betas=betas, rotmats=rotmats, transl=transl, joints=joints, times=times)
    renderer, looks = PeopleRenderer(pack, size=SIDE, supersample=1.0), random_appearance(rng, pack)
    middle = (joints[:, 0].min(axis=0) + joints[:, 0].max(axis=0)) / 2
    K, table = camera_matrix(FOCAL, SIDE, SIDE), []
    placed = cameras_around(middle, options.cameras, rng.uniform(0, 2 * np.pi))
    for number, (R, t) in enumerate(placed):
        background = random_background(rng, pack, R @ Y_UP_TO_Z_UP)
        with MovieWriter(options.out / f"camera_{number}.mp4", (SIDE, SIDE), rate) as writer:
            for time, mesh in zip(times, tqdm(vertices, unit="frame"), strict=True):
                writer.write(renderer.draw([PosedPerson(mesh @ R.T + t, looks)], K, background), float(time))
        camera = {"K": K.tolist(), "R_world2cam": R.tolist(), "t_world2cam": t.tolist()}
        table.append({"name": f"camera_{number}", "video": f"camera_{number}.mp4"} | camera)
    (options.out / "views.json").write_text(json.dumps(table, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--mocap", type=Path, required=True)
    parser.add_argument("--clip", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--cameras", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    render_clip(parser.parse_args())


if __name__ == "__main__":
    main()
