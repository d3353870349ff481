# SPDX-License-Identifier: GPL-3.0-or-later
"""Keypoint maps: asked for like a reconstruction, kept as one image of the file."""

import bpy
import numpy as np
import pytest
from blender_helpers import scene_state

from refit_blender.operators.image_editors import show_image
from refit_blender.session import state


@pytest.fixture
def engine_for_maps(install_fake, photo):
    """An engine that draws a sheet of 30 x 20 pixels."""
    fake = install_fake()
    draw_sheet(fake, 30, 20)
    bpy.context.scene.refit.image_path = str(photo)
    return fake


def draw_sheet(fake, width, height):
    image = bpy.data.images.new("drawn", width, height)
    image.filepath_raw, image.file_format = str(fake.folder / "sheet.png"), "PNG"
    image.save()
    bpy.data.images.remove(image)


def test_maps_are_an_image_of_the_file(engine_for_maps):
    assert bpy.ops.refit.feature_maps() == {"FINISHED"}
    (image,) = bpy.data.images
    assert image.name == "Keypoint Maps" and tuple(image.size) == (30, 20)
    assert image.packed_file is not None and image["refit_keypoint_maps"] == "a photo.png"
    assert np.isfinite(np.array(image.pixels)).all()  # the engine's file is gone
    assert state.report.startswith("67 keypoint maps of a photo.png in ")


def test_maps_are_asked_for_with_the_settings_of_the_panel(engine_for_maps, photo):
    settings = bpy.context.scene.refit
    settings.iterations, settings.people, settings.focal_mode, settings.focal_mm = 7, "BOX", "MANUAL", 35
    box = settings.boxes.add()
    box.left, box.top, box.width, box.height = 10, 20, 30, 40
    bpy.ops.refit.feature_maps()
    asked = engine_for_maps.request()
    assert engine_for_maps.requests()[-1]["method"] == "feature_maps" and asked["iterations"] == 7
    (image,) = asked["images"]
    assert (image["image"], image["bboxes_xywh"], image["focal_mm"]) == (str(photo), [[10, 20, 30, 40]], 35)


def test_scene_has_no_part_in_it(engine_for_maps):
    before = scene_state()
    bpy.ops.refit.feature_maps()
    assert {**scene_state(), "images": []} == {**before, "images": []}


def test_new_maps_take_the_place_of_the_former_ones(engine_for_maps):
    bpy.ops.refit.feature_maps()
    reader = bpy.data.textures.new("shows the maps", "IMAGE")
    reader.image = bpy.data.images["Keypoint Maps"]
    draw_sheet(engine_for_maps, 50, 40)
    bpy.ops.refit.feature_maps()
    (image,) = bpy.data.images
    assert image.name == "Keypoint Maps" and tuple(image.size) == (50, 40) and reader.image == image


def test_several_cameras_have_no_maps(engine_for_maps):
    bpy.context.scene.refit.source = "CAMERAS"
    assert not bpy.ops.refit.feature_maps.poll()


@pytest.mark.parametrize(
    ("behaviour", "says"),
    [
        ("damaged_result", "is no picture"),
        ("fail:NoPersonFound:Nobody was found in a photo.png.", "Nobody was found"),
        ('answer:{"keypoints": 0}', "keypoints is no count"),
        ('answer:{"sheet": "/etc/hostname"}', "not in the job's folder"),
        ("crash", "The engine stopped"),
    ],
)
def test_failure_leaves_the_former_maps(engine_for_maps, behaviour, says):
    bpy.ops.refit.feature_maps()
    before = scene_state()
    (engine_for_maps.folder / "behaviour").write_text(behaviour)
    with pytest.raises(RuntimeError, match=says):
        bpy.ops.refit.feature_maps()
    assert scene_state() == before and tuple(bpy.data.images["Keypoint Maps"].size) == (30, 20)


@pytest.fixture
def areas():
    """The window's areas, which have their kinds back afterwards."""
    found = list(bpy.context.window.screen.areas)
    kinds = [area.ui_type for area in found]
    yield sorted(found, key=lambda area: area.width * area.height)
    for area, kind in zip(found, kinds, strict=True):
        area.ui_type = kind


def test_image_is_shown_in_the_largest_image_editor_that_is_not_pinned(areas):
    small, other, large = areas[-3:]
    for area in (small, other, large):
        area.ui_type = "IMAGE_EDITOR"
    large.spaces.active.use_image_pin = True
    other.ui_type = "UV"
    image = bpy.data.images.new("to be seen", 4, 4)
    show_image(image)
    assert small.spaces.active.image == image
    assert large.spaces.active.image is None and other.spaces.active.image is None
