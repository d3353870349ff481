# SPDX-License-Identifier: GPL-3.0-or-later
"""python -m refit_training.poses: build a pose library and draw samples of it."""

import argparse
import logging
from pathlib import Path

import cv2
import numpy as np

from refit_training.poses.draw import contact_sheet
from refit_training.poses.library import PoseLibrary
from refit_training.poses.report import describe


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m refit_training.poses", description=(__doc__ or "").split(": ")[1])
    parser.add_argument(
        "--mocap",
        type=Path,
        required=True,
        help="folder with cmu_expmap.npz, *.asf.xz, *.amc.xz, *.bvh, more_clips.npz",
    )
    parser.add_argument("--out", type=Path, required=True, help="pose library to write (.npz)")
    parser.add_argument("--sheet", type=Path, help="contact sheet of drawn samples to write (.png)")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    library = PoseLibrary.build(arguments.mocap)
    library.save(arguments.out)
    samples = library.sample(np.random.default_rng(0), 4000)
    print(f"{arguments.out}: {len(library)} poses, {arguments.out.stat().st_size / 1e6:.1f} MB")
    print(describe(library.rotmats(), samples))
    if arguments.sheet:
        cv2.imwrite(str(arguments.sheet), contact_sheet(samples[:96]))


if __name__ == "__main__":
    main()
