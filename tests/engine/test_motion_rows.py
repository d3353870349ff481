# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows that are kept in blocks come out as they went in."""

import numpy as np
import pytest
from refit_engine.fitting.motion.rows import BLOCK, Rows


@pytest.mark.parametrize("count", [0, 1, BLOCK, 2 * BLOCK + 3])
def test_rows_come_out_in_order(count):
    expected = np.random.default_rng(0).normal(size=(count, 4, 2)).astype(np.float32)
    rows, one = Rows(4, 2), np.empty((4, 2))
    for row in expected:
        one[:] = row  # what is added is copied
        rows.append(one)
    assert len(rows) == count
    assert np.array_equal(np.array(rows), expected)
    assert np.array(rows, dtype=np.float64).dtype == np.float64
    assert all(np.array_equal(found, row) for found, row in zip(rows, expected, strict=True))
    with pytest.raises(IndexError):
        rows[count]
