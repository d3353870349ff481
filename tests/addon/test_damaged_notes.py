# SPDX-License-Identifier: GPL-3.0-or-later
"""Custom properties that users have changed or deleted, and cameras that are none: no traceback, nothing lost."""

import bpy
import pytest
from blender_helpers import scene_state

from refit_blender import api
from refit_blender.errors import SourceError
from refit_blender.scene import reconstructions, upright

NAMES = (
    "refit_number",
    "refit_footage",
    "refit_image_size",
    "refit_K",
    "refit_up_cam",
    "refit_up_std_deg",
    "refit_up_standing",
    "refit_bodies",
    "refit_frames",
)


@pytest.mark.parametrize("value", ["x", 5, [1.0], None])
@pytest.mark.parametrize("name", NAMES)
def test_changed_notes_of_a_reconstruction(photo, install_fake, name, value):
    install_fake()
    made = api.reconstruct(photo).outcome
    if value is None:
        del made.collection[name]
    else:
        made.collection[name] = value
    known = reconstructions.Reconstruction(made.collection)
    assert (known.K is None, known.bodies == {}) == (name == "refit_K", name == "refit_bodies")
    made.collection.refit.pitch = 0.1
    upright.set_by_hand(known)
    bpy.context.scene.frame_set(5)
    assert len(api.reconstruct(photo, update=True).outcome.bodies) == 1


@pytest.mark.parametrize("data", [None, "light"])
def test_active_camera_that_is_no_camera_is_named(photo, data):
    light = bpy.data.lights.new("light", "POINT") if data else None
    other = bpy.data.objects.new("other", light)
    bpy.context.scene.collection.objects.link(other)
    bpy.context.scene.camera = other
    before = scene_state()
    with pytest.raises(SourceError, match="“other” is no camera"):
        api.reconstruct_from_camera()
    with pytest.raises(RuntimeError, match="“other” is no camera"):
        bpy.ops.refit.photo_in_renders()
    assert scene_state() == before
