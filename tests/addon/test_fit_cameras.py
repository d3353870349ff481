# SPDX-License-Identifier: GPL-3.0-or-later
"""Several cameras of the scene become one job, and its bodies stand in the scene."""

import bpy
import numpy as np
import pytest
from blender_helpers import evaluated_vertices, scene_state

from refit_blender import api
from refit_blender.errors import SourceError
from refit_blender.panels_cameras import view_note
from refit_blender.scene import body as bodies
from refit_blender.scene import cameras
from refit_blender.session import state

NAMES = ["cam_1", "cam_2", "cam_3", "cam_10"]


@pytest.fixture
def engine_for_cameras(install_fake, four_cameras):
    """An engine with a result for the four cameras, which are the source."""
    fake = install_fake()
    fake.prepare_views(NAMES)
    bpy.context.scene.refit.source = "CAMERAS"
    return fake


def fit() -> list[bpy.types.Object]:
    """Press the button; the rigs that there are then, by name."""
    assert bpy.ops.refit.fit_cameras() == {"FINISHED"}
    return sorted((found for found in bpy.context.scene.objects if bodies.is_rig(found)), key=lambda rig: rig.name)


def refusal() -> str:
    """The sentence with which the button's operator refuses, all of its reasons before it asks the engine."""
    with pytest.raises((RuntimeError, SourceError)) as caught:
        api.fit_cameras()
    return str(caught.value)


def test_panel_tells_what_each_camera_did(engine_for_cameras):
    result = engine_for_cameras.prepare_views(NAMES, left_out=["cam_3"])
    result["reasons"] = np.array([["", "seems turned by 3.0°", "shows somebody else", ""]])
    result["weights"][0, 1] = 0.25
    np.savez(engine_for_cameras.folder / "views.npz", **result)
    (rig,) = fit()
    notes = [view_note(view) for view in rig["refit_views"]]
    assert notes == ["Weight 1.00", "Weight 0.25; seems turned by 3.0°", "Left out: shows somebody else", "Weight 1.00"]


def test_button_without_a_window_blocks(engine_for_cameras):
    assert bpy.ops.refit.fit_cameras("INVOKE_DEFAULT") == {"FINISHED"}


def test_body_stands_in_the_world(engine_for_cameras):
    result = engine_for_cameras.prepare_views(NAMES, people=2)
    rigs = fit()
    assert [rig.name for rig in rigs] == ["cameras person 1", "cameras person 2"]
    for index, rig in enumerate(rigs):
        np.testing.assert_allclose(
            evaluated_vertices(bodies.body_mesh(rig)), result["vertices_world"][index], atol=2e-5
        )


def test_only_the_object_of_smpls_rig_carries_the_turn_to_z_up(engine_for_cameras):
    bpy.context.scene.refit.rig = "SMPL"
    (rig,) = fit()
    np.testing.assert_allclose(rig.rotation_euler, [np.pi / 2, 0, 0], atol=1e-6)
    np.testing.assert_allclose(rig.scale, 1)
    for bone in rig.data.bones:
        np.testing.assert_allclose(np.array(bone.matrix_local)[:3, :3], np.eye(3), atol=1e-6)


def test_exact_parameters_and_what_each_camera_did_are_kept(engine_for_cameras, four_cameras):
    result = engine_for_cameras.prepare_views(NAMES, left_out=["cam_3"])
    (rig,) = fit()
    assert rig["refit_betas"][:] == pytest.approx(result["betas"][0])
    assert rig["refit_rotmats"][:] == pytest.approx(result["rotmats"][0].ravel())
    assert rig["refit_transl"][:] == pytest.approx(result["transl"][0])
    views = rig["refit_views"]
    assert [view["name"] for view in views] == NAMES
    assert [bool(view["used"]) for view in views] == [True, True, False, True]
    assert views[2]["reason"] == "disagrees with the other cameras"
    assert views[2]["reprojection_error_px"] == pytest.approx(31.25)
    assert {view["camera"] for view in views} == set(four_cameras)
    assert "3 cameras" in state.report and state.report.endswith("left out: cam_3")


def test_camera_in_which_the_person_was_not_found_has_no_error(engine_for_cameras):
    result = engine_for_cameras.prepare_views(NAMES, left_out=["cam_2"])
    result["reprojection_errors"][0, 1] = np.nan
    result["boxes_xywh"][0, 1] = np.nan
    np.savez(engine_for_cameras.folder / "views.npz", **result)
    (rig,) = fit()
    assert "reprojection_error_px" not in rig["refit_views"][1]


def test_engine_gets_each_cameras_matrices_and_picture(engine_for_cameras, four_cameras, photo):
    fit()
    asked = engine_for_cameras.request()
    assert [view["name"] for view in asked["views"]] == NAMES
    assert asked["iterations"] == 10
    scene = bpy.context.scene
    for view in asked["views"]:
        camera = scene.objects[view["name"]]
        R, t = cameras.extrinsics(np.array(camera.matrix_world))
        np.testing.assert_allclose(view["R_world2cam"], R, atol=1e-6)
        np.testing.assert_allclose(view["t_world2cam"], t, atol=1e-6)
        assert np.array(view["K"]).shape == (3, 3)
        assert (view["image"], view["distortion"], view["bboxes_xywh"]) == (str(photo), None, None)


def test_cameras_without_a_picture_and_those_of_single_photos_are_not_among_all(
    engine_for_cameras, four_cameras, photo
):
    bare = bpy.data.objects.new("bare", bpy.data.cameras.new("bare"))
    bpy.context.scene.collection.objects.link(bare)
    bpy.context.scene.refit.source = "FILE"
    bpy.context.scene.refit.image_path = str(photo)
    assert bpy.ops.refit.reconstruct() == {"FINISHED"}
    bpy.context.scene.refit.source = "CAMERAS"
    fit()
    assert [view["name"] for view in engine_for_cameras.request()["views"]] == NAMES


def test_only_the_selected_cameras(engine_for_cameras, four_cameras):
    engine_for_cameras.prepare_views(["cam_2", "cam_10"])
    for camera in four_cameras[:2]:
        camera.select_set(True)
    bpy.context.scene.refit.cameras_from = "SELECTED"
    fit()
    assert [view["name"] for view in engine_for_cameras.request()["views"]] == ["cam_2", "cam_10"]


def test_cameras_of_a_collection_and_its_children(engine_for_cameras, four_cameras):
    rig, inner = bpy.data.collections.new("rig"), bpy.data.collections.new("inner")
    bpy.context.scene.collection.children.link(rig)
    rig.children.link(inner)
    rig.objects.link(four_cameras[0])
    inner.objects.link(four_cameras[2])
    engine_for_cameras.prepare_views(["cam_1", "cam_10"])
    settings = bpy.context.scene.refit
    settings.cameras_from, settings.camera_collection = "COLLECTION", rig
    (body,) = fit()
    assert [view["name"] for view in engine_for_cameras.request()["views"]] == ["cam_1", "cam_10"]
    assert body.name == "rig person 1" and "ReFit rig" in bpy.data.collections


def test_one_camera_is_not_enough(engine_for_cameras, four_cameras):
    for camera in four_cameras[1:]:
        bpy.data.objects.remove(camera)
    assert not bpy.ops.refit.fit_cameras.poll()
    assert refusal() == (
        "2 cameras or more are needed, each with its picture as background image: there is one, “cam_10”."
    )


def test_camera_without_a_picture_is_named(engine_for_cameras, four_cameras):
    four_cameras[1].data.background_images.clear()
    with pytest.raises(SourceError, match="Camera “cam_2” has no background image"):
        api.fit_cameras(["cam_1", "cam_2"])
    four_cameras[0].select_set(True)
    four_cameras[1].select_set(True)
    bpy.context.scene.refit.cameras_from = "SELECTED"
    with pytest.raises(RuntimeError, match="Camera “cam_2” has no background image"):
        bpy.ops.refit.fit_cameras()


@pytest.mark.parametrize("kind", ["ORTHO", "PANO"])
def test_camera_that_is_no_pinhole_is_named(engine_for_cameras, four_cameras, kind):
    four_cameras[3].data.type = kind
    assert "“cam_3”" in refusal() and "a perspective camera is needed" in refusal()
    assert not bpy.ops.refit.fit_cameras.poll()


def test_cameras_that_are_only_instances_are_refused(engine_for_cameras, four_cameras):
    """A collection instance shows them elsewhere than where its objects are."""
    rig = bpy.data.collections.new("rig")
    for camera in four_cameras:
        bpy.context.scene.collection.objects.unlink(camera)
        rig.objects.link(camera)
    empty = bpy.data.objects.new("set", None)
    empty.instance_type, empty.instance_collection, empty.location = "COLLECTION", rig, (5, 0, 0)
    bpy.context.scene.collection.objects.link(empty)
    bpy.context.view_layer.update()
    with pytest.raises(SourceError, match="“cam_1” is not in the scene itself.*Make Instances Real"):
        api.fit_cameras(collection="rig")
    bpy.context.scene.collection.children.link(rig)
    assert api.fit_cameras(collection="rig").outcome.bodies


def test_region_render_is_refused(engine_for_cameras):
    bpy.context.scene.render.use_border = True
    assert "Render Region" in refusal() and "“cam_1”" in refusal()


def test_camera_that_blender_does_not_move_is_named(engine_for_cameras, four_cameras):
    four_cameras[1].hide_viewport = True
    assert "“cam_2” is switched off" in refusal()


@pytest.mark.parametrize(("scale", "word"), [((1, 3, 1), "sheared"), ((1, 1, -1), "mirrored")])
def test_camera_that_its_parents_bend_is_named(engine_for_cameras, four_cameras, scale, word):
    parent = bpy.data.objects.new("parent", None)
    bpy.context.scene.collection.objects.link(parent)
    four_cameras[0].parent = parent
    parent.scale = scale
    assert f"“cam_10” is {word}" in refusal()


def test_uniform_scale_of_parents_does_not_count(engine_for_cameras, four_cameras):
    parent = bpy.data.objects.new("parent", None)
    bpy.context.scene.collection.objects.link(parent)
    for camera in four_cameras:
        camera.parent = parent
    parent.scale, parent.location = (2, 2, 2), (1, 2, 3)
    fit()
    first = engine_for_cameras.request()["views"][0]
    R, t = np.array(first["R_world2cam"]), np.array(first["t_world2cam"])
    np.testing.assert_allclose(np.linalg.det(R), 1, atol=1e-6)
    camera = bpy.context.scene.objects["cam_1"]
    np.testing.assert_allclose(-R.T @ t, 2 * np.array(camera.location) + [1, 2, 3], atol=1e-5)


def test_units_of_the_scene_count(engine_for_cameras, four_cameras):
    result = engine_for_cameras.prepare_views(NAMES)
    bpy.context.scene.unit_settings.scale_length = 0.01
    (rig,) = fit()
    first = engine_for_cameras.request()["views"][0]
    centre = -np.array(first["R_world2cam"]).T @ np.array(first["t_world2cam"])
    np.testing.assert_allclose(centre, np.array(bpy.context.scene.objects["cam_1"].location) / 100, atol=1e-6)
    vertices = evaluated_vertices(bodies.body_mesh(rig))
    np.testing.assert_allclose(vertices, 100 * result["vertices_world"][0], atol=2e-3)


@pytest.mark.parametrize(
    "behaviour", ["crash", "garbage", "damaged_result", "fail:NoPersonFound:Nobody was found in any view."]
)
def test_failure_leaves_the_scene_as_it_was(engine_for_cameras, behaviour):
    (engine_for_cameras.folder / "behaviour").write_text(behaviour)
    before = scene_state()
    with pytest.raises(RuntimeError):
        bpy.ops.refit.fit_cameras()
    assert state.error and scene_state() == before
    (engine_for_cameras.folder / "behaviour").write_text("good")
    assert len(fit()) == 1


def test_answer_about_other_cameras_is_refused(engine_for_cameras):
    engine_for_cameras.prepare_views(["somebody's", "else's"])
    before = scene_state()
    with pytest.raises(RuntimeError, match="not about these cameras"):
        bpy.ops.refit.fit_cameras()
    assert scene_state() == before


def test_failure_while_building_leaves_nothing_behind(engine_for_cameras, monkeypatch):
    engine_for_cameras.prepare_views(NAMES, people=2)
    before = scene_state()
    built = bodies._add_shape_keys

    def fail_at_the_second(mesh, *rest):
        if "person 2" in mesh.name:
            raise SourceError("The mesh is in a bad mood.")
        built(mesh, *rest)

    monkeypatch.setattr(bodies, "_add_shape_keys", fail_at_the_second)
    with pytest.raises(RuntimeError, match="bad mood"):
        bpy.ops.refit.fit_cameras()
    assert scene_state() == before


def test_known_shape_is_kept(engine_for_cameras):
    (first,) = fit()
    bpy.context.scene.refit.fixed_shape = first
    fit()
    np.testing.assert_allclose(engine_for_cameras.request()["betas"], first["refit_betas"][:], atol=1e-6)


def test_shape_of_another_body_model_is_refused(engine_for_cameras):
    (first,) = fit()
    first["refit_body_kind"] = "smpl"
    bpy.context.scene.refit.fixed_shape = first
    with pytest.raises(
        RuntimeError, match="“cameras person 1” is an SMPL body: its shape means nothing to the neutral bundled body"
    ):
        bpy.ops.refit.fit_cameras()


def test_shape_of_another_sex_is_refused(engine_for_cameras):
    (first,) = fit()
    first["refit_body_kind"] = "bundled_male"
    bpy.context.scene.refit.fixed_shape = first
    with pytest.raises(RuntimeError, match="is the male bundled body: its shape means nothing to the neutral bundled"):
        bpy.ops.refit.fit_cameras()
    bpy.context.scene.refit.gender = "MALE"
    fit()
    asked = engine_for_cameras.request()
    assert asked["gender"] == "male" and asked["body"] is None
    np.testing.assert_allclose(asked["betas"], first["refit_betas"][:], atol=1e-6)


def test_box_is_refused(engine_for_cameras):
    bpy.context.scene.refit.people = "BOX"
    with pytest.raises(RuntimeError, match="A box belongs to one picture"):
        bpy.ops.refit.fit_cameras()


def test_look_through_one_of_the_cameras(engine_for_cameras):
    (rig,) = fit()
    bpy.context.view_layer.objects.active = rig
    assert bpy.ops.refit.look_through(view=2) == {"FINISHED"}
    assert bpy.context.scene.camera.name == "cam_3"


def test_deleted_camera_stays_in_the_list_only(engine_for_cameras, four_cameras):
    (rig,) = fit()
    bpy.data.objects.remove(bpy.context.scene.objects["cam_3"])
    assert rig["refit_views"][2]["name"] == "cam_3"
    with pytest.raises(RuntimeError, match="no longer in the scene"):
        bpy.ops.refit.look_through(view=2)


def test_script_gets_bodies_and_files(engine_for_cameras, tmp_path):
    shown = []
    names = ["cam_10", "cam_2", "cam_1", "cam_3"]
    finished = api.fit_cameras(names, keep=tmp_path / "kept", on_progress=shown.append)
    assert bodies.is_rig(finished.outcome.bodies[0].rig)
    assert {progress.things for progress in shown} == {4}
    kept = {path.name for path in (tmp_path / "kept").iterdir()}
    assert kept == {"result.npz", *(f"overlay_{name}.png" for name in NAMES)}
    with pytest.raises(SourceError, match="The scene has no camera “cam_9”"):
        api.fit_cameras(["cam_9", "cam_1"])
    with pytest.raises(SourceError, match="There is no collection “rig”"):
        api.fit_cameras(collection="rig")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("rotation_euler", (float("nan"), 0, 0), "is nowhere"),
        ("location", (float("inf"), 0, 0), "is nowhere"),
        ("scale", (0, 0, 0), "is scaled to nothing"),
    ],
)
def test_camera_that_is_nowhere_is_named(engine_for_cameras, four_cameras, name, value, words):
    setattr(four_cameras[0], name, value)
    bpy.context.view_layer.update()
    assert f"“cam_10” {words}" in refusal()
