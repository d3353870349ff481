# SPDX-License-Identifier: GPL-3.0-or-later
"""A person who was missed is added: same camera, same floor, the others stay as they are."""

import bpy
import numpy as np
import pytest
from blender_helpers import evaluated_vertices, scene_state

from refit_blender import api, cli
from refit_blender.engine_job import Options
from refit_blender.errors import SourceError
from refit_blender.person_addition import PersonAddition
from refit_blender.scene import body as bodies
from refit_blender.scene import cameras, reconstructions
from refit_blender.session import state

BOX = (300, 100, 80, 200)


@pytest.fixture
def reconstructed(photo, install_fake):
    """A body of the photo, and the engine that has another one for the next question."""
    install_fake(people=1)
    outcome = api.reconstruct(photo).outcome
    fake = install_fake(people=2)
    result = {
        name: values[1:] if len(values.shape) and len(values) == 2 else values for name, values in fake.result.items()
    }
    result["image_size"] = fake.result["image_size"]
    np.savez(fake.folder / "result.npz", **result)
    return fake, outcome, result


def stand(camera):
    """camera_to_world [4,4] (OpenCV axes) of a camera."""
    R, t = cameras.extrinsics(np.array(camera.matrix_world))
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = R.T, -R.T @ t
    return matrix


def test_added_person_stands_where_the_camera_sees_it_and_nothing_else_moves(reconstructed):
    _, outcome, result = reconstructed
    first, camera = outcome.bodies[0].rig, outcome.camera
    camera.location.x += 2
    camera.rotation_euler.z += 0.5
    bpy.context.view_layer.update()
    before = evaluated_vertices(bodies.body_mesh(first)), np.array(camera.matrix_world), camera.data.lens
    finished = api.add_person(outcome.collection.name, BOX)
    assert finished.summary().startswith(f"1 body added from {finished.picture} in ")
    made = finished.outcome
    assert (made.collection, made.camera) == (outcome.collection, camera)
    np.testing.assert_array_equal(evaluated_vertices(bodies.body_mesh(first)), before[0])
    np.testing.assert_array_equal(np.array(camera.matrix_world), before[1])
    assert camera.data.lens == before[2]
    assert bpy.context.scene.camera == camera
    matrix = stand(camera)
    expected = result["vertices_cam"][0] @ matrix[:3, :3].T + matrix[:3, 3]
    (added,) = made.bodies
    np.testing.assert_allclose(evaluated_vertices(added.mesh), expected, atol=2e-5)
    known = reconstructions.of(added.rig)
    assert list(known.bodies.values()) == [first, added.rig]
    assert added.rig["refit_focal_source"] == first["refit_focal_source"] == "default"


def test_engine_is_told_the_camera_and_the_box(reconstructed, photo):
    fake, outcome, result = reconstructed
    api.add_person(outcome.bodies[0].rig.name, BOX)
    (asked,) = fake.request()["images"]
    assert (asked["image"], asked["bboxes_xywh"]) == (str(photo), [list(BOX)])
    np.testing.assert_allclose(asked["K"], result["K"], rtol=1e-9)


def test_engine_is_told_the_floor_of_the_others_wherever_they_were_moved(reconstructed):
    fake, outcome, result = reconstructed
    outcome.camera.location.z += 3
    outcome.bodies[0].rig.location.z += 3
    api.add_person(outcome.collection.name, BOX)
    (asked,) = fake.request()["images"]
    lowest = evaluated_vertices(bodies.body_mesh(outcome.bodies[0].rig))[:, 2].min()
    assert asked["camera_height"] == pytest.approx(outcome.camera.location.z - lowest, abs=1e-4)
    np.testing.assert_allclose(asked["up"], result["up_cam"], atol=1e-6)


def test_camera_of_the_scene_says_nothing_about_the_floor(photo, install_fake):
    fake = install_fake()
    scene = bpy.context.scene
    scene.camera = bpy.data.objects.new("cam", bpy.data.cameras.new("cam"))
    scene.collection.objects.link(scene.camera)
    scene.camera.location, scene.camera.rotation_euler = (1, -5, 2), (1.2, 0.1, 0.3)
    scene.camera.data.background_images.new().image = bpy.data.images.load(str(photo))
    outcome = api.reconstruct_from_camera().outcome
    api.add_person(outcome.collection.name, BOX)
    assert "camera_height" not in fake.request()["images"][0]


@pytest.mark.parametrize(("sink", "said"), [(0.0, []), (0.04, []), (0.3, ["0.30 m below"]), (-0.2, ["0.20 m above"])])
def test_distance_from_the_others_floor_is_said(photo, install_fake, sink, said):
    fake = install_fake()
    outcome = api.reconstruct(photo).outcome
    np.savez(
        fake.folder / "result.npz",
        **{**fake.result, "vertices_cam": fake.result["vertices_cam"] + np.float32([0, sink, 0])},
    )
    finished = api.add_person(outcome.collection.name, BOX)
    name = finished.outcome.bodies[0].rig.name
    assert list(finished.messages) == [f"{name} is {text} the floor of the others." for text in said]


def test_another_photos_frame_does_not_change_the_camera(reconstructed, photo):
    """The scene's frame is that of the last photo, and STRETCH backgrounds follow it."""
    fake, outcome, result = reconstructed
    bpy.context.scene.render.resolution_x = 2000
    api.add_person(outcome.camera.name, BOX)
    np.testing.assert_allclose(fake.request()["images"][0]["K"], result["K"], rtol=1e-9)


def test_operator_adds_all_boxes_in_one_step(reconstructed):
    fake, outcome, _ = reconstructed
    boxes = [dict(name="", left=1, top=2, width=30, height=40), dict(name="", left=5, top=6, width=70, height=80)]
    assert bpy.ops.refit.add_person(reconstruction=outcome.collection.name, boxes=boxes) == {"FINISHED"}
    assert fake.request()["images"][0]["bboxes_xywh"] == [[1, 2, 30, 40], [5, 6, 70, 80]]


def test_command_line_adds_to_a_scene(reconstructed, tmp_path):
    _, outcome, _ = reconstructed
    out = tmp_path / "more.blend"
    words = ["add-person", outcome.collection.name, "--bbox", "300,100,80,200", "--out", str(out)]
    assert cli.main(words) == 0
    bpy.ops.wm.open_mainfile(filepath=str(out))
    assert len([item for item in bpy.context.scene.objects if bodies.is_rig(item)]) == 2


def test_camera_of_the_scene_is_used_as_it_stands(photo, install_fake):
    fake = install_fake()
    scene = bpy.context.scene
    camera = bpy.data.objects.new("cam", bpy.data.cameras.new("cam"))
    scene.collection.objects.link(camera)
    scene.camera = camera
    camera.location, camera.rotation_euler = (1, -5, 2), (1.2, 0.1, 0.3)
    camera.data.background_images.new().image = bpy.data.images.load(str(photo))
    outcome = api.reconstruct_from_camera().outcome
    scene.camera = None
    made = api.add_person("cam", BOX).outcome
    assert scene.camera is None
    matrix = stand(camera)
    expected = fake.result["vertices_cam"][0] @ matrix[:3, :3].T + matrix[:3, 3]
    np.testing.assert_allclose(evaluated_vertices(made.bodies[0].mesh), expected, atol=2e-5)
    assert made.collection == outcome.collection


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda outcome: None, "The scene has no reconstruction “nobody”."),
        (lambda outcome: bpy.data.objects.remove(outcome.camera), "The photo's camera was deleted"),
        (lambda outcome: bpy.data.objects.remove(outcome.bodies[0].rig), "The photo's bodies were deleted"),
        (lambda outcome: outcome.camera.data.background_images.clear(), "has no background image"),
    ],
)
def test_what_is_missing_is_named_and_the_scene_stays(reconstructed, spoil, sentence):
    _, outcome, _ = reconstructed
    name = outcome.collection.name
    spoil(outcome)
    before = scene_state()
    with pytest.raises(SourceError, match=sentence):
        api.add_person("nobody" if "nobody" in sentence else name, BOX)
    assert scene_state() == before


def test_failure_of_the_engine_leaves_the_scene_as_it_was(reconstructed):
    fake, outcome, _ = reconstructed
    (fake.folder / "behaviour").write_text("fail:NoPersonFound:Nobody was found in the box.")
    before = scene_state()
    boxes = [dict(name="", left=1, top=2, width=30, height=40)]
    with pytest.raises(RuntimeError):
        bpy.ops.refit.add_person(reconstruction=outcome.collection.name, boxes=boxes)
    assert state.error == "Nobody was found in the box."
    assert scene_state() == before


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda made: bpy.data.collections.remove(made.collection), "The reconstruction was removed while"),
        (lambda made: [bpy.data.objects.remove(one.rig) for one in made.bodies], "bodies were deleted"),
        (lambda made: bpy.data.objects.remove(made.camera), "camera was deleted"),
        (lambda _made: bpy.ops.wm.read_homefile(use_empty=True), "The reconstruction was removed while"),
    ],
)
def test_what_was_deleted_meanwhile_is_named(reconstructed, tmp_path, harm, sentence):
    _, outcome, _ = reconstructed
    job = PersonAddition(bpy.context, reconstructions.of(outcome.camera), [BOX], Options(), tmp_path)
    job.wait()
    harm(outcome)
    before = scene_state()
    with pytest.raises(SourceError, match=sentence):
        job.finish(bpy.context)
    assert scene_state() == before


def test_undo_in_the_middle(reconstructed, tmp_path):
    _, outcome, _ = reconstructed
    name = outcome.collection.name
    bpy.ops.ed.undo_push(message="reconstructed")
    job = PersonAddition(bpy.context, reconstructions.of(outcome.camera), [BOX], Options(), tmp_path)
    bpy.context.scene.render.fps = 30
    bpy.ops.ed.undo_push(message="something else")
    bpy.ops.ed.undo()
    job.wait()
    job.finish(bpy.context)
    (known,) = reconstructions.in_scene(bpy.context.scene)
    assert (known.collection.name, len(known.bodies)) == (name, 2)


def test_nobody_is_added_to_another_file(photo, install_fake, tmp_path):
    install_fake()
    name = api.reconstruct(photo).outcome.collection.name
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "library.blend"))
    bpy.ops.wm.read_homefile(use_empty=True)
    with bpy.data.libraries.load(str(tmp_path / "library.blend"), link=True) as (_, wanted):
        wanted.collections = [name]
    scene = bpy.context.scene
    scene.collection.children.link(wanted.collections[0])
    (linked,) = [item.name for item in wanted.collections[0].objects if bodies.is_rig(item)]
    before = scene_state()
    with pytest.raises(SourceError, match="linked from another file"):
        api.add_person(linked, BOX)
    assert scene_state() == before
    own = wanted.collections[0].override_hierarchy_create(scene, bpy.context.view_layer, do_fully_editable=True)
    scene.collection.children.unlink(wanted.collections[0])
    before = scene_state()
    with pytest.raises(SourceError, match="linked from another file"):
        api.add_person(own.name, BOX)
    assert scene_state() == before
