# SPDX-License-Identifier: GPL-3.0-or-later
"""From pictures to bodies: what runs between an image file and a result."""

from .models import FitOptions, Models
from .multiview.view_fitter import ViewFitter
from .multiview.views import ViewRequest
from .people import CameraPeople
from .single import Fitter, ImageRequest

__all__ = ["CameraPeople", "FitOptions", "Fitter", "ImageRequest", "Models", "ViewFitter", "ViewRequest"]
