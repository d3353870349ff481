# SPDX-License-Identifier: GPL-3.0-or-later
"""Movies of people whose motion is known, rendered from captured motions that are kept from training.

    python -m refit_training.render.clips --pack pack.npz --mocap MOCAP --out CLIPS [--only NAME ...]

MOCAP holds `cmu_expmap.npz` and `more_clips.npz`. For each of the clips in `SPECS`, CLIPS/NAME has camera_0.mp4 ..., views.json with
the cameras as `refit-engine track` takes them, and truth.npz: betas [N,10], rotmats [N,F,24,3,3] and transl [N,F,3] of N people in
a world with Z up (metres, floor at 0), joints [N,F,24,3], lowest [N,F] (height of the lowest vertex), times [F], and hidden [F],
whether a wall stands before the first camera.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from refit_engine.body import BodyModel, load_body
from refit_engine.camera import camera_matrix
from refit_engine.moving_pictures import MovieWriter
from scipy.ndimage import gaussian_filter1d
from tqdm import tqdm

from refit_training.poses.placed import PlacedMotion, read_placed, with_planted_feet
from refit_training.render import AssetPack, PeopleRenderer, PosedPerson, random_appearance, random_background

from .appearance import Appearance
from .rig_people import Y_UP_TO_Z_UP

WIDTH, HEIGHT, FOCAL = 640, 480, 640.0
DISTANCE, EYE = 5.0, 1.4
"""Metres of the cameras from the middle of the motion, and above the floor."""
SWING, SWAY = 0.35, 0.15
"""How far a moving camera goes around the middle to either side, radians, and up and down, metres, in a period of four seconds."""
APART = 0.8
"""Metres by which people who cross are apart along the first camera's ray."""
SETTLING = 0.1
"""Seconds over which the height is corrected so that standing feet are on the floor."""


@dataclass(frozen=True)
class ClipSpec:
    """motions: the captured motion of each person; the second walks against the first, behind them.

    start, seconds: of the motion. cameras: evenly around. hidden: frames from and up to which a wall hides everything.
    heading: radians of the first camera around the middle, 0 for one in front of somebody who walks as most captured people do.
    """

    motions: tuple[str, ...]
    start: float = 0.0
    seconds: float = 3.0
    cameras: int = 1
    moving: bool = False
    hidden: tuple[int, int] | None = None
    heading: float = 0.8
    seed: int = 0


SPECS = {
    # To tune on.
    "tune_soccer": ClipSpec(("train.soccer.soccer_2",), 1.0, seed=1),
    "tune_walk_4": ClipSpec(("test.walking_extra.walking_22",), 0.5, 1.2, cameras=4, seed=2),
    "tune_signals": ClipSpec(("train.directing_traffic.directing_traffic_4",), 2.0, moving=True, seed=3),
    # To report.
    "walk_4": ClipSpec(("test.walking_extra.walking_10",), 0.5, 2.0, cameras=4, seed=4),
    "jump_4": ClipSpec(("cmu_91_52",), 1.4, 1.6, cameras=4, seed=5),
    "breakdance": ClipSpec(("cmu_85_12",), 4.0, 2.0, seed=6),
    "signals": ClipSpec(("train.basketball_signal.basketball_signal_1",), 1.0, 2.5, moving=True, seed=7),
    "run": ClipSpec(("train.running.running_1",), moving=True, seed=8),
    "cross": ClipSpec(("train.walking_extra.walking_22", "train.walking.walking_3"), 0.5, heading=1.57, seed=9),
    "hidden": ClipSpec(("train.walking_extra.walking_28",), 0.5, hidden=(30, 45), heading=1.2, seed=10),
}


class Bodies(NamedTuple):
    """People over F frames, world with Z up: betas [N,10], rotmats [N,F,24,3,3], transl [N,F,3], vertices and joints [N,F,P,3]."""

    betas: np.ndarray
    rotmats: np.ndarray
    transl: np.ndarray
    vertices: np.ndarray
    joints: np.ndarray


class Camera(NamedTuple):
    """A camera over F frames, from a world with Z up: R [F,3,3], t [F,3]."""

    R: np.ndarray
    t: np.ndarray


def standing_on_floor(motion: PlacedMotion, betas: np.ndarray) -> Bodies:
    """One person of a shape [10], whose feet reach the floor Z = 0 in the middle of the room."""
    rotmats, pelvis = motion.rotmats.copy(), motion.pelvis @ Y_UP_TO_Z_UP.T
    rotmats[:, 0] = Y_UP_TO_Z_UP @ rotmats[:, 0]
    with torch.no_grad():
        shapes = torch.from_numpy(betas).expand(len(rotmats), -1)
        posed = BodyModel(load_body()).double()(shapes, torch.from_numpy(rotmats))
    relative = posed.joints.numpy() - posed.joints.numpy()[:, :1]
    pelvis, stands = with_planted_feet(relative, pelvis, motion.rate)
    transl = pelvis - posed.joints[:, 0].numpy()
    lowest = (posed.vertices.numpy()[..., 2] + transl[:, 2:]).min(axis=1)
    near = SETTLING * motion.rate
    weight = gaussian_filter1d(stands, near) + 1e-6
    transl[:, 2] -= gaussian_filter1d(stands * lowest, near) / weight
    vertices, joints = (value.numpy() + transl[:, None] for value in (posed.vertices, posed.joints))
    return Bodies(*(value[None] for value in (betas, rotmats, transl, vertices, joints)))


def walking_against(bodies: Bodies, others: Bodies, aside: np.ndarray) -> Bodies:
    """The same turned about the vertical so that they travel against the others, and shifted by `aside` [3]."""
    (x, y), (u, v) = ((one.joints[0, -1, 0] - one.joints[0, 0, 0])[:2] for one in (bodies, others))
    angle = np.arctan2(-v, -u) - np.arctan2(y, x)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    rest = bodies.joints[:, :, 0] - bodies.transl
    rotmats = bodies.rotmats.copy()
    rotmats[:, :, 0] = turn @ rotmats[:, :, 0]
    vertices, joints = (points @ turn.T + aside for points in (bodies.vertices, bodies.joints))
    return Bodies(bodies.betas, rotmats, joints[:, :, 0] - rest, vertices, joints)


def cameras_of(spec: ClipSpec, joints: np.ndarray, rate: float) -> list[Camera]:
    """Cameras that look at the middle of joints [F,24,3] from around; a moving one swings and looks at the person."""
    middle = (joints[:, 0].min(axis=0) + joints[:, 0].max(axis=0)) / 2
    seconds = np.arange(len(joints)) / rate
    wave = np.sin(2 * np.pi * seconds / 4)[:, None] * spec.moving
    target = np.where(spec.moving, gaussian_filter1d(joints[:, 0], 0.4 * rate, axis=0), middle)
    found = []
    for angle in spec.heading - np.pi / 2 + 2 * np.pi * np.arange(spec.cameras) / spec.cameras:
        around = angle + SWING * wave
        eye = np.concatenate([np.cos(around), np.sin(around), 0 * around], axis=1) * DISTANCE + middle
        eye[:, 2:] = EYE + SWAY * wave
        forward = target - eye
        forward /= np.linalg.norm(forward, axis=1, keepdims=True)
        right = np.cross(forward, [0.0, 0, 1])
        right /= np.linalg.norm(right, axis=1, keepdims=True)
        R = np.stack([right, np.cross(forward, right), forward], axis=1)
        found.append(Camera(R, -(R @ eye[..., None])[..., 0]))
    return found


def make_bodies(spec: ClipSpec, mocap: Path, rng: np.random.Generator) -> tuple[Bodies, float]:
    """The people of a clip, and frames a second."""
    parts: list[Bodies] = []
    rate = 0.0
    for number, name in enumerate(spec.motions):
        motion = read_placed(mocap, name).part(spec.start, spec.seconds)
        one, rate = standing_on_floor(motion, np.clip(rng.normal(size=10), -2, 2)), motion.rate
        ahead = np.array([np.cos(spec.heading - np.pi / 2), np.sin(spec.heading - np.pi / 2), 0])
        parts.append(walking_against(one, parts[0], -APART * ahead) if number else one)
    count = min(one.joints.shape[1] for one in parts)
    betas = np.concatenate([one.betas for one in parts])
    return Bodies(betas, *(np.concatenate([one[k][:, :count] for one in parts]) for k in range(1, 5))), rate


def render_clip(spec: ClipSpec, pack: AssetPack, mocap: Path, out: Path) -> None:
    """Write the folder of a clip as the module describes it."""
    rng = np.random.default_rng(spec.seed)
    bodies, rate = make_bodies(spec, mocap, rng)
    looks = [random_appearance(rng, pack) for _ in spec.motions]
    out.mkdir(parents=True, exist_ok=True)
    count = bodies.joints.shape[1]
    times, hidden = np.arange(count) / rate, np.zeros(count, dtype=bool)
    if spec.hidden:
        hidden[slice(*spec.hidden)] = True
    # Any, since NumPy's stub takes each name for that of an option, too.
    truth: dict[str, Any] = {"betas": bodies.betas, "rotmats": bodies.rotmats}
    truth |= {"transl": bodies.transl, "joints": bodies.joints}
    lowest = bodies.vertices[..., 2].min(axis=2)
    np.savez(out / "truth.npz", **truth, lowest=lowest, times=times, hidden=hidden)
    K, table = camera_matrix(FOCAL, WIDTH, HEIGHT), []
    renderer = PeopleRenderer(pack, size=WIDTH, supersample=1.0)
    for number, camera in enumerate(cameras_of(spec, bodies.joints[0], rate)):
        name = f"camera_{number}"
        with MovieWriter(out / f"{name}.mp4", (WIDTH, HEIGHT), rate) as writer:
            for time, pixels in zip(times, _frames(renderer, bodies, looks, camera, K, hidden, rng), strict=True):
                writer.write(pixels, float(time))
        R, t = (camera.R, camera.t) if spec.moving else (camera.R[0], camera.t[0])
        table.append({"name": name, "video": f"{name}.mp4", "K": K.tolist()})
        table[-1] |= {"R_world2cam": R.tolist(), "t_world2cam": t.tolist()}
    (out / "views.json").write_text(json.dumps(table, indent=1))


def _frames(
    renderer: PeopleRenderer,
    bodies: Bodies,
    looks: Sequence[Appearance],
    camera: Camera,
    K: np.ndarray,
    hidden: np.ndarray,
    rng: np.random.Generator,
) -> Iterator[np.ndarray]:
    """The pictures [480,640,3] of one camera; squares are drawn, and cut."""
    square = K.copy()
    top = (WIDTH - HEIGHT) // 2
    square[1, 2] += top
    background = random_background(rng, renderer.pack, camera.R[0] @ Y_UP_TO_Z_UP)
    wall = cv2.resize(rng.integers(90, 150, (12, 16, 3)).astype(np.uint8), (WIDTH, HEIGHT))
    turn = background.world_from_camera @ camera.R[0]
    for frame, (R, t) in enumerate(zip(tqdm(camera.R, unit="frame", leave=False), camera.t, strict=True)):
        people = [PosedPerson(mesh[frame] @ R.T + t, look) for mesh, look in zip(bodies.vertices, looks, strict=True)]
        seen = replace(background, world_from_camera=(turn @ R.T).astype(np.float32))
        drawn = renderer.draw(people, square, seen)[top : top + HEIGHT]
        yield wall if hidden[frame] else drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--mocap", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=SPECS, default=list(SPECS), metavar="NAME")
    options = parser.parse_args()
    pack = AssetPack.load(options.pack).part(held_out=True)
    for name in options.only:
        render_clip(SPECS[name], pack, options.mocap, options.out / name)


if __name__ == "__main__":
    main()
