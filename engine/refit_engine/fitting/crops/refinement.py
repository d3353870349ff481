# SPDX-License-Identifier: GPL-3.0-or-later
"""Crop refinement of the compact network: a second crop where the first was off, quarter turns where it was misled.

The backbone tells where the landmarks are. If they ask for another crop, that one is better. If they leave most of the
box empty in which they were looked for, and Thunder does not see them there either, they are nobody's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch

from ...camera import Intrinsics
from ...crop import Crop, box_crop, crop_matrix, cut, invert, rounded_crop, transform
from ...device import exact
from ...network import Encoding
from ...network.backbones import BackboneOutput
from ...network.vector_head import flat_landmarks
from ..boxes import overlap, shared_area
from .keypoint_fusion import agreeing
from .upright import QUARTER_TURNS, UprightCrop, refined_crop


@dataclass(frozen=True)
class RefinementNumbers:
    """Numbers of the search in all quarter turns, chosen on 500 photos with marked points and checked on the test set's
    pictures (the trials with quarter turns in the documents on training). Landmarks are measured by `python -m
    refit_training.evaluation.measure_landmarks FOLDER --again`.
    """

    empty: float = 0.5
    alone: float = 0.5
    """Where landmarks extend over less of the box, and less of Thunder's joints agree with them, all turns are
    tried. Either alone happens to people who were seen well: in generous boxes, or where that eye is wrong."""
    all_round: float = 1.4
    """Sides of the box's crop that the turned crops have, since nobody knows where the hips are."""
    good: float = 0.4
    better: float = 2.0
    """Quality of landmarks that are believed there, and how many times that of the usual crop's it has to be: in boxes
    much larger than the person no crop's quality is high, and the usual one is as good as any."""


NUMBERS = RefinementNumbers()


class CropSource(NamedTuple):
    """A person in a picture: pixels [H,W,3] uint8 RGB, box [4] in them, and the turn that makes the picture upright."""

    pixels: np.ndarray
    box_xywh: np.ndarray
    intrinsics: Intrinsics
    roll: float = 0.0

    def crop(self) -> Crop:
        """The published crop around the box."""
        return box_crop(self.box_xywh, self.intrinsics, self.roll)


Output = TypeVar("Output", Encoding, BackboneOutput)
Encode = Callable[[Sequence[CropSource], Sequence[Crop]], Output]
"""What the network or its backbone sees of crops."""


class CropObservation(NamedTuple, Generic[Output]):
    """What was seen of one person in a crop."""

    source: CropSource
    crop: Crop
    seen: Output
    """A batch of one."""

    def landmarks(self) -> np.ndarray:
        """[33,2] source pixels."""
        places = exact(present(self.seen.landmarks)[0, :, :2]).numpy()
        return transform(invert(crop_matrix(self.crop, self.source.intrinsics)), places)

    def filled(self) -> float:
        """How much of the box the landmarks extend over."""
        box, extent = self._inside_picture()
        return float(shared_area(box, extent[None])[0] / (box[2] * box[3] + 1e-9))

    def quality(self) -> float:
        """Good landmarks are sure to be where they are, and extend as far as the box, no less and no more: 0…1."""
        box, extent = self._inside_picture()
        certain = flat_landmarks(self.seen.vector)[0, :, 4].mean().item()
        return float(certain * overlap(box, extent[None])[0])

    def _inside_picture(self) -> np.ndarray:
        """What lies in the picture of the box, and of the box around the landmarks: [2,4]."""
        height, width = self.source.pixels.shape[:2]
        places, start, size = self.landmarks(), self.source.box_xywh[:2], self.source.box_xywh[2:]
        low = np.clip([start, places.min(axis=0)], 0, (width, height))
        high = np.clip([start + size, places.max(axis=0)], 0, (width, height))
        return np.concatenate([low, high - low], axis=1)


def refine_crops(
    sources: Sequence[CropSource], aligned: Sequence[UprightCrop], encode: Encode[Output]
) -> tuple[list[Crop], Output]:
    """What is seen of people [B], who stand upright in the given crops, and the refined crops in which it is seen."""
    people = _observe(sources, [one.crop for one in aligned], encode)
    for row, observation in _observe_refined(people, encode).items():
        people[row] = observation
    for row, one in enumerate(aligned):
        if people[row].filled() < NUMBERS.empty and not _confirmed(people[row], one):
            people[row] = _search_all_turns(people[row], encode)
    return [person.crop for person in people], joined([person.seen for person in people])


def joined(batches: Sequence[Output]) -> Output:
    """Several batches as one."""
    parts: Iterator[tuple[torch.Tensor | None, ...]] = zip(*batches, strict=True)
    return batches[0]._make(None if part[0] is None else torch.cat([present(one) for one in part]) for part in parts)


def present(values: torch.Tensor | None) -> torch.Tensor:
    """What every backbone with landmarks gives. Raises ValueError where it is missing."""
    if values is None:
        raise ValueError("This backbone finds no landmarks.")
    return values


def cut_out(sources: Sequence[CropSource], crops: Sequence[Crop], device: torch.device | str = "cpu") -> torch.Tensor:
    """Crops as the network takes them: [B,3,256,256] in 0…1."""
    patches = np.stack(
        [cut(source.pixels, crop, source.intrinsics) for source, crop in zip(sources, crops, strict=True)]
    )
    return torch.from_numpy(patches).to(device).permute(0, 3, 1, 2).float().div_(255)


def _observe(
    sources: Sequence[CropSource], crops: Sequence[Crop], encode: Encode[Output]
) -> list[CropObservation[Output]]:
    seen = encode(sources, crops)
    parts: Sequence[torch.Tensor | None] = seen
    rows = [seen._make(None if part is None else part[row : row + 1] for part in parts) for row in range(len(crops))]
    return [CropObservation(*one) for one in zip(sources, crops, rows, strict=True)]


def _observe_refined(
    observations: Sequence[CropObservation[Output]], encode: Encode[Output]
) -> dict[int, CropObservation[Output]]:
    """What is seen in the second crops of those who ask for one, by number."""
    crops: dict[int, Crop] = {}
    for row, (source, crop, seen) in enumerate(observations):
        better = refined_crop(crop, source.intrinsics, exact(present(seen.circle)[0]).numpy())
        if better is not None:
            crops[row] = rounded_crop(better)
    if not crops:
        return {}
    seen_again = _observe([observations[row].source for row in crops], list(crops.values()), encode)
    return dict(zip(crops, seen_again, strict=True))


def _confirmed(person: CropObservation[Output], aligned: UprightCrop) -> bool:
    """Whether Thunder sees the landmarks where they are."""
    return aligned.joints is not None and bool(agreeing(person.landmarks(), aligned.joints).mean() >= NUMBERS.alone)


def _search_all_turns(person: CropObservation[Output], encode: Encode[Output]) -> CropObservation[Output]:
    """The best that is seen in a person's box, turned by quarters; what there was if none of them is far better."""
    crop = person.source.crop()
    crops = [replace(crop, side=NUMBERS.all_round * crop.side, roll=crop.roll + turn) for turn in QUARTER_TURNS]
    others = _observe([person.source] * len(crops), crops, encode)
    others += _observe_refined(others, encode).values()
    best = max(others, key=lambda one: one.quality())
    return best if best.quality() > max(NUMBERS.good, NUMBERS.better * person.quality()) else person
