# SPDX-License-Identifier: GPL-3.0-or-later
"""Recurrent fitting of a 3D human body to images."""

import os

# What Metal has no kernel for in older versions of PyTorch is calculated on the processor; read when PyTorch is loaded.
os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")

__version__ = "0.2.0"
"""Of the engine and of the add-on: build.py writes it into the extension's manifest."""
