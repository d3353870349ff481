# SPDX-License-Identifier: GPL-3.0-or-later
"""ReFit for scripts, the same functions that the buttons call.

from bl_ext.user_default.refit_blender import api
finished = api.reconstruct("photo.jpg", people="largest")
finished.outcome.bodies[0].rig.location.x += 1
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import bpy

from . import engine
from .blocking import run_job
from .calibration.world import Axis
from .calibration_import import import_rig
from .camera_fit import DEFAULT_NAME, CameraFit, FinishedFit, read_views
from .clip_folder import reconstruct_folder
from .contract import OPTIONS, VIEWS_ITERATIONS, Device, Gender, People
from .engine_job import EngineJob, Options, body_kind
from .errors import SourceError
from .export.pose_assets import pose_asset
from .export.write import export_bodies
from .jobs import EngineInfo
from .motion import WHOLE, FinishedMotion, MotionTracking, Wanted, cameras_motion, video_motion
from .motion_import import FinishedImport, MotionImport
from .person_addition import PersonAddition, find_reconstruction
from .photo_update import FinishedUpdate, photo_job
from .progress import Progress
from .reconstruction import Finished
from .retargeting import retarget
from .scene import body as bodies
from .scene import conversion
from .scene.assemble import leave_edit_mode
from .scene.calibrated import CameraRig
from .scene.camera_choice import choose
from .scene.rigs import RigKind
from .scene.sources import camera_source, file_source
from .shape_fit import FinishedShape, ShapeFit, shape_from_pictures

__all__ = [
    "add_person",
    "convert_rig",
    "engine_info",
    "export_bodies",
    "fit_cameras",
    "fit_motion_from_cameras",
    "import_calibration",
    "import_motion",
    "pose_asset",
    "reconstruct",
    "reconstruct_folder",
    "reconstruct_from_camera",
    "reconstruct_motion",
    "retarget",
    "shape_of",
]


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
    height: float | None = None,
    iterations: int = OPTIONS["iterations"].default,
    device: Device = "auto",
    rig: RigKind = "animation",
    root_motion: bool = True,
    update: bool = False,
    pack: bool = False,
    keep: str | Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Finished | FinishedUpdate:
    """Reconstruct the people of a picture: a matching camera and a rigged body for each, in the current scene.

    The first person stands at the 3D cursor. focal: in pixels; by default from the photo's EXIF data. boxes:
    [[x, y, w, h], ...] in pixels, instead of detection. body: SMPL file; gender: of the bundled body, or which one of a
    folder with SMPL files. betas [10]: keep this shape. height: metres that the person, or
    the largest of several, measures standing. update: pose the bodies that the picture, or another one of its numbered
    sequence, gave before, and key them at the current frame. rig: of new bodies; root_motion: its root bone follows the
    body over the floor. pack: keep the picture in the blend file. keep: a folder
    for `result.npz` and `overlay.png`.
    Blocks. Raises a RefitError, whose message is one sentence; the scene is as before then.
    """
    options = Options(
        people=people,
        boxes=boxes,
        body=Path(body) if body else None,
        gender=gender,
        weights=Path(weights) if weights else None,
        betas=betas,
        height=height,
        iterations=iterations,
        device=device,
        rig=rig,
        root_motion=root_motion,
        overlay=keep is not None,
    )

    def job(folder: Path) -> EngineJob:
        source = file_source(Path(image), folder, focal=focal)
        return photo_job(bpy.context, source, options, folder, update=update, pack=pack)

    return run_job(job, keep, on_progress)


def reconstruct_from_camera(
    options: Options = Options(),
    *,
    update: bool = False,
    keep: str | Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Finished | FinishedUpdate:
    """Reconstruct the people in the background image of the scene's camera, in front of that camera. See `reconstruct`."""

    def job(folder: Path) -> EngineJob:
        source = camera_source(bpy.context.scene, bpy.context.evaluated_depsgraph_get(), folder)
        return photo_job(bpy.context, source, options, folder, update=update, pack=False)

    return run_job(job, keep, on_progress)


def reconstruct_motion(
    video: str | Path,
    options: Options = Options(),
    *,
    wanted: Wanted = WHOLE,
    start: int = 1,
    focal: float | None = None,
    update: bool = False,
    keep: str | Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> FinishedMotion:
    """Follow the people of a video: a matching camera with the video behind it, and an animated body for each.

    video: a movie, one of numbered pictures, or their folder. wanted: which frames, counted from 0; a single box in the
    options belongs to the first of them, or to `box_frame`. start: frame of the scene that shows frame 0. focal: in
    pixels. A scene in which nothing moves takes the video's rate and range. update: replace these frames of the bodies
    that the video gave before. keep: a folder for `motion.npz` and `overlay.mp4`.
    Blocks. Raises a RefitError, whose message is one sentence; the scene is as before then.
    """
    options = replace(options, overlay=options.overlay or keep is not None)

    def job(folder: Path) -> MotionTracking:
        return video_motion(
            bpy.context, Path(video), options, folder, start=start, wanted=wanted, focal=focal, update=update
        )

    return run_job(job, keep, on_progress)


def fit_motion_from_cameras(
    cameras: Sequence[str] | None = None,
    options: Options = Options(),
    *,
    collection: str | None = None,
    span: tuple[int, int] | None = None,
    step: int = 1,
    update: bool = False,
    keep: str | Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> FinishedMotion:
    """Follow the people whom cameras of the scene, one or several, see in the movies behind them.

    cameras: names of camera objects; or collection: name of one that holds them; by default all that have an image.
    They are read at every frame, so that they may move. span: the first and the last frame of the scene that is wanted,
    by default all that the first camera's movie has. For the rest see `reconstruct_motion`.
    """
    options = replace(options, overlay=options.overlay or keep is not None)

    def job(folder: Path) -> MotionTracking:
        chosen = choose(bpy.context, cameras, collection)
        if not chosen:
            raise SourceError("There is no camera with a movie behind it.")
        if problem := next((one.problem for one in chosen if one.problem), ""):
            raise SourceError(problem)
        found = [one.camera for one in chosen]
        name = found[0].name if len(found) == 1 else collection or DEFAULT_NAME
        return cameras_motion(bpy.context, name, found, options, folder, span=span, step=step, update=update)

    return run_job(job, keep, on_progress)


def add_person(
    reconstruction: str,
    box: Sequence[float],
    options: Options = Options(),
    *,
    keep: str | Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Finished:
    """Add a person whom a reconstruction of one picture missed: same camera, same world; its bodies stay as they are.

    reconstruction: name of its collection, of its camera or of one of its bodies; box: (x, y, w, h) in pixels of the
    picture; options: the boxes in there do not count.
    Blocks. Raises a RefitError, whose message is one sentence; the scene is as before then.
    """
    context = bpy.context
    known = find_reconstruction(context.scene, reconstruction)
    return run_job(lambda folder: PersonAddition(context, known, [box], options, folder), keep, on_progress)


def fit_cameras(
    cameras: Sequence[str] | None = None,
    *,
    collection: str | None = None,
    people: People = "all",
    body: str | Path | None = None,
    gender: Gender = "neutral",
    weights: str | Path | None = None,
    betas: Sequence[float] | None = None,
    height: float | None = None,
    iterations: int = VIEWS_ITERATIONS,
    device: Device = "auto",
    rig: RigKind = "animation",
    root_motion: bool = True,
    update: bool = False,
    keep: str | Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> FinishedFit:
    """Fit one body for each person whom several cameras of the current scene see in their background images.

    cameras: names of camera objects; or collection: name of one that holds them; by default all that have an image.
    They are read at the current frame. betas [10]: keep this shape, such as `shape_of` gives it. height: metres that
    the person, or the largest of several, measures standing. update: pose the bodies that these cameras gave before.
    keep: a folder for `result.npz` and an overlay of each camera.
    Blocks. Raises a RefitError, whose message is one sentence; the scene is as before then.
    """
    options = Options(
        people=people,
        body=Path(body) if body else None,
        gender=gender,
        weights=Path(weights) if weights else None,
        betas=betas,
        height=height,
        iterations=iterations,
        device=device,
        rig=rig,
        root_motion=root_motion,
        overlay=keep is not None,
    )

    def job(folder: Path) -> CameraFit:
        context = bpy.context
        views = read_views(context, choose(context, cameras, collection), folder)
        return CameraFit(collection or DEFAULT_NAME, views, options, folder, update=update)

    return run_job(job, keep, on_progress)


def import_calibration(
    *files: str | Path,
    pictures: str | Path | None = None,
    up: Axis | None = None,
    metres: float | None = None,
) -> CameraRig:
    """Make cameras with their pictures from a calibration file, or from several OpenCV files with one camera each.

    Pose2Sim, Anipose, FreeMoCap, EasyMocap, OpenCV, COLMAP. pictures: their folder, by default near the file; up: the
    axis of the file's world that points up, such as "-Y"; metres: how long the file's unit is; both are guessed by
    default. Raises CalibrationError, which names the file and the line or key; the scene is as before then.
    """
    return import_rig(
        bpy.context,
        [Path(file) for file in files],
        pictures=Path(pictures) if pictures else None,
        up=up,
        metres=metres,
    )


def import_motion(
    path: str | Path,
    *,
    body: str | Path | None = None,
    gender: Gender | None = None,
    start: int = 1,
    rig: RigKind = "animation",
    root_motion: bool = True,
    on_progress: Callable[[Progress], None] | None = None,
) -> FinishedImport:
    """Make an animated body from a motion of SMPL's parameters in AMASS' layout (.npz), at the scene's rate.

    body: SMPL file or folder, by default the bundled body, which moves with its mean shape; gender: by default the
    file's; start: the frame of the scene that shows the motion's first. rig, root_motion: see `reconstruct`.
    Blocks. Raises a RefitError, whose message is one sentence; the scene is as before then.
    """
    options = Options(body=Path(body) if body else None, rig=rig, root_motion=root_motion)
    return run_job(
        lambda folder: MotionImport(Path(path), options, folder, gender=gender, start=start), None, on_progress
    )


def fit_shape(
    images: Sequence[str | Path],
    *,
    focal: float | None = None,
    body: str | Path | None = None,
    gender: Gender = "neutral",
    weights: str | Path | None = None,
    height: float | None = None,
    iterations: int = OPTIONS["iterations"].default,
    device: Device = "auto",
    rig: RigKind = "animation",
    root_motion: bool = True,
    on_progress: Callable[[Progress], None] | None = None,
) -> FinishedShape:
    """Fit the shape of one person to several pictures; it becomes a body in its rest pose in the current scene.

    In each picture the person who fills most of it is taken. focal: in pixels, the same for all. height: metres that
    the person measures standing.
    Its `betas` [10] fit other jobs with the same body model; the panel's jobs keep them from then on.
    Blocks. Raises a RefitError, whose message is one sentence; the scene is as before then.
    """
    options = Options(
        body=Path(body) if body else None,
        gender=gender,
        weights=Path(weights) if weights else None,
        height=height,
        iterations=iterations,
        device=device,
        rig=rig,
        root_motion=root_motion,
    )

    def job(folder: Path) -> ShapeFit:
        sources = [file_source(Path(image), folder / str(index), focal=focal) for index, image in enumerate(images)]
        return shape_from_pictures(sources, options, folder)

    return run_job(job, None, on_progress)


def shape_of(rig: str, body: str | Path | None = None, gender: Gender = "neutral") -> list[float]:
    """The shape [10] of a ReFit body in the scene, for `betas` of a job with the same body model.

    rig: name of its armature object; body: the SMPL file of that job, if it uses one; gender: of the bundled body
    otherwise. Raises SourceError.
    """
    return bodies.shape_of(_object(rig), body_kind(body, gender)).tolist()


def convert_rig(body: str, rig: RigKind, *, root_motion: bool = True) -> None:
    """Give a ReFit body another rig, with its pose and its action: it looks the same at every frame.

    body: name of its armature object; root_motion: the root bone of an animation rig follows the body over the floor.
    Raises SourceError; the scene is as before then.
    """
    options = Options(rig=rig, root_motion=root_motion)
    found = _object(body)
    if not bodies.is_rig(found):
        raise SourceError(f"Object “{body}” is no ReFit body.")
    leave_edit_mode(bpy.context)
    conversion.convert_rig(found, options.rig_style)


def _object(name: str) -> bpy.types.Object:
    found = bpy.context.scene.objects.get(name)
    if found is None:
        raise SourceError(f"The scene has no object “{name}”.")
    return found


def engine_info() -> EngineInfo:
    """Start the engine if need be and say what it is. Raises a RefitError."""
    return engine.resident().wait_ready()
