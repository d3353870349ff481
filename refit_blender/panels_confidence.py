# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the sidebar that says how certain a body is."""

from __future__ import annotations

import bpy

from .confidence import JointConfidence
from .panels_base import RefitPanel
from .preferences import draw_text
from .results import JOINT_NAMES
from .scene import body as bodies
from .scene import confidence

WORST = 4
UNITS = {"POSITION": " mm", "ROTATION": "°"}


class REFIT_PT_confidence(RefitPanel, bpy.types.Panel):
    bl_label = "Confidence"
    bl_parent_id = "REFIT_PT_result"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        rig = bodies.rig_of(context.active_object)
        return rig is not None and confidence.confidence_of(rig) is not None

    def draw_header_preset(self, context: bpy.types.Context) -> None:
        """The essence, for the closed panel."""
        _, known = _active(context)
        millimetres, degrees = known.overall()
        self.layout.label(text=f"± {millimetres:.0f} mm, ± {degrees:.0f}°")

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        rig, known = _active(context)
        if not known.calibrated:
            draw_text(layout, "Not calibrated for these weights: good for comparing joints only.", icon="ERROR")
        table = layout.box().column(align=True)
        _row(table, "Least certain", "position", "rotation").enabled = False
        for joint in known.worst(WORST):
            name = JOINT_NAMES[joint].replace("_", " ").capitalize()
            _row(table, name, f"± {known.std_mm[joint]:.0f} mm", f"± {known.std_deg[joint]:.0f}°")
        shown = confidence.shown_measure(rig)
        layout.label(text="Color bones by")
        row = layout.row(align=True)
        for measure in UNITS:
            text = measure.capitalize()
            row.operator("refit.confidence_colors", text=text, depress=shown == measure).measure = measure
        if shown:
            low, high = confidence.range_of(known, shown)
            layout.label(text=f"Green to {low:.3g}{UNITS[shown]}, red from {high:.3g}{UNITS[shown]}", icon="COLOR")


def _active(context: bpy.types.Context) -> tuple[bpy.types.Object, JointConfidence]:
    """The active rig and what is known of its joints."""
    rig = bodies.rig_of(context.active_object)
    known = confidence.confidence_of(rig) if rig else None
    assert rig is not None and known is not None  # poll has seen to it
    return rig, known


def _row(layout: bpy.types.UILayout, *texts: str) -> bpy.types.UILayout:
    row = layout.split(factor=0.46)
    row.label(text=texts[0])
    row = row.row()
    for text in texts[1:]:
        row.label(text=text)
    return row
