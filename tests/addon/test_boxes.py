# SPDX-License-Identifier: GPL-3.0-or-later
"""Boxes under the mouse, and where a picture's pixels lie in a viewport and in an Image Editor."""

import struct

import bpy
import numpy as np
import pytest

from refit_blender.box_drawing import BoxDrawing, camera_map, editor_map, fitted_map
from refit_blender.properties_boxes import set_boxes
from refit_blender.scene.orientation import Turn, turn_of
from refit_blender.scene.views import CameraView

REACH = 5.0


def pull(drawing, start, end):
    drawing.press(*start, REACH)
    drawing.drag(*end)
    drawing.release(4.0)


@pytest.fixture
def drawing():
    """A picture of 640 x 480 pixels with two boxes, the second one chosen."""
    made = BoxDrawing((640, 480))
    pull(made, (10, 20), (110.4, 220.6))
    pull(made, (400, 300), (300, 100))
    return made


def test_boxes_are_drawn_from_any_corner_in_whole_pixels(drawing):
    assert drawing.whole() == [(10, 20, 100, 201), (300, 100, 100, 200)]
    assert drawing.active == 1


def test_box_ends_at_the_pictures_edge(drawing):
    pull(drawing, (500, 400), (9000, -50))
    assert drawing.whole()[-1] == (500, 0, 140, 400)


def test_slip_of_the_hand_draws_nothing(drawing):
    before = drawing.whole()
    pull(drawing, (500, 400), (503, 470))
    assert drawing.whole() == before


def test_click_inside_chooses_and_delete_removes_that_box(drawing):
    pull(drawing, (60, 60), (60, 60))
    assert drawing.active == 0
    drawing.remove()
    assert drawing.whole() == [(300, 100, 100, 200)]


def test_pulling_the_centre_moves_the_chosen_box_but_not_out_of_the_picture(drawing):
    pull(drawing, (351, 200), (361, 230))
    assert drawing.whole()[1] == (310, 130, 100, 200)
    pull(drawing, (360, 230), (9000, 230))
    assert drawing.whole()[1] == (540, 130, 100, 200)


def test_box_can_begin_in_another_box(drawing):
    pull(drawing, (350, 180), (420, 280))
    assert drawing.whole()[1:] == [(300, 100, 100, 200), (350, 180, 70, 100)]


def test_click_chooses_the_smallest_box_under_it(drawing):
    pull(drawing, (320, 150), (380, 250))
    pull(drawing, (50, 50), (50, 50))
    assert drawing.active == 0
    pull(drawing, (350, 220), (351, 220))
    assert drawing.active == 2
    assert len(drawing.boxes) == 3


def test_corner_of_the_chosen_box_resizes_it(drawing):
    pull(drawing, (302, 298), (250, 350))
    assert drawing.whole()[1] == (250, 100, 150, 250)


def test_undo_takes_back_step_by_step(drawing):
    drawing.remove()
    pull(drawing, (60, 60), (70, 80))
    for expected in [1, 2, 1, 0, 0]:
        drawing.undo()
        assert len(drawing.boxes) == expected


def test_drag_that_is_given_up_leaves_the_boxes_as_they_were(drawing):
    before = drawing.whole()
    drawing.press(350, 200, REACH)
    drawing.drag(380, 220)
    drawing.abort()
    assert drawing.whole() == before and not drawing.dragging


def test_box_can_be_deleted_while_it_is_drawn():
    drawing = BoxDrawing((640, 480))
    drawing.press(350, 200, REACH)
    drawing.remove()
    drawing.drag(380, 220)
    drawing.release(4.0)
    assert drawing.whole() == [] and not drawing.dragging


def test_picture_fits_into_the_free_place_and_grows_around_it():
    free = (50.0, 10.0, 850.0, 410.0)
    where = fitted_map(free, (200, 200))
    np.testing.assert_allclose(where.to_region(np.array([[0.0, 0], [200, 200]])), [[250, 410], [650, 10]])
    zoomed = fitted_map(free, (200, 200), zoom=2.0, pan=(7.0, -3.0))
    np.testing.assert_allclose(zoomed.to_region(np.array([[100.0, 100], [200, 100]])), [[457, 207], [857, 207]])
    assert zoomed.scale == pytest.approx(4.0)


def test_image_editor_counts_from_the_bottom_and_in_sides_of_the_picture():
    where = editor_map((-0.5, -0.25), (1.5, 1.25), (800.0, 600.0), (640, 480))
    corners = np.array([[0.0, 0], [640, 480], [320, 0]])
    np.testing.assert_allclose(where.to_region(corners), [[200, 500], [600, 100], [400, 500]])
    np.testing.assert_allclose(where.to_picture(where.to_region(corners)), corners, atol=1e-9)


@pytest.mark.parametrize("unit", [1.0, 0.001])
def test_camera_view_maps_each_pixel_to_where_its_ray_is_seen(unit):
    """Against the projection of a point far along the ray of a turned camera with a principal point off the centre."""
    K = np.array([[700.0, 0, 300], [0, 650, 260], [0, 0, 1]])
    c, s = np.cos(0.4), np.sin(0.4)
    R = np.array([[c, 0, s], [s * 0.6, 0.8, -c * 0.6], [-s * 0.8, 0.6, c * 0.8]])
    t = np.array([0.3, -0.2, 1.5])
    view = CameraView("cam", None, (640, 480), K, R, t)
    # As Blender's: Y up, the depth negative; zoomed and moved.
    projection = np.array([[2.1, 0, 0.1, 0], [0, 2.8, -0.2, 0], [0, 0, -1, -0.2], [0, 0, -1, 0]])
    world_to_view = np.eye(4)
    world_to_view[:3] = np.diag([1, -1, -1]) @ np.column_stack([R, t / unit])
    perspective = projection @ world_to_view
    where = camera_map(view, perspective, (900.0, 700.0), unit)
    for pixel in ([12.0, 34.0], [600.5, 20.25], [320.0, 479.0]):
        point = R.T @ (np.linalg.inv(K) @ [*pixel, 1] * 7.3 - t) / unit
        clip = perspective @ [*point, 1]
        np.testing.assert_allclose(
            where.to_region(np.array([pixel])), [(clip[:2] / clip[3] + 1) / 2 * [900, 700]], atol=1e-6
        )


def exif(orientation, order=">"):
    """EXIF data with this tag."""
    magic = b"MM" if order == ">" else b"II"
    return magic + struct.pack(f"{order}HIH", 42, 8, 1) + struct.pack(f"{order}HHIHH", 0x0112, 3, 1, orientation, 0)


def jpeg(data):
    data = b"Exif\0\0" + data
    return b"\xff\xd8\xff\xe0" + struct.pack(">H", 4) + b"JF\xff\xe1" + struct.pack(">H", len(data) + 2) + data


def png(data):
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I4s", 3, b"IHDR")
        + b"abcsum."
        + struct.pack(">I4s", len(data), b"eXIf")
        + data
    )


def webp(data):
    return b"RIFF....WEBP" + struct.pack("<4sI", b"VP8X", 3) + b"abc." + struct.pack("<4sI", b"EXIF", len(data)) + data


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [(1, (0, False)), (3, (2, False)), (6, (1, False)), (8, (3, False)), (5, (1, True)), (99, (0, False))],
)
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("container", [jpeg, png, webp])
def test_orientation_of_a_photo(tmp_path, container, orientation, turn, order):
    path = tmp_path / "photo"
    path.write_bytes(container(exif(orientation, order)))
    assert turn_of(path) == turn


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xd8\xff",
        jpeg(exif(6))[:30],
        jpeg(exif(6)).replace(b"Exif", b"None"),
        b"\x89PNG",
        png(exif(6))[:-6],
        webp(b""),
    ],
)
def test_damaged_and_foreign_files_are_not_turned(tmp_path, content):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    assert turn_of(path) == Turn()


def test_boxes_are_typed_added_and_removed():
    settings = bpy.context.scene.refit
    set_boxes(settings, [(1, 2, 3, 4), (5, 6, 7, 8)])
    assert settings.box_index == 1
    bpy.ops.refit.add_box()
    settings.boxes[2].left = 11
    assert [box.numbers() for box in settings.boxes] == [[1, 2, 3, 4], [5, 6, 7, 8], [11, 0, 100, 200]]
    settings.box_index = 0
    bpy.ops.refit.remove_box()
    assert [box.numbers()[0] for box in settings.boxes] == [5, 11]


def test_another_picture_has_other_boxes(photo):
    settings = bpy.context.scene.refit
    settings.image_path = str(photo)
    set_boxes(settings, [(1, 2, 3, 4)])
    settings.image_path = str(photo)
    assert len(settings.boxes) == 1
    settings.image_path = "other.png"
    assert len(settings.boxes) == 0


def test_boxes_are_kept_with_the_file(tmp_path):
    set_boxes(bpy.context.scene.refit, [(1, 2, 3, 4)])
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "kept.blend"))
    bpy.ops.wm.read_homefile(use_empty=True)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "kept.blend"))
    assert [box.numbers() for box in bpy.context.scene.refit.boxes] == [[1, 2, 3, 4]]


def test_drawing_needs_a_window():
    with pytest.raises(RuntimeError, match="poll"):
        bpy.ops.refit.draw_boxes("INVOKE_DEFAULT")
