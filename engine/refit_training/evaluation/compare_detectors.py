# SPDX-License-Identifier: GPL-3.0-or-later
"""Person detectors from free packages on the same photos: recall, false boxes, time.

    python -m refit_training.evaluation.compare_detectors FOLDER --model bundled
    python -m refit_training.evaluation.compare_detectors FOLDER --model movenet-multipose=movenet-multipose.json

FOLDER holds photos and either `keypoints.json` (see `measure_landmarks`: one marked person a photo, others may be
there too) or `people.json`, a list of {"image", "boxes": [[x, y, w, h], ...]} that names everybody. The candidates run
as they were published: `tensorflow` is needed for those of TensorFlow.js, `ai-edge-litert` for BlazePose's, OpenCV 4
for YOLO's.
"""

from __future__ import annotations

import argparse
import base64
import json
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from refit_engine.fitting.boxes import overlap

from refit_training.known import known

Detector = Callable[[np.ndarray], np.ndarray]
"""RGB image [H,W,3] to people [N,5]: x, y, w, h in pixels and score, the most certain first."""

COCO_PERSON = 1


def suppress(people: np.ndarray, threshold: float, limit: float = 0.5) -> np.ndarray:
    """Drop weak boxes, and those that overlap a better one."""
    people = people[people[:, 4] >= threshold]
    people = people[np.argsort(-people[:, 4])]
    kept: list[np.ndarray] = []
    for one in people:
        if not kept or overlap(one[:4], np.array(kept)[:, :4]).max() < limit:
            kept.append(one)
    return np.array(kept).reshape(-1, 5)


def letterbox(image: np.ndarray, size: int) -> tuple[np.ndarray, float, np.ndarray]:
    """The image in the middle of a black square, with the scale and offset that were applied."""
    height, width = image.shape[:2]
    scale = size / max(height, width)
    small = cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    square = np.zeros((size, size, 3), np.uint8)
    offset = (np.array([size, size]) - small.shape[1::-1]) // 2
    square[offset[1] : offset[1] + small.shape[0], offset[0] : offset[0] + small.shape[1]] = small
    return square, scale, offset


def bundled(path: Path | None) -> Detector:
    """The product's own, `refit_engine.detect`."""
    import torch
    from refit_engine.detect import WEIGHTS, PersonDetector

    torch.set_num_threads(1)
    detector = PersonDetector(weights=path or WEIGHTS)
    return lambda image: np.array([(*one.bbox_xywh, one.score) for one in detector.detect(image)]).reshape(-1, 5)


def yolo_tiny(path: Path) -> Detector:
    # OpenCV 4 alone reads Darknet's networks.
    network = cv2.dnn.readNetFromDarknet(str(path.with_suffix(".cfg")), str(path))  # pyright: ignore[reportAttributeAccessIssue]

    def detect(image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        network.setInput(cv2.dnn.blobFromImage(image, 1 / 255, (416, 416)))
        found = np.concatenate(network.forward(network.getUnconnectedOutLayersNames()))
        size = found[:, 2:4] * (width, height)
        low = found[:, :2] * (width, height) - size / 2
        return suppress(np.hstack([low, size, found[:, 5:6]]), 0.3)

    return detect


def blazepose(path: Path) -> Detector:
    """MediaPipe's own: hip and the circle around the body, here as the circle's square."""
    from ai_edge_litert.interpreter import Interpreter

    size = 224
    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    points, scores = (output["index"] for output in interpreter.get_output_details())
    cells = [(np.stack(np.meshgrid(*[np.arange(n)] * 2), -1).reshape(-1, 2) + 0.5) / n for n in (28, 14, 7)]
    anchors = np.concatenate([cell.repeat(count, axis=0) for cell, count in zip(cells, (2, 2, 6), strict=True)])

    def detect(image: np.ndarray) -> np.ndarray:
        square, scale, offset = letterbox(image, size)
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], square[None].astype(np.float32) / 127.5 - 1)
        interpreter.invoke()
        hip, rim = (interpreter.get_tensor(points)[0][:, k : k + 2] + anchors * size for k in (4, 6))
        radius = np.linalg.norm(rim - hip, axis=1, keepdims=True)
        score = 1 / (1 + np.exp(-interpreter.get_tensor(scores)[0].clip(-80, 80)))
        low = (hip - radius - offset) / scale
        return suppress(np.hstack([low, *[2 * radius / scale] * 2, score]), 0.5, 0.3)

    return detect


def movenet(path: Path) -> Detector:
    run = tensorflow_js(path, "input:0", ["Identity:0"])

    def detect(image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        scale = 256 / max(height, width)
        target = [max(1, round(side * scale / 32)) * 32 for side in (width, height)]
        small = cv2.resize(image, target, interpolation=cv2.INTER_AREA)
        top, left, bottom, right, score = run(small[None].astype(np.int32))[0][0, :, 51:].T
        boxes = np.stack([left * width, top * height, (right - left) * width, (bottom - top) * height, score], -1)
        return suppress(boxes, 0.15)

    return detect


def centernet(path: Path) -> Detector:
    run = tensorflow_js(path, "tower_0/images:0", ["tower_0/detections:0"])

    def detect(image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        found = run(cv2.resize(image, (512, 512), interpolation=cv2.INTER_AREA)[None].astype(np.float32))[0][0]
        found = found[found[:, 5] == COCO_PERSON - 1]
        low, high = found[:, :2] * (width, height) / 512, found[:, 2:4] * (width, height) / 512
        return suppress(np.hstack([low, high - low, found[:, 4:5]]), 0.3)

    return detect


def coco_ssd(path: Path) -> Detector:
    # The graph's own resizing is a loop that TensorFlow.js runs node by node; the network begins behind it.
    boxes, scores = "Postprocessor/ExpandDims_1:0", "Postprocessor/Slice:0"
    run = tensorflow_js(path, "Preprocessor/sub:0", [boxes, scores])

    def detect(image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        small = cv2.resize(image, (300, 300), interpolation=cv2.INTER_AREA)[None].astype(np.float32)
        corners, classes = run(small / 127.5 - 1)
        top, left, bottom, right = corners.reshape(-1, 4).T
        score = classes.reshape(len(top), -1)[:, COCO_PERSON - 1]
        found = [left * width, top * height, (right - left) * width, (bottom - top) * height, score]
        return suppress(np.stack(found, -1), 0.4)

    return detect


DETECTORS: dict[str, Callable[..., Detector]] = {
    "bundled": bundled,
    "yolov4-tiny": yolo_tiny,
    "blazepose": blazepose,
    "movenet-multipose": movenet,
    "centernet-mobilenetv3": centernet,
    "coco-ssd-mobilenetv2": coco_ssd,
}


def read_tfjs_weights(path: Path) -> dict[str, np.ndarray]:
    """Constants of a TensorFlow.js graph model by name; float16 is widened to float32."""
    weights = {}
    for group in json.loads(path.read_text())["weightsManifest"]:
        data, position = b"".join((path.parent / name).read_bytes() for name in group["paths"]), 0
        for entry in group["weights"]:
            kind = np.dtype(entry.get("quantization", entry)["dtype"])
            count = int(np.prod(entry["shape"], dtype=np.int64))
            values = np.frombuffer(data, kind, count, position).astype(entry["dtype"])
            weights[entry["name"]] = values.reshape(entry["shape"])
            position += count * kind.itemsize
    return weights


def tensorflow_js(path: Path, feed: str, fetches: list[str]) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Run a TensorFlow.js graph model with TensorFlow on one thread."""
    import tensorflow as tf
    from google.protobuf import json_format

    weights = read_tfjs_weights(path)
    graph_def = tf.compat.v1.GraphDef()
    for spec in json.loads(path.read_text())["modelTopology"]["node"]:
        node = json_format.ParseDict(_with_base64(spec), tf.compat.v1.NodeDef())
        if node.op == "Const" and node.name in weights:
            kind = tf.as_dtype(node.attr["dtype"].type).as_numpy_dtype
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(weights[node.name].astype(kind)))
        graph_def.node.extend(_unfused(node))
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(graph_def, name="")
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    session = tf.compat.v1.Session(graph=graph, config=config)
    return lambda value: session.run(fetches, {feed: value})


def _with_base64(spec: dict) -> dict:
    """Some exporters write strings as lists of bytes; protobuf's JSON wants base64."""

    def text(value: str | list[int]) -> str:
        return base64.b64encode(bytes(value)).decode() if isinstance(value, list) else value

    attributes = {}
    for name, value in spec.get("attr", {}).items():
        if "s" in value:
            value = {"s": text(value["s"])}
        elif value.get("list", {}).get("s"):
            value = {"list": {"s": [text(one) for one in value["list"]["s"]]}}
        attributes[name] = value
    return {**spec, "attr": attributes}


def _unfused(node) -> list:
    """TensorFlow has no kernel on the CPU for some of the fused convolutions of TensorFlow.js: take them apart."""
    parts = {"_FusedConv2D": "Conv2D", "FusedDepthwiseConv2dNative": "DepthwiseConv2dNative"}
    if node.op not in parts:
        return [node]
    steps = [parts[node.op], *(step.decode() for step in node.attr["fused_ops"].list.s)]
    extra = list(node.input[2:])
    nodes = []
    for index, step in enumerate(steps):
        part = type(node)(op=step, name=node.name if index == len(steps) - 1 else f"{node.name}/part{index}")
        part.attr["T"].CopyFrom(node.attr["T"])
        if index == 0:
            part.input.extend(node.input[:2])
            for name in ("strides", "padding", "data_format", "dilations"):
                if name in node.attr:
                    part.attr[name].CopyFrom(node.attr[name])
        else:
            part.input.append(nodes[-1].name)
            if step in ("BiasAdd", "Prelu"):
                part.input.append(extra.pop(0))
        nodes.append(part)
    return nodes


def read_people(folder: Path) -> tuple[list[tuple[str, np.ndarray]], bool]:
    """Per photo its people's boxes [N,4], and whether that is everybody."""
    if (folder / "people.json").exists():
        listed = json.loads((folder / "people.json").read_text())
        return [(sample["image"], np.array(sample["boxes"], float).reshape(-1, 4)) for sample in listed], True
    photos = []
    for sample in json.loads((folder / "keypoints.json").read_text()):
        points = np.array(list(sample["keypoints"].values()))
        # Joints end at ankles and wrists, a person a little further out.
        margin = 0.05 * np.ptp(points, axis=0).max()
        low, high = points.min(axis=0) - margin, points.max(axis=0) + margin
        photos.append((sample["image"], np.concatenate([low, high - low])[None]))
    return photos, False


def compare(folder: Path, detect: Detector) -> dict[str, float]:
    """Recall at overlaps 0.5 and 0.3 in percent, boxes a photo (false ones, if all people are known), CPU time."""
    photos, everybody = read_people(folder)
    best, false, seconds, boxes = [], 0, [], 0
    for name, people in photos:
        image = cv2.cvtColor(known(cv2.imread(str(folder / name))), cv2.COLOR_BGR2RGB)
        start = time.process_time()
        found = detect(image)
        seconds.append(time.process_time() - start)
        boxes += len(found)
        table = np.array([overlap(person, found[:, :4]) for person in people]).reshape(len(people), len(found))
        best += [row.max(initial=0) for row in table]
        false += int((table.max(axis=0, initial=0) < 0.3).sum())
    result = {
        "photos": len(photos),
        "people": len(best),
        "recall@0.5": round(100 * float(np.mean(np.array(best) >= 0.5)), 1),
        "recall@0.3": round(100 * float(np.mean(np.array(best) >= 0.3)), 1),
        "ms": round(1000 * float(np.median(seconds)), 1),
    }
    return {**result, "false": false} if everybody else {**result, "boxes a photo": round(boxes / len(photos), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", required=True, metavar="NAME[=FILE]", help=", ".join(DETECTORS))
    arguments = parser.parse_args()
    name, _, path = arguments.model.partition("=")
    cv2.setNumThreads(1)
    print(name, json.dumps(compare(arguments.folder, DETECTORS[name](Path(path) if path else None))))


if __name__ == "__main__":
    main()
