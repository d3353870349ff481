# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the pictures and videos that belong to the cameras of a calibration file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .model import CalibratedCamera

STILLS = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"))
VIDEOS = frozenset((".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".mts", ".wmv"))
# Such as images, videos-raw, synchronized_videos.
_MEDIA = re.compile(
    "([a-z0-9]+[-_ ])?(video|image|img|picture|photo|frame|recording|footage)s?([-_ ][a-z0-9]+)?", re.IGNORECASE
)


@dataclass(frozen=True)
class Picture:
    """What a camera took: a still, a video, or the first of a folder of numbered stills."""

    path: Path
    kind: Literal["still", "video", "sequence"]


def find_pictures(
    cameras: Sequence[CalibratedCamera], calibration_file: Path, folder: Path | None = None
) -> list[Picture | None]:
    """The picture of each camera, None where there is none.

    They are looked for in `folder` and its subfolders, else beside the calibration file, in the folders there, and in
    those beside its own folder that are called after pictures or videos. A file belongs to a camera that has its name (the same folder for a sequence of
    frames), or else whose name is one of the words of the file's name. Stills win over videos.
    """
    parent = calibration_file.absolute().parent
    # COLMAP's project has its model in sparse/0 and its pictures in images.
    above = [parent.parent, parent.parent.parent] if any(camera.picture for camera in cameras) else [parent.parent]
    folders = _with_children(folder or parent)
    if folder is None:
        folders += [child for place in above for child in _with_children(place)[1:] if _MEDIA.fullmatch(child.name)]
    folders = list(dict.fromkeys(folders))
    listings = [sorted(_files(place)) for place in folders]
    return [_named(camera, folders) or _find(camera.name, folders, listings) for camera in cameras]


def _with_children(folder: Path) -> list[Path]:
    try:
        children = sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))
    except OSError:
        return []
    return [folder, *children]


def _files(folder: Path) -> Iterable[Path]:
    try:
        for path in folder.iterdir():
            if path.suffix.lower() in STILLS | VIDEOS and path.is_file():
                yield path
    except OSError:
        return


def _named(camera: CalibratedCamera, folders: Sequence[Path]) -> Picture | None:
    """The file that the calibration names, in the nearest folder that has it."""
    if not camera.picture:
        return None
    for folder in folders:
        if (path := folder / camera.picture).is_file():
            return _picture(path)
    return None


def _find(name: str, folders: Sequence[Path], listings: Sequence[Sequence[Path]]) -> Picture | None:
    wanted = _plain(name)
    for files in listings:
        exact = [path for path in files if _plain(path.stem) == wanted]
        if exact:
            return _picture(min(exact, key=lambda path: path.suffix.lower() in VIDEOS))
    for folder in folders:
        # EasyMocap has the frames of camera 01 in images/01.
        if frames := [path for path in sorted(_files(folder / name)) if _is_still(path)]:
            return Picture(frames[0], "sequence" if len(frames) > 1 else "still")
    word = re.compile(rf"(?<![a-z0-9]){re.escape(wanted)}(?![a-z0-9])")
    for files in listings:
        partly = [path for path in files if word.search(path.stem.lower())]
        if len(partly) == 1:
            return _picture(partly[0])
    return None


def _plain(name: str) -> str:
    """A name without what calibration programs wrap around it: Pose2Sim calls cam1 “int_cam1_img”."""
    name = name.lower()
    wrapped = re.fullmatch(r"int_(.+)_img", name)
    return wrapped[1] if wrapped else name


def _is_still(path: Path) -> bool:
    return path.suffix.lower() in STILLS


def _picture(path: Path) -> Picture:
    return Picture(path, "still" if _is_still(path) else "video")
