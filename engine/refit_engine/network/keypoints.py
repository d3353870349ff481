# SPDX-License-Identifier: GPL-3.0-or-later
"""The points of the body that the network follows, for a body of any topology."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from ..body.joints import SMPL_JOINT_NAMES
from ..body.points import MARKER_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from ..body import BodyData, BodyModel

KeypointKind = Literal["markers67", "semantic24", "dense231"]
KEYPOINT_COUNTS: dict[KeypointKind, int] = {"markers67": 67, "semantic24": 24, "dense231": 231}
LANDMARK_COUNT = 33

# fmt: off
_SMPL_DENSE_IDS = (
    103, 133, 152, 165, 238, 251, 395, 411, 484, 618, 626, 690, 698, 719, 722, 797, 809, 813, 838, 856, 858,
    874, 899, 901, 905, 923, 927, 948, 953, 980, 986, 990, 997, 1006, 1032, 1033, 1060, 1066, 1070, 1076,
    1092, 1100, 1134, 1138, 1147, 1150, 1155, 1157, 1173, 1205, 1212, 1228, 1232, 1246, 1248, 1256, 1293,
    1299, 1323, 1343, 1347, 1353, 1366, 1368, 1381, 1393, 1443, 1456, 1469, 1484, 1511, 1516, 1531, 1579,
    1650, 1660, 1661, 1688, 1725, 1780, 1824, 1826, 1862, 1865, 1875, 1895, 1942, 1950, 2040, 2192, 2251,
    2445, 2513, 2885, 2915, 2927, 2931, 2961, 2994, 3035, 3081, 3091, 3100, 3117, 3179, 3184, 3189, 3216,
    3313, 3320, 3336, 3371, 3384, 3394, 3418, 3479, 3614, 3646, 3664, 3675, 3750, 3763, 3897, 3973, 4106,
    4114, 4183, 4205, 4210, 4257, 4287, 4297, 4301, 4357, 4360, 4385, 4390, 4409, 4413, 4432, 4439, 4448,
    4466, 4471, 4479, 4484, 4490, 4516, 4519, 4546, 4552, 4556, 4562, 4587, 4619, 4632, 4641, 4642, 4659,
    4679, 4689, 4692, 4695, 4711, 4712, 4717, 4729, 4731, 4739, 4772, 4780, 4804, 4813, 4817, 4823, 4839,
    4841, 4842, 4866, 4915, 4918, 4922, 4926, 4941, 4954, 4983, 4987, 4999, 5002, 5050, 5121, 5127, 5131,
    5155, 5194, 5206, 5247, 5289, 5310, 5325, 5355, 5401, 5413, 5499, 5531, 5653, 5905, 5934, 6344, 6378,
    6390, 6419, 6453, 6484, 6505, 6515, 6524, 6539, 6579, 6584, 6589, 6617, 6677, 6713, 6719, 6736, 6770,
    6784, 6795, 6818, 6877,
)
# fmt: on


def keypoint_points(body: BodyModel, data: BodyData, kind: KeypointKind) -> Callable[[Tensor, Tensor], Tensor]:
    """What poses the keypoints of a body: (betas [B,10], rotmats [B,24,3,3]) to [B,K,3], metres."""
    if kind == "semantic24":
        return body.joints
    return body.subset(data.marker_ids if kind == "markers67" else dense_ids(data))


def keypoint_names(data: BodyData, kind: KeypointKind) -> tuple[str, ...]:
    """Names of a body's keypoints, in order; a vertex without a name is called after its joint and its number."""
    if kind == "semantic24":
        return SMPL_JOINT_NAMES
    if kind == "markers67" and data.kind == "bundled":
        return MARKER_NAMES
    vertices = data.marker_ids if kind == "markers67" else dense_ids(data)
    joints = data.weights[vertices].argmax(axis=1)
    return tuple(f"{SMPL_JOINT_NAMES[joint]}_{vertex}" for joint, vertex in zip(joints, vertices, strict=True))


def dense_ids(data: BodyData) -> np.ndarray:
    """231 vertices spread over the body: the published ones on SMPL's mesh, else those farthest apart."""
    if data.kind == "smpl":
        return np.array(_SMPL_DENSE_IDS)
    return farthest_points(data.v_template, KEYPOINT_COUNTS["dense231"])


def farthest_points(points: np.ndarray, count: int) -> np.ndarray:
    """Indices [count] of points [V,3], each the farthest from all before it; the first is the highest."""
    chosen = [int(np.argmax(points[:, 1]))]
    distance = np.full(len(points), np.inf)
    while len(chosen) < count:
        distance = np.minimum(distance, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
        chosen.append(int(np.argmax(distance)))
    return np.array(chosen)
