# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads exported files with programs that are not Blender; runs in the engine's Python with the packages for tests.

fbx: ufbx. glb: pygltflib, and the nodes' chain in numpy. smpl: smplx. Each writes what it finds as an npz.
"""

import gc
import os
import sys
from pathlib import Path

import numpy as np


def read_fbx(path: str, first: str, last: str, rate: str) -> dict[str, np.ndarray]:
    """Joints [K,N,3] at frames, in the file's own units and axes, and what the file says about these."""
    import ufbx

    scene = ufbx.load_file(path)
    nodes = list(scene.nodes)
    names = [node.name for node in nodes]
    above = [None if node.is_root else names.index(node.parent.name) for node in nodes]
    is_bone = [node.bone is not None for node in nodes]
    bones = [index for index, bone in enumerate(is_bone) if bone]
    others = [index for index, bone in enumerate(is_bone) if not bone and above[index] is not None]
    at_rest = [node.local_transform for node in nodes]
    axes = scene.settings.axes

    def world(index: int, time: float) -> np.ndarray:
        found = nodes[index].evaluate_transform(scene.anim, time)
        own = np.eye(4)
        own[:3, :3], own[:3, 3] = turn(np.array(found.rotation)) * np.array(found.scale), found.translation
        return own if above[index] is None else world(above[index], time) @ own

    times = np.arange(int(first), int(last) + 1) / float(rate)
    return {
        "names": np.array([names[index] for index in bones]),
        "joints": np.array([[world(index, time)[:3, 3] for index in bones] for time in times]),
        "motions": np.array([stack.name for stack in scene.anim_stacks]),
        "unit_metres": np.array(scene.settings.unit_meters),
        "axes": np.array([axis.name for axis in (axes.right, axes.up, axes.front)]),
        "nodes": np.array([names[index] for index in others]),
        "turns": np.array([at_rest[index].rotation for index in others]),
        "scales": np.array([at_rest[index].scale for index in others]),
    }


def read_glb(path: str, first: str, last: str, rate: str) -> dict[str, np.ndarray]:
    """Joints [K,N,3] of the first skin at frames, in glTF's axes, by the nodes' chain."""
    import pygltflib

    gltf = pygltflib.GLTF2().load(path)
    names = [gltf.nodes[index].name for index in gltf.skins[0].joints]
    parents = {child: index for index, node in enumerate(gltf.nodes) for child in node.children or ()}
    tracks = {}
    for animation in gltf.animations:
        for channel in animation.channels:
            sampler = animation.samplers[channel.sampler]
            tracks[channel.target.node, channel.target.path] = (
                array(gltf, sampler.input)[:, 0],
                array(gltf, sampler.output),
            )

    def local(index: int, time: float) -> np.ndarray:
        node, matrix = gltf.nodes[index], np.eye(4)
        values = {
            "translation": np.array(node.translation or (0, 0, 0)),
            "rotation": np.array(node.rotation or (0, 0, 0, 1)),
            "scale": np.array(node.scale or (1, 1, 1)),
        }
        for name in values:
            if (index, name) in tracks:
                times, keys = tracks[index, name]
                values[name] = keys[int(np.argmin(np.abs(times - time)))]
        matrix[:3, :3] = turn(values["rotation"]) * values["scale"]
        matrix[:3, 3] = values["translation"]
        return matrix

    def world(index: int, time: float) -> np.ndarray:
        own = local(index, time)
        return world(parents[index], time) @ own if index in parents else own

    times = np.arange(int(first), int(last) + 1) / float(rate)
    joints = [[world(index, time)[:3, 3] for index in gltf.skins[0].joints] for time in times]
    motions = np.array([animation.name for animation in gltf.animations])
    return {"names": np.array(names), "joints": np.array(joints), "motions": motions}


def array(gltf, index: int) -> np.ndarray:
    """The floats [K,N] of an accessor."""
    accessor = gltf.accessors[index]
    view = gltf.bufferViews[accessor.bufferView]
    width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[accessor.type]
    start = (view.byteOffset or 0) + (accessor.byteOffset or 0)
    flat = np.frombuffer(gltf.binary_blob(), dtype="<f4", count=accessor.count * width, offset=start)
    return flat.reshape(-1, width).astype(float)


def turn(quaternion: np.ndarray) -> np.ndarray:
    """The rotation matrix of a quaternion (x, y, z, w)."""
    x, y, z, w = quaternion / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def pose_smpl(path: str, body_file: str) -> dict[str, np.ndarray]:
    """Joints [K,24,3] and vertices [K,V,3] of an AMASS file by smplx, on a body file in SMPL's format."""
    import smplx
    import torch

    motion, body = np.load(path, allow_pickle=False), dict(np.load(body_file, allow_pickle=False))
    parents = body["parents"].astype(np.int64)
    parents[0] = -1
    struct = smplx.utils.Struct(
        **{name: body[name] for name in ("v_template", "shapedirs", "weights", "J_regressor")},
        posedirs=body["posedirs"],
        kintree_table=np.stack([parents, np.arange(len(parents))]),
        f=body["faces"],
    )
    frames = len(motion["poses"])
    # Further joints of smplx are vertices by their numbers in SMPL, which a small body does not have.
    numbers = dict.fromkeys(smplx.vertex_ids.vertex_ids["smplh"], 0)
    model = smplx.SMPL("", data_struct=struct, vertex_ids=numbers, batch_size=frames, dtype=torch.float64)
    poses = torch.tensor(motion["poses"], dtype=torch.float64)
    both_hands = torch.zeros(frames, 6, dtype=torch.float64)
    with torch.no_grad():
        posed = model(
            betas=torch.tensor(motion["betas"][None, :10], dtype=torch.float64),
            global_orient=poses[:, :3],
            body_pose=torch.cat([poses[:, 3:66], both_hands], dim=1),
            transl=torch.tensor(motion["trans"], dtype=torch.float64),
        )
    return {"joints": posed.joints[:, :24].numpy(), "vertices": posed.vertices.numpy()}


if __name__ == "__main__":
    what, out, *arguments = sys.argv[1:]
    gc.disable()  # ufbx 0.0.5 crashes where Python collects its objects
    np.savez(Path(out), **{"fbx": read_fbx, "glb": read_glb, "smpl": pose_smpl}[what](*arguments))
    os._exit(0)
