# SPDX-License-Identifier: GPL-3.0-or-later
"""A contact sheet of synthetic renders; projected markers are drawn over every other one.

python -m refit_training.render --pack pack.npz --poses poses.npz --out sheet.png
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import cv2
import numpy as np

from refit_training.poses import PoseLibrary
from refit_training.render.synthetic import RenderSampler

from .pack import AssetPack

log = logging.getLogger(__name__)

COLUMNS = 8


def contact_sheet(sampler: RenderSampler, rng: np.random.Generator, count: int) -> np.ndarray:
    """`count` renders in rows of eight, RGB uint8; those in odd columns with the body's markers over them."""
    views = sampler.views(rng, count)
    images = list(sampler.renders(rng, views))
    body = sampler.body
    markers = sampler.model.subset(body.marker_ids)(views.betas, views.rotmats) + views.transl[:, None]
    pixels = (markers @ views.intrinsics().mT).numpy()
    for index in range(1, count, 2):
        image = np.ascontiguousarray(images[index])
        for x, y, depth in pixels[index]:
            place = np.round((np.array([x, y]) / depth - 0.5) * 16).astype(int)
            cv2.circle(image, tuple(int(v) for v in place), 24, (0, 255, 60), -1, cv2.LINE_AA, shift=4)
        images[index] = image
    images += [np.zeros_like(images[0])] * (-count % COLUMNS)
    rows = [np.hstack(images[start : start + COLUMNS]) for start in range(0, len(images), COLUMNS)]
    return np.vstack(rows)


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pack", type=Path, required=True, help="asset pack")
    parser.add_argument("--poses", type=Path, required=True, help="pose library")
    parser.add_argument("--out", type=Path, required=True, help="picture file")
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sampler = RenderSampler(AssetPack.load(options.pack), PoseLibrary.load(options.poses))
    sheet = contact_sheet(sampler, np.random.default_rng(options.seed), options.count)
    cv2.imwrite(str(options.out), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    log.info("%s: %d renders", options.out, options.count)


if __name__ == "__main__":
    main()
