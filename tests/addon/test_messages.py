# SPDX-License-Identifier: GPL-3.0-or-later
"""What the panel says about the last job, until another one is prepared; pictures keep their names in it."""

import bpy
import pytest

from refit_blender.scene import images
from refit_blender.session import state


@pytest.fixture
def settings(photo, install_fake):
    """The panel's settings after a job that failed and told why."""
    install_fake("fail:NoPersonFound:Nobody was found in a photo.png.")
    found = bpy.context.scene.refit
    found.image_path = str(photo)
    with pytest.raises(RuntimeError):
        bpy.ops.refit.reconstruct()
    assert state.error == "Nobody was found in a photo.png."
    return found


@pytest.mark.parametrize(("name", "value"), [("image_path", "other.png"), ("source", "EMPTY"), ("source", "CAMERAS")])
def test_choosing_something_else_clears_it(settings, name, value):
    setattr(settings, name, value)
    assert not state.error and not state.report


def test_other_settings_do_not(settings):
    settings.iterations = 7
    assert state.error


def test_another_file_is_another_scene(settings):
    bpy.ops.wm.read_homefile(use_empty=True)
    assert not state.error


def test_copies_are_called_after_their_pictures(photo, tmp_path):
    image = bpy.data.images.load(str(photo))
    image.pack()
    assert images.image_file(image, tmp_path).name == "a photo.png"
    assert images.footage_of(image) == str(photo)
    painted = bpy.data.images.new("my: painting", 8, 8)
    assert images.image_file(painted, tmp_path).name == "my_ painting.png"
