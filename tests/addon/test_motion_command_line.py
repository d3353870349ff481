# SPDX-License-Identifier: GPL-3.0-or-later
"""`blender --command refit track` and `track-cameras`."""

import bpy
import numpy as np
import pytest
from blender_helpers import evaluated_vertices

from refit_blender import cli
from refit_blender.scene import body as bodies


@pytest.fixture
def out(tmp_path):
    return tmp_path / "results"


def rigs() -> list[bpy.types.Object]:
    return [found for found in bpy.context.scene.objects if bodies.is_rig(found)]


def test_a_video_becomes_an_animated_blend_file_and_an_animated_glb(pictures, install_fake, out, capsys):
    engine = install_fake()
    engine.prepare_motion(pictures)
    files = ["--out", str(out / "a.blend"), "--glb", str(out / "a.glb"), "--keep", str(out)]
    words = ["--frames", "0:31", "--focal", "70", "--height", "1.8", "--people", "largest", "--bbox", "1,2,30,40"]
    assert cli.main(["track", str(pictures), *files, *words]) == 0
    assert "1 body moving from frame 1 to 31, from walk_001.png in " in capsys.readouterr().out
    asked = engine.request()
    assert (asked["frames"], asked["people"], asked["height"], asked["overlay"]) == ("0:31:1", "largest", 1.8, True)
    assert (asked["bbox_xywh"], asked["bbox_frame"], asked["videos"][0]["focal"]) == ([1, 2, 30, 40], 0, 70)
    assert {"iterations", "confidence"}.isdisjoint(asked)
    assert (out / "motion.npz").exists()
    assert (out / "overlay.mp4").exists()
    bpy.ops.wm.open_mainfile(filepath=str(out / "a.blend"))
    (rig,) = rigs()
    expected = []
    for frame in (1, 16, 31):
        bpy.context.scene.frame_set(frame)
        expected.append(evaluated_vertices(bodies.body_mesh(rig)))
    assert np.abs(expected[0] - expected[1]).max() > 0.1
    bpy.ops.wm.read_homefile(use_empty=True)
    bpy.context.scene.render.fps = 30
    bpy.ops.import_scene.gltf(filepath=str(out / "a.glb"))
    (mesh,) = [found for found in bpy.context.scene.objects if found.find_armature()]
    first = int(mesh.find_armature().animation_data.action.frame_range[0])
    for frame, vertices in zip((0, 15, 30), expected, strict=True):
        bpy.context.scene.frame_set(first + frame)
        imported = evaluated_vertices(mesh)
        # Vertices are split at the seams of the UVs: each one must be one of ours.
        assert np.linalg.norm(imported[:, None] - vertices[None], axis=2).min(axis=1).max() < 2e-3


def test_cameras_with_sequences_are_followed(pictures, four_cameras, install_fake, out, capsys):
    names = ["cam_1", "cam_2"]
    engine = install_fake()
    engine.prepare_motion(pictures, names=names, world="scene", instants=10, first=2)
    for camera in four_cameras:
        background = camera.data.background_images[0]
        background.image = bpy.data.images.load(str(pictures), check_existing=True)
        background.image.source = "SEQUENCE"
        background.image_user.frame_start, background.image_user.frame_duration = 1, 40
    command = ["track-cameras", "--cameras", ",".join(names), "--span", "3:12", "--out", str(out / "a.blend")]
    assert cli.main(command) == 0
    assert "from cam_1, cam_2 in " in capsys.readouterr().out
    assert engine.request()["frames"] == "2:12:1"
    (rig,) = rigs()
    assert rig.animation_data.action.frame_range[:] == (3, 12)


@pytest.mark.parametrize("frames", ["5:3", "-1:4", "a:b", "1:2:0", "1:2:3:4"])
def test_frames_that_are_none_are_refused(frames, capsys):
    assert cli.main(["track", "a.mp4", "--out", "a.blend", f"--frames={frames}"]) == 2
    assert "A:B:STEP" in capsys.readouterr().err


def test_a_video_that_is_not_there_is_one_sentence(install_fake, out, tmp_path, capsys):
    install_fake()
    assert cli.main(["track", str(tmp_path / "none.mp4"), "--out", str(out / "a.blend")]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == f"refit: There is no movie at {tmp_path / 'none.mp4'}."
