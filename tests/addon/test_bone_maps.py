# SPDX-License-Identifier: GPL-3.0-or-later
"""Bone maps: found by names and by structure, kept as presets, refused where a file is none."""

import json

import bpy
import numpy as np
import pytest
from rig_tables import RIGS, make

from refit_blender.errors import SourceError
from refit_blender.retarget import maps
from refit_blender.retarget.roles import REQUIRED, ROLES
from refit_blender.retarget.structure import by_structure
from refit_blender.scene.skeletons import skeleton_of

SPLIT = {"auto-rig pro controls"}
"""Rigs whose controls hang together in no body's way: nobody knows them by structure."""


def nameless(name: str) -> str:
    """A name that says nothing, the same for the same bone."""
    return f"b{sum(ord(letter) * 7**place for place, letter in enumerate(name)) % 10**9}"


@pytest.mark.parametrize("name", RIGS)
def test_rigs_are_known_by_their_names(name):
    found = maps.find_map(skeleton_of(make(RIGS[name])))
    assert found.kind == RIGS[name].kind
    assert found.bones == RIGS[name].bones


@pytest.mark.parametrize("name", sorted(set(RIGS) - SPLIT))
def test_rigs_are_known_by_their_structure(name):
    found = maps.find_map(skeleton_of(make(RIGS[name], nameless)))
    assert found.kind == maps.BY_STRUCTURE
    assert found.bones == {role: nameless(bone) for role, bone in RIGS[name].bones.items()}


def test_a_table_is_no_body():
    data = bpy.data.armatures.new("table")
    made = bpy.data.objects.new("table", data)
    bpy.context.scene.collection.objects.link(made)
    bpy.context.view_layer.objects.active = made
    bpy.ops.object.mode_set(mode="EDIT")
    for number in range(12):
        bone = data.edit_bones.new(f"leg {number}")
        bone.head, bone.tail = (number % 3, number // 3, 0), (number % 3, number // 3, 1)
    bpy.ops.object.mode_set(mode="OBJECT")
    assert maps.find_map(skeleton_of(made)) == maps.BoneMap({})


def test_presets_come_back_as_they_were(tmp_path):
    path = tmp_path / "maps" / "mine.json"
    bones = {"pelvis": "Hüfte", "head": "mixamorig:Head", "thigh.L": 'a "quoted" bone'}
    maps.write_preset(path, bones)
    assert maps.read_preset(path) == bones


def test_presets_of_other_programs_are_read(tmp_path):
    """With a mark before the text, or with half a character, which Blender could not look up."""
    path = tmp_path / "mine.json"
    path.write_bytes(b'\xef\xbb\xbf{"format": "refit-bone-map", "version": 1, "bones": {"head": "a\\ud800"}}')
    assert maps.read_preset(path) == {"head": "a?"}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is not a JSON file"),
        (b"\xff\xfe\x00", "is not a JSON file"),
        (b"[" * 100_000, "is not a JSON file"),
        (b"[1, 2]", "is not a bone map"),
        (b'{"format": "refit-bone-map"}', "of version None; this add-on reads 1"),
        (b'{"format": "refit-bone-map", "version": 1}', "has no list of bones"),
        (b'{"format": "refit-bone-map", "version": 1, "bones": {"tail": "x"}}', "the body has no part “tail”"),
        (b'{"format": "refit-bone-map", "version": 1, "bones": {"head": 3}}', "“head” has no bone's name"),
        (b'{"format": "refit-bone-map", "version": 1, "bones": {"head": ""}}', "“head” has no bone's name"),
        (
            json.dumps({"format": "refit-bone-map", "version": 1, "bones": {"head": "x" * 64}}).encode(),
            "no bone's name",
        ),
        (b" " * (2 << 20), "is too large for a bone map"),
    ],
)
def test_files_that_are_no_presets_are_refused(tmp_path, content, sentence):
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=sentence) as raised:
        maps.read_preset(path)
    assert str(raised.value).startswith("bad.json")


def test_a_preset_that_is_missing_is_said(tmp_path):
    with pytest.raises(SourceError, match="nowhere.json cannot be read: No such file"):
        maps.read_preset(tmp_path / "nowhere.json")


def test_maps_that_cannot_work_are_refused():
    skeleton = skeleton_of(make(RIGS["unity humanoid"]))
    whole = RIGS["unity humanoid"].bones
    maps.check(whole, skeleton)
    with pytest.raises(SourceError, match="Choose bones for these parts first: Thigh L, Shin R"):
        maps.check({role: bone for role, bone in whole.items() if role not in {"thigh.L", "shin.R"}}, skeleton)
    with pytest.raises(SourceError, match="Head: the target has no bone “Kopf”"):
        maps.check(whole | {"head": "Kopf"}, skeleton)
    with pytest.raises(SourceError, match="Bone “LeftHand” is chosen twice: for Hand L and for Hand R"):
        maps.check(whole | {"hand.R": "LeftHand"}, skeleton)


def test_only_control_rigs_have_switches():
    assert maps.switches_for(RIGS["mixamo"].bones.values()) == []
    switches = maps.switches_for(RIGS["auto-rig pro controls"].bones.values())
    assert ("c_hand_ik.l", "ik_fk_switch", 1.0) in switches
    assert len(switches) == 4


def test_required_parts_are_among_all_parts():
    assert set(REQUIRED) < set(ROLES)
    assert np.unique(ROLES).size == len(ROLES)


def test_structure_needs_two_pairs_of_limbs():
    skeleton = skeleton_of(make(RIGS["mixamo"]))
    arms = [name for name in skeleton.names if "Arm" in name or "Hand" in name or "Shoulder" in name]
    kept = [place for place, name in enumerate(skeleton.names) if name not in arms]
    new = {old: place for place, old in enumerate(kept)} | {-1: -1}
    parents = np.array([new[int(skeleton.parents[old])] for old in kept])
    pick = [skeleton.heads[kept], skeleton.tails[kept], skeleton.axes[kept]]
    assert by_structure(type(skeleton)(tuple(skeleton.names[old] for old in kept), parents, *pick)) == {}
