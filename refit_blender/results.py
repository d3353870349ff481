# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's files: a result and the body it was made with. Arrays only, nothing is ever unpickled."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .checked_arrays import CheckedArrays
from .confidence import JointConfidence, read_confidence
from .contract import BETAS, IMAGE_RESULT, MAX_BETA
from .errors import ResultFileError

MAX_COUNT, MAX_SIDE = 2**31, 65536
_RESULT_ARRAYS = frozenset(
    "format version image image_size K focal_source boxes_xywh scores betas rotmats transl vertices_cam joint_std_mm "
    "joint_std_deg guessed confidence up_cam up_source up_std_deg up_sure camera_height on_floor body_file body_kind "
    "weights_name engine_version iterations".split()
)
_BODY_ARRAYS = frozenset(
    "name v_template shapedirs posedirs weights J_regressor joint_template joint_shapedirs parents faces uv "
    "uv_faces corrective_joints corrective_mix corrective_entries corrective_offsets".split()
)

JOINT_NAMES = (
    "pelvis left_hip right_hip spine1 left_knee right_knee spine2 left_ankle right_ankle spine3 left_foot right_foot "
    "neck left_collar right_collar head left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist "
    "left_hand right_hand"
).split()


@dataclass(frozen=True)
class Person:
    """One body in an image: `LBS(betas, rotmats) + transl` in the OpenCV camera frame, metres.

    betas [10]; rotmats [24,3,3], the first in the camera frame; transl [3]; vertices_cam [V,3]; box_xywh [4] pixels.
    guessed: [24] bool, joints that the picture does not show.
    """

    betas: np.ndarray
    rotmats: np.ndarray
    transl: np.ndarray
    vertices_cam: np.ndarray
    box_xywh: np.ndarray
    score: float
    guessed: np.ndarray
    confidence: JointConfidence | None = None


@dataclass(frozen=True)
class ImageResult:
    """The people of one image. K [3,3], pixels from the corner of the first pixel; size: (width, height).

    up_cam [3]: the world's up in the camera frame; up_source: "camera", "sensor", "lines", "bodies",
    "lines and bodies" or "level"; up_std_deg: how far it may be off; up_sure: no mere guess. camera_height: metres from
    the floor to the camera. on_floor [N]: who touches the floor.
    """

    image: Path
    size: tuple[int, int]
    K: np.ndarray
    focal_source: str
    people: tuple[Person, ...]
    up_cam: np.ndarray
    up_source: str
    up_std_deg: float
    up_sure: bool
    camera_height: float
    on_floor: np.ndarray
    body_file: Path
    body_kind: str
    weights_name: str
    engine_version: str
    iterations: int


@dataclass(frozen=True)
class Correctives:
    """K pose correctives. offsets [V,3,K] are added, each as often as its mix [K,9] of the entries of `R - 1` of its
    joint says; joints [K].
    """

    joints: np.ndarray
    mix: np.ndarray
    offsets: np.ndarray


@dataclass(frozen=True)
class Body:
    """A body file. Rest frame: Y up, facing +Z, +X is the body's left, metres.

    v_template [V,3]; shapedirs [V,3,10]; correctives, or None; weights [V,24]; joint_template [24,3] and
    joint_shapedirs [24,3,10]; parents: 24, -1 for the root; faces [F,3]; uv [U,2] and uv_faces [F,3], or None.
    """

    name: str
    v_template: np.ndarray
    shapedirs: np.ndarray
    correctives: Correctives | None
    weights: np.ndarray
    joint_template: np.ndarray
    joint_shapedirs: np.ndarray
    parents: tuple[int, ...]
    faces: np.ndarray
    uv: np.ndarray | None
    uv_faces: np.ndarray | None

    def joints(self, betas: np.ndarray) -> np.ndarray:
        """Rest joints [24,3] of a shape [10]."""
        return self.joint_template + self.joint_shapedirs @ betas

    def vertices(self, betas: np.ndarray) -> np.ndarray:
        """Rest vertices [V,3] of a shape [10]."""
        return self.v_template + self.shapedirs @ np.asarray(betas)[: self.shapedirs.shape[2]]


def read_result(path: Path) -> ImageResult:
    """Read result.npz. Raises ResultFileError, also where a value is no number or out of any sensible range."""
    data = CheckedArrays(path, _RESULT_ARRAYS)
    if (data.text("format"), data.integer("version", 0, MAX_COUNT)) != (IMAGE_RESULT.name, IMAGE_RESULT.version):
        raise ResultFileError(f"{path.name} is not a ReFit result of version {IMAGE_RESULT.version}.")
    betas = data.numbers("betas", None, BETAS, limit=MAX_BETA)
    people = len(betas)
    if not people:
        raise ResultFileError(f"{path.name} is damaged: nobody is in it.")
    up_cam = data.numbers("up_cam", 3)
    if abs(np.linalg.norm(up_cam) - 1) > 0.01:
        raise data.damaged("up_cam", "is no unit vector")
    width, height = data.integers("image_size", 2, low=1, high=MAX_SIDE)
    return ImageResult(
        image=Path(data.text("image")),
        size=(int(width), int(height)),
        K=data.cameras("K"),
        focal_source=data.text("focal_source"),
        people=_people(data, betas),
        up_cam=up_cam,
        up_source=data.text("up_source"),
        up_std_deg=data.number("up_std_deg"),
        up_sure=data.flag("up_sure"),
        camera_height=data.number("camera_height"),
        on_floor=data.flags("on_floor", people),
        body_file=Path(data.text("body_file")),
        body_kind=data.text("body_kind"),
        weights_name=data.text("weights_name"),
        engine_version=data.text("engine_version"),
        iterations=data.integer("iterations", 0, MAX_COUNT),
    )


def _people(data: CheckedArrays, betas: np.ndarray) -> tuple[Person, ...]:
    count = len(betas)
    rotmats, transl = data.rotations("rotmats", count, len(JOINT_NAMES)), data.numbers("transl", count, 3)
    vertices, boxes = data.numbers("vertices_cam", count, None, 3), data.numbers("boxes_xywh", count, 4)
    scores, deviations = data.numbers("scores", count, limit=None), deviations_of(data, count)
    guessed = data.flags("guessed", count, len(JOINT_NAMES))
    if np.isinf(scores).any():  # a given box has none, which is NaN
        raise data.damaged("scores", "holds values that are no sensible numbers")
    if not vertices.size:
        raise data.damaged("vertices_cam", "is empty")
    return tuple(
        Person(
            betas=betas[index],
            rotmats=rotmats[index],
            transl=transl[index],
            vertices_cam=vertices[index],
            box_xywh=boxes[index],
            score=float(scores[index]),
            guessed=guessed[index],
            confidence=read_confidence(deviations, index),
        )
        for index in range(count)
    )


def deviations_of(data: CheckedArrays, people: int) -> dict[str, np.ndarray]:
    """What `read_confidence` reads, of a result's arrays."""
    if "joint_std_mm" not in data or "joint_std_deg" not in data:
        return {}
    names, shape = ("joint_std_mm", "joint_std_deg"), (people, len(JOINT_NAMES))
    found = {name: data.numbers(name, *shape, limit=None) for name in names}
    for name, values in found.items():
        if (values < 0).any():
            raise data.damaged(name, "holds negative standard deviations")
    return {**found, "confidence": data.texts("confidence")} if "confidence" in data else found


def read_body(path: Path) -> Body:
    """Read a body file, once for each state of the file. Raises ResultFileError."""
    try:
        changed = path.stat().st_mtime_ns
    except OSError as error:
        raise ResultFileError(f"The body file {path} cannot be opened: {error.strerror}.") from error
    return _read_body(path, changed)


@functools.lru_cache(maxsize=2)
def _read_body(path: Path, changed: int) -> Body:
    data = CheckedArrays(path, _BODY_ARRAYS)
    v_template = data.numbers("v_template", None, 3)
    vertices, joints = len(v_template), len(JOINT_NAMES)
    if not vertices:
        raise data.damaged("v_template", "is empty")
    shapedirs = data.numbers("shapedirs", vertices, 3, None)[:, :, :BETAS]
    joint_template, joint_shapedirs = _rest_joints(data, v_template, shapedirs)
    faces = data.integers("faces", None, 3, low=0, high=vertices - 1)
    if (faces == np.roll(faces, 1, axis=1)).any():
        raise data.damaged("faces", "holds triangles with one corner twice")
    uv, uv_faces = None, None
    if "uv" in data and "uv_faces" in data:
        uv = data.numbers("uv", None, 2)
        uv_faces = data.integers("uv_faces", len(faces), 3, low=0, high=len(uv) - 1)
    return Body(
        name=data.text("name") if "name" in data else path.stem,
        v_template=v_template.astype(np.float32),
        shapedirs=shapedirs.astype(np.float32),
        correctives=_correctives(data, vertices),
        weights=data.numbers("weights", vertices, joints, limit=2.0).astype(np.float32),
        joint_template=joint_template,
        joint_shapedirs=joint_shapedirs,
        parents=_parents(data),
        faces=faces.astype(np.int32),
        uv=None if uv is None else uv.astype(np.float32),
        uv_faces=None if uv_faces is None else uv_faces.astype(np.int32),
    )


def smpl_correctives() -> tuple[np.ndarray, np.ndarray]:
    """Joint [207] and mix [207,9] of SMPL's pose correctives: one for each entry of each joint's rotation."""
    joints = len(JOINT_NAMES)
    return np.repeat(np.arange(1, joints), 9), np.tile(np.eye(9), (joints - 1, 1))


def _correctives(data: CheckedArrays, vertices: int) -> Correctives | None:
    """Those of SMPL's form, or those of the bundled body: shapes of single joints, of few vertices."""
    if "posedirs" in data:
        joints, mix = smpl_correctives()
        return Correctives(joints, mix, data.numbers("posedirs", vertices, 3, len(mix)).astype(np.float32))
    if "corrective_joints" not in data:
        return None
    joints = data.integers("corrective_joints", None, low=1, high=len(JOINT_NAMES) - 1)
    moved = data.numbers("corrective_offsets", None, 3)
    entries = data.integers("corrective_entries", len(moved), 2, low=0, high=max(vertices, len(joints)) - 1)
    if len(entries) and (entries.max(axis=0) >= (len(joints), vertices)).any():
        raise data.damaged("corrective_entries", "points to what the body does not have")
    offsets = np.zeros((vertices, 3, len(joints)), np.float32)
    offsets[entries[:, 1], :, entries[:, 0]] = moved
    return Correctives(joints, data.numbers("corrective_mix", len(joints), 9), offsets)


def check_body(vertices: np.ndarray, body: Body) -> None:
    """Raises ResultFileError where a result's vertices [V,3] are not those of the body."""
    if len(vertices) != len(body.v_template):
        raise ResultFileError(f"The engine's result is not about the body “{body.name}”.")


def _rest_joints(data: CheckedArrays, v_template: np.ndarray, shapedirs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Joints [24,3] of the mean body and their change per beta [24,3,B]."""
    joints = len(JOINT_NAMES)
    if "joint_template" in data and "joint_shapedirs" in data:
        return data.numbers("joint_template", joints, 3), data.numbers("joint_shapedirs", joints, 3, BETAS)
    regressor = data.numbers("J_regressor", joints, len(v_template), limit=2.0)
    return regressor @ v_template, np.einsum("jv,vcs->jcs", regressor, shapedirs)


def _parents(data: CheckedArrays) -> tuple[int, ...]:
    """Each joint's parent, which comes before it; -1 for the root, whatever the file has there."""
    found = data.integers("parents", len(JOINT_NAMES), low=-1, high=2**32)[1:].tolist()
    if not all(0 <= parent <= index for index, parent in enumerate(found)):
        raise data.damaged("parents", "is no tree of joints")
    return (-1, *found)
