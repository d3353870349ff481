# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands behind a person, and the light it sends."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .pack import AssetPack, decode_image
from .panorama import Light

__all__ = ["BackgroundSpec", "random_background"]


@dataclass(frozen=True)
class BackgroundSpec:
    """Backdrop and light of one picture.

    world_from_camera [3,3]: rotation from the camera (X right, Y down, Z forward) to the panorama (Y up).
    panorama: image key, seen in perspective; or "" and image [h,w,3] uint8 RGB is stretched over the picture.
    light: in the panorama's frame, as the camera's white balance leaves it; balance [3]: the gains that it applied,
    still to be applied to the panorama; exposure multiplies all radiance.
    ground: whether people stand on something that takes their shadow.
    """

    world_from_camera: np.ndarray
    panorama: str
    image: np.ndarray | None
    light: Light
    balance: np.ndarray
    exposure: float
    ground: bool


def random_background(
    rng: np.random.Generator,
    pack: AssetPack,
    camera_from_world: np.ndarray,
    keys: list[str] | None = None,
) -> BackgroundSpec:
    """Draw a backdrop: mostly a panorama, else a photo patch, a gradient, coloured noise or clutter.

    camera_from_world [3,3]: rotation, world Y up. `keys` restricts the panoramas, to keep some for a test set.
    """
    keys = keys or pack.keys("panorama/")
    panorama = keys[rng.integers(len(keys))]
    c, s = np.cos(yaw := rng.uniform(0, 2 * np.pi)), np.sin(yaw)
    turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    light = _vary(pack.lights[panorama], rng)
    ambient = light.sh[0] * 0.282095 + 0.4 * light.sun_color
    balance = (ambient.mean() / np.maximum(ambient, 1e-4)) ** rng.uniform(0.5, 1.0)
    light = Light(light.sh * balance, light.sun, light.sun_color * balance)
    kind = rng.random()
    image = None
    if kind > 0.75:
        image = _flat_image(rng, pack, keys)
    return BackgroundSpec(
        world_from_camera=(turn @ np.asarray(camera_from_world).T).astype(np.float32),
        panorama=panorama if image is None else "",
        image=image,
        light=light,
        balance=balance.astype(np.float32),
        exposure=float(np.exp(rng.normal(0.05, 0.28)) / _meter(light)),
        ground=bool(rng.random() < (0.85 if image is None else 0.5)),
    )


def _meter(light: Light) -> float:
    """Brightness of a white surface in this light, over its directions: what a camera exposes for."""
    return float(light.sh[0].mean() * 0.282095 + 0.4 * light.sun_color.mean())


def _vary(light: Light, rng: np.random.Generator) -> Light:
    """Other strength, height and colour of the sun than the panorama's own."""
    strength = float(np.exp(rng.normal(0, 0.5)))
    sun = light.sun + rng.normal(0, 0.15, 3)
    sun[1] = abs(sun[1]) + 0.05
    brightness = max(float(light.sun_color.mean()), 0.02)
    color = np.clip(light.sun_color, 0.3 * brightness, 2 * brightness) * strength
    # People in a photograph are exposed for: bound the sun by the soft light.
    soft = float(light.sh[0].mean() * 0.282095)
    color = color * min(1.0, 3.0 * soft / max(float(color.mean()), 1e-6))
    return Light(
        light.sh.astype(np.float32),
        (sun / np.linalg.norm(sun)).astype(np.float32),
        color.astype(np.float32),
    )


def _flat_image(rng: np.random.Generator, pack: AssetPack, keys: list[str]) -> np.ndarray:
    kind = rng.random()
    photos = pack.keys("photo/")
    if kind < 0.6 and photos:
        photo = decode_image(pack.images[photos[rng.integers(len(photos))]])
        return _patch(rng, photo, 0.35)
    if kind < 0.7:
        return _patch(rng, decode_image(pack.images[keys[rng.integers(len(keys))]]), 0.12)
    if kind < 0.84:  # gradient, as of a studio wall
        grey = rng.uniform(20, 250)
        wall = grey + rng.uniform(0, 1) ** 2 * (rng.uniform(0, 255, 3) - grey)
        corners = wall * rng.uniform(0.5, 1.1, (4, 1)) * rng.uniform(0.95, 1.05, (4, 3))
        small = np.clip(corners, 0, 255).reshape(2, 2, 3).astype(np.float32)
        return cv2.resize(small, (256, 256), interpolation=cv2.INTER_LINEAR).astype(np.uint8)
    if kind < 0.92:  # coloured noise of a few scales
        image = np.zeros((256, 256, 3), np.float32)
        for cells in (3, 8, 24, 96):
            grid = rng.normal(0, 1, (cells, cells, 3)).astype(np.float32)
            grid = 0.6 * grid[..., :1] + 0.4 * grid
            image += cv2.resize(grid, (256, 256), interpolation=cv2.INTER_CUBIC) * rng.uniform(0, 28)
        return np.clip(image + rng.uniform(40, 210, 3), 0, 255).astype(np.uint8)
    return _clutter(rng, pack)


def _patch(rng: np.random.Generator, image: np.ndarray, smallest: float) -> np.ndarray:
    """A random square window, mirrored at random."""
    side = int(min(image.shape[:2]) * rng.uniform(smallest, 1))
    top = rng.integers(image.shape[0] - side + 1)
    left = rng.integers(image.shape[1] - side + 1)
    window = image[top : top + side, left : left + side]
    if rng.random() < 0.5:
        window = window[:, ::-1]
    return cv2.resize(window, (384, 384), interpolation=cv2.INTER_AREA if side > 384 else cv2.INTER_CUBIC)


def _clutter(rng: np.random.Generator, pack: AssetPack) -> np.ndarray:
    """Overlapping polygons filled with bits of the pack's pictures, like furniture seen askew."""
    keys = pack.keys("clothes/") + pack.keys("panorama/")
    canvas = np.full((256, 256, 3), rng.uniform(20, 230, 3), np.uint8)
    for _ in range(rng.integers(5, 16)):
        fill = np.full((256, 256, 3), rng.uniform(10, 245, 3), np.uint8)
        if rng.random() < 0.4:
            source = decode_image(pack.images[keys[rng.integers(len(keys))]])[..., :3]
            fill = cv2.resize(_patch(rng, np.ascontiguousarray(source), 0.2), (256, 256))
        centre, reach = rng.uniform(0, 256, 2), rng.uniform(20, 120)
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 7)))
        points = centre + reach * np.stack([np.cos(angles), np.sin(angles)], 1) * rng.uniform(0.4, 1.3, 2)
        mask = np.zeros((256, 256), np.uint8)
        cv2.fillPoly(mask, [points.astype(np.int32)], 1)
        canvas = np.where(mask[..., None] == 1, fill, canvas)
    return canvas
