# SPDX-License-Identifier: GPL-3.0-or-later
"""Confidence on a rig: custom properties that keep it, and bone colours that show it.

Blender draws bone colours in Pose and Edit mode only.
"""

from __future__ import annotations

import json
from typing import Literal

import bpy
import numpy as np

from ..confidence import JointConfidence
from ..results import JOINT_NAMES
from .rigs import BONES, kind_of

Measure = Literal["POSITION", "ROTATION"]

STD_MM, STD_DEG, CALIBRATED = "refit_joint_std_mm", "refit_joint_std_deg", "refit_confidence_calibrated"
SPREAD = "refit_confidence_spread"
"""On a rig whose errors are animated: the smallest and the largest of its millimetres, and of its degrees."""
_DESCRIPTIONS = {
    STD_MM: "Root mean square error to expect of each joint's position relative to the pelvis, in millimetres; joints in"
    " SMPL's order",
    STD_DEG: "Root mean square error to expect of each joint's rotation relative to its parent (the pelvis: to the"
    " camera), in degrees; joints in SMPL's order",
    CALIBRATED: "Whether these errors were calibrated for the network's weights; if not, they are good for comparing"
    " joints only",
}

RANGES: dict[Measure, tuple[float, float]] = {"POSITION": (30.0, 200.0), "ROTATION": (5.0, 40.0)}
"""Green up to the first and red from the second, in millimetres or degrees; yellow at their geometric mean."""
_RAMP = np.array([[0.10, 0.70, 0.18], [0.95, 0.80, 0.10], [0.85, 0.06, 0.05]])

# On the armature data while its bones are coloured: which measure is shown, and what was there before, as JSON.
_SHOWN, _BEFORE = "refit_confidence_shown", "refit_colors_before"


def note_confidence(rig: bpy.types.Object, confidence: JointConfidence) -> None:
    """Keep a body's confidence on its rig as custom properties that explain themselves."""
    rig[STD_MM] = confidence.std_mm.tolist()
    rig[STD_DEG] = confidence.std_deg.tolist()
    rig[CALIBRATED] = confidence.calibrated
    for name, text in _DESCRIPTIONS.items():
        rig.id_properties_ui(name).update(description=text)


def confidence_of(rig: bpy.types.Object) -> JointConfidence | None:
    """What is kept on a rig, None where it has nothing of the kind or somebody changed it."""
    if STD_MM not in rig or STD_DEG not in rig:
        return None
    try:
        std_mm, std_deg = (np.array(rig[name][:], dtype=np.float64) for name in (STD_MM, STD_DEG))
    except (TypeError, ValueError):
        return None
    if std_mm.shape != (len(JOINT_NAMES),) or std_deg.shape != (len(JOINT_NAMES),):
        return None
    return JointConfidence(std_mm, std_deg, bool(rig.get(CALIBRATED, False)), _spread(rig))


def _spread(rig: bpy.types.Object) -> tuple[float, float, float, float] | None:
    values = rig.get(SPREAD)
    numbers = tuple(float(value) for value in values) if hasattr(values, "to_list") and len(values) == 4 else ()
    return (numbers[0], numbers[1], numbers[2], numbers[3]) if numbers else None


def shown_measure(rig: bpy.types.Object) -> Measure | None:
    """What the colours of the bones show at the moment."""
    return rig.data.get(_SHOWN)


def range_of(confidence: JointConfidence, measure: Measure) -> tuple[float, float]:
    """The values of green and red; without calibration, the body's own smallest and largest, of all frames."""
    if confidence.calibrated:
        return RANGES[measure]
    if confidence.spread:
        return confidence.spread[:2] if measure == "POSITION" else confidence.spread[2:]
    values = _values(confidence, measure)
    values = values[values > 0]
    return (float(values.min()), float(values.max())) if len(values) else RANGES[measure]


def color(value: float, low: float, high: float) -> tuple[float, float, float]:
    """From green over yellow to red on a logarithmic scale."""
    share = np.log(max(value, low) / low) / np.log(high / low) if high > low else 0.0
    place = 2 * min(float(share), 1.0)
    red, green, blue = (float(np.interp(place, (0, 1, 2), channel)) for channel in _RAMP.T)
    return red, green, blue


def show_colors(rig: bpy.types.Object, confidence: JointConfidence, measure: Measure) -> None:
    """Colour the bones by one of the two errors. The rig must not be in Edit mode."""
    armature = _armature(rig)
    if _BEFORE not in armature:
        armature[_BEFORE] = json.dumps(_look(armature))
    armature[_SHOWN] = measure
    armature.show_bone_colors = True
    # Sticks are too thin to tell colours apart.
    armature.display_type = "OCTAHEDRAL"
    low, high = range_of(confidence, measure)
    values: dict[str, float] = dict(zip(BONES[kind_of(rig)], _values(confidence, measure).tolist(), strict=True))
    for bone in armature.bones:
        if values.get(bone.name, 0) <= 0:  # the pelvis has no error relative to itself
            bone.color.palette = "DEFAULT"
            continue
        normal = color(values[bone.name], low, high)
        bone.color.palette = "CUSTOM"
        bone.color.custom.normal = normal
        bone.color.custom.select = tuple(0.55 * part + 0.45 for part in normal)
        bone.color.custom.active = tuple(0.25 * part + 0.75 for part in normal)


def follow_frame(scene: bpy.types.Scene) -> None:
    """Colour the bones of bodies whose errors are animated by those of the present frame, where colours are shown."""
    for rig in scene.objects:
        if rig.type == "ARMATURE" and SPREAD in rig and (measure := shown_measure(rig)):
            known = confidence_of(rig)
            if known is not None and rig.mode != "EDIT":
                show_colors(rig, known, measure)


def restore_colors(rig: bpy.types.Object) -> None:
    """Give the bones the look that they had before."""
    armature = _armature(rig)
    if _BEFORE not in armature:
        return
    before = json.loads(armature[_BEFORE])
    del armature[_BEFORE], armature[_SHOWN]
    armature.show_bone_colors = before["show_bone_colors"]
    armature.display_type = before["display_type"]
    for name, (palette, normal, select, active) in before["bones"].items():
        bone = armature.bones.get(name)
        if bone is None:  # deleted since
            continue
        bone.color.custom.normal, bone.color.custom.select, bone.color.custom.active = normal, select, active
        bone.color.palette = palette


def _armature(rig: bpy.types.Object) -> bpy.types.Armature:
    assert isinstance(rig.data, bpy.types.Armature)  # of a rig
    return rig.data


def _values(confidence: JointConfidence, measure: Measure) -> np.ndarray:
    return confidence.std_mm if measure == "POSITION" else confidence.std_deg


def _look(armature: bpy.types.Armature) -> dict[str, object]:
    bones = {}
    for bone in armature.bones:
        custom = bone.color.custom
        bones[bone.name] = [
            bone.color.palette,
            *(list(part[:]) for part in (custom.normal, custom.select, custom.active)),
        ]
    return {
        "show_bone_colors": armature.show_bone_colors,
        "display_type": armature.display_type,
        "bones": bones,
    }
