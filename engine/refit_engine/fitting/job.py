# SPDX-License-Identifier: GPL-3.0-or-later
"""What every fit needs: models on a device that may be full, crops, timing, and words for the user."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch

from ..camera import Intrinsics
from ..crop import Crop, box_crop, cut, rolled_center
from ..detect import Detection, PersonDetector
from ..device import choose_device, is_out_of_memory
from ..errors import DeviceError
from ..images import Photo
from ..network import CropCamera
from .boxes import MIN_BOX_SIDE
from .models import FitOptions, Models
from .subject import Subject, choose_subject
from .upright import stand_up

log = logging.getLogger(__name__)

MAX_BATCH = {"cpu": 8, "mps": 16, "cuda": 64}

Step = Callable[[str], None]
"""Told the name of each step before it begins ("detect", "fit"); raises Cancelled to stop the job."""


class Prepared(NamedTuple):
    """People cut out of one picture."""

    crops: list[Crop]
    patches: torch.Tensor
    """[B,3,256,256] RGB in 0..1, channels last."""
    camera: CropCamera
    """The true cameras of the crops."""


class FitJob:
    """Models, options and bookkeeping of one job.

    Models stay in `models` for the next job. `messages` collects what the user should know (each once),
    `seconds` the time spent per stage: detect, crop, network, confidence, body.
    """

    def __init__(self, models: Models, options: FitOptions, device: str = "auto", step: Step = lambda _: None) -> None:
        self.models = models
        self.options = options
        self.step = step
        self.device = choose_device(device)
        self.messages: list[str] = []
        self.seconds: Counter[str] = Counter(detect=0.0, crop=0.0, network=0.0, confidence=0.0, body=0.0)
        self._subject: Subject | None = None

    def subject(self) -> Subject:
        """Network and bodies of this job on the current device, loaded on first use.

        Raises WeightsFileError, BodyFileError.
        """
        if self._subject is None:
            self._subject = self.on_device(lambda: choose_subject(self.models, self.options, self.device))
        return self._subject

    def detector(self) -> PersonDetector:
        return self.models.detector(self.device)

    def detect(self, photo: Photo) -> list[Detection]:
        """People of a photo, largest first, in upright pixels."""
        with self.timed("detect"):
            found = self.on_device(lambda: self.detector().detect(photo.upright().pixels))
        found = [person for person in found if min(person.bbox_xywh[2:]) >= MIN_BOX_SIDE]
        found.sort(key=lambda person: -person.bbox_xywh[2] * person.bbox_xywh[3])
        return found

    def prepare(self, pixels: np.ndarray, boxes_xywh: np.ndarray, intrinsics: Intrinsics, roll: float) -> Prepared:
        """Cut people [B] out as the network wants them; arguments as in `Fitter.fit`."""
        crops = [box_crop(box, intrinsics, roll) for box in boxes_xywh]
        if self.subject().network.model.config.compact:
            detector = self.detector()
            crops = [
                stand_up(pixels, crop, box, intrinsics, detector) for crop, box in zip(crops, boxes_xywh, strict=True)
            ]
        return Prepared(crops, self.patches(pixels, crops, intrinsics), self.crop_camera(crops, intrinsics))

    def patches(self, pixels: np.ndarray, crops: list[Crop], intrinsics: Intrinsics) -> torch.Tensor:
        """RGB in 0..1, [B,3,256,256], channels last."""
        patches = np.stack([cut(pixels, crop, intrinsics) for crop in crops])
        return torch.from_numpy(patches).to(self.device).permute(0, 3, 1, 2).float().div_(255)

    def crop_camera(self, crops: list[Crop], intrinsics: Intrinsics) -> CropCamera:
        """The rolled, square-pixel cameras [B] of crops."""

        def tensor(values) -> torch.Tensor:
            return torch.tensor(np.array(values), dtype=torch.float32, device=self.device)

        return CropCamera(
            center=tensor([rolled_center(crop, intrinsics) for crop in crops]),
            side=tensor([crop.side for crop in crops]),
            focal=tensor([intrinsics.focal[0]] * len(crops)),
            principal=tensor([intrinsics.principal] * len(crops)),
        )

    def say(self, message: str) -> None:
        """Tell the user, once."""
        if message not in self.messages:
            log.warning(message)
            self.messages.append(message)

    def on_device(self, work: Callable):
        """Do the work, and do it again on the processor if the graphics card's memory is full."""
        while True:
            try:
                return work()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self.make_room(1)

    def make_room(self, batch: int) -> int:
        """After running out of memory: a smaller batch, and at one person the processor. Returns the new size."""
        kind = self.device.type
        if kind == "cuda":
            torch.cuda.empty_cache()
        if batch > 1:
            return batch // 2
        if kind == "cpu":
            raise DeviceError("There is not enough memory to fit this picture.")
        self.models.forget()
        self._subject = None
        if kind == "cuda":
            torch.cuda.empty_cache()
        self.device = torch.device("cpu")
        self.say("The graphics card ran out of memory; the job went on with the processor.")
        return MAX_BATCH["cpu"]

    def wait(self) -> None:
        """Graphics cards run behind: without waiting, their time would be counted in a later stage."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @contextlib.contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - start
