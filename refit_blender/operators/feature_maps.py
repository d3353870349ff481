# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at what the network sees."""

from __future__ import annotations

from pathlib import Path

import bpy

from ..feature_maps import FeatureMaps, FinishedMaps
from .image_editors import show_soon
from .job import JobOperator


class REFIT_OT_feature_maps(JobOperator, bpy.types.Operator):
    """Draw the network's map of each keypoint over the person who fills most of the picture, \
and show them in an image editor"""

    bl_idname = "refit.feature_maps"
    bl_label = "Keypoint Maps"

    @classmethod
    def obstacle(cls, context: bpy.types.Context) -> str | None:
        if context.scene.refit.source == "CAMERAS":
            return "Maps are drawn of one picture: choose another source than Cameras."
        return None

    def make_job(self, context: bpy.types.Context, folder: Path) -> FeatureMaps:
        settings = context.scene.refit
        return FeatureMaps(settings.job_source(context, folder), settings.job_options(), folder)

    def built(self, _context: bpy.types.Context, finished: FinishedMaps) -> None:
        if self._area:  # a window is there, and a button was pressed
            show_soon(finished.sheet)
