# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures that the training's tests share."""

from engine_doubles import body_cache, photo_file, untrained_weights
from stored_people import folder, photographs, poses, views

__all__ = ["body_cache", "folder", "photo_file", "photographs", "poses", "untrained_weights", "views"]
