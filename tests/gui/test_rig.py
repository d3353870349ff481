# SPDX-License-Identifier: GPL-3.0-or-later
"""What an animator does with a body: bends an arm, mirrors the pose, moves a hand by IK, and takes it all back.

The tests tell one story in one Blender, in their order.
"""

import numpy as np
import pytest
from desktop import SCREEN, wait_until
from job import SAMPLE_PHOTO, Job

RIG = "rig = next(item for item in bpy.data.objects if item.type == 'ARMATURE')\n"
HEADER = 85  # pixels from the middle of a button to that of a panel's header, with two others between them
VIEW = (
    "window, area, sidebar, main = view_3d()\nwith bpy.context.temp_override(window=window, area=area, region=main):\n"
)


@pytest.fixture(scope="module", autouse=True)
def body(window):
    """A body in Pose Mode, seen from the front and filling the view."""
    job = Job(window)
    window.ask("bpy.data.objects.remove(bpy.data.objects['Cube'])")
    job.choose(SAMPLE_PHOTO)
    job.set(people="LARGEST")
    job.click_reconstruct()
    job.wait_for_end(600)
    assert not job.error()
    window.ask(VIEW + "    bpy.ops.view3d.view_axis(type='FRONT'); bpy.ops.view3d.view_selected()")
    over_the_viewport(window)
    window.input("key", "ctrl+Tab")
    wait_until(lambda: window.ask("answer = bpy.context.mode") == "POSE", "Pose Mode was on", 60)
    window.picture("rig")


def over_the_viewport(window):
    window.input("mousemove", SCREEN[0] // 3, SCREEN[1] // 2, "sleep", "0.2")


def joints(window) -> dict[str, np.ndarray]:
    found = window.ask(
        RIG + "bpy.context.view_layer.update()\nanswer = {bone.name: list(bone.head) for bone in rig.pose.bones}"
    )
    return {name: np.array(place) for name, place in found.items()}


def select(window, name: str) -> None:
    """Make a bone the only one that is selected."""
    window.ask(
        RIG
        + "for bone in rig.data.bones:\n"
        + f"    chosen = bone.name == {name!r}\n"
        + "    owner = rig.pose.bones[bone.name] if bpy.app.version >= (5, 0) else bone\n"
        + "    owner.select = chosen\n"
        + f"rig.data.bones.active = rig.data.bones[{name!r}]"
    )


def test_a_forearm_turns_with_the_keyboard(window):
    before = joints(window)
    select(window, "forearm.L")
    over_the_viewport(window)
    window.input("key", "r")
    window.input("key", "x")
    window.input("key", "x")  # about its own X axis
    window.input("type", "60")
    window.input("key", "Return")
    wait_until(lambda: np.abs(joints(window)["hand.L"] - before["hand.L"]).max() > 0.05, "the forearm turned", 60)
    window.picture("rig-forearm")
    after = joints(window)
    np.testing.assert_allclose(after["forearm.L"], before["forearm.L"], atol=1e-5)
    np.testing.assert_allclose(after["hand.R"], before["hand.R"], atol=1e-5)


def test_a_pose_is_pasted_flipped(window):
    before = joints(window)
    over_the_viewport(window)
    window.input("key", "a")
    window.input("key", "ctrl+c")
    window.let_it_work()
    window.input("key", "ctrl+shift+v")
    wait_until(lambda: np.abs(joints(window)["hand.L"] - before["hand.L"]).max() > 0.05, "the pose was pasted", 60)
    window.picture("rig-flipped")
    after = joints(window)
    for left, right in (("hand.L", "hand.R"), ("foot.R", "foot.L"), ("head", "head")):
        np.testing.assert_allclose(after[left] * [-1, 1, 1], before[right], atol=1e-3)


def test_a_hand_follows_its_target(window):
    before = joints(window)
    x, y = window.find_button("refit.toggle_correctives")
    window.click((x, y + HEADER))
    button = window.find_button("refit.add_ik")
    window.picture("rig-panel")
    window.click(button)
    wait_until(lambda: "hand_ik.L" in joints(window), "IK was there", 60)
    assert window.ask("answer = bpy.context.mode") == "POSE"
    started = joints(window)
    for name, place in before.items():
        np.testing.assert_allclose(started[name], place, atol=1e-4, err_msg=name)
    select(window, "hand_ik.L")
    over_the_viewport(window)
    window.input("key", "g")
    window.input("key", "z")
    window.input("type", "--", "-0.2")
    window.input("key", "Return")
    wait_until(lambda: joints(window)["hand.L"][2] < before["hand.L"][2] - 0.05, "the hand went down", 60)
    window.let_it_work()
    window.picture("rig-ik")
    window.ask(VIEW + "    bpy.ops.view3d.view_axis(type='LEFT')")
    window.let_it_work()
    window.picture("rig-ik-side")


def test_undo_goes_back_step_by_step(window):
    over_the_viewport(window)
    window.input("key", "ctrl+z")
    wait_until(lambda: "hand_ik.L" in joints(window), "IK was still there", 60)
