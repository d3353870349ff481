# SPDX-License-Identifier: GPL-3.0-or-later
"""What every fit needs: models on a device that may be full, crops, timing, and words for the user."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch

from ..camera import Intrinsics
from ..crop import Crop, crop_matrix, rolled_center, transform
from ..detect import Detection, PersonDetector
from ..device import choose_device, is_out_of_memory
from ..errors import DeviceError
from ..images import Photo
from ..movenet import JOINTS
from ..network import CropCamera, Encoding
from .boxes import MIN_BOX_SIDE
from .crops.keypoint_fusion import fuse
from .crops.refinement import CropSource, cut_out, joined, present, refine_crops
from .crops.upright import UprightCrop, align_upright
from .models import FitOptions, Models
from .square_pixels import squeezed, stretch_of, stretched
from .subject import Subject, choose_subject

log = logging.getLogger(__name__)

MAX_BATCH = {"cpu": 8, "mps": 16, "cuda": 64}

Result = TypeVar("Result")
Step = Callable[[str], None]
"""Told the name of each step before it begins ("detect", "fit"); raises Cancelled to stop the job."""


class EncodedCrops(NamedTuple):
    """People as the loop takes them: their crops and what the backbone sees there."""

    crops: list[Crop]
    camera: CropCamera
    """The true cameras of the crops."""
    encoding: Encoding


class FitJob:
    """Models, options and bookkeeping of one job.

    Models stay in `models` for the next job. `messages` collects what the user should know (each once),
    `seconds` the time spent per stage: detect, lines, crop, network, confidence, body.
    """

    def __init__(self, models: Models, options: FitOptions, device: str = "auto", step: Step = lambda _: None) -> None:
        self.models = models
        self.options = options
        self.step = step
        self.device = choose_device(device)
        self.messages: list[str] = []
        self.seconds: dict[str, float] = dict.fromkeys(
            ("detect", "lines", "crop", "network", "confidence", "body"), 0.0
        )
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

    def detect(self, photo: Photo, intrinsics: Intrinsics | None = None) -> list[Detection]:
        """People of a photo, largest first, in standing pixels (`Photo.standing`).

        intrinsics: of the photo, square pixels by default.
        """
        stretch = stretch_of(intrinsics.focal, photo.quarter_turns) if intrinsics else (1.0, 1.0)
        with self.timed("detect"):
            pixels = stretched(photo.standing().pixels, stretch)
            found = squeezed(self.on_device(lambda: self.detector().detect(pixels)), stretch)
        found = [person for person in found if min(person.bbox_xywh[2:]) >= MIN_BOX_SIDE]
        found.sort(key=lambda person: -person.bbox_xywh[2] * person.bbox_xywh[3])
        return found

    def observe(self, sources: Sequence[CropSource], batch: int) -> EncodedCrops:
        """Cut people out and encode them, `batch` at a time.

        The compact network gets them upright (`crops.upright`), in crops refined as often as it takes
        (`crops.refinement`), and its landmarks are fused with the joints that Thunder sees
        (`crops.keypoint_fusion`).
        """

        def encode(sources: Sequence[CropSource], crops: Sequence[Crop]) -> Encoding:
            return self._encode(sources, crops, batch)

        if not self.subject().network.model.config.compact:
            crops = [source.crop() for source in sources]
            encoding = encode(sources, crops)
        else:
            with self.timed("crop"):
                aligned = [self._align_upright(source) for source in sources]
            crops, encoding = refine_crops(sources, aligned, encode)
            landmarks = present(encoding.landmarks)
            joints = joints_in_crops(aligned, sources, crops).to(landmarks)
            encoding = encoding._replace(landmarks=fuse(landmarks, encoding.vector, present(encoding.peaks), joints))
        return EncodedCrops(crops, crop_camera(crops, [source.intrinsics for source in sources], self.device), encoding)

    def observe_at(self, sources: Sequence[CropSource], aligned: Sequence[UprightCrop]) -> tuple[list[Crop], Encoding]:
        """The refined crops of people who are known to be upright in the given ones, and what is seen there."""

        def encode(sources: Sequence[CropSource], crops: Sequence[Crop]) -> Encoding:
            return self._encode(sources, crops, MAX_BATCH[self.device.type])

        return refine_crops(sources, aligned, encode)

    def _align_upright(self, source: CropSource) -> UprightCrop:
        return align_upright(
            source.pixels, source.crop(), source.box_xywh, source.intrinsics, self.models.thunder(self.device)
        )

    def observe_mirrored(self, sources: Sequence[CropSource], crops: Sequence[Crop], batch: int) -> Encoding:
        """The same crops mirrored left to right (`flip.mirror_camera`), with the landmarks that the network sees there."""
        return self._encode(sources, crops, batch, mirrored=True)

    def _encode(
        self, sources: Sequence[CropSource], crops: Sequence[Crop], batch: int, mirrored: bool = False
    ) -> Encoding:
        with self.timed("crop"):
            rgb = cut_out(sources, crops, self.device)
            rgb = rgb.flip(-1) if mirrored else rgb
        with self.timed("network"), torch.inference_mode():
            parts = [self.subject().network.model.encode(part) for part in torch.split(rgb, batch)]
            self.wait()
            return joined(parts)

    def say(self, message: str) -> None:
        """Tell the user, once."""
        if message not in self.messages:
            log.warning(message)
            self.messages.append(message)

    def on_device(self, work: Callable[[], Result]) -> Result:
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
    def timed(self, stage: str) -> Generator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start


def crop_camera(crops: Sequence[Crop], intrinsics: Sequence[Intrinsics], device: torch.device) -> CropCamera:
    """The rolled, square-pixel cameras [B] of crops, each of the picture with these intrinsics."""

    def tensor(values: Sequence[Any]) -> torch.Tensor:
        return torch.tensor(np.array(values), dtype=torch.float32, device=device)

    return CropCamera(
        center=tensor([rolled_center(crop, one) for crop, one in zip(crops, intrinsics, strict=True)]),
        side=tensor([crop.side for crop in crops]),
        focal=tensor([one.focal[0] for one in intrinsics]),
        principal=tensor([one.principal for one in intrinsics]),
    )


def joints_in_crops(
    aligned: Sequence[UprightCrop], sources: Sequence[CropSource], crops: Sequence[Crop]
) -> torch.Tensor:
    """What Thunder saw of people [B], in pixels of their crops: [B,17,3], NaN where it saw nobody."""
    seen = np.full((len(aligned), JOINTS, 3), np.nan)
    for row, (one, source, crop) in enumerate(zip(aligned, sources, crops, strict=True)):
        if one.joints is not None:
            places = transform(crop_matrix(crop, source.intrinsics), one.joints[:, :2])
            seen[row] = np.column_stack([places, one.joints[:, 2]])
    return torch.from_numpy(seen).float()
