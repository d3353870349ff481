# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether people stand on the floor: views from the side and from above beside each photo, and how high their feet are.

    python -m refit_training.evaluation.floor_sheet PICTURE [PICTURE …] --out floor.jpg

A PICTURE is an image file, or VIDEO@FRAME. The bodies are those of `refit-engine reconstruct` with its defaults. Prints
for each picture where the world's up comes from, how high the camera is, and of everybody how tall they are, whether they
stand on the floor, and how high the lowest vertex of the whole body and of each foot is above it, centimetres.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import cv2
import numpy as np
from refit_engine.body import BodyData, load_body
from refit_engine.fitting.ground import feet_of
from refit_engine.fitting.height import standing_height
from refit_engine.fitting.models import FitOptions, Models
from refit_engine.fitting.single import Fitter, ImageRequest
from refit_engine.overlay import draw_overlay
from refit_engine.results import ImageResult
from tqdm import tqdm

from .overlay_sheet import ROW_HEIGHT, read_picture, sheet

VIEW_WIDTH, FAR, MARGIN = 470, 500.0, 0.5
"""Pixels; metres from which bodies are seen, nearly without perspective; metres around them."""
FLOOR_COLOUR, CAMERA_COLOUR = (90, 90, 90), (220, 50, 40)


def in_world(result: ImageResult) -> np.ndarray:
    """All vertices [N,V,3] in a world whose floor is Z = 0: X to the right, Y away from the camera, Z up, metres."""
    up = result.up_cam
    ahead = np.array([0.0, 0, 1]) - up * up[2]
    ahead /= np.linalg.norm(ahead)
    axes = np.array([np.cross(ahead, up), ahead, up])
    return result.vertices_cam.astype(np.float64) @ axes.T + (0, 0, result.camera_height)


def heights_above_floor(result: ImageResult, body: BodyData) -> list[dict[str, object]]:
    """Of everybody: see the module."""
    return [
        {
            "on_floor": bool(on_floor),
            "tall_m": round(standing_height(body, betas), 2),
            "lowest_cm": round(100 * float(z.min()), 1),
            "feet_cm": [round(100 * float(z[foot].min()), 1) for foot in feet_of(body)],
        }
        for z, betas, on_floor in zip(in_world(result)[..., 2], result.betas, result.on_floor, strict=True)
    ]


def view(world: np.ndarray, faces: np.ndarray, camera: np.ndarray, right: np.ndarray, up: np.ndarray) -> np.ndarray:
    """[ROW_HEIGHT,VIEW_WIDTH,3] RGB: bodies [N,V,3] and the photo's camera [3] seen along right × up, from afar."""
    axes = np.array([right, -up, np.cross(right, -up)])
    points, camera = world @ axes.T, axes @ camera
    ends = np.concatenate([points.reshape(-1, 3), camera[None]])
    low, high = ends.min(axis=0) - MARGIN, ends.max(axis=0) + MARGIN
    scale = float(min(VIEW_WIDTH / (high - low)[0], ROW_HEIGHT / (high - low)[1]))
    middle = (low + high) / 2
    image = np.full((ROW_HEIGHT, VIEW_WIDTH, 3), 245, np.uint8)

    def pixel(place: np.ndarray) -> tuple[int, int]:
        x, y = (place - middle)[:2] * scale + (VIEW_WIDTH / 2, ROW_HEIGHT / 2)
        return round(x), round(y)

    if up[2]:
        level = pixel(np.zeros(3))[1]
        cv2.line(image, (0, level), (VIEW_WIDTH, level), FLOOR_COLOUR, 1)
    cv2.circle(image, pixel(camera), 6, CAMERA_COLOUR, -1, cv2.LINE_AA)
    K = np.array([[scale * FAR, 0, VIEW_WIDTH / 2], [0, scale * FAR, ROW_HEIGHT / 2], [0, 0, 1]])
    return draw_overlay(image, points - middle + (0, 0, FAR), faces, K)


def tile(result: ImageResult, picture: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """[ROW_HEIGHT,w,3] RGB: the picture with its bodies, the bodies from the right, and from above."""
    drawn = draw_overlay(picture, result.vertices_cam, faces, result.K)
    width = round(drawn.shape[1] * ROW_HEIGHT / drawn.shape[0])
    world, camera = in_world(result), np.array([0.0, 0, result.camera_height])
    x, y, z = np.eye(3)
    views = [view(world, faces, camera, right, up) for right, up in ((y, z), (y, -x))]
    return np.hstack([cv2.resize(drawn, (width, ROW_HEIGHT), interpolation=cv2.INTER_AREA), *views])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    fitter, body, tiles = Fitter(Models(), FitOptions(confidence=False)), load_body(), []
    for name in tqdm(options.pictures, unit="picture", disable=None):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "picture.png"
            cv2.imwrite(str(path), read_picture(name))
            result, photo = fitter.reconstruct(ImageRequest(path))
        seen = {"picture": name, "up": result.up_source, "sure": result.up_sure}
        height = round(result.camera_height, 2)
        print(json.dumps({**seen, "camera_height": height, "people": heights_above_floor(result, body)}))
        tiles.append(tile(result, photo.pixels, body.faces))
    cv2.imwrite(str(options.out), sheet(tiles)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 75])


if __name__ == "__main__":
    main()
