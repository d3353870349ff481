# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `refit-engine track`."""

from __future__ import annotations

import argparse
import sys


def track(options: argparse.Namespace) -> int:
    """Run the command with its parsed options; returns the exit code. Raises RefitError, OSError."""
    from tqdm import tqdm

    from .fitting import FitOptions, Models
    from .fitting.motion import MotionFitter
    from .fitting.motion.output import write_motion_output
    from .motion_params import motion_request_of, read_betas

    request = motion_request_of(options)
    fit = FitOptions(
        people=options.people,
        body=options.body,
        gender=options.gender,
        weights=options.weights,
        betas=None if options.betas is None else read_betas(options.betas),
        height=options.height,
    )
    with tqdm(unit="frame", disable=None) as bar:
        present = ""

        def progress(stage: str, done: int, total: int) -> None:
            nonlocal present
            if stage != present:
                present = stage
                bar.reset(total)
                bar.set_description(stage)
            bar.update(done - bar.n)

        fitter = MotionFitter(Models(), fit, options.device, progress)
        result, views = fitter.track(request)
        body = fitter.subject().result_body
        drawn = not options.no_overlay
        output = write_motion_output(
            options.out, result, views, body, drawn, lambda done, total: progress("draw", done, total)
        )
    for message in fitter.messages:
        print(f"refit-engine: {message}", file=sys.stderr)
    seconds = ", ".join(f"{stage} {value:.1f} s" for stage, value in fitter.seconds.items() if value)
    print(f"{result.people} people, {len(result.times)} frames ({seconds}) -> {output.npz}", file=sys.stderr)
    return 0
