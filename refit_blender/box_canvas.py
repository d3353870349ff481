# SPDX-License-Identifier: GPL-3.0-or-later
"""Where boxes are drawn: over a viewport that looks through a camera, a picture shown in its place, an Image Editor.

A canvas changes how its area looks while boxes are drawn, and nothing else; `close` puts that back.
"""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np

from .box_drawing import PictureMap, camera_map, editor_map, fitted_map
from .box_overlay import draw_picture
from .scene.orientation import Turn
from .scene.views import CameraView

ZOOM_STEP = 1.2
# How opaque the scene is while boxes are drawn over a camera's picture.
SEE_THROUGH = 0.3
ZOOM_RANGE = 0.25, 40.0
_WHEEL = {"WHEELUPMOUSE": 1, "WHEELDOWNMOUSE": -1, "NUMPAD_PLUS": 1, "NUMPAD_MINUS": -1}
_PAN = {"MIDDLEMOUSE", "TRACKPADPAN"}
_NAVIGATION = {*_WHEEL, *_PAN, "TRACKPADZOOM", "MOUSEROTATE", "MOUSESMARTZOOM", "NDOF_MOTION", "HOME"}


class Canvas:
    """A region of an area over which boxes are drawn; size: of the picture, (width, height) in pixels."""

    space_type: type[bpy.types.Space] = bpy.types.SpaceView3D

    def __init__(self, area: bpy.types.Area, size: tuple[int, int]) -> None:
        self.area = area
        self.size = size
        regions = (region for region in area.regions if region.type == "WINDOW")
        self.region = max(regions, key=lambda region: region.width * region.height)

    def map(self) -> PictureMap:
        """Where the picture lies now."""
        raise NotImplementedError

    def draw(self) -> None:
        """Draw what lies under the boxes."""

    def navigate(self, _context: bpy.types.Context, event: bpy.types.Event) -> set[str] | None:
        """What becomes of an event that zooms or moves the picture; None for all others."""
        return {"PASS_THROUGH"} if event.type in _NAVIGATION else None

    def close(self) -> None:
        """Make the area look as before."""

    def place(self, event: bpy.types.Event) -> tuple[float, float]:
        """Where the mouse is, in pixels of the region."""
        return event.mouse_x - self.region.x, event.mouse_y - self.region.y

    def covers(self, event: bpy.types.Event) -> bool:
        """Whether the mouse is over the region, and over no other that lies on it."""
        x, y = event.mouse_x, event.mouse_y
        return _holds(self.region, x, y) and not any(_holds(other, x, y) for other in self._others())

    def free(self) -> tuple[float, float, float, float]:
        """Left, bottom, right and top of what no other region covers."""
        left, bottom, right, top = 0, 0, self.region.width, self.region.height
        for other in self._others():
            if other.alignment == "LEFT":
                left = max(left, other.x + other.width - self.region.x)
            elif other.alignment == "RIGHT":
                right = min(right, other.x - self.region.x)
            elif other.alignment == "TOP":
                top = min(top, other.y - self.region.y)
            elif other.alignment == "BOTTOM":
                bottom = max(bottom, other.y + other.height - self.region.y)
        return left, bottom, max(right, left + 1), max(top, bottom + 1)

    def _others(self) -> list[bpy.types.Region]:
        return [one for one in self.area.regions if one.type != "WINDOW" and one.width > 1 and one.height > 1]


def _holds(region: bpy.types.Region, x: int, y: int) -> bool:
    return region.x <= x < region.x + region.width and region.y <= y < region.y + region.height


class CameraCanvas(Canvas):
    """A viewport that looks through a camera with its background image."""

    _VIEW = ("view_perspective", "view_camera_zoom", "view_camera_offset")
    _SPACE = ("use_local_camera", "camera", "lock_camera")
    _SHADING = ("type", "show_xray", "xray_alpha")

    def __init__(self, area: bpy.types.Area, camera: bpy.types.Object, view: CameraView, unit: float) -> None:
        super().__init__(area, view.size)
        self._picture, self._unit = view, unit
        space = area.spaces.active
        assert isinstance(space, bpy.types.SpaceView3D)  # of a viewport
        self._space, self._view3d, shading = space, self.region.data, space.shading
        self._kept_view = {name: _value(self._view3d, name) for name in self._VIEW}
        self._kept_space = {name: _value(self._space, name) for name in self._SPACE}
        self._kept_shading = {name: _value(shading, name) for name in self._SHADING}
        self._space.camera = camera
        self._space.use_local_camera = True
        # Otherwise zooming would move the camera.
        self._space.lock_camera = False
        # The picture is seen through whatever stands before it.
        shading.type, shading.show_xray, shading.xray_alpha = "SOLID", True, SEE_THROUGH
        self._view3d.view_perspective = "CAMERA"
        self._view3d.update()

    def map(self) -> PictureMap:
        perspective = np.array(self._view3d.perspective_matrix, dtype=np.float64)
        return camera_map(self._picture, perspective, (self.region.width, self.region.height), self._unit)

    def navigate(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str] | None:
        if event.type == "MIDDLEMOUSE" and not event.ctrl:
            # By itself it would turn the view out of the camera.
            if event.value == "PRESS":
                with context.temp_override(area=self.area, region=self.region):
                    bpy.ops.view3d.move("INVOKE_DEFAULT")
            return {"RUNNING_MODAL"}
        if event.type in {"TRACKPADPAN", "MOUSEROTATE", "NDOF_MOTION"} and not (event.shift or event.ctrl):
            return {"RUNNING_MODAL"}
        return super().navigate(context, event)

    def close(self) -> None:
        for kept, owner in (
            (self._kept_space, self._space),
            (self._kept_view, self._view3d),
            (self._kept_shading, self._space.shading),
        ):
            for name, value in kept.items():
                setattr(owner, name, value)


class PictureCanvas(Canvas):
    """A picture shown in the place of a viewport's scene, turned upright; `size` is that of the upright one."""

    def __init__(self, area: bpy.types.Area, image: bpy.types.Image, turn: Turn, *, remove: bool) -> None:
        """remove: the image was loaded for this."""
        width, height = image.size
        super().__init__(area, (height, width) if turn.quarters % 2 else (width, height))
        self._image, self._turn, self._remove = image, turn, remove
        self._zoom, self._pan = 1.0, np.zeros(2)
        self._held: tuple[float, float] | None = None

    def map(self) -> PictureMap:
        return fitted_map(self.free(), self.size, self._zoom, self._pan)

    def draw(self) -> None:
        width, height = self.size
        corners = self.map().to_region(np.array([[0.0, 0], [width, 0], [width, height], [0, height]]))
        draw_picture(self._image, corners, self._turn, (self.region.width, self.region.height))

    def navigate(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str] | None:
        if event.type == "MOUSEMOVE" and self._held:
            self._move(event, self._held)
            return {"RUNNING_MODAL"}
        if super().navigate(context, event) is None:
            return None
        if event.type == "MIDDLEMOUSE":
            self._held = self.place(event) if event.value == "PRESS" else None
        elif event.type in _WHEEL and event.value == "PRESS":
            self._zoom_at(self.place(event), ZOOM_STEP ** _WHEEL[event.type])
        elif event.type == "TRACKPADZOOM":
            self._zoom_at(self.place(event), ZOOM_STEP ** ((event.mouse_x - event.mouse_prev_x) / 20))
        elif event.type == "TRACKPADPAN":
            self._pan += (event.mouse_x - event.mouse_prev_x, event.mouse_y - event.mouse_prev_y)
        elif event.type == "HOME":
            self._zoom, self._pan = 1.0, np.zeros(2)
        return {"RUNNING_MODAL"}

    def close(self) -> None:
        if self._remove:
            bpy.data.images.remove(self._image)

    def _move(self, event: bpy.types.Event, held: tuple[float, float]) -> None:
        place = self.place(event)
        self._pan += np.subtract(place, held)
        self._held = place

    def _zoom_at(self, place: tuple[float, float], factor: float) -> None:
        """Zoom, while what is at this place of the region stays there."""
        zoom = min(max(self._zoom * factor, ZOOM_RANGE[0]), ZOOM_RANGE[1])
        left, bottom, right, top = self.free()
        away = np.array(place) - ((left + right) / 2, (bottom + top) / 2)
        self._pan = away - (away - self._pan) * zoom / self._zoom
        self._zoom = zoom


class EditorCanvas(Canvas):
    """An Image Editor that shows the picture."""

    space_type = bpy.types.SpaceImageEditor

    def map(self) -> PictureMap:
        view = self.region.view2d
        region = float(self.region.width), float(self.region.height)
        return editor_map(view.region_to_view(0, 0)[:], view.region_to_view(*region)[:], region, self.size)


def _value(owner: bpy.types.bpy_struct, name: str) -> Any:
    value = getattr(owner, name)
    return tuple(value) if name == "view_camera_offset" else value
