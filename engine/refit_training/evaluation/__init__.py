# SPDX-License-Identifier: GPL-3.0-or-later
"""Measurements: how exact the network is, on what."""
