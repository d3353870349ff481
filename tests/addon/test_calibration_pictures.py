# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pictures belong to the cameras of a calibration file."""

from pathlib import Path

import pytest
from calibration_samples import RIG, rig_toml, write_colmap

from refit_blender.calibration import find_pictures, read_calibration


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def make(folder: Path, *files: str) -> None:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()


@pytest.mark.parametrize(
    ("files", "left"),
    [
        (["left.png", "middle.png"], "left.png"),
        (["videos/left.mp4", "unrelated/left_board.png"], "videos/left.mp4"),
        (["../videos/LEFT.MP4"], "../videos/LEFT.MP4"),
        (["left.mp4", "left.jpg"], "left.jpg"),
        (["trial_left_01.avi", "leftover.png"], "trial_left_01.avi"),
        (["a_left.png", "b_left.png"], None),
        (["images/left/000000.jpg", "images/left/000001.jpg"], "images/left/000000.jpg"),
        (["left/000003.jpg", "left/000004.jpg"], "left/000003.jpg"),
        (["../holiday/left.png"], None),
        (["notes.txt"], None),
    ],
)
def test_pictures_are_found_by_the_cameras_names(tmp_path, files, left):
    folder = tmp_path / "project" / "calibration"
    folder.mkdir(parents=True)
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    calibration = read_calibration([write(folder, "Calib.toml", rig_toml())])
    found = find_pictures(calibration.cameras, folder / "Calib.toml")[0]
    assert (found and found.path.resolve()) == (left and (folder / left).resolve())
    if left and "0000" in left:
        assert found.kind == "sequence"


def test_pose2sims_names_of_intrinsic_folders(tmp_path):
    calibration = read_calibration([write(tmp_path, "c.toml", rig_toml().replace('"left"', '"int_left_img"'))])
    (tmp_path / "left.mp4").touch()
    assert find_pictures(calibration.cameras, tmp_path / "c.toml")[0].path == tmp_path / "left.mp4"


def test_colmap_names_its_pictures(tmp_path):
    path = write_colmap(tmp_path / "sparse" / "0", binary=False)
    wanted = tmp_path / "images" / "frames" / "left.jpg"
    wanted.parent.mkdir(parents=True)
    wanted.touch()
    found = find_pictures(read_calibration([path]).cameras, path)
    assert [picture and picture.path for picture in found] == [wanted, None, None]


def test_pictures_of_a_chosen_folder_only(tmp_path):
    (tmp_path / "left.png").touch()
    (tmp_path / "other").mkdir()
    calibration = read_calibration([write(tmp_path, "c.toml", rig_toml())])
    assert find_pictures(calibration.cameras, tmp_path / "c.toml", tmp_path / "other")[0] is None


@pytest.mark.parametrize(
    ("names", "files"),
    [
        ("ABC", "2024-05-01-trial1-cam{}.mp4"),
        ("012", "2024-05-01-trial1-cam{}.mp4"),
        ("123", "2024-05-01-cam{}-take 12.avi"),
        ("012", "port_{}.mp4"),
        ("123", "camera_0{}.mov"),
        (("cam_01", "cam_02", "cam_03"), "{}.mp4"),
    ],
)
def test_names_behind_cam(tmp_path, names, files):
    text = rig_toml()
    for sample, name in zip(RIG, names, strict=True):
        text = text.replace(f'name = "{sample.name}"', f'name = "{name}"')
    wanted = [files.format(name.replace("cam_", "cam")) for name in names]
    make(tmp_path / "videos-raw", *wanted)
    path = tmp_path / "calibration" / "calibration.toml"
    path.parent.mkdir()
    path.write_text(text)
    found = find_pictures(read_calibration([path]).cameras, path)
    assert [picture and picture.path.name for picture in found] == wanted


def test_picture_that_two_cameras_would_share_belongs_to_none(tmp_path):
    text = rig_toml().replace('name = "left"', 'name = "1"').replace('name = "middle"', 'name = "01"')
    make(tmp_path, "cam1.png", "right.png")
    found = find_pictures(read_calibration([write(tmp_path, "c.toml", text)]).cameras, tmp_path / "c.toml")
    assert [picture and picture.path.name for picture in found] == [None, None, "right.png"]


def colmap_with_pictures(folder: Path, *names: str) -> Path:
    """A model of images with these names."""
    folder.mkdir(parents=True)
    (folder / "cameras.txt").write_text("1 PINHOLE 640 480 600 600 320 240\n")
    lines = [f"{index} 1 0 0 0 {index} 0 4 1 {name}\n\n" for index, name in enumerate(names, 1)]
    return write(folder, "images.txt", "".join(lines))


def test_nerfstudio_has_pictures_one_level_further_up(tmp_path):
    path = colmap_with_pictures(tmp_path / "colmap" / "sparse" / "0", "frame_00001.jpg", "frame_00002.jpg")
    make(tmp_path / "images", "frame_00001.jpg", "frame_00002.jpg")
    found = find_pictures(read_calibration([path]).cameras, path)
    assert [picture and picture.path.parent for picture in found] == [tmp_path / "images"] * 2


@pytest.mark.parametrize(
    "name", ["{outside}/a.jpg", "../../secret/a.jpg", "images/../../secret/a.jpg", "C:\\\\x\\a.jpg"]
)
def test_pictures_outside_the_searched_folders_are_not_opened(tmp_path, name):
    make(tmp_path, "secret/a.jpg")
    path = colmap_with_pictures(tmp_path / "project" / "sparse" / "0", name.format(outside=tmp_path / "secret"))
    (camera,) = read_calibration([path]).cameras
    assert find_pictures([camera], path) == [None]
    make(tmp_path, "project/images/a.jpg")
    (found,) = find_pictures([camera], path)
    assert found.path == tmp_path / "project/images/a.jpg"


def test_absolute_paths_from_elsewhere_are_told_apart_by_their_folders(tmp_path):
    path = colmap_with_pictures(tmp_path / "sparse" / "0", "/data/shoot/cam1/0001.jpg", "/data/shoot/cam2/0001.jpg")
    make(tmp_path / "images", "cam1/0001.jpg", "cam2/0001.jpg")
    found = find_pictures(read_calibration([path]).cameras, path)
    assert [picture and picture.path.parent.name for picture in found] == ["cam1", "cam2"]


def test_special_files_are_no_pictures(tmp_path):
    import os

    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(tmp_path / "left.png")
    path = write(tmp_path, "c.toml", rig_toml())
    assert find_pictures(read_calibration([path]).cameras, path)[0] is None
