# SPDX-License-Identifier: GPL-3.0-or-later
"""Bone maps: found by names or by structure, checked, and kept in preset files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SourceError
from .profiles import PROFILES, find_profile
from .roles import REQUIRED, ROLES, Skeleton, label
from .structure import by_structure

BY_STRUCTURE = "Unknown names, by structure"
FORMAT, VERSION = "refit-bone-map", 1
_LARGEST_FILE = 1 << 20
_LONGEST_NAME = 63  # bytes of a bone's name in Blender


@dataclass(frozen=True)
class BoneMap:
    """Role to bone of a target; kind: what the rig was recognised as, empty where by nothing."""

    bones: dict[str, str]
    kind: str = ""


def find_map(skeleton: Skeleton) -> BoneMap:
    """The bone map of an armature, by names that are known or else by structure; empty where it is no body."""
    if known := find_profile(skeleton.names):
        return BoneMap(known[1], known[0].name)
    found = by_structure(skeleton)
    return BoneMap(found, BY_STRUCTURE if found else "")


def switches_for(bones: Iterable[str]) -> list[tuple[str, str, float]]:
    """Bone, custom property and value that turn the limbs of known control rigs to FK; none for other bone maps."""
    mapped = set(bones)
    fitting = (one for one in PROFILES if one.switches and mapped >= {one.named()[role] for role in REQUIRED})
    return [switch for profile in fitting for switch in profile.switches]


def check(bones: Mapping[str, str], skeleton: Skeleton) -> None:
    """Raises SourceError where a bone map lacks a part, names a bone that is not there, or one bone twice."""
    for role, bone in bones.items():
        if bone not in skeleton.names:
            raise SourceError(f"{label(role)}: the target has no bone “{bone}”.")
    if missing := [label(role) for role in REQUIRED if role not in bones]:
        raise SourceError(f"Choose bones for these parts first: {', '.join(missing)}.")
    taken: dict[str, str] = {}
    for role, bone in bones.items():
        if bone in taken:
            raise SourceError(f"Bone “{bone}” is chosen twice: for {label(taken[bone])} and for {label(role)}.")
        taken[bone] = role


def write_preset(path: Path, bones: Mapping[str, str]) -> None:
    """Write a bone map as JSON. Raises OSError."""
    text = json.dumps({"format": FORMAT, "version": VERSION, "bones": dict(bones)}, indent=1, ensure_ascii=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")


def read_preset(path: Path) -> dict[str, str]:
    """Role to bone name of a preset file. Raises SourceError where it is none."""
    try:
        with path.open("rb") as stream:  # a device has no size to ask for
            content = stream.read(_LARGEST_FILE + 1)
        if len(content) > _LARGEST_FILE:
            raise SourceError(f"{path.name} is too large for a bone map.")
        document = json.loads(content.decode("utf-8-sig"))  # some editors put a mark before the text
    except OSError as error:
        raise SourceError(f"{path.name} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path.name} is not a JSON file.") from error
    return _checked(document, path.name)


def _checked(document: Any, name: str) -> dict[str, str]:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise SourceError(f"{name} is not a bone map.")
    if document.get("version") != VERSION:
        raise SourceError(
            f"{name} is a bone map of version {str(document.get('version'))[:20]}; this add-on reads {VERSION}."
        )
    bones = document.get("bones")
    if not isinstance(bones, dict):
        raise SourceError(f"{name} has no list of bones.")
    for role, bone in bones.items():
        if role not in ROLES:
            raise SourceError(f"{name}: the body has no part “{_printable(role[:40])}”.")
        if not isinstance(bone, str) or not 0 < len(bone.encode(errors="replace")) <= _LONGEST_NAME:
            raise SourceError(f"{name}: “{role}” has no bone's name.")
    return {role: _printable(bones[role]) for role in ROLES if role in bones}


def _printable(text: str) -> str:
    """Without halves of characters, which JSON can hold but Blender cannot."""
    return text.encode(errors="replace").decode()
