# SPDX-License-Identifier: GPL-3.0-or-later
"""From a source's segments to SMPL's joints, by the direction of bones and the axes of hinges."""

import numpy as np
import roma
import torch

from refit_training.poses.rotations import join_swing_twist, split_swing_twist
from refit_training.poses.skeleton import REST_JOINTS, rest_frames, to_global, to_local
from refit_training.poses.sources import Motion

__all__ = ["retarget", "share_arm_elevation"]

# Part of the arm's swing that the collar bone does, for the directions up, down, forward and back. The shoulder blade
# does about a third of a raise; sources without collar motion would leave it all to one joint and crease the skin.
_COLLAR_SHARE = {"up": 0.3, "down": 0.08, "forward": 0.15, "back": 0.1}
_FOREARM_TWIST_SHARE = 0.5


def retarget(motion: Motion) -> np.ndarray:
    """Pose SMPL's skeleton like a clip.

    Every limb bone of the result points along the source's bone and its hinge axis along the source's; the trunk and
    head take the source's orientation. The collars share the raise of the arm, the elbows the twist of the forearm.

    Returns [T,24,3,3] float32 relative to the parents, joint 0 in the
    source's world (Y up).
    """
    align = motion.frames @ np.swapaxes(rest_frames(), -1, -2)
    align[10:12] = align[7:9]
    world = motion.orientations @ align
    world[:, 12] = _half_way(world[:, 9], world[:, 15])
    world[:, 22:] = world[:, 20:22]
    local = to_local(world)
    local = share_arm_elevation(local)
    local = _share_forearm_twist(local)
    return local.astype(np.float32)


def share_arm_elevation(rotmats: np.ndarray) -> np.ndarray:
    """Let the collars take part of the swing of the arms; the arms' orientation stays. [T,24,3,3] both."""
    world = to_global(rotmats)
    for collar, shoulder, elbow, side in ((13, 16, 18, 1.0), (14, 17, 19, -1.0)):
        arm = REST_JOINTS[elbow] - REST_JOINTS[shoulder]
        arm = arm / np.linalg.norm(arm)
        in_chest = np.swapaxes(world[:, 9], -1, -2) @ world[:, shoulder] @ arm
        outward, up, forward = side * in_chest[:, 0], in_chest[:, 1], in_chest[:, 2]
        raised = np.arctan2(up, np.hypot(outward, forward))
        swung = np.arctan2(forward, np.maximum(np.abs(outward), 0.2)) * np.cos(raised)
        lift = np.where(raised > 0, _COLLAR_SHARE["up"], _COLLAR_SHARE["down"]) * raised
        reach = np.where(swung > 0, _COLLAR_SHARE["forward"], _COLLAR_SHARE["back"]) * swung
        zero = np.zeros_like(lift)
        turn = np.stack([zero, -side * reach, side * lift], axis=-1)
        rotmats_collar = roma.rotvec_to_rotmat(torch.from_numpy(turn)).numpy()
        world[:, collar] = world[:, 9] @ rotmats_collar
    return to_local(world)


def _share_forearm_twist(local: np.ndarray) -> np.ndarray:
    for elbow, wrist in ((18, 20), (19, 21)):
        bone = REST_JOINTS[wrist] - REST_JOINTS[elbow]
        axis = torch.from_numpy(np.broadcast_to(bone / np.linalg.norm(bone), (len(local), 3)).copy())
        hand = roma.rotmat_to_unitquat(torch.from_numpy(local[:, wrist].copy()))
        # twist first: hand = twist * swing is the split of the inverse.
        swing, twist = split_swing_twist(roma.quat_conjugation(hand), axis)
        kept = join_swing_twist(swing, (1 - _FOREARM_TWIST_SHARE) * twist, axis)
        local[:, wrist] = roma.unitquat_to_rotmat(roma.quat_conjugation(kept)).numpy()
        moved = roma.rotvec_to_rotmat(axis * (-_FOREARM_TWIST_SHARE * twist)[:, None]).numpy()
        local[:, elbow] = local[:, elbow] @ moved
    return local


def _half_way(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    between = torch.from_numpy(np.swapaxes(start, -1, -2) @ end)
    return start @ roma.rotvec_to_rotmat(0.5 * roma.rotmat_to_rotvec(between)).numpy()
