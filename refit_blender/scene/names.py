# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of what is made. Blender cuts long ones at their end, where they say which person it is; here, the middle goes."""

from __future__ import annotations

import unicodedata

LONGEST = 63
"""Bytes of a name in UTF-8. Blender 5.0 and later keep more, but files shall say the same in earlier ones."""
_NUMBER = 4
"""Bytes that Blender puts behind the second one of a name: ".001"."""
_LONGEST_ENDING = len(" person 999 body")
_GAP = "…"
_ADDED, _JOINER = {"Mn", "Me", "Mc", "Cf", "Sk"}, "\u200d"
"""Categories of characters that change the one before them; and what makes one sign of several."""


def stem_of(name: str) -> str:
    """The name of a clip, a picture or a camera, short enough for all that is named after it."""
    return shorten(name, LONGEST - _NUMBER - _LONGEST_ENDING)


def person_name(name: str, number: int) -> str:
    """Of a person in the clip, picture or cameras of this name; numbers count from 1."""
    return f"{stem_of(name)} person {number}"


def with_ending(name: str, ending: str) -> str:
    """A name with an ending that stays as it is."""
    return shorten(name, LONGEST - _NUMBER - len(ending.encode())) + ending


def joined(first: str, between: str, second: str) -> str:
    """Two names in one; where that is too long, each gets half of the room."""
    room = LONGEST - _NUMBER - len(between.encode())
    if len((first + second).encode()) > room:
        first, second = shorten(first, room // 2), shorten(second, room // 2)
    return first + between + second


def shorten(name: str, most: int = LONGEST) -> str:
    """A name of at most `most` bytes in UTF-8; a longer one loses its middle, since names of takes differ at their ends.

    Letters stay whole, with their accents.
    """
    if len(name.encode()) <= most:
        return name
    room = most - len(_GAP.encode())
    letters = _letters(name)
    start = _that_fit(letters, room - room // 2)
    end = _that_fit(letters[::-1], room // 2)
    return "".join(start) + _GAP + "".join(end[::-1])


def _letters(name: str) -> list[str]:
    """A name in pieces that belong together: a character, and what is drawn over it."""
    found: list[str] = []
    for character in name:
        belongs = unicodedata.category(character) in _ADDED
        if found and (belongs or found[-1].endswith(_JOINER)):
            found[-1] += character
        else:
            found.append(character)
    return found


def _that_fit(letters: list[str], room: int) -> list[str]:
    """The first ones that have together at most so many bytes."""
    for count, letter in enumerate(letters):
        room -= len(letter.encode())
        if room < 0:
            return letters[:count]
    return letters
