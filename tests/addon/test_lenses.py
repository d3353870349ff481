# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's lens distortion is what the engine's formulas were written for."""

import bpy
import numpy as np
from lens_maps import LENSES, RECORDING, measure


def test_this_blender_distorts_as_recorded(tmp_path):
    recorded = np.load(RECORDING)["taken"]
    now = measure(tmp_path)
    if bpy.app.version >= (4, 5):
        # The new compositor mixes up the axes where pixels are not square.
        square = [aspect == 1 for _, aspect, _ in LENSES]
        recorded, now = recorded[square], now[square]
    assert np.isfinite(now).mean() > 0.95
    np.testing.assert_allclose(now[np.isfinite(now)], recorded[np.isfinite(now)], atol=1e-3)
