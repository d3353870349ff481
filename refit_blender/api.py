# SPDX-License-Identifier: GPL-3.0-or-later
"""ReFit for scripts, the same functions that the buttons call.

from bl_ext.user_default.refit_blender import api
finished = api.reconstruct("photo.jpg", people="largest")
finished.outcome.bodies[0].rig.location.x += 1
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import bpy

from . import engine
from .engine_job import Device, Gender, JobFolder, Options, People
from .errors import RefitError
from .jobs import EngineInfo
from .progress import Progress
from .reconstruction import Finished, Reconstruction
from .scene.sources import Source, camera_source, file_source

__all__ = ["engine_info", "export_glb", "reconstruct", "reconstruct_from_camera"]


def reconstruct(
    image: str | Path,
    *,
    focal: float | None = None,
    people: People = "all",
    boxes: Sequence[Sequence[float]] | None = None,
    body: str | Path | None = None,
    gender: Gender = "neutral",
    weights: str | Path | None = None,
    betas: Sequence[float] | None = None,
    iterations: int = 5,
    device: Device = "auto",
    keep: str | Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Finished:
    """Reconstruct the people of a picture: a matching camera and a rigged body for each, in the current scene.

    focal: in pixels; by default from the photo's EXIF data. boxes: [[x, y, w, h], ...] in pixels, instead of
    detection. betas [10]: keep this shape. keep: a folder for `result.npz` and `overlay.png`.
    Blocks. Raises a RefitError, whose message is one sentence; the scene is as before then.
    """
    options = Options(
        people=people,
        boxes=boxes,
        body=Path(body) if body else None,
        gender=gender,
        weights=Path(weights) if weights else None,
        betas=betas,
        iterations=iterations,
        device=device,
        overlay=keep is not None,
    )
    return _run(lambda _folder: file_source(Path(image), focal=focal), options, keep, on_progress)


def reconstruct_from_camera(
    options: Options = Options(),
    *,
    keep: str | Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Finished:
    """Reconstruct the people in the background image of the scene's camera, in front of that camera. See `reconstruct`."""

    def source(folder: Path) -> Source:
        return camera_source(bpy.context.scene, bpy.context.evaluated_depsgraph_get(), folder)

    return _run(source, options, keep, on_progress)


def engine_info() -> EngineInfo:
    """Start the engine if need be and say what it is. Raises a RefitError."""
    return engine.resident().wait_ready()


def export_glb(path: str | Path) -> None:
    """Write the scene as binary glTF, the bodies in their poses. Raises RefitError where the exporter fails."""
    try:
        bpy.ops.export_scene.gltf(
            filepath=str(Path(path).absolute()),
            export_format="GLB",
            export_cameras=True,
            # The joints' rest is what the skin is bound to; without this the exported body stands in it.
            export_rest_position_armature=False,
        )
    except RuntimeError as error:
        raise RefitError(f"{path} could not be written: {str(error).strip()}.") from error


def _run(
    make_source: Callable[[Path], Source],
    options: Options,
    keep: str | Path | None,
    on_progress: Callable[[Progress], None] | None,
) -> Finished:
    folder = JobFolder()
    try:
        job = Reconstruction(make_source(folder.path), options, folder.path)
        job.wait(on_progress)
        finished = job.finish(bpy.context)
        if keep is not None:
            Path(keep).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(finished.npz, Path(keep) / "result.npz")
            if finished.overlay:
                shutil.copyfile(finished.overlay, Path(keep) / "overlay.png")
        return finished
    finally:
        folder.close()
