# SPDX-License-Identifier: GPL-3.0-or-later
"""Import Motion: a file in AMASS' layout, from the File menu or dropped onto the viewport."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import StringProperty

from ..errors import SourceError
from ..motion_import import FinishedImport, MotionImport
from ..session import state
from .job import JobOperator


class REFIT_OT_import_motion(JobOperator, bpy.types.Operator):
    """Make an animated body from a motion of SMPL's parameters in AMASS' layout; the panel says which body model"""

    bl_idname = "refit.import_motion"
    bl_label = "Import Motion"

    filepath: StringProperty(name="File", subtype="FILE_PATH", options={"SKIP_SAVE"})
    filter_glob: StringProperty(default="*.npz", options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if self.filepath:  # dropped
            return super().invoke(context, event)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def make_job(self, context: bpy.types.Context, folder: Path) -> MotionImport:
        if not self.filepath:
            raise SourceError("No motion file is chosen.")
        settings = context.scene.refit
        path = Path(bpy.path.abspath(self.filepath))
        return MotionImport(path, settings.shape_options(), folder, start=context.scene.frame_start)

    def built(self, context: bpy.types.Context, finished: FinishedImport) -> None:
        self.show(context)


class REFIT_FH_motion(bpy.types.FileHandler):
    """A motion file dropped onto the 3D viewport"""

    bl_idname = "REFIT_FH_motion"
    bl_label = "SMPL Motion"
    bl_import_operator = REFIT_OT_import_motion.bl_idname
    bl_file_extensions = ".npz"

    @classmethod
    def poll_drop(cls, context: bpy.types.Context) -> bool:
        return context.area is not None and context.area.type == "VIEW_3D" and state.job is None


def menu_entry(menu: bpy.types.Menu, _context: bpy.types.Context) -> None:
    """For File > Import."""
    menu.layout.operator(REFIT_OT_import_motion.bl_idname, text="SMPL Motion, AMASS (.npz)")
