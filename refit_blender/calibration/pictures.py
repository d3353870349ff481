# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the pictures and videos that belong to the cameras of a calibration file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .files import is_file
from .model import CalibratedCamera

STILLS = frozenset(".jpg .jpeg .png .webp .bmp .tif .tiff .jp2 .tga .exr .dpx .cin .hdr".split())
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


@dataclass(frozen=True)
class _Folder:
    """A folder that is searched, and the pictures and videos in it, sorted."""

    path: Path
    files: tuple[Path, ...]


def find_pictures(
    cameras: Sequence[CalibratedCamera], calibration_file: Path, folder: Path | None = None
) -> list[Picture | None]:
    """The picture of each camera, None where there is none.

    They are looked for in `folder` and its subfolders, else beside the calibration file, in the folders there, and in
    those beside its own folder that are called after pictures or videos; nowhere else, whatever path the file names. A
    file belongs to a camera that has its name (the same folder for a sequence of frames), or whose name stands in the
    file's behind “cam”, or is one of its words. Stills win over videos; what two cameras would share belongs to none.
    """
    parent = calibration_file.absolute().parent
    above = [parent.parent]
    if any(camera.picture for camera in cameras):
        # COLMAP's project has its model in sparse/0 and its pictures in images; nerfstudio's has it in colmap/sparse/0.
        above += [parent.parent.parent, parent.parent.parent.parent]
    paths = _with_children(folder or parent)
    if folder is None:
        paths += [child for place in above for child in _with_children(place)[1:] if _MEDIA.fullmatch(child.name)]
    folders = [_Folder(path, tuple(sorted(_files(path)))) for path in dict.fromkeys(paths)]
    found = [_named(camera, folders) or _find(camera, folders) for camera in cameras]
    uses = Counter(picture.path for picture in found if picture)
    return [picture if picture and uses[picture.path] == 1 else None for picture in found]


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


def _named(camera: CalibratedCamera, folders: Sequence[_Folder]) -> Picture | None:
    """The file that the calibration names, in the nearest folder that has it.

    A name with a path of its own is looked for by its last parts, so that nothing outside the folders is opened.
    """
    if not camera.picture:
        return None
    name = camera.picture.replace("\\", "/")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    outside = name.startswith("/") or ".." in parts or any(":" in part for part in parts)
    if outside:
        inside = [index for index, part in enumerate(parts) if part == ".." or ":" in part]
        parts = parts[inside[-1] + 1 :] if inside else parts
    # Of a path from elsewhere, the longest end that is here.
    for start in range(len(parts) if outside else min(1, len(parts))):
        for folder in folders:
            path = folder.path.joinpath(*parts[start:])
            if path.suffix.lower() in STILLS | VIDEOS and is_file(path):
                return _picture(path)
    return None


def _find(camera: CalibratedCamera, folders: Sequence[_Folder]) -> Picture | None:
    wanted = _plain(camera.name)
    for spelled in (_same, _without_marks):
        for folder in folders:
            exact = [path for path in folder.files if spelled(_plain(path.stem)) == spelled(wanted)]
            if exact:
                return _picture(min(exact, key=lambda path: path.suffix.lower() in VIDEOS))
    if camera.picture:  # COLMAP's images have names of their own
        return None
    if not re.search(r"[/\\:]", camera.name) and camera.name not in (".", ".."):
        for folder in folders:
            # EasyMocap has the frames of camera 01 in images/01.
            if frames := [path for path in sorted(_files(folder.path / camera.name)) if _is_still(path)]:
                return Picture(frames[0], "sequence" if len(frames) > 1 else "still")
    # Anipose takes the letters behind “cam” for the name: A in trial1-camA.
    name = re.escape(wanted) if not wanted.isdecimal() else f"0*{int(wanted[:20])}"
    for start in (r"(?<![a-z0-9])cam(?:era)?[-_ ]?", r"(?<![a-z0-9])"):
        word = re.compile(rf"{start}{name}(?![a-z0-9])")
        for folder in folders:
            partly = [path for path in folder.files if word.search(path.stem.lower())]
            if len(partly) == 1:
                return _picture(partly[0])
    return None


def _same(name: str) -> str:
    return name


def _without_marks(name: str) -> str:
    """cam_01 is cam01."""
    return re.sub(r"[-_. ]", "", name)


def _plain(name: str) -> str:
    """A name without what calibration programs wrap around it: Pose2Sim calls cam1 “int_cam1_img”."""
    name = name.lower()
    wrapped = re.fullmatch(r"int_(.+)_img", name)
    return wrapped[1] if wrapped else name


def _is_still(path: Path) -> bool:
    return path.suffix.lower() in STILLS


def _picture(path: Path) -> Picture:
    return Picture(path, "still" if _is_still(path) else "video")
