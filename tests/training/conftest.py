# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures that the training's tests share."""

from engine_doubles import body_cache, photo_file, untrained_weights
from stored_people import folder, poses, renders, views

__all__ = ["body_cache", "folder", "photo_file", "poses", "renders", "untrained_weights", "views"]
