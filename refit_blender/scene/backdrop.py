# SPDX-License-Identifier: GPL-3.0-or-later
"""The photo behind the bodies in renders.

Nodes in the scene's world show a camera's background picture to the rays that come straight from the camera; light,
reflections and shadows stay those of the world. The picture lies in the frame, as background images do, so that it
needs no plane that follows the camera and its lens. The view transform has to be Standard
meanwhile, since AgX and Filmic show no picture as it is.
"""

from __future__ import annotations

import json
import math
from typing import Any

import bpy
import numpy as np

from ..errors import SourceError
from . import cameras, images
from .cameras import Frame, Lens, Placement
from .ownership import check_own

PREFIX = "ReFit Photo"
KEPT, CAMERA = "refit_photo_kept", "refit_photo_camera"
# How much of the picture's side may be missing at the frame's edge without being seen.
EDGE = 1e-3
# With these a picture's colours are shown as they are in its file.
PLAIN = {"view_transform": "Standard", "look": "None", "exposure": 0.0, "gamma": 1.0, "use_curve_mapping": False}


def shown_camera(scene: bpy.types.Scene) -> bpy.types.Object | None:
    """The camera whose picture renders show; None where they show none."""
    camera = scene.world.get(CAMERA) if scene.world else None
    return camera if isinstance(camera, bpy.types.Object) and is_shown(scene) else None


def is_shown(scene: bpy.types.Scene) -> bool:
    """Whether renders show a photo."""
    return scene.world is not None and KEPT in scene.world


def show(scene: bpy.types.Scene, camera: bpy.types.Object) -> list[str]:
    """Let renders show the camera's background picture behind everything; what else had to change, for the user.

    Raises SourceError where there is no picture, or the world cannot be changed.
    """
    background = images.camera_background(camera)
    check_own(scene.world)
    image = _image(background)
    lens, frame = cameras.lens_of(camera, scene), cameras.drawn_frame(scene)
    size = image.size[0], image.size[1]
    places = picture_places(lens, frame, background.placement, size, background.display_aspect)
    hide(scene)
    world, kept = _world_with_nodes(scene)
    _add_nodes(world, image, background.image_user, places)
    messages = []
    if scene.view_settings.view_transform != PLAIN["view_transform"]:
        shown = scene.view_settings.view_transform
        messages.append(f"The view transform is Standard instead of {shown}, which changes colours.")
    kept["view"] = _set_plain(scene.view_settings)
    kept["film_transparent"] = scene.render.film_transparent
    if scene.render.film_transparent:
        scene.render.film_transparent = False
        messages.append("Film › Transparent is off, so that the photo is seen.")
    world[CAMERA], world[KEPT] = camera, json.dumps(kept)
    return messages


def hide(scene: bpy.types.Scene) -> None:
    """Make renders as they were before `show`; what the user has changed since stays. Raises SourceError."""
    world = scene.world
    if world is None or KEPT not in world:
        return
    check_own(world)
    kept = json.loads(world[KEPT])
    _remove_nodes(world)
    if kept["colour_only"]:
        world.use_nodes = False
    for name, value in kept["view"].items():
        if getattr(scene.view_settings, name) == PLAIN[name]:
            setattr(scene.view_settings, name, value)
    if kept["film_transparent"]:
        scene.render.film_transparent = True
    del world[KEPT]
    if CAMERA in world:
        del world[CAMERA]
    if kept["made"]:
        scene.world = None
        if not world.users:
            bpy.data.worlds.remove(world)


def picture_places(
    lens: Lens, frame: Frame, placement: Placement, size: tuple[int, int], display_aspect: float = 1.0
) -> tuple[dict[str, tuple[float, float]], dict[str, Any]]:
    """How places in the frame (0 to 1 from its bottom left corner) become places in the picture, in two steps.

    First `location + scale * place`, which gives x and y of the camera's ray (x right, y down, z 1); then the ray less
    `location`, turned by -`rotation` and divided by `scale`.
    """
    K = cameras.intrinsics(lens, frame)
    seen = cameras.image_camera(lens, frame, placement, *size, display_aspect)
    first = {
        "location": (-K[0, 2] / K[0, 0], (frame.height - K[1, 2]) / K[1, 1]),
        "scale": (frame.width / K[0, 0], -frame.height / K[1, 1]),
    }
    # From the ray of the picture's turned camera to the picture, 0 to 1 from its bottom left corner.
    scale = np.array([seen.K[0, 0] / size[0], -seen.K[1, 1] / size[1]])
    shift = np.array([seen.K[0, 2] / size[0], 1 - seen.K[1, 2] / size[1]])
    for axis, flipped in enumerate((seen.flip_x, seen.flip_y)):
        if flipped:
            scale[axis], shift[axis] = -scale[axis], 1 - shift[axis]
    turn = seen.turn[:2, :2]
    location = -turn.T @ (shift / scale)
    second = {
        "location": tuple(location.tolist()),
        "rotation": -math.atan2(turn[1, 0], turn[0, 0]),
        "scale": tuple((1 / scale).tolist()),
    }
    return first, second


def _image(background: images.Background) -> bpy.types.Image:
    """The background's picture as an image. Raises SourceError."""
    picture = background.picture
    if isinstance(picture, bpy.types.MovieClip):
        if picture.source != "MOVIE":
            raise SourceError(f"The clip “{picture.name}” is a sequence: show it as an image sequence instead.")
        picture = bpy.data.images.load(bpy.path.abspath(picture.filepath), check_existing=True)
    if not all(picture.size):
        raise SourceError(f"Image “{picture.name}” has no pixels: its file is missing or damaged.")
    return picture


def _world_with_nodes(scene: bpy.types.Scene) -> tuple[bpy.types.World, dict[str, Any]]:
    """Give the scene a world with nodes, a black one where it has none; the world, and what had to be done."""
    world = scene.world
    made = world is None
    if world is None:
        scene.world = world = bpy.data.worlds.new(PREFIX)
    colour_only = not _uses_nodes(world)
    if colour_only:
        world.use_nodes = True
    for node in world.node_tree.nodes if made else ():
        if node.type == "BACKGROUND":
            node.inputs["Color"].default_value = (0.0, 0.0, 0.0, 1.0)
    return world, {"made": made, "colour_only": colour_only}


def _set_plain(view: bpy.types.ColorManagedViewSettings) -> dict[str, Any]:
    """Show pictures as they are; the settings that were others."""
    changed = {name: getattr(view, name) for name, value in PLAIN.items() if getattr(view, name) != value}
    for name in changed:
        setattr(view, name, PLAIN[name])
    return changed


def _add_nodes(
    world: bpy.types.World, image: bpy.types.Image, user: bpy.types.ImageUser | None, places: tuple[dict, dict]
) -> None:
    tree = world.node_tree
    assert tree is not None  # of a world with nodes
    photo = _photo(tree, image, user, places)
    for output in [node for node in tree.nodes if node.type == "OUTPUT_WORLD"]:
        surface = output.inputs["Surface"]
        mix = _node(tree, "ShaderNodeMixShader", "Mix")
        if surface.is_linked:
            tree.links.new(surface.links[0].from_socket, mix.inputs[1])
        tree.links.new(_factor(tree, photo), mix.inputs[0])
        light = _node(tree, "ShaderNodeBackground", "Light")
        tree.links.new(photo.outputs["Color"], light.inputs["Color"])
        tree.links.new(light.outputs[0], mix.inputs[2])
        tree.links.new(mix.outputs[0], surface)


def _uses_nodes(world: bpy.types.World) -> bool:
    """From Blender 5.0 on, all worlds do."""
    return world.node_tree is not None and (bpy.app.version >= (5, 0) or world.use_nodes)


def _photo(
    tree: bpy.types.NodeTree, image: bpy.types.Image, user: bpy.types.ImageUser | None, places: tuple[dict, dict]
) -> bpy.types.Node:
    """The node that shows the picture where it lies in the frame."""
    first, second = places
    frame = _node(tree, "ShaderNodeTexCoord", "Frame").outputs["Window"]
    for name, kind, values in (("Ray", "POINT", first), ("Place", "TEXTURE", second)):
        mapping = _node(tree, "ShaderNodeMapping", name)
        mapping.vector_type = kind
        mapping.inputs["Location"].default_value[:2] = values["location"]
        mapping.inputs["Rotation"].default_value[2] = values.get("rotation", 0.0)
        mapping.inputs["Scale"].default_value[:2] = values["scale"]
        tree.links.new(frame, mapping.inputs["Vector"])
        frame = mapping.outputs["Vector"]
    photo = _node(tree, "ShaderNodeTexImage", "Picture")
    # At the frame's very edge rays pass beside a picture that fills it.
    photo.image, photo.extension = image, "EXTEND" if _fills_frame(*places) else "CLIP"
    if user and image.source in {"MOVIE", "SEQUENCE"}:
        for name in ("frame_duration", "frame_start", "frame_offset", "use_cyclic"):
            setattr(photo.image_user, name, getattr(user, name))
        photo.image_user.use_auto_refresh = True
    elif image.source == "MOVIE":
        photo.image_user.frame_duration = image.frame_duration
        photo.image_user.use_auto_refresh = True
    tree.links.new(frame, photo.inputs["Vector"])
    return photo


def _fills_frame(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether the picture ends where the frame ends, or beyond."""
    corners = np.array([[0.0, 0.0], [1, 0], [0, 1], [1, 1]])
    rays = first["location"] + np.multiply(corners, first["scale"]) - second["location"]
    c, s = math.cos(second["rotation"]), math.sin(second["rotation"])
    places = rays @ np.array([[c, -s], [s, c]]) / second["scale"]
    return bool(np.all((places > -EDGE) & (places < 1 + EDGE)))


def _factor(tree: bpy.types.NodeTree, photo: bpy.types.Node) -> bpy.types.NodeSocket:
    """1 for the camera's own rays where the picture is, else 0."""
    both = _node(tree, "ShaderNodeMath", "Seen")
    both.operation = "MULTIPLY"
    tree.links.new(_node(tree, "ShaderNodeLightPath", "Camera").outputs["Is Camera Ray"], both.inputs[0])
    tree.links.new(photo.outputs["Alpha"], both.inputs[1])
    return both.outputs[0]


def _remove_nodes(world: bpy.types.World) -> None:
    tree = world.node_tree
    for mix in [node for node in tree.nodes if node.name.startswith(f"{PREFIX} Mix")]:
        for link in list(mix.outputs[0].links):
            if mix.inputs[1].is_linked:
                tree.links.new(mix.inputs[1].links[0].from_socket, link.to_socket)
    for node in [node for node in tree.nodes if node.name.startswith(PREFIX)]:
        tree.nodes.remove(node)


def _node(tree: bpy.types.NodeTree, kind: str, name: str) -> bpy.types.Node:
    node = tree.nodes.new(kind)
    node.name = node.label = f"{PREFIX} {name}"
    node.hide = True
    return node
