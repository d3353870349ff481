# SPDX-License-Identifier: GPL-3.0-or-later
"""Import Calibration: from the file browser, the File menu, or dropped onto the viewport."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import CollectionProperty, EnumProperty, FloatProperty, StringProperty

from ..calibration import AXES, UNITS
from ..calibration_import import import_rig
from ..errors import RefitError
from ..session import state
from .own_scene import OwnSceneOperator

SUFFIXES = ".toml;.yml;.yaml;.json;.xml;.txt;.bin"


class REFIT_OT_import_calibration(OwnSceneOperator, bpy.types.Operator):
    """Make cameras from a calibration file of Pose2Sim, Anipose, FreeMoCap, EasyMocap, OpenCV, ROS, COLMAP …"""

    bl_idname = "refit.import_calibration"
    bl_label = "Import Calibration"
    bl_options = {"REGISTER", "UNDO", "PRESET"}

    filepath: StringProperty(name="File", subtype="FILE_PATH", options={"SKIP_SAVE"})
    directory: StringProperty(subtype="DIR_PATH", options={"HIDDEN", "SKIP_SAVE"})
    files: CollectionProperty(type=bpy.types.OperatorFileListElement, options={"HIDDEN", "SKIP_SAVE"})
    filter_glob: StringProperty(default="*.toml;*.yml;*.yaml;*.json;*.xml;*.txt;*.bin", options={"HIDDEN"})
    pictures: StringProperty(
        name="Pictures",
        description="Folder of the pictures or videos. Empty: they are looked for near the file",
        subtype="DIR_PATH",
        options={"SKIP_SAVE"},
    )
    up: EnumProperty(
        name="Up",
        description="Which axis of the file's world points up",
        items=(
            ("AUTO", "Automatic", "The axis that is nearest to the cameras' own upward direction"),
            *((axis, f"{axis} Up", "") for axis in ("Z", "-Z", "Y", "-Y", "X", "-X")),
        ),
    )
    unit: EnumProperty(
        name="Unit",
        description="What lengths in the file are measured in",
        items=(
            ("AUTO", "Automatic", "Metres, or millimetres where the cameras would be too far apart"),
            ("M", "Metres", ""),
            ("CM", "Centimetres", ""),
            ("MM", "Millimetres", ""),
            ("OTHER", "Other", "Give its length below"),
        ),
    )
    metres: FloatProperty(
        name="Metres per Unit", description="How long the file's unit is", default=1.0, min=1e-6, soft_max=100.0
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if state.job:
            cls.poll_message_set("A reconstruction is running")
            return False
        return super().poll(context)

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        if self.filepath or self.files:  # dropped
            return self.execute(context)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            rig = import_rig(
                context,
                self._paths(),
                pictures=Path(bpy.path.abspath(self.pictures)) if self.pictures else None,
                up=self.up if self.up in AXES else None,
                metres=self.metres if self.unit == "OTHER" else UNITS.get(self.unit),
            )
        except RefitError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        for message in rig.messages:
            self.report({"WARNING"}, message)
        self.report({"INFO"}, rig.summary())
        settings = context.scene.refit
        settings.source, settings.cameras_from, settings.camera_collection = "CAMERAS", "COLLECTION", rig.collection
        return {"FINISHED"}

    def draw(self, _context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(self, "pictures")
        layout.prop(self, "up")
        layout.prop(self, "unit")
        if self.unit == "OTHER":
            layout.prop(self, "metres")

    def _paths(self) -> list[Path]:
        chosen = [Path(self.directory, item.name) for item in self.files if item.name]
        if not chosen and self.filepath:
            chosen = [Path(self.filepath)]
        return [Path(bpy.path.abspath(str(path))) for path in chosen]


class REFIT_FH_calibration(bpy.types.FileHandler):
    """A calibration file dropped onto the 3D viewport"""

    bl_idname = "REFIT_FH_calibration"
    bl_label = "Camera Calibration"
    bl_import_operator = REFIT_OT_import_calibration.bl_idname
    bl_file_extensions = SUFFIXES

    @classmethod
    def poll_drop(cls, context: bpy.types.Context) -> bool:
        return context.area is not None and context.area.type == "VIEW_3D" and state.job is None


def menu_entry(menu: bpy.types.Menu, _context: bpy.types.Context) -> None:
    """For File > Import."""
    text = "Camera Calibration (.toml/.yml/.json/.xml/.txt/.bin)"
    menu.layout.operator(REFIT_OT_import_calibration.bl_idname, text=text)
