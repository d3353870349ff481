# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs inside the Blender under test: opens the sidebar at the add-on's tab and answers questions from the test.

A question is a file with Python code, its answer a file with JSON. The code runs from a timer, so that Blender's
event loop stays what it is for a user; the mouse and the keyboard belong to the test alone.
"""

import json
import sys
import traceback
from pathlib import Path

import bpy

CHANNEL = Path(sys.argv[sys.argv.index("--") + 1])
INTERVAL = 0.03


def view_3d():
    """The window, area, sidebar and main region of the 3D viewport."""
    window = bpy.context.window_manager.windows[0]
    area = next(area for area in window.screen.areas if area.type == "VIEW_3D")
    regions = {region.type: region for region in area.regions}
    return window, area, regions["UI"], regions["WINDOW"]


def sidebar_box():
    """x, y, width and height of the sidebar in screen pixels, y from the top."""
    window, _, sidebar, _ = view_3d()
    return sidebar.x, window.height - sidebar.y - sidebar.height, sidebar.width, sidebar.height


def open_tab(name):
    """Show the sidebar at one of its tabs."""
    _, area, sidebar, _ = view_3d()
    area.spaces.active.show_region_ui = True
    sidebar.active_panel_category = name
    area.tag_redraw()


def answer_questions():
    for question in sorted(CHANNEL.glob("*.py")):
        names = {"bpy": bpy, "view_3d": view_3d, "sidebar_box": sidebar_box, "open_tab": open_tab}
        try:
            exec(question.read_text(), names)
            reply = {"value": names.get("answer")}
            text = json.dumps(reply)
        except Exception:  # noqa: BLE001 - whatever it is, the test shall see it
            text = json.dumps({"error": traceback.format_exc()})
        question.unlink()
        unfinished = question.with_suffix(".part")
        unfinished.write_text(text)
        unfinished.rename(question.with_suffix(".json"))
    return INTERVAL


bpy.app.timers.register(answer_questions, persistent=True)
