# SPDX-License-Identifier: GPL-3.0-or-later
"""How certain a body is, as the user sees it: in the panel, and in the colours of the bones."""

import pytest
from desktop import wait_until
from job import SAMPLE_PHOTO, Job

HEADER = 33  # pixels from the middle of a button to that of the panel's header below
PEOPLE = 57  # and from that of "Draw Boxes" to the header of its panel above

BONES = """
rig = next(item for item in bpy.data.objects if item.type == 'ARMATURE')
answer = [[*bone.color.custom.normal] for bone in rig.data.bones if bone.color.palette == 'CUSTOM']
"""


@pytest.fixture(scope="module", autouse=True)
def body(window):
    """A body, seen from the front and filling the view."""
    job = Job(window)
    window.ask("bpy.data.objects.remove(bpy.data.objects['Cube'])")
    job.choose(SAMPLE_PHOTO)
    job.set(people="LARGEST")
    job.click_reconstruct()
    job.wait_for_end()
    assert not job.error()
    window.ask(
        "window, area, sidebar, main = view_3d()\n"
        "with bpy.context.temp_override(window=window, area=area, region=main):\n"
        "    bpy.ops.view3d.view_axis(type='FRONT'); bpy.ops.view3d.view_selected()"
    )
    window.let_it_work()
    x, y = window.find_button("refit.draw_boxes")
    window.click((x, y - PEOPLE))  # makes room
    # The panel is closed at first; its header is the row below this button.
    x, y = window.find_button("refit.toggle_correctives")
    window.picture("confidence-closed")
    window.click((x, y + HEADER))


def colored(window):
    return window.ask(BONES)


def test_button_colors_the_bones_and_the_same_button_takes_the_colors_away(window):
    button = window.find_button("refit.confidence_colors")
    window.picture("confidence")
    window.click(button)
    wait_until(lambda: colored(window), "the bones got colours", 60)
    assert window.ask("answer = bpy.context.mode") == "POSE"
    reds = {round(color[0], 3) for color in colored(window)}
    assert len(reds) > 1
    window.picture("confidence-colors")
    window.click(button)
    wait_until(lambda: not colored(window), "the colours were gone", 60)
    window.picture("confidence-restored")
