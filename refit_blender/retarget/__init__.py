# SPDX-License-Identifier: GPL-3.0-or-later
"""A reconstructed body's motion on another armature: bone maps and the transfer, on arrays only."""
