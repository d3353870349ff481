# SPDX-License-Identifier: GPL-3.0-or-later
"""Boxes around people: drawn with the mouse, added and removed as numbers."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import bpy
import numpy as np

from ..box_canvas import CameraCanvas, Canvas, EditorCanvas, PictureCanvas
from ..box_drawing import BoxDrawing
from ..box_overlay import draw_boxes
from ..errors import RefitError, SourceError
from ..properties_boxes import set_boxes
from ..scene import cameras, images, sources
from ..scene.footage import is_movie
from ..scene.orientation import Turn, turn_of
from ..scene.views import camera_view
from ..session import state
from .own_scene import OwnSceneOperator
from .viewports import panel_is_seen

if TYPE_CHECKING:
    from bpy._typing.rna_enums import IconItems  # in the stubs alone

# What goes on beside the drawing: panels that the mouse is over, and those that scroll.
_PASSED = {"MOUSEMOVE", "INBETWEEN_MOUSEMOVE", "WHEELUPMOUSE", "WHEELDOWNMOUSE", "MIDDLEMOUSE", "TRACKPADPAN"}

# Pixels of the screen, before the interface is scaled.
REACH = 9.0
SMALLEST = 5.0

HINTS: tuple[tuple[IconItems, str], ...] = (
    ("MOUSE_LMB_DRAG", "Draw, Move or Resize a Box"),
    ("EVENT_X", "Delete"),
    ("EVENT_CTRL", "Z  Undo"),
    ("MOUSE_MMB_DRAG", "Pan"),
    ("MOUSE_MMB", "Wheel  Zoom"),
    ("EVENT_RETURN", "Accept"),
    ("EVENT_ESC", "Cancel"),
)


class BoxDrawingOperator(OwnSceneOperator):
    """An operator that lets the user draw boxes over a picture, and then does something with them."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not super().poll(context):
            return False
        if state.job or state.drawing:
            cls.poll_message_set("A reconstruction is running" if state.job else "Boxes are being drawn")
            return False
        if context.area is None or context.area.type not in {"VIEW_3D", "IMAGE_EDITOR"}:
            cls.poll_message_set("Boxes are drawn in a 3D viewport or an Image Editor")
            return False
        return True

    def make_canvas(self, context: bpy.types.Context) -> Canvas:
        """Where to draw. Raises a RefitError where there is no picture."""
        raise NotImplementedError

    def boxes_before(self, context: bpy.types.Context) -> Sequence[Sequence[float]]:
        """The boxes (left, top, width, height) to begin with."""
        return ()

    def accepted(self, context: bpy.types.Context, boxes: list[tuple[int, int, int, int]]) -> set[str]:
        """What happens with the boxes."""
        raise NotImplementedError

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        state.error = ""
        try:
            self._canvas = self.make_canvas(context)
        except RefitError as error:
            state.error = str(error)
            if not panel_is_seen(context):
                self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self._drawing = BoxDrawing(self._canvas.size, self.boxes_before(context))
        self._mouse = self._canvas.place(event) if self._canvas.covers(event) else None
        space = self._canvas.space_type
        self._handler = space.draw_handler_add(self._draw, (), "WINDOW", "POST_PIXEL"), space
        state.drawing = True
        assert isinstance(self, bpy.types.Operator)  # what this class is mixed into
        context.window_manager.modal_handler_add(self)
        context.window.cursor_modal_set("CROSSHAIR")
        context.workspace.status_text_set(_draw_hints)
        self._redraw()
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type in {"RET", "NUMPAD_ENTER"} and event.value == "PRESS":
            return self._accept(context)
        if event.type in {"ESC", "RIGHTMOUSE"} and event.value == "PRESS":
            if not self._drawing.dragging:
                self.cancel(context)
                return {"CANCELLED"}
            self._drawing.abort()
        elif event.type == "LEFTMOUSE":
            self._left_button(event)
        elif event.type in {"DEL", "X", "BACK_SPACE"} and event.value == "PRESS":
            self._drawing.remove()
        elif event.type == "Z" and event.value == "PRESS" and (event.ctrl or event.oskey):
            self._drawing.undo()
        elif event.type.startswith("TIMER") or event.type == "WINDOW_DEACTIVATE":
            return {"PASS_THROUGH"}
        else:
            return self._move(context, event)
        self._redraw()
        return {"RUNNING_MODAL"}

    def cancel(self, context: bpy.types.Context) -> None:
        """Everything looks as before. Blender calls this, too, where it ends the operator."""
        space_handler, space = self._handler
        space.draw_handler_remove(space_handler, "WINDOW")
        self._canvas.close()
        state.drawing = False
        context.window.cursor_modal_restore()
        context.workspace.status_text_set(None)
        self._redraw()

    def _accept(self, context: bpy.types.Context) -> set[str]:
        self._drawing.abort()
        self.cancel(context)
        return self.accepted(context, self._drawing.whole())

    def _left_button(self, event: bpy.types.Event) -> None:
        if event.value == "PRESS" and self._canvas.covers(event):
            self._drawing.press(*self._pixel(event), self._in_picture(REACH))
        elif event.value == "RELEASE" and self._drawing.dragging:
            self._drawing.drag(*self._pixel(event))
            self._drawing.release(self._in_picture(SMALLEST))

    def _move(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """The mouse moved, or something happens that is not about boxes."""
        covered = self._canvas.covers(event)
        if event.type in {"MOUSEMOVE", "INBETWEEN_MOUSEMOVE"}:
            self._mouse = self._canvas.place(event) if covered else None
            if self._drawing.dragging:
                self._drawing.drag(*self._pixel(event))
        answer = self._canvas.navigate(context, event) if covered else None
        self._redraw()
        if answer is None:
            answer = {"PASS_THROUGH"} if event.type in _PASSED else {"RUNNING_MODAL"}
        return answer

    def _pixel(self, event: bpy.types.Event) -> tuple[float, float]:
        """The picture's pixel under the mouse."""
        (x, y), *_ = self._canvas.map().to_picture(np.array([self._canvas.place(event)]))
        return float(x), float(y)

    def _in_picture(self, length: float) -> float:
        """A length on the screen in pixels of the picture."""
        return length * bpy.context.preferences.system.ui_scale / self._canvas.map().scale

    def _draw(self) -> None:
        if bpy.context.region == self._canvas.region:
            self._canvas.draw()
            draw_boxes(self._drawing, self._canvas.map(), self._mouse)

    def _redraw(self) -> None:
        self._canvas.area.tag_redraw()


def _draw_hints(header: bpy.types.Header, _context: bpy.types.Context) -> None:
    for icon, text in HINTS:
        header.layout.label(text=text, icon=icon)


class REFIT_OT_draw_boxes(BoxDrawingOperator, bpy.types.Operator):
    """Draw a box around each person with the mouse"""

    bl_idname = "refit.draw_boxes"
    bl_label = "Draw Boxes"
    bl_options = {"UNDO"}

    def make_canvas(self, context: bpy.types.Context) -> Canvas:
        settings = context.scene.refit
        self._new_path = ""
        if settings.source == "CAMERAS":
            raise SourceError("A box belongs to one picture: choose another source than Cameras.")
        if context.area.type == "IMAGE_EDITOR":
            return self._editor(context)
        if settings.source == "CAMERA":
            return camera_canvas(context, context.scene.camera)
        if settings.source == "EMPTY":
            with tempfile.TemporaryDirectory() as folder:
                path = sources.empty_source(context.active_object, Path(folder)).picture
                turn = turn_of(path)
            return PictureCanvas(context.area, sources.image_of(context.active_object), turn, remove=False)
        if not settings.image_path:
            raise SourceError("No image is chosen.")
        path = Path(bpy.path.abspath(settings.image_path))
        shown = settings.video_frame(context.scene.frame_current) if is_movie(path) else 0
        return _file_canvas(context.area, path, shown)

    def boxes_before(self, context: bpy.types.Context) -> Sequence[Sequence[float]]:
        settings = context.scene.refit
        return [] if self._new_path or settings.people != "BOX" else [box.numbers() for box in settings.boxes]

    def accepted(self, context: bpy.types.Context, boxes: list[tuple[int, int, int, int]]) -> set[str]:
        settings = context.scene.refit
        if self._new_path:
            settings.source, settings.image_path = "FILE", self._new_path
        settings.people = "BOX" if boxes else "ALL"
        set_boxes(settings, boxes)
        return {"FINISHED"}

    def _editor(self, context: bpy.types.Context) -> Canvas:
        """The picture that an Image Editor shows; it becomes the source where it is another one."""
        image = context.space_data.image
        if image is None or not all(image.size):
            raise SourceError("The Image Editor shows no picture.")
        if not _is_source(context, image):
            if image.source != "FILE" or image.packed_file or image.is_dirty:
                raise SourceError(f"“{image.name}” is not the source's picture, and it has no file of its own.")
            self._new_path = bpy.path.abspath(image.filepath_raw, library=image.library)
        path = Path(bpy.path.abspath(image.filepath_raw, library=image.library))
        if context.scene.refit.source != "CAMERA" and turn_of(path) != Turn():
            raise SourceError("The Image Editor does not turn this photo upright: draw in a 3D viewport.")
        return EditorCanvas(context.area, tuple(image.size))


def _is_source(context: bpy.types.Context, image: bpy.types.Image) -> bool:
    """Whether an image is the picture that is reconstructed. Raises SourceError for one that is seen otherwise."""
    settings = context.scene.refit
    if settings.source == "EMPTY":
        return context.active_object is not None and context.active_object.data == image
    if settings.source == "CAMERA":
        return context.scene.camera is not None and _is_behind(context.scene.camera, image)
    shown, chosen = (bpy.path.abspath(path) for path in (image.filepath_raw, settings.image_path))
    return bool(chosen) and Path(shown).resolve() == Path(chosen).resolve()


def _is_behind(camera: bpy.types.Object, image: bpy.types.Image) -> bool:
    try:
        background = images.camera_background(camera)
    except SourceError:
        return False
    if background.picture == image and (background.placement.flip_x or background.placement.flip_y):
        raise SourceError("The camera's background is mirrored: draw in a 3D viewport.")
    return background.picture == image


def camera_canvas(context: bpy.types.Context, camera: bpy.types.Object | None) -> Canvas:
    """The viewport, looking through a camera with its background. Raises SourceError."""
    if camera is None:
        raise SourceError("The scene has no active camera.")
    if context.area.type != "VIEW_3D":
        raise SourceError("Boxes over a camera's picture are drawn in a 3D viewport.")
    with tempfile.TemporaryDirectory() as folder:
        view = camera_view(camera, context.scene, context.evaluated_depsgraph_get(), Path(folder))
    return CameraCanvas(context.area, camera, view, cameras.metres_per_unit(context.scene))


def _file_canvas(area: bpy.types.Area, path: Path, shown: int) -> Canvas:
    """A picture file, or a frame of a movie counted from 0, shown in the viewport. Raises SourceError."""
    if not images.is_file(path):
        raise SourceError(f"There is no picture at {path}.")
    try:
        image = bpy.data.images.load(str(path), check_existing=False)
    except RuntimeError as error:
        raise SourceError(f"{path} cannot be read.") from error
    if not all(image.size):
        bpy.data.images.remove(image)
        raise SourceError(f"Blender cannot show {path.name}: type the box's numbers instead.")
    if image.source == "MOVIE" and is_movie(path):
        image.scale(*image.size, frame=min(shown + 1, max(image.frame_duration, 1)))
    return PictureCanvas(area, image, turn_of(path), remove=True)


class REFIT_OT_add_box(OwnSceneOperator, bpy.types.Operator):
    """Add a box to type its numbers"""

    bl_idname = "refit.add_box"
    bl_label = "Add Box"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        settings = context.scene.refit
        settings.boxes.add()
        settings.box_index = len(settings.boxes) - 1
        return {"FINISHED"}


class REFIT_OT_remove_box(OwnSceneOperator, bpy.types.Operator):
    """Remove the chosen box"""

    bl_idname = "refit.remove_box"
    bl_label = "Remove Box"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return super().poll(context) and 0 <= context.scene.refit.box_index < len(context.scene.refit.boxes)

    def execute(self, context: bpy.types.Context) -> set[str]:
        settings = context.scene.refit
        settings.boxes.remove(settings.box_index)
        settings.box_index = max(0, min(settings.box_index, len(settings.boxes) - 1))
        return {"FINISHED"}
