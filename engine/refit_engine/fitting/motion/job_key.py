# SPDX-License-Identifier: GPL-3.0-or-later
"""All that decides what is seen in videos, as a key for what is kept of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ...body import BUNDLED_BODY
from ...network.checkpoint import BUNDLED_WEIGHTS
from ...work_cache import identity, key_of, quick_identity
from ..models import FitOptions
from .request import MotionRequest, VideoRequest, VideoView


def observation_key(request: MotionRequest, views: Sequence[VideoView], options: FitOptions) -> str:
    """The same on every machine, whatever its device, that has these files and this engine. Raises OSError.

    Whom the user wants, and their height, do not matter: everybody is looked at.
    """
    return key_of(
        {
            "videos": [_video(video, view) for video, view in zip(request.videos, views, strict=True)],
            "instants": views[0].frames.tolist(),
            "box": [_plain(request.box_xywh), request.box_frame],
            "body": _files(options.body or BUNDLED_BODY),
            "gender": options.gender,
            "weights": _files(options.weights or BUNDLED_WEIGHTS),
            "betas": _plain(options.betas),
        }
    )


def _video(video: VideoRequest, view: VideoView) -> dict[str, Any]:
    files = view.pictures.files
    told = {name: _plain(getattr(video, name)) for name in ("rate", "focal", "K", "R", "t", "offset")}
    told["distortion"] = (
        None if video.distortion is None else {k: _plain(v) for k, v in asdict(video.distortion).items()}
    )
    told["files"] = [identity(files[0])] if len(files) == 1 else [quick_identity(path) for path in files]
    return told


def _files(path: Path) -> list[Any]:
    """A file, or all files of a folder."""
    return [identity(one) for one in (sorted(path.rglob("*")) if path.is_dir() else [path]) if one.is_file()]


def _plain(value: Any) -> Any:
    return np.asarray(value).tolist() if value is not None else None
