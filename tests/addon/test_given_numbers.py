# SPDX-License-Identifier: GPL-3.0-or-later
"""What scripts give that is no number, no file or no folder: one sentence, before anything is asked or changed."""

import bpy
import numpy as np
import pytest
from blender_helpers import scene_state

from refit_blender import api
from refit_blender.engine_job import Options
from refit_blender.errors import RefitError, SourceError

NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize("value", [NAN, INFINITE, "x", [1], True])
@pytest.mark.parametrize(("name", "kind"), [("focal", "a finite number"), ("height", "a finite number")])
def test_lengths_are_finite_numbers(photo, install_fake, name, kind, value):
    fake = install_fake()
    before = scene_state()
    with pytest.raises(SourceError, match=f"must be {kind}, not"):
        api.reconstruct(photo, **{name: value})
    assert scene_state() == before
    assert not (fake.folder / "request.json").exists()


@pytest.mark.parametrize(
    "boxes",
    [[[NAN, 0, 9, 9]], [[0, 0, INFINITE, 9]], [[1, 2, 3]], [1, 2, 3, 4], [[]], "abcd", [["a", "b", "c", "d"]], 5]
    + [[[1, 2, 3], [1, 2, 3, 4]], [[[1]] * 4]],
)
def test_boxes_are_rows_of_four_numbers(photo, boxes):
    with pytest.raises(SourceError, match="Boxes must be rows of four finite numbers x, y, width, height, not"):
        api.reconstruct(photo, boxes=boxes)


def test_no_box_at_all(photo):
    with pytest.raises(SourceError, match="There is no box"):
        api.reconstruct(photo, boxes=[])


@pytest.mark.parametrize("betas", [[NAN] * 10, [0.0] * 9, [[0.0] * 10], "x", 1.0])
def test_shape_is_ten_numbers(photo, betas):
    with pytest.raises(SourceError, match="The shape must be 10 finite numbers, not"):
        api.reconstruct(photo, betas=betas)


def test_shape_that_nobody_has(photo):
    with pytest.raises(SourceError, match="The shape's numbers must lie between"):
        api.reconstruct(photo, betas=[1e9] * 10)


@pytest.mark.parametrize("iterations", [2.5, NAN, None, "5"])
def test_iterations_are_counted(photo, iterations):
    with pytest.raises(SourceError, match="The iterations must be a whole number, not"):
        api.reconstruct(photo, iterations=iterations)


def test_numbers_of_numpy_are_numbers():
    options = Options(
        boxes=np.ones((2, 4), np.float32), betas=np.zeros(10), height=np.float32(1.5), iterations=np.int64(3)
    )
    assert options.parameters()["betas"] == [0.0] * 10
    assert (options.boxes, options.height, options.iterations) == ([[1.0] * 4] * 2, 1.5, 3)
    assert [type(value) for value in (options.height, options.iterations)] == [float, int]


@pytest.mark.parametrize(("name", "sentence"), [("x" * 300 + ".exr", "no picture at"), ("\udcff.png", "rename it")])
def test_names_that_no_file_can_have(tmp_path, name, sentence):
    before = scene_state()
    with pytest.raises(SourceError, match=sentence):
        api.reconstruct(tmp_path / name)
    assert scene_state() == before


@pytest.mark.parametrize("keep", ["file", "file/folder", "\0"])
def test_folder_that_cannot_be_kept_in_is_said_beforehand(photo, install_fake, tmp_path, keep):
    fake = install_fake()
    (tmp_path / "file").write_text("x")
    before = scene_state()
    with pytest.raises(RefitError, match="Nothing can be kept in the folder"):
        api.reconstruct(photo, keep=tmp_path / keep)
    assert scene_state() == before
    assert not (fake.folder / "request.json").exists()


def test_file_that_cannot_be_kept_is_named(photo, install_fake, tmp_path):
    install_fake()
    (tmp_path / "kept" / "result.npz").mkdir(parents=True)
    with pytest.raises(RefitError, match="The bodies are there, but .*result.npz is not"):
        api.reconstruct(photo, keep=tmp_path / "kept")
    assert len(bpy.data.armatures) == 1


def test_failed_gltf_is_one_sentence(photo, install_fake):
    install_fake()
    api.reconstruct(photo)
    with pytest.raises(RefitError) as caught:
        api.export_bodies("/proc/x.glb")
    assert "\n" not in str(caught.value) and "Traceback" not in str(caught.value)
