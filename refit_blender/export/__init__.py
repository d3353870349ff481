# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies leave Blender: FBX, GLB, BVH, USD, AMASS-style npz, and poses of the asset browser."""
