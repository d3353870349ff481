# SPDX-License-Identifier: GPL-3.0-or-later
"""Pose correctives of the bundled body as driven shape keys, for both kinds of rigs."""

from pathlib import Path

import bpy
import numpy as np
import pytest
from blender_helpers import evaluated_vertices
from mathutils import Matrix
from synthetic_body import pose_body, random_rotations

from refit_blender.errors import ResultFileError
from refit_blender.results import JOINT_NAMES, read_body
from refit_blender.scene import correctives, rigs
from refit_blender.scene.body import BodyObjects, Pose, build_body
from refit_blender.scene.ik import add_ik

BUNDLED = Path(__file__).parents[2] / "engine" / "refit_engine" / "data" / "body.npz"
BETAS = np.linspace(-1, 1, 10)
BOTH_KINDS = pytest.mark.parametrize("kind", rigs.RIG_KINDS)


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    """The bundled body's file, with its correctives in SMPL's form, too."""
    with np.load(BUNDLED) as file:
        body = dict(file)
    posedirs = np.zeros((len(body["v_template"]), 3, 23, 9))
    for (shape, vertex), offset in zip(
        body["corrective_entries"], body["corrective_offsets"].astype(float), strict=True
    ):
        joint = body["corrective_joints"][shape]
        posedirs[vertex, :, joint - 1] += np.outer(offset, body["corrective_mix"][shape])
    return {**body, "posedirs": posedirs.reshape(-1, 3, 207)}


def bent(seed: int = 2) -> np.ndarray:
    """Joint rotations [24,3,3], far from rest."""
    return random_rotations(np.random.default_rng(seed), 24, 2.2)


def build(kind: rigs.RigKind, rotmats: np.ndarray, body_file: Path = BUNDLED) -> BodyObjects:
    pose = Pose(BETAS, rotmats, np.array([0.1, 0.2, 3.0]), np.eye(4), np.zeros(3))
    made = build_body("person", read_body(body_file), pose, bpy.context.scene.collection, rigs.RigStyle(kind))
    bpy.context.view_layer.update()
    return made


@BOTH_KINDS
def test_the_posed_skin_is_that_of_the_bodys_own_formula(arrays, kind):
    rotmats = bent()
    skin = evaluated_vertices(build(kind, rotmats).mesh)
    transl = np.array([0.1, 0.2, 3.0])
    expected = pose_body(arrays, BETAS, rotmats, transl)
    np.testing.assert_allclose(skin, expected, atol=5e-5)
    plain = pose_body({name: value for name, value in arrays.items() if name != "posedirs"}, BETAS, rotmats, transl)
    assert np.linalg.norm(expected - plain, axis=1).max() > 0.01


@BOTH_KINDS
def test_they_can_be_switched_off(arrays, kind):
    rotmats = bent()
    mesh = build(kind, rotmats).mesh
    correctives.enable_correctives(mesh, False)
    bpy.context.view_layer.update()
    plain = {name: value for name, value in arrays.items() if name != "posedirs"}
    expected = pose_body(plain, BETAS, rotmats, np.array([0.1, 0.2, 3.0]))
    np.testing.assert_allclose(evaluated_vertices(mesh), expected, atol=5e-5)


@BOTH_KINDS
def test_the_rest_pose_is_left_as_it_is(kind):
    made = build(kind, np.tile(np.eye(3), (24, 1, 1)))
    keys = correctives.corrective_keys(made.mesh)
    assert [key.value for key in keys] == pytest.approx([0.0] * len(keys), abs=1e-6)


def test_there_is_no_key_that_moves_nothing(arrays):
    mesh = build("animation", bent()).mesh
    keys = correctives.corrective_keys(mesh)
    assert len(keys) == len(arrays["corrective_joints"]) < 40
    rest = np.empty(3 * len(mesh.data.vertices), np.float32)
    mesh.data.shape_keys.reference_key.data.foreach_get("co", rest)
    moved = np.empty_like(rest)
    for key in keys:
        key.data.foreach_get("co", moved)
        assert np.abs(moved - rest).max() > 1e-3, key.name


def test_drivers_read_the_bones_of_the_joint(arrays):
    made = build("animation", bent())
    bones = rigs.bone_names(made.rig)
    for number, key in enumerate(correctives.corrective_keys(made.mesh)):
        curve = made.mesh.data.shape_keys.animation_data.drivers.find(f'key_blocks["{key.name}"].value')
        targets = {variable.targets[0].bone_target for variable in curve.driver.variables}
        assert targets == {bones[arrays["corrective_joints"][number]]}
        assert curve.driver.is_valid and curve.driver.is_simple_expression


def test_they_follow_a_limb_that_ik_bends(arrays):
    made = build("animation", np.tile(np.eye(3), (24, 1, 1)))
    add_ik(made.rig)
    made.rig.pose.bones["hand_ik.L"].matrix = (
        Matrix.Translation((-0.25, -0.1, 0.1)) @ made.rig.pose.bones["hand.L"].matrix
    )
    bpy.context.view_layer.update()
    axes = rigs.axes_of("animation")
    turns = []
    for name in ("upper_arm.L", "forearm.L"):
        bone = made.rig.pose.bones[name]
        turns.append(axes.T @ np.array(bone.matrix @ bone.bone.matrix_local.inverted())[:3, :3] @ axes)
    elbow = turns[0].T @ turns[1]
    assert np.trace(elbow) < 2  # by more than 60 degrees
    keys = correctives.corrective_keys(made.mesh)
    for number in np.flatnonzero(arrays["corrective_joints"] == JOINT_NAMES.index("left_elbow")):
        amount = arrays["corrective_mix"][number] @ (elbow - np.eye(3)).ravel()
        assert keys[number].value == pytest.approx(amount, abs=1e-4)


@pytest.mark.parametrize("kept", [None, "text", [1.0, 2.0], [99.0] * 10, {"a": 1}])
def test_a_damaged_property_breaks_nothing(kept):
    made = build("smpl", bent())
    if kept is None:
        del made.mesh.data[correctives.MIX]
    else:
        made.mesh.data[correctives.MIX] = kept
    correctives.drive_correctives(made.mesh, made.rig)
    correctives.enable_correctives(made.mesh, not correctives.correctives_enabled(made.mesh))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("corrective_joints", 24),
        ("corrective_entries", 1 << 20),
        ("corrective_mix", np.nan),
        ("corrective_offsets", np.inf),
    ],
)
def test_a_damaged_file_is_refused(arrays, tmp_path, name, value):
    broken = arrays[name].copy()
    broken.flat[1] = value
    damaged = {**{key: array for key, array in arrays.items() if key != "posedirs"}, name: broken}
    np.savez(tmp_path / "body.npz", **damaged)
    with pytest.raises(ResultFileError, match=name):
        read_body(tmp_path / "body.npz")
