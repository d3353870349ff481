# SPDX-License-Identifier: GPL-3.0-or-later
"""Motions in AMASS' layout: axis-angle rotations of SMPL's joints in an npz file. Arrays only, nothing is unpickled.

Format: AMASS (Mahmood et al., ICCV 2019), https://amass.is.tue.mpg.de. The world has Z up; the root's rotation turns
SMPL's rest pose, which has Y up and faces +Z, into it. Posed by SMPL: `LBS(betas, poses) + trans`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from ..checked_arrays import CheckedArrays
from ..contract import Gender
from ..errors import ResultFileError
from ..motion_keys import quaternions_of
from ..npz import NpzError, read_npz
from ..quaternions import matrices_of

JOINTS = 24
BODY_JOINTS = 22
"""Of SMPL-H and SMPL-X, as of SMPL's: the others are fingers and the face there, and the hands here."""
WIDTHS = {156: BODY_JOINTS, 165: BODY_JOINTS, 72: JOINTS}
"""Numbers of a frame in SMPL-H's, SMPL-X's and SMPL's layout, and how many joints of these are SMPL's."""
WRITTEN_WIDTH, WRITTEN_BETAS = 156, 16
MAX_FRAMES, MAX_RATE, MAX_ANGLE = 200_000, 10_000.0, 1e3
_RATES = ("mocap_framerate", "mocap_frame_rate")
_OWN_BETAS, _OWN_KIND = "refit_betas", "refit_body_kind"
_NUMBERS = frozenset(("poses", "trans", "betas", *_RATES, _OWN_BETAS, _OWN_KIND))
_GENDERS: dict[str, Gender] = {name: name for name in get_args(Gender)}


@dataclass(frozen=True)
class SmplMotion:
    """SMPL's parameters over time.

    rotmats [K,24,3,3]: the first in the world, Z up, the others relative to their parents; transl [K,3]: metres, where
    the pelvis is in the world less where it is at rest. betas [10]: of the body model of this kind: "smpl", or one of
    the bundled ones. rate: frames a second.
    """

    rotmats: np.ndarray
    transl: np.ndarray
    betas: np.ndarray
    kind: str
    gender: Gender
    rate: float


def write_amass(path: Path, motion: SmplMotion) -> None:
    """Write a motion in SMPL-H's layout; hands are flat there. Raises OSError.

    Numbers of shape mean nothing to SMPL unless they are SMPL's: others are written under a name of their own.
    """
    poses = np.zeros((len(motion.rotmats), WRITTEN_WIDTH))
    poses[:, : 3 * BODY_JOINTS] = rotation_vectors(motion.rotmats[:, :BODY_JOINTS]).reshape(len(poses), -1)
    betas = np.zeros(WRITTEN_BETAS)
    if motion.kind == "smpl":
        betas[: len(motion.betas)] = motion.betas
    arrays: dict[str, Any] = {
        "poses": poses,
        "trans": motion.transl,
        "betas": betas,
        "gender": np.array(motion.gender),
        "mocap_framerate": np.array(motion.rate),
        _OWN_BETAS: motion.betas,
        _OWN_KIND: np.array(motion.kind),
    }
    with path.open("wb") as stream:
        np.savez(stream, **arrays)


def read_amass(path: Path) -> SmplMotion:
    """Read a motion in SMPL-H's, SMPL-X's or SMPL's layout. Raises ResultFileError, also for values without sense."""
    data = CheckedArrays(path, _NUMBERS)
    missing = next((name for name in ("poses", "trans") if name not in data), None)
    rate_name = next((name for name in _RATES if name in data), None)
    if missing or rate_name is None:
        raise ResultFileError(f"{path.name} is no AMASS motion: it has no {missing or _RATES[0]}.")
    poses = data.numbers("poses", None, None, limit=MAX_ANGLE)
    frames, width = poses.shape
    if width not in WIDTHS:
        raise ResultFileError(f"{path.name}: a frame has {width} numbers of pose, not 156, 165 or 72.")
    if not 0 < frames <= MAX_FRAMES:
        raise ResultFileError(f"{path.name} has {frames} frames; 1 to {MAX_FRAMES} can be read.")
    rate = data.number(rate_name)
    if not 0 < rate <= MAX_RATE:
        raise ResultFileError(f"{path.name} says that it has {rate:g} frames a second.")
    vectors = np.zeros((frames, JOINTS, 3))
    vectors[:, : WIDTHS[width]] = poses[:, : 3 * WIDTHS[width]].reshape(frames, -1, 3)
    own = _OWN_BETAS in data and _OWN_KIND in data
    betas = data.numbers(_OWN_BETAS if own else "betas", None, limit=1e3) if own or "betas" in data else np.zeros(10)
    return SmplMotion(
        rotmats=rotation_matrices(vectors),
        transl=data.numbers("trans", frames, 3, limit=1e6),
        betas=np.pad(betas[:10], (0, max(10 - len(betas), 0))),
        kind=data.text(_OWN_KIND) if own else "smpl",
        gender=_gender(path),
        rate=rate,
    )


def _gender(path: Path) -> Gender:
    """What a file says of gender; some write bytes or an object there, which are not read."""
    try:
        found = read_npz(path, ["gender"]).get("gender")
    except NpzError:
        return "neutral"
    text = str(found[()]).lower() if found is not None and found.ndim == 0 and found.dtype.kind == "U" else ""
    return _GENDERS.get(text, "neutral")


def rotation_vectors(matrices: np.ndarray) -> np.ndarray:
    """Axis times angle [...,3], at most half a turn, of rotation matrices [...,3,3]."""
    quaternions = quaternions_of(matrices)
    quaternions = np.where(quaternions[..., :1] < 0, -quaternions, quaternions)
    sines = np.linalg.norm(quaternions[..., 1:], axis=-1, keepdims=True)
    angles = 2 * np.arctan2(sines, quaternions[..., :1])
    return quaternions[..., 1:] * np.where(sines > 1e-12, angles / np.maximum(sines, 1e-12), 2.0)


def rotation_matrices(vectors: np.ndarray) -> np.ndarray:
    """Rotation matrices [...,3,3] of axis times angle [...,3]."""
    angles = np.linalg.norm(vectors, axis=-1, keepdims=True)
    # sin(a/2)/a goes on to 1/2 at 0.
    quaternions = np.concatenate([np.cos(angles / 2), vectors * np.sinc(angles / (2 * np.pi)) / 2], axis=-1)
    return matrices_of(quaternions)
