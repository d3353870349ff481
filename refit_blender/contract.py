# SPDX-License-Identifier: GPL-3.0-or-later
"""What add-on and engine agree on: the options of a job with their limits, and the arrays of a result.

Add-on and engine have the same module each, since neither can import the other.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

People = Literal["all", "largest"]
Gender = Literal["neutral", "male", "female"]
Device = Literal["auto", "cpu", "cuda", "mps"]


@dataclass(frozen=True)
class Option:
    """An option that scripts, command lines, the panel and the protocol have under one name.

    kind: what it is; default: None for what a job does without; choices: of kind "choice"; low, high: limits of a
    number, inclusive; metavar: how the command line calls the value.
    """

    name: str
    kind: Literal["choice", "integer", "number", "numbers", "flag", "file"]
    help: str
    default: Any = None
    choices: tuple[str, ...] = ()
    low: float = -math.inf
    high: float = math.inf
    metavar: str | None = None


_OPTIONS = (
    Option("people", "choice", "whom to take", "all", get_args(People)),
    Option("body", "file", "SMPL body, .npz or .pkl (default: the bundled one)", metavar="FILE"),
    Option(
        "gender",
        "choice",
        "of the bundled body, or which body of a folder with SMPL files",
        "neutral",
        get_args(Gender),
    ),
    Option("weights", "file", "ReFit weights (default: the bundled ones)", metavar="FILE"),
    Option("betas", "numbers", "a known shape, which is kept (default: the shape is found)"),
    Option(
        "height",
        "number",
        "metres that the person, or the largest of several, measures standing",
        low=0.4,
        high=2.5,
        metavar="M",
    ),
    Option("iterations", "integer", "updates after the first estimate", 5, low=0, high=100, metavar="T"),
    Option("device", "choice", "what the network runs on", "auto", get_args(Device)),
    Option("overlay", "flag", "draw the bodies over the picture", False),
    Option("confidence", "flag", "estimate the joints' standard deviations", True),
)
OPTIONS = {option.name: option for option in _OPTIONS}
VIEWS_ITERATIONS = 10
"""The default where several cameras see a person."""
BETAS = 10
"""Numbers of a shape,"""
MAX_BETA = 100.0
"""none of which lies farther from 0: they are standard deviations of people."""


def add_option(parser: argparse.ArgumentParser, name: str, default: Any = None) -> None:
    """Give a command line an option. default: instead of the table's."""
    option = OPTIONS[name]
    chosen = option.default if default is None else default
    text = option.help if chosen is None else f"{option.help} (default: {chosen})"
    words: dict[str, Any] = {"default": chosen, "help": text}
    if option.kind == "choice":
        words["choices"] = option.choices
    else:
        reader = {"file": Path, "number": float, "integer": _whole_number(option)}[option.kind]
        words |= {"type": reader, "metavar": option.metavar}
    parser.add_argument(f"--{name}", **words)


def _whole_number(option: Option) -> Callable[[str], int]:
    def integer(text: str) -> int:
        number = int(text)
        if not option.low <= number <= option.high:
            raise argparse.ArgumentTypeError(f"must be from {option.low} to {option.high}")
        return number

    return integer


@dataclass(frozen=True)
class ResultFormat:
    """A file of results. arrays: their names; each file also holds `format` (the name) and `version`."""

    name: str
    version: int
    arrays: frozenset[str]


IMAGE_RESULT = ResultFormat(
    "refit-result",
    3,
    frozenset(
        "image image_size K focal_source boxes_xywh scores betas rotmats transl joints_cam joints2d vertices_cam "
        "joint_std_mm joint_std_deg guessed confidence up_cam up_source up_std_deg up_sure camera_height on_floor "
        "joint_names body_name body_kind body_file weights_name iterations engine_version".split()
    ),
)
VIEWS_RESULT = ResultFormat(
    "refit-multiview-result",
    2,
    frozenset(
        "view_names images image_sizes K R_world2cam t_world2cam betas rotmats transl joints_world vertices_world "
        "joints2d used weights reasons reprojection_errors boxes_xywh joint_std_mm joint_std_deg guessed confidence "
        "joint_names body_name body_kind body_file weights_name iterations engine_version".split()
    ),
)
MOTION_RESULT = ResultFormat(
    "refit-motion",
    2,
    frozenset(
        "view_names videos image_sizes quarter_turns frame_rate times frames readable K R_world2cam t_world2cam "
        "focal_source world betas rotmats transl joints_world state seen boxes_xywh joint_std_mm joint_std_deg "
        "guessed confidence contacts up_world up_source up_std_deg up_sure floor joint_names body_name body_kind body_file "
        "weights_name iterations engine_version".split()
    ),
)
