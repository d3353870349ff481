# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of clips after bodies were deleted, and after updates that failed."""

from types import SimpleNamespace

import bpy
import pytest

from refit_blender import api
from refit_blender.panels_clips import REFIT_PT_clips, REFIT_UL_clips

SHOWN = 1 << 30


@pytest.fixture
def folder(install_fake, pictures, tmp_path):
    """A folder with two movies of two people; those called "broken …" cannot be read."""
    install_fake("by_video").prepare_motion(pictures, people=2, rate=25.0)
    made = tmp_path / "clips"
    made.mkdir()
    for name in ("kick.mp4", "walk.mp4"):
        (made / name).write_bytes(b"a movie")
    return made


def listed(search: str = "") -> list[tuple[str, int]]:
    """The rows that the list shows, with their people, in its order."""
    settings = bpy.context.scene.refit
    state = SimpleNamespace(bitflag_filter_item=SHOWN, filter_name=search, use_filter_sort_alpha=False)
    flags, order = REFIT_UL_clips.filter_items(state, bpy.context, settings, "clips")
    assert order == []
    return [(row.name, row.people) for row, flag in zip(settings.clips, flags, strict=True) if flag & SHOWN]


def seen() -> list[str]:
    return [one.name for one in bpy.data.collections if one.name.startswith("ReFit") and not one.hide_viewport]


def delete(*names: str) -> None:
    """As a user does it, with what hangs on it."""
    bpy.ops.object.select_all(action="DESELECT")
    for name in names:
        for item in (bpy.data.objects[name], *bpy.data.objects[name].children):
            item.select_set(True)
    bpy.ops.object.delete()


def test_a_row_goes_with_its_bodies_and_comes_back_with_them(folder):
    api.reconstruct_folder(folder)
    bpy.ops.ed.undo_push(message="reconstructed")
    delete("kick person 1", "kick person 2")
    assert listed() == [("walk.mp4", 2)]
    bpy.ops.ed.undo_push(message="deleted")
    bpy.ops.ed.undo()
    assert listed() == [("kick.mp4", 2), ("walk.mp4", 2)]


def test_a_row_says_how_many_of_its_bodies_are_there(folder):
    api.reconstruct_folder(folder)
    delete("kick person 2")
    assert listed() == [("kick.mp4", 1), ("walk.mp4", 2)]


def test_a_row_goes_with_its_collection(folder):
    api.reconstruct_folder(folder)
    bpy.data.collections.remove(bpy.data.collections["ReFit kick"])
    assert listed() == [("walk.mp4", 2)]
    assert listed("kick") == []
    assert listed("walk") == [("walk.mp4", 2)]


def test_choosing_a_row_without_bodies_changes_nothing(folder):
    api.reconstruct_folder(folder)
    settings = bpy.context.scene.refit
    settings.clip_index = 1
    bpy.data.collections["ReFit kick"].hide_viewport = False
    delete("kick person 1", "kick person 2")
    settings.clip_index = 0
    assert "ReFit walk" in seen()
    assert bpy.context.scene.camera.name == "walk camera"


def test_the_table_is_not_shown_when_all_bodies_are_gone(folder):
    (folder / "broken a.mp4").write_bytes(b"")
    api.reconstruct_folder(folder)
    settings = bpy.context.scene.refit
    for index, clip in ((1, "kick"), (2, "walk")):
        settings.clip_index = index
        delete(f"{clip} person 1", f"{clip} person 2")
    assert listed() == [("broken a.mp4", 0)]  # it never had any
    assert REFIT_PT_clips.poll(bpy.context)
    settings.clips.remove(0)
    assert not REFIT_PT_clips.poll(bpy.context)


def test_another_run_forgets_deleted_clips_and_gives_new_ones_a_row(folder):
    api.reconstruct_folder(folder)
    delete("kick person 1", "kick person 2")
    api.reconstruct_folder(folder, update=True)
    assert sorted(listed()) == [("kick.mp4", 2), ("walk.mp4", 2)]
    assert len(bpy.context.scene.refit.clips) == 2


def state_of_rows() -> list[tuple]:
    return [
        (row.name, row.frames, row.people, row.failed, row.note, row.collection.name)
        for row in bpy.context.scene.refit.clips
    ]


def test_an_update_that_fails_is_said_in_the_clips_own_row(folder):
    api.reconstruct_folder(folder)
    good = state_of_rows()
    walk = bpy.data.objects["walk person 1"].pose.bones[3]
    walk.rotation_mode = "XYZ"  # found when the answer is there
    finished = api.reconstruct_folder(folder, update=True)
    assert [row[:3] for row in state_of_rows()] == [row[:3] for row in good]
    assert [row.failed for row in bpy.context.scene.refit.clips] == [False, True]
    note = bpy.context.scene.refit.clips[1].note
    assert note.startswith("Not updated: ")
    assert note.endswith(finished.clips[1].problem)
    assert seen()[-1] == "ReFit kick"
    walk.rotation_mode = "QUATERNION"
    api.reconstruct_folder(folder, update=True)
    assert [row[:4] for row in state_of_rows()] == [row[:4] for row in good]
    assert "Not updated" not in bpy.context.scene.refit.clips[1].note


def test_an_update_that_cannot_even_begin_is_said_in_the_clips_own_row(folder):
    api.reconstruct_folder(folder)
    bpy.context.scene.refit.clip_index = 0
    bpy.context.view_layer.objects.active = bpy.data.objects["kick person 2"]
    bpy.ops.refit.add_ik()
    api.reconstruct_folder(folder, update=True)
    assert [(row[0], row[2], row[3]) for row in state_of_rows()] == [("kick.mp4", 2, True), ("walk.mp4", 2, False)]
    assert "“kick person 2” has IK" in bpy.context.scene.refit.clips[0].note
    assert bpy.context.scene.refit.clip_index == 1


def test_a_clip_that_failed_and_moves_now_keeps_its_row(folder):
    (folder / "broken a.mp4").write_bytes(b"")
    api.reconstruct_folder(folder)
    assert listed() == [("broken a.mp4", 0), ("kick.mp4", 2), ("walk.mp4", 2)]
    (folder / "broken a.mp4").rename(folder / "again.mp4")
    bpy.context.scene.refit.clips[0].name = "again.mp4"
    api.reconstruct_folder(folder, update=True)
    assert listed() == [("again.mp4", 2), ("kick.mp4", 2), ("walk.mp4", 2)]


def test_a_new_attempt_that_fails_says_nothing_about_the_bodies_that_are_there(folder):
    api.reconstruct_folder(folder)
    bpy.data.collections["ReFit kick"]["refit_footage"] = str((folder / "broken a.mp4").absolute())
    (folder / "broken a.mp4").write_bytes(b"")
    api.reconstruct_folder(folder)
    assert [(row.name, row.failed) for row in bpy.context.scene.refit.clips][:3] == [
        ("kick.mp4", False),
        ("walk.mp4", False),
        ("broken a.mp4", True),
    ]
