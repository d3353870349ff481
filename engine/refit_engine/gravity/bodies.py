# SPDX-License-Identifier: GPL-3.0-or-later
"""Up from the bodies of a picture: how people bend tells how they keep their balance.

A small network maps a pose to the world's up in the pelvis' frame. Feet flat on the ground and the centre of mass above
them say the same where people stand, and are heard only where they do not contradict it.
"""

from __future__ import annotations

import functools
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..body import SMPL_JOINT_NAMES
from ..errors import RefitError

DATA_FILE = Path(__file__).parents[1] / "data" / "up_from_pose.npz"
FORMAT, VERSION = "refit-up-from-pose", 1
INPUTS = 23 * 6
"""The first two columns of the rotations of all joints but the pelvis, relative to their parents."""
LAYERS = ((INPUTS, 64), (64, 64), (64, 3))

_JOINT = SMPL_JOINT_NAMES.index
FEET = (_JOINT("left_foot"), _JOINT("right_foot"))
ANKLES = (_JOINT("left_ankle"), _JOINT("right_ankle"))
AGREES = np.cos(np.radians(20))
"""Feet and balance are heard within 20 degrees of the network's up."""
# Each joint's share of the body's mass, roughly: half of the segments that meet there.
_MASSES = {
    "pelvis": 0.14, "spine1": 0.07, "spine2": 0.07, "spine3": 0.11, "neck": 0.05, "head": 0.08, "hip": 0.05,
    "knee": 0.073, "ankle": 0.03, "foot": 0.008, "shoulder": 0.04, "elbow": 0.02, "wrist": 0.01, "hand": 0.004,
}  # fmt: skip


def _mass(name: str) -> float:
    return _MASSES.get(name.removeprefix("left_").removeprefix("right_"), 0.0)


MASSES = np.array([_mass(name) for name in SMPL_JOINT_NAMES]) / sum(map(_mass, SMPL_JOINT_NAMES))


class BalanceFileError(RefitError):
    """The file with the network from pose to up is damaged."""


@dataclass(frozen=True)
class BalanceNetwork:
    """A network of three layers: weights [in,out] and biases [out], float32."""

    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]

    def __call__(self, rotmats: np.ndarray) -> np.ndarray:
        """Up in the pelvis' frame [N,3] of poses [N,24,3,3]; the longer the vector, the surer (von Mises-Fisher)."""
        values = pose_features(rotmats)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            values = np.tanh(values @ weight + bias)
        return values @ self.weights[-1] + self.biases[-1]


def pose_features(rotmats: np.ndarray) -> np.ndarray:
    """What the network reads of poses [N,24,3,3]: [N,138] float32."""
    return rotmats[:, 1:, :, :2].reshape(len(rotmats), INPUTS).astype(np.float32)


def save_network(path: Path, network: BalanceNetwork) -> None:
    """Write a network with 16 bits a number."""
    # Any, since NumPy's stub takes each name for that of an option, too.
    arrays: dict[str, Any] = {f"weight{n}": weight.astype(np.float16) for n, weight in enumerate(network.weights)}
    arrays |= {f"bias{n}": bias.astype(np.float16) for n, bias in enumerate(network.biases)}
    np.savez(path, format=np.array(FORMAT), version=np.array(VERSION), **arrays)


@functools.cache
def load_network(path: Path = DATA_FILE) -> BalanceNetwork:
    """Read a network. Raises BalanceFileError where the file is missing, damaged or of another kind."""
    try:
        with np.load(path, allow_pickle=False) as data:
            if str(data["format"]) != FORMAT or int(data["version"]) != VERSION:
                raise ValueError("it has another format")
            weights = tuple(data[f"weight{n}"].astype(np.float32) for n in range(len(LAYERS)))
            biases = tuple(data[f"bias{n}"].astype(np.float32) for n in range(len(LAYERS)))
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise BalanceFileError(f"{Path(path).name} cannot be read: {error}.") from error
    for weight, bias, shape in zip(weights, biases, LAYERS, strict=True):
        if (
            weight.shape != shape
            or bias.shape != shape[1:]
            or not np.isfinite(weight).all()
            or not np.isfinite(bias).all()
        ):
            raise BalanceFileError(f"{Path(path).name} does not hold the layers that it should.")
    return BalanceNetwork(weights, biases)


def body_ups(rotmats: np.ndarray, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What each body says of the world's up: directions [N,3] in the camera's frame, and how sure it is [N] (kappa).

    rotmats: [N,24,3,3], the first in the camera's frame; joints: [N,24,3] there, metres.
    """
    rotmats = rotmats.astype(np.float64)
    natural = load_network()(rotmats).astype(np.float64)
    concentration = np.linalg.norm(natural, axis=1)
    ups = np.einsum("nij,nj->ni", rotmats[:, 0], natural / np.maximum(concentration, 1e-9)[:, None])
    heard = [ups]
    soles = _foot_ups(rotmats)
    balance = _unit(MASSES @ joints - joints[:, ANKLES + FEET].mean(axis=1))
    for other in (*soles, balance):
        agrees = np.einsum("ni,ni->n", ups, other) > AGREES
        heard.append(np.where(agrees[:, None], other, 0.0))
    return _unit(np.sum(heard, axis=0)), concentration


def _foot_ups(rotmats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normals [N,3] of the soles in the camera's frame: a foot rests flat in the T-pose, Y up."""
    ups: list[np.ndarray] = []
    for chain in (("left_hip", "left_knee", "left_ankle"), ("right_hip", "right_knee", "right_ankle")):
        turn = rotmats[:, 0]
        for name in chain:
            turn = turn @ rotmats[:, _JOINT(name)]
        ups.append(turn[:, :, 1])
    return ups[0], ups[1]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
