# SPDX-License-Identifier: GPL-3.0-or-later
"""Showing an image to the user: in an image editor that is there, or in a window of its own."""

from __future__ import annotations

import bpy


def show_soon(image: bpy.types.Image) -> None:
    """Show an image once the running operator has ended: Blender keeps a modal operator alive that opens a window."""
    name = image.name

    def show() -> None:
        if found := bpy.data.images.get(name):  # it may be gone by then
            show_image(found)

    bpy.app.timers.register(show, first_interval=0)


def show_image(image: bpy.types.Image) -> None:
    """Show an image in the largest image editor that the user has not pinned, or in a new window if there is none."""
    window, area = _editor() or _new_editor()
    area.spaces.active.image = image
    main = next(region for region in area.regions if region.type == "WINDOW")
    if main.width > 1:  # a new window has no size before it is drawn: it shows the whole image by itself
        with bpy.context.temp_override(window=window, area=area, region=main):
            bpy.ops.image.view_all(fit_view=True)


def _editor() -> tuple[bpy.types.Window, bpy.types.Area] | None:
    found = [
        (window, area)
        for window in bpy.context.window_manager.windows
        for area in window.screen.areas
        if area.ui_type == "IMAGE_EDITOR" and not area.spaces.active.use_image_pin
    ]
    return max(found, key=lambda one: one[1].width * one[1].height, default=None)


def _new_editor() -> tuple[bpy.types.Window, bpy.types.Area]:
    windows = bpy.context.window_manager.windows
    known = set(windows)
    with bpy.context.temp_override(window=windows[0]):
        bpy.ops.wm.window_new()
    window = next(window for window in windows if window not in known)
    (area,) = window.screen.areas
    area.ui_type = "IMAGE_EDITOR"
    return window, area
