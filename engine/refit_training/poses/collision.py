# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a pose runs limbs through the body: points on forearms and shins against capsules."""

import numpy as np

from refit_training.poses.skeleton import forward_kinematics, to_global

__all__ = ["penetration"]

# Capsules: joint whose rotation carries it, two ends relative to that joint (metres, rest pose), radius.
_TRUNK = (
    (0, (-0.06, -0.04, -0.005), (0.06, -0.04, -0.005), 0.10),
    (3, (-0.05, -0.005, 0.005), (0.05, -0.005, 0.005), 0.095),
    (9, (-0.06, 0.025, -0.02), (0.06, 0.025, -0.02), 0.105),
    (15, (0.0, 0.0, -0.01), (0.0, 0.09, 0.0), 0.085),
)
_LIMBS = (
    (16, 18, 0.045),
    (17, 19, 0.045),
    (18, 20, 0.035),
    (19, 21, 0.035),
    (1, 4, 0.07),
    (2, 5, 0.07),
    (4, 7, 0.05),
    (5, 8, 0.05),
)
_HEAD = 3

# Points: joints from, to, share of the way, radius.
_ARM_POINTS = ((18, 20, 0.0, 0.035), (18, 20, 0.5, 0.035), (18, 20, 1.0, 0.03), (20, 22, 1.0, 0.03))
_LEG_POINTS = ((4, 7, 0.0, 0.05), (4, 7, 0.5, 0.045), (4, 7, 1.0, 0.04), (7, 10, 1.0, 0.035))
_POINTS = tuple((a + side, b + side, t, r) for side in (0, 1) for a, b, t, r in _ARM_POINTS + _LEG_POINTS)


def _forbidden() -> np.ndarray:
    """[points, capsules]: which pairs count. Neighbours along a limb always touch, folded thighs touch the belly."""
    table = np.ones((len(_POINTS), len(_TRUNK) + len(_LIMBS)), bool)
    for row, (start, _, share, _) in enumerate(_POINTS):
        right = start % 2 == 1
        arm = start >= 18
        for column, (upper, _, _) in enumerate(_LIMBS, len(_TRUNK)):
            same_side = (upper in (17, 19, 2, 5)) == right
            same_limb = (upper >= 16) == arm and same_side
            # Leg points against arms repeat what arm points against legs tell.
            table[row, column] = not same_limb and (arm or upper < 16)
        if not arm and share == 0.0:
            table[row, :_HEAD] = False
        if start == 18 + right and share == 0.0:
            table[row, : len(_TRUNK)] = (True, True, True, False)
    return table


_COUNTED = _forbidden()


def penetration(rotmats: np.ndarray) -> np.ndarray:
    """Deepest overlap of a forearm, hand, shin or foot with another part of an average body.

    rotmats: [n,24,3,3]. Returns [n] metres, not above 0 where nothing overlaps.
    """
    world = to_global(rotmats)
    joints = forward_kinematics(rotmats)
    points = np.stack([joints[:, a] + t * (joints[:, b] - joints[:, a]) for a, b, t, _ in _POINTS], axis=1)
    starts = [joints[:, j] + world[:, j] @ np.asarray(a, rotmats.dtype) for j, a, _, _ in _TRUNK] + [
        joints[:, a] for a, _, _ in _LIMBS
    ]
    ends = [joints[:, j] + world[:, j] @ np.asarray(b, rotmats.dtype) for j, _, b, _ in _TRUNK] + [
        joints[:, b] for _, b, _ in _LIMBS
    ]
    start, along = np.stack(starts, axis=1), np.stack(ends, axis=1) - np.stack(starts, axis=1)
    away = points[:, :, None] - start[:, None]
    share = (np.einsum("npck,nck->npc", away, along) / np.einsum("nck,nck->nc", along, along)[:, None]).clip(0, 1)
    distance = np.linalg.norm(away - share[..., None] * along[:, None], axis=-1)
    radii = np.array([r for *_, r in _POINTS])[:, None] + np.array([r for *_, r in _TRUNK + _LIMBS])
    return np.where(_COUNTED, radii - distance, -1.0).max((1, 2))
