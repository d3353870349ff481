# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar tab in the 3D viewport."""

from __future__ import annotations

from pathlib import Path

import bpy

from . import engine
from .errors import SourceError
from .guesses import guessed_parts
from .motion_results import ABSENT
from .panels_base import RefitPanel
from .panels_boxes import draw_add_person, draw_boxes
from .panels_cameras import draw_cameras
from .panels_motion import draw_motion
from .panels_render import draw_before
from .preferences import draw_engine_status, draw_install, draw_network_hint, draw_text
from .scene import body as bodies
from .scene import correctives, images
from .scene.animation import STATE
from .scene.footage import is_movie
from .scene.guesses import guesses_of
from .scene.ownership import scene_sentence
from .session import state

FOCAL_SOURCES = {
    "scene": "the scene's camera",
    "exif": "the photo's EXIF data",
    "user": "given",
    "lines": "found from straight lines in the picture",
    "default": "assumed, the picture says nothing",
}


class REFIT_PT_main(RefitPanel, bpy.types.Panel):
    bl_label = "ReFit"
    bl_idname = "REFIT_PT_main"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        if sentence := scene_sentence(context.scene):
            draw_text(layout, sentence, icon="LIBRARY_DATA_DIRECT")
        _draw_source(layout, context)
        settings = context.scene.refit
        moving = settings.source_moves(context)
        if moving:
            draw_motion(layout, context.scene, enabled=state.job is None)
        column = layout.column()
        column.scale_y = 1.4
        if state.job:
            progress = state.job.progress
            column.progress(factor=progress.fraction, text=str(progress))
            column.operator("refit.cancel", icon="X")
        else:
            several = settings.source == "CAMERAS"
            movie = settings.source == "FILE" and is_movie(Path(settings.image_path))
            if not movie:  # no single picture of it can be reconstructed
                name = "refit.fit_cameras" if several else "refit.reconstruct"
                column.operator(name, icon="OUTLINER_OB_ARMATURE")
            if moving:
                name = "refit.fit_motion_cameras" if several else "refit.reconstruct_motion"
                column.operator(name, icon="ARMATURE_DATA")
            if settings.source == "FILE":
                layout.operator("refit.reconstruct_folder", icon="FILE_FOLDER")
        if state.error:
            draw_text(layout.box(), state.error, icon="ERROR")
        elif state.report:
            draw_text(layout, state.report, icon="INFO")
            for remark in state.remarks:
                draw_text(layout, remark, icon="ERROR")
        draw_before(layout, context.scene)


def _draw_source(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    settings = context.scene.refit
    column = layout.column()
    column.enabled = state.job is None
    column.prop(settings, "source")
    if settings.source == "CAMERAS":
        draw_cameras(column, context)
        return
    if settings.source == "CAMERA":
        _draw_camera(column, context.scene.camera)
        return
    if settings.source == "FILE":
        column.prop(settings, "image_path")
    else:
        empty = context.active_object
        shown = empty and empty.type == "EMPTY" and empty.data
        column.label(
            text=empty.name if shown else "Select an empty with an image", icon="EMPTY_DATA" if shown else "ERROR"
        )
    column.prop(settings, "focal_mode")
    if settings.focal_mode == "MANUAL":
        column.prop(settings, "focal_mm")


def _draw_camera(layout: bpy.types.UILayout, camera: bpy.types.Object | None) -> None:
    if camera is None or camera.type != "CAMERA":
        layout.label(text="The scene has no active camera", icon="ERROR")
        return
    try:
        picture = images.camera_background(camera).picture
    except SourceError as error:
        draw_text(layout, str(error), icon="ERROR")
    else:
        layout.label(text=f"{camera.name}: {picture.name}", icon="CAMERA_DATA")


class REFIT_PT_people(RefitPanel, bpy.types.Panel):
    bl_label = "People"
    bl_parent_id = "REFIT_PT_main"

    def draw(self, context: bpy.types.Context) -> None:
        settings = context.scene.refit
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.row().prop(settings, "people", expand=True)
        if settings.source != "CAMERAS":
            draw_boxes(layout, context)
        elif settings.people == "BOX":
            draw_text(layout, "A box belongs to one picture: choose All or Largest.", icon="ERROR")
        draw_add_person(layout, context)


class REFIT_PT_body(RefitPanel, bpy.types.Panel):
    bl_label = "Body"
    bl_parent_id = "REFIT_PT_main"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        settings = context.scene.refit
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(settings, "body")
        if settings.body == "FILE":
            layout.prop(settings, "body_path")
        layout.prop(settings, "gender")
        layout.prop(settings, "rig")
        row = layout.row()
        row.enabled = settings.rig == "ANIMATION"
        row.prop(settings, "root_motion")
        layout.prop(settings, "fixed_shape")
        row = layout.row()
        row.enabled = settings.fixed_shape is None
        row.prop(settings, "height")
        column = layout.column(align=True)
        column.operator("refit.fit_shape", icon="FILE_IMAGE")
        column.operator("refit.shape_from_bodies", icon="COMMUNITY")


class REFIT_PT_solve(RefitPanel, bpy.types.Panel):
    bl_label = "Solve"
    bl_parent_id = "REFIT_PT_main"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        settings = context.scene.refit
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(settings, "camera_iterations" if settings.source == "CAMERAS" else "iterations")
        layout.prop(settings, "confidence")
        layout.prop(settings, "device")
        layout.prop(settings, "weights_path")


class REFIT_PT_result(RefitPanel, bpy.types.Panel):
    bl_label = "Active Body"
    bl_parent_id = "REFIT_PT_main"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return bodies.rig_of(context.active_object) is not None

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        rig = bodies.rig_of(context.active_object)
        assert rig is not None  # poll has seen to it
        layout.label(text=rig.name, icon="OUTLINER_OB_ARMATURE")
        if lens := lens_note(rig):
            draw_text(layout, lens, icon="CAMERA_DATA")
        if guesses := guesses_note(rig):
            draw_text(layout, guesses, icon="GHOST_ENABLED")
        if "refit_camera" in rig:
            layout.operator("refit.look_through", icon="VIEW_CAMERA")
        mesh = bodies.body_mesh(rig)
        if mesh and correctives.corrective_keys(mesh):
            enabled = correctives.correctives_enabled(mesh)
            layout.operator("refit.toggle_correctives", icon="CHECKBOX_HLT" if enabled else "CHECKBOX_DEHLT")


class REFIT_PT_shape(RefitPanel, bpy.types.Panel):
    bl_label = "Shape"
    bl_parent_id = "REFIT_PT_result"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        rig = bodies.rig_of(context.active_object)
        return rig is not None and bodies.body_mesh(rig) is not None

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        rig = bodies.rig_of(context.active_object)
        mesh = bodies.body_mesh(rig) if rig else None
        assert mesh is not None  # poll has seen to it
        column = layout.column(align=True)
        for index, key in bodies.shape_sliders(mesh).items():
            column.prop(key, "value", text=f"Shape {index + 1}", slider=True)
        layout.operator("refit.joints_to_shape", icon="BONE_DATA")


def guesses_note(rig: bpy.types.Object) -> str:
    """What of a body no picture shows; nothing at frames at which nobody is there."""
    parts = "" if rig.get(STATE) == ABSENT else guessed_parts(guesses_of(rig))
    return parts and f"Guessed, not seen: {parts}"


def lens_note(rig: bpy.types.Object) -> str:
    """The focal length that a body was fitted with and where it comes from; empty where there is no single picture.

    In millimetres on a sensor whose longer side is 36 mm, as for Blender's cameras.
    """
    K, size, source = (rig.get(f"refit_{name}") for name in ("K", "image_size", "focal_source"))
    if not (K and size and source):
        return ""
    return f"Lens {36 * K[0] / max(size):.0f} mm: {FOCAL_SOURCES.get(source, source)}"


class REFIT_PT_engine(RefitPanel, bpy.types.Panel):
    bl_label = "Engine"
    bl_parent_id = "REFIT_PT_main"

    def draw(self, _context: bpy.types.Context) -> None:
        layout = self.layout
        if state.install:
            draw_install(layout)
            return
        if not draw_engine_status(layout):
            draw_network_hint(layout)
            layout.operator("refit.show_preferences", icon="PREFERENCES")
        elif engine.running():
            layout.operator("refit.stop_engine", icon="SNAP_FACE")
        else:
            layout.operator("refit.start_engine", icon="PLAY")
