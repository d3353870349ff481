# SPDX-License-Identifier: GPL-3.0-or-later
"""Long names of files: what tells people and takes apart stays, letters stay whole, Blender cuts nothing."""

import unicodedata

import bpy
import numpy as np
import pytest

from refit_blender import api
from refit_blender.scene import names
from refit_blender.scene.names import LONGEST, joined, person_name, shorten, stem_of, with_ending

LONG = "2026-11-28 third floor studio, second rehearsal with the blue curtain, take"
KINDS = ("objects", "meshes", "armatures", "cameras", "collections", "actions")


def size(name: str) -> int:
    return len(name.encode())


def test_short_names_stay():
    assert stem_of("walk") == "walk"
    assert person_name("walk", 12) == "walk person 12"
    assert joined("walk", " on ", "my rig") == "walk on my rig"


def test_a_long_name_keeps_its_beginning_and_its_end():
    short = stem_of(f"{LONG} 007")
    assert short.startswith("2026-11-28")
    assert short.endswith("take 007")
    assert size(short) <= LONGEST - len(" person 999 body.001")


@pytest.mark.parametrize("letter", ["ä", "語", "🙂", unicodedata.normalize("NFD", "ấ"), "👩🏽", "👩‍🚀"])
def test_letters_stay_whole(letter):
    for most in range(12, 40):
        short = shorten(letter * 40, most)
        assert size(short) <= most
        first, gap, last = short.partition("…")
        assert gap
        for part in (first, last):
            assert part == letter * (len(part) // len(letter))


def test_an_ending_is_never_cut():
    assert with_ending(f"{LONG} person 2.001", " motion").endswith(" person 2.001 motion")
    assert size(with_ending("語" * 60, " 123456")) <= LONGEST - len(".001")
    both = joined(f"{LONG} person 2", " on ", f"{LONG} rig 7")
    assert size(both) <= LONGEST - len(".001")
    assert " person 2 on " in both
    assert both.endswith("rig 7")


def no_name_was_cut() -> None:
    """Blender itself would have cut the end."""
    for kind in KINDS:
        for block in getattr(bpy.data, kind):
            assert size(block.name) <= LONGEST, block.name


def test_everything_made_from_a_long_photo_says_whose_it_is(photo, install_fake):
    path = photo.with_name(f"{'語' * 30} 7.png")
    photo.rename(path)
    install_fake().prepare(path, people=2)
    made = [api.reconstruct(path).outcome for _ in range(2)]
    no_name_was_cut()
    for outcome, number in zip(made, ("", ".001"), strict=True):
        for person, body in enumerate(outcome.bodies, 1):
            assert body.rig.name.endswith(f" 7 person {person}{number}")
            assert body.mesh.name.endswith(f" 7 person {person} body{number}")
        assert outcome.camera.name.endswith(f" 7 camera{number}")
        assert outcome.collection.name.endswith(f" 7{number}")
    rigs = [body.rig for outcome in made for body in outcome.bodies]
    bpy.context.view_layer.objects.active = rigs[3]
    bpy.ops.refit.pose_asset()
    (asset,) = (action for action in bpy.data.actions if action.asset_data)
    assert asset.name.endswith(f" 7 person 2.001 {bpy.context.scene.frame_current}")


def test_clips_that_begin_alike_stay_apart(install_fake, pictures, tmp_path):
    install_fake("by_video").prepare_motion(pictures, people=2, rate=25.0)
    folder = tmp_path / ("f" * 70)
    folder.mkdir()
    stems = [f"{LONG} {number}" for number in (1, 2)]
    assert stems[0][:60] == stems[1][:60]
    stems += [f"{'x' * 30}{middle}{'y' * 30}" for middle in "ab"]  # they differ where the name is cut
    for stem in stems:
        (folder / f"{stem}.mp4").write_bytes(b"a movie")
    finished = api.reconstruct_folder(folder, keep=tmp_path / "kept")
    no_name_was_cut()
    outcomes = {clip.path.stem: clip.motion.outcome for clip in finished.clips}
    for number in (1, 2):
        ends = [f"take {number} person {person}" for person in (1, 2)]
        bodies = outcomes[stems[number - 1]].bodies
        assert [any(body.rig.name.endswith(end) for end in ends) for body in bodies] == [True, True]
        assert [body.rig.animation_data.action.name for body in bodies] == [body.rig.name for body in bodies]
    assert [row.name for row in bpy.context.scene.refit.clips] == sorted(f"{stem}.mp4" for stem in stems)
    assert len({action.name for action in bpy.data.actions if action.asset_data}) == 8
    assert {path.parent.name for path in (tmp_path / "kept").rglob("motion.npz")} == {f"{stem}.mp4" for stem in stems}
    api.reconstruct_folder(folder, update=True)
    assert len(bpy.context.scene.refit.clips) == 4
    assert sum("refit_betas" in item for item in bpy.data.objects) == 8


def test_the_actions_of_long_names_tell_whose_they_are(install_fake, pictures, tmp_path):
    install_fake().prepare_motion(pictures, people=2)
    video = tmp_path / f"{LONG} 3.mp4"
    video.write_bytes(b"a movie")
    made = api.reconstruct_motion(video).outcome.bodies
    for person, body in enumerate(made, 1):
        assert body.rig.animation_data.action.name.endswith(f"take 3 person {person} motion")
    target = made[1].rig
    target.name = f"{'my own rig ' * 5}9"
    done = api.retarget(made[0].rig.name, target.name)
    assert " person 1 on my own" in done.action.name
    assert done.action.name.endswith("rig 9")
    no_name_was_cut()


def test_an_export_keeps_names_of_63_bytes_for_the_file(photo, install_fake, tmp_path):
    install_fake()
    made = api.reconstruct(photo).outcome.bodies[0]
    made.rig.name = made.rig.data.name = "語" * 21
    api.export_bodies(tmp_path / "body.fbx")
    assert made.rig.name == "語" * 21
    bpy.ops.wm.read_homefile(use_empty=True)
    bpy.ops.import_scene.fbx(filepath=str(tmp_path / "body.fbx"))
    assert [item.name for item in bpy.data.objects if item.type == "ARMATURE"] == ["語" * 21]


def test_long_names_of_calibrated_cameras_keep_their_ends(tmp_path):
    made = names.shorten
    path = tmp_path / "rig.toml"
    camera = 'name="{}"\nsize=[640.0,480.0]\nmatrix=[[600.0,0.0,320.0],[0.0,600.0,240.0],[0.0,0.0,1.0]]\n'
    camera += "distortions=[0.0,0.0,0.0,0.0]\nrotation=[1.2,0.0,0.0]\ntranslation=[{}.0,0.0,3.0]\n"
    stems = [f"{LONG} camera {side}" for side in ("left", "right")]
    path.write_text("".join(f"[cam_{one}]\n{camera.format(stem, one)}" for one, stem in enumerate(stems)))
    rig = api.import_calibration(path)
    assert [item.name for item in rig.cameras] == [made(stem) for stem in stems]
    assert np.ptp([item.location.x for item in rig.cameras]) > 0.5
    no_name_was_cut()
