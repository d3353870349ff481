# SPDX-License-Identifier: GPL-3.0-or-later
"""What the original BlazePose and MoveNet say of the sample photo, recorded for the tests.

    python tests/engine/record_references.py blazepose package/pose_landmark_heavy.tflite
    python tests/engine/record_references.py movenet package/models/movenet-multipose.json
    npm install @tensorflow/tfjs@4.22.0 @tensorflow/tfjs-backend-wasm@4.22.0
    python tests/engine/record_references.py thunder package/models/movenet-thunder.json

The first needs `ai-edge-litert` and `tflite`, the second `tensorflow`, the third Node.js, started beside `node_modules`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
THUNDER_MAPS = {
    "features": "center_net_mobile_net_v2fpn_feature_extractor/model_1/re_lu_2/Relu",
    "centre": "Sigmoid_1",
    "joint": "Sigmoid",
    "joint_from_centre": "kpt_regress_0/conv2d_6/BiasAdd",
    "joint_offset": "kpt_offset_0/conv2d_7/BiasAdd",
}
"""Where the graph has what `refit_engine.thunder.ThunderMaps` names."""
RUN_JS = """
const tf = require("@tensorflow/tfjs"), fs = require("fs");
require("@tensorflow/tfjs-backend-wasm");
const [graph, pixels, out, ...nodes] = process.argv.slice(1);
(async () => {
  await tf.setBackend("wasm");
  const model = JSON.parse(fs.readFileSync(graph)), data = fs.readFileSync(graph.replace(".json", ".bin"));
  const weightData = data.buffer.slice(data.byteOffset, data.byteOffset + data.length);
  const weightSpecs = model.weightsManifest[0].weights;
  const network = await tf.loadGraphModel(tf.io.fromMemory({ ...model, weightSpecs, weightData }));
  const crop = tf.tensor4d(new Int32Array(fs.readFileSync(pixels)), [1, 256, 256, 3], "int32");
  const said = network.execute({ "input": crop }, nodes).map((one) => [one.shape, Array.from(one.dataSync())]);
  fs.writeFileSync(out, JSON.stringify(said));
})();
"""


def sample_photo() -> np.ndarray:
    """RGB uint8."""
    return cv2.cvtColor(cv2.imread(str(ROOT / "docs" / "samples" / "balance.jpg")), cv2.COLOR_BGR2RGB)


def sample_square(size: int) -> np.ndarray:
    """The photo squeezed into a square, uint8; the same on every machine up to rounding."""
    return cv2.resize(sample_photo(), (size, size), interpolation=cv2.INTER_AREA)


def thunder_crop() -> np.ndarray:
    """The man of the photo as Thunder sees him: [256,256,3]."""
    return cv2.resize(sample_photo()[330:1190, 30:890], (256, 256), interpolation=cv2.INTER_AREA)


def feature_samples(features: np.ndarray) -> np.ndarray:
    """Some of a [C,64,64] map."""
    return features[::8, ::16, ::16]


def record_blazepose(path: Path) -> None:
    from refit_engine.network.backbones.blazepose import BlazePose
    from refit_training.assets.convert_blazepose import TfliteGraph, copy_weights, run_original

    inner = copy_weights(TfliteGraph(path), BlazePose())
    said = run_original(path, sample_square(256).astype(np.float32) / 255, inner)
    said["features"] = feature_samples(said["features"])
    said["vector"] = said["vector"][::16]
    np.savez_compressed(DATA / "blazepose_heavy.npz", **said)


def record_movenet(path: Path) -> None:
    from refit_training.evaluation.compare_detectors import tensorflow_js

    run = tensorflow_js(path, "input:0", ["Identity:0"])
    people = run(sample_square(256)[None].astype(np.int32))[0][0]
    np.savez_compressed(DATA / "movenet.npz", people=people)


def record_thunder(path: Path) -> None:
    nodes = ["Identity", *(f"StatefulPartitionedCall/{name}" for name in THUNDER_MAPS.values())]
    with tempfile.TemporaryDirectory() as folder:
        pixels, said = Path(folder) / "pixels", Path(folder) / "said.json"
        pixels.write_bytes(thunder_crop().tobytes())
        subprocess.run(["node", "-e", RUN_JS, str(path), str(pixels), str(said), *nodes], check=True)
        joints, *maps = (np.array(values, np.float32).reshape(shape) for shape, values in json.loads(said.read_text()))
    sampled = {name: one[0].transpose(2, 0, 1)[:, ::8, ::8] for name, one in zip(THUNDER_MAPS, maps, strict=True)}
    np.savez_compressed(DATA / "movenet_thunder.npz", joints=joints[0, 0], **sampled)


RECORDERS = {"blazepose": record_blazepose, "movenet": record_movenet, "thunder": record_thunder}

if __name__ == "__main__":
    RECORDERS[sys.argv[1]](Path(sys.argv[2]))
