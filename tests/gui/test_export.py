# SPDX-License-Identifier: GPL-3.0-or-later
"""Export and pose assets in a window: files come back with the joints in place, and another body takes a pose.

The tests tell one story in one Blender, in their order.
"""

import pytest
from desktop import SCREEN, wait_until
from job import SAMPLE_PHOTO

RIG = "rig = next(one for one in bpy.data.objects if 'refit_betas' in one)\n"
HEADS = "[list(one.matrix_world @ one.pose.bones[name].head) for name in names]"
FIRST_TILE = (60, 90)
"""Pixels from the left and the top of the Asset Browser's main region, inside its first picture."""


@pytest.fixture(scope="module", autouse=True)
def a_body(window):
    window.input("mousemove", SCREEN[0] // 3, SCREEN[1] // 2, "sleep", "0.2", "key", "Delete")
    wait_until(lambda: window.ask("answer = 'Cube' not in bpy.data.objects"), "the cube was deleted", 60)


def test_the_photo_becomes_a_body(job):
    job.choose(SAMPLE_PHOTO)
    job.set(people="LARGEST")
    job.click_reconstruct()
    job.wait_for_end(600)
    assert not job.error(), job.error()


@pytest.mark.parametrize("suffix", ["fbx", "glb", "bvh"])  # Debian builds Blender without USD
def test_a_file_comes_back_with_the_joints_in_place(window, job, suffix):
    before = job.content()
    answer = window.ask(
        "import pathlib\n"
        "scene = bpy.context.window_manager.windows[0].scene\n"
        + RIG
        + f"path = str(pathlib.Path(bpy.app.tempdir, 'body.{suffix}'))\n"
        "names = [bone.name for bone in rig.data.bones if bone.name != 'root']\n"
        f"one = rig; wanted = {HEADS}\n"
        "window, area, _, region = view_3d()\n"
        "there = set(bpy.data.objects)\n"
        "with bpy.context.temp_override(window=window, area=area, region=region):\n"
        "    bpy.ops.refit.export_body(filepath=path)\n"
        "    reads = {'fbx': bpy.ops.import_scene.fbx, 'glb': bpy.ops.import_scene.gltf, 'bvh': bpy.ops.import_anim.bvh}\n"
        "    kept = window.scene.name\n"
        f"    reads['{suffix}'](filepath=path)\n"
        "came = next(one for one in set(bpy.data.objects) - there if one.type == 'ARMATURE')\n"
        "if came.animation_data and came.animation_data.action:\n"
        "    scene.frame_set(round(came.animation_data.action.frame_range[0]))\n"
        "names = [name if name in came.pose.bones else name.replace('.', '_') for name in names]\n"
        f"one = came; found = {HEADS}\n"
        "answer = [wanted, found, kept, window.scene.name]\n"
        "scene.frame_set(1)\n"
        "bpy.data.batch_remove(set(bpy.data.objects) - there)\n"
        "bpy.ops.outliner.orphans_purge(do_recursive=True)",
        300,
    )
    wanted, found, *scenes = answer
    assert (
        max(abs(a - b) for one, other in zip(wanted, found, strict=True) for a, b in zip(one, other, strict=True))
        < 1e-3
    )
    assert scenes == ["Scene", "Scene"]
    assert job.content()["armatures"] == before["armatures"]


def test_the_asset_browser_shows_a_pose_and_applies_it_to_another_body(window):
    window.ask(
        RIG + "window, area, _, region = view_3d()\n"
        "with bpy.context.temp_override(window=window, area=area, region=region):\n"
        "    bpy.context.view_layer.objects.active = rig\n"
        "    bpy.ops.refit.pose_asset()\n"
        "    other = rig.copy(); other.name = 'other'; other.animation_data_clear(); other.location.x += 1.5\n"
        "    mesh = rig.children[0].copy(); mesh.parent = other; mesh.modifiers[0].object = other\n"
        "    for item in (other, mesh):\n"
        "        window.scene.collection.objects.link(item)\n"
        "    for bone in other.pose.bones:\n"
        "        bone.matrix_basis.identity()\n"
        "    for item in window.scene.objects:\n"
        "        item.select_set(item == other)\n"
        "    bpy.context.view_layer.objects.active = other\n"
        "    bpy.ops.object.mode_set(mode='POSE')\n"
        "    bpy.ops.pose.select_all(action='SELECT')\n"
        "beside = next(area for area in window.screen.areas if area.type == 'PROPERTIES')\n"
        "beside.ui_type = 'ASSETS'\n"
    )
    wait_until(
        lambda: window.ask(
            "area = next(area for area in bpy.context.window_manager.windows[0].screen.areas if area.ui_type == 'ASSETS')\n"
            "space = area.spaces.active\n"
            "answer = space.params is not None\n"
            "if answer:\n"
            "    space.params.asset_library_reference = 'LOCAL'\n"
            "    space.show_region_toolbar = space.show_region_tool_props = False\n"
            "    area.tag_redraw()"
        ),
        "the Asset Browser was there",
        60,
    )
    window.let_it_work()
    x, y, width, height = window.ask(
        "window = bpy.context.window_manager.windows[0]\n"
        "area = next(area for area in window.screen.areas if area.ui_type == 'ASSETS')\n"
        "region = next(one for one in area.regions if one.type == 'WINDOW')\n"
        "answer = [region.x, window.height - region.y - region.height, region.width, region.height]"
    )
    window.picture("pose-asset")
    assert min(width, height) > 60
    window.click((x + FIRST_TILE[0], y + min(FIRST_TILE[1], height // 2)))
    window.input("click", "--repeat", "2", "--delay", "80", "1")
    window.let_it_work()
    try:
        wait_until(
            lambda: window.ask(
                RIG + "other = bpy.data.objects['other']\n"
                "names = [bone.name for bone in rig.pose.bones if bone.name not in ('root', 'pelvis')]\n"
                "answer = all(rig.pose.bones[name].matrix_basis.to_quaternion().rotation_difference(\n"
                "    other.pose.bones[name].matrix_basis.to_quaternion()).angle < 1e-3 for name in names)"
            ),
            "the other body took the pose",
            60,
        )
    finally:
        window.picture("pose-asset-applied")
