# SPDX-License-Identifier: GPL-3.0-or-later
"""The 3D viewport in which a button was pressed: what it shows, and what it shall show afterwards."""

from __future__ import annotations

import bpy

from ..panels_base import RefitPanel


def panel_is_seen(context: bpy.types.Context) -> bool:
    """Whether the add-on's tab is open in a sidebar of any window."""
    return any(
        region.type == "UI" and region.width > 1 and region.active_panel_category == RefitPanel.bl_category
        for window in context.window_manager.windows
        for area in window.screen.areas
        if area.type == "VIEW_3D" and area.spaces.active.show_region_ui
        for region in area.regions
    )


def area_of(context: bpy.types.Context) -> bpy.types.Area | None:
    """The 3D viewport that the mouse is in, or the largest of the window."""
    if context.area and context.area.type == "VIEW_3D":
        return context.area
    areas = [area for area in context.window.screen.areas if area.type == "VIEW_3D"] if context.window else []
    return max(areas, key=lambda area: area.width * area.height, default=None)


def show(
    context: bpy.types.Context, area: bpy.types.Area, camera: bpy.types.Object | None, *, look_through: bool
) -> None:
    """Frame the selected bodies in a viewport, then look through a camera that was made for them, if wanted.

    Without such a camera, a viewport that looks through one stays as it is.
    """
    view = area.spaces.active.region_3d
    if camera is None and view.view_perspective == "CAMERA":
        return
    main = next(region for region in area.regions if region.type == "WINDOW")
    with context.temp_override(window=_window_of(context, area), area=area, region=main):
        # In quad view each part frames them by itself.
        bpy.ops.view3d.view_selected()
        if camera is None or not look_through:
            return
        if area.spaces.active.use_local_camera:
            area.spaces.active.camera = camera
        view.view_perspective = "CAMERA"
        bpy.ops.view3d.view_center_camera()


def is_viewport(context: bpy.types.Context, area: bpy.types.Area) -> bool:
    """Whether an area that was a 3D viewport is one still."""
    return any(area in window.screen.areas[:] for window in context.window_manager.windows) and area.type == "VIEW_3D"


def _window_of(context: bpy.types.Context, area: bpy.types.Area) -> bpy.types.Window:
    windows = context.window_manager.windows
    return next((window for window in windows if area in window.screen.areas[:]), context.window)
