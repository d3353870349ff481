# SPDX-License-Identifier: GPL-3.0-or-later
"""`build.py check` must see what it is there to see."""

import pytest

from tests.checks import documents, imports, parsers


@pytest.fixture
def package(tmp_path):
    """Writes modules of a package `house` from their sources."""

    def write(**sources):
        folder = tmp_path / "house"
        folder.mkdir()
        (folder / "__init__.py").touch()
        for name, source in sources.items():
            (folder / f"{name}.py").write_text(source)
        return folder

    return write


def test_modules_that_import_each_other_are_a_circle(package):
    folder = package(a="from . import b", b="from .c import thing", c="import house.a\nthing = 1", d="from . import a")
    assert imports.circles(imports.import_graph(folder)) == [["house.a", "house.b", "house.c"]]


def test_imports_for_type_checkers_and_inside_functions_count(package):
    folder = package(
        a="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .b import B",
        b="def work():\n    from .a import A",
    )
    assert imports.circles(imports.import_graph(folder)) == [["house.a", "house.b"]]


def test_a_chain_is_no_circle(package):
    assert imports.circles(imports.import_graph(package(a="from . import b", b="from . import c", c=""))) == []


def test_imports_across_a_border_are_found(package):
    found = imports.forbidden(
        package(a="import torch.nn", b="from torch import Tensor", c="import torchless"), ["torch"]
    )
    assert [finding.rpartition(" ")[2] for finding in found] == ["torch.nn", "torch.Tensor"]


def test_links_lead_to_files_and_headings(tmp_path):
    (tmp_path / "other.md").write_text("# What it is, in short\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](other.md) [b](other.md#what-it-is-in-short) [c](#here) [d](https://example.org)\n# Here\n"
        "[e](gone.md) [f](other.md#elsewhere)\n```\n[g](in-code.md)\n```\n"
    )
    assert [finding.split(": ")[1] for finding in documents.broken_links(page)] == [
        "there is no gone.md",
        "other.md has no heading #elsewhere",
    ]


def test_lines_that_are_too_wide_and_rows_of_too_many_words_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"{'x' * 120}\n{'x' * 121}\n| {'a ' * 40}|\n| {'a ' * 41}| – |\n{'a ' * 50}\n")
    assert [finding.split(":")[1] for finding in documents.unreadable_lines(page)] == ["2", "4"]


def test_named_sources_are_in_the_repository(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("`build.py` `fitting/job.py` `job.py` `ob.py` `gone/job.py`\n```\n`elsewhere.py`\n```\n")
    found = documents.missing_sources(page, ["build.py", "engine/fitting/job.py"])
    assert [finding.split()[-1] for finding in found] == ["ob.py", "gone/job.py"]


def test_printed_commands_are_found_with_what_they_are_given(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        'Run `python -m house.work FOLDER [--fast]`.\n\nT="python -m house.train"\n$T sight --out RUN   # and wait\n'
        "python build.py run \\\n    --out out\n"
    )
    found = {command.program: command.words for command in documents.printed_commands(page)}
    assert found == {
        "house.work": ("FOLDER", "--fast"),
        "house.train": ("sight", "--out", "RUN"),
        "build.py": ("run", "--out", "out"),
    }


@pytest.mark.parametrize(
    "words, finding",
    [
        (("fit", "--out", "DIR"), None),
        (("fit", "--help"), None),
        (("IMAGE",), None),
        (("dance",), "has no command dance"),
        (("fit", "--fast"), "has no option --fast"),
        (("show", "--out=DIR"), "has no option --out"),
    ],
)
def test_words_that_a_program_does_not_know_are_found(words, finding):
    commands = {"fit": frozenset({"--out"}), "show": frozenset()}
    program = documents.Program(frozenset({"-h", "--help"}), commands)
    found = documents.unknown_words(documents.Command("refit", words, "page.md:1"), program)
    assert len(found) == bool(finding)
    assert not finding or finding in found[0]


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Writes a module that can be imported, and describes it."""
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("parse_args", "parse_known_args"):
        monkeypatch.setattr("argparse.ArgumentParser." + name, parsers._stop)
    monkeypatch.setattr("sys.argv", [])

    def described(source):
        (tmp_path / "some_program.py").write_text(source)
        return parsers.describe("some_program")

    return described


def test_a_program_is_described_without_being_run(program):
    source = """
import argparse
parser = argparse.ArgumentParser(add_help=False)
parser.add_argument("--out")
commands = parser.add_subparsers()
commands.add_parser("fit", add_help=False).add_argument("--fast", "-f")
parser.parse_args()
raise SystemError("it was run")
"""
    assert program(source) == {"options": ["--out"], "commands": {"fit": ["--fast", "-f"]}}


def test_a_program_that_reads_no_command_line_is_not_run(program):
    assert program("raise SystemError('it was run')") == {"options": [], "commands": {}}


def test_a_program_that_does_not_start_says_why(program):
    assert "no_such_package" in program("import no_such_package\nparse_args = None")["error"]
