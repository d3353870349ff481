# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors whose message is one sentence for the panel and the command line."""


class RefitError(Exception):
    """Base of everything that may be shown to a user as it is."""

    @property
    def kind(self) -> str:
        """Name by which scripts tell one failure from another."""
        return type(self).__name__


def sentence(error: RefitError | OSError) -> str:
    """What to tell a user: of the system's errors the reason and the file."""
    if isinstance(error, RefitError):
        return str(error)
    return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}."


class EngineMissing(RefitError):
    """No engine is installed, or its Python cannot be started."""


class EngineCrashed(RefitError):
    """The engine's process ended in the middle of something."""


class EngineHung(RefitError):
    """The engine gave no sign of life for too long."""


class EngineProtocolError(RefitError):
    """What came from the engine is not the protocol."""


class EngineVersionError(RefitError):
    """Engine and add-on do not fit each other."""


class EngineFailure(RefitError):
    """The engine could not do the job; `kind` is its own name for the reason, such as NoPersonFound."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self._kind = kind

    @property
    def kind(self) -> str:
        return self._kind


class Cancelled(RefitError):
    """The user cancelled the job."""


class Busy(RefitError):
    """Another job is still running."""


class SourceError(RefitError):
    """The scene does not hold what a job needs: no camera, no image, a camera that is no pinhole."""


class ResultFileError(RefitError):
    """The engine's result or body file cannot be read."""


class CalibrationError(RefitError):
    """A calibration file cannot be read; the message names the file and the line or key."""


class InstallError(RefitError):
    """The engine could not be installed."""
