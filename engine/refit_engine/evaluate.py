# SPDX-License-Identifier: GPL-3.0-or-later
"""Predictions for a dataset, one JSON object a line, in the form that evaluation scripts read.

A dataset is a JSON list of records with `id`, `image` (relative to the file), `width`, `height`, `bbox_xywh`, and
optionally `K` [3,3], `dist` (OpenCV k1, k2, p1, p2, k3), `R_world2cam` [3,3], `t_world2cam` [3] (metres), `group` and
`view`: records of one group are the same person at the same instant, seen by calibrated cameras. Other fields, ground
truth among them, are never read.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .body import SMPL_JOINT_NAMES
from .camera import Intrinsics, choose_intrinsics, project
from .device import is_out_of_memory
from .distortion import Distortion, distort_points, undistort_box, undistort_image
from .errors import ImageError, RefitError
from .fitting import Fitter
from .fitting.annotation_joints import annotation_convention_joints
from .fitting.boxes import checked_boxes
from .fitting.job import FitJob
from .fitting.multiview.fit import Fusion, View, fit_person
from .fitting.multiview.views import is_rotation
from .gravity import find_up, given_up
from .images import Photo, read_photo
from .json_file import read_json_file
from .protocol import is_list, is_object

log = logging.getLogger(__name__)

JOINTS = tuple(
    f"{side}_{joint}" for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for side in ("left", "right")
)
MAX_NUMBER = 1e9
"""Pixels and metres above this are mistakes."""
MultiView = Literal["fit-views", "separate", "average", "together"]
"""How the views of a group become bodies in the world: as `refit-engine fit-views` does it, or as the rows of the paper's
table 5: every view for itself, averaged at the end, averaged after every update."""
_FUSIONS: dict[MultiView, Fusion] = {
    "fit-views": "every_iteration",
    "average": "at_the_end",
    "together": "as_published",
}
INDICES = [SMPL_JOINT_NAMES.index(name) for name in JOINTS]


class DatasetError(RefitError):
    """The dataset file is not in the evaluation format."""


def read_dataset(path: Path) -> list[dict[str, Any]]:
    """The records of a dataset file. Raises DatasetError."""
    records = read_json_file(path, DatasetError)
    if not is_list(records) or not all(is_object(record) and "id" in record for record in records):
        raise DatasetError(f"{path.name} must be a list of records that have an id.")
    return records


def predictions(records: list[dict[str, Any]], folder: Path, fitter: Fitter) -> Iterator[dict[str, Any]]:
    """One prediction per record, in order; a record that fails says why and stops nothing."""
    for record in records:
        yield _predict(record, folder, fitter)[0]


def multiview_predictions(
    records: list[dict[str, Any]], folder: Path, fitter: Fitter, together: FitJob, how: MultiView = "fit-views"
) -> Iterator[dict[str, Any]]:
    """The same, group by group: members also get the joints of their one body in the world, or of their own ("separate").

    Those are missing where the group cannot be fitted, for example because fewer than two members have a camera.
    `fitter` is for members alone, `together` for groups, whose messages say which of them gave no body.
    """
    groups: dict[tuple[str, str | int], list[dict[str, Any]]] = {}
    for position, record in enumerate(records):
        name = record.get("group")
        # A name of another kind is the record's own error.
        group = ("group", name) if isinstance(name, str | int) else ("alone", position)
        groups.setdefault(group, []).append(record)
    for (kind, _), members in groups.items():
        done = [_predict(record, folder, fitter) for record in members]
        start = time.perf_counter()
        joints: list[np.ndarray | None] = [None] * len(members)
        if kind == "group" and how == "separate":
            joints = [_own_world_joints(record, one, together) for record, (one, _) in zip(members, done, strict=True)]
        elif kind == "group":
            joints = [_world_joints(members, [picture for _, picture in done], together, _FUSIONS[how])] * len(members)
        seconds = (time.perf_counter() - start) / len(members)
        for (prediction, _), in_world in zip(done, joints, strict=True):
            if in_world is not None and "error" not in prediction:
                world = {"world_joints3d": named(in_world), "seconds": prediction["seconds"] + seconds}
                yield {**prediction, **world}
            else:
                yield prediction


@dataclass(frozen=True)
class Picture:
    """A record's picture without lens distortion, the person's box [4] in it, and its camera."""

    pixels: np.ndarray
    box: np.ndarray
    intrinsics: Intrinsics
    lens: Distortion | None
    quarter_turns: int
    up_sensor: np.ndarray | None

    @property
    def roll(self) -> float:
        """The turn in radians that makes the picture upright."""
        return self.quarter_turns * np.pi / 2

    def without_pixels(self) -> Picture:
        """What remains to be known of a picture of which many others follow."""
        return replace(self, pixels=np.zeros((0, 0, 3), np.uint8))


def _predict(record: dict[str, Any], folder: Path, fitter: Fitter) -> tuple[dict[str, Any], Picture | None]:
    """The single-view prediction, and the picture where it could be read."""
    start = time.perf_counter()
    picture = None
    try:
        picture = read_picture(record, folder)
        joints, pixels, up = _fit_alone(picture, fitter)
    except Exception as error:  # noqa: BLE001 - numbers beyond all reason can make any library fail
        return {"id": record["id"], "error": sentence(record, error)}, picture
    seconds = time.perf_counter() - start
    prediction = {
        "id": record["id"],
        "joints3d_cam": named(joints),
        "keypoints2d": named(pixels),
        "up_cam": up.tolist(),
    }
    return {**prediction, "seconds": seconds}, picture


def named(joints: np.ndarray) -> dict[str, list[float]]:
    """Values [12,...] of JOINTS by name."""
    return dict(zip(JOINTS, joints.tolist(), strict=True))


def sentence(record: dict[str, Any], error: Exception) -> str:
    """What went wrong with a record, for its user."""
    if isinstance(error, RefitError):
        return str(error)
    log.warning("Record %s", short(record["id"]), exc_info=error)
    reason = "there is not enough memory" if is_out_of_memory(error) else f"{type(error).__name__}, see the log"
    return f"Record {short(record['id'])} cannot be predicted: {reason}."


def short(name: object) -> str:
    """An id or a group in a sentence."""
    return str(name)[:100]


def read_picture(record: dict[str, Any], folder: Path) -> Picture:
    """A record's picture. Raises DatasetError, ImageError."""
    if not isinstance(record.get("group"), str | int | None):
        raise DatasetError(f"The group of record {short(record['id'])} is no name.")
    size = None
    if record.get("width") and record.get("height"):
        size = (_field(record, "width", int), _field(record, "height", int))
    image = _field(record, "image", str)
    if "\0" in image:
        raise DatasetError(f"The image of record {short(record['id'])} is no path.")
    photo = _in_frame(read_photo(folder / image), size)
    (box,) = checked_boxes(numbers(record, "bbox_xywh", (1, 4)), photo)
    K = numbers(record, "K", (3, 3)) if record.get("K") is not None else None
    dist = numbers(record, "dist", (-1,)) if record.get("dist") is not None else None
    intrinsics = choose_intrinsics(*photo.size, K=K, exif_focal=photo.exif_focal)
    pixels = photo.pixels
    lens = None
    if K is not None and dist is not None:
        lens = Distortion.opencv(dist.tolist())
        (pixels, _), box = undistort_image(pixels, K, lens), undistort_box(box, K, lens)
    return Picture(pixels, box, intrinsics, lens, photo.quarter_turns, photo.up_sensor)


def _fit_alone(picture: Picture, fitter: Fitter) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Joints [12,3] in the camera's frame (metres), as people mark them in the picture's pixels [12,2], and up [3]."""
    boxes = picture.box[None]
    intrinsics, lines = fitter.look_for_lines(picture.pixels, boxes, picture.intrinsics, picture.quarter_turns)
    people = fitter.fit(picture.pixels, boxes, intrinsics, roll=picture.roll)
    joints, K = people.joints[0, INDICES], intrinsics.K
    data = fitter.subject().result_body.data
    marked = joints  # where people mark them is known of the bundled body only
    if data.landmark_ids is not None:
        marked = annotation_convention_joints(data, JOINTS, people.betas, people.rotmats, people.transl)[0]
    projected = project(marked, K)
    if not np.isfinite(projected).all():
        raise RefitError("The network gave no usable body.")
    up = given_up(None, picture.up_sensor) or find_up(lines, people.rotmats, people.joints)
    return joints, distort_points(projected, K, picture.lens) if picture.lens else projected, up.direction


def _own_world_joints(record: dict[str, Any], prediction: dict[str, Any], job: FitJob) -> np.ndarray | None:
    """Joints [12,3] of a member's own body in the world; None where it has no body or no camera in the world."""
    if "error" in prediction or record.get("R_world2cam") is None or record.get("t_world2cam") is None:
        return None
    try:
        R, t = _pose(record)
    except DatasetError as error:
        job.say(f"Record {short(record['id'])} has no body in the world: {error}")
        return None
    return (np.array(list(prediction["joints3d_cam"].values())) - t) @ R


def _world_joints(
    records: list[dict[str, Any]], pictures: list[Picture | None], job: FitJob, fusion: Fusion
) -> np.ndarray | None:
    """Joints [12,3] of the one body of a group's members in the world; None where they do not give one."""
    views: list[View] = []
    boxes: list[np.ndarray] = []
    try:
        for record, picture in zip(records, pictures, strict=True):
            if picture is not None and record.get("R_world2cam") is not None and record.get("t_world2cam") is not None:
                views.append(_view(record, picture))
                boxes.append(picture.box)
        if len(views) < 2:
            raise DatasetError("Fewer than two of its members can be read and have a camera in the world.")
        joints = fit_person(job, views, np.array(boxes), fusion).joints[0, INDICES]
        if not np.isfinite(joints).all():
            raise RefitError("The network gave no usable body.")
    except Exception as error:  # noqa: BLE001 - see `_predict`
        job.say(f"Group {short(records[0]['group'])} has no body in the world: {sentence(records[0], error)}")
        return None
    return joints


def _view(record: dict[str, Any], picture: Picture) -> View:
    return View(str(record["id"]), picture.pixels, picture.intrinsics, *_pose(record), picture.roll)


def _pose(record: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """R [3,3] and t [3] of a record's camera, from world, metres. Raises DatasetError."""
    R, t = numbers(record, "R_world2cam", (3, 3)), numbers(record, "t_world2cam", (3,))
    if not is_rotation(R):
        raise DatasetError(f"The R_world2cam of record {short(record['id'])} is no rotation.")
    return R, t


def _in_frame(photo: Photo, size: tuple[int, int] | None) -> Photo:
    """The picture turned as the dataset counts its pixels: upright where that agrees with the given size."""
    upright = photo.upright()
    if size is None or upright.size == size:
        return upright
    if photo.size == size:
        return photo
    raise ImageError(f"{photo.path.name} has {photo.size[0]}x{photo.size[1]} pixels, not {size[0]}x{size[1]}.")


def _field(record: dict[str, Any], name: str, kind: type) -> Any:
    if not isinstance(record.get(name), kind):
        proper = "" if record.get(name) is None else "proper "
        raise DatasetError(f"Record {short(record['id'])} has no {proper}{name}.")
    return record[name]


def numbers(record: dict[str, Any], name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A record's numbers of a shape. Raises DatasetError."""
    try:
        values = np.array(record[name], dtype=np.float64).reshape(shape)
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError):
        values = None
    if values is None or not (np.abs(values) < MAX_NUMBER).all():
        raise DatasetError(f"Record {short(record['id'])} has no proper {name}.")
    return values
