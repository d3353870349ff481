# SPDX-License-Identifier: GPL-3.0-or-later
"""From the button's operator to bodies in the scene, with an engine that answers as it should."""

import json

import bpy
import numpy as np
import pytest
from blender_helpers import evaluated_vertices

from refit_blender import api, engine
from refit_blender.properties_boxes import set_boxes
from refit_blender.reconstruction import Options, PhotoJob
from refit_blender.results import JOINT_NAMES
from refit_blender.scene import body as bodies
from refit_blender.scene import cameras, sources
from refit_blender.scene.rigs import bone_names

LEVEL = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])


def reconstruct(photo, **settings):
    scene = bpy.context.scene
    scene.refit.image_path = str(photo)
    for name, value in settings.items():
        setattr(scene.refit, name, value)
    assert bpy.ops.refit.reconstruct() == {"FINISHED"}
    return [found for found in scene.objects if bodies.is_rig(found)]


def request(fake):
    return json.loads((fake.folder / "request.json").read_text())


@pytest.mark.parametrize("correctives", [False, True])
@pytest.mark.parametrize("regressor", [False, True])
def test_posed_mesh_equals_the_bodys_own_formula(photo, install_fake, correctives, regressor):
    fake = install_fake(correctives=correctives, regressor=regressor, people=2)
    rigs = reconstruct(photo)
    assert len(rigs) == 2
    place = np.array(bpy.context.scene.camera.matrix_world)[:3, 3]
    for index, rig in enumerate(sorted(rigs, key=lambda rig: rig.name)):
        expected = fake.result["vertices_cam"][index] @ LEVEL.T + place
        np.testing.assert_allclose(evaluated_vertices(bodies.body_mesh(rig)), expected, atol=2e-5)


def test_camera_looks_level_and_the_body_stands_on_the_floor(photo, install_fake):
    fake = install_fake()
    (rig,) = reconstruct(photo)
    scene = bpy.context.scene
    R, _ = cameras.extrinsics(np.array(scene.camera.matrix_world))
    np.testing.assert_allclose(R, LEVEL.T, atol=1e-6)
    assert evaluated_vertices(bodies.body_mesh(rig))[:, 2].min() == pytest.approx(0, abs=1e-5)
    assert (scene.render.resolution_x, scene.render.resolution_y) == (640, 480)
    K = cameras.intrinsics(cameras.lens_of(scene.camera, scene), cameras.frame_of(scene))
    np.testing.assert_allclose(K, fake.result["K"], atol=1e-3)


def test_photo_is_behind_the_matching_camera(photo, install_fake):
    install_fake()
    reconstruct(photo)
    data = bpy.context.scene.camera.data
    assert data.show_background_images
    assert [bpy.path.abspath(background.image.filepath) for background in data.background_images] == [str(photo)]


def test_smpls_rig_has_its_bones_with_identity_axes(photo, install_fake):
    fake = install_fake()
    (rig,) = reconstruct(photo, rig="SMPL")
    assert {bone.name for bone in rig.data.bones} == set(JOINT_NAMES)
    for bone in rig.data.bones:
        np.testing.assert_allclose(np.array(bone.matrix_local)[:3, :3], np.eye(3), atol=1e-6)
    assert rig.data.bones["left_wrist"].parent.name == "left_elbow"
    np.testing.assert_allclose(rig.rotation_euler, [np.pi / 2, 0, 0], atol=1e-6)
    assert rig["refit_betas"][:] == pytest.approx(fake.result["betas"][0])
    assert rig["refit_rotmats"][:] == pytest.approx(fake.result["rotmats"][0].ravel())
    assert rig["refit_image"] == str(photo)


def test_mesh_has_shape_sliders_uvs_and_material(photo, install_fake):
    fake = install_fake()
    (rig,) = reconstruct(photo)
    mesh = bodies.body_mesh(rig)
    keys = mesh.data.shape_keys.key_blocks
    np.testing.assert_allclose(
        [keys[f"shape_{index}"].value for index in range(10)], fake.result["betas"][0], atol=1e-6
    )
    assert (keys["shape_0"].slider_min, keys["shape_0"].slider_max) == (-5, 5)
    uv = np.empty(len(mesh.data.loops) * 2, dtype=np.float32)
    mesh.data.uv_layers[0].uv.foreach_get("vector", uv)
    np.testing.assert_allclose(uv.reshape(-1, 2), fake.body["uv"][fake.body["uv_faces"].ravel()])
    assert mesh.data.materials[0].name == bodies.MATERIAL_NAME
    assert not mesh.data.validate()


def test_second_run_adds_a_body_and_keeps_the_first_where_new_ones_are_wanted(photo, install_fake, preferences):
    fake = install_fake()
    preferences.next_press = "NEW"
    (first,) = reconstruct(photo)
    before = evaluated_vertices(bodies.body_mesh(first))
    assert len(reconstruct(photo)) == 2
    np.testing.assert_array_equal(evaluated_vertices(bodies.body_mesh(first)), before)
    assert len([name for name in bpy.data.collections.keys() if name.startswith("ReFit a photo")]) == 2
    assert fake.starts == 1  # the engine stays


def test_settings_reach_the_engine(photo, install_fake):
    fake = install_fake()
    bpy.context.scene.refit.image_path = str(photo)
    set_boxes(bpy.context.scene.refit, [(1, 2, 30, 40), (50, 60, 70, 80)])
    reconstruct(photo, people="BOX", focal_mode="MANUAL", focal_mm=36.0, iterations=7, device="CPU")
    asked = request(fake)
    (image,) = asked["images"]
    boxes = [[1, 2, 30, 40], [50, 60, 70, 80]]
    assert (image["image"], image["bboxes_xywh"], image["K"]) == (str(photo), boxes, None)
    assert (image["focal"], image["focal_mm"]) == (None, 36.0)
    assert (asked["iterations"], asked["device"], asked["people"], asked["body"]) == (7, "cpu", "all", None)


def test_fixed_shape_is_the_one_that_the_sliders_show(photo, install_fake):
    fake = install_fake()
    (rig,) = reconstruct(photo)
    bodies.body_mesh(rig).data.shape_keys.key_blocks["shape_3"].value = 2.5
    reconstruct(photo, fixed_shape=rig)
    betas = fake.result["betas"][0].copy()
    betas[3] = 2.5
    np.testing.assert_allclose(request(fake)["betas"], betas, atol=1e-6)


def test_joints_follow_a_changed_shape(photo, install_fake):
    fake = install_fake()
    (rig,) = reconstruct(photo)
    keys = bodies.body_mesh(rig).data.shape_keys.key_blocks
    betas = np.linspace(-2, 2, 10)
    for index in range(10):
        keys[f"shape_{index}"].value = betas[index]
    assert bpy.ops.refit.joints_to_shape() == {"FINISHED"}
    joints = fake.body["joint_template"] + fake.body["joint_shapedirs"] @ betas
    heads = np.array([rig.data.bones[name].head_local for name in bone_names(rig)])
    np.testing.assert_allclose(heads - heads[0], (joints - joints[0])[:, [0, 2, 1]] * [1, -1, 1], atol=1e-5)


def test_correctives_can_be_switched_off_and_on(photo, install_fake):
    install_fake(correctives=True)
    (rig,) = reconstruct(photo)
    mesh = bodies.body_mesh(rig)
    corrected = evaluated_vertices(mesh)
    bpy.ops.refit.toggle_correctives()
    plain = evaluated_vertices(mesh)
    assert np.abs(plain - corrected).max() > 1e-3
    bpy.ops.refit.toggle_correctives()
    np.testing.assert_allclose(evaluated_vertices(mesh), corrected, atol=1e-6)


def test_body_goes_into_the_world_of_the_scenes_camera(photo, install_fake):
    fake = install_fake()
    scene = bpy.context.scene
    camera = bpy.data.objects.new("cam", bpy.data.cameras.new("cam"))
    scene.collection.objects.link(camera)
    camera.location, camera.rotation_euler, camera.scale = (3, -5, 2), (1.2, 0.1, 0.7), (2, 2, 2)
    scene.camera = camera
    background = camera.data.background_images.new()
    background.image = bpy.data.images.load(str(photo))
    bpy.context.view_layer.update()
    (rig,) = reconstruct(photo, source="CAMERA")
    R, t = cameras.extrinsics(np.array(camera.matrix_world))
    expected = (fake.result["vertices_cam"][0] - t) @ R
    np.testing.assert_allclose(evaluated_vertices(bodies.body_mesh(rig)), expected, atol=5e-5)
    assert scene.camera == camera and len(bpy.data.cameras) == 1
    assert (scene.render.resolution_x, scene.render.resolution_y) == (1920, 1080)
    assert rig["refit_camera"] == camera
    sent = np.array(request(fake)["images"][0]["K"])
    assert sent.shape == (3, 3)
    np.testing.assert_allclose(request(fake)["images"][0]["up"], R @ [0, 0, 1], atol=1e-6)


def test_image_empty_is_a_source(photo, install_fake):
    fake = install_fake()
    empty = bpy.data.objects.new("reference", None)
    empty.empty_display_type = "IMAGE"
    empty.data = bpy.data.images.load(str(photo))
    bpy.context.scene.collection.objects.link(empty)
    bpy.context.view_layer.objects.active = empty
    reconstruct("", source="EMPTY")
    assert request(fake)["images"][0]["image"] == str(photo)
    assert "ReFit reference" in bpy.data.collections


def test_edit_mode_is_left_for_the_result(photo, install_fake):
    install_fake()
    mesh = bpy.data.objects.new("mine", bpy.data.meshes.new("mine"))
    bpy.context.scene.collection.objects.link(mesh)
    bpy.context.view_layer.objects.active = mesh
    bpy.ops.object.mode_set(mode="EDIT")
    assert len(reconstruct(photo)) == 1
    assert bpy.context.mode == "OBJECT"


def test_script_gets_objects_and_files(photo, install_fake, tmp_path):
    install_fake()
    seen = []
    finished = api.reconstruct(photo, keep=tmp_path / "kept", on_progress=seen.append)
    assert bodies.is_rig(finished.outcome.bodies[0].rig)
    assert (tmp_path / "kept" / "result.npz").exists() and (tmp_path / "kept" / "overlay.png").exists()
    assert seen[-1].total == 3
    assert "click to body" in finished.seconds
    assert not finished.npz.exists()  # the job's folder is gone
    assert api.engine_info().device_name == "Fake processor"


def test_look_through_makes_the_bodys_camera_active(photo, install_fake):
    install_fake()
    (rig,) = reconstruct(photo)
    bpy.context.scene.camera = None
    assert bpy.ops.refit.look_through() == {"FINISHED"}
    assert bpy.context.scene.camera == rig["refit_camera"]


def test_engine_can_be_started_ahead(install_fake):
    install_fake()
    assert engine.running_info() is None
    assert bpy.ops.refit.start_engine() == {"FINISHED"}
    assert engine.running_info().device_name == "Fake processor"
    assert not bpy.ops.refit.start_engine.poll()


def test_camera_deleted_while_the_job_ran_is_made_again(photo, install_fake, tmp_path):
    fake = install_fake()
    camera = bpy.data.objects.new("cam", bpy.data.cameras.new("cam"))
    bpy.context.scene.collection.objects.link(camera)
    bpy.context.scene.camera = camera
    camera.location = (1, 2, 3)
    camera.data.background_images.new().image = bpy.data.images.load(str(photo))
    source = sources.camera_source(bpy.context.scene, bpy.context.evaluated_depsgraph_get(), tmp_path)
    job = PhotoJob(source, Options(), tmp_path)
    bpy.data.objects.remove(camera)
    job.wait()
    made = job.finish(bpy.context).outcome
    bpy.context.view_layer.update()
    R, t = cameras.extrinsics(np.array(made.camera.matrix_world))
    np.testing.assert_allclose(-R.T @ t, [1, 2, 3], atol=1e-6)
    expected = (fake.result["vertices_cam"][0] - t) @ R
    np.testing.assert_allclose(evaluated_vertices(made.bodies[0].mesh), expected, atol=5e-5)


def test_shutdown_ends_the_engine(photo, install_fake):
    install_fake()
    reconstruct(photo)
    process = engine.resident()
    engine.shutdown()
    assert not process.alive
