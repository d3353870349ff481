# SPDX-License-Identifier: GPL-3.0-or-later
"""Differences between joints where not every true place is known, and the two sides may define a joint otherwise.

N bodies, 17 joints in the order of `COCO_JOINT_NAMES`, D dimensions (3 in space, 2 in a picture). Lengths keep their
unit; NaN is unknown.
"""

from __future__ import annotations

import warnings

import numpy as np
from refit_engine.body.joints import mirrored_order
from refit_engine.detect import COCO_JOINT_NAMES

__all__ = ["mean_offsets", "root_aligned", "similarity_aligned", "trunk_frames", "trunk_lengths", "without_offsets"]

HIPS = [COCO_JOINT_NAMES.index("left_hip"), COCO_JOINT_NAMES.index("right_hip")]
SHOULDERS = [COCO_JOINT_NAMES.index("left_shoulder"), COCO_JOINT_NAMES.index("right_shoulder")]
_OTHER_SIDE = mirrored_order(COCO_JOINT_NAMES)
LEAST_JOINTS = 6
"""Joints that have to be known for a similarity to be told."""


def root_aligned(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Differences [N,17,D] after the middles of the hips are moved together."""
    return (found - found[:, HIPS].mean(axis=1, keepdims=True)) - (truth - truth[:, HIPS].mean(axis=1, keepdims=True))


def similarity_aligned(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Differences [N,17,3] after the similarity that brings the joints found nearest to the known true ones (Umeyama 1991)."""
    differences = np.full(found.shape, np.nan)
    for row, (ours, theirs) in enumerate(zip(found, truth, strict=True)):
        known = np.isfinite(theirs).all(axis=-1)
        if known.sum() < LEAST_JOINTS:
            continue
        middle, other = ours[known].mean(axis=0), theirs[known].mean(axis=0)
        centred = ours[known] - middle
        u, sizes, vt = np.linalg.svd((theirs[known] - other).T @ centred)
        signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
        scale = (sizes * signs).sum() / np.square(centred).sum()
        differences[row] = scale * (ours - middle) @ (u * signs @ vt).T + other - theirs
    return differences


def trunk_frames(joints: np.ndarray) -> np.ndarray:
    """Axes [N,D,D], one a column, of trunks with joints [N,17,D]: to the body's left, up, and in space forward.

    In a picture, left is across the trunk, on the side where the person's left is.
    """
    left = joints[:, HIPS[0]] - joints[:, HIPS[1]] + joints[:, SHOULDERS[0]] - joints[:, SHOULDERS[1]]
    up = joints[:, SHOULDERS].mean(axis=1) - joints[:, HIPS].mean(axis=1)
    up = up / np.linalg.norm(up, axis=1, keepdims=True)
    left = left - (left * up).sum(axis=1, keepdims=True) * up
    left = left / np.linalg.norm(left, axis=1, keepdims=True)
    axes = [left, up] if joints.shape[-1] == 2 else [left, up, np.cross(left, up)]
    return np.stack(axes, axis=2)


def trunk_lengths(joints: np.ndarray) -> np.ndarray:
    """Lengths [N] of the longer diagonal from a shoulder to the opposite hip of joints [N,17,D]: the other may be foreshortened."""
    return np.linalg.norm(joints[:, SHOULDERS] - joints[:, HIPS[::-1]], axis=-1).max(axis=1)


def mean_offsets(differences: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Mean [17,D] of differences [N,17,D] in the trunks' axes [N,D,D], left and right taken together; 0 where none is known."""
    local = np.einsum("nij,nki->nkj", frames, differences)
    mirrored = local[:, _OTHER_SIDE] * np.where(np.arange(local.shape[-1]) == 0, -1.0, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # joints that are never known
        return np.nan_to_num(np.nanmean(np.concatenate([local, mirrored]), axis=0))


def without_offsets(differences: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Differences [N,17,D], in the trunks' axes [N,D,D], less every joint's mean."""
    return np.einsum("nij,nki->nkj", frames, differences) - mean_offsets(differences, frames)
