# SPDX-License-Identifier: GPL-3.0-or-later
"""The clips of a folder, kept with the scene: a table of what each has become."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, FloatProperty, IntProperty, PointerProperty, StringProperty

from .scene.clips import show_clip


class RefitClip(bpy.types.PropertyGroup):
    """One movie; its name is the file's."""

    collection: PointerProperty(
        name="Collection", description="With the clip's bodies and its camera", type=bpy.types.Collection
    )
    frames: IntProperty(name="Frames", description="Of the scene, in which its bodies move", min=0)
    people: IntProperty(name="People", description="How many bodies it gave", min=0)
    seconds: FloatProperty(name="Seconds", description="How long it took", min=0.0)
    worth_a_look: StringProperty(name="To Look At", description="The least certain frames, the worst first")
    failed: BoolProperty(name="Failed", description="It gave no body")
    note: StringProperty(name="Note", description="Why it failed, or what was odd about it")


def show_chosen(settings: bpy.types.PropertyGroup, context: bpy.types.Context) -> None:
    """Let the chosen clip's bodies alone be seen."""
    clips = settings.clips
    chosen = clips[settings.clip_index].collection if settings.clip_index < len(clips) else None
    if chosen is not None:
        show_clip(context, [clip.collection for clip in clips if clip.collection is not None], chosen)
