# SPDX-License-Identifier: GPL-3.0-or-later
"""`blender --command refit`, without a window."""

import json

import bpy
import numpy as np
import pytest
from blender_helpers import evaluated_vertices

from refit_blender import cli
from refit_blender.scene import body as bodies


@pytest.fixture
def out(tmp_path):
    return tmp_path / "results"


def rig_vertices() -> np.ndarray:
    (rig,) = [found for found in bpy.context.scene.objects if bodies.is_rig(found)]
    return evaluated_vertices(bodies.body_mesh(rig))


def test_photo_becomes_a_blend_file(photo, install_fake, out, capsys):
    fake = install_fake()
    assert cli.main(["reconstruct", str(photo), "--out", str(out / "a.blend"), "--keep", str(out)]) == 0
    assert "1 body from a photo.png" in capsys.readouterr().out
    bpy.ops.wm.open_mainfile(filepath=str(out / "a.blend"))
    assert {found.type for found in bpy.context.scene.objects} == {"CAMERA", "ARMATURE", "MESH"}
    height = fake.result["vertices_cam"][0, :, 1].max()
    expected = fake.result["vertices_cam"][0][:, [0, 2, 1]] * [1, 1, -1] + [0, 0, height]
    np.testing.assert_allclose(rig_vertices(), expected, atol=1e-4)
    assert (out / "result.npz").exists() and (out / "overlay.png").exists()


def test_glb_shows_the_posed_body(photo, install_fake, out):
    install_fake()
    assert cli.main(["reconstruct", str(photo), "--out", str(out / "a.blend"), "--glb", str(out / "a.glb")]) == 0
    expected = rig_vertices()
    bpy.ops.wm.read_homefile(use_empty=True)
    bpy.ops.import_scene.gltf(filepath=str(out / "a.glb"))
    (mesh,) = [found for found in bpy.context.scene.objects if found.find_armature()]
    imported = evaluated_vertices(mesh)
    # Vertices are split at the seams of the UVs: each one must be one of ours.
    nearest = np.linalg.norm(imported[:, None] - expected[None], axis=2).min(axis=1)
    assert nearest.max() < 1e-3
    assert [found.type for found in bpy.context.scene.objects].count("CAMERA") == 1


def test_options_reach_the_engine(photo, install_fake, out):
    fake = install_fake()
    words = "--bbox 1,2,30,40 --bbox 5,6,7,8 --focal 900 --people largest --iterations 2 --device cpu".split()
    assert cli.main(["reconstruct", str(photo), "--out", str(out / "a.blend"), *words]) == 0
    asked = json.loads((fake.folder / "request.json").read_text())
    assert asked["images"][0]["bboxes_xywh"] == [[1, 2, 30, 40], [5, 6, 7, 8]]
    assert asked["images"][0]["focal"] == 900
    assert (asked["people"], asked["iterations"], asked["device"], asked["overlay"]) == ("largest", 2, "cpu", False)


def test_failure_is_one_sentence_and_exit_code_1(photo, install_fake, out, capsys):
    install_fake("fail:NoPersonFound:Nobody was found in a photo.png.")
    assert cli.main(["reconstruct", str(photo), "--out", str(out / "a.blend")]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "refit: Nobody was found in a photo.png."
    assert not (out / "a.blend").exists()


def test_place_that_cannot_be_written_is_named(photo, install_fake, tmp_path, capsys):
    install_fake()
    (tmp_path / "file").write_text("in the way")
    assert cli.main(["reconstruct", str(photo), "--out", str(tmp_path / "file" / "a.blend")]) == 1
    assert str(tmp_path / "file") in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [[], ["dance"], ["reconstruct"], ["reconstruct", "a.png", "--out", "b", "--bbox", "1,2"]]
)
def test_wrong_usage_has_exit_code_2(words, capsys):
    assert cli.main(words) == 2
    assert "usage: blender --command refit" in capsys.readouterr().err


def test_open_file_is_added_to(photo, install_fake, out):
    install_fake()
    mine = bpy.data.objects.new("mine", None)
    bpy.context.scene.collection.objects.link(mine)
    out.mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(out / "mine.blend"))
    assert cli.main(["reconstruct", str(photo), "--out", str(out / "both.blend")]) == 0
    assert "mine" in bpy.data.objects
