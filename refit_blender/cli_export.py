# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line's part about files for other programs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

import bpy

from .cli_values import span
from .contract import Gender, add_option
from .export.formats import SHAPES, SUFFIXES, TARGETS
from .export.write import export_bodies, named_body
from .scene.rigs import RIG_KINDS

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
    command.add_argument(
        "--frames", type=span, metavar="A:B", help="frames of the scene, B included (default: all keys)"
    )
    command.add_argument("--shape", choices=SHAPES, default="baked", help="in the mesh, or as shape keys")


def add_import(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", type=Path, metavar="FILE.npz", help="motion of SMPL's parameters in AMASS' layout")
    command.add_argument("--out", type=Path, required=True, metavar="FILE.blend", help="scene to write")
    command.add_argument("--start", type=int, default=1, metavar="N", help="frame of the first pose (default: 1)")
    add_option(command, "body")
    command.add_argument("--gender", choices=get_args(Gender), help="of the body (default: the file's)")
    command.add_argument("--rig", choices=RIG_KINDS, default="animation", help="rig of the body (default: animation)")
    add_beside(command)


def outputs(options: argparse.Namespace) -> list[Path]:
    """The files that a command shall write."""
    written = ("file",) if options.run is run_export else ("out", *_BESIDE)
    return [path for name in written if (path := getattr(options, name, None)) is not None]


def run_export(options: argparse.Namespace) -> None:
    rigs = [named_body(bpy.context.scene, options.body)] if options.body else None
    first, last = export_bodies(options.file, rigs, target=options.target, frames=options.frames, shape=options.shape)
    print(f"refit: frames {first} to {last} exported to {options.file}")


def export_beside(options: argparse.Namespace) -> None:
    """Write a command's result in the other formats that were asked for; the scene's camera is in the glTF file, too."""
    for name in _BESIDE:
        if path := getattr(options, name):
            export_bodies(path, camera=bpy.context.scene.camera)
