# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators that change the scene: they are grey, and say why, where it is another file's."""

from __future__ import annotations

import bpy

from ..scene.ownership import scene_sentence


class OwnSceneOperator:
    """An operator that changes the scene."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        sentence = scene_sentence(context.scene) if context.scene else ""
        if sentence:
            cls.poll_message_set(sentence.rstrip("."))
        return context.scene is not None and not sentence
