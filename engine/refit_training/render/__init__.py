# SPDX-License-Identifier: GPL-3.0-or-later
"""Synthetic renders of people: posed bodies, dressed and lit at random, before random backdrops."""

from .appearance import Appearance, random_appearance
from .background import BackgroundSpec, random_background
from .pack import AssetPack
from .renderer import PeopleRenderer, PosedPerson

__all__ = [
    "Appearance",
    "AssetPack",
    "BackgroundSpec",
    "PeopleRenderer",
    "PosedPerson",
    "random_appearance",
    "random_background",
]
