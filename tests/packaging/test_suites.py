# SPDX-License-Identifier: GPL-3.0-or-later
"""The overall line of `build.py test` must not hide a failure."""

import sys

from tests.suites import Suite, Tally, pytest_command


def run(tmp_path, content):
    (tmp_path / "test_something.py").write_text(content)
    report = tmp_path / "report.xml"
    suite = Suite("something", pytest_command(sys.executable, [tmp_path], report, None), {}, report)
    tally = Tally()
    tally.add(suite, suite.run(tmp_path))
    return tally


def test_every_outcome_is_counted(tmp_path):
    content = """
import pytest
def test_good(): pass
def test_bad(): assert False
@pytest.mark.skip
def test_left_out(): pass
@pytest.fixture
def broken(): raise RuntimeError
def test_without_ground(broken): pass
"""
    assert str(run(tmp_path, content)) == "1 passed, 2 failed, 1 skipped"


def test_a_suite_that_dies_in_the_middle_counts_as_failed(tmp_path):
    tally = run(tmp_path, "import os\ndef test_crash(): os._exit(0)\n")
    assert tally.failed == 1
    assert "no report" in tally.remarks[0]


def test_a_suite_that_dies_after_its_tests_counts_as_failed(tmp_path):
    tally = run(tmp_path, "import atexit, os\natexit.register(os._exit, 7)\ndef test_good(): pass\n")
    assert (tally.passed, tally.failed) == (1, 1)


def test_a_suite_without_any_test_left_is_no_failure(tmp_path):
    assert str(run(tmp_path, "")) == "0 passed, 0 failed, 0 skipped"
