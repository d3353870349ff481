# SPDX-License-Identifier: GPL-3.0-or-later
"""Light from panoramas: spherical harmonics, the sun, and an 8-bit code for radiance.

World frame: Y up. An equirectangular image looks at -Z in its middle column, at +X a quarter to the right of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

__all__ = ["Light", "decode_radiance", "directions", "encode_radiance", "light_of", "sh_basis"]


@dataclass(frozen=True)
class Light:
    """Distant light in a world with Y up.

    `sh` [9,3]: irradiance over pi in real spherical harmonics (order 2), ready to multiply with an albedo.
    `sun` [3]: unit vector towards the strongest light; `sun_color` [3]: its irradiance over pi.
    """

    sh: np.ndarray
    sun: np.ndarray
    sun_color: np.ndarray


def encode_radiance(radiance: np.ndarray) -> np.ndarray:
    """Linear radiance (1 = mid brightness) to uint8, keeping highlights: sqrt(x / (1 + x))."""
    x = np.maximum(radiance, 0)
    return np.round(255 * np.sqrt(x / (1 + x))).astype(np.uint8)


def decode_radiance(code: np.ndarray) -> np.ndarray:
    """Inverse of `encode_radiance`."""
    y = (code / 255.0) ** 2
    return y / np.maximum(1 - y, 1e-3)


def directions(height: int, width: int) -> np.ndarray:
    """Unit viewing directions [H,W,3] of the pixels of an equirectangular image."""
    azimuth = ((np.arange(width) + 0.5) / width - 0.5) * 2 * np.pi
    elevation = (0.5 - (np.arange(height) + 0.5) / height) * np.pi
    level = np.cos(elevation)[:, None]
    up = np.broadcast_to(np.sin(elevation)[:, None], (height, width))
    return np.stack([level * np.sin(azimuth), up, -level * np.cos(azimuth)], axis=-1)


def sh_basis(n: np.ndarray) -> np.ndarray:
    """Real spherical harmonics up to order 2 of unit vectors `n` [...,3]: [...,9]."""
    x, y, z = n[..., 0], n[..., 1], n[..., 2]
    return np.stack(
        [
            np.full_like(x, 0.282095),
            0.488603 * y,
            0.488603 * z,
            0.488603 * x,
            1.092548 * x * y,
            1.092548 * y * z,
            0.315392 * (3 * z * z - 1),
            1.092548 * x * z,
            0.546274 * (x * x - y * y),
        ],
        axis=-1,
    )


def light_of(radiance: np.ndarray) -> Light:
    """Split an equirectangular linear radiance image [H,W,3] into one sun and soft light.

    Irradiance from radiance by the clamped-cosine factors of Ramamoorthi and Hanrahan (2001): pi, 2 pi/3, pi/4.
    """
    small = cv2.resize(radiance, (256, 128), interpolation=cv2.INTER_AREA)
    n = directions(128, 256)
    solid_angle = (2 * np.pi / 256) * (np.pi / 128) * np.sqrt(n[..., 0] ** 2 + n[..., 2] ** 2)
    energy = small.sum(-1) * solid_angle
    peak = np.unravel_index(np.argmax(cv2.GaussianBlur(energy, (0, 0), 2)), energy.shape)
    near = n @ n[peak] > np.cos(np.radians(18))
    # What stays below twice the typical brightness belongs to the soft light.
    floor = np.minimum(small, 2 * small.mean((0, 1)))
    sunlight = np.where(near[..., None], small - floor, 0)
    weighted = (sunlight.sum(-1) * solid_angle)[..., None] * n
    sun = weighted.sum((0, 1))
    sun = sun / np.linalg.norm(sun) if np.linalg.norm(sun) > 1e-9 else np.array([0.0, 1.0, 0.0])
    coefficients = np.einsum("hwk,hwc,hw->kc", sh_basis(n), small - sunlight, solid_angle)
    cosine = np.array([1.0] + [2 / 3] * 3 + [1 / 4] * 5)
    return Light(
        (coefficients * cosine[:, None]).astype(np.float32),
        sun.astype(np.float32),
        ((sunlight * solid_angle[..., None]).sum((0, 1)) / np.pi).astype(np.float32),
    )
