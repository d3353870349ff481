# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit Shape from Frames, and the shape that several bodies have in common."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import BoolProperty, CollectionProperty, StringProperty

from ..scene import body as bodies
from ..scene.sources import file_source
from ..shape_fit import ShapeFit, bodies_obstacle, shape_from_bodies, shape_from_pictures
from .job import JobOperator
from .reconstruct import PICTURES


class REFIT_OT_fit_shape(JobOperator, bpy.types.Operator):
    """Fit the shape of one person to several pictures, best with the arms away from the body, and keep it from now on"""

    bl_idname = "refit.fit_shape"
    bl_label = "Fit Shape from Frames"

    directory: StringProperty(subtype="DIR_PATH", options={"HIDDEN", "SKIP_SAVE"})
    files: CollectionProperty(type=bpy.types.OperatorFileListElement, options={"HIDDEN", "SKIP_SAVE"})
    filter_image: BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})
    filter_folder: BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})
    filter_glob: StringProperty(default=PICTURES.replace(".", "*."), options={"HIDDEN", "SKIP_SAVE"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if self.files:
            return super().invoke(context, event)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def make_job(self, context: bpy.types.Context, folder: Path) -> ShapeFit:
        directory = Path(bpy.path.abspath(self.directory))
        pictures = [directory / file.name for file in self.files if file.name]
        settings = context.scene.refit
        focal_mm = settings.given_focal_mm()
        sources = [file_source(path, folder / str(index), focal_mm=focal_mm) for index, path in enumerate(pictures)]
        return shape_from_pictures(sources, settings.shape_options(), folder)


class REFIT_OT_shape_from_bodies(JobOperator, bpy.types.Operator):
    """Take the shape that the selected bodies, all of one person, have in common, and keep it from now on"""

    bl_idname = "refit.shape_from_bodies"
    bl_label = "Shape from Selected Bodies"

    @classmethod
    def obstacle(cls, context: bpy.types.Context) -> str | None:
        return bodies_obstacle(_selected_rigs(context))

    def make_job(self, context: bpy.types.Context, folder: Path) -> ShapeFit:
        return shape_from_bodies(_selected_rigs(context), context.scene.refit.rig_style(), folder)


def _selected_rigs(context: bpy.types.Context) -> list[bpy.types.Object]:
    """The rigs of the selected armatures and meshes, each once, by name."""
    found = {rig for item in context.selected_objects if (rig := bodies.rig_of(item))}
    return sorted(found, key=lambda rig: rig.name)
