# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors whose message is one sentence that a user can act on."""


class RefitError(Exception):
    """Base of everything that may be shown to a user as it is."""

    @property
    def kind(self) -> str:
        """Name by which protocol clients tell one failure from another."""
        return type(self).__name__


class ImageError(RefitError):
    """The image cannot be read, is empty, or contradicts its camera."""


class NoPersonFound(RefitError):
    """The detector sees nobody in the image."""


class ViewsError(RefitError):
    """The views are no set of calibrated cameras, or do not show the same people."""


class BodyFileError(RefitError):
    """The body file is not in SMPL format, or is not safe to read."""


class WeightsFileError(RefitError):
    """The weights file is not a ReFit checkpoint, or fits another network."""


class DeviceError(RefitError):
    """The requested device is not there, or ran out of memory."""


class PackageMissing(RefitError):
    """A package that the engine needs is not installed, or cannot be loaded."""


class FarmError(RefitError):
    """The machines that share a job cannot be reached, or cannot do it."""


class Cancelled(RefitError):
    """The job was cancelled by the user."""
