# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the sidebar about the clips of folders: a table, of which the chosen row's clip is seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import bpy

from .panels_base import RefitPanel
from .preferences import draw_text
from .scene.clips import body_counts, is_deleted

if TYPE_CHECKING:
    from bpy._typing.rna_enums import IconItems  # in the stubs alone

_SHARES = (0.46, 0.36, 0.42)
"""Widths of the columns, each of what is left: name, frames, people; then seconds."""
_MOST_ROWS = 8


class REFIT_UL_clips(bpy.types.UIList):
    """One line for each clip."""

    bl_idname = "REFIT_UL_clips"

    def filter_items(
        self, context: bpy.types.Context, data: bpy.types.AnyType, property_name: str
    ) -> tuple[list[int], list[int]]:
        """Rows whose bodies were deleted are not shown; an undo brings them back."""
        rows, helper = getattr(data, property_name), bpy.types.UI_UL_list
        shown = [self.bitflag_filter_item] * len(rows)
        if self.filter_name:
            shown = helper.filter_items_by_name(self.filter_name, self.bitflag_filter_item, rows)
        for index, there in enumerate(_shown(context.scene)):
            if not there:
                shown[index] &= ~self.bitflag_filter_item
        return shown, helper.sort_items_by_name(rows) if self.use_filter_sort_alpha else []

    def draw_item(
        self, _context, layout, _data, item, _icon, _active_data, _active_property, _index=0, _flags=0
    ) -> None:
        bodies = item.people
        if not bodies:  # it failed; deleted ones are seen where the filter is inverted
            layout.label(text=item.name, icon="GHOST_DISABLED" if is_deleted(item, bodies) else "ERROR")
            return
        icon = "ERROR" if item.failed else "HIDE_ON" if item.collection.hide_viewport else "HIDE_OFF"
        numbers = (str(item.frames), str(bodies), f"{item.seconds:.0f} s")
        _draw_cells(layout, [(item.name, icon), *((text, "NONE") for text in numbers)])


def _shown(scene: bpy.types.Scene) -> list[bool]:
    """Which rows of the table are shown."""
    return [not is_deleted(row, bodies) for row, bodies in zip(scene.refit.clips, body_counts(scene), strict=True)]


def _draw_cells(layout: bpy.types.UILayout, cells: Sequence[tuple[str, IconItems]]) -> None:
    """One line of the table: texts with their icons."""
    rest = layout
    for (text, icon), share in zip(cells, (*_SHARES, None), strict=True):
        rest = rest if share is None else rest.split(factor=share)
        rest.label(text=text, icon=icon)


class REFIT_PT_clips(RefitPanel, bpy.types.Panel):
    bl_label = "Clips"
    bl_parent_id = "REFIT_PT_main"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return context.scene is not None and any(_shown(context.scene))

    def draw(self, context: bpy.types.Context) -> None:
        layout, settings = self.layout, context.scene.refit
        clips, shown = settings.clips, _shown(context.scene)
        _draw_cells(layout, [("Clip", "BLANK1"), ("Frames", "NONE"), ("", "COMMUNITY"), ("", "TIME")])
        rows = min(sum(shown), _MOST_ROWS)
        layout.template_list("REFIT_UL_clips", "", settings, "clips", settings, "clip_index", rows=rows)
        if settings.clip_index >= len(clips) or not shown[settings.clip_index]:
            return
        chosen = clips[settings.clip_index]
        if chosen.note:
            draw_text(layout, chosen.note, icon="ERROR")
        if chosen.worth_a_look:
            draw_text(layout, f"Frames to look at: {chosen.worth_a_look}", icon="VIEWZOOM")
