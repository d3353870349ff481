# SPDX-License-Identifier: GPL-3.0-or-later
"""Markers and landmarks: which vertices of the bundled body stand for them.

Points are described on the left half of the T-posed template and mirrored to the right.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from refit_engine.body.joints import SMPL_JOINT_NAMES
from refit_engine.body.points import LANDMARK_NAMES, MARKER_NAMES
from scipy.spatial import cKDTree

Vector = tuple[float, float, float]

_UP, _DOWN = (0.0, 1.0, 0.0), (0.0, -1.0, 0.0)
_FRONT, _BACK = (0.0, 0.0, 1.0), (0.0, 0.0, -1.0)
_OUT, _IN = (1.0, 0.0, 0.0), (-1.0, 0.0, 0.0)


@dataclass(frozen=True)
class Place:
    """A point of the skin: leave the line between two joints in a direction until it is met.

    Attributes:
        start, end, fraction: the origin, ``start`` at 0 and ``end`` at 1.
        direction: from the origin to the skin.
        offset: metres added to the origin.
        carriers: only vertices that mostly follow these joints; empty for any.
    """

    start: str
    end: str
    fraction: float
    direction: Vector
    offset: Vector = (0.0, 0.0, 0.0)
    carriers: tuple[str, ...] = ()


_TRUNK = ("pelvis", "spine1", "spine2", "spine3", "left_collar", "left_hip")
_ARM = ("left_shoulder", "left_elbow", "left_wrist")
_LEG = ("left_hip", "left_knee", "left_ankle")

_MIDLINE_MARKERS: dict[str, Place] = {
    "head_top": Place("head", "head", 0.0, _UP, (0.0, 0.0, -0.025)),
    "clavicle": Place("spine3", "neck", 0.71, _FRONT, carriers=("spine3", "neck")),
    "sternum": Place("spine3", "neck", -0.02, _FRONT, carriers=("spine3", "spine2")),
    "c7": Place("spine3", "neck", 0.91, _BACK),
    "t10": Place("spine2", "spine3", 0.3, _BACK),
}
_SIDE_MARKERS: dict[str, Place] = {
    "front_head": Place("head", "head", 0.0, (0.45, 0.12, 0.88), (0.005, 0.112, -0.02)),
    "back_head": Place("head", "head", 0.0, (0.5, 0.1, -0.86), (0.0, 0.115, -0.025)),
    "acromion": Place("left_collar", "left_shoulder", 1.05, _UP),
    "chest": Place("left_collar", "left_shoulder", 0.6, _FRONT, (0.0, -0.06, 0.0)),
    "scapula": Place("left_collar", "left_shoulder", 0.2, _BACK, (0.0, -0.1, 0.0)),
    "ribs": Place("spine2", "spine3", -0.17, (0.9, 0.0, 0.3), carriers=_TRUNK),
    "biceps": Place("left_shoulder", "left_elbow", 0.5, _FRONT, carriers=_ARM),
    "triceps": Place("left_shoulder", "left_elbow", 0.6, (0.0, 0.4, -0.9), carriers=_ARM),
    "outer_elbow": Place("left_shoulder", "left_elbow", 1.0, (0.0, 0.7, -0.7), carriers=_ARM),
    "inner_elbow": Place("left_shoulder", "left_elbow", 0.96, (0.0, -0.9, 0.3), carriers=_ARM),
    "forearm": Place("left_elbow", "left_wrist", 0.45, (0.0, 1.0, 0.2), carriers=_ARM),
    "thumb_wrist": Place("left_elbow", "left_wrist", 0.97, _FRONT, carriers=_ARM),
    "little_wrist": Place("left_elbow", "left_wrist", 0.97, _BACK, carriers=_ARM),
    "front_waist": Place("pelvis", "left_hip", 0.0, (0.62, 0.0, 0.78), (0.023, 0.013, 0.0), _TRUNK),
    "back_waist": Place("pelvis", "left_hip", 0.64, _BACK, (0.0, 0.07, 0.0), _TRUNK),
    "trochanter": Place("left_hip", "left_knee", 0.0, _OUT, carriers=_TRUNK),
    "front_thigh": Place("left_hip", "left_knee", 0.44, (0.2, 0.0, 1.0), (0.01, 0.0, 0.0)),
    "outer_thigh": Place("left_hip", "left_knee", 0.605, (0.9, 0.0, -0.45)),
    "outer_knee": Place("left_hip", "left_knee", 1.0, _OUT, carriers=_LEG),
    "inner_knee": Place("left_hip", "left_knee", 1.0, _IN, carriers=_LEG),
    "shin": Place("left_knee", "left_ankle", 0.33, _FRONT),
    "calf": Place("left_knee", "left_ankle", 0.225, (0.3, 0.0, -0.95)),
    "outer_ankle": Place("left_knee", "left_ankle", 1.0, _OUT, carriers=_LEG),
    "inner_ankle": Place("left_knee", "left_ankle", 1.0, _IN, carriers=_LEG),
    "heel": Place("left_ankle", "left_ankle", 0.0, _BACK, (0.0, -0.04, 0.0), ("left_ankle",)),
    "big_toe": Place("left_big_toe", "left_big_toe_tip", 0.23, _UP, (-0.006, 0.0, 0.0), ("left_foot",)),
    "little_toe": Place("left_little_toe", "left_little_toe_tip", 0.0, (0.8, 0.6, 0.0)),
    "index_knuckle": Place("left_index_knuckle", "left_index_knuckle", 0.0, _UP),
    "little_knuckle": Place("left_little_knuckle", "left_little_knuckle", 0.0, _UP),
    "thumb_tip": Place("left_thumb_tip", "left_thumb_tip", 0.0, _FRONT),
    "middle_fingertip": Place("left_middle_fingertip", "left_middle_fingertip", 0.0, _OUT),
}
# Landmarks inside a limb: four vertices of a ring whose mean is the point itself.
# Centre, the ring's normal, largest radius in metres, joints that carry the ring.
_RINGS: dict[str, tuple[str, Vector, float, tuple[str, ...]]] = {
    "shoulder": ("left_shoulder", _OUT, 0.15, ("left_shoulder", "left_collar", "spine3")),
    "elbow": ("left_elbow", _OUT, 0.08, _ARM),
    "wrist": ("left_wrist", _OUT, 0.06, _ARM),
    "pinky": ("left_little_knuckle", _OUT, 0.025, ("left_wrist", "left_hand")),
    "index": ("left_index_knuckle", _OUT, 0.025, ("left_wrist", "left_hand")),
    "thumb": ("left_thumb_knuckle", (0.6, 0.0, 0.8), 0.025, ("left_wrist",)),
    "hip": ("left_hip", _UP, 0.25, ("pelvis", "left_hip")),
    "knee": ("left_knee", _UP, 0.12, ("left_hip", "left_knee")),
    "ankle": ("left_ankle", _UP, 0.08, ("left_knee", "left_ankle")),
}
# Landmarks on the surface: the four vertices nearest to where a Place meets the skin.
_SPOTS: dict[str, Place] = {
    "nose": Place("left_eye", "right_eye", 0.5, _FRONT, (0.0, -0.041, 0.0)),
    "left_eye_inner": Place("left_eye", "left_eye", 0.0, _FRONT, (-0.0135, -0.002, 0.0)),
    "left_eye_outer": Place("left_eye", "left_eye", 0.0, _FRONT, (0.0155, -0.002, 0.0)),
    "left_ear": Place("left_eye", "left_eye", 0.0, _OUT, (0.02, -0.02, -0.066)),
    "mouth_left": Place("left_eye", "left_eye", 0.0, _FRONT, (-0.006, -0.075, 0.0)),
    "left_heel": Place("left_ankle", "left_ankle", 0.0, _BACK, (0.0, -0.045, 0.0)),
    "left_foot_index": Place("left_big_toe_tip", "left_big_toe_tip", 0.0, _FRONT),
}
# A ray meets the vertex that is far along it and close to it.
_SIDEWAYS_COST = 6.0
_RING_CANDIDATES = 20
_EYEBALL_RADIUS = 0.02


@dataclass(frozen=True)
class Template:
    """What the choice of points needs of the body.

    Attributes:
        vertices: ``[V, 3]``, T-pose.
        weights: ``[V, 24]``.
        skin: ``[V]`` bool, true on the outer skin (not eyes, tongue and teeth).
        anchors: the joints by name, and further ``left_`` points named in the tables.
        mirror: ``[V]``, the vertex on the other side.
    """

    vertices: np.ndarray
    weights: np.ndarray
    skin: np.ndarray
    anchors: dict[str, np.ndarray]
    mirror: np.ndarray

    def carried_by(self, joints: tuple[str, ...]) -> np.ndarray:
        """Skin vertices ``[V]`` bool that mostly follow one of the joints; all skin if none."""
        if not joints:
            return self.skin
        main = self.weights.argmax(axis=1)
        return self.skin & np.isin(main, [SMPL_JOINT_NAMES.index(joint) for joint in joints])


def mirror_map(vertices: np.ndarray) -> np.ndarray:
    """For each vertex of a symmetric mesh the one on the other side, ``[V]``.

    Raises:
        ValueError: the mesh is not symmetric about X = 0.
    """
    mirror = np.asarray(cKDTree(vertices).query(vertices * np.array([-1.0, 1.0, 1.0]))[1])
    if not np.array_equal(mirror[mirror], np.arange(len(vertices))):
        raise ValueError("the mesh has no left-right symmetry")
    return mirror


def _meet(place: Place, template: Template) -> int:
    start, end = template.anchors[place.start], template.anchors[place.end]
    origin = start + place.fraction * (end - start) + np.array(place.offset)
    ray = np.array(place.direction) / np.linalg.norm(place.direction)
    offsets = template.vertices - origin
    along = offsets @ ray
    aside = np.linalg.norm(offsets - along[:, None] * ray, axis=1)
    score = np.where(template.carried_by(place.carriers), along - _SIDEWAYS_COST * aside, -np.inf)
    return int(score.argmax())


def _ring(center: str, normal: Vector, radius: float, carriers: tuple[str, ...], template: Template) -> np.ndarray:
    """Four vertices around a point, the ones whose mean is nearest to it."""
    offsets = template.vertices - template.anchors[center]
    axis = np.array(normal) / np.linalg.norm(normal)
    across = offsets - (offsets @ axis)[:, None] * axis
    near = template.carried_by(carriers) & (np.linalg.norm(offsets, axis=1) < radius)
    thickness = np.sort(np.abs(offsets @ axis)[near])[min(4 * _RING_CANDIDATES, near.sum()) - 1]
    band = np.flatnonzero(near & (np.abs(offsets @ axis) <= thickness))
    side = np.cross(axis, _FRONT if abs(axis[2]) < 0.5 else _UP)
    angles = np.arctan2(across[band] @ side, across[band] @ np.cross(axis, side))
    around = band[np.argsort(angles)]
    around = around[np.linspace(0, len(around) - 1, _RING_CANDIDATES).astype(int)]
    fours = np.array(list(combinations(np.unique(around), 4)))
    distance = np.linalg.norm(offsets[fours].mean(axis=1), axis=1)
    # Opposite vertices keep the mean inside the limb when the joint bends.
    spread = np.linalg.norm(across[fours], axis=2).mean(axis=1)
    return fours[(distance - 0.05 * spread).argmin()]


def _nearest_four(place: Place, template: Template) -> np.ndarray:
    spot = template.vertices[_meet(place, template)]
    distance = np.linalg.norm(template.vertices - spot, axis=1)
    distance[~template.skin] = np.inf
    return np.argsort(distance, kind="stable")[:4]


def _pupil(template: Template) -> np.ndarray:
    """The foremost four vertices of the left eyeball."""
    offsets = template.vertices - template.anchors["left_eye"]
    eyeball = ~template.skin & (np.linalg.norm(offsets, axis=1) < _EYEBALL_RADIUS)
    return np.argsort(np.where(eyeball, -offsets[:, 2], np.inf), kind="stable")[:4]


def choose_markers(template: Template) -> np.ndarray:
    """Vertex ids ``[67]`` in the order of ``MARKER_NAMES``."""
    ids = {name: _meet(place, template) for name, place in _MIDLINE_MARKERS.items()}
    for part, place in _SIDE_MARKERS.items():
        ids[f"left_{part}"] = _meet(place, template)
        ids[f"right_{part}"] = int(template.mirror[ids[f"left_{part}"]])
    return np.array([ids[name] for name in MARKER_NAMES])


def choose_landmarks(template: Template) -> np.ndarray:
    """Vertex ids ``[33, 4]`` in the order of ``LANDMARK_NAMES``; a landmark is their mean."""
    ids = {f"left_{part}": _ring(*ring, template) for part, ring in _RINGS.items()}
    ids |= {name: _nearest_four(place, template) for name, place in _SPOTS.items()}
    ids["left_eye"] = _pupil(template)
    ids["nose"] = np.concatenate([ids["nose"][:2], template.mirror[ids["nose"][:2]]])
    for name in LANDMARK_NAMES:
        if name not in ids:
            left = name.replace("right", "left")
            ids[name] = template.mirror[ids[left]]
    return np.stack([ids[name] for name in LANDMARK_NAMES])
