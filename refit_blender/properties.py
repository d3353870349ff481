# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel's settings, kept with the scene."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import EnumProperty, FloatProperty, IntProperty, IntVectorProperty, PointerProperty, StringProperty

from .engine_job import Options
from .errors import SourceError
from .scene import sources
from .scene.body import current_betas, is_rig


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
        ),
    )
    image_path: StringProperty(name="Image", description="Picture with the people to reconstruct", subtype="FILE_PATH")
    focal_mode: EnumProperty(
        name="Lens",
        description="How the focal length of the picture is found",
        items=(
            ("AUTO", "From Picture", "From the photo's EXIF data, or a common value where they say nothing"),
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
            ("BOX", "Box", "The person in a given box"),
        ),
    )
    box: IntVectorProperty(
        name="Box",
        description="Left, top, width and height around the person, in pixels of the picture from its top left corner",
        size=4,
        min=0,
    )
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
        description="Which body of an SMPL file for several genders",
        items=(
            ("NEUTRAL", "Neutral", "The neutral body"),
            ("MALE", "Male", "The male body"),
            ("FEMALE", "Female", "The female body"),
        ),
    )
    fixed_shape: PointerProperty(
        name="Shape Of",
        description="Keep the shape of this body and find the pose for it. Empty: the shape is found, too",
        type=bpy.types.Object,
        poll=lambda _self, candidate: is_rig(candidate),
    )
    iterations: IntProperty(
        name="Iterations",
        description="How many times the body is compared with the picture and corrected; 0 takes the first guess",
        default=5,
        min=0,
        max=50,
        soft_max=20,
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

    def job_source(self, context: bpy.types.Context, folder: Path) -> sources.Source:
        """The source that is set. Raises SourceError."""
        focal_mm = self.focal_mm if self.focal_mode == "MANUAL" else None
        if self.source == "CAMERA":
            return sources.camera_source(context.scene, context.evaluated_depsgraph_get(), folder)
        if self.source == "EMPTY":
            return sources.empty_source(context.active_object, folder, focal_mm=focal_mm)
        if not self.image_path:
            raise SourceError("No image is chosen.")
        return sources.file_source(_path(self.image_path), focal_mm=focal_mm)

    def job_options(self) -> Options:
        """The options that are set. Raises SourceError where one is incomplete."""
        if self.people == "BOX" and not (self.box[2] and self.box[3]):
            raise SourceError("The box has no size: give its left, top, width and height in pixels.")
        if self.body == "FILE" and not self.body_path:
            raise SourceError("No body file is chosen.")
        return Options(
            people="largest" if self.people == "LARGEST" else "all",
            boxes=[list(self.box)] if self.people == "BOX" else None,
            body=_path(self.body_path) if self.body == "FILE" else None,
            gender=self.gender.lower(),
            weights=_path(self.weights_path) if self.weights_path else None,
            betas=current_betas(self.fixed_shape) if self.fixed_shape else None,
            iterations=self.iterations,
            device=self.device.lower(),
        )


def _path(value: str) -> Path:
    return Path(bpy.path.abspath(value))
