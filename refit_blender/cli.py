# SPDX-License-Identifier: GPL-3.0-or-later
"""`blender --command refit …`: the same jobs without a window."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy

from . import api, cli_export, cli_folder
from . import cli_values as values
from .calibration import AXES
from .contract import VIEWS_ITERATIONS, add_option
from .engine_job import Options, Summary
from .errors import RefitError, sentence
from .motion import WHOLE
from .progress import Progress
from .scene.rigs import RIG_KINDS

COMMAND = "refit"
SECONDS_BETWEEN_LINES = 5.0
LONGEST_PATH = 1023  # bytes of a path in Blender; it cuts longer ones off


def main(arguments: list[str]) -> int:
    """Run a command line (without the program's name); returns the exit code."""
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as stop:  # Blender's own exit code shall tell
        return int(stop.code or 0)
    try:
        _check_outputs(*cli_export.outputs(options))
        options.run(options)
    except (RefitError, OSError) as error:
        print(f"refit: {sentence(error)}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="blender --command refit", description="Photos to rigged bodies.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, add_arguments, purpose in (
        ("reconstruct", _reconstruct, _add_photo, "reconstruct the people of a photo and save the scene"),
        (
            "add-person",
            _add_person,
            _add_person_boxes,
            "add people to a reconstruction of the scene by their boxes in its photo, and save the scene",
        ),
        (
            "fit-cameras",
            _fit_cameras,
            _add_cameras,
            "fit the people seen by several cameras of the scene, and save the scene",
        ),
        ("track", _track, _add_video, "follow the people of a video and save the animated scene"),
        (
            "track-cameras",
            _track_cameras,
            _add_moving_cameras,
            "follow the people seen by cameras of the scene in the movies behind them, and save the scene",
        ),
        ("fit-shape", _fit_shape, _add_photos, "fit one person's shape to several photos, and save the scene"),
        (
            "import-calibration",
            _import_calibration,
            _add_calibration,
            "make cameras with their pictures from a calibration file, and save the scene",
        ),
        ("import-motion", _import_motion, cli_export.add_import, "make an animated body from an AMASS file"),
        ("export", cli_export.run_export, cli_export.add_export, "write the scene's bodies for other programs"),
    ):
        command = commands.add_parser(name, help=purpose)
        command.set_defaults(run=run)
        add_arguments(command)
    return parser


def _add_photo(command: argparse.ArgumentParser) -> None:
    command.add_argument("image", type=Path, metavar="IMAGE")
    command.add_argument(
        "--bbox",
        type=values.box,
        action="append",
        metavar="X,Y,W,H",
        help="a person's box in pixels; may be given more than once",
    )
    command.add_argument("--focal", type=float, metavar="PIXELS", help="focal length (default: from the photo)")
    _add_job_options(command)


def _add_person_boxes(command: argparse.ArgumentParser) -> None:
    command.add_argument("reconstruction", metavar="NAME", help="its collection, its camera or one of its bodies")
    command.add_argument(
        "--bbox", type=values.box, action="append", required=True, metavar="X,Y,W,H", help="box in pixels"
    )
    command.add_argument("--keep", type=Path, metavar="DIR", help="folder for result.npz and overlay")
    _add_engine_options(command)


def _add_cameras(command: argparse.ArgumentParser) -> None:
    which = command.add_mutually_exclusive_group()
    which.add_argument("--collection", metavar="NAME", help="the cameras of a collection")
    which.add_argument(
        "--cameras", type=values.names, metavar="A,B", help="cameras by name (default: all with an image)"
    )
    command.add_argument(
        "--frame", type=values.frame, metavar="N", help="frame of the scene (default: the current one)"
    )
    _add_job_options(command, VIEWS_ITERATIONS)


def _add_video(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "video", type=Path, metavar="VIDEO", help="movie, one of numbered pictures, their folder, or a folder of movies"
    )
    command.add_argument(
        "--frames", type=values.frames, default=WHOLE, metavar="A:B:STEP", help="A to B-1, counted from 0"
    )
    command.add_argument(
        "--bbox", type=values.box, metavar="X,Y,W,H", help="box of the only wanted person in the first frame"
    )
    command.add_argument("--focal", type=float, metavar="PIXELS", help="focal length (default: from the video)")
    _add_motion_options(command)


def _add_moving_cameras(command: argparse.ArgumentParser) -> None:
    which = command.add_mutually_exclusive_group()
    which.add_argument("--collection", metavar="NAME", help="the cameras of a collection")
    which.add_argument(
        "--cameras", type=values.names, metavar="A,B", help="cameras by name (default: all with an image)"
    )
    command.add_argument(
        "--span", type=values.span, metavar="A:B", help="frames of the scene, B included (default: all)"
    )
    command.add_argument("--step", type=int, default=1, metavar="N", help="take every Nth frame (default: 1)")
    _add_motion_options(command)


def _add_photos(command: argparse.ArgumentParser) -> None:
    command.add_argument("images", type=Path, nargs="+", metavar="IMAGE")
    command.add_argument("--focal", type=float, metavar="PIXELS", help="focal length (default: from the photos)")
    _add_engine_options(command)


def _add_calibration(command: argparse.ArgumentParser) -> None:
    command.add_argument("files", type=Path, nargs="+", metavar="FILE", help="several OpenCV files are one rig")
    command.add_argument("--out", type=Path, required=True, metavar="FILE.blend", help="scene to write")
    command.add_argument("--pictures", type=Path, metavar="DIR", help="folder of the pictures (default: near the file)")
    command.add_argument("--up", choices=list(AXES), help="axis that points up, as --up=-Y (default: the cameras tell)")
    command.add_argument("--metres", type=float, metavar="M", help="how long the file's unit is (default: guessed)")


def _add_job_options(command: argparse.ArgumentParser, iterations: int | None = None) -> None:
    command.add_argument("--keep", type=Path, metavar="DIR", help="folder for result.npz and overlays")
    add_option(command, "people")
    command.add_argument("--shape-of", metavar="OBJECT", help="keep the shape of this ReFit body in the scene")
    _add_engine_options(command, iterations)


def _add_engine_options(command: argparse.ArgumentParser, iterations: int | None = None) -> None:
    command.add_argument("--out", type=Path, required=True, metavar="FILE.blend", help="scene to write")
    cli_export.add_beside(command)
    for name in ("body", "gender", "height", "weights"):
        add_option(command, name)
    _add_rig_options(command)
    add_option(command, "iterations", iterations)
    add_option(command, "device")


def _add_motion_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--out", type=Path, required=True, metavar="FILE.blend", help="scene to write")
    cli_export.add_beside(command)
    command.add_argument("--keep", type=Path, metavar="DIR", help="folder for motion.npz and the overlay's videos")
    command.add_argument("--shape-of", metavar="OBJECT", help="keep the shape of this ReFit body in the scene")
    for name in ("people", "body", "gender", "height", "weights", "device"):
        add_option(command, name)
    _add_rig_options(command)


def _add_rig_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--rig", choices=RIG_KINDS, default="animation", help="bones of new bodies (default: animation)"
    )
    command.add_argument(
        "--no-root-motion", dest="root_motion", action="store_false", help="keep the whole motion on the pelvis"
    )


def _check_outputs(*files: Path) -> None:
    """Raises RefitError, and OSError, where a file cannot be written, before the job begins."""
    for path in files:
        absolute = path.absolute()
        if len(os.fsencode(absolute)) > LONGEST_PATH:
            raise RefitError(f"The path {str(path)[:60]}… is longer than Blender can take.")
        with contextlib.suppress(FileNotFoundError):
            os.stat(absolute)  # a part of the path is too long, or no folder
        if absolute.is_dir():
            raise RefitError(f"{path} is a folder, not a file to write.")
        there = next(one for one in (absolute, *absolute.parents) if one.exists())
        if not os.access(there, os.W_OK):
            raise RefitError(f"{path} cannot be written: permission denied.")


def _reconstruct(options: argparse.Namespace) -> None:
    _leave_startup_file()
    finished = api.reconstruct(options.image, focal=options.focal, boxes=options.bbox, **_job_options(options))
    _end(options, finished)


def _add_person(options: argparse.Namespace) -> None:
    engine_options = _engine_options(options)
    on_progress = engine_options.pop("on_progress")
    job_options = Options(**engine_options, overlay=options.keep is not None)
    finished = None
    for box in options.bbox:
        finished = api.add_person(options.reconstruction, box, job_options, keep=options.keep, on_progress=on_progress)
    if finished:  # there is one box at least
        _end(options, finished)


def _fit_cameras(options: argparse.Namespace) -> None:
    if options.frame is not None:
        bpy.context.scene.frame_set(options.frame)
    finished = api.fit_cameras(options.cameras, collection=options.collection, **_job_options(options))
    _end(options, finished)
    for made, person in zip(finished.outcome.bodies, finished.result.people, strict=True):
        print(f"    {made.rig.name}")
        for view, seen in zip(finished.result.views, person.views, strict=True):
            error = "not seen" if seen.error_px is None else f"{seen.error_px:.1f} px"
            role = f"used, weight {seen.weight:.2f}" if seen.used else "left out"
            print(f"        {view.name:<28}{error:>10}  {role}{f': {seen.reason}' if seen.reason else ''}")


def _track(options: argparse.Namespace) -> None:
    _leave_startup_file()
    if cli_folder.holds_movies(options.video):
        _track_folder(options)
        return
    finished = api.reconstruct_motion(
        options.video,
        _motion_options(options, [options.bbox] if options.bbox else None),
        wanted=options.frames,
        focal=options.focal,
        keep=options.keep,
        on_progress=_show_now_and_then(),
    )
    _end(options, finished)


def _track_folder(options: argparse.Namespace) -> None:
    cli_folder.check(options)
    finished = api.reconstruct_folder(
        options.video,
        _motion_options(options),
        wanted=options.frames,
        focal=options.focal,
        keep=options.keep,
        on_progress=_show_now_and_then(),
    )
    _end(options, finished)
    print(cli_folder.table(finished.clips))
    if finished.failed or len(finished.clips) < finished.total:
        raise RefitError(cli_folder.failure(finished))


def _track_cameras(options: argparse.Namespace) -> None:
    if options.step < 1:
        raise RefitError("The step must be at least 1.")
    finished = api.fit_motion_from_cameras(
        options.cameras,
        _motion_options(options),
        collection=options.collection,
        span=options.span,
        step=options.step,
        keep=options.keep,
        on_progress=_show_now_and_then(),
    )
    _end(options, finished)


def _motion_options(options: argparse.Namespace, boxes: list[list[float]] | None = None) -> Options:
    return Options(
        people=options.people,
        boxes=boxes,
        body=options.body,
        gender=options.gender,
        weights=options.weights,
        betas=api.shape_of(options.shape_of, options.body, options.gender) if options.shape_of else None,
        height=options.height,
        device=options.device,
        rig=options.rig,
        root_motion=options.root_motion,
    )


def _import_calibration(options: argparse.Namespace) -> None:
    _leave_startup_file()
    rig = api.import_calibration(*options.files, pictures=options.pictures, up=options.up, metres=options.metres)
    for message in rig.messages:
        print(f"refit: {message}", file=sys.stderr)
    _save(options.out)
    print(f"refit: {rig.summary()}, saved as {options.out}")


def _import_motion(options: argparse.Namespace) -> None:
    _leave_startup_file()
    wanted = {name: getattr(options, name) for name in ("body", "gender", "start", "rig")}
    _end(options, api.import_motion(options.file, **wanted))


def _fit_shape(options: argparse.Namespace) -> None:
    _leave_startup_file()
    finished = api.fit_shape(options.images, focal=options.focal, **_engine_options(options))
    _end(options, finished)
    for name, reason in finished.left_out:
        print(f"    {name:<28}left out: {reason}")


def _leave_startup_file() -> None:
    if not bpy.data.filepath:
        # The start-up file's cube is not part of the photo.
        bpy.ops.wm.read_homefile(use_empty=True)


def _job_options(options: argparse.Namespace) -> dict[str, Any]:
    return {
        **_engine_options(options),
        "people": options.people,
        "betas": api.shape_of(options.shape_of, options.body, options.gender) if options.shape_of else None,
        "keep": options.keep,
    }


def _engine_options(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "body": options.body,
        "gender": options.gender,
        "weights": options.weights,
        "height": options.height,
        "iterations": options.iterations,
        "device": options.device,
        "rig": options.rig,
        "root_motion": options.root_motion,
        "on_progress": _show,
    }


def _end(options: argparse.Namespace, finished: Summary) -> None:
    """Save what was made and say what it was."""
    for message in finished.messages:
        print(f"refit: {message}", file=sys.stderr)
    _save(options.out)
    cli_export.export_beside(options)
    print(f"refit: {finished.summary()}, saved as {options.out}")
    for stage, seconds in finished.seconds.items():
        print(f"    {stage:<32}{seconds:8.2f} s")


def _show(progress: Progress) -> None:
    print(f"refit: {progress}", file=sys.stderr, flush=True)


def _show_now_and_then() -> Callable[[Progress], None]:
    """For jobs of many steps: each stage, and a line every few seconds."""
    stage, since = "", 0.0

    def show(progress: Progress) -> None:
        nonlocal stage, since
        if progress.stage != stage or time.monotonic() - since > SECONDS_BETWEEN_LINES:
            stage, since = progress.stage, time.monotonic()
            _show(progress)

    return show


def _save(path: Path) -> None:
    """Compressed: a file with bodies gets four times as small."""
    if path.exists() and not path.is_file():  # Blender would put its file in the place of a device
        raise RefitError(f"{path} is not a regular file.")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        bpy.ops.wm.save_as_mainfile(filepath=str(path.absolute()), check_existing=False, compress=True)
    except RuntimeError as error:
        raise RefitError(f"{path} could not be saved: {str(error).strip()}.") from error
