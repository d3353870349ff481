# SPDX-License-Identifier: GPL-3.0-or-later
"""What Blender's own lens distortion does to a picture: a picture that holds its own coordinates, sent through it.

As a program (`python tests/addon/lens_maps.py`, with bpy), it records what the engine's formulas are held to.
"""

import tempfile
from pathlib import Path

import bpy
import numpy as np

RECORDING = Path(__file__).parents[1] / "data" / "blender_lenses.npz"
SIZE = (320, 200)
FOCAL, PRINCIPAL = 280.0, (150.0, 110.0)  # pixels, the principal point from the bottom left
STEP = 16

# Model, pixel aspect, coefficients by Blender's names: as many as the model has, in the engine's order.
LENSES = (
    ("POLYNOMIAL", 1.0, {"k1": -0.2, "k2": 0.05, "k3": 0.01}),
    ("POLYNOMIAL", 1.3, {"k1": 0.15, "k2": -0.05, "k3": 0.01}),
    ("DIVISION", 1.0, {"division_k1": 0.15, "division_k2": 0.03}),
    ("NUKE", 1.0, {"nuke_k1": 0.08, "nuke_k2": 0.01}),
    ("NUKE", 1.9, {"nuke_k1": 0.08, "nuke_k2": 0.01}),
    (
        "BROWN",
        1.0,
        {
            "brown_k1": -0.2,
            "brown_k2": 0.05,
            "brown_k3": 0.01,
            "brown_k4": 0.005,
            "brown_p1": 0.02,
            "brown_p2": -0.03,
        },
    ),
    (
        "BROWN",
        1.3,
        {
            "brown_k1": 0.1,
            "brown_k2": 0.05,
            "brown_k3": -0.01,
            "brown_k4": 0.005,
            "brown_p1": -0.01,
            "brown_p2": 0.02,
        },
    ),
)


def coordinate_clip(folder: Path, width: int, height: int) -> bpy.types.MovieClip:
    """A clip of one float picture whose red and green are x and y of the pixel's centre, from the top left corner."""
    rows, columns = np.mgrid[0:height, 0:width]
    ones = np.ones_like(rows)
    pixels = np.stack([columns + 0.5, height - rows - 0.5, ones, ones], axis=-1).astype(np.float32)
    image = bpy.data.images.new("coordinates", width, height, alpha=True, float_buffer=True)
    image.colorspace_settings.name = "Non-Color"
    image.pixels.foreach_set(pixels.ravel())
    image.filepath_raw = str(folder / "coordinates.exr")
    image.file_format = "OPEN_EXR"
    image.save()
    return bpy.data.movieclips.load(image.filepath_raw)


def set_lens(camera: bpy.types.MovieTrackingCamera, model: str, aspect: float, coefficients: dict[str, float]) -> None:
    camera.distortion_model = model
    camera.pixel_aspect = aspect
    camera.focal_length_pixels = FOCAL
    camera.principal_point_pixels = PRINCIPAL
    for name, value in coefficients.items():
        setattr(camera, name, value)


def undistorted_map(clip: bpy.types.MovieClip, folder: Path, principal: tuple[float, float]) -> np.ndarray:
    """Where the taken picture shows what each pixel of the undistorted one shows: [H,W,2] pixels, NaN where nowhere.

    principal: from the top left corner, in a pixel that the lens does not move.
    """
    width, height = clip.size
    scene = bpy.context.scene
    if hasattr(scene, "compositing_node_group"):
        tree = scene.compositing_node_group = bpy.data.node_groups.new("lens", "CompositorNodeTree")
        tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
        output = tree.nodes.new("NodeGroupOutput")
    else:
        scene.use_nodes = True
        tree = scene.node_tree
        tree.nodes.clear()
        output = tree.nodes.new("CompositorNodeComposite")
    picture, lens = tree.nodes.new("CompositorNodeImage"), tree.nodes.new("CompositorNodeMovieDistortion")
    picture.image, lens.clip = bpy.data.images["coordinates"], clip
    if hasattr(lens, "distortion_type"):
        lens.distortion_type = "UNDISTORT"
    else:
        lens.inputs["Type"].default_value = "Undistort"
    tree.links.new(picture.outputs[0], lens.inputs[0])
    tree.links.new(lens.outputs[0], output.inputs[0])
    camera = bpy.data.objects.new("eye", bpy.data.cameras.new("eye"))
    scene.collection.objects.link(camera)
    scene.camera = camera
    render = scene.render
    render.engine, scene.cycles.samples = "CYCLES", 1
    render.resolution_x, render.resolution_y, render.resolution_percentage = width, height, 100
    render.image_settings.file_format, render.image_settings.color_depth = "OPEN_EXR", "32"
    scene.view_settings.view_transform = "Raw"
    render.filepath = str(folder / "undistorted.exr")
    bpy.ops.render.render(write_still=True)
    result = bpy.data.images.load(render.filepath)
    result.colorspace_settings.name = "Non-Color"
    pixels = np.empty(width * height * 4, dtype=np.float32)
    result.pixels.foreach_get(pixels)
    pixels = pixels.reshape(height, width, 4)[::-1]
    # Where the alpha is not full, nothing and something were mixed.
    found = np.where(pixels[..., 3:] > 0.9999, pixels[..., :2], np.nan)
    # From 5.0 on, the picture grows before the frame is cut out of its middle, so that all may be moved by some pixels.
    column, row = int(principal[0]), int(principal[1])
    moved = np.rint(found[row, column] - [column + 0.5, row + 0.5]).astype(int)
    return np.roll(found, (moved[1], moved[0]), axis=(0, 1))


def measure(folder: Path) -> np.ndarray:
    """[lenses, points, 2]: where the taken picture shows the points of `sample_points`."""
    maps = []
    for model, aspect, coefficients in LENSES:
        bpy.ops.wm.read_homefile(use_empty=True)
        clip = coordinate_clip(folder, *SIZE)
        set_lens(clip.tracking.camera, model, aspect, coefficients)
        whole = undistorted_map(clip, folder, (PRINCIPAL[0], SIZE[1] - PRINCIPAL[1]))
        points = sample_points().astype(int)
        maps.append(whole[points[:, 1], points[:, 0]])
    return np.array(maps)


def sample_points() -> np.ndarray:
    """[N,2] centres of pixels that lie away from the border."""
    rows, columns = np.mgrid[STEP * 2 : SIZE[1] - STEP : STEP, STEP * 2 : SIZE[0] - STEP : STEP]
    return np.stack([columns.ravel(), rows.ravel()], axis=1) + 0.5


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        taken = measure(Path(scratch))
    np.savez_compressed(
        RECORDING,
        models=[model.lower() for model, _, _ in LENSES],
        K=[[[FOCAL, 0, PRINCIPAL[0]], [0, FOCAL * a, SIZE[1] - PRINCIPAL[1]], [0, 0, 1]] for _, a, _ in LENSES],
        coefficients=np.array([[*c.values()] + [0.0] * (6 - len(c)) for _, _, c in LENSES]),
        counts=[len(c) for _, _, c in LENSES],
        size=SIZE,
        undistorted=sample_points(),
        taken=taken,
    )
