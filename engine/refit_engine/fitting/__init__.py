# SPDX-License-Identifier: GPL-3.0-or-later
"""From pictures to bodies: what runs between an image file and a result."""

from .models import FitOptions, Models
from .single import Fitter, ImageRequest, People

__all__ = ["FitOptions", "Fitter", "ImageRequest", "Models", "People"]
