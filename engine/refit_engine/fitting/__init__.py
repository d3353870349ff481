# SPDX-License-Identifier: GPL-3.0-or-later
"""From pictures to bodies: what runs between an image file and a result."""

from .models import FitOptions, Models
from .people import People
from .single import Fitter, ImageRequest
from .view_fitter import ViewFitter
from .views import ViewRequest

__all__ = ["FitOptions", "Fitter", "ImageRequest", "Models", "People", "ViewFitter", "ViewRequest"]
