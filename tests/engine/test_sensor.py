# SPDX-License-Identifier: GPL-3.0-or-later
"""The world's up from the notes of phones and drones, against how such a picture was held."""

import math
import struct

import numpy as np
import picture_files
import pytest
from refit_engine.formats import Turn
from refit_engine.images import read_photo
from refit_engine.sensor import turned_up

MAKER_NOTE, LENS, ORIENTATION = 0x927C, 0xA434, picture_files.ORIENTATION
# Gravity in the phone's frame (right, top, out of the screen) for each way of holding it level, and its orientation.
HELD = {1: (-1.0, 0.0, 0.0), 3: (1.0, 0.0, 0.0), 6: (0.0, -1.0, 0.0), 8: (0.0, 1.0, 0.0)}
UP = (0.0, -1.0, 0.0)


def apple_note(*acceleration, order=">"):
    """As phones lay it out: a directory with one tag, whose rationals follow it."""
    rationals = b"".join(struct.pack(order + "ii", round(value * 10000), 10000) for value in acceleration)
    directory = struct.pack(order + "HHHII", 1, 8, 10, 3, 14 + 2 + 12 + 4) + struct.pack(order + "I", 0)
    return b"Apple iOS\0\0\1" + {"<": b"II", ">": b"MM"}[order] + directory + rationals


def up_of(folder, kind="jpg", image=None, acceleration=None, orientation=None, xmp=b"", lens=b""):
    """`up_sensor` of a photo, as stored and upright."""
    tags = {}
    if acceleration is not None:
        tags[MAKER_NOTE] = ("B", apple_note(*acceleration))
    if orientation:
        tags[ORIENTATION] = ("H", orientation)
    if lens:
        tags[LENS] = ("B", lens)
    path = folder / "photo"
    path.write_bytes(picture_files.saved(kind, image, tags, xmp))
    photo = read_photo(path)
    return photo.up_sensor, photo.upright().up_sensor


@pytest.mark.parametrize("kind", picture_files.WRITERS)
@pytest.mark.parametrize("orientation", HELD)
def test_level_phone_has_up_at_the_top_of_the_upright_picture(tmp_path, kind, orientation):
    _, up = up_of(tmp_path, kind, acceleration=HELD[orientation], orientation=orientation)
    np.testing.assert_allclose(up, UP, atol=1e-6)


@pytest.mark.parametrize("kind", ["jpg", "heic"])
def test_phone_that_looks_down_and_is_rolled(tmp_path, kind):
    """30 degrees down: up leans towards the viewer (-Z). Rolled clockwise by 10: up leans to the picture's left."""
    pitch, roll = math.radians(30), math.radians(10)
    # Held upright: gravity points to the phone's bottom; looking down turns it away from the screen's side.
    _, up = up_of(tmp_path, kind, acceleration=(0, -math.cos(pitch), -math.sin(pitch)), orientation=6)
    np.testing.assert_allclose(up, (0, -math.cos(pitch), -math.sin(pitch)), atol=1e-3)
    # The phone's top goes to the right: gravity is then to the right of its bottom.
    _, up = up_of(tmp_path, kind, acceleration=(math.sin(roll), -math.cos(roll), 0), orientation=6)
    np.testing.assert_allclose(up, (-math.sin(roll), -math.cos(roll), 0), atol=1e-3)


def test_stored_pixels_have_up_where_it_lies_in_them(tmp_path):
    """Orientation 6: the upright picture's top is the stored picture's left side."""
    stored, _ = up_of(tmp_path, acceleration=HELD[6], orientation=6)
    np.testing.assert_allclose(stored, (-1, 0, 0), atol=1e-6)


def test_mirrored_orientation_mirrors_up(tmp_path):
    roll = math.radians(20)
    gravity = (-math.cos(roll), -math.sin(roll), 0.0)
    plain = up_of(tmp_path, acceleration=gravity, orientation=1)[1]
    mirrored = up_of(tmp_path, acceleration=gravity, orientation=2)[1]
    np.testing.assert_allclose(mirrored, plain * (-1, 1, 1), atol=1e-6)
    assert abs(plain[0]) > 0.3


@pytest.mark.parametrize("held, size", [(1, (120, 80)), (3, (120, 80)), (6, (80, 120)), (8, (80, 120))])
def test_photo_that_a_program_turned_and_marked_as_upright(tmp_path, held, size):
    for orientation in (None, 1):
        image = picture_files.picture(*size)
        _, up = up_of(tmp_path, image=image, acceleration=HELD[held], orientation=orientation)
        np.testing.assert_allclose(up, UP, atol=1e-6)


def test_turned_photo_that_looks_straight_down_was_turned_once(tmp_path):
    down = (0.1, -0.2, -0.97)
    _, marked = up_of(tmp_path, acceleration=down, orientation=6)
    _, turned = up_of(tmp_path, image=picture_files.picture(80, 120), acceleration=down)
    np.testing.assert_allclose(turned, marked, atol=1e-6)


def test_up_is_a_unit_vector_and_absent_where_the_phone_was_shaken(tmp_path):
    stored, _ = up_of(tmp_path, acceleration=(-1.05, 0.02, 0.1), orientation=1)
    assert np.linalg.norm(stored) == pytest.approx(1)
    for shaken in (0.5, 1.2):
        assert up_of(tmp_path, acceleration=(-shaken, 0, 0), orientation=1)[0] is None


def test_front_camera_other_makers_and_damaged_notes_tell_nothing(tmp_path):
    front = up_of(tmp_path, acceleration=HELD[6], orientation=6, lens=b"iPhone 12 front camera 2.71mm f/2.2\0")
    assert front[0] is None
    note = apple_note(*HELD[1])
    for damaged in (b"Nikon\0" + note, note[:20], note[:-4], note[:14] + b"\xff" * 40, b"Apple iOS\0"):
        path = tmp_path / "photo.jpg"
        path.write_bytes(picture_files.saved("jpg", tags={MAKER_NOTE: ("B", damaged)}))
        assert read_photo(path).up_sensor is None


@pytest.mark.parametrize("kind", [kind for kind in picture_files.WRITERS if kind != "avif"])
def test_drone_that_looks_down(tmp_path, kind):
    xmp = b'<rdf:Description drone-dji:GimbalRollDegree="+5.00" drone-dji:GimbalPitchDegree="-40.00"/>'
    up, _ = up_of(tmp_path, kind, xmp=xmp)
    pitch, roll = math.radians(-40), math.radians(5)
    expected = (-math.sin(roll) * math.cos(pitch), -math.cos(roll) * math.cos(pitch), math.sin(pitch))
    np.testing.assert_allclose(up, expected, atol=1e-9)


def test_drone_angles_as_elements_and_senseless_ones(tmp_path):
    def up(xmp):
        return up_of(tmp_path, xmp=xmp)[0]

    as_element = up(b"<drone-dji:GimbalPitchDegree>-90.0</drone-dji:GimbalPitchDegree>")
    np.testing.assert_allclose(as_element, (0, 0, -1), atol=1e-9)
    assert up(b'<x drone-dji:GimbalPitchDegree="-400"/>') is None
    assert up(b'<x drone-dji:GimbalPitchDegree="0" drone-dji:GimbalRollDegree="90"/>') is None
    assert up(b'<x drone-dji:FlightPitchDegree="-4"/>') is None


def test_turning_up_four_times_is_no_turn():
    up = np.array([0.2, -0.9, 0.3])
    for quarters in range(4):
        back = turned_up(turned_up(up, Turn(quarters)), Turn((4 - quarters) % 4))
        np.testing.assert_allclose(back, up)
