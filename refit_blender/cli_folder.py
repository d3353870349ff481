# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line's part about folders of movies: a table of what each has become."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from .clip_folder import Clip, FinishedFolder, movies_of
from .engine_job import counted
from .errors import RefitError

COLUMNS = ("clip", "frames", "people", "seconds", "frames to look at")
_ONE_VIDEO = {"bbox": "A box", "glb": "--glb", "fbx": "--fbx", "bvh": "--bvh"}
"""Options that a folder does not take."""


def holds_movies(path: Path) -> bool:
    """Whether this is a folder with movies in it. Raises SourceError where it cannot be read."""
    return path.is_dir() and bool(movies_of(path))


def check(options: argparse.Namespace) -> None:
    """Raises RefitError where an option is about one video only."""
    wrong = next((name for option, name in _ONE_VIDEO.items() if getattr(options, option)), None)
    if wrong:
        raise RefitError(f"{wrong} belongs to one video: leave it out for a folder.")


def table(clips: Sequence[Clip]) -> str:
    """Lines of text with columns of equal width, the first and the last one on the left."""
    rows = [COLUMNS, *(_row(clip) for clip in clips)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = [
        [
            row[0].ljust(widths[0]),
            *(text.rjust(width) for text, width in zip(row[1:4], widths[1:4], strict=True)),
            row[4],
        ]
        for row in rows
    ]
    return "\n".join("  ".join(line).rstrip() for line in lines)


def failure(finished: FinishedFolder) -> str:
    """One sentence about clips that gave nothing."""
    missing = finished.total - (len(finished.clips) - finished.failed)
    return f"{missing} of {counted(finished.total, 'clip', 'clips')} failed."


def _row(clip: Clip) -> tuple[str, ...]:
    if clip.motion is None:
        return clip.name, "failed", "", "", ""
    looks = ", ".join(map(str, clip.worth_a_look))
    return clip.name, str(clip.frames), str(clip.people), f"{clip.seconds:.1f}", looks
