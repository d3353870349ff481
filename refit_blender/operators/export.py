# SPDX-License-Identifier: GPL-3.0-or-later
"""Export Body: from the panel or the File menu."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from ..errors import RefitError, sentence
from ..export.pose_assets import pose_asset
from ..export.write import bodies_of, export_bodies
from ..properties_export import shape_property, target_property
from ..scene import timeline
from ..scene.body import rig_of

_SUFFIXES = {"FBX": ".fbx", "GLB": ".glb", "USD": ".usdc", "BVH": ".bvh", "NPZ": ".npz"}


class REFIT_OT_export_body(bpy.types.Operator):
    """Write the active body with its motion to a file that opens right in other programs; the scene stays as it is"""

    bl_idname = "refit.export_body"
    bl_label = "Export Body"
    bl_options = {"REGISTER", "PRESET"}

    filepath: StringProperty(name="File", subtype="FILE_PATH", options={"SKIP_SAVE"})
    check_existing: BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})
    filter_glob: StringProperty(default="*.fbx;*.glb;*.usd;*.usdc;*.bvh;*.npz", options={"HIDDEN"})
    target: target_property()
    shape: shape_property()
    everybody: BoolProperty(name="All Bodies", description="Write all ReFit bodies of the scene into the file")
    frames: EnumProperty(
        name="Frames",
        description="Which frames are written",
        items=(
            ("KEYS", "All Keys", "From the body's first key to its last"),
            ("SCENE", "Scene Range", "The preview range, or the scene's range where there is none"),
        ),
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if context.scene is None or not bodies_of(context.scene):
            cls.poll_message_set("There is no ReFit body in the scene")
            return False
        return True

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        settings = context.scene.refit.export
        self.target, self.shape = settings.target, settings.shape
        rig = _chosen(context)
        name = bpy.path.clean_name(rig.name) if rig else "bodies"
        folder = Path(bpy.data.filepath).parent if bpy.data.filepath else Path.home()
        self.filepath = str(folder / f"{name}{_SUFFIXES[settings.format]}")
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        rig = _chosen(context)
        try:
            first, last = export_bodies(
                bpy.path.abspath(self.filepath),
                None if self.everybody or rig is None else [rig],
                target=self.target.lower(),
                frames=timeline.chosen_range(context.scene) if self.frames == "SCENE" else None,
                shape=self.shape.lower(),
            )
        except (RefitError, OSError) as error:
            self.report({"ERROR"}, sentence(error))
            return {"CANCELLED"}
        count = last - first + 1
        self.report({"INFO"}, f"{count} frame{'s' if count > 1 else ''} written to {self.filepath}")
        return {"FINISHED"}

    def draw(self, _context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        for name in ("target", "shape", "everybody", "frames"):
            layout.prop(self, name)


class REFIT_OT_pose_asset(bpy.types.Operator):
    """Keep the active body's pose at this frame as an asset with a picture; the Asset Browser applies it to other bodies"""

    bl_idname = "refit.pose_asset"
    bl_label = "Pose to Asset Browser"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return rig_of(context.active_object) is not None

    def execute(self, context: bpy.types.Context) -> set[str]:
        rig = rig_of(context.active_object)
        assert rig is not None  # poll has seen to it
        try:
            action = pose_asset(rig)
        except RefitError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, f"Pose asset “{action.name}” is in this file")
        return {"FINISHED"}


def _chosen(context: bpy.types.Context) -> bpy.types.Object | None:
    """The active body, or the only one of the scene; None where there is a choice."""
    rig = rig_of(context.active_object)
    there = bodies_of(context.scene)
    return rig or (there[0] if len(there) == 1 else None)


def menu_entry(menu: bpy.types.Menu, _context: bpy.types.Context) -> None:
    """For File > Export."""
    menu.layout.operator(REFIT_OT_export_body.bl_idname, text="ReFit Body (.fbx/.glb/.usd/.bvh/.npz)")
