# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's files: a result and the body it was made with. Arrays only, nothing is ever unpickled."""

from __future__ import annotations

import functools
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .confidence import JointConfidence, read_confidence
from .errors import ResultFileError

RESULT_FORMAT, RESULT_VERSION = "refit-result", 2
BETAS = 10

JOINT_NAMES = (
    "pelvis left_hip right_hip spine1 left_knee right_knee spine2 left_ankle right_ankle spine3 left_foot right_foot "
    "neck left_collar right_collar head left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist "
    "left_hand right_hand"
).split()


@dataclass(frozen=True)
class Person:
    """One body in an image: `LBS(betas, rotmats) + transl` in the OpenCV camera frame, metres.

    betas [10]; rotmats [24,3,3], the first in the camera frame; transl [3]; vertices_cam [V,3]; box_xywh [4] pixels.
    """

    betas: np.ndarray
    rotmats: np.ndarray
    transl: np.ndarray
    vertices_cam: np.ndarray
    box_xywh: np.ndarray
    score: float
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
class Body:
    """A body file. Rest frame: Y up, facing +Z, +X is the body's left, metres.

    v_template [V,3]; shapedirs [V,3,10]; posedirs [V,3,207] or None; weights [V,24]; joint_template [24,3] and
    joint_shapedirs [24,3,10]; parents: 24, -1 for the root; faces [F,3]; uv [U,2] and uv_faces [F,3], or None.
    """

    name: str
    v_template: np.ndarray
    shapedirs: np.ndarray
    posedirs: np.ndarray | None
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


def read_result(path: Path) -> ImageResult:
    """Read result.npz. Raises ResultFileError."""
    data = read_arrays(path)
    try:
        if str(data["format"]) != RESULT_FORMAT or int(data["version"]) != RESULT_VERSION:
            raise ResultFileError(f"{path.name} is not a ReFit result of version {RESULT_VERSION}.")
        people = tuple(
            Person(
                betas=data["betas"][index].astype(np.float64),
                rotmats=data["rotmats"][index].astype(np.float64),
                transl=data["transl"][index].astype(np.float64),
                vertices_cam=data["vertices_cam"][index],
                box_xywh=data["boxes_xywh"][index].astype(np.float64),
                score=float(data["scores"][index]),
                confidence=read_confidence(data, index),
            )
            for index in range(len(data["betas"]))
        )
        width, height = (int(side) for side in data["image_size"])
        return ImageResult(
            image=Path(str(data["image"])),
            size=(width, height),
            K=data["K"].astype(np.float64),
            focal_source=str(data["focal_source"]),
            people=people,
            up_cam=data["up_cam"].astype(np.float64),
            up_source=str(data["up_source"]),
            up_std_deg=float(data["up_std_deg"]),
            up_sure=bool(data["up_sure"]),
            camera_height=float(data["camera_height"]),
            on_floor=data["on_floor"].astype(bool),
            body_file=Path(str(data["body_file"])),
            body_kind=str(data["body_kind"]),
            weights_name=str(data["weights_name"]),
            engine_version=str(data["engine_version"]),
            iterations=int(data["iterations"]),
        )
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise ResultFileError(f"{path.name} is damaged: {error}.") from error


def read_body(path: Path) -> Body:
    """Read a body file, once for each state of the file. Raises ResultFileError."""
    try:
        changed = path.stat().st_mtime_ns
    except OSError as error:
        raise ResultFileError(f"The body file {path} cannot be opened: {error.strerror}.") from error
    return _read_body(path, changed)


@functools.lru_cache(maxsize=2)
def _read_body(path: Path, changed: int) -> Body:
    data = read_arrays(path)
    try:
        v_template = data["v_template"].astype(np.float32)
        shapedirs = data["shapedirs"].astype(np.float32)[:, :, :BETAS]
        if "joint_template" in data:
            joint_template = data["joint_template"].astype(np.float64)
            joint_shapedirs = data["joint_shapedirs"].astype(np.float64)
        else:
            regressor = data["J_regressor"].astype(np.float64)
            joint_template = regressor @ v_template
            joint_shapedirs = np.einsum("jv,vcs->jcs", regressor, shapedirs)
        body = Body(
            name=str(data["name"]) if "name" in data else path.stem,
            v_template=v_template,
            shapedirs=shapedirs,
            posedirs=data["posedirs"].astype(np.float32) if "posedirs" in data else None,
            weights=data["weights"].astype(np.float32),
            joint_template=joint_template,
            joint_shapedirs=joint_shapedirs,
            parents=tuple(-1 if index == 0 else int(parent) for index, parent in enumerate(data["parents"])),
            faces=data["faces"].astype(np.int32),
            uv=data["uv"].astype(np.float32) if "uv" in data else None,
            uv_faces=data["uv_faces"].astype(np.int32) if "uv_faces" in data else None,
        )
    except (KeyError, ValueError, TypeError) as error:
        raise ResultFileError(f"The body file {path.name} is damaged: {error}.") from error
    joints, vertices = len(JOINT_NAMES), len(v_template)
    if body.weights.shape != (vertices, joints) or len(body.parents) != joints or shapedirs.shape[:2] != (vertices, 3):
        raise ResultFileError(f"The body file {path.name} does not have SMPL's 24 joints.")
    return body


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an npz file. Raises ResultFileError."""
    try:
        with np.load(path, allow_pickle=False) as data:
            return {name: data[name] for name in data.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ResultFileError(f"{path.name} cannot be read: {error}.") from error
