# SPDX-License-Identifier: GPL-3.0-or-later
"""Convert MediaPipe's BlazePose graphs (.tflite) to the weights of `network.backbones.blazepose`.

    npm pack @mediapipe/pose@0.5.1675469404 && tar xzf mediapipe-pose-*.tgz
    python -m refit_training.assets.convert_blazepose package/pose_landmark_heavy.tflite

The module is walked along the graph, so that every layer is matched by where it stands (and by its shape), then both
are run on the same input. Needs the `build` extra: `tflite` parses the file, `ai-edge-litert` runs the original.
"""

from __future__ import annotations

import argparse
import logging
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from refit_engine.network.backbones.blazepose import (
    INPUT_SIZE,
    POINTS,
    WEIGHTS,
    BlazePose,
    Halve,
    ResidualSeparable,
    heatmap_file,
)
from refit_engine.network.backbones.heatmap_refinement import REACH, SHARPNESS, UNLIKELY
from safetensors.torch import save_file
from torch import nn

from refit_training.assets.convolutions import convolutions
from refit_training.known import known

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Operation:
    kind: str
    inputs: tuple[int, ...]
    output: int
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None


class TfliteGraph:
    """Operations of a float graph by the tensor they consume; dequantized constants already read."""

    def __init__(self, path: Path) -> None:
        import tflite

        names = {v: k for k, v in vars(tflite.BuiltinOperator).items() if isinstance(v, int)}
        model = tflite.Model.GetRootAsModel(path.read_bytes(), 0)
        graph = model.Subgraphs(0)
        constants: dict[int, np.ndarray] = {}
        self.consumers: dict[int, list[Operation]] = defaultdict(list)
        self.input = int(graph.Inputs(0))
        for index in range(graph.OperatorsLength()):
            operator = graph.Operators(index)
            code = model.OperatorCodes(operator.OpcodeIndex())
            kind = names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
            inputs = tuple(int(i) for i in operator.InputsAsNumpy())
            output = int(operator.Outputs(0))
            if kind == "DEQUANTIZE":
                tensor = graph.Tensors(inputs[0])
                data = model.Buffers(tensor.Buffer()).DataAsNumpy()
                constants[output] = data.view(np.float16).astype(np.float32).reshape(tensor.ShapeAsNumpy())
                continue
            weight = bias = None
            if kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
                # From [out, y, x, in], or [1, y, x, channels], to torch's [out, in or 1, y, x].
                order = (0, 3, 1, 2) if kind == "CONV_2D" else (3, 0, 1, 2)
                weight, bias = constants[inputs[1]].transpose(order), constants[inputs[2]]
            operation = Operation(kind, inputs, output, weight, bias)
            for tensor in set(inputs):
                self.consumers[tensor].append(operation)

    def after(self, tensor: int, kind: str) -> Operation:
        """The only operation of this kind that reads a tensor."""
        found = [op for op in self.consumers[tensor] if op.kind == kind]
        if len(found) != 1:
            raise ValueError(f"{len(found)} operations {kind} read tensor {tensor}, not one")
        return found[0]

    def copy(self, tensor: int, *layers: nn.Conv2d) -> int:
        """Fill consecutive convolutions from the one path behind a tensor that has their shapes; returns its end."""
        path = self._path(tensor, layers)
        if path is None:
            shapes = [tuple(layer.weight.shape) for layer in layers]
            raise ValueError(f"nothing behind tensor {tensor} has the shapes {shapes}")
        for layer, operation in zip(layers, path, strict=True):
            layer.weight.data.copy_(torch.from_numpy(known(operation.weight).copy()))
            known(layer.bias).data.copy_(torch.from_numpy(known(operation.bias).copy()))
        return path[-1].output

    def _path(self, tensor: int, layers: tuple[nn.Conv2d, ...]) -> list[Operation] | None:
        if not layers:
            return []
        for operation in self.consumers[tensor]:
            if operation.kind == "PAD":
                path = self._path(operation.output, layers)
                if path is not None:
                    return path
            elif operation.weight is not None and operation.weight.shape == layers[0].weight.shape:
                path = self._path(operation.output, layers[1:])
                if path is not None:
                    return [operation, *path]
        return None


def copy_weights(graph: TfliteGraph, model: BlazePose) -> dict[str, int]:
    """Walk the module and the graph together; raises ValueError where they differ.

    Returns the tensors of the graph that hold the decoder's features and the last map.
    """
    x = graph.copy(graph.input, *convolutions(model.encoder.stem))
    maps = []
    for index, block in enumerate(model.encoder.blocks):
        if index in model.encoder.taps:
            maps.append(x)
        x = graph.copy(x, *convolutions(block))  # expand, depthwise, project
        if block.residual:
            x = graph.after(x, "ADD").output
    top = graph.copy(x, *convolutions(model.encoder.top))

    x = graph.copy(top, *convolutions(model.decoder.top))
    for lateral, skip in zip(reversed(model.decoder.laterals), reversed(maps), strict=True):
        graph.copy(skip, *convolutions(lateral))
        x = graph.after(graph.after(x, "RESIZE_BILINEAR").output, "ADD").output
    features = x
    descending = model.descending
    sources = [*maps[1:], top]
    for index, step in enumerate(descending.steps):
        for block in step.children():
            assert isinstance(block, Halve | ResidualSeparable)
            x = graph.copy(x, block.depthwise, block.pointwise)
            x = graph.after(x, "ADD").output
        if index < len(descending.skips):
            graph.copy(sources[index], *convolutions(descending.skips[index]))
            x = graph.after(x, "ADD").output
    for head in (model.landmark_head, model.world_head, model.presence_head):
        graph.copy(x, head)
    graph.copy(features, model.heatmap_head)
    return {"features": features, "vector": x}


def run_original(path: Path, crop: np.ndarray, inner: dict[str, int]) -> dict[str, np.ndarray]:
    """What the original says about one crop [256, 256, 3] RGB 0..1, in the shapes and units of BlazePoseOutput."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], crop[None].astype(np.float32))
    interpreter.invoke()
    landmarks, presence, _, heatmaps, world = (
        interpreter.get_tensor(detail["index"])[0]
        for detail in sorted(interpreter.get_output_details(), key=lambda detail: detail["name"])
    )
    landmarks = landmarks.reshape(POINTS, 5)
    landmarks[:, 3:] = 1 / (1 + np.exp(-landmarks[:, 3:]))
    values = {name: interpreter.get_tensor(tensor)[0].transpose(2, 0, 1) for name, tensor in inner.items()}
    return {
        "features": values["features"],
        "vector": values["vector"].reshape(-1),
        "landmarks": landmarks,
        "world": world.reshape(POINTS, 3),
        "presence": presence[0],
        "refined": refine_slowly(landmarks[:, :2], heatmaps),
    }


def refine_slowly(pixels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Landmarks [39,2] (crop pixels) moved by heatmaps [64,64,39], one by one: see `heatmap_refinement`."""
    refined = np.empty_like(pixels)
    rows, columns = np.mgrid[: len(logits), : len(logits)] * INPUT_SIZE / len(logits)
    for point, (x, y) in enumerate(pixels):
        odds = np.exp(logits[..., point].astype(np.float64)) ** SHARPNESS
        weights = odds * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * REACH**2))
        own = (UNLIKELY / (1 - UNLIKELY)) ** SHARPNESS
        total = weights.sum() + own
        refined[point] = ((weights * columns).sum() + own * x) / total, ((weights * rows).sum() + own * y) / total
    return refined


def compare(expected: dict[str, np.ndarray], model: BlazePose, crop: np.ndarray) -> dict[str, tuple[float, float]]:
    """Per output the largest absolute difference between both networks, and the largest value of the original."""
    with torch.inference_mode():
        actual = model.observe(torch.from_numpy(crop).permute(2, 0, 1)[None].float())
    return {
        name: (float(np.abs(getattr(actual, name)[0].numpy() - value).max()), float(np.abs(value).max()))
        for name, value in expected.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tflite", type=Path)
    parser.add_argument("--check-images", type=Path, nargs="*", default=[], help="photos to compare both networks on")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="file; the heatmaps get one beside it")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    model = BlazePose()
    inner = copy_weights(TfliteGraph(arguments.tflite), model)
    model.eval()

    rng = np.random.default_rng(0)
    crops: dict[str, np.ndarray] = {"random": rng.random((INPUT_SIZE, INPUT_SIZE, 3), dtype=np.float32)}
    for path in arguments.check_images:
        photo = cv2.cvtColor(known(cv2.imread(str(path))), cv2.COLOR_BGR2RGB)
        crops[path.name] = cv2.resize(photo, (INPUT_SIZE, INPUT_SIZE)).astype(np.float32) / 255
    for name, crop in crops.items():
        differences = compare(run_original(arguments.tflite, crop, inner), model, crop)
        texts = (f"{key} {error:.1e} of {largest:.3g}" for key, (error, largest) in differences.items())
        log.info("%s: largest difference in %s", name, ", ".join(texts))

    state = {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()}
    heatmaps = {name: state.pop(name) for name in list(state) if name.startswith("heatmap_head.")}
    metadata = {
        "format": "blazepose",
        "variant": "heavy",
        "source": f"npm @mediapipe/pose 0.5.1675469404, {arguments.tflite.name}, Apache-2.0",
    }
    for path, tensors in ((arguments.out, state), (heatmap_file(arguments.out), heatmaps)):
        save_file(tensors, path, metadata)
        log.info("%s: %.2f MB", path.name, path.stat().st_size / 1e6)


if __name__ == "__main__":
    main()
