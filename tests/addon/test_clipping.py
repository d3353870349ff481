# SPDX-License-Identifier: GPL-3.0-or-later
"""Cameras and viewports show the body, however long the scene's unit is."""

import bpy
import numpy as np
import pytest
from blender_helpers import evaluated_vertices
from calibration_samples import RIG, rig_toml

from refit_blender import api
from refit_blender.scene import body as bodies

UNITS = [1.0, 0.001, 0.01, 1000.0]


def viewport():
    areas = (area for window in bpy.context.window_manager.windows for area in window.screen.areas)
    return next(area.spaces.active for area in areas if area.type == "VIEW_3D")


def distances(camera, rigs) -> np.ndarray:
    """How far all vertices are from a camera, along its view."""
    vertices = np.concatenate([evaluated_vertices(bodies.body_mesh(rig)) for rig in rigs])
    matrix = np.array(camera.matrix_world)
    return (vertices - matrix[:3, 3]) @ -matrix[:3, 2]


@pytest.mark.parametrize("unit", UNITS)
def test_photos_camera_and_the_viewport_show_the_bodies(photo, install_fake, unit):
    install_fake(people=2)
    bpy.context.scene.unit_settings.scale_length = unit
    outcome = api.reconstruct(photo).outcome
    along = distances(outcome.camera, [made.rig for made in outcome.bodies])
    data = outcome.camera.data
    assert data.clip_start < along.min() and along.max() < data.clip_end
    assert data.display_size == pytest.approx(max(0.01, 0.3 / unit))  # Blender draws none smaller
    assert along.max() < viewport().clip_end


def test_in_metres_clipping_is_blenders_own(photo, install_fake):
    install_fake()
    before = viewport().clip_start, viewport().clip_end
    made = bpy.data.cameras.new("made")
    outcome = api.reconstruct(photo).outcome
    assert (outcome.camera.data.clip_start, outcome.camera.data.clip_end) == (made.clip_start, made.clip_end)
    assert (viewport().clip_start, viewport().clip_end) == before


@pytest.mark.parametrize("unit", UNITS)
def test_imported_cameras_show_the_origin(tmp_path, unit):
    path = tmp_path / "Calib.toml"
    path.write_text(rig_toml())
    bpy.context.scene.unit_settings.scale_length = unit
    for camera, sample in zip(api.import_calibration(path).cameras, RIG, strict=True):
        assert camera.data.clip_start < np.linalg.norm(sample.place) / unit < camera.data.clip_end


@pytest.mark.parametrize(
    ("clip", "sentence"),
    [
        ({"clip_end": 4.0}, "Camera “cam” does not show all of the body: change its Clip End."),
        ({"clip_start": 4.5}, "Camera “cam” does not show all of the body: change its Clip Start."),
        ({}, None),
    ],
)
def test_users_camera_that_clips_the_body_is_named_and_stays_as_it_is(photo, install_fake, clip, sentence):
    install_fake()
    scene = bpy.context.scene
    camera = bpy.data.objects.new("cam", bpy.data.cameras.new("cam"))
    scene.collection.objects.link(camera)
    scene.camera = camera
    camera.data.background_images.new().image = bpy.data.images.load(str(photo))
    for name, value in clip.items():
        setattr(camera.data, name, value)
    before = camera.data.clip_start, camera.data.clip_end
    finished = api.reconstruct_from_camera()
    assert list(finished.messages) == ([sentence] if sentence else [])
    assert (camera.data.clip_start, camera.data.clip_end) == before
