# SPDX-License-Identifier: GPL-3.0-or-later
"""What Cycles renders: the photo with its own colours behind the body, and shadows on the floor."""

import math

import bpy
import numpy as np
import pytest
from mathutils import Vector

from refit_blender.errors import SourceError
from refit_blender.scene import backdrop, shadow_catcher
from refit_blender.scene.images import pixels_of

SIZE = (48, 36)


@pytest.fixture
def camera():
    """A camera with a photo whose colours say where in it they are, as (x / width, y / height) from its bottom left."""
    scene = bpy.context.scene
    made = bpy.data.objects.new("cam", bpy.data.cameras.new("cam"))
    scene.collection.objects.link(made)
    scene.camera = made
    made.data.background_images.new().image = picture(*SIZE)
    made.data.background_images[0].frame_method = "STRETCH"
    scene.render.resolution_x, scene.render.resolution_y = SIZE
    scene.world = bpy.data.worlds.new("grey")
    return made


def picture(width, height):
    image = bpy.data.images.new("photo", width, height)
    x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    image.pixels.foreach_set(
        np.stack([x, y, np.full_like(x, 0.25), np.ones_like(x)], axis=2).astype(np.float32).ravel()
    )
    image.pack()
    return image


def render(tmp_path) -> np.ndarray:
    """[H,W,3], bottom row first, as a user's PNG has it."""
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.samples = 8
    scene.cycles.use_denoising = False
    scene.render.dither_intensity = 0
    scene.render.filepath = str(tmp_path / "render.png")
    bpy.ops.render.render(write_still=True)
    return pixels_of(bpy.data.images.load(scene.render.filepath))[..., :3]


def places(image: np.ndarray) -> np.ndarray:
    """[H,W,2]: which place of the photo each pixel shows."""
    return image[..., :2]


def cube_before(camera, distance, size):
    bpy.ops.mesh.primitive_cube_add(size=size)
    cube = bpy.context.object
    cube.matrix_world = camera.matrix_world
    cube.location = camera.matrix_world @ Vector((0, 0, -distance))
    return cube


@pytest.mark.parametrize("transform", ["AgX", "Standard"])
def test_photo_has_its_own_colours_beside_a_thing_that_stands_before_it(camera, tmp_path, transform):
    scene = bpy.context.scene
    scene.view_settings.view_transform = transform
    scene.view_settings.exposure = 0.7
    camera.location, camera.rotation_euler, camera.data.shift_x = (3, -2, 1), (1.2, 0.1, 0.4), 0.2
    bpy.context.view_layer.update()
    cube_before(camera, 6, 0.8)
    said = backdrop.show(scene, camera)
    assert len(said) == (transform != "Standard")
    shown = render(tmp_path)
    photo = pixels_of(bpy.data.images["photo"])[..., :3]
    beside = np.abs(shown - photo).max(axis=2) < 3 / 255
    assert beside[:, :5].all() and beside[:, -3:].all() and beside[:3].all() and beside[-3:].all()
    assert 60 < (~beside).sum() < 500  # the cube
    # Where the camera goes and what lens it gets, the photo fills the frame.
    camera.location.x += 40
    camera.data.lens, camera.data.shift_y = 85, 0.1
    np.testing.assert_allclose(render(tmp_path), photo, atol=3 / 255)


@pytest.mark.parametrize(
    ("placement", "place"),
    [
        ({"use_flip_x": True, "use_flip_y": True}, lambda x, y: (1 - x, 1 - y)),
        ({"scale": 2.0, "use_flip_y": True}, lambda x, y: (0.5 + (x - 0.5) / 2, 0.5 - (y - 0.5) / 2)),
        ({"scale": 2.0, "offset": (0.25, 0.0)}, lambda x, y: (0.5 + (x - 0.75) / 2, 0.5 + (y - 0.5) / 2)),
        # A clockwise quarter turn on the screen: what was on the left is on top.
        ({"scale": 2.0, "rotation": math.pi / 2}, lambda x, y: (0.5 + (0.5 - y) * 0.375, 0.5 + (x - 0.5) * 2 / 3)),
    ],
)
def test_photo_lies_as_the_background_image_does(camera, tmp_path, placement, place):
    for name, value in placement.items():
        setattr(camera.data.background_images[0], name, value)
    backdrop.show(bpy.context.scene, camera)
    shown = places(render(tmp_path))
    for row, column in ((8, 10), (18, 30), (30, 40)):
        expected = place((column + 0.5) / SIZE[0], (row + 0.5) / SIZE[1])
        np.testing.assert_allclose(shown[row, column], expected, atol=4 / 255)


def test_beside_a_photo_that_does_not_fill_the_frame_the_world_is_seen(camera, tmp_path):
    scene = bpy.context.scene
    camera.data.background_images[0].frame_method = "FIT"
    scene.render.resolution_x = 2 * SIZE[0]
    scene.world.use_nodes = True
    scene.world.node_tree.nodes["Background"].inputs["Color"].default_value = (0, 0, 1, 1)
    backdrop.show(scene, camera)
    shown = render(tmp_path)
    np.testing.assert_allclose(shown[:, :20], np.broadcast_to([0, 0, 1], (SIZE[1], 20, 3)), atol=2 / 255)
    photo = pixels_of(bpy.data.images["photo"])[..., :3]
    np.testing.assert_allclose(shown[3:-3, 28:68], photo[3:-3, 4:44], atol=3 / 255)


def world_state(scene):
    tree = scene.world and scene.world.node_tree
    view = scene.view_settings
    return (
        scene.world and (scene.world.name, scene.world.use_nodes),
        sorted(world.name for world in bpy.data.worlds),
        bool(tree) and scene.world.use_nodes and sorted(node.name for node in tree.nodes),
        bool(tree)
        and scene.world.use_nodes
        and sorted((link.from_node.name, link.to_node.name) for link in tree.links),
        (view.view_transform, view.look, view.exposure, view.gamma, scene.render.film_transparent),
    )


@pytest.mark.parametrize("world", ["colour", "nodes", "none"])
def test_hiding_the_photo_makes_everything_as_before(camera, world):
    scene = bpy.context.scene
    if world == "none":
        scene.world = None
    elif world == "nodes":
        scene.world.use_nodes = True
        scene.world.node_tree.nodes.new("ShaderNodeTexSky")
    scene.view_settings.view_transform, scene.view_settings.gamma = "AgX", 1.5
    scene.render.film_transparent = True
    before = world_state(scene)
    assert bpy.ops.refit.photo_in_renders() == {"FINISHED"}
    assert backdrop.shown_camera(scene) == camera
    assert (scene.view_settings.view_transform, scene.render.film_transparent) == ("Standard", False)
    assert world_state(scene) != before
    assert bpy.ops.refit.photo_in_renders() == {"FINISHED"}
    assert world_state(scene) == before


def test_photo_of_a_camera_that_was_taken_from_the_scene_can_be_hidden(camera):
    scene = bpy.context.scene
    before = world_state(scene)
    bpy.ops.refit.photo_in_renders()
    scene.camera = None
    assert bpy.ops.refit.photo_in_renders() == {"FINISHED"}
    assert world_state(scene) == before and not backdrop.is_shown(scene)


def test_what_the_user_changed_meanwhile_stays(camera):
    scene = bpy.context.scene
    scene.view_settings.view_transform = "AgX"
    backdrop.show(scene, camera)
    scene.view_settings.view_transform = "Filmic"
    backdrop.hide(scene)
    assert scene.view_settings.view_transform == "Filmic"


def test_another_camera_gets_its_own_photo(camera):
    scene = bpy.context.scene
    bpy.ops.refit.photo_in_renders()
    other = bpy.data.objects.new("other", bpy.data.cameras.new("other"))
    scene.collection.objects.link(other)
    other.data.background_images.new().image = picture(20, 10)
    scene.camera = other
    bpy.ops.refit.photo_in_renders()
    assert backdrop.shown_camera(scene) == other
    pictures = [node.image for node in scene.world.node_tree.nodes if node.type == "TEX_IMAGE"]
    assert pictures == [other.data.background_images[0].image]


def test_camera_without_a_photo_is_an_error(camera):
    camera.data.background_images.clear()
    before = world_state(bpy.context.scene)
    with pytest.raises(SourceError, match="Camera “cam” has no background image."):
        backdrop.show(bpy.context.scene, camera)
    with pytest.raises(RuntimeError, match="Camera “cam” has no background image."):
        bpy.ops.refit.photo_in_renders()
    assert world_state(bpy.context.scene) == before


def test_shadow_falls_on_the_photo(photo, install_fake, tmp_path):
    """The photo gets darker where the body keeps the light from the floor, and nowhere brighter."""
    install_fake()
    scene = bpy.context.scene
    scene.refit.image_path = str(photo)
    bpy.ops.refit.reconstruct()
    camera = scene.camera
    cube_before(camera, 4, 0.5)
    white = bpy.data.images.new("white", *SIZE)
    white.generated_color = (0.6, 0.6, 0.6, 1)
    scene.camera.data.background_images[0].image = white
    scene.camera.location.z += 1.5
    scene.camera.rotation_euler.x -= 0.3
    scene.render.resolution_x, scene.render.resolution_y = SIZE
    sun = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
    sun.data.energy, sun.rotation_euler = 5.0, (0.3, 0.5, 0)
    scene.collection.objects.link(sun)
    backdrop.show(scene, scene.camera)
    without = render(tmp_path).mean(axis=2)
    assert bpy.ops.refit.shadow_catcher() == {"FINISHED"}
    shown = render(tmp_path).mean(axis=2)
    photo_alone = np.abs(without - 0.6) < 0.01
    assert ((shown < 0.5) & photo_alone).sum() > 20
    assert np.quantile(shown[photo_alone], 0.99) < 0.62
    assert np.quantile(np.abs(shown - 0.6)[photo_alone], 0.5) < 0.01
    assert bpy.ops.refit.shadow_catcher() == {"FINISHED"}
    assert not shadow_catcher.planes(scene)
    assert not [block for kind in (bpy.data.meshes, bpy.data.materials) for block in kind if "catcher" in block.name]
