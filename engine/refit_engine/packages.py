# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether this Python has the packages that the engine needs. Imports none of them before it is asked."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from .errors import PackageMissing

# Modules and the packages that they are in, in the order in which they need each other.
NEEDED = {
    "numpy": "numpy",
    "torch": "torch",
    "scipy": "scipy",
    "cv2": "opencv-python-headless",
    "safetensors": "safetensors",
    "roma": "roma",
    "tqdm": "tqdm",
    "av": "av",
}


def check_packages(needed: Mapping[str, str] = NEEDED) -> None:
    """Import everything once. Raises PackageMissing with the first that is not there or cannot be loaded."""
    for module, package in needed.items():
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            missing = needed.get(error.name or "", error.name) or package
            raise PackageMissing(
                f"The engine's Python lacks {missing}: press Install Engine in the add-on's preferences, or run "
                f"“{sys.executable} -m pip install {missing}”."
            ) from error
        except (ImportError, OSError) as error:
            reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
            raise PackageMissing(
                f"{package} in the engine's Python ({sys.executable}) cannot be loaded ({reason}): press Install "
                "Engine in the add-on's preferences to install it again."
            ) from error


class IncompleteService:
    """Serves where the real service cannot even be imported: tells the client why."""

    def methods(self) -> dict[str, Callable[[dict[str, Any], Any], Any]]:
        return {"initialize": self.initialize}

    def initialize(self, _params: dict[str, Any], _job: Any) -> None:
        """Raises PackageMissing."""
        check_packages()
