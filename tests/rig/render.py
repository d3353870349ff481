# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts synthetic people before rings of Blender cameras with unlikely settings, and renders what those see.

    python -m tests.rig.render RIG [--scenes 24] [--cameras 8] [--seed 0]

Runs in a Python with bpy, in the repository's root. RIG is a folder of `refit_training.render.rig_people`. Writes a
folder of pictures per scene, and RIG/rig.json in the evaluation format: a group per scene, views cam0 ..., the cameras
as `refit_blender.scene.cameras` reads them. Fields beside the format: `truth`, the person's file; and for cam0
`stranger`, a second record's worth of the same camera with somebody else before it.
A scene that is there already is not rendered again.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix, Vector

from refit_blender.scene import cameras

# Any number of cameras, counted from the first, stands all around the stage.
AZIMUTHS = (0, 90, 180, 270, 45, 135, 225, 315)
LONG_SIDE = (480, 640)
SAMPLES = 6
MARGIN = 0.03
"""Share of the picture's sides that nobody reaches into."""


@dataclass(frozen=True)
class Person:
    """Somebody's mesh objects, and the vertices [V,3] of the body underneath."""

    file: str
    objects: list[bpy.types.Object]
    vertices: np.ndarray

    def show(self, visible: bool) -> None:
        for made in self.objects:
            made.hide_render = not visible


def load_person(folder: Path, file: str) -> Person:
    """Make the objects of a dressed person."""
    with np.load(folder / file) as data:
        arrays = {name: data[name] for name in data.files}
    objects = []
    for number, part in enumerate(json.loads(str(arrays["parts"]))):
        mesh = bpy.data.meshes.new(f"{file} {number}")
        faces, uv = arrays[f"faces_{number}"], arrays[f"uv_{number}"]
        mesh.from_pydata(arrays[f"vertices_{number}"].tolist(), [], faces.tolist())
        mesh.uv_layers.new(name="UVMap").uv.foreach_set("vector", uv[faces.ravel()].ravel().astype(np.float32))
        mesh.shade_smooth()
        mesh.materials.append(material(folder, part))
        made = bpy.data.objects.new(mesh.name, mesh)
        bpy.context.scene.collection.objects.link(made)
        objects.append(made)
    return Person(file, objects, arrays["vertices"].astype(np.float64))


def material(folder: Path, part: dict) -> bpy.types.Material:
    """Plain, or with a texture: tinted by the colour, cut out by it, or as it is."""
    made = bpy.data.materials.new("part")
    if made.node_tree is None:  # 5.0 and later have no other materials
        made.use_nodes = True
    tree = made.node_tree
    shader = next(node for node in tree.nodes if node.type == "BSDF_PRINCIPLED")
    shader.inputs["Roughness"].default_value = 0.8
    shader.inputs["Base Color"].default_value = (*part["color"], 1.0)
    if part["material"] == "plain":
        return made
    texture = tree.nodes.new("ShaderNodeTexImage")
    texture.image = bpy.data.images.load(str(folder / part["texture"]), check_existing=True)
    if part["material"] == "tinted":
        mix = tree.nodes.new("ShaderNodeVectorMath")
        mix.operation = "MULTIPLY"
        mix.inputs[1].default_value = part["color"]
        tree.links.new(texture.outputs["Color"], mix.inputs[0])
        tree.links.new(mix.outputs["Vector"], shader.inputs["Base Color"])
        return made
    tree.links.new(texture.outputs["Alpha"], shader.inputs["Alpha"])
    if part["material"] == "textured":
        tree.links.new(texture.outputs["Color"], shader.inputs["Base Color"])
    return made


def set_world(folder: Path, panorama: dict, turn: float) -> None:
    """Light and backdrop, turned about the vertical, at a photograph's exposure."""
    world = bpy.data.worlds.new("panorama")
    if world.node_tree is None:
        world.use_nodes = True
    tree = world.node_tree
    background = next(node for node in tree.nodes if node.type == "BACKGROUND")
    background.inputs["Strength"].default_value = 1.0 / panorama["brightness"]
    picture = tree.nodes.new("ShaderNodeTexEnvironment")
    picture.image = bpy.data.images.load(str(folder / panorama["file"]), check_existing=True)
    mapping = tree.nodes.new("ShaderNodeMapping")
    mapping.inputs["Rotation"].default_value = (0, 0, turn)
    coordinates = tree.nodes.new("ShaderNodeTexCoord")
    tree.links.new(coordinates.outputs["Generated"], mapping.inputs["Vector"])
    tree.links.new(mapping.outputs["Vector"], picture.inputs["Vector"])
    tree.links.new(picture.outputs["Color"], background.inputs["Color"])
    bpy.context.scene.world = world


def set_render(rng: np.random.Generator) -> None:
    """A render frame of some proportions, percentage and pixel aspect, the same for all cameras of a scene."""
    scene = bpy.context.scene
    render = scene.render
    percentage = int(rng.choice([100, 75, 50, 33]))
    long, short = rng.uniform(*LONG_SIDE), rng.uniform(0.55, 1.0)
    size = np.array([long, long * short] if rng.random() < 0.5 else [long * short, long]) * 100 / percentage
    render.resolution_x, render.resolution_y = size.round().astype(int).tolist()
    render.resolution_percentage = percentage
    render.pixel_aspect_x, render.pixel_aspect_y = [(1, 1), (1, 1), (1, 1.25), (1.2, 1)][rng.integers(4)]
    render.engine = "CYCLES"
    render.image_settings.file_format = "JPEG"
    render.image_settings.quality = 92
    render.use_persistent_data = True
    scene.view_settings.view_transform = "Filmic"
    scene.view_settings.exposure = rng.uniform(-0.3, 0.5)
    scene.cycles.samples = SAMPLES
    scene.cycles.use_denoising = True
    scene.cycles.max_bounces = 3
    scene.cycles.transparent_max_bounces = 8


def place_camera(rng: np.random.Generator, number: int, start: float, vertices: np.ndarray) -> bpy.types.Object:
    """A camera of the ring whose lens is chosen so that all vertices [V,3] are in the picture, for any settings."""
    data = bpy.data.cameras.new(f"cam{number}")
    camera = bpy.data.objects.new(data.name, data)
    scene = bpy.context.scene
    scene.collection.objects.link(camera)
    data.sensor_fit = str(rng.choice(["AUTO", "HORIZONTAL", "VERTICAL"]))
    data.sensor_width, data.sensor_height = rng.uniform(12, 40, 2)
    data.shift_x, data.shift_y = rng.uniform(-0.12, 0.12, 2)
    azimuth = math.radians(start + AZIMUTHS[number] + rng.uniform(-12, 12))
    distance = math.exp(rng.uniform(math.log(2.5), math.log(6.0)))
    height = rng.uniform(0.4, 2.6)
    middle = (vertices.min(axis=0) + vertices.max(axis=0)) / 2 + rng.normal(size=3) * 0.1
    camera.location = middle[0] + distance * math.cos(azimuth), middle[1] + distance * math.sin(azimuth), height
    aim = (Vector(middle) - camera.location).to_track_quat("-Z", "Y")
    camera.rotation_euler = (aim.to_matrix() @ Matrix.Rotation(rng.normal() * math.radians(4), 3, "Z")).to_euler()
    bpy.context.view_layer.update()
    data.lens = 1.0
    frame = cameras.frame_of(scene)
    ahead = flat_pixels(camera, vertices) - (c := matrices(camera)[0][:2, 2])
    size = np.array([frame.width, frame.height])
    # A pixel is c + lens * ahead: the longest lens that keeps everything within the margin.
    room = np.where(ahead > 0, (1 - MARGIN) * size - c, MARGIN * size - c) / np.where(ahead == 0, 1e-9, ahead)
    data.lens = max(1.0, float(room.min()) * rng.uniform(0.75, 1.0))
    return camera


def matrices(camera: bpy.types.Object) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """K, R, t as the add-on reads them."""
    scene = bpy.context.scene
    K = cameras.intrinsics(cameras.lens_of(camera, scene), cameras.frame_of(scene))
    return K, *cameras.extrinsics(cameras.world_matrix(camera, bpy.context.evaluated_depsgraph_get()))


def flat_pixels(camera: bpy.types.Object, points: np.ndarray) -> np.ndarray:
    K, R, t = matrices(camera)
    seen = (points @ R.T + t) @ K.T
    return seen[:, :2] / seen[:, 2:]


def photograph(camera: bpy.types.Object, person: Person, file: Path, folder: Path) -> dict:
    """Render one picture; its record in the evaluation format, without id, group and view."""
    scene = bpy.context.scene
    scene.camera = camera
    if not file.exists():
        scene.render.filepath = str(file)
        bpy.ops.render.render(write_still=True)
    frame = cameras.frame_of(scene)
    pixels = flat_pixels(camera, person.vertices)
    low, high = pixels.min(axis=0).clip(0), pixels.max(axis=0).clip(None, [frame.width, frame.height])
    K, R, t = matrices(camera)
    return {
        "image": str(file.relative_to(folder)),
        "width": frame.width,
        "height": frame.height,
        "bbox_xywh": [*low.tolist(), *(high - low).tolist()],
        "K": K.tolist(),
        "dist": None,
        "R_world2cam": R.tolist(),
        "t_world2cam": t.tolist(),
        "truth": person.file,
    }


def render_scene(folder: Path, number: int, count: int, seed: int) -> list[dict]:
    """One subject, one stranger, `count` cameras; the records of the scene."""
    rng = np.random.default_rng((seed, number))
    bpy.ops.wm.read_homefile(use_empty=True)
    name = f"{number:03d}"
    (folder / name).mkdir(exist_ok=True)
    set_render(rng)
    panoramas = json.loads((folder / "panoramas.json").read_text())
    set_world(folder, panoramas[rng.integers(len(panoramas))], rng.uniform(0, 2 * math.pi))
    subject, stranger = (load_person(folder, f"people/{index:03d}.npz") for index in (2 * number, 2 * number + 1))
    both = np.concatenate([subject.vertices, stranger.vertices])
    start = rng.uniform(0, 360)
    ring = [place_camera(rng, i, start, both if i == 0 else subject.vertices) for i in range(count)]
    stranger.show(False)
    records = []
    for index, camera in enumerate(ring):
        shot = photograph(camera, subject, folder / name / f"cam{index}.jpg", folder)
        records.append({"id": f"{name}/cam{index}", "group": name, "view": f"cam{index}", **shot})
    subject.show(False)
    stranger.show(True)
    records[0]["stranger"] = photograph(ring[0], stranger, folder / name / "stranger.jpg", folder)
    return records


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scenes", type=int, default=24)
    parser.add_argument("--cameras", type=int, default=8, choices=range(2, len(AZIMUTHS) + 1))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    records: list[dict] = []
    for number in range(options.scenes):
        records += render_scene(options.folder, number, options.cameras, options.seed)
        (options.folder / "rig.json").write_text(json.dumps(records, indent=1))


if __name__ == "__main__":
    main()
