# SPDX-License-Identifier: GPL-3.0-or-later
"""The overall line of `build.py test` must not hide a failure."""

import sys

from tests.suites import Suite, Tally, pytest_command, run_all


def suite_of(folder, content):
    folder.mkdir(exist_ok=True)
    (folder / "test_something.py").write_text(content)
    report = folder / "report.xml"
    return Suite(folder.name, pytest_command(sys.executable, [folder], report, None), {}, report)


def run(tmp_path, content):
    suite = suite_of(tmp_path, content)
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


def test_suites_run_beside_each_other_and_keep_what_they_print(tmp_path):
    waits = """
import pathlib, time
def test_other_one_runs_too():
    print("I am here")
    pathlib.Path("{own}").touch()
    until = time.monotonic() + 60
    while not pathlib.Path("{other}").exists() and time.monotonic() < until: time.sleep(0.01)
    assert pathlib.Path("{other}").exists() and {good}
"""
    first = suite_of(tmp_path / "first", waits.format(own="a", other="b", good=True))
    second = suite_of(tmp_path / "second", waits.format(own="b", other="a", good=False))
    ended = {one.suite.name: one for one in run_all([first, second], tmp_path, at_once=2)}
    assert (ended["first"].exit_code, ended["second"].exit_code) == (0, 1)
    assert "1 passed" in first.output.read_text()
    assert "I am here" in second.output.read_text()
    tally = Tally()
    for one in ended.values():
        tally.add(one.suite, one.exit_code)
    assert str(tally) == "1 passed, 1 failed, 0 skipped"


def test_nothing_to_run(tmp_path):
    assert list(run_all([], tmp_path, at_once=2)) == []
