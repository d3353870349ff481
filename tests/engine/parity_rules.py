# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules by which the parity reference was made: every weight and the body follow from names and seeds."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import torch
from torch import nn

PARITY = Path(__file__).parents[1] / "data" / "parity"
NEUTRAL_SEED = 11
VERTICES, FACES = 6890, 13776
PARENTS = np.array([-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21])
# fmt: off
JOINTS = np.array([
    [0, -.22, 0], [.07, -.31, 0], [-.07, -.31, 0], [0, -.11, 0], [.1, -.69, 0], [-.1, -.69, 0], [0, .03, 0],
    [.09, -1.08, -.03], [-.09, -1.08, -.03], [0, .08, 0], [.11, -1.14, .09], [-.11, -1.14, .09], [0, .29, 0],
    [.08, .2, 0], [-.08, .2, 0], [0, .36, 0], [.18, .23, 0], [-.18, .23, 0], [.44, .21, -.03], [-.44, .21, -.03],
    [.69, .22, -.03], [-.69, .22, -.03], [.77, .21, -.03], [-.77, .21, -.03],
])
# fmt: on


def reference() -> dict[str, np.ndarray]:
    """The published implementation's inputs, intermediate values and outputs."""
    with np.load(PARITY / "reference.npz") as file:
        return dict(file)


def published_tensors() -> dict[str, tuple[int, ...]]:
    """Names and shapes of a public checkpoint's state dict, in order."""
    lines = (PARITY / "state_dict_keys.tsv").read_text().splitlines()
    columns = (line.split("\t") for line in lines)
    return {name: tuple(int(n) for n in shape.strip("[]").split(",") if n.strip()) for name, shape, *_ in columns}


def fake_smpl(seed: int = NEUTRAL_SEED) -> dict[str, np.ndarray]:
    """A random point cloud with SMPL's arrays and skeleton; the draws must keep their order."""
    random = np.random.RandomState(seed)
    owner = random.randint(0, 24, VERTICES)
    body = {"v_template": JOINTS[owner] + random.randn(VERTICES, 3) * 0.05}
    body["shapedirs"] = random.randn(VERTICES, 3, 10) * 0.01
    body["posedirs"] = random.randn(VERTICES, 3, 207) * 0.001
    body["f"] = random.randint(0, VERTICES, (FACES, 3)).astype(np.uint32)

    rows = np.arange(VERTICES)
    body["weights"] = np.zeros((VERTICES, 24))
    body["weights"][rows, owner] = 0.8
    body["weights"][rows, np.maximum(PARENTS[owner], 0)] += 0.2
    body["J_regressor"] = np.zeros((24, VERTICES))
    for joint in range(24):
        near = np.flatnonzero(owner == joint)[:12]
        body["J_regressor"][joint, near] = 1 / len(near)
    body["kintree_table"] = np.stack([PARENTS % 2**32, np.arange(24)]).astype(np.uint32)
    return body


def fill_by_rule(model: nn.Module, init: dict[str, np.ndarray]) -> None:
    """Gives every tensor of a network the value that its published name stands for."""
    state = {
        name: tensor if name.endswith("num_batches_tracked") else torch.from_numpy(_value(name, tuple(tensor.shape)))
        for name, tensor in model.state_dict().items()
    }
    state |= {name: torch.from_numpy(init[name]) for name in ("init_pose", "init_shape", "init_cam")}
    model.load_state_dict(state)


def _value(name: str, shape: tuple[int, ...]) -> np.ndarray:
    random = np.random.RandomState(zlib.crc32(name.encode()) & 0xFFFFFFFF)
    if name.endswith("running_mean"):
        value = random.randn(*shape) * 0.05
    elif name.endswith("running_var"):
        value = random.uniform(0.8, 1.25, shape)
    elif name.endswith(".weight") and len(shape) == 1:
        value = random.uniform(0.8, 1.2, shape) * _gamma(name)
    elif name.endswith(".bias"):
        value = random.randn(*shape) * 0.05
    elif len(shape) == 4:
        value = random.randn(*shape) * np.sqrt(2 / np.prod(shape[1:]))
    else:
        value = random.randn(*shape) * np.sqrt(1 / shape[-1])

    if name == "corr_layer.6.weight":
        value = value * 0.05
    elif name == "init_layer.weight":
        value = value * 0.03
    elif name.startswith("regressor.dec"):
        value = value * (0.2 if name.endswith("bias") else 0.15)
    return value.astype(np.float32)


def _gamma(name: str) -> float:
    if ".fuse_layers." in name:
        return 0.35
    last_of_block = (".bn2." in name and "branches" in name) or ".bn3." in name
    return 0.25 if last_of_block else 1.0
