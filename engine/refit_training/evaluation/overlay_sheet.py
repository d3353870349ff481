# SPDX-License-Identifier: GPL-3.0-or-later
"""Photographs with everybody's bodies drawn over them, side by side on one sheet.

    python -m refit_training.evaluation.overlay_sheet PICTURE [PICTURE …] --out overlays.jpg

A PICTURE is an image file, or VIDEO@FRAME. The bodies are those of `refit-engine reconstruct` with its defaults.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
from refit_engine.body import load_body
from refit_engine.fitting.models import FitOptions, Models
from refit_engine.fitting.single import Fitter, ImageRequest
from refit_engine.overlay import draw_overlay
from tqdm import tqdm

ROW_HEIGHT, WIDTH = 308, 1100


def read_picture(name: str) -> np.ndarray:
    """[H,W,3] uint8 BGR. Raises OSError."""
    path, _, frame = name.partition("@")
    if not frame:
        picture = cv2.imread(path)
    else:
        video = cv2.VideoCapture(path)
        video.set(cv2.CAP_PROP_POS_FRAMES, int(frame))
        _, picture = video.read()
    if picture is None:
        raise OSError(f"{name} could not be read.")
    return picture


def overlay(fitter: Fitter, picture: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """The picture [H,W,3] BGR with the bodies of all people in it, ROW_HEIGHT high."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        cv2.imwrite(str(path), picture)
        result, photo = fitter.reconstruct(ImageRequest(path))
    drawn = draw_overlay(photo.pixels, result.vertices_cam, faces, result.K)[..., ::-1]
    width = round(drawn.shape[1] * ROW_HEIGHT / drawn.shape[0])
    return cv2.resize(drawn, (width, ROW_HEIGHT), interpolation=cv2.INTER_AREA)


def sheet(tiles: list[np.ndarray]) -> np.ndarray:
    """Rows of tiles [ROW_HEIGHT,w,3], each scaled to the sheet's width."""
    rows: list[list[np.ndarray]] = [[]]
    for tile in tiles:
        if rows[-1] and sum(one.shape[1] for one in rows[-1]) + tile.shape[1] / 2 > WIDTH:
            rows.append([])
        rows[-1].append(tile)
    joined = [np.hstack(row) for row in rows]
    return np.vstack(
        [
            cv2.resize(row, (WIDTH, round(ROW_HEIGHT * WIDTH / row.shape[1])), interpolation=cv2.INTER_AREA)
            for row in joined
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="+")
    parser.add_argument("--weights", type=Path, help="default: the bundled ones")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    fitter = Fitter(Models(), FitOptions(weights=options.weights, confidence=False))
    faces = load_body().faces
    tiles = [overlay(fitter, read_picture(name), faces) for name in tqdm(options.pictures, unit="picture")]
    cv2.imwrite(str(options.out), sheet(tiles), [cv2.IMWRITE_JPEG_QUALITY, 75, cv2.IMWRITE_JPEG_PROGRESSIVE, 1])


if __name__ == "__main__":
    main()
