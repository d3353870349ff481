# SPDX-License-Identifier: GPL-3.0-or-later
"""A person's shape from several pictures or bodies, as a body that other jobs take it from."""

import json

import bpy
import numpy as np
import pytest
from blender_helpers import evaluated_vertices, scene_state

from refit_blender import api
from refit_blender.scene import body as bodies
from refit_blender.session import state

BETAS = np.linspace(-1.5, 1.5, 10)


@pytest.fixture
def engine_for_shapes(install_fake):
    """An engine that finds one shape in everything."""
    fake = install_fake()
    prepare(fake)
    return fake


def prepare(fake, left_out=(), betas=BETAS):
    (fake.folder / "shape.json").write_text(json.dumps({"betas": list(betas), "left_out": list(left_out)}))


def choose(folder, *names):
    return {"directory": str(folder), "files": [{"name": name} for name in names]}


def rest_vertices(fake):
    """The body of the shape as it stands in the world, without a pose, its pelvis above the origin."""
    shaped = fake.body["v_template"] + fake.body["shapedirs"] @ BETAS
    pelvis = (fake.body["joint_template"] + fake.body["joint_shapedirs"] @ BETAS)[0]
    upright = (shaped - pelvis)[:, [0, 2, 1]] * [1, -1, 1]
    return upright - [0, 0, upright[:, 2].min()]


@pytest.mark.parametrize("kind", ["ANIMATION", "SMPL"])
def test_pictures_give_a_body_at_rest_on_the_cursor(engine_for_shapes, tmp_path, kind):
    bpy.context.scene.refit.rig = kind
    bpy.context.scene.cursor.location = (1, 2, 0.5)
    assert bpy.ops.refit.fit_shape(**choose(tmp_path, "a.png", "b.png", "c.png")) == {"FINISHED"}
    rig = bpy.context.view_layer.objects.active
    assert bodies.is_rig(rig) and rig["refit_body_kind"] == "bundled"
    vertices = evaluated_vertices(bodies.body_mesh(rig))
    np.testing.assert_allclose(vertices, rest_vertices(engine_for_shapes) + [1, 2, 0.5], atol=2e-5)
    for bone in rig.pose.bones:
        np.testing.assert_allclose(np.array(bone.matrix_basis), np.eye(4), atol=1e-5)
    asked = engine_for_shapes.request()
    assert [image["image"] for image in asked["images"]] == [str(tmp_path / f"{name}.png") for name in "abc"]
    assert "Shape from 3 pictures" in state.report and "“shape”" in state.report


def test_shape_is_kept_by_the_next_job(engine_for_shapes, photo, tmp_path):
    bpy.ops.refit.fit_shape(**choose(tmp_path, "a.png", "b.png"))
    bpy.context.scene.refit.image_path = str(photo)
    assert bpy.ops.refit.reconstruct() == {"FINISHED"}
    np.testing.assert_allclose(engine_for_shapes.request()["betas"], BETAS, atol=1e-6)


def test_kept_shape_does_not_stand_in_the_way_of_a_new_one(engine_for_shapes, tmp_path):
    for _ in range(2):
        bpy.ops.refit.fit_shape(**choose(tmp_path, "a.png", "b.png"))
    assert "betas" not in engine_for_shapes.request()


def test_pictures_that_had_no_part_are_named(engine_for_shapes, tmp_path):
    prepare(engine_for_shapes, left_out=[1])
    bpy.ops.refit.fit_shape(**choose(tmp_path, "a.png", "b.png", "c.png"))
    assert "Shape from 2 pictures" in state.report and state.report.endswith("left out: b.png")


def test_shape_that_selected_bodies_have_in_common(engine_for_shapes, photo, preferences):
    preferences.next_press = "NEW"
    bpy.context.scene.refit.image_path = str(photo)
    for _ in range(2):
        bpy.ops.refit.reconstruct()
    assert not bpy.ops.refit.shape_from_bodies.poll()  # only the last one is selected
    rigs = [item for item in bpy.context.scene.objects if bodies.is_rig(item)]
    bodies.body_mesh(rigs[0]).data.shape_keys.key_blocks["shape_0"].value = 3.0
    for rig in rigs:
        rig.select_set(True)
        bodies.body_mesh(rig).select_set(True)
    assert bpy.ops.refit.shape_from_bodies() == {"FINISHED"}
    asked = engine_for_shapes.request()["shapes"]
    assert len(asked) == 2 and asked[0][0] == pytest.approx(3.0)
    assert bpy.context.scene.refit.fixed_shape.name == "shape"


def test_bodies_of_different_models_have_no_shape_in_common(engine_for_shapes, photo):
    bpy.context.scene.refit.image_path = str(photo)
    for _ in range(2):
        bpy.ops.refit.reconstruct()
    rigs = [item for item in bpy.context.scene.objects if bodies.is_rig(item)]
    rigs[0]["refit_body_kind"] = "smpl"
    for rig in rigs:
        rig.select_set(True)
    assert not bpy.ops.refit.shape_from_bodies.poll()


def test_shape_of_bodies_is_of_their_own_sex(engine_for_shapes, photo, preferences):
    preferences.next_press = "NEW"
    bpy.context.scene.refit.image_path = str(photo)
    for _ in range(2):
        bpy.ops.refit.reconstruct()
    for rig in [item for item in bpy.context.scene.objects if bodies.is_rig(item)]:
        rig["refit_body_kind"] = "bundled_female"
        rig.select_set(True)
    assert bpy.ops.refit.shape_from_bodies() == {"FINISHED"}
    asked = engine_for_shapes.request()
    assert asked["gender"] == "female" and asked["body"] is None
    assert bpy.context.view_layer.objects.active["refit_body_kind"] == "bundled_female"


@pytest.mark.parametrize("betas", [BETAS[:4], [float("nan")] * 10])
def test_answer_that_is_no_shape_is_refused(engine_for_shapes, tmp_path, betas):
    prepare(engine_for_shapes, betas=betas)
    before = scene_state()
    with pytest.raises(RuntimeError, match="engine"):
        bpy.ops.refit.fit_shape(**choose(tmp_path, "a.png", "b.png"))
    assert scene_state() == before and bpy.context.scene.refit.fixed_shape is None


def test_failure_leaves_the_scene_as_it_was(engine_for_shapes, tmp_path):
    (engine_for_shapes.folder / "behaviour").write_text("fail:NoPersonFound:Nobody was found in a.png.")
    before = scene_state()
    with pytest.raises(RuntimeError, match="Nobody was found"):
        bpy.ops.refit.fit_shape(**choose(tmp_path, "a.png", "b.png"))
    assert scene_state() == before


def test_script_gets_the_shape(engine_for_shapes, tmp_path):
    finished = api.fit_shape([tmp_path / "a.png", tmp_path / "b.png"], focal=900)
    np.testing.assert_allclose(finished.betas, BETAS)
    assert engine_for_shapes.request()["images"][0]["focal"] == 900
    assert api.shape_of(finished.body.rig.name) == pytest.approx(BETAS, abs=1e-6)
