# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenes and bodies that are linked from another file: one sentence, nothing changes; reading and exporting goes on."""

from pathlib import Path

import bpy
import numpy as np
import pytest
from blender_helpers import scene_state

from refit_blender import api
from refit_blender.errors import SourceError
from refit_blender.scene import body as bodies
from refit_blender.scene import reconstructions, upright

SCENE = "Scene “Scene” is linked from another file: open that file, or choose a scene of this one"
BODY = "“a photo” is linked from another file: make it local first"
BOX = {"name": "", "left": 10, "top": 20, "width": 60, "height": 120}
IN_SCENE = {
    "reconstruct": {},
    "reconstruct_motion": {},
    "reconstruct_folder": {"directory": "/"},
    "fit_cameras": {},
    "fit_motion_cameras": {},
    "fit_shape": {},
    "shape_from_bodies": {},
    "add_person": {"reconstruction": "ReFit a photo", "boxes": [BOX]},
    "draw_person": {},
    "draw_boxes": {},
    "add_box": {},
    "remove_box": {},
    "feature_maps": {},
    "import_motion": {"filepath": "motion.npz"},
    "import_calibration": {"filepath": "rig.toml"},
    "photo_in_renders": {},
    "shadow_catcher": {},
    "hide_before": {},
    "look_through": {},
    "find_bones": {},
}


@pytest.fixture
def library(photo, install_fake, tmp_path) -> Path:
    """A file with the body of a photo; Blender holds an empty one afterwards."""
    install_fake(correctives=True)
    api.reconstruct(photo)
    path = tmp_path / "library.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    bpy.ops.wm.read_homefile(use_empty=True)
    return path


@pytest.fixture
def linked_scene(library) -> bpy.types.Scene:
    """The file's scene, linked, in the window, with its body active."""
    with bpy.data.libraries.load(str(library), link=True) as (_, wanted):
        wanted.scenes = ["Scene"]
    (scene,) = wanted.scenes
    bpy.context.window.scene = scene
    _choose(next(item for item in scene.objects if bodies.is_rig(item)))
    return scene


@pytest.fixture
def linked_rig(library) -> bpy.types.Object:
    """The file's body, linked into a scene of this file, and active."""
    collection = _link(library)
    rig = next(item for item in collection.objects if bodies.is_rig(item))
    bpy.context.scene.camera = next(item for item in collection.objects if item.type == "CAMERA")
    _choose(rig)
    return rig


@pytest.fixture
def overridden_rig(library) -> bpy.types.Object:
    """A library override of the file's body, active."""
    scene, linked = bpy.context.scene, _link(library)
    own = linked.override_hierarchy_create(scene, bpy.context.view_layer, do_fully_editable=True)
    scene.collection.children.unlink(linked)
    rig = next(item for item in own.objects if bodies.is_rig(item))
    _choose(rig)
    return rig


def _link(library: Path) -> bpy.types.Collection:
    with bpy.data.libraries.load(str(library), link=True) as (_, wanted):
        wanted.collections = ["ReFit a photo"]
    bpy.context.scene.collection.children.link(wanted.collections[0])
    return wanted.collections[0]


def _choose(rig: bpy.types.Object) -> None:
    bpy.context.view_layer.objects.active = rig
    rig.select_set(True)


def everything() -> dict[str, object]:
    """What must not change, linked or not."""
    bpy.context.view_layer.update()
    scenes = [(one.name, sorted(one.get("refit_before_bodies", ())), one.world) for one in bpy.data.scenes]
    items = [
        (item.name, item.hide_render, item.mode, [round(number, 5) for row in item.matrix_world for number in row])
        for item in bpy.data.objects
    ]
    bones = [(one.name, [tuple(bone.head_local) for bone in one.bones]) for one in bpy.data.armatures]
    keys = [(key.name, key.value, key.mute) for block in bpy.data.shape_keys for key in block.key_blocks]
    poses = [_pose(item) for item in bpy.data.objects if item.pose]
    return {**scene_state(), "scenes": scenes, "items": items, "bones": bones, "keys": keys, "poses": poses}


def _pose(rig: bpy.types.Object) -> list[tuple[float, ...]]:
    return [tuple(bone.matrix_basis.to_quaternion()) for bone in rig.pose.bones]


@pytest.mark.parametrize("operator", IN_SCENE)
def test_no_operator_changes_a_linked_scene(linked_scene, operator):
    before = everything()
    with pytest.raises(RuntimeError, match=SCENE):
        getattr(bpy.ops.refit, operator)(**IN_SCENE[operator])
    assert everything() == before


@pytest.mark.parametrize(
    "call",
    [
        lambda photo: api.reconstruct(photo),
        lambda photo: api.reconstruct(photo, update=True),
        lambda photo: api.reconstruct_from_camera(),
        lambda photo: api.reconstruct_motion(photo),
        lambda photo: api.reconstruct_folder(photo.parent),
        lambda photo: api.fit_cameras(),
        lambda photo: api.fit_motion_from_cameras(),
        lambda photo: api.fit_shape([photo]),
        lambda photo: api.import_motion(photo),
        lambda photo: api.import_calibration(photo),
    ],
)
def test_no_function_changes_a_linked_scene(linked_scene, photo, call):
    before = everything()
    with pytest.raises(SourceError, match=SCENE):
        call(photo)
    assert everything() == before


def test_a_linked_scene_that_is_made_local_takes_bodies(linked_scene, photo):
    scene = linked_scene.make_local()
    made = api.reconstruct(photo).outcome
    assert made.collection in scene.collection.children_recursive
    assert made.collection.library is None


@pytest.mark.parametrize("operator", ["joints_to_shape", "toggle_correctives", "add_ik", "convert_rig"])
@pytest.mark.parametrize("source", ["linked_rig", "overridden_rig"])
def test_bodies_of_another_file_stay_as_they_are(source, operator, request):
    request.getfixturevalue(source)
    before = everything()
    with pytest.raises(RuntimeError, match="is linked from another file: make it local first"):
        getattr(bpy.ops.refit, operator)()
    assert everything() == before


@pytest.mark.parametrize("source", ["linked_rig", "overridden_rig"])
def test_bones_of_another_file_are_not_coloured(source, request):
    request.getfixturevalue(source)
    with pytest.raises(RuntimeError, match=BODY):
        bpy.ops.refit.confidence_colors()


@pytest.mark.parametrize("source", ["linked_rig", "overridden_rig"])
def test_a_camera_of_another_file_is_not_turned(source, request):
    known = reconstructions.of(request.getfixturevalue(source))
    before = everything()
    assert "is linked from another file: make it local first" in upright.obstacle(known)
    known.collection.refit.pitch += 0.1
    assert everything() == before


def test_an_update_makes_new_bodies_beside_linked_ones(linked_rig, photo):
    before = _pose(linked_rig)
    made = api.reconstruct(photo, update=True).outcome.bodies[0]
    assert made.rig != linked_rig
    assert made.mesh.data.materials[0].library is None
    assert _pose(linked_rig) == before


def test_controls_are_drawn_by_outlines_of_this_file(library, photo):
    bpy.ops.wm.open_mainfile(filepath=str(library))
    _choose(bpy.data.objects["a photo"])
    bpy.ops.refit.add_ik()
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.read_homefile(use_empty=True)
    linked = next(item for item in _link(library).objects if bodies.is_rig(item))
    rig = api.reconstruct(photo).outcome.bodies[0].rig
    bpy.ops.refit.add_ik()
    assert rig.pose.bones["hand_ik.L"].custom_shape.library is None
    bpy.ops.refit.remove_ik()
    assert linked.pose.bones["hand_ik.L"].custom_shape.library is not None


def test_an_update_of_an_override_is_refused(overridden_rig, photo):
    before = everything()
    with pytest.raises(SourceError, match=BODY):
        api.reconstruct(photo, update=True)
    assert everything() == before


def test_an_update_of_a_body_with_a_linked_action_is_refused(linked_rig, photo):
    made = api.reconstruct(photo).outcome.bodies[0]
    made.rig.animation_data.action = linked_rig.animation_data.action
    before = everything()
    with pytest.raises(SourceError, match="The action of “a photo” is linked from another file: make it local first"):
        api.reconstruct(photo, update=True)
    assert everything() == before


@pytest.mark.parametrize("suffix", [".glb", ".fbx", ".bvh", ".npz", ".usdc"])
def test_linked_bodies_are_exported(linked_rig, tmp_path, suffix):
    before = everything()
    bpy.ops.refit.export_body(filepath=str(tmp_path / f"body{suffix}"))
    assert (tmp_path / f"body{suffix}").stat().st_size > 1000
    assert everything() == before


def test_a_pose_of_a_linked_body_becomes_an_asset_of_this_file(linked_rig):
    bpy.ops.refit.pose_asset()
    assert [action.library for action in bpy.data.actions if action.asset_data] == [None]


def test_a_linked_bodys_pose_goes_onto_a_rig_of_this_file(linked_rig, photo):
    target = api.reconstruct(photo).outcome.bodies[0].rig
    target.name, target.animation_data.action = "mine", None
    for bone in target.pose.bones:
        bone.rotation_quaternion = (1.0, 0.0, 0.0, 0.0)
    assert api.retarget(linked_rig.name, "mine", pose_only=True).target == target
    bpy.context.view_layer.update()
    turns = [
        [np.array(rig.pose.bones[name].matrix_basis) for name in ("shin.L", "hand.R")] for rig in (linked_rig, target)
    ]
    np.testing.assert_allclose(turns[0], turns[1], atol=1e-3)


def test_nothing_goes_onto_a_linked_rig(linked_rig, photo):
    made = api.reconstruct(photo).outcome.bodies[0].rig
    made.name = "mine"
    before = everything()
    with pytest.raises(SourceError, match="“a photo” is linked from another file: make a library override of it first"):
        api.retarget("mine", linked_rig.name)
    assert everything() == before


def test_the_shadow_catcher_of_a_linked_body_is_in_the_scene(linked_rig):
    bpy.ops.refit.shadow_catcher()
    (plane,) = (item for item in bpy.data.objects if item.get("refit_shadow_catcher"))
    assert plane.users_collection == (bpy.context.scene.collection,)
    bpy.ops.refit.shadow_catcher()
    assert not any(item.get("refit_shadow_catcher") for item in bpy.data.objects)


def test_a_linked_shadow_catcher_is_not_removed(library):
    bpy.ops.wm.open_mainfile(filepath=str(library))
    bpy.ops.refit.shadow_catcher()
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.read_homefile(use_empty=True)
    _link(library)
    before = everything()
    with pytest.raises(RuntimeError, match="“ReFit shadow catcher” is linked from another file"):
        bpy.ops.refit.shadow_catcher()
    assert everything() == before


def test_the_photo_of_a_linked_camera_is_seen_in_renders_unless_the_world_is_linked(linked_rig, library):
    bpy.ops.refit.photo_in_renders()
    world = bpy.context.scene.world
    assert world.library is None
    path = library.with_name("world.blend")
    bpy.data.libraries.write(str(path), {world})
    for name in ("shown", "other"):
        with bpy.data.libraries.load(str(path), link=True) as (_, wanted):
            wanted.worlds = [world.name]
        bpy.context.scene.world = wanted.worlds[0]
        if name == "other":
            del wanted.worlds[0]["refit_photo_kept"]
        before = everything(), len(wanted.worlds[0].node_tree.nodes)
        with pytest.raises(RuntimeError, match=f"“{world.name}” is linked from another file"):
            bpy.ops.refit.photo_in_renders()
        assert (everything(), len(wanted.worlds[0].node_tree.nodes)) == before


def test_something_linked_before_the_bodies_is_not_hidden(photo, install_fake, tmp_path):
    install_fake()
    bpy.ops.mesh.primitive_cube_add(size=0.5)
    path = tmp_path / "cube.blend"
    bpy.data.libraries.write(str(path), {bpy.context.active_object})
    bpy.data.objects.remove(bpy.context.active_object)
    api.reconstruct(photo)
    with bpy.data.libraries.load(str(path), link=True) as (_, wanted):
        wanted.objects = ["Cube"]
    cube, scene = wanted.objects[0], bpy.context.scene
    scene.collection.objects.link(cube)
    scene["refit_before_bodies"] = {"0": cube}
    before = everything(), cube.visible_get()
    with pytest.raises(RuntimeError, match="“Cube” is linked from another file"):
        bpy.ops.refit.hide_before()
    assert (everything(), cube.visible_get()) == before
