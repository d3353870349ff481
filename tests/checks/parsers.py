# SPDX-License-Identifier: GPL-3.0-or-later
"""Run by the Python that has a program's packages: print as JSON which options and commands programs understand.

    python parsers.py FOLDER_TO_IMPORT_FROM… -- PROGRAM…

A PROGRAM is a module to run as `python -m` would, or module:function, which may also make the parser. Each is run until
it parses its command line; those that take none are not run. The option … says that all others are passed on.
"""

# pyright: reportPrivateUsage=none
# argparse has no public way to ask what a parser understands.

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import runpy
import sys
import traceback
from pathlib import Path
from typing import NoReturn, cast


class Parsing(BaseException):
    """Raised in place of parsing, so that nothing else happens."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__()
        self.parser = parser


def _stop(parser: argparse.ArgumentParser, *_: object, **__: object) -> NoReturn:
    raise Parsing(parser)


def _options(parser: argparse.ArgumentParser) -> list[str]:
    passes_on = any(action.nargs == argparse.REMAINDER for action in parser._actions)
    return [*sorted(parser._option_string_actions), *(["…"] if passes_on else [])]


def _described(parser: argparse.ArgumentParser) -> dict[str, object]:
    commands: dict[str, list[str]] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            below = cast(dict[str, argparse.ArgumentParser], action.choices)
            commands |= {name: _options(sub) for name, sub in below.items()}
    return {"options": _options(parser), "commands": commands}


def _parses(module: str) -> bool:
    """Whether a module's source, or its package's __main__, says that it reads a command line."""
    found = importlib.util.find_spec(module)
    if found and found.submodule_search_locations is not None:
        found = importlib.util.find_spec(f"{module}.__main__")
    if not found or not found.origin:
        raise ModuleNotFoundError(f"there is no module {module} that runs")
    source = Path(found.origin)
    return source.name == "__main__.py" or "parse_args" in source.read_text(encoding="utf-8")


def describe(program: str) -> dict[str, object]:
    """Options and commands of a program; "error" where it cannot be found out."""
    module, _, function = program.partition(":")
    sys.argv = [module]
    try:
        if not function and not _parses(module):
            return {"options": [], "commands": {}}
        if function:
            made = getattr(importlib.import_module(module), function)()
            if isinstance(made, argparse.ArgumentParser):
                return _described(made)
        else:
            runpy.run_module(module, run_name="__main__")
    except Parsing as stopped:
        return _described(stopped.parser)
    except (Exception, SystemExit):  # noqa: BLE001 - whatever a program fails with is what shall be known
        return {"error": traceback.format_exc(limit=-1).strip().splitlines()[-1]}
    return {"error": "it does not parse a command line"}


def main() -> None:
    """Print a JSON object: for each program what it understands."""
    separator = sys.argv.index("--")
    sys.path[:0] = sys.argv[1:separator]
    programs = sys.argv[separator + 1 :]
    for name in ("parse_args", "parse_known_args"):
        setattr(argparse.ArgumentParser, name, _stop)
    told = sys.stdout
    sys.stdout = sys.stderr
    print(json.dumps({program: describe(program) for program in programs}), file=told)


if __name__ == "__main__":
    main()
