# SPDX-License-Identifier: GPL-3.0-or-later
"""HEIC photos, decoded by libheif."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .errors import ImageError


def read_heic(path: Path, data: bytes) -> np.ndarray:
    """Pixels [H,W,3] uint8 RGB of the primary picture, turned as the file says, without alpha. Raises ImageError."""
    try:
        import pillow_heif
    except ImportError as error:
        raise ImageError(
            f"{path.name} is a HEIC photo, and this engine has no pillow-heif to read it: "
            "install the engine again, or save the photo as JPEG."
        ) from error
    pillow_heif.options.THUMBNAILS = pillow_heif.options.DEPTH_IMAGES = pillow_heif.options.AUX_IMAGES = False
    try:
        pixels = np.asarray(pillow_heif.open_heif(data))
    except Exception as error:  # the library names five kinds of its errors; damaged files give others, too
        reason = str(error).strip().rstrip(".")
        raise ImageError(f"{path.name} is a HEIC photo that cannot be read: {reason}.") from error
    if pixels.ndim == 2:
        pixels = np.stack([pixels] * 3, axis=-1)
    if pixels.shape[2] == 2:
        pixels = pixels[..., [0, 0, 0]]
    return np.ascontiguousarray(pixels[..., :3])
