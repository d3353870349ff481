# SPDX-License-Identifier: GPL-3.0-or-later
"""`blender --command refit …`: the same jobs without a window."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import bpy

from . import api
from .errors import RefitError
from .progress import Progress

COMMAND = "refit"


def main(arguments: list[str]) -> int:
    """Run a command line (without the program's name); returns the exit code."""
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as stop:  # Blender's own exit code shall tell
        return int(stop.code or 0)
    try:
        options.run(options)
    except RefitError as error:
        print(f"refit: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"refit: {error.strerror or error}{f': {error.filename}' if error.filename else ''}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="blender --command refit", description="Photos to rigged bodies.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("reconstruct", help="reconstruct the people of a photo and save the scene")
    command.set_defaults(run=_reconstruct)
    command.add_argument("image", type=Path, metavar="IMAGE")
    command.add_argument("--out", type=Path, required=True, metavar="FILE.blend", help="scene to write")
    command.add_argument("--glb", type=Path, metavar="FILE.glb", help="write the scene as glTF, too")
    command.add_argument("--keep", type=Path, metavar="DIR", help="folder for result.npz and overlay.png")
    command.add_argument("--people", choices=("all", "largest"), default="all", help="whom to take (default: all)")
    command.add_argument(
        "--bbox",
        type=_box,
        action="append",
        metavar="X,Y,W,H",
        help="a person's box in pixels; may be given more than once",
    )
    command.add_argument("--focal", type=float, metavar="PIXELS", help="focal length (default: from the photo)")
    command.add_argument("--body", type=Path, metavar="FILE", help="SMPL file (default: the bundled body)")
    command.add_argument("--gender", choices=("neutral", "male", "female"), default="neutral")
    command.add_argument("--weights", type=Path, metavar="FILE", help="ReFit checkpoint (default: the bundled network)")
    command.add_argument("--iterations", type=int, default=5, metavar="N", help="updates (default: 5)")
    command.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    return parser


def _box(text: str) -> list[float]:
    numbers = [float(number) for number in text.split(",")]
    if len(numbers) != 4 or min(numbers[2:]) <= 0:
        raise argparse.ArgumentTypeError("a box is X,Y,W,H with a positive size")
    return numbers


def _reconstruct(options: argparse.Namespace) -> None:
    if not bpy.data.filepath:
        # The start-up file's cube is not part of the photo.
        bpy.ops.wm.read_homefile(use_empty=True)
    finished = api.reconstruct(
        options.image,
        focal=options.focal,
        people=options.people,
        boxes=options.bbox,
        body=options.body,
        gender=options.gender,
        weights=options.weights,
        iterations=options.iterations,
        device=options.device,
        keep=options.keep,
        on_progress=_show,
    )
    for message in finished.messages:
        print(f"refit: {message}", file=sys.stderr)
    _save(options.out)
    if options.glb:
        api.export_glb(options.glb)
    print(f"refit: {finished.summary()}, saved as {options.out}")
    for stage, seconds in finished.seconds.items():
        print(f"    {stage:<32}{seconds:8.2f} s")


def _show(progress: Progress) -> None:
    print(f"refit: {progress}", file=sys.stderr, flush=True)


def _save(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        bpy.ops.wm.save_as_mainfile(filepath=str(path.absolute()), check_existing=False)
    except RuntimeError as error:
        raise RefitError(f"{path} could not be saved: {str(error).strip()}.") from error
