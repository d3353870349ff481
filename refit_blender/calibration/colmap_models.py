# SPDX-License-Identifier: GPL-3.0-or-later
"""What COLMAP's files hold, text or binary: records of cameras and images, and the camera models by name and number."""

from __future__ import annotations

from dataclasses import dataclass

# By COLMAP's numbers for the models: name, number of parameters.
MODELS = (
    ("SIMPLE_PINHOLE", 3),
    ("PINHOLE", 4),
    ("SIMPLE_RADIAL", 4),
    ("RADIAL", 5),
    ("OPENCV", 8),
    ("OPENCV_FISHEYE", 8),
    ("FULL_OPENCV", 12),
    ("FOV", 5),
    ("SIMPLE_RADIAL_FISHEYE", 4),
    ("RADIAL_FISHEYE", 5),
    ("THIN_PRISM_FISHEYE", 12),
    ("RAD_TAN_THIN_PRISM_FISHEYE", 16),
)
PARAMETER_COUNTS = dict(MODELS)
# More would keep Blender busy for minutes; a job takes 64.
MAX_RECORDS = 2000


@dataclass(frozen=True)
class LensRecord:
    """A camera as the file has it. where: for messages; values: the model's parameters."""

    where: str
    number: int
    model: str
    size: tuple[int, int]
    values: tuple[float, ...]


@dataclass(frozen=True)
class ImageRecord:
    """An image as the file has it. lens: the number of its camera; pose: quaternion (w, x, y, z) and translation."""

    name: str
    lens: int
    pose: tuple[float, ...]
