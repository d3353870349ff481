# SPDX-License-Identifier: GPL-3.0-or-later
"""ReFit: a photo becomes a posed, rigged body. The add-on talks to an engine that runs in its own Python."""

from .registration import register, unregister

__all__ = ["register", "unregister"]
