# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line's part about files for other programs."""

from __future__ import annotations

import argparse
from pathlib import Path

import bpy

from .export.formats import SHAPES, SUFFIXES, TARGETS
from .export.write import export_bodies, named_body

_BESIDE = ("glb", "fbx", "bvh")
"""Formats in which a job can write its result, too."""


def add_beside(command: argparse.ArgumentParser) -> None:
    """Options of a job for its result in other formats."""
    for name in _BESIDE:
        command.add_argument(f"--{name}", type=Path, metavar=f"FILE.{name}", help="export the scene's bodies, too")


def add_export(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", type=Path, metavar="FILE", help=f"its ending says the format: {', '.join(SUFFIXES)}")
    command.add_argument("--for", dest="target", choices=TARGETS, default="plain", help="program that shall read it")
    command.add_argument("--body", metavar="NAME", help="armature object (default: all ReFit bodies of the scene)")
    command.add_argument("--frames", type=_span, metavar="A:B", help="frames of the scene, B included (default: all keys)")
    command.add_argument("--shape", choices=SHAPES, default="baked", help="in the mesh, or as shape keys")


def outputs(options: argparse.Namespace) -> list[Path]:
    """The files that a command shall write."""
    found = [getattr(options, name, None) for name in ("out", "file", *_BESIDE)]
    return [path for path in found if path is not None]


def run_export(options: argparse.Namespace) -> None:
    rigs = [named_body(bpy.context.scene, options.body)] if options.body else None
    first, last = export_bodies(
        options.file, rigs, target=options.target, frames=options.frames, shape=options.shape
    )
    print(f"refit: frames {first} to {last} exported to {options.file}")


def export_beside(options: argparse.Namespace) -> None:
    """Write a job's result in the other formats that were asked for; the scene's camera is in the glTF file, too."""
    for name in _BESIDE:
        if path := getattr(options, name):
            export_bodies(path, camera=bpy.context.scene.camera)


def _span(text: str) -> tuple[int, int]:
    first, colon, last = text.partition(":")
    try:
        span = int(first), int(last if colon else first)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not A:B with two whole numbers") from None
    if span[0] > span[1]:
        raise argparse.ArgumentTypeError(f"{text!r} ends before it begins")
    return span
