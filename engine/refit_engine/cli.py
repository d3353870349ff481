# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line `refit-engine`. Data go to stdout, everything else to stderr; failures are one sentence."""

from __future__ import annotations

import argparse
import errno
import io
import json
import logging
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from . import __version__
from .cli_motion import add_observe, add_track
from .cli_values import add_body, box, check_folder
from .contract import OPTIONS, VIEWS_ITERATIONS, add_option
from .errors import RefitError
from .packages import check_packages

if TYPE_CHECKING:
    from .fitting import FitOptions

MULTIVIEW = ("fit-views", "separate", "average", "together")
"""`evaluate.MultiView`, which is not imported before it is needed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, 1 for a failure, 2 for a wrong call."""
    options = _parser().parse_args(_spelled_out(sys.argv[1:] if arguments is None else arguments))
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(name)s: %(message)s")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # its encoding may lack letters of a file's name
    try:
        check_packages()
        return options.command(options)
    except RefitError as error:
        print(f"refit-engine: {error}", file=sys.stderr)
    except MemoryError:
        print("refit-engine: There is not enough memory for this job.", file=sys.stderr)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        print(f"refit-engine: {error.strerror or error}{where}.", file=sys.stderr)
    except KeyboardInterrupt:
        print("refit-engine: Cancelled.", file=sys.stderr)
    return 1


def _spelled_out(arguments: Sequence[str]) -> list[str]:
    """The arguments with `--multiview` alone as `--multiview fit-views`: what follows may be the dataset."""
    words = list(arguments)
    for place, word in enumerate(arguments):
        if word == "--multiview" and words[place + 1 : place + 2] not in [[how] for how in MULTIVIEW]:
            words[place] = "--multiview=fit-views"
    return words


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="refit-engine", description="Posed 3D bodies of the people in photos.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, add_arguments, purpose in (
        ("detect", _add_detect, "print the people's boxes and scores as JSON"),
        ("reconstruct", _add_reconstruct, "fit a body to each person: result.npz and overlay.png"),
        ("fit-views", _add_fit_views, "fit one body to each person seen by calibrated cameras"),
        ("track", add_track, "fit moving bodies to the people of a video: motion.npz and overlay.mp4"),
        ("observe", add_observe, "do a part of a motion job's work, on one of several machines"),
        ("evaluate", _add_evaluate, "predict the joints of a dataset's people"),
        ("maps", _add_maps, "draw the network's keypoint maps of the largest person, or of the box"),
        ("bench", _add_bench, "print times per stage as JSON"),
    ):
        add_arguments(commands.add_parser(name, help=purpose))
    return parser


def _add_detect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    add_option(parser, "people")
    add_option(parser, "device")
    parser.set_defaults(command=_detect)


def _add_reconstruct(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="of several images, one in it each")
    parser.add_argument("--bbox", action="append", type=box, metavar="x,y,w,h", help="a person's box; may repeat")
    parser.add_argument("--focal", type=float, metavar="F", help="focal length in pixels")
    parser.add_argument("--no-confidence", action="store_true", help="do not estimate the joints' standard deviations")
    add_option(parser, "people")
    add_option(parser, "height")
    _add_solve(parser)
    parser.set_defaults(command=_reconstruct)


def _add_fit_views(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "views", type=Path, metavar="VIEWS.json", help="list of name, image, K, R_world2cam, t_world2cam, distortion"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="for result.npz and overlays")
    add_option(parser, "people")
    add_option(parser, "height")
    _add_solve(parser, VIEWS_ITERATIONS)
    parser.set_defaults(command=_fit_views)


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", type=Path, metavar="DATASET.json")
    parser.add_argument("--out", required=True, type=Path, metavar="predictions.jsonl")
    parser.add_argument(
        "--multiview",
        choices=MULTIVIEW,
        help="bodies of groups of views, too: as fit-views does it (the same as --multiview alone), or as in the paper's "
        "table 5, separate, averaged at the end, or together after every update",
    )
    parser.add_argument(
        "--flip", action="store_true", help="average single views with their mirrored crop, as the paper does"
    )
    parser.add_argument("--sequences", action="store_true", help="solve records with a sequence and a time together")
    _add_solve(parser)
    parser.set_defaults(command=_evaluate, iterations=None, error=parser.error)


def _add_maps(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", type=Path, metavar="IMAGE")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="for sheet.png and a picture a keypoint")
    parser.add_argument("--bbox", type=box, metavar="x,y,w,h", help="the person's box")
    parser.add_argument("--focal", type=float, metavar="F", help="focal length in pixels")
    _add_solve(parser)
    parser.set_defaults(command=_maps)


def _add_bench(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--hrnet", action="store_true", help="also the published HRNet-W48 network, plain and prepared")
    parser.add_argument(
        "--motion",
        nargs="?",
        type=Path,
        const=True,
        metavar="VIDEO",
        help="frames a second with which a video is followed instead; without VIDEO, a drawn one",
    )
    add_option(parser, "device")
    parser.set_defaults(command=_bench)


def _add_solve(parser: argparse.ArgumentParser, iterations: int | None = None) -> None:
    add_body(parser)
    add_option(parser, "iterations", iterations)
    add_option(parser, "device")


def _detect(options: argparse.Namespace) -> int:
    from .fitting import FitOptions, Fitter, Models
    from .images import read_photo

    fitter = Fitter(Models(), FitOptions(people=options.people), options.device)
    records: list[dict[str, object]] = []
    failed = False
    for path in options.images:
        record: dict[str, object] = {"image": str(path)}
        try:
            photo = read_photo(path).upright()
            people = fitter.detect(photo)
            record["image_size"] = list(photo.size)
            record["people"] = [
                {"bbox_xywh": [round(float(v), 2) for v in one.bbox_xywh], "score": round(float(one.score), 4)}
                for one in people
            ]
        except RefitError as error:
            print(f"refit-engine: {error}", file=sys.stderr)
            record["error"] = str(error)
            failed = True
        records.append(record)
    print(json.dumps(records, indent=1))
    return int(failed)


def _reconstruct(options: argparse.Namespace) -> int:
    import numpy as np
    from tqdm import tqdm

    from .fitting import Fitter, ImageRequest, Models
    from .fitting.output import write_output

    check_folder(options.out)
    fitter = Fitter(Models(), _fit_options(options), options.device)
    boxes = np.array(options.bbox) if options.bbox else None
    failed = False
    for path, folder in zip(tqdm(options.images, unit="image", disable=None), _folders(options), strict=True):
        try:
            result, photo = fitter.reconstruct(ImageRequest(path, boxes_xywh=boxes, focal=options.focal))
        except RefitError as error:
            if len(options.images) == 1:
                raise
            tqdm.write(f"refit-engine: {error}", file=sys.stderr)
            failed = True
            continue
        output = write_output(folder, result, photo, fitter.subject().result_body.data, overlay=True)
        done = f"{path}: {output.people} people, {result.focal_source} focal length -> {output.npz}"
        tqdm.write(done, file=sys.stderr)
    for message in fitter.messages:
        print(f"refit-engine: {message}", file=sys.stderr)
    return int(failed)


def _folders(options: argparse.Namespace) -> list[Path]:
    """DIR itself for one image; a folder named after each of several, numbered where names repeat."""
    if len(options.images) == 1:
        return [options.out]
    folders: list[Path] = []
    for path in options.images:
        folder, number = options.out / path.stem, 2
        while folder in folders:
            folder, number = options.out / f"{path.stem}_{number}", number + 1
        folders.append(folder)
    return folders


def _fit_views(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from .fitting import Models, ViewFitter
    from .fitting.output import write_views_output
    from .job_params import read_views

    requests = read_views(options.views)
    check_folder(options.out)
    with tqdm(total=len(requests), unit="view", disable=None) as bar:
        begun = 0

        def step(stage: str) -> None:
            nonlocal begun
            bar.update(begun - bar.n)  # the views begun before are done
            begun += stage == "detect"

        fitter = ViewFitter(Models(), _fit_options(options), options.device, step)
        result, views = fitter.reconstruct(requests)
    output = write_views_output(options.out, result, views, fitter.subject().result_body.data, overlay=True)
    for person in range(result.people):
        print(f"person {person + 1}:", file=sys.stderr)
        told = zip(result.view_names, result.reprojection_errors[person], result.reasons[person], strict=True)
        for name, error, reason in told:
            words = [f"{error:.1f} px"] * math.isfinite(error) + [reason] * bool(reason)
            print(f"  {name}: {'; '.join(words)}", file=sys.stderr)
    for message in fitter.messages:
        print(f"refit-engine: {message}", file=sys.stderr)
    print(f"{result.people} people -> {output.npz}", file=sys.stderr)
    return 0


def _maps(options: argparse.Namespace) -> int:
    import numpy as np

    from .fitting import ImageRequest, Models
    from .fitting.feature_maps import MapFitter
    from .fitting.output import write_maps

    check_folder(options.out)
    fitter = MapFitter(Models(), _fit_options(options), options.device)
    boxes = np.array([options.bbox]) if options.bbox else None
    maps = fitter.feature_maps(ImageRequest(options.image, boxes_xywh=boxes, focal=options.focal))
    sheet = write_maps(options.out, maps, tiles=True)
    for message in fitter.messages:
        print(f"refit-engine: {message}", file=sys.stderr)
    print(f"{len(maps.names)} keypoint maps -> {sheet}", file=sys.stderr)
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from dataclasses import replace

    from tqdm import tqdm

    from .evaluate import multiview_predictions, predictions, read_dataset
    from .evaluate_sequences import sequence_predictions
    from .fitting import Fitter, Models
    from .fitting.job import FitJob
    from .fitting.motion import MotionFitter

    if options.flip and options.multiview not in (None, "separate"):
        options.error("--flip is for single views: leave out --multiview, or say --multiview separate")
    records = read_dataset(options.dataset)
    if options.out.is_dir():
        raise IsADirectoryError(errno.EISDIR, "It is a folder, not a file to write", str(options.out))
    check_folder(options.out.parent)
    models, solve = Models(), _fit_options(options)
    given = options.iterations
    alone = replace(solve, iterations=OPTIONS["iterations"].default if given is None else given)
    fitter = Fitter(models, replace(alone, flip=options.flip), options.device)
    fitter.subject()  # wrong files show before the first line is written
    updates_together = given is None and options.multiview in ("fit-views", "together")
    together = FitJob(
        models, replace(alone, iterations=VIEWS_ITERATIONS) if updates_together else alone, options.device
    )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    failures = 0
    with options.out.open("w", encoding="utf-8") as stream:
        if options.sequences:
            together = MotionFitter(models, solve, options.device)
            lines = sequence_predictions(records, options.dataset.parent, together, bool(options.multiview))
        elif options.multiview:
            lines = multiview_predictions(records, options.dataset.parent, fitter, together, options.multiview)
        else:
            lines = predictions(records, options.dataset.parent, fitter)
        for prediction in tqdm(lines, total=len(records), unit="record", disable=None):
            failures += "error" in prediction
            stream.write(json.dumps(prediction) + "\n")
    for message in together.messages:
        print(f"refit-engine: {message}", file=sys.stderr)
    if failures:
        print(f"refit-engine: {failures} of {len(records)} records failed; see their errors.", file=sys.stderr)
    return int(bool(records) and failures == len(records))


def _fit_options(options: argparse.Namespace) -> FitOptions:
    from .fitting import FitOptions

    return FitOptions(
        people=getattr(options, "people", OPTIONS["people"].default),
        body=options.body,
        gender=options.gender,
        weights=options.weights,
        iterations=options.iterations,
        confidence=not getattr(options, "no_confidence", True),
        height=getattr(options, "height", None),
    )


def _bench(options: argparse.Namespace) -> int:
    if options.motion:
        from .bench_motion import bench_motion

        report = bench_motion(options.device, None if options.motion is True else options.motion)
    else:
        from .bench import bench

        report = bench(options.device, hrnet=options.hrnet)
    print(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
