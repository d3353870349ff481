# SPDX-License-Identifier: GPL-3.0-or-later
"""From files to cameras: which format it is, and which other files belong to it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import CalibrationError
from .colmap import is_colmap, read_colmap
from .easymocap import is_easymocap, read_easymocap
from .files import is_file, read_text, shown
from .model import Calibration
from .opencv import has_intrinsics, has_poses, is_opencv, read_opencv
from .rig_toml import read_rig_toml
from .transforms import is_transforms, read_transforms
from .tree import parse_tree

_TREES = (".yml", ".yaml", ".json", ".xml")
_KNOWN = (
    "Pose2Sim, Anipose, FreeMoCap or Caliscope TOML, EasyMocap, OpenCV, ROS, Kalibr or nerfstudio files, "
    "COLMAP text or binary"
)


def read_calibration(paths: Sequence[Path]) -> Calibration:
    """The cameras of a calibration file, or of several with one camera each.

    The format is told by the content (COLMAP's by the names of its files). A second file that the format needs is
    found beside the first. Raises CalibrationError, which names the file and the line or key, for all that is wrong.
    """
    paths = [Path(path) for path in paths]
    # Numbers that are too large are refused where they have become infinite.
    with np.errstate(all="ignore"):
        files = _without_partners(paths)
        read = [_read_one(path) for path in files]
    if not read:
        raise CalibrationError("No calibration file is chosen.")
    read = _named_after_folders(files, read)
    cameras = tuple(camera for calibration in read for camera in calibration.cameras)
    name, count = Counter(camera.name for camera in cameras).most_common(1)[0]
    if count > 1:
        raise CalibrationError(f"There are {count} cameras that are called “{shown(name)}”.")
    remarks = tuple(remark for calibration in read for remark in calibration.remarks)
    return Calibration(read[0].label, cameras, all(calibration.metric for calibration in read), remarks)


def _without_partners(paths: Sequence[Path]) -> list[Path]:
    """The files without those that reading an earlier one reads as well."""
    kept: list[Path] = []
    for path in paths:
        partners = {partner for other in kept if (partner := _partner(other))}
        model = any(is_colmap(path) and is_colmap(other) and path.parent == other.parent for other in kept)
        if path not in partners and not model:
            kept.append(path)
    return kept


def _named_after_folders(files: Sequence[Path], read: Sequence[Calibration]) -> list[Calibration]:
    """Cameras that are called after their files, which have the same name in several folders, after the folders."""
    stems = Counter(path.stem for path in files)

    def named(path: Path, calibration: Calibration) -> Calibration:
        (camera, *others) = calibration.cameras
        folder = path.absolute().parent.name
        if stems[path.stem] == 1 or others or camera.name != path.stem or not folder:
            return calibration
        return replace(calibration, cameras=(replace(camera, name=folder),))

    return list(map(named, files, read))


def _read_one(path: Path) -> Calibration:
    if is_colmap(path):
        try:
            return read_colmap(path)
        except OSError as error:
            raise CalibrationError(f"{path} cannot be opened: {error.strerror}.") from error
    text = read_text(path)
    if not text.strip():
        raise CalibrationError(f"{path.name} is empty.")
    if _looks_like_toml(path, text):
        return read_rig_toml(path, text)
    if path.suffix.lower() in _TREES or text.startswith(("%YAML", "<?xml", "<opencv_storage")):
        return _read_tree(path, text)
    raise CalibrationError(f"{path.name} is none of these: {_KNOWN}.")


def _looks_like_toml(path: Path, text: str) -> bool:
    if path.suffix.lower() in (".toml", *_TREES):
        return path.suffix.lower() == ".toml"
    return not text.startswith("%YAML") and re.search(r"^[ \t]*\[[^\[\]\n]+\][ \t]*$", text, re.MULTILINE) is not None


def _read_tree(path: Path, text: str) -> Calibration:
    tree = parse_tree(path, text)
    partner = _partner(path)
    if is_transforms(tree):
        return read_transforms(path, tree)
    if is_easymocap(tree):
        if not partner:
            raise CalibrationError(f"{path.name} is one of EasyMocap's two files; the other is not beside it.")
        tree |= parse_tree(partner, read_text(partner))
        return read_easymocap(path, tree)
    if not is_opencv(tree):
        raise CalibrationError(f"{path.name} has no camera matrix (such as camera_matrix, K or M1).")
    if partner and not (has_intrinsics(tree) and has_poses(tree)):
        tree |= parse_tree(partner, read_text(partner))
    return read_opencv(path, tree)


def _partner(path: Path) -> Path | None:
    """extri.yml for intri.yml, intrinsics.yml for extrinsics.yml, and so on, where it is there."""
    other = re.sub(
        "intri|extri",
        lambda match: "extri" if match[0].lower() == "intri" else "intri",
        path.name,
        flags=re.IGNORECASE,
    )
    partner = path.with_name(other)
    return partner if partner != path and path.suffix.lower() in _TREES and is_file(partner) else None
