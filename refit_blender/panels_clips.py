# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the sidebar about the clips of folders: a table, of which the chosen row's clip is seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import bpy

from .panels_base import RefitPanel
from .preferences import draw_text

if TYPE_CHECKING:
    from bpy._typing.rna_enums import IconItems  # in the stubs alone

_SHARES = (0.46, 0.36, 0.42)
"""Widths of the columns, each of what is left: name, frames, people; then seconds."""
_MOST_ROWS = 8


class REFIT_UL_clips(bpy.types.UIList):
    """One line for each clip."""

    bl_idname = "REFIT_UL_clips"

    def draw_item(
        self, _context, layout, _data, item, _icon, _active_data, _active_property, _index=0, _flags=0
    ) -> None:
        if item.failed:
            layout.label(text=item.name, icon="ERROR")
            return
        icon = (
            "GHOST_DISABLED" if item.collection is None else "HIDE_ON" if item.collection.hide_viewport else "HIDE_OFF"
        )
        numbers = (str(item.frames), str(item.people), f"{item.seconds:.0f} s")
        _draw_cells(layout, [(item.name, icon), *((text, "NONE") for text in numbers)])


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
        return context.scene is not None and bool(context.scene.refit.clips)

    def draw(self, context: bpy.types.Context) -> None:
        layout, settings = self.layout, context.scene.refit
        clips = settings.clips
        _draw_cells(layout, [("Clip", "BLANK1"), ("Frames", "NONE"), ("", "COMMUNITY"), ("", "TIME")])
        rows = min(len(clips), _MOST_ROWS)
        layout.template_list("REFIT_UL_clips", "", settings, "clips", settings, "clip_index", rows=rows)
        chosen = clips[settings.clip_index] if settings.clip_index < len(clips) else None
        if chosen is None:
            return
        if chosen.note:
            draw_text(layout, chosen.note, icon="ERROR")
        if chosen.worth_a_look:
            draw_text(layout, f"Frames to look at: {chosen.worth_a_look}", icon="VIEWZOOM")
