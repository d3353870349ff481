# SPDX-License-Identifier: GPL-3.0-or-later
"""Small helpers on top of moderngl: meshes with fixed and moving attributes, uniforms, textures."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import moderngl
import numpy as np

from .pack import Attachment, Surface

__all__ = ["Mesh", "assign", "define", "noise_texture", "open_context", "texture_array"]

log = logging.getLogger(__name__)

SOFTWARE = ("llvmpipe", "softpipe", "swrast")
"""What Mesa calls its renderers that run on the processor."""


def open_context(card: bool = False) -> moderngl.Context:
    """An OpenGL context without a window, through EGL; with `card` on the first graphics card.

    Where no card answers, Mesa draws on the processor and a warning says so. Raises RuntimeError where nothing draws.
    """
    failures: list[str] = []
    windowless: dict[str, Any] = {"standalone": True, "backend": "egl"}
    on_card: dict[str, Any] = {**windowless, "device_index": 0}
    for settings in (on_card, windowless) if card else (windowless,):
        try:
            context = moderngl.create_context(**settings)
        except Exception as error:  # noqa: BLE001 - moderngl raises plain ones
            failures.append(str(error))
            continue
        if card and context.info["GL_RENDERER"].startswith(SOFTWARE):
            log.warning("No graphics card answers through EGL: pictures are drawn on the processor, which is slower.")
        return context
    raise RuntimeError(f"OpenGL does not start without a window (EGL): {'; '.join(failures)}")


class Mesh:
    """A drawable: static attributes, a buffer for positions and normals, and faces."""

    def __init__(self, context: moderngl.Context, surface: Surface | Attachment):
        uv = surface.uv
        static = np.column_stack([uv[:, 0], 1 - uv[:, 1], surface.rest, surface.shade]).astype("f4")
        self._context = context
        self._static = context.buffer(static.tobytes())
        self._dynamic = context.buffer(reserve=len(static) * 24)
        self._both = np.empty((len(static), 6), "f4")
        self._faces = np.ascontiguousarray(surface.faces, dtype="i4")
        self._index = context.buffer(self._faces.tobytes())
        self._arrays: dict[int, moderngl.VertexArray] = {}

    def move(self, positions: np.ndarray, normals: np.ndarray) -> None:
        """Put the points [N,3] in place, camera frame."""
        self._both[:, :3], self._both[:, 3:] = positions, normals
        self._dynamic.orphan()
        self._dynamic.write(self._both)

    def draw(self, program: moderngl.Program, selected: np.ndarray | None = None) -> None:
        """Draw all faces, or those of a boolean mask [F], with the program's present uniforms."""
        faces = self._faces if selected is None else self._faces[selected]
        if not len(faces):
            return
        self._index.orphan()
        self._index.write(faces)
        array = self._arrays.get(program.glo)
        if array is None:
            content = [(self._dynamic, "3f4 3f4", "position", "normal"), (self._static, "2f4 4f4", "uv", "rest")]
            array = self._context.vertex_array(program, content, index_buffer=self._index, skip_errors=True)
            self._arrays[program.glo] = array
        array.render(moderngl.TRIANGLES, vertices=3 * len(faces))


def define(source: str, values: Mapping[str, object]) -> str:
    """GLSL with `#define` lines after its version line."""
    version, rest = source.split("\n", 1)
    return "\n".join([version, *(f"#define {name} {value}" for name, value in values.items()), rest])


def assign(program: moderngl.Program, **values) -> None:
    """Set those uniforms that the compiler left in the program."""
    for name, value in values.items():
        uniform = program.get(name, None)
        if isinstance(uniform, moderngl.Uniform):
            uniform.value = value


def texture_array(context: moderngl.Context, images: list[np.ndarray], mipmaps: bool = True) -> moderngl.TextureArray:
    """One layer per RGB or RGBA image, all of one size."""
    height, width = images[0].shape[:2]
    data = np.full((len(images), height, width, 4), 255, np.uint8)
    for layer, image in zip(data, images, strict=True):
        layer[..., : image.shape[2]] = image
    texture = context.texture_array((width, height, len(images)), 4, data.tobytes())
    texture.filter = (moderngl.LINEAR, moderngl.LINEAR)
    if mipmaps:
        texture.build_mipmaps()
        texture.filter = (moderngl.LINEAR_MIPMAP_NEAREST, moderngl.LINEAR)
    return texture


def noise_texture(context: moderngl.Context) -> moderngl.Texture:
    """Tileable smooth noise, four independent channels around one half."""
    rng = np.random.default_rng(0)
    size = 256
    frequency = np.fft.fftfreq(size) * size
    radius = np.hypot(frequency[:, None], frequency[None])
    spectrum = np.where(radius > 0, 1 / np.maximum(radius, 2.0) ** 1.6, 0)[..., None]
    white = np.fft.fft2(rng.standard_normal((size, size, 4)), axes=(0, 1))
    noise = np.fft.ifft2(white * spectrum, axes=(0, 1)).real
    noise = 0.5 + 0.17 * noise / noise.std((0, 1))
    data = np.clip(noise * 255, 0, 255).astype(np.uint8)
    texture = context.texture((size, size), 4, data.tobytes())
    texture.build_mipmaps()
    texture.filter = (moderngl.LINEAR_MIPMAP_NEAREST, moderngl.LINEAR)
    return texture
