# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is who from block to block."""

import numpy as np
from refit_engine.fitting.motion.blocks import Block, BlockTrack
from refit_engine.fitting.motion.frame_fit import Record
from refit_engine.fitting.motion.stitching import stitched
from refit_engine.fitting.motion.tracks import TRACKS, Found, Track, shared_joints

RATE = 10.0
RED, BLUE = np.tile([50.0, 60, 40], 2), np.tile([40.0, 10, -50], 2)


def landmarks(x):
    """Somebody 200 pixels tall at a column x."""
    rows = np.linspace(100, 300, 33)
    return np.column_stack([x + 30 * np.sin(np.arange(33)), rows, np.ones(33)]).astype(np.float32)


def block(start, length, *people):
    """A block whose people have colours and a column by instant."""
    tracks, records = [], {}
    for number, (colours, columns) in enumerate(people):
        frames = sorted(columns)
        record = Record(frames)
        record.landmarks.extend(landmarks(columns[frame]) for frame in frames)
        record.rotmats.extend(np.full((24, 3, 3), frame) for frame in frames)
        record.slants.extend(np.zeros(2) for _ in frames)
        record.depths, record.certainty = [float(frame) for frame in frames], [1.0] * len(frames)
        record.betas = [np.zeros(10)] * len(frames)
        joints = [shared_joints(one) for one in record.landmarks]
        last = Track(number, joints[-1], frames[-1] / RATE, colours)
        tracks.append(BlockTrack(Found(joints[0], colours), frames[0] / RATE, last))
        records[0, number] = record
    return start, Block(np.ones(length, bool), tracks, records)


def columns_of(records):
    return {
        name: {f: round(float(m[:, 0].mean())) for f, m in zip(r.frames, r.landmarks, strict=True)}
        for (_, name), r in records.items()
    }


def test_people_keep_their_tracks_whatever_a_block_numbers_them():
    one, other = {f: 100 + 10 * f for f in range(10)}, {f: 400 - 10 * f for f in range(10)}
    first = block(0, 5, (RED, {f: one[f] for f in range(5)}), (BLUE, {f: other[f] for f in range(5)}))
    second = block(5, 5, (BLUE, {f: other[f] for f in range(3, 10)}), (RED, {f: one[f] for f in range(3, 10)}))
    found = columns_of(stitched(0, [first, second]))
    middle = landmarks(0)[:, 0].mean()
    assert found == {
        0: {f: round(x + middle) for f, x in one.items()},
        1: {f: round(x + middle) for f, x in other.items()},
    }


def test_frames_before_a_block_are_only_for_recognition():
    first = block(0, 5, (RED, dict.fromkeys(range(5), 100)))
    second = block(5, 5, (RED, dict.fromkeys(range(2, 10), 101)))
    (record,) = stitched(0, [first, second]).values()
    assert record.frames == list(range(10))
    assert record.depths == [float(frame) for frame in range(10)]


def test_somebody_who_was_away_is_recognised_by_clothes_and_others_are_new():
    first = block(0, 5, (RED, dict.fromkeys(range(3), 100)))
    second = block(5, 20, (BLUE, dict.fromkeys(range(15, 25), 900)), (RED, dict.fromkeys(range(16, 25), 700)))
    found = stitched(0, [first, second])
    assert found[0, 0].frames == [*range(3), *range(16, 25)]
    assert found[0, 1].frames == list(range(15, 25))


def test_nobody_is_remembered_for_ever():
    later = round(RATE * (TRACKS.memory + 1))
    first = block(0, 5, (RED, dict.fromkeys(range(3), 100)))
    second = block(5, later, (RED, dict.fromkeys(range(later, later + 5), 100)))
    assert [record.frames[0] for record in stitched(0, [first, second]).values()] == [0, later]


def test_somebody_seen_only_before_a_block_leaves_no_empty_track():
    first = block(0, 5, (RED, dict.fromkeys(range(5), 100)))
    second = block(5, 5, (RED, dict.fromkeys(range(3, 10), 100)), (BLUE, {3: 400, 4: 400}))
    assert list(stitched(0, [first, second])) == [(0, 0)]


def test_a_block_without_anybody_is_a_gap():
    first, second = block(0, 5, (RED, dict.fromkeys(range(5), 100))), block(5, 5)
    third = block(10, 5, (RED, dict.fromkeys(range(10, 15), 120)))
    (record,) = stitched(0, [first, second, third]).values()
    assert record.frames == [*range(5), *range(10, 15)]
