# SPDX-License-Identifier: GPL-3.0-or-later
"""The operators, by what they act on: a reconstruction, the engine, a body."""
