# SPDX-License-Identifier: GPL-3.0-or-later
"""Motions in AMASS' layout: written ones agree with smplx, foreign ones are read, bad ones are named."""

import json

import bpy
import numpy as np
import pytest
from blender_helpers import evaluated_vertices, scene_state
from synthetic_body import posed_joints, rest_joints
from test_export import seen_elsewhere

from refit_blender import api, cli
from refit_blender.engine_job import Options
from refit_blender.errors import ResultFileError
from refit_blender.export.amass import read_amass, rotation_matrices, rotation_vectors
from refit_blender.scene import body as bodies
from refit_blender.scene.rigs import joint_places

NEAR = 1e-4
"""Metres."""


@pytest.fixture
def engine(install_fake):
    fake = install_fake(regressor=True, correctives=True)
    (fake.folder / "shape.json").write_text(json.dumps({"betas": [0.0] * 10, "left_out": []}))
    return fake


@pytest.fixture
def file(tmp_path):
    """Call it for a motion file; values in place of its arrays."""

    def write(**values):
        rng = np.random.default_rng(4)
        arrays = {
            "poses": rng.uniform(-0.6, 0.6, (9, 156)),
            "trans": rng.uniform(-1, 1, (9, 3)) + [0, 0, 1],
            "betas": rng.normal(size=16),
            "gender": np.array("female"),
            "mocap_framerate": np.array(24.0),
        }
        arrays |= values
        np.savez(tmp_path / "walk.npz", **{name: value for name, value in arrays.items() if value is not None})
        return tmp_path / "walk.npz"

    return write


def expected_joints(body, betas, poses, trans, joints=22):
    """Joints [K,24,3] by SMPL's formula."""
    vectors = np.zeros((len(poses), 24, 3))
    vectors[:, :joints] = poses[:, : 3 * joints].reshape(len(poses), -1, 3)
    turns = rotation_matrices(vectors)
    return np.array([posed_joints(body, betas, *one) for one in zip(turns, trans, strict=True)])


def joints_over(rig, frames):
    found = []
    for frame in frames:
        bpy.context.scene.frame_set(frame)
        found.append(joint_places(rig))
    return np.array(found)


@pytest.mark.parametrize("options", [{"rig": "animation"}, {"rig": "smpl"}])
def test_a_written_motion_posed_by_smplx_is_the_body_in_blender(engine, pictures, tmp_path, options):
    engine.prepare_motion(pictures, instants=10)
    bpy.context.scene.render.fps = 30
    made = api.reconstruct_motion(pictures, Options(**options)).outcome.bodies[0]
    made.rig["refit_body_kind"] = "smpl"
    path = tmp_path / "walk.npz"
    assert api.export_bodies(path, [made.rig]) == (1, 10)
    with np.load(path, allow_pickle=False) as arrays:
        assert arrays["poses"].shape == (10, 156)
        assert not arrays["poses"][:, 66:].any()
        assert (arrays["betas"].shape, arrays["mocap_framerate"], arrays["gender"]) == ((16,), 30, "neutral")
    seen = seen_elsewhere("smpl", path, engine.folder / "body.npz")
    for frame in range(1, 11):
        bpy.context.scene.frame_set(frame)
        assert np.abs(joint_places(made.rig) - seen["joints"][frame - 1]).max() < NEAR
    mesh = bodies.body_mesh(made.rig)
    for name in ("left_hand", "right_hand", "fingers.L", "fingers.R"):
        if bone := made.rig.pose.bones.get(name):
            bone.rotation_mode = "XYZ"  # these have no keys: the hand is flat, as in the file
            bone.rotation_euler = (0, 0, 0)
    for frame in (1, 6, 10):
        bpy.context.scene.frame_set(frame)
        found = evaluated_vertices(mesh)
        assert np.abs(found - seen["vertices"][frame - 1]).max() < NEAR


@pytest.mark.parametrize(("width", "joints"), [(156, 22), (165, 22), (72, 24)])
def test_every_layout_is_read_onto_an_smpl_body(engine, file, tmp_path, width, joints):
    rng = np.random.default_rng(5)
    poses = rng.uniform(-0.6, 0.6, (9, width))
    path = file(poses=poses)
    smpl = tmp_path / "SMPL_NEUTRAL.npz"
    smpl.write_bytes((engine.folder / "body.npz").read_bytes())
    finished = api.import_motion(path, body=smpl)
    asked = engine.request()
    assert (asked["body"], asked["gender"]) == (str(smpl), "female")
    assert finished.frames == (1, 9)
    with np.load(path) as arrays:
        expected = expected_joints(engine.body, arrays["betas"][:10], poses, arrays["trans"], joints)
    rig = finished.body.rig
    assert np.abs(joints_over(rig, range(1, 10)) - expected).max() < NEAR
    assert "refit_state" not in rig
    assert not finished.messages


def test_another_body_model_moves_with_its_mean_shape_on_the_floor(engine, file):
    finished = api.import_motion(file(), start=11)
    assert finished.frames == (11, 19)
    assert "mean shape" in finished.messages[0]
    assert not np.any(finished.body.rig["refit_betas"][:])
    assert finished.body.rig["refit_body_kind"] == "bundled_female"
    rest = rest_joints(engine.body, np.zeros(10))
    soles = rest[[10, 11], 1].min() - engine.body["v_template"][:, 1].min()
    lowest = joints_over(finished.body.rig, range(11, 20))[:, [10, 11], 2].min() - soles
    assert -0.1 < lowest <= 1e-4


def test_own_motions_come_back_with_their_shape(engine, pictures, tmp_path):
    engine.prepare_motion(pictures, instants=10)
    bpy.context.scene.render.fps = 30
    rig = api.reconstruct_motion(pictures).outcome.bodies[0].rig
    expected, betas = joints_over(rig, range(1, 11)), rig["refit_betas"][:]
    api.export_bodies(tmp_path / "walk.npz", [rig])
    with np.load(tmp_path / "walk.npz") as arrays:
        assert not arrays["betas"].any()  # they mean nothing to SMPL
    finished = api.import_motion(tmp_path / "walk.npz")
    assert np.abs(joints_over(finished.body.rig, range(1, 11)) - expected).max() < NEAR
    assert finished.body.rig["refit_betas"][:] == pytest.approx(betas)


def test_a_motion_of_another_rate_keeps_its_times(engine, file):
    bpy.context.scene.render.fps = 24
    path = file(mocap_framerate=None, mocap_frame_rate=np.array(48.0))
    finished = api.import_motion(path)
    assert finished.frames == (1, 5)
    with np.load(path) as arrays:
        turn = rotation_matrices(arrays["poses"][4, 3:6])  # the left hip at 4/48 s, which is frame 3
    bpy.context.scene.frame_set(3)
    rotmats, _ = pose_of(finished.body.rig)
    assert np.abs(rotmats[1] - turn).max() < 1e-4


def pose_of(rig):
    from refit_blender.scene.keying import read_pose

    bpy.context.view_layer.update()
    return read_pose(rig)


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"poses": None}, "is no AMASS motion: it has no poses."),
        ({"trans": None}, "is no AMASS motion: it has no trans."),
        ({"mocap_framerate": None}, "is no AMASS motion: it has no mocap_framerate."),
        ({"poses": np.zeros((9, 100))}, "a frame has 100 numbers of pose"),
        ({"poses": np.zeros((0, 156)), "trans": np.zeros((0, 3))}, "has 0 frames"),
        ({"poses": np.full((9, 156), np.nan)}, "poses holds values that are no sensible numbers"),
        ({"trans": np.zeros((8, 3))}, "trans has the shape"),
        ({"mocap_framerate": np.array(0.0)}, "0 frames a second"),
        ({"mocap_framerate": np.array(1e-300)}, "seconds long: more than 200000 frames"),
        ({"poses": np.array([{"a": 1}], dtype=object)}, "cannot be read"),
        ({"betas": np.full(16, 1e9)}, "betas holds values"),
    ],
)
def test_a_bad_file_is_one_sentence_and_changes_nothing(engine, file, tmp_path, values, what):
    path, before = file(**values), scene_state()
    with pytest.raises(ResultFileError, match=what):
        api.import_motion(path)
    assert scene_state() == before
    assert cli.main(["import-motion", str(path), "--out", str(tmp_path / "a.blend")]) == 1
    assert not (tmp_path / "a.blend").exists()


def test_a_damaged_file_is_one_sentence(engine, tmp_path):
    (tmp_path / "walk.npz").write_bytes(b"PK\3\4 no archive")
    with pytest.raises(ResultFileError, match="cannot be read"):
        api.import_motion(tmp_path / "walk.npz")
    with pytest.raises(ResultFileError, match="no such file"):
        api.import_motion(tmp_path / "none.npz")


@pytest.mark.parametrize("gender", [b"male", np.array({"a": 1}, dtype=object), None, np.array("MALE")])
def test_a_gender_in_any_form_is_no_obstacle(file, gender):
    found = read_amass(file(gender=gender)).gender
    assert found == ("male" if isinstance(gender, np.ndarray) and gender.dtype.kind == "U" else "neutral")


def test_the_command_line_and_the_button_import(engine, file, tmp_path, capsys):
    out = tmp_path / "a.blend"
    words = ["--start", "5", "--gender", "male", "--rig", "smpl", "--fbx", str(tmp_path / "a.fbx")]
    assert cli.main(["import-motion", str(file()), "--out", str(out), *words]) == 0
    assert "“walk” moving from frame 5 to 13 (9 frames), from walk.npz" in capsys.readouterr().out
    assert engine.request()["gender"] == "male"
    assert (tmp_path / "a.fbx").exists()
    bpy.ops.wm.read_homefile(use_empty=True)
    assert bpy.ops.refit.import_motion(filepath=str(file())) == {"FINISHED"}
    (rig,) = [item for item in bpy.context.scene.objects if bodies.is_rig(item)]
    assert rig.select_get()


def test_rotation_vectors_and_matrices_are_inverse():
    rng = np.random.default_rng(1)
    axes = rng.normal(size=(200, 3))
    angles = np.concatenate([rng.uniform(0, 3.1, 190), [0, 1e-9, 1e-5, np.pi - 1e-7, *[0.5] * 6]])
    vectors = axes / np.linalg.norm(axes, axis=1, keepdims=True) * angles[:, None]
    matrices = rotation_matrices(vectors)
    assert np.abs(matrices @ np.swapaxes(matrices, 1, 2) - np.eye(3)).max() < 1e-12
    assert np.abs(rotation_vectors(matrices) - vectors).max() < 1e-6
    about_x = rotation_matrices(np.array([0.3, 0, 0]))
    assert np.allclose(about_x[1:, 1:], [[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
