# SPDX-License-Identifier: GPL-3.0-or-later
"""The clips of a folder, kept with the scene: a table of what each has become."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, FloatProperty, IntProperty, PointerProperty, StringProperty

from .scene.clips import body_counts, show_clip
from .scene.reconstructions import Reconstruction


def _people(row: RefitClip) -> int:
    """How many bodies of a clip are in the scene: users may delete some."""
    clip = row.collection
    return 0 if clip is None else len(Reconstruction(clip).bodies_among(set(row.id_data.objects)))


class RefitClip(bpy.types.PropertyGroup):
    """One movie; its name is the file's."""

    collection: PointerProperty(
        name="Collection", description="With the clip's bodies and its camera", type=bpy.types.Collection
    )
    frames: IntProperty(name="Frames", description="Of the scene, in which its bodies move", min=0)
    people: IntProperty(name="People", description="How many of its bodies are in the scene", get=_people)
    seconds: FloatProperty(name="Seconds", description="How long it took", min=0.0)
    worth_a_look: StringProperty(name="To Look At", description="The least certain frames, the worst first")
    failed: BoolProperty(name="Failed", description="The last time, it gave no motion; what was there before stays")
    note: StringProperty(name="Note", description="Why it failed, or what was odd about it")


def show_chosen(settings: bpy.types.PropertyGroup, context: bpy.types.Context) -> None:
    """Let the chosen clip's bodies alone be seen; nothing changes where they were deleted."""
    clips, bodies = settings.clips, body_counts(settings.id_data)
    if settings.clip_index < len(clips) and bodies[settings.clip_index]:
        chosen = clips[settings.clip_index].collection
        show_clip(context, [clip.collection for clip in clips if clip.collection is not None], chosen)
