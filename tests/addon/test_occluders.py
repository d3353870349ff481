# SPDX-License-Identifier: GPL-3.0-or-later
"""Things between the camera and the bodies are found, named and hidden."""

import bpy
import pytest
from mathutils import Vector

from refit_blender.panels_render import before_note
from refit_blender.scene import occluders


def cube(name, place, size=0.6):
    bpy.ops.mesh.primitive_cube_add(size=size, location=place)
    bpy.context.object.name = name
    return bpy.context.object


@pytest.fixture
def reconstruct(photo, install_fake):
    """Call it to make two bodies, the first four and the second five metres before the camera; gives the camera."""

    def press():
        install_fake(people=2)
        bpy.context.scene.refit.image_path = str(photo)
        assert bpy.ops.refit.reconstruct() == {"FINISHED"}
        return bpy.context.scene.camera

    camera = press()
    before = camera.matrix_world.translation + camera.matrix_world.to_3x3() @ Vector((0, 0, -1.5))
    return press, camera, before


def names():
    return [item.name for item in occluders.noted(bpy.context.scene)]


def test_nothing_stands_before_bodies_alone(reconstruct):
    press, _, _ = reconstruct
    press()
    assert names() == []
    assert not bpy.ops.refit.hide_before.poll()


def test_what_stands_before_them_is_named_and_hidden(reconstruct):
    press, camera, before = reconstruct
    cube("Cube", before)
    cube("around the camera", camera.location, 0.5)
    cube("beside", before + Vector((30, 0, 0)))
    cube("behind", before + Vector((0, 30, 0)))
    press()
    assert set(names()) == {"Cube", "around the camera"}
    assert bpy.ops.refit.hide_before() == {"FINISHED"}
    assert names() == []
    hidden = [item.name for item in bpy.context.scene.objects if item.hide_render and item.hide_get()]
    assert set(hidden) == {"Cube", "around the camera"}


def test_things_that_hide_nothing_do_not_count(reconstruct):
    press, _, before = reconstruct
    cube("hidden", before).hide_set(True)
    wire = cube("wire", before, 0.5)
    wire.display_type, wire.hide_render = "WIRE", True
    cube("seen in the viewport only", before, 0.4).hide_render = True
    press()
    assert names() == ["seen in the viewport only"]


def test_deleted_things_are_forgotten(reconstruct):
    press, _, before = reconstruct
    made = cube("Cube", before)
    press()
    bpy.data.objects.remove(made)
    assert names() == []


def test_what_stands_before_one_of_several_cameras_is_named(four_cameras, install_fake):
    fake = install_fake()
    fake.prepare_views(["cam_1", "cam_2", "cam_3", "cam_10"])
    bpy.context.scene.refit.source = "CAMERAS"
    cube("Cube", four_cameras[-1].location, 0.5)
    cube("beside", four_cameras[-1].location + Vector((30, 0, 0)))
    assert bpy.ops.refit.fit_cameras() == {"FINISHED"}
    assert names() == ["Cube"]


def test_sentences():
    assert before_note(["Cube"]) == "“Cube” stands in front of the bodies."
    assert before_note(["Cube", "Wall", "Tree"]) == "“Cube”, “Wall” and “Tree” stand in front of the bodies."


def test_what_stands_before_moving_bodies_is_named(install_fake, pictures):
    install_fake().prepare_motion(pictures)
    settings = bpy.context.scene.refit
    settings.image_path = str(pictures)
    assert bpy.ops.refit.reconstruct_motion() == {"FINISHED"}
    assert names() == []
    rig = bpy.context.object
    head = rig.matrix_world @ rig.pose.bones["head"].head
    cube("Cube", (bpy.context.scene.camera.matrix_world.translation + head) / 2)
    assert bpy.ops.refit.reconstruct_motion() == {"FINISHED"}
    assert names() == ["Cube"]
