# SPDX-License-Identifier: GPL-3.0-or-later
"""What the network says of a body after an iteration."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from .geometry import CropCamera, rotmats_from_6d, translation


class Estimate(NamedTuple):
    """One iteration's parameters."""

    pose6d: Tensor
    """[B,144], never renormalised: use `rotmats`."""
    betas: Tensor
    """[B,10]."""
    cam: Tensor
    """[B,3] s, tx, ty: use `translation`."""

    def rotmats(self) -> Tensor:
        """Joint rotations [B,24,3,3] relative to the parent; the root's in the camera's frame."""
        return rotmats_from_6d(self.pose6d)

    def translation(self, camera: CropCamera) -> Tensor:
        """The body's translation [B,3] in the full camera's frame, metres."""
        return translation(self.cam, camera)
