# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of `refit-engine track` and `refit-engine observe`."""

from __future__ import annotations

import argparse
from pathlib import Path

from .cli_values import add_body, box, check_folder, positive, share, span
from .contract import add_option


def add_track(parser: argparse.ArgumentParser) -> None:
    """The command that makes motions."""
    parser.add_argument(
        "video",
        type=Path,
        metavar="VIDEO",
        help="movie, numbered pictures, VIEWS.json of several videos of one scene, or a folder of movies",
    )
    parser.add_argument(
        "--out",
        required=True,
        type=Path,
        metavar="DIR",
        help="for motion.npz and overlay.mp4; of a folder, one in it each",
    )
    parser.add_argument("--no-overlay", action="store_true", help="do not draw the bodies over the video")
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="where a job that is stopped goes on from (default: of this machine's user)",
    )
    parser.add_argument("--no-cache", action="store_true", help="keep nothing for a job that is stopped")
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="share the frames out over a Ray cluster: HOST:PORT, auto for the one that this machine is in, or local for "
        "one that is started here",
    )
    parser.add_argument(
        "--gpus-per-worker",
        type=positive,
        metavar="N",
        help="of Ray: the graphics cards of a worker, e.g. 1, or 0.5 for two workers on a card (default: none)",
    )
    add_option(parser, "height")
    _add_footage(parser)
    parser.set_defaults(command=_track, error=parser.error)


def add_observe(parser: argparse.ArgumentParser) -> None:
    """The command that does a part of the work."""
    parser.add_argument("video", type=Path, metavar="VIDEO", help="as for track")
    parser.add_argument(
        "--cache",
        required=True,
        type=Path,
        metavar="DIR",
        help="where track --cache DIR finds it; all machines share it",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--part", type=share, metavar="K/N", help="the K-th of N equal shares of the frames")
    which.add_argument("--chunk", type=span, metavar="A:B", help="only what begins at frames A to B-1 of the video")
    _add_footage(parser)
    parser.set_defaults(command=_observe)


def _add_footage(parser: argparse.ArgumentParser) -> None:
    """Which frames and people of a video are meant, and which body they are to have."""
    parser.add_argument(
        "--frames", default="", metavar="A:B:STEP", help="from A, counted from 0, up to but not including B"
    )
    parser.add_argument("--rate", type=float, metavar="FPS", help="frames a second of numbered pictures (default: 24)")
    parser.add_argument("--focal", type=float, metavar="F", help="focal length in pixels")
    parser.add_argument(
        "--betas", type=Path, metavar="FILE", help="a known shape: a result.npz or motion.npz, or ten numbers"
    )
    parser.add_argument("--bbox", type=box, metavar="x,y,w,h", help="the box of the one person who is wanted")
    parser.add_argument("--bbox-frame", type=int, metavar="N", help="the frame that the box is in (default: the first)")
    add_option(parser, "people")
    add_body(parser)
    add_option(parser, "device")


def _track(options: argparse.Namespace) -> int:
    from .motion_command import track

    if options.ray is None and options.gpus_per_worker is not None:
        options.error("--gpus-per-worker is for --ray ADDRESS")
    if options.ray is not None and options.no_cache:
        options.error("what Ray's workers saw is kept in the cache: leave out --no-cache")
    check_folder(options.out)
    return track(options)


def _observe(options: argparse.Namespace) -> int:
    from .motion_command import observe

    check_folder(options.cache)
    return observe(options)
