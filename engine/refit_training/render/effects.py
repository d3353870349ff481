# SPDX-License-Identifier: GPL-3.0-or-later
"""What cameras and files do to a picture, and what stands in front of people: 2D, on uint8 RGB."""

from __future__ import annotations

import cv2
import numpy as np

from refit_training.known import known

from .pack import AssetPack, decode_image

__all__ = ["add_occluders", "black_outside", "camera_effects", "random_photo_corners"]


def random_photo_corners(
    rng: np.random.Generator, intrinsics: np.ndarray, size: int, up: np.ndarray, subject: np.ndarray
) -> np.ndarray | None:
    """Corners [4,2] (crop pixels) of the photo that a crop was taken from, or None where it covers the crop.

    Level with `up` [3], the world's up vector in the camera frame, to a few degrees, or upright in the crop where
    up is not to be seen. Its borders run beside the points `subject` [N,2] (pixels) or cut off up to a quarter of
    them on one side.
    """
    if rng.random() < 0.6 or not len(subject):
        return None
    angle = np.arctan2(up[0], -up[1]) if np.hypot(up[0], up[1]) > 0.3 else 0.0
    angle += np.radians(rng.normal(0, 3))
    axes = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    placed = subject @ axes.T
    reach = np.array([[0, 0], [size, 0], [size, size], [0, size]]) @ axes.T
    low, high = reach.min(0), reach.max(0)
    # One or two borders come into view.
    for order, side in enumerate(rng.permutation(4)[: 1 + (rng.random() < 0.4)]):
        axis, upper = side % 2, side >= 2
        cut = order == 0 and rng.random() < 0.4
        share = rng.uniform(0.75, 1.0) if cut else 1.0
        edge = np.quantile(placed[:, axis], share if upper else 1 - share)
        margin = 0.0 if cut else size * rng.exponential(0.08)
        if upper:
            high[axis] = min(high[axis], edge + margin)
        else:
            low[axis] = max(low[axis], edge - margin)
    corners = np.array([[low[0], low[1]], [high[0], low[1]], [high[0], high[1]], [low[0], high[1]]])
    return corners @ axes


def black_outside(image: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Zero what lies outside the convex polygon `corners` [N,2] in pixels (origin: first pixel's corner)."""
    mask = np.zeros(image.shape[:2], np.uint8)
    fixed = np.round((corners - 0.5) * 16).astype(np.int64).clip(-(2**24), 2**24).astype(np.int32)
    cv2.fillConvexPoly(mask, fixed, 255, cv2.LINE_AA, shift=4)
    return cv2.multiply(image, cv2.cvtColor(mask, cv2.COLOR_GRAY2RGB), scale=1 / 255)


def add_occluders(
    image: np.ndarray, rng: np.random.Generator, pack: AssetPack, centre: np.ndarray, reach: float
) -> np.ndarray:
    """Put one or two things in front: rounded shapes, poles, or a wall from one side.

    Placed within `reach` pixels of `centre` [2]; filled with a colour or a piece of the pack's pictures.
    """
    size = image.shape[0]
    keys = pack.keys("clothes/") + pack.keys("panorama/") + pack.keys("photo/")
    for _ in range(1 + (rng.random() < 0.3)):
        mask = np.zeros((size, size), np.uint8)
        kind = rng.random()
        place = centre + rng.uniform(-0.8, 0.8, 2) * reach
        extent = reach * rng.uniform(0.08, 0.4, 2)
        angle = float(rng.uniform(0, 180))
        if kind < 0.25:
            cv2.ellipse(mask, _point(place), _point(extent), angle, 0, 360, 255, -1, cv2.LINE_AA)
        elif kind < 0.7:
            turns = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(4, 9)))
            points = place + 1.2 * extent * np.stack([np.cos(turns), np.sin(turns)], 1)
            cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 255, cv2.LINE_AA)
        elif kind < 0.85:
            direction = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))]) * 2 * size
            cv2.line(
                mask,
                _point(place - direction),
                _point(place + direction),
                255,
                int(rng.uniform(0.03, 0.12) * size),
                cv2.LINE_AA,
            )
        else:
            normal = np.array([np.cos(np.radians(angle * 2)), np.sin(np.radians(angle * 2))])
            edge = centre + normal * reach * rng.uniform(0.2, 0.9)
            along = np.array([-normal[1], normal[0]]) * 3 * size
            points = [edge - along, edge + along, edge + along + normal * 4 * size, edge - along + normal * 4 * size]
            cv2.fillConvexPoly(mask, np.round(points).astype(np.int32), 255, cv2.LINE_AA)
        fill = np.empty_like(image)
        fill[:] = rng.uniform(5, 235, 3)
        if rng.random() < 0.85:
            source = decode_image(pack.images[keys[rng.integers(len(keys))]])
            side = int(min(source.shape[:2]) * rng.uniform(0.1, 0.6))
            top, left = (rng.integers(limit - side + 1) for limit in source.shape[:2])
            fill = cv2.resize(np.ascontiguousarray(source[top : top + side, left : left + side, :3]), (size, size))
        ramp = np.linspace(rng.uniform(0.5, 1.2), rng.uniform(0.5, 1.2), size, dtype=np.float32)[:, None, None]
        fill = np.clip(fill * ramp, 0, 255)
        alpha = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.4, 2.5)).astype(np.float32)[..., None] / 255
        image = (image + alpha * (fill - image)).astype(np.uint8)
    return image


def _point(value: np.ndarray) -> tuple[int, int]:
    return int(round(value[0])), int(round(value[1]))


def camera_effects(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blur, colour, noise and compression of an ordinary photo, in the order in which they arise."""
    image = _lens(image, rng)
    image = _color(image, rng)
    image = _sensor_noise(image, rng)
    if rng.random() < 0.6:
        quality = int(rng.uniform(25, 95))
        image = known(cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1))
    return image


def _lens(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size = image.shape[0]
    kind = rng.random()
    if kind < 0.1:  # motion
        length = int(rng.integers(3, 9))
        kernel = np.zeros((2 * length + 1,) * 2, np.float32)
        turn = rng.uniform(0, np.pi)
        step = np.array([np.cos(turn), np.sin(turn)]) * length / 2
        cv2.line(kernel, _point(length - step), _point(length + step), 1.0, 1, cv2.LINE_AA)
        return cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)
    if kind < 0.3:  # defocus
        return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.4))
    if kind < 0.55:  # a small person in a photo, enlarged
        small = int(size * rng.uniform(0.35, 0.9))
        methods = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_AREA)
        reduced = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
        return cv2.resize(reduced, (size, size), interpolation=methods[rng.integers(3)])
    if kind < 0.7:  # sharpened by the camera
        soft = cv2.GaussianBlur(image, (0, 0), 1.0)
        amount = rng.uniform(0.2, 1.0)
        return cv2.addWeighted(image, 1 + amount, soft, -amount, 0)
    return image


def _color(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """White balance, gamma and contrast by table; sometimes grey or faded."""
    x = np.arange(256, dtype=np.float32) / 255
    tables = []
    gamma, contrast, lift = np.exp(rng.normal(-0.04, 0.13)), np.exp(rng.normal(0.05, 0.12)), rng.normal(0, 0.02)
    for _ in range(3):
        y = x ** (gamma * np.exp(rng.normal(0, 0.035)))
        y = 0.45 + (y - 0.45) * contrast + lift + rng.normal(0, 0.01)
        tables.append(y)
    table = np.clip(255 * np.stack(tables, 1), 0, 255).astype(np.uint8)[None]
    image = cv2.LUT(image, table)
    saturation = 0.0 if rng.random() < 0.05 else float(np.clip(rng.normal(1.0, 0.2), 0, 1.6))
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(image, saturation, grey, 1 - saturation, 0)


def _sensor_noise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.35:
        return image
    strength = float(rng.exponential(3.0))
    if strength < 0.5:
        return image
    # int8 noise from raw bytes is many times faster than drawing normal deviates.
    raw = np.frombuffer(rng.bytes(image.size * 2), np.uint8).reshape(2, *image.shape)
    noise = (raw[0].astype(np.float32) + raw[1] - 255) * (strength / 104)
    if rng.random() < 0.5:
        noise = cv2.GaussianBlur(noise, (0, 0), 0.7) * 1.6
    return np.clip(image + noise, 0, 255).astype(np.uint8)
