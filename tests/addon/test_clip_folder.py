# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder of movies becomes a library of motions: bad clips, cancel, undo, assets, the table, the command line."""

import os
import sys
from pathlib import Path

import bpy
import numpy as np
import pytest
from blender_helpers import scene_state

from refit_blender import api, cli
from refit_blender.clip_folder import FolderTracking
from refit_blender.engine_job import JobFolder, Options
from refit_blender.errors import EngineMissing, RefitError, SourceError
from refit_blender.export.picture import SIZE
from refit_blender.motion import MotionTracking, video_motion
from refit_blender.progress import FolderProgress
from refit_blender.scene.assemble_motion import frames_worth_a_look
from refit_blender.session import state


@pytest.fixture
def engine(install_fake, pictures):
    """An engine that fails for movies called "broken …", crashes for "deadly …", and never ends with "long …"."""
    fake = install_fake("by_video")
    fake.prepare_motion(pictures, people=2, rate=25.0)
    return fake


@pytest.fixture
def movies(tmp_path, engine):
    """Call it with names for a folder of such movies, which Blender itself cannot read."""

    def make(*names: str, folder: str = "clips") -> Path:
        made = tmp_path / folder
        made.mkdir()
        for name in names:
            (made / name).write_bytes(b"a movie")
        return made

    return make


def rows() -> list[tuple]:
    return [
        (clip.name, clip.frames, clip.people, clip.failed, clip.collection and clip.collection.name)
        for clip in bpy.context.scene.refit.clips
    ]


def seen() -> list[str]:
    """The collections of clips that are seen."""
    found = [clip.collection for clip in bpy.context.scene.refit.clips if clip.collection]
    return [one.name for one in found if not (one.hide_viewport or one.hide_render)]


def test_a_broken_clip_is_named_and_the_others_become_bodies_in_collections(engine, movies):
    folder = movies("walk.mp4", "broken one.mov", "kick.mp4", "notes.txt", "._walk.mp4")
    finished = api.reconstruct_folder(folder)
    assert finished.messages == ("broken one.mov: It is no movie.",)
    assert finished.summary().startswith("2 of 3 clips, 4 bodies, from clips in ")
    assert rows() == [
        ("broken one.mov", 0, 0, True, None),
        ("kick.mp4", 31, 2, False, "ReFit kick"),
        ("walk.mp4", 31, 2, False, "ReFit walk"),
    ]
    assert engine.starts == 1
    parent = bpy.data.collections["clips"]
    assert [one.name for one in parent.children] == ["ReFit kick", "ReFit walk"]
    assert list(bpy.context.scene.collection.children) == [parent]
    assert seen() == ["ReFit kick"]
    assert bpy.context.scene.camera.name == "kick camera"
    assert [one.name for one in bpy.context.selected_objects] == ["kick person 1", "kick person 2"]


def test_every_body_has_an_action_asset_with_a_picture_named_after_clip_and_person(movies):
    api.reconstruct_folder(movies("walk.mp4", "kick.mp4"))
    assets = [action for action in bpy.data.actions if action.asset_data]
    assert [one.name for one in assets] == ["kick person 1", "kick person 2", "walk person 1", "walk person 2"]
    for action in assets:
        assert action.use_fake_user
        assert tuple(action.preview.image_size) == (SIZE, SIZE)
        pixels = np.empty(SIZE * SIZE * 4, dtype=np.float32)
        action.preview.image_pixels_float.foreach_get(pixels)
        assert 0.005 < pixels[3::4].mean() < 0.9
        assert bpy.data.objects[action.name].animation_data.action == action


def test_without_assets_actions_are_kept_all_the_same(movies):
    api.reconstruct_folder(movies("walk.mp4"), assets=False)
    actions = [bpy.data.objects[f"walk person {number}"].animation_data.action for number in (1, 2)]
    assert [(action.asset_data, action.use_fake_user) for action in actions] == [(None, True)] * 2


def test_an_action_moves_another_clips_body(engine, movies, pictures):
    for seed, clip in enumerate(("kick", "walk")):
        engine.prepare_motion(pictures, clip=clip, seed=seed, largest=60.0)
    api.reconstruct_folder(movies("kick.mp4", "walk.mp4"))
    settings, (kick, walk) = bpy.context.scene.refit, (bpy.data.objects[name] for name in ("kick", "walk"))
    settings.clip_index = 1
    bpy.context.scene.frame_set(9)
    wanted = [np.array(bone.matrix_basis) for bone in walk.pose.bones]
    settings.clip_index = 0

    def difference() -> float:
        bpy.context.scene.frame_set(9)
        return float(np.abs(np.array([bone.matrix_basis for bone in kick.pose.bones]) - wanted).max())

    assert difference() > 0.1
    kick.animation_data.action = bpy.data.actions["walk"]  # as the Asset Browser's Assign Action does
    assert difference() < 1e-6


def test_the_first_clip_sets_the_rate_and_the_range_reaches_over_all(engine, movies, pictures):
    engine.prepare_motion(pictures, clip="walk", rate=50.0, instants=101)
    finished = api.reconstruct_folder(movies("kick.mp4", "walk.mp4"))
    scene = bpy.context.scene
    assert (scene.render.fps, scene.frame_start, scene.frame_end) == (25, 1, 51)
    assert [clip.frames for clip in finished.clips] == [31, 51]


def test_another_folder_adds_its_clips_to_the_table(movies):
    api.reconstruct_folder(movies("broken x.mp4", "walk.mp4"))
    api.reconstruct_folder(movies("kick.mp4", folder="more"))
    assert [row[0] for row in rows()] == ["walk.mp4", "kick.mp4"]
    assert seen() == ["ReFit kick"]
    assert [one.name for one in bpy.context.scene.collection.children] == ["clips", "more"]


def test_choosing_a_row_shows_its_clip(movies):
    api.reconstruct_folder(movies("broken x.mp4", "kick.mp4", "walk.mp4"))
    settings = bpy.context.scene.refit
    assert settings.clip_index == 1
    bpy.context.scene.frame_set(500)
    bpy.ops.object.mode_set(mode="POSE")
    settings.clip_index = 2
    assert seen() == ["ReFit walk"]
    assert bpy.context.mode == "OBJECT"
    assert bpy.context.scene.camera.name == "walk camera"
    assert bpy.context.active_object.name == "walk person 1"
    assert bpy.context.scene.frame_current == 1
    settings.clip_index = 0  # it has no bodies
    assert seen() == ["ReFit walk"]
    bpy.data.collections.remove(bpy.data.collections["ReFit kick"])
    settings.clip_index = 1
    assert seen() == ["ReFit walk"]


def test_the_table_names_the_least_certain_frames_of_the_clip(movies):
    finished = api.reconstruct_folder(movies("walk.mp4"))
    (clip,) = finished.clips
    rigs = [made.rig for made in clip.motion.outcome.bodies]
    worst = max((one for rig in rigs for one in frames_worth_a_look(rig)), key=lambda one: one[1])
    assert clip.worth_a_look[0] == worst[0]
    assert 1 <= len(clip.worth_a_look) <= 3
    assert bpy.context.scene.refit.clips[0].worth_a_look == ", ".join(map(str, clip.worth_a_look))


def start(path: Path, folder: Path) -> MotionTracking:
    return video_motion(bpy.context, path, Options(), folder)


def test_cancel_in_the_middle_keeps_what_is_finished(engine, movies):
    folder, job_folder = movies("a walk.mp4", "broken b.mp4", "long one.mp4", "z.mp4"), JobFolder()
    job = FolderTracking(bpy.context, folder, start, job_folder.path)
    while "long" not in str(job._present.path):
        job.poll()
    assert str(job.progress).startswith("Clip 3/4")
    before = scene_state()
    job.cancel()
    while not job.poll():
        pass
    assert scene_state() == before
    finished = job.finish(bpy.context)
    job_folder.close()
    assert finished.summary().startswith("Cancelled: 1 of 4 clips, 2 bodies, from clips in ")
    assert [row[0] for row in rows()] == ["a walk.mp4", "broken b.mp4"]
    assert not any("z.mp4" in request["videos"][0]["video"] for request in engine.requests())


def test_cancel_that_comes_after_a_clips_answer_starts_no_other_clip(engine, movies):
    folder, job_folder = movies("kick.mp4", "walk.mp4"), JobFolder()
    job = FolderTracking(bpy.context, folder, start, job_folder.path)
    while not job._present.job.poll():
        pass
    job.cancel()
    assert job.poll()
    finished = job.finish(bpy.context)
    job_folder.close()
    assert finished.summary().startswith("Cancelled: 1 of 2 clips, 2 bodies, from clips in ")
    assert len(engine.requests()) == 1


def test_cancel_before_anything_is_finished_changes_nothing(movies):
    folder, job_folder, before = movies("long one.mp4", "z.mp4"), JobFolder(), scene_state()
    job = FolderTracking(bpy.context, folder, start, job_folder.path)
    job.cancel()
    job.wait()
    with pytest.raises(RefitError, match="Cancelled"):
        job.finish(bpy.context)
    job_folder.close()
    assert scene_state() == before
    assert not rows()


def test_an_engine_that_crashes_is_started_again_for_the_next_clip(engine, movies):
    finished = api.reconstruct_folder(movies("deadly.mp4", "walk.mp4"))
    assert "deadly.mp4: The engine stopped unexpectedly" in finished.messages[0]
    assert [clip.people for clip in finished.clips] == [0, 2]
    assert engine.starts == 2


def test_without_an_engine_one_sentence_says_so(movies, monkeypatch, tmp_path):
    monkeypatch.setenv("REFIT_ENGINE_PYTHON", str(tmp_path / "nothing"))
    before = scene_state()
    with pytest.raises(EngineMissing, match="cannot be started"):
        api.reconstruct_folder(movies("kick.mp4", "walk.mp4"))
    assert scene_state() == before


def test_an_engine_that_does_not_start_is_asked_once(engine, movies):
    (engine.folder / "behaviour").write_text("crash_at_start")
    with pytest.raises(RefitError, match="while starting"):
        api.reconstruct_folder(movies("kick.mp4", "run.mp4", "walk.mp4"))
    assert engine.starts == 1


def test_a_folder_of_broken_clips_changes_nothing(movies):
    folder, before = movies("broken a.mp4", "broken b.mp4"), scene_state()
    with pytest.raises(RefitError, match=r"^All 2 clips failed\. broken a\.mp4: It is no movie\.$"):
        api.reconstruct_folder(folder)
    assert scene_state() == before
    assert not rows()


@pytest.mark.parametrize("names", [(), ("notes.txt",), (".hidden.mp4",)])
def test_a_folder_without_movies_is_one_sentence(movies, names):
    with pytest.raises(SourceError, match=r"^There are no movies in the folder .*clips\.$"):
        api.reconstruct_folder(movies(*names))


def test_a_folder_that_is_not_there_and_boxes_are_refused(movies, tmp_path):
    with pytest.raises(SourceError, match="cannot be read: No such file"):
        api.reconstruct_folder(tmp_path / "none")
    with pytest.raises(SourceError, match="A box belongs to one video"):
        api.reconstruct_folder(movies("walk.mp4"), Options(boxes=[[0, 0, 10, 10]]))


def test_another_run_with_update_moves_the_same_bodies_and_leaves_one_row_each(movies):
    folder = movies("kick.mp4", "walk.mp4")
    api.reconstruct_folder(folder)
    before = scene_state()
    finished = api.reconstruct_folder(folder, update=True)
    assert scene_state() == before
    assert [clip.motion.outcome.updated for clip in finished.clips] == [2, 2]
    assert [row[0] for row in rows()] == ["kick.mp4", "walk.mp4"]
    assert seen() == ["ReFit kick"]


def test_an_update_does_not_overwrite_another_clips_action(engine, movies, pictures):
    engine.prepare_motion(pictures, largest=60.0)
    folder = movies("kick.mp4", "walk.mp4")
    api.reconstruct_folder(folder)
    kick, walk = (bpy.data.objects[name] for name in ("kick", "walk"))
    kick.animation_data.action = walk.animation_data.action
    finished = api.reconstruct_folder(folder, update=True)
    assert finished.messages == (
        "kick.mp4: “kick” has the action of “walk”: give it a copy, or set Next Press to New.",
    )
    kick.animation_data.action = kick.animation_data.action.copy()
    assert [clip.motion.outcome.updated for clip in api.reconstruct_folder(folder, update=True).clips] == [1, 1]


def test_clips_that_cannot_be_updated_stay_hidden(movies):
    folder = movies("kick.mp4", "walk.mp4")
    api.reconstruct_folder(folder)
    for clip in ("kick", "walk"):
        bpy.data.objects[f"{clip} person 1"].pose.bones[3].rotation_mode = "XYZ"
    with pytest.raises(RefitError, match="All 2 clips failed.*rotation mode"):
        api.reconstruct_folder(folder, update=True)
    assert seen() == ["ReFit kick"]


def test_beside_an_override_of_the_folders_collection_there_is_a_new_one(movies, tmp_path):
    folder, library = movies("walk.mp4"), str(tmp_path / "library.blend")
    api.reconstruct_folder(folder)
    bpy.ops.wm.save_as_mainfile(filepath=library)
    bpy.ops.wm.read_homefile(use_empty=True)
    with bpy.data.libraries.load(library, link=True) as (_, wanted):
        wanted.collections = ["clips"]
    linked, scene = bpy.data.collections["clips"], bpy.context.scene
    scene.collection.children.link(linked)
    linked.override_hierarchy_create(scene, bpy.context.view_layer)
    api.reconstruct_folder(folder)
    assert [clip.collection.override_library for clip in scene.refit.clips] == [None]
    assert scene.refit.clips[0].collection in scene.collection.children_recursive


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_clip_whose_name_is_not_in_utf8_is_named_and_does_not_stop_the_others(movies, tmp_path, capsys):
    folder = movies("walk.mp4")
    Path(os.fsdecode(os.fsencode(folder) + b"/k\xff.mp4")).write_bytes(b"a movie")
    assert cli.main(["track", str(folder), "--out", str(tmp_path / "a.blend")]) == 1
    assert "k?.mp4 is not in UTF-8" in capsys.readouterr().err
    assert [row[0] for row in rows()] == ["k?.mp4", "walk.mp4"]


def test_results_are_not_kept_where_the_movies_are(engine, movies):
    folder, before = movies("walk.mp4"), scene_state()
    with pytest.raises(SourceError, match="files there have the names of their folders"):
        api.reconstruct_folder(folder, keep=folder)
    assert scene_state() == before
    assert not (engine.folder / "starts").exists()


def test_the_button_takes_the_panels_settings_and_is_one_undo_step(engine, movies):
    folder, settings = movies("kick.mp4", "broken b.mp4", "walk.mp4"), bpy.context.scene.refit
    settings.people, settings.height, settings.focal_mode = "LARGEST", 1.7, "AUTO"
    bpy.context.preferences.edit.use_global_undo = True
    bpy.ops.ed.undo_push(message="before")
    before = scene_state()
    assert bpy.ops.refit.reconstruct_folder(directory=str(folder)) == {"FINISHED"}
    asked = engine.requests()[-1]
    assert (asked["people"], asked["height"], asked["overlay"]) == ("largest", pytest.approx(1.7), False)
    assert state.remarks == ("broken b.mp4: It is no movie.",)
    assert [row[0] for row in rows()] == ["broken b.mp4", "kick.mp4", "walk.mp4"]
    assert state.job is None
    bpy.ops.ed.undo_push(message="Reconstruct Folder")
    bpy.ops.ed.undo()
    assert scene_state() == before
    assert not rows()


def test_the_button_says_what_is_missing(movies):
    with pytest.raises(RuntimeError, match="No folder is chosen"):
        bpy.ops.refit.reconstruct_folder()
    bpy.context.scene.refit.people = "BOX"
    with pytest.raises(RuntimeError, match="choose All or Largest"):
        bpy.ops.refit.reconstruct_folder(directory=str(movies("walk.mp4")))


def test_progress_counts_clips_and_frames_and_says_the_time_left():
    one = FolderProgress("observe", 119, 300, number=3, count=30, part=0.25, left=4210)
    assert (str(one), one.fraction) == ("Clip 3/30, frame 120/300, 1:10:10 left", 0.25)
    assert str(FolderProgress("solve", number=3, count=30)) == "Clip 3/30, solving"
    assert str(FolderProgress("done", number=3, count=30, left=5, building=True)) == "Building clip 3/30"


def test_the_command_line_saves_what_is_good_and_its_status_says_that_a_clip_failed(movies, tmp_path, capsys):
    folder, out = movies("walk.mp4", "broken b.mp4", "kick.mp4"), tmp_path / "library.blend"
    assert cli.main(["track", str(folder), "--out", str(out), "--keep", str(tmp_path / "kept")]) == 1
    said = capsys.readouterr()
    assert "refit: broken b.mp4: It is no movie." in said.err.splitlines()
    assert said.err.splitlines()[-1] == "refit: 1 of 3 clips failed."
    header, *lines = said.out.splitlines()[-4:]
    assert header.split("  ")[0] == "clip"
    assert header.endswith("frames to look at")
    assert [line.split()[:4:2] for line in lines[1:]] == [["kick.mp4", "2"], ["walk.mp4", "2"]]
    assert lines[0].split() == ["broken", "b.mp4", "failed"]
    assert {path.parent.name for path in (tmp_path / "kept").rglob("motion.npz")} == {"kick.mp4", "walk.mp4"}
    assert out.read_bytes()[:4] == b"\x28\xb5\x2f\xfd"  # compressed: many bodies are many megabytes
    bpy.ops.wm.open_mainfile(filepath=str(out))
    assert sorted(action.name for action in bpy.data.actions if action.asset_data) == [
        "kick person 1",
        "kick person 2",
        "walk person 1",
        "walk person 2",
    ]
    assert tuple(bpy.data.actions["walk person 2"].preview.image_size) == (SIZE, SIZE)
    assert [row[0] for row in rows()] == ["broken b.mp4", "kick.mp4", "walk.mp4"]
    assert seen() == ["ReFit kick"]


def test_the_command_line_ends_well_without_a_bad_clip(movies, tmp_path):
    assert cli.main(["track", str(movies("walk.mp4")), "--out", str(tmp_path / "a.blend")]) == 0


def test_the_command_line_refuses_what_is_about_one_video(movies, tmp_path, capsys):
    folder, out = str(movies("walk.mp4")), str(tmp_path / "a.blend")
    assert cli.main(["track", folder, "--out", out, "--glb", str(tmp_path / "a.glb")]) == 1
    assert "refit: --glb belongs to one video: leave it out for a folder." in capsys.readouterr().err
    assert cli.main(["track", str(tmp_path), "--out", out]) == 1
    assert "holds no movies and no numbered pictures." in capsys.readouterr().err
