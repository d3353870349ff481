# SPDX-License-Identifier: GPL-3.0-or-later
"""Export from the command line, the other commands' options for it, and the button."""

import bpy
import pytest

from refit_blender import api, cli


@pytest.fixture
def two_people(install_fake, pictures):
    """Two bodies that move at frames 1 to 31."""
    install_fake().prepare_motion(pictures, people=2)
    bpy.context.scene.render.fps = 30
    return [made.rig for made in api.reconstruct_motion(pictures).outcome.bodies]


def armatures(path) -> list[bpy.types.Object]:
    bpy.ops.wm.read_homefile(use_empty=True)
    bpy.context.scene.render.fps = 30
    (bpy.ops.import_scene.fbx if path.suffix == ".fbx" else bpy.ops.import_scene.gltf)(filepath=str(path))
    return [item for item in bpy.context.scene.objects if item.type == "ARMATURE"]


def test_the_open_scenes_bodies_are_exported(two_people, tmp_path, capsys):
    names = sorted(rig.name for rig in two_people)
    path = tmp_path / "new" / "both.fbx"
    assert cli.main(["export", str(path), "--for", "unity", "--frames", "4:9", "--shape", "keys"]) == 0
    assert f"refit: frames 4 to 9 exported to {path}" in capsys.readouterr().out
    found = armatures(path)
    assert sorted(rig.name for rig in found) == names
    assert {tuple(rig.animation_data.action.frame_range) for rig in found} == {(1, 6)}


def test_one_body_is_exported_by_its_name(two_people, tmp_path):
    name = two_people[1].name
    assert cli.main(["export", str(tmp_path / "one.glb"), "--body", name]) == 0
    (rig,) = armatures(tmp_path / "one.glb")
    assert rig.name == name


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["a.bvh"], "refit: .bvh holds one body of a file: choose one of walk_001 person 1, walk_001 person 2."),
        (["a.fbx", "--for", "unreal"], "refit: Unreal reads one body of a file: choose one of "),
        (["a.fbx", "--body", "nobody"], "refit: The scene has no ReFit body “nobody”; its bodies: walk_001 person 1, "),
        (["a.dae"], "refit: “a.dae” has to end with one of .fbx, .glb, .bvh, .usd, .usdc, .npz."),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(two_people, tmp_path, capsys, words, sentence):
    assert cli.main(["export", str(tmp_path / words[0]), *words[1:]]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(sentence)
    assert not list(tmp_path.glob("a.*"))


@pytest.mark.parametrize("frames", ["5:3", "a:b", "1:2:3"])
def test_frames_that_are_none_are_refused(tmp_path, capsys, frames):
    assert cli.main(["export", str(tmp_path / "a.fbx"), "--frames", frames]) == 2
    assert frames in capsys.readouterr().err


def test_a_video_can_be_written_in_all_formats_at_once(install_fake, pictures, tmp_path):
    install_fake().prepare_motion(pictures)
    files = [tmp_path / f"walk.{suffix}" for suffix in ("glb", "fbx", "bvh")]
    words = [word for path in files for word in (f"--{path.suffix[1:]}", str(path))]
    assert cli.main(["track", str(pictures), "--out", str(tmp_path / "walk.blend"), *words]) == 0
    assert all(path.stat().st_size > 1000 for path in files)
    (rig,) = armatures(files[1])
    assert rig.name == "walk_001"


def test_the_button_exports_the_active_body(two_people, tmp_path):
    bpy.context.view_layer.objects.active = two_people[0]
    bpy.context.scene.frame_start, bpy.context.scene.frame_end = 3, 8
    path = str(tmp_path / "one.fbx")
    assert bpy.ops.refit.export_body(filepath=path, target="UNREAL", frames="SCENE") == {"FINISHED"}
    (rig,) = armatures(tmp_path / "one.fbx")
    assert rig.name == "Armature"
    assert tuple(rig.animation_data.action.frame_range) == (1, 6)


def test_the_button_says_what_is_wrong(two_people, tmp_path):
    with pytest.raises(RuntimeError, match="one body of a file"):
        bpy.ops.refit.export_body(filepath=str(tmp_path / "all.bvh"), everybody=True)


def test_there_is_no_button_without_a_body():
    assert not bpy.ops.refit.export_body.poll()
