# SPDX-License-Identifier: GPL-3.0-or-later
"""How the compact network looks at people: a second time where a crop was off, and from all sides where it was misled.

The backbone tells where the landmarks are. If they ask for another crop, that one is better. If they leave most of the box
empty in which they were looked for, and the second eye does not see them there either, they are nobody's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
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
from .upright import QUARTER_TURNS, Standing, look_again

EMPTY, ALONE = 0.5, 0.5
"""Where landmarks extend over less of the box, and less of the second eye's joints agree with them, the person is looked at
from all sides. Either alone happens to people who were seen well: in generous boxes, or where that eye is wrong."""
ALL_ROUND = 1.4
"""Sides of the box's crop that those looks see, since nobody knows where the hips are."""
GOOD, BETTER = 0.4, 2.0
"""Quality of landmarks that are believed there, and how many times that of the usual look's it has to be: in boxes much larger
than the person no look's quality is high, and the usual one is as good as any."""


class Sight(NamedTuple):
    """A person in a picture: pixels [H,W,3] uint8 RGB, box [4] in them, and the turn that makes the picture upright."""

    pixels: np.ndarray
    box_xywh: np.ndarray
    intrinsics: Intrinsics
    roll: float = 0.0

    def crop(self) -> Crop:
        """The published crop around the box."""
        return box_crop(self.box_xywh, self.intrinsics, self.roll)


Seen = TypeVar("Seen", Encoding, BackboneOutput)
Encode = Callable[[Sequence[Sight], Sequence[Crop]], Seen]
"""What the network or its backbone sees of crops."""


class Glimpse(NamedTuple, Generic[Seen]):
    """What was seen of one person in a crop."""

    sight: Sight
    crop: Crop
    seen: Seen
    """A batch of one."""

    def landmarks(self) -> np.ndarray:
        """[33,2] source pixels."""
        places = exact(self.seen.landmarks[0, :, :2]).numpy()
        return transform(invert(crop_matrix(self.crop, self.sight.intrinsics)), places)

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
        height, width = self.sight.pixels.shape[:2]
        places, start, size = self.landmarks(), self.sight.box_xywh[:2], self.sight.box_xywh[2:]
        low = np.clip([start, places.min(axis=0)], 0, (width, height))
        high = np.clip([start + size, places.max(axis=0)], 0, (width, height))
        return np.concatenate([low, high - low], axis=1)


def look_closely(
    sights: Sequence[Sight], standing: Sequence[Standing], encode: Encode[Seen]
) -> tuple[list[Crop], Seen]:
    """What is seen of people [B], who are thought to stand as given, and the crops in which it is seen."""
    people = _see(sights, [one.crop for one in standing], encode)
    for row, glimpse in _see_again(people, encode).items():
        people[row] = glimpse
    for row, one in enumerate(standing):
        if people[row].filled() < EMPTY and not _seconded(people[row], one):
            people[row] = _look_around(people[row], encode)
    parts = zip(*(person.seen for person in people), strict=True)
    seen = type(people[0].seen)(*(None if part[0] is None else torch.cat(part) for part in parts))
    return [person.crop for person in people], seen


def cut_out(sights: Sequence[Sight], crops: Sequence[Crop], device: torch.device | str = "cpu") -> torch.Tensor:
    """Crops as the network takes them: [B,3,256,256] in 0…1."""
    patches = np.stack([cut(sight.pixels, crop, sight.intrinsics) for sight, crop in zip(sights, crops, strict=True)])
    return torch.from_numpy(patches).to(device).permute(0, 3, 1, 2).float().div_(255)


def _see(sights: Sequence[Sight], crops: Sequence[Crop], encode: Encode[Seen]) -> list[Glimpse[Seen]]:
    seen = encode(sights, crops)
    rows = [type(seen)(*(None if part is None else part[row : row + 1] for part in seen)) for row in range(len(crops))]
    return list(map(Glimpse, sights, crops, rows))


def _see_again(glimpses: Sequence[Glimpse[Seen]], encode: Encode[Seen]) -> dict[int, Glimpse[Seen]]:
    """Second looks at those who ask for one, by number."""
    crops = {}
    for row, (sight, crop, seen) in enumerate(glimpses):
        better = look_again(crop, sight.intrinsics, exact(seen.circle[0]).numpy())
        if better is not None:
            crops[row] = rounded_crop(better)
    if not crops:
        return {}
    return dict(zip(crops, _see([glimpses[row].sight for row in crops], list(crops.values()), encode), strict=True))


def _seconded(person: Glimpse, standing: Standing) -> bool:
    """Whether the second eye sees the landmarks where they are."""
    return standing.joints is not None and agreeing(person.landmarks(), standing.joints).mean() >= ALONE


def _look_around(person: Glimpse[Seen], encode: Encode[Seen]) -> Glimpse[Seen]:
    """The best of all looks at a person's box, turned by quarters; the one that there was if none of them is far better."""
    crop = person.sight.crop()
    crops = [replace(crop, side=ALL_ROUND * crop.side, roll=crop.roll + turn) for turn in QUARTER_TURNS]
    others = _see([person.sight] * len(crops), crops, encode)
    others += _see_again(others, encode).values()
    best = max(others, key=Glimpse.quality)
    return best if best.quality() > max(GOOD, BETTER * person.quality()) else person
