# SPDX-License-Identifier: GPL-3.0-or-later
"""Moving pictures: movie files and numbered pictures, frame by frame, upright, each at its true time."""

from .footage import Footage, FrameRange, MovingPictures
from .reading import movies_in, open_footage
from .writing import MovieWriter

__all__ = ["Footage", "FrameRange", "MovieWriter", "MovingPictures", "movies_in", "open_footage"]
