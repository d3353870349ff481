# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking the lens's distortion out of a picture before anything is fitted to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..camera import Intrinsics
from ..distortion import Distortion, undistort_box, undistort_image
from ..images import Photo


def without_distortion(
    photo: Photo, intrinsics: Intrinsics, boxes: np.ndarray | None, distortion: Distortion | None
) -> tuple[Photo, Intrinsics, np.ndarray | None]:
    """The photo as a lens without distortion would have taken it, with its intrinsics and the boxes [N,4] in it.

    boxes: (x, y, w, h) in pixels of the photo as taken, or None. Nothing changes where the lens does not distort.
    """
    if distortion is None or distortion.nothing:
        return photo, intrinsics, boxes
    distortion = replace(distortion, size=photo.size)
    if boxes is not None:
        boxes = np.stack([undistort_box(box, intrinsics.K, distortion) for box in boxes])
    pixels, K = undistort_image(photo.pixels, intrinsics.K, distortion)
    return replace(photo, pixels=pixels), replace(intrinsics, K=K), boxes
