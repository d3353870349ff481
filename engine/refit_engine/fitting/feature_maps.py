# SPDX-License-Identifier: GPL-3.0-or-later
"""What the network's keypoint maps show of one person (the paper's figure 8), and where the body's keypoints lie in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..crop import cut
from ..device import exact
from ..errors import RefitError
from ..network import CropCamera, Estimate
from ..network.geometry import project_to_crop
from ..network.keypoints import keypoint_names
from .bounds import working_camera
from .crops.refinement import CropSource
from .single import Fitter, ImageRequest, follow, largest_box
from .subject import Subject


@dataclass(frozen=True)
class FeatureMaps:
    """The maps of K keypoints over one crop.

    crop: [256,256,3] uint8 RGB; maps: [K,N,N], of which value [j,i] belongs to the crop's pixel (256/N i, 256/N j).
    first, last: [K,2] the body's keypoints in crop pixels (0 to 256), at T = 0 and after the last iteration.
    """

    crop: np.ndarray
    maps: np.ndarray
    first: np.ndarray
    last: np.ndarray
    names: tuple[str, ...]
    iterations: int
    weights_name: str


class MapFitter(Fitter):
    """Looks at the person whose box covers most of a picture."""

    def feature_maps(self, request: ImageRequest) -> FeatureMaps:
        """That person's maps.

        Raises ImageError, NoPersonFound, BodyFileError, WeightsFileError, DeviceError, Cancelled.
        """
        self.subject()  # a wrong file shows before the work starts
        ready = self.prepare(request)
        box = ready.boxes[largest_box(ready.boxes)]
        source = CropSource(ready.photo.pixels, box, ready.intrinsics, ready.photo.quarter_turns * np.pi / 2)
        self.step("fit")
        return self.on_device(lambda: self._maps_of(source))

    def _maps_of(self, source: CropSource) -> FeatureMaps:
        (crop,), camera, encoding = self.observe([source], 1)
        camera = working_camera(camera)
        with torch.inference_mode(), self.timed("network"):
            subject, estimates = follow(self.subject(), encoding, camera, self.options.height)
            first, last = (_keypoints(subject, estimate, camera) for estimate in (estimates[0], estimates[-1]))
        if not np.isfinite([first, last]).all():
            raise RefitError("The network gave no usable body.")
        return FeatureMaps(
            crop=cut(source.pixels, crop, source.intrinsics),
            maps=encoding.keypoint_maps[0].float().cpu().numpy(),
            first=first,
            last=last,
            names=keypoint_names(subject.loop_body.data, subject.network.model.config.keypoints),
            iterations=len(estimates) - 1,
            weights_name=subject.network.name,
        )


def _keypoints(subject: Subject, estimate: Estimate, camera: CropCamera) -> np.ndarray:
    """[K,2] crop pixels."""
    points = subject.points(estimate.betas, estimate.rotmats())
    return exact(project_to_crop(points, estimate.cam, camera)[0]).numpy()
