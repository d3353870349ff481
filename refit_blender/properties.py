# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel's settings, kept with the scene."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from . import session
from .camera_fit import DEFAULT_NAME
from .contract import OPTIONS, VIEWS_ITERATIONS
from .engine_job import Options, body_kind
from .errors import SourceError
from .properties_boxes import RefitBox
from .properties_clips import RefitClip, show_chosen
from .properties_export import RefitExport
from .scene import cameras, sources, timeline
from .scene.body import is_rig, shape_of
from .scene.camera_choice import Candidate, candidates
from .scene.footage import moves
from .scene.images import camera_background
from .scene.rigs import RigStyle
from .scene.timeline import video_frame

UPDATES = OPTIONS["iterations"]


def _forget_texts(_self: RefitSettings, _context: bpy.types.Context) -> None:
    session.forget_texts()


def _other_picture(settings: RefitSettings, _context: bpy.types.Context) -> None:
    """What was said is about another picture, and so are the boxes."""
    session.forget_texts()
    if settings.image_path != settings.boxes_for:
        settings.boxes.clear()
        settings.boxes_for = settings.image_path


class RefitSettings(bpy.types.PropertyGroup):
    source: EnumProperty(
        name="Source",
        description="Where the picture comes from",
        items=(
            ("FILE", "Image File", "A picture from the disk; a camera that matches it is made", "FILE_IMAGE", 0),
            ("CAMERA", "Scene Camera", "The background image of the scene's active camera", "CAMERA_DATA", 1),
            (
                "EMPTY",
                "Image Empty",
                "The picture of the active empty; a camera that matches it is made",
                "EMPTY_DATA",
                2,
            ),
            (
                "CAMERAS",
                "Cameras",
                "The background images of several cameras that stand where they took them; one body for each person",
                "OUTLINER_OB_CAMERA",
                3,
            ),
        ),
        update=_forget_texts,
    )
    cameras_from: EnumProperty(
        name="Which",
        description="Which of the scene's cameras",
        items=(
            ("SCENE", "All", "Every camera of the scene that has a background image"),
            ("SELECTED", "Selected", "The selected cameras"),
            ("COLLECTION", "Collection", "The cameras of a collection"),
        ),
        update=_forget_texts,
    )
    camera_collection: PointerProperty(
        name="Collection",
        description="The cameras in here and in its child collections",
        type=bpy.types.Collection,
        update=_forget_texts,
    )
    image_path: StringProperty(
        name="Image",
        description="Picture with the people to reconstruct",
        subtype="FILE_PATH",
        update=_other_picture,
    )
    boxes_for: StringProperty(options={"HIDDEN"})
    focal_mode: EnumProperty(
        name="Lens",
        description="How the focal length of the picture is found",
        items=(
            ("AUTO", "From Picture", "From the photo's EXIF data, else from straight lines, else a common value"),
            ("MANUAL", "Given", "Set it below"),
        ),
    )
    focal_mm: FloatProperty(
        name="Focal Length",
        description="In millimetres on a sensor whose longer side is 36 mm, as for Blender's cameras",
        default=50.0,
        min=5.0,
        max=2000.0,
        soft_max=200.0,
        step=100,
        precision=1,
    )
    people: EnumProperty(
        name="People",
        description="Who is reconstructed",
        items=(
            ("ALL", "All", "Everybody who is found in the picture"),
            ("LARGEST", "Largest", "The person who fills most of the picture"),
            ("BOX", "Boxes", "The people in given boxes"),
        ),
    )
    boxes: CollectionProperty(name="Boxes", description="Boxes around people", type=RefitBox)
    box_index: IntProperty(name="Chosen Box", description="The box whose numbers are shown", min=0)
    body: EnumProperty(
        name="Body",
        description="The body model",
        items=(
            ("BUNDLED", "Bundled", "The body that comes with the add-on"),
            ("FILE", "SMPL File", "A body file in SMPL format (.pkl or .npz)"),
        ),
    )
    body_path: StringProperty(name="File", description="Body file in SMPL format, .pkl or .npz", subtype="FILE_PATH")
    gender: EnumProperty(
        name="Gender",
        description="The bundled body's, or which body of a folder with SMPL files",
        items=(
            ("NEUTRAL", "Neutral", "The neutral body"),
            ("MALE", "Male", "The male body"),
            ("FEMALE", "Female", "The female body"),
        ),
    )
    rig: EnumProperty(
        name="Rig",
        description="The bones of new bodies. Convert Rig changes those that are there",
        items=(
            (
                "ANIMATION",
                "Animation",
                "Bones along the limbs and a root bone on the floor: to animate, to mirror poses, for game engines",
            ),
            ("SMPL", "SMPL", "SMPL's 24 bones with its names and axes: a bone's rotation is SMPL's joint rotation"),
        ),
    )
    root_motion: BoolProperty(
        name="Root Motion",
        description="The root bone follows the body over the floor, place and heading. Off: all is on the pelvis",
        default=True,
    )
    fixed_shape: PointerProperty(
        name="Shape Of",
        description="Keep the shape of this body and find the pose for it. Empty: the shape is found, too",
        type=bpy.types.Object,
        poll=lambda _self, candidate: is_rig(candidate),
    )
    height: FloatProperty(
        name="Height",
        description="How tall the person stands, of several the largest one: size and distance are right then. 0: not known",
        subtype="DISTANCE",
        unit="LENGTH",
        default=0.0,
        min=0.0,
        soft_max=2.5,
        step=1,
        precision=3,
    )
    iterations: IntProperty(
        name="Iterations",
        description="How many times the body is compared with the picture and corrected; 0 takes the first guess",
        default=UPDATES.default,
        min=int(UPDATES.low),
        max=int(UPDATES.high),
        soft_max=20,
    )
    confidence: BoolProperty(
        name="Confidence",
        description="Estimate how far each joint may be off, which takes some hundredths of a second more",
        default=True,
    )
    camera_iterations: IntProperty(
        name="Iterations",
        description="How many times the body is compared with the pictures of all cameras and corrected",
        default=VIEWS_ITERATIONS,
        min=int(UPDATES.low),
        max=int(UPDATES.high),
        soft_max=20,
    )
    motion_frames: EnumProperty(
        name="Frames",
        description="Which frames of a video are followed",
        items=(
            ("ALL", "Whole Video", "All frames that the video has"),
            (
                "SCENE",
                "Scene Range",
                "What the video shows in the preview range, or in the scene's range where there is none. Another press"
                " replaces only these frames of the bodies that are there",
            ),
        ),
        update=_forget_texts,
    )
    motion_start: IntProperty(
        name="Begins at",
        description="Frame of the scene that shows the first frame of the video",
        default=1,
        min=0,
        max=1048574,
    )
    device: EnumProperty(
        name="Device",
        description="What the network runs on",
        items=(
            ("AUTO", "Automatic", "The GPU where there is one"),
            ("CPU", "CPU", "The processor"),
            ("CUDA", "CUDA", "An NVIDIA GPU"),
            ("MPS", "Metal", "The GPU of an Apple computer"),
        ),
    )
    weights_path: StringProperty(
        name="Weights",
        description="Checkpoint of a ReFit network, .pt or .safetensors. Empty: the bundled network",
        subtype="FILE_PATH",
    )

    export: PointerProperty(type=RefitExport)
    clips: CollectionProperty(name="Clips", description="What the movies of folders have become", type=RefitClip)
    clip_index: IntProperty(
        name="Chosen Clip",
        description="The clip whose bodies are seen; the others are hidden",
        min=0,
        update=show_chosen,
    )

    def job_source(self, context: bpy.types.Context, folder: Path) -> sources.Source:
        """The source that is set. Raises SourceError."""
        if self.source == "CAMERA":
            return sources.camera_source(context.scene, context.evaluated_depsgraph_get(), folder)
        if self.source == "CAMERAS":
            raise SourceError("Several cameras are chosen: press Fit from Cameras.")
        if self.source == "EMPTY":
            return sources.empty_source(context.active_object, folder, focal_mm=self.given_focal_mm())
        if not self.image_path:
            raise SourceError("No image is chosen.")
        return sources.file_source(_path(self.image_path), folder, focal_mm=self.given_focal_mm())

    def motion_span(self) -> tuple[int, int] | None:
        """The frames of the scene whose video is followed; None for the whole video."""
        return timeline.chosen_range(self.id_data) if self.motion_frames == "SCENE" else None

    def video_frame(self, frame: int) -> int:
        """The frame of the movie that is set, from 0, that a frame of the scene shows."""
        return video_frame(self.id_data, _path(self.image_path), self.motion_start, frame)

    def source_moves(self, context: bpy.types.Context) -> bool:
        """Whether the source that is set is a video, or several; quick enough for each redraw."""
        if self.source == "FILE":
            return moves(self.image_path)
        if self.source == "EMPTY":
            return False
        several = self.source == "CAMERAS"
        chosen = [one.camera for one in self.camera_candidates(context)] if several else [context.scene.camera]
        try:
            pictures = [camera_background(camera).picture for camera in chosen if camera is not None]
        except SourceError:
            return False
        return bool(pictures) and all(picture.source in {"MOVIE", "SEQUENCE"} for picture in pictures)

    def given_focal_mm(self) -> float | None:
        """The focal length that was given for pictures."""
        return self.focal_mm if self.focal_mode == "MANUAL" else None

    def camera_candidates(self, context: bpy.types.Context) -> list[Candidate]:
        """The cameras that are chosen."""
        return candidates(context, self.cameras_from, self.camera_collection)

    def cameras_name(self) -> str:
        """What new objects of the chosen cameras are named after."""
        in_collection = self.cameras_from == "COLLECTION" and self.camera_collection
        return self.camera_collection.name if in_collection else DEFAULT_NAME

    def job_options(self, *, given_boxes: bool = True) -> Options:
        """The options that are set, for one picture. Raises SourceError where one is incomplete.

        given_boxes: False for another picture than the source, to which the boxes do not belong.
        """
        boxes = [box.numbers() for box in self.boxes] if self.people == "BOX" and given_boxes else None
        if boxes == []:
            raise SourceError("There is no box: draw one around each person.")
        return self._options(self.iterations, boxes)

    def camera_options(self) -> Options:
        """The options that are set, for several cameras. Raises SourceError where one is incomplete."""
        if self.people == "BOX":
            raise SourceError("A box belongs to one picture: choose All or Largest.")
        return self._options(self.camera_iterations)

    def shape_options(self) -> Options:
        """The options that are set, for finding a shape. Raises SourceError where one is incomplete."""
        return replace(self._options(self.iterations), betas=None, height=self._height())

    def _height(self) -> float | None:
        """The known height in metres."""
        return self.height * cameras.metres_per_unit(self.id_data) if self.height else None

    def _options(self, iterations: int, boxes: list[list[int]] | None = None) -> Options:
        if self.body == "FILE" and not self.body_path:
            raise SourceError("No body file is chosen.")
        body, gender = _path(self.body_path) if self.body == "FILE" else None, self.gender.lower()
        kind = body_kind(body, gender)
        return Options(
            people="largest" if self.people == "LARGEST" else "all",
            boxes=boxes,
            body=body,
            gender=gender,
            weights=_path(self.weights_path) if self.weights_path else None,
            betas=shape_of(self.fixed_shape, kind).tolist() if self.fixed_shape else None,
            height=None if self.fixed_shape else self._height(),
            iterations=iterations,
            device=self.device.lower(),
            confidence=self.confidence,
            rig=self.rig_style().kind,
            root_motion=self.root_motion,
        )

    def rig_style(self) -> RigStyle:
        """Which rig new bodies get."""
        return RigStyle("animation" if self.rig == "ANIMATION" else "smpl", self.root_motion)


def _path(value: str) -> Path:
    return Path(bpy.path.abspath(value))
