# SPDX-License-Identifier: GPL-3.0-or-later
"""How certain a body is: kept on the rig, shown by the colours of its bones, and taken away again."""

import json

import bpy
import numpy as np
import pytest
from test_reconstruct import reconstruct

from refit_blender import results
from refit_blender.confidence import JointConfidence, read_confidence
from refit_blender.panels import lens_note
from refit_blender.scene import confidence
from refit_blender.scene.rigs import BONES


@pytest.fixture
def rig(photo, install_fake):
    install_fake()
    (made,) = reconstruct(photo)
    return made


def looks(rig):
    """Everything of the armature that colours change."""
    bones = {
        bone.name: (bone.color.palette, *map(tuple, (bone.color.custom.normal, bone.color.custom.select)))
        for bone in rig.data.bones
    }
    return bones, rig.data.display_type, rig.data.show_bone_colors, sorted(rig.data.keys())


def test_deviations_are_kept_on_the_rig_and_explain_themselves(photo, install_fake):
    fake = install_fake(people=2)
    for index, rig in enumerate(sorted(reconstruct(photo), key=lambda rig: rig.name)):
        np.testing.assert_allclose(rig["refit_joint_std_mm"][:], fake.result["joint_std_mm"][index])
        np.testing.assert_allclose(rig["refit_joint_std_deg"][:], fake.result["joint_std_deg"][index])
        assert rig["refit_confidence_calibrated"]
        assert "millimetres" in rig.id_properties_ui("refit_joint_std_mm").as_dict()["description"]
        assert "degrees" in rig.id_properties_ui("refit_joint_std_deg").as_dict()["description"]


def test_results_without_confidence_make_bodies_without(photo, install_fake):
    fake = install_fake()
    for kept in (False, True):
        arrays = {name: value for name, value in fake.result.items() if not name.startswith("joint_std")}
        if kept:
            arrays |= {"joint_std_mm": np.full((1, 24), np.nan), "joint_std_deg": np.full((1, 24), np.nan)}
        np.savez(fake.folder / "result.npz", **arrays)
        rig = reconstruct(photo)[-1]
        assert confidence.confidence_of(rig) is None
        assert not bpy.ops.refit.confidence_colors.poll()


def test_bones_are_green_where_certain_and_red_where_not(rig):
    known = confidence.confidence_of(rig)
    assert bpy.ops.refit.confidence_colors(measure="POSITION") == {"FINISHED"}
    assert bpy.context.mode == "POSE" and rig.data.show_bone_colors
    order = np.argsort(known.std_mm)
    redness = [rig.data.bones[BONES["animation"][joint]].color.custom.normal[:] for joint in order]
    assert rig.data.bones["pelvis"].color.palette == "DEFAULT"
    assert all(bone.color.palette == "CUSTOM" for bone in rig.data.bones if bone.name not in ("root", "pelvis"))
    red, green = np.array(redness[1:])[:, 0], np.array(redness[1:])[:, 1]
    assert green[0] > red[0] and red[-1] > green[-1]
    assert (np.diff(red - green) >= -1e-6).all()


def test_other_measure_replaces_the_first_and_the_same_again_restores_everything(rig):
    rig.data.bones["head"].color.palette = "THEME03"
    rig.data.display_type = "BBONE"
    before = looks(rig)
    bpy.ops.refit.confidence_colors(measure="POSITION")
    by_position = looks(rig)
    bpy.ops.refit.confidence_colors(measure="ROTATION")
    assert confidence.shown_measure(rig) == "ROTATION"
    assert looks(rig) != by_position and rig.data.bones["pelvis"].color.palette == "CUSTOM"
    bpy.ops.refit.confidence_colors(measure="ROTATION")
    assert looks(rig) == before
    assert bpy.context.mode == "OBJECT" and confidence.shown_measure(rig) is None


def test_colors_survive_a_saved_file_and_can_be_taken_away_there(rig, tmp_path):
    before = looks(rig)
    bpy.ops.refit.confidence_colors(measure="POSITION")
    shown = looks(rig)
    bpy.ops.object.mode_set(mode="OBJECT")
    name = rig.name
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "kept.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "kept.blend"))
    rig = bpy.data.objects[name]
    assert looks(rig) == shown
    bpy.ops.refit.confidence_colors(measure="POSITION")
    assert looks(rig) == before


def test_button_works_from_the_mesh_of_the_body(rig):
    (mesh,) = (child for child in rig.children if child.type == "MESH")
    bpy.context.view_layer.objects.active = mesh
    bpy.ops.refit.confidence_colors(measure="ROTATION")
    assert bpy.context.mode == "POSE" and bpy.context.object == rig


def test_deleted_bone_does_not_stop_the_restoring(rig):
    bpy.ops.refit.confidence_colors(measure="POSITION")
    bpy.ops.object.mode_set(mode="EDIT")
    assert not bpy.ops.refit.confidence_colors.poll()
    rig.data.edit_bones.remove(rig.data.edit_bones["fingers.L"])
    bpy.ops.object.mode_set(mode="OBJECT")
    bpy.ops.refit.confidence_colors(measure="POSITION")
    assert not any(bone.color.palette == "CUSTOM" for bone in rig.data.bones)


def test_uncalibrated_deviations_are_shown_relative_to_each_other():
    known = JointConfidence(np.linspace(0, 2.3, 24), np.linspace(0.1, 2.4, 24), calibrated=False)
    assert confidence.range_of(known, "POSITION") == pytest.approx((0.1, 2.3))
    assert confidence.range_of(JointConfidence(known.std_mm, known.std_deg, True), "POSITION") == (30, 200)


def test_ramp_runs_from_green_over_yellow_to_red():
    greens = [confidence.color(value, 30, 200) for value in (1, 30, 77.5, 200, 5000)]
    np.testing.assert_allclose(greens[0], greens[1])
    np.testing.assert_allclose(greens[3], greens[4])
    assert greens[2][0] > 0.9 and greens[2][1] > 0.7


def test_overall_and_worst_leave_the_pelvis_place_out():
    known = JointConfidence(np.array([0.0] + [10.0] * 22 + [99.0]), np.full(24, 7.0), True)
    assert known.worst(2) == [23, 1]
    assert known.overall()[0] == pytest.approx(np.sqrt((22 * 100 + 99**2) / 23))
    assert known.overall()[1] == pytest.approx(7)


def test_deviations_of_another_skeleton_are_damage(photo, install_fake):
    with pytest.raises(ValueError, match="24 joints"):
        read_confidence({"joint_std_mm": np.ones((1, 17)), "joint_std_deg": np.ones((1, 17))}, 0)
    fake = install_fake()
    np.savez(fake.folder / "bad.npz", **{**fake.result, "joint_std_mm": np.ones((1, 17))})
    with pytest.raises(results.ResultFileError, match="damaged"):
        results.read_result(fake.folder / "bad.npz")


def test_panel_knows_the_lens_and_who_said_so(rig):
    assert lens_note(rig) == "Lens 39 mm: assumed, the picture says nothing"  # 700 pixels of 640 are 39 mm of 36
    rig["refit_focal_source"] = "exif"
    assert lens_note(rig).endswith("the photo's EXIF data")
    del rig["refit_K"]
    assert lens_note(rig) == ""


def test_engine_is_asked_for_confidence_unless_switched_off(photo, install_fake):
    fake = install_fake()
    for wanted in (True, False):
        reconstruct(photo, confidence=wanted)
        assert json.loads((fake.folder / "request.json").read_text())["confidence"] is wanted
