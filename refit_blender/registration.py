# SPDX-License-Identifier: GPL-3.0-or-later
"""Every class that Blender gets to know, in the order in which it has to."""

from __future__ import annotations

import atexit

import bpy

from . import (
    cli,
    engine,
    panels,
    panels_boxes,
    panels_cameras,
    panels_clips,
    panels_confidence,
    panels_debug,
    panels_export,
    panels_motion,
    panels_render,
    panels_retarget,
    panels_rig,
    panels_upright,
    session,
)
from .operators import (
    body,
    boxes,
    calibration,
    cameras,
    clip_folder,
    confidence,
    export,
    feature_maps,
    job,
    motion,
    motion_import,
    people,
    reconstruct,
    rendering,
    retarget,
    rig,
    shape,
)
from .operators import engine as engine_operators
from .preferences import RefitPreferences
from .properties import RefitSettings
from .properties_boxes import RefitBox
from .properties_cameras import RefitCamera
from .properties_clips import RefitClip
from .properties_export import RefitExport
from .properties_retarget import RefitBoneChoice, RefitRetargeting
from .scene import confidence as confidence_colors
from .scene.upright import RefitUpright

CLASSES: tuple[type, ...] = (
    RefitPreferences,
    RefitBox,
    RefitClip,
    RefitExport,
    RefitSettings,
    RefitUpright,
    RefitCamera,
    RefitBoneChoice,
    RefitRetargeting,
    reconstruct.REFIT_OT_reconstruct,
    job.REFIT_OT_cancel,
    reconstruct.REFIT_FH_picture,
    boxes.REFIT_OT_draw_boxes,
    people.REFIT_OT_draw_person,
    people.REFIT_OT_add_person,
    boxes.REFIT_OT_add_box,
    boxes.REFIT_OT_remove_box,
    cameras.REFIT_OT_fit_cameras,
    motion.REFIT_OT_reconstruct_motion,
    motion.REFIT_OT_fit_motion_cameras,
    clip_folder.REFIT_OT_reconstruct_folder,
    motion.REFIT_OT_jump_to_frame,
    motion.REFIT_FH_movie,
    shape.REFIT_OT_fit_shape,
    shape.REFIT_OT_shape_from_bodies,
    calibration.REFIT_OT_import_calibration,
    calibration.REFIT_FH_calibration,
    engine_operators.REFIT_OT_install_engine,
    engine_operators.REFIT_OT_clear_kept_work,
    engine_operators.REFIT_OT_confirm_install,
    engine_operators.REFIT_OT_cancel_install,
    engine_operators.REFIT_OT_remove_engine,
    engine_operators.REFIT_OT_start_engine,
    engine_operators.REFIT_OT_stop_engine,
    engine_operators.REFIT_OT_show_preferences,
    body.REFIT_OT_joints_to_shape,
    rig.REFIT_OT_convert_rig,
    rig.REFIT_OT_add_ik,
    rig.REFIT_OT_remove_ik,
    body.REFIT_OT_toggle_correctives,
    body.REFIT_OT_reset_upright,
    body.REFIT_OT_look_through,
    rendering.REFIT_OT_photo_in_renders,
    rendering.REFIT_OT_shadow_catcher,
    rendering.REFIT_OT_hide_before,
    confidence.REFIT_OT_confidence_colors,
    feature_maps.REFIT_OT_feature_maps,
    export.REFIT_OT_export_body,
    export.REFIT_OT_pose_asset,
    motion_import.REFIT_OT_import_motion,
    motion_import.REFIT_FH_motion,
    retarget.REFIT_OT_retarget,
    retarget.REFIT_OT_find_bones,
    retarget.REFIT_OT_save_bone_map,
    retarget.REFIT_OT_load_bone_map,
    panels.REFIT_PT_main,
    panels_boxes.REFIT_UL_boxes,
    panels.REFIT_PT_people,
    panels.REFIT_PT_body,
    panels.REFIT_PT_solve,
    panels_clips.REFIT_UL_clips,
    panels_clips.REFIT_PT_clips,
    panels_upright.REFIT_PT_upright,
    panels_render.REFIT_PT_render,
    panels.REFIT_PT_result,
    panels_motion.REFIT_PT_motion,
    panels_cameras.REFIT_PT_views,
    panels_confidence.REFIT_PT_confidence,
    panels.REFIT_PT_shape,
    panels_rig.REFIT_PT_rig,
    panels_export.REFIT_PT_export,
    panels_retarget.REFIT_UL_bones,
    panels_retarget.REFIT_MT_bone_maps,
    panels_retarget.REFIT_PT_retarget,
    panels.REFIT_PT_engine,
    panels_debug.REFIT_PT_debug,
    panels_boxes.REFIT_PT_editor_boxes,
)

_command = None


@bpy.app.handlers.persistent
def _forget_texts(*_) -> None:
    """What the last job said is about a scene that is no longer so."""
    session.forget_texts()


@bpy.app.handlers.persistent
def _follow_frame(scene: bpy.types.Scene, *_: object) -> None:
    """Bone colours belong to the frame that is seen; none is, while Blender renders."""
    if not bpy.app.is_job_running("RENDER"):
        confidence_colors.follow_frame(scene)


def register() -> None:
    global _command
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.Scene.refit = bpy.props.PointerProperty(type=RefitSettings)
    bpy.types.Scene.refit_retarget = bpy.props.PointerProperty(type=RefitRetargeting)
    bpy.types.Collection.refit = bpy.props.PointerProperty(type=RefitUpright)
    bpy.types.Camera.refit = bpy.props.PointerProperty(type=RefitCamera)
    for entry in (calibration.menu_entry, motion_import.menu_entry):
        bpy.types.TOPBAR_MT_file_import.append(entry)
    bpy.types.TOPBAR_MT_file_export.append(export.menu_entry)
    for handlers in (bpy.app.handlers.undo_post, bpy.app.handlers.redo_post, bpy.app.handlers.load_post):
        handlers.append(_forget_texts)
    bpy.app.handlers.frame_change_post.append(_follow_frame)
    _command = bpy.utils.register_cli_command(cli.COMMAND, cli.main)
    engine.tidy_managed_root()
    # Blender as a Python module does not switch add-ons off at its end, and can hang on what is still registered.
    atexit.register(unregister)


def unregister() -> None:
    global _command
    atexit.unregister(unregister)
    if _command is None:  # Blender as a module gets here twice: at Python's end and at its own
        return
    session.reset()
    engine.shutdown()
    bpy.utils.unregister_cli_command(_command)
    _command = None
    for entry in (calibration.menu_entry, motion_import.menu_entry):
        bpy.types.TOPBAR_MT_file_import.remove(entry)
    bpy.types.TOPBAR_MT_file_export.remove(export.menu_entry)
    for handlers in (bpy.app.handlers.undo_post, bpy.app.handlers.redo_post, bpy.app.handlers.load_post):
        if _forget_texts in handlers:  # scripts may have cleared them
            handlers.remove(_forget_texts)
    if _follow_frame in bpy.app.handlers.frame_change_post:
        bpy.app.handlers.frame_change_post.remove(_follow_frame)
    del bpy.types.Camera.refit
    del bpy.types.Collection.refit
    del bpy.types.Scene.refit_retarget
    del bpy.types.Scene.refit
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
