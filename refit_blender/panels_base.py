# SPDX-License-Identifier: GPL-3.0-or-later
"""What all panels of the sidebar tab share."""


class RefitPanel:
    """What all panels of the tab share."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "ReFit"
