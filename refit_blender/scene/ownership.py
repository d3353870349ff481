# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes from another file: nothing can be changed or added there, and Blender would forget what a script did."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import bpy

from ..errors import SourceError

Block = TypeVar("Block", bound=bpy.types.ID)


def is_foreign(block: bpy.types.ID | None) -> bool:
    """Whether a data block is linked from another file, or overrides one that is."""
    return block is not None and (block.library is not None or block.override_library is not None)


def own_block(blocks: Iterable[Block], name: str) -> Block | None:
    """This file's block of a kind (`bpy.data.…`) with a name: linked ones may have the same."""
    return next((block for block in blocks if block.name == name and block.library is None), None)


def foreign_sentence(*blocks: bpy.types.ID | None) -> str:
    """Which of these blocks, or of the data of objects among them, is another file's; nothing where all are this file's."""
    for block in blocks:
        data = block.data if isinstance(block, bpy.types.Object) else None
        if block is not None and (is_foreign(block) or is_foreign(data)):
            return f"“{block.name}” is linked from another file: make it local first (Object › Relations)."
    return ""


def check_own(*blocks: bpy.types.ID | None) -> None:
    """Raises SourceError where one of these blocks, or the data of an object among them, is another file's."""
    if sentence := foreign_sentence(*blocks):
        raise SourceError(sentence)


def scene_sentence(scene: bpy.types.Scene) -> str:
    """Why nothing can be changed in a scene; nothing where it is this file's."""
    if not is_foreign(scene):
        return ""
    return f"Scene “{scene.name}” is linked from another file: open that file, or choose a scene of this one."


def check_own_scene(scene: bpy.types.Scene) -> None:
    """Raises SourceError where a scene is another file's."""
    if sentence := scene_sentence(scene):
        raise SourceError(sentence)


def check_action(item: bpy.types.Object) -> None:
    """Raises SourceError where an object's action is another file's."""
    animation = item.animation_data
    if animation and is_foreign(animation.action):
        raise SourceError(f"The action of “{item.name}” is linked from another file: make it local first.")
