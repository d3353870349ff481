# SPDX-License-Identifier: GPL-3.0-or-later
"""Readers for the motion files that poses are taken from.

Every reader returns a `Motion`: where each of SMPL's 24 segments points, whatever the source's own bones are called.
"""

import lzma
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from refit_training.poses.skeleton import JOINT_COUNT, LIMB_BONES, anatomical_frames, frame_from_axes

__all__ = ["Motion", "read_amc", "read_asf", "read_bvh", "read_expmap_clips", "read_smpl_clips", "read_sources"]


@dataclass(frozen=True)
class Motion:
    """One clip, in the axes of SMPL's rest pose (Y up, facing +Z, +X left).

    orientations [T,24,3,3]: world rotation of each SMPL segment since the source's own rest pose.
    frames [24,3,3]: the segments' anatomical frames in that rest pose, as `skeleton.rest_frames` defines them.
    rest [B,3], bones [T,B,3,3], parents [B]: the source's skeleton, for drawing it (length unit of the source).
    """

    name: str
    frame_rate: float
    orientations: np.ndarray
    frames: np.ndarray
    rest: np.ndarray
    bones: np.ndarray
    parents: np.ndarray

    def every(self, step: int) -> "Motion":
        """The clip with only every `step`-th frame."""
        return replace(
            self, orientations=self.orientations[::step], bones=self.bones[::step], frame_rate=self.frame_rate / step
        )

    def positions(self) -> np.ndarray:
        """Joint positions of the source's own skeleton, root at the origin. [T,B,3]"""
        joints = np.zeros(self.bones.shape[:-2] + (3,))
        for bone, parent in enumerate(self.parents):
            if parent >= 0:
                joints[:, bone] = joints[:, parent] + self.bones[:, parent] @ (self.rest[bone] - self.rest[parent])
        return joints


# CMU, exponential maps

# SMPL segment <- joint of the 38-joint skeleton. The upper neck stands for SMPL's single neck joint.
_EXPMAP_JOINTS = [0, 2, 8, 13, 3, 9, 14, 4, 10, 15, 5, 11, 17, 20, 29, 18, 21, 30, 22, 31, 24, 33, 24, 33]
_CMU_RATE = 120.0

# The toe markers sit so far inside that every subject walks with toes turned in by 5 to 10 degrees from the shin;
# people turn them out by about 5.
_CMU_TOE_OUT = np.radians(15)
# In the same way the markers on the backs of the hands leave every wrist bent back by some 20 degrees at rest;
# 10 is usual.
_CMU_HAND_DOWN = np.radians(8)


def read_expmap_clips(path: Path) -> Iterator[Motion]:
    """Clips of the CMU set stored as exponential maps (38 joints, rotation exp(-r) relative to the parent)."""
    with np.load(path) as archive:
        parents, offsets = archive["parents"].astype(int), archive["offsets"].astype(np.float64)
        rest = _accumulate(offsets, parents)
        frames = _cmu_frames({j: rest[e] - rest[s] for j, (s, e) in _EXPMAP_BONES.items()})
        for name in archive.files:
            if not name.startswith("clip."):
                continue
            vectors = archive[name][:, 3:].astype(np.float64).reshape(-1, 3)
            local = Rotation.from_rotvec(-vectors).as_matrix().reshape(-1, len(parents), 3, 3)
            bones = _compose(local, parents)
            yield Motion(name[5:], _CMU_RATE, bones[:, _EXPMAP_JOINTS], frames, rest, bones, parents)


_EXPMAP_BONES = {
    1: (2, 3),
    2: (8, 9),
    4: (3, 4),
    5: (9, 10),
    7: (4, 5),
    8: (10, 11),
    16: (21, 22),
    17: (30, 31),
    18: (22, 23),
    19: (31, 32),
    20: (24, 25),
    21: (33, 34),
}


def _cmu_frames(bones: dict[int, np.ndarray]) -> np.ndarray:
    """Rest frames of the CMU skeletons; their elbow hinge leans 30 degrees forward of the vertical."""
    frames = np.tile(np.eye(3), (JOINT_COUNT, 1, 1))
    elbow = np.array([0.0, -np.cos(np.pi / 6), np.sin(np.pi / 6)])
    for joint, bone in bones.items():
        left = joint in (1, 4, 7, 16, 18, 20)
        if joint in (1, 2, 4, 5):
            lean = np.radians(20 if left else -20)
            frames[joint] = frame_from_axes(bone, np.array([np.cos(lean), np.sin(lean), 0]))
        elif joint in (7, 8):
            # These ankles bend and turn but never roll: the sole stays square to the shin, 20 degrees off the floor.
            lean = np.radians(20 if left else -20)
            toe_out = _CMU_TOE_OUT if left else -_CMU_TOE_OUT
            heading = Rotation.from_rotvec([0, toe_out, 0]).apply(bone)
            frames[joint] = frame_from_axes(np.array([-np.sin(lean), np.cos(lean), 0]), heading)
        elif joint in (16, 17, 18, 19):
            frames[joint] = frame_from_axes(bone, elbow if left else -elbow)
        else:
            down = -_CMU_HAND_DOWN if left else _CMU_HAND_DOWN
            frames[joint] = frame_from_axes(Rotation.from_rotvec([0, 0, down]).apply(bone), np.array([0.0, 0, 1]))
    return frames


# CMU, Acclaim ASF/AMC

_ACCLAIM_BONES = (
    "root lfemur rfemur lowerback ltibia rtibia upperback lfoot rfoot thorax ltoes rtoes upperneck lclavicle rclavicle "
    "head lhumerus rhumerus lradius rradius lhand rhand lhand rhand"
).split()


@dataclass(frozen=True)
class AcclaimBone:
    """A bone of an ASF file: unit direction times length, axes in which its angles are given, and which angles."""

    vector: np.ndarray
    axes: np.ndarray
    freedoms: str
    parent: str


def read_asf(path: Path) -> dict[str, AcclaimBone]:
    """Skeleton of an Acclaim ASF file (xz), root included, parents before children.

    Format: http://research.cs.wisc.edu/graphics/Courses/cs-838-1999/Jeff/ASF-AMC.html
    """
    with lzma.open(path, "rt") as file:
        lines = file.read().split("\n")
    section, fields, found = "", {}, {"root": AcclaimBone(np.zeros(3), np.eye(3), "xyz", "")}
    parents: dict[str, str] = {}
    for words in (line.split() for line in lines):
        if not words:
            continue
        if words[0].startswith(":"):
            section = words[0]
        elif section == ":bonedata":
            if words[0] == "begin":
                fields = {}
            elif words[0] == "end":
                vector = np.array(fields["direction"][:3], float) * float(fields["length"][0])
                axes = Rotation.from_euler("xyz", np.array(fields["axis"][:3], float), degrees=True).as_matrix()
                freedoms = "".join(word[1] for word in fields.get("dof", []))
                found[fields["name"][0]] = AcclaimBone(vector, axes, freedoms, "")
            else:
                fields[words[0]] = words[1:]
        elif section == ":hierarchy" and words[0] not in ("begin", "end"):
            parents.update((child, words[0]) for child in words[1:])
    ordered = {"root": found["root"]}
    for child, parent in parents.items():
        bone = found[child]
        ordered[child] = AcclaimBone(bone.vector, bone.axes, bone.freedoms, parent)
    return ordered


def read_amc(path: Path, skeleton: dict[str, AcclaimBone]) -> Motion:
    """Motion of an Acclaim AMC file (xz), angles in degrees."""
    values: dict[str, list[list[float]]] = {name: [] for name in skeleton}
    with lzma.open(path, "rt") as file:
        for words in (line.split() for line in file):
            if len(words) > 1 and words[0] in values:
                values[words[0]].append([float(word) for word in words[1:]])
    count = len(values["root"])
    names = list(skeleton)
    parents = np.array([names.index(bone.parent) if bone.parent else -1 for bone in skeleton.values()])
    bones = np.empty((count, len(names), 3, 3))
    ends = np.zeros((len(names), 3))
    for index, (name, bone) in enumerate(skeleton.items()):
        angles = np.zeros((count, 3))
        if bone.freedoms:
            given = np.array(values[name])
            angles[:, ["xyz".index(axis) for axis in bone.freedoms]] = given[:, -len(bone.freedoms) :]
        turned = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
        local = bone.axes @ turned @ bone.axes.T
        bones[:, index] = bones[:, parents[index]] @ local if index else local
        ends[index] = bone.vector + (ends[parents[index]] if index else 0)
    frames = _cmu_frames({j: skeleton[_ACCLAIM_BONES[j]].vector for j in LIMB_BONES})
    picked = [names.index(name) for name in _ACCLAIM_BONES]
    return Motion(path.stem, _CMU_RATE, bones[:, picked], frames, *_ends_as_joints(ends, bones, parents))


def _ends_as_joints(ends: np.ndarray, bones: np.ndarray, parents: np.ndarray):
    """Acclaim turns a bone about its start; `Motion` wants rotations at the joint a bone starts from.

    Adds one joint per bone start, so that start -> end is driven by the bone's own rotation.
    """
    count = len(parents)
    starts = np.where(parents[:, None] >= 0, ends[parents], 0.0)
    rest = np.stack([starts, ends], axis=1).reshape(-1, 3)
    rotations = np.repeat(bones, 2, axis=1)
    linked = np.empty(2 * count, int)
    linked[0::2] = np.where(parents >= 0, 2 * parents + 1, -1)
    linked[1::2] = 2 * np.arange(count)
    return rest, rotations, linked


# MakeHuman, BVH

_BVH_BONES = (
    "root upperleg02.L upperleg02.R spine04 lowerleg01.L lowerleg01.R spine03 foot.L foot.R spine01 foot.L foot.R "
    "neck02 shoulder01.L shoulder01.R head upperarm02.L upperarm02.R lowerarm01.L lowerarm01.R wrist.L wrist.R "
    "wrist.L wrist.R"
).split()


class _Bvh(NamedTuple):
    """A BVH file of J joints, ends of chains included, C channels and F frames."""

    names: list[str]
    offsets: np.ndarray
    """[J,3] from the parent."""
    parents: np.ndarray
    """[J], -1 for the root."""
    channels: list[tuple[int, str]]
    """[C] the joint, and the channel's name."""
    values: np.ndarray
    """[F,C]."""


def _parse_bvh(words: list[str]) -> _Bvh:
    names: list[str] = []
    offsets: list[list[float]] = []
    parents: list[int] = []
    channels: list[tuple[int, str]] = []
    stack: list[int] = []
    at = words.index("ROOT")
    while words[at] != "MOTION":
        word = words[at]
        if word in ("ROOT", "JOINT", "End"):
            names.append(words[at + 1])
            parents.append(stack[-1] if stack else -1)
        elif word == "{":
            stack.append(len(names) - 1)
        elif word == "}":
            stack.pop()
        elif word == "OFFSET":
            offsets.append([float(value) for value in words[at + 1 : at + 4]])
        elif word == "CHANNELS":
            channels += [(len(names) - 1, kind) for kind in words[at + 2 : at + 2 + int(words[at + 1])]]
        at += 1
    start = words.index("Time:") + 2
    values = np.array(words[start:], float).reshape(-1, len(channels))
    return _Bvh(names, np.array(offsets), np.array(parents), channels, values)


def read_bvh(path: Path) -> Motion:
    """Pose file of MakeHuman's default rig: Z up, facing -Y, metres/10, rest = arms 45 degrees down."""
    bvh = _parse_bvh(path.read_text().split())
    local = np.tile(np.eye(3), (len(bvh.values), len(bvh.names), 1, 1))
    for column, (bone, kind) in enumerate(bvh.channels):
        if kind.endswith("rotation"):
            turns = Rotation.from_euler(kind[0], bvh.values[:, column, None], degrees=True).as_matrix()
            local[:, bone] = local[:, bone] @ turns
    upright = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    rest = _accumulate(bvh.offsets, bvh.parents) @ upright.T
    bones = upright @ _compose(local, bvh.parents) @ upright.T
    frames = _makehuman_frames(dict(zip(reversed(bvh.names), reversed(rest), strict=True)))
    picked = [bvh.names.index(name) for name in _BVH_BONES]
    return Motion(path.stem, 24.0, bones[:, picked], frames, rest, bones, bvh.parents)


def _makehuman_frames(joint: dict[str, np.ndarray]) -> np.ndarray:
    """Axes [24,3,3] of the limbs of MakeHuman's rig at rest, from its joints' places by name."""
    frames = np.tile(np.eye(3), (JOINT_COUNT, 1, 1))
    for side, leg, knee, foot, arm, elbow, hand in (
        ("L", 1, 4, 7, 16, 18, 20),
        ("R", 2, 5, 8, 17, 19, 21),
    ):
        hip_at, knee_at, ankle_at = (joint[f"{name}.{side}"] for name in ("upperleg01", "lowerleg01", "foot"))
        shoulder_at, elbow_at, wrist_at = (joint[f"{name}.{side}"] for name in ("upperarm01", "lowerarm01", "wrist"))
        frames[leg] = frame_from_axes(knee_at - hip_at, np.array([1.0, 0, 0]))
        frames[knee] = frame_from_axes(ankle_at - knee_at, np.array([1.0, 0, 0]))
        frames[foot] = frame_from_axes(np.array([0.0, 1, 0]), joint[f"toe3-1.{side}"] - ankle_at)
        hinge = np.cross(elbow_at - shoulder_at, wrist_at - elbow_at)
        frames[arm] = frame_from_axes(elbow_at - shoulder_at, hinge)
        frames[elbow] = frame_from_axes(wrist_at - elbow_at, hinge)
        thumb = joint[f"finger2-1.{side}"] - joint[f"finger5-1.{side}"]
        frames[hand] = frame_from_axes(joint[f"finger3-1.{side}"] - wrist_at, thumb)
    return frames


# Clips of several sources, on SMPL's joints


def read_smpl_clips(path: Path) -> Iterator[Motion]:
    """Clips stored as world rotations of SMPL's segments since the rest pose of the source's skeleton.

    Arrays of the file: clip, skeleton, fps [N]; parents [25]; rotations.CLIP [T,24,4] quaternions (x, y, z, w);
    rest.SKELETON [25,3] metres, T-pose, Y up, facing +Z.
    """
    with np.load(path) as archive:
        parents = archive["parents"][:JOINT_COUNT].astype(int)
        for name, skeleton, rate in zip(archive["clip"], archive["skeleton"], archive["fps"], strict=True):
            quaternions = archive[f"rotations.{name}"].astype(np.float64)
            bones = Rotation.from_quat(quaternions.reshape(-1, 4)).as_matrix().reshape(-1, JOINT_COUNT, 3, 3)
            rest = archive[f"rest.{skeleton}"][:JOINT_COUNT].astype(np.float64)
            yield Motion(str(name), float(rate), bones, anatomical_frames(rest), rest, bones, parents)


def read_sources(folder: Path) -> Iterator[Motion]:
    """Every clip under an assets folder, at any depth.

    Files: `cmu_expmap.npz`, Acclaim `*.amc.xz`, `*.bvh`, `more_clips.npz`; the last ones, so that the clips before them
    keep their numbers and with them their part in training or testing.
    """
    for path in sorted(folder.rglob("cmu_expmap.npz")):
        yield from read_expmap_clips(path)
    for path in sorted(folder.rglob("*.asf.xz")):
        skeleton = read_asf(path)
        subject = path.name.split(".")[0]
        for motion in sorted(path.parent.glob(f"{subject}_*.amc.xz")):
            yield read_amc(motion, skeleton)
    for path in sorted(folder.rglob("*.bvh")):
        yield read_bvh(path)
    for path in sorted(folder.rglob("more_clips.npz")):
        yield from read_smpl_clips(path)


def _accumulate(offsets: np.ndarray, parents: np.ndarray) -> np.ndarray:
    positions = offsets.copy()
    for joint, parent in enumerate(parents):
        if parent >= 0:
            positions[joint] += positions[parent]
    return positions


def _compose(local: np.ndarray, parents: np.ndarray) -> np.ndarray:
    result = local.copy()
    for joint, parent in enumerate(parents):
        if parent >= 0:
            result[:, joint] = result[:, parent] @ local[:, joint]
    return result
