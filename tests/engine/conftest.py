# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures that the engine's tests share."""

from engine_doubles import body_cache, nothing_hidden, photo_file, untrained_weights

__all__ = ["body_cache", "nothing_hidden", "photo_file", "untrained_weights"]
