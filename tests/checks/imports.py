# SPDX-License-Identifier: GPL-3.0-or-later
"""Which module imports which: no circles, and nobody imports what is not theirs.

Every import counts: those inside functions and those for type checkers alone, too. Whoever reads a module has to know
what it imports, whenever that happens.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

Graph = Mapping[str, set[str]]


def module_files(package: Path) -> dict[str, Path]:
    """The modules of a package by their dotted names, such as `refit_engine.body.model`."""
    files: dict[str, Path] = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return files


def imported_names(name: str, path: Path) -> Iterator[str]:
    """Dotted names that a module imports: `a.b` for `import a.b`, `a.b.c` for `from a.b import c`."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def import_graph(package: Path) -> dict[str, set[str]]:
    """For each module of a package, the modules of the same package that it imports."""
    files = module_files(package)
    graph: dict[str, set[str]] = {}
    for name, path in files.items():
        found: set[str] = set()
        for imported in imported_names(name, path):
            # `from package import thing`: the thing is a module, or a name inside the package's __init__.
            parent = imported.rpartition(".")[0]
            found.update([imported] if imported in files else [parent] if parent in files else [])
        graph[name] = found - {name}
    return graph


def circles(graph: Graph) -> list[list[str]]:
    """The groups of modules that import each other, directly or through others, each sorted by name."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for one in graph[waiting.pop()] - seen:
                seen.add(one)
                waiting.append(one)
        return seen

    reach = {name: reached(name) for name in graph}
    groups = {tuple(sorted(other for other in reach[name] if name in reach[other])) for name in graph}
    return sorted(list(group) for group in groups if group)


def forbidden(package: Path, roots: Iterable[str]) -> list[str]:
    """Findings for modules of a package that import one of the top-level packages `roots`."""
    roots = set(roots)
    return [
        f"{path}: imports {imported}"
        for name, path in module_files(package).items()
        for imported in imported_names(name, path)
        if imported.partition(".")[0] in roots
    ]
