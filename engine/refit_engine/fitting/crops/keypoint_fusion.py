# SPDX-License-Identifier: GPL-3.0-or-later
"""Keypoint fusion: where a joint is, if two networks say so.

BlazePose sees the upright crop, MoveNet Thunder the box; either may be right. A small network weighs them joint by joint,
by how sure each is and how far they are apart: no switch, since a switch lets bodies jump where a picture changes by a
grey level. Both name the same joints and mean places some pixels apart, so that Thunder's are moved to BlazePose's first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from ...body.joints import mirrored_order
from ...body.points import LANDMARK_NAMES
from ...movenet import COCO_JOINT_NAMES, JOINTS
from ...network.geometry import CROP_SIZE
from ...network.vector_head import flat_landmarks

WEIGHTS = Path(__file__).parents[2] / "data" / "keypoint_fusion.safetensors"
KINDS = ("nose", "eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
CUES, HIDDEN_UNITS = 12, 32


@dataclass(frozen=True)
class FusionNumbers:
    """Numbers of keypoint fusion beside the weights of its network."""

    near: float = 8.0
    """Crop pixels that count as near: distances are read on a logarithmic scale from there. Trained with it."""
    clear: float = 0.6
    """Thunder's score that counts as fully visible. Of 125 photos (every fourth one), bodies' joints within a fifth and
    a tenth of the trunk went from 73.1 and 44.4 to 74.5 and 45.9 % with visibilities raised this way."""
    agree: float = 0.2
    """Trunk lengths between the two that count as agreement: those of PCK@0.2, by which landmarks are measured."""


NUMBERS = FusionNumbers()

_TRUNKS = [
    tuple(LANDMARK_NAMES.index(name) for name in pair)
    for pair in (("left_shoulder", "right_hip"), ("right_shoulder", "left_hip"))
]

SHARED = [LANDMARK_NAMES.index(name) for name in COCO_JOINT_NAMES]
"""Landmarks that the joints are, one after the other."""
_KIND = [KINDS.index(name.rpartition("_")[2]) for name in COCO_JOINT_NAMES]
_OTHER_SIDE = mirrored_order(COCO_JOINT_NAMES)
_INNER = {"elbow": "shoulder", "wrist": "elbow", "knee": "hip", "ankle": "knee", "ear": "eye"}
"""From which joint a limb comes."""
_LIMB = [
    COCO_JOINT_NAMES.index(name.replace(KINDS[kind], _INNER.get(KINDS[kind], KINDS[kind])))
    for name, kind in zip(COCO_JOINT_NAMES, _KIND, strict=True)
]
_OUTWARD = [{"left": 1.0, "right": -1.0}.get(name.partition("_")[0], 0.0) for name in COCO_JOINT_NAMES]


def _carrier(name: str) -> int:
    """Number of the joint that a landmark goes along with."""
    side = name.partition("_")[0] if name.startswith(("left", "right")) else name.rpartition("_")[2]
    for part, joint in (
        ("eye", f"{side}_eye"),
        ("mouth", "nose"),
        ("pinky", f"{side}_wrist"),
        ("index", f"{side}_wrist"),
        ("thumb", f"{side}_wrist"),
        ("heel", f"{side}_ankle"),
    ):
        if "foot" not in name and part in name:
            return COCO_JOINT_NAMES.index(joint)
    return COCO_JOINT_NAMES.index(f"{side}_ankle" if "foot" in name else name)


_CARRIER = [_carrier(name) for name in LANDMARK_NAMES]


class KeypointFusion(nn.Module):
    """How much Thunder's joints count beside BlazePose's landmarks, joint by joint.

    Each joint is judged by its own cues, the person's on average, and its kind: what joints do together is left out, since
    a network that reads all of them learns the people of its training by heart.
    """

    moves: Tensor
    kinds: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("moves", torch.zeros(len(KINDS), 3))
        """From Thunder's places to BlazePose's, by kind of joint: shares of `directions`."""
        self.hidden = nn.Linear(2 * CUES + len(KINDS) + 1, HIDDEN_UNITS)
        self.out = nn.Linear(HIDDEN_UNITS, 1)
        self.register_buffer("kinds", F.one_hot(torch.tensor(_KIND), len(KINDS)).float(), persistent=False)

    def moved(self, joints: Tensor) -> Tensor:
        """Joints [B,17,3] where BlazePose would see them."""
        move = (directions(joints[..., :2]) * self.moves[_KIND][:, :, None]).sum(2)
        return torch.cat([joints[..., :2] + move, joints[..., 2:]], -1)

    def forward(self, landmarks: Tensor, vector: Tensor, peaks: Tensor, joints: Tensor) -> Tensor:
        """Shares [B,17] of the way from BlazePose's landmarks [B,33,3] to the joints [B,17,3] that `moved` gave."""
        cues = cues_of(landmarks, vector, peaks, joints)
        person = torch.cat([cues.mean(1), vector[:, -1:]], 1)[:, None].expand(-1, JOINTS, -1)
        each = torch.cat([cues, person, self.kinds.expand(len(cues), -1, -1)], 2)
        return self.out(F.relu(self.hidden(each)))[..., 0].sigmoid()


def directions(places: Tensor) -> Tensor:
    """For each of the joints [B,17,2]: along the trunk, outwards, and along the limb that ends there [B,17,3,2]."""
    left_shoulder, right_shoulder, left_hip, right_hip = (
        places[:, COCO_JOINT_NAMES.index(name)] for name in ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
    )
    trunk = (left_shoulder + right_shoulder - left_hip - right_hip) / 2
    across = (left_shoulder - right_shoulder + left_hip - right_hip) / 2
    outward = across[:, None] * torch.tensor(_OUTWARD, dtype=places.dtype, device=places.device)[:, None]
    return torch.stack([trunk[:, None].expand_as(places), outward, places - places[:, _LIMB]], 2)


def cues_of(landmarks: Tensor, vector: Tensor, peaks: Tensor, joints: Tensor) -> Tensor:
    """What the choice is made by [B,17,12]; see `KeypointFusion.forward`."""
    coarse = flat_landmarks(vector)[:, SHARED]
    half = CROP_SIZE / 2
    ours, theirs = landmarks[:, SHARED, :2], joints[..., :2]

    def apart(a: Tensor, b: Tensor) -> Tensor:
        distance = cast("Tensor", (a - b).norm(dim=-1))  # PyTorch says no type
        return torch.log1p(distance / NUMBERS.near)

    return torch.cat(
        [
            torch.stack(
                [
                    landmarks[:, SHARED, 2],
                    coarse[..., 4],
                    peaks[:, SHARED],
                    apart(ours, (coarse[..., :2] + 1) * half),
                    joints[..., 2],
                    apart(ours, theirs),
                    apart(ours[:, _OTHER_SIDE], theirs),
                    apart(ours, theirs[:, _OTHER_SIDE]),
                ],
                -1,
            ),
            (ours / half - 1).clamp(-2, 2),
            (theirs / half - 1).clamp(-2, 2),
        ],
        -1,
    )


def fuse(landmarks: Tensor, vector: Tensor, peaks: Tensor, joints: Tensor) -> Tensor:
    """Landmarks [B,33,3] (crop pixels, visibility) of BlazePose, moved to where Thunder sees them as far as it is right.

    vector: [B,D] and peaks: [B,33] BlazePose's; joints: [B,17,3] Thunder's, crop pixels and score, NaN where it saw nobody.
    What hangs on a joint (fingers, heels, toes, the mouth) goes along with it. Where Thunder is surer, so is the result: the
    step of the loop weighs landmarks by their visibility, and would not follow those that BlazePose did not see.
    """
    network = _bundled().to(landmarks.device)
    seen = joints.isfinite().all(2, keepdim=True)
    joints = network.moved(joints.to(landmarks).nan_to_num(0))
    with torch.no_grad():
        share = network(landmarks, vector, peaks, joints)[..., None]
    ours = landmarks[:, SHARED]
    shift = torch.where(seen, share * (joints[..., :2] - ours[..., :2]), 0.0)
    visibility = ours[..., 2:] + share * ((joints[..., 2:] / NUMBERS.clear).clamp(max=1) - ours[..., 2:]).clamp(min=0)
    fused = torch.cat([landmarks[..., :2] + shift[:, _CARRIER], landmarks[..., 2:]], -1)
    fused[:, SHARED, 2:] = torch.where(seen, visibility, ours[..., 2:])
    return fused


def agreeing(landmarks: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Whether each of the joints [17,2 or more] is where the landmarks [33,2 or more] are: [17], pixels of the same picture."""
    trunk = max(np.linalg.norm(landmarks[a, :2] - landmarks[b, :2]) for a, b in _TRUNKS)
    return np.linalg.norm(landmarks[SHARED, :2] - joints[:, :2], axis=1) < NUMBERS.agree * trunk


@lru_cache(maxsize=1)
def _bundled() -> KeypointFusion:
    network = KeypointFusion()
    network.load_state_dict({name: tensor.float() for name, tensor in load_file(WEIGHTS).items()})
    return network.eval().requires_grad_(False)
