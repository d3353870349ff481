# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws posed, dressed people before a backdrop with OpenGL, without a window."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import moderngl
import numpy as np

from . import shaders
from .appearance import Appearance, Cloth, Cut
from .background import BackgroundSpec
from .cuts import BodyPlaces
from .effects import add_occluders, black_outside, photograph, random_photo_corners
from .geometry import VertexNormals
from .pack import AssetPack, Attachment, Surface, decode_image

__all__ = ["PeopleRenderer", "PosedPerson"]

NEAR, FAR = 0.05, 100.0
SHADOW_SIZE = 192
HIDE_SLOTS = 4
BARE = Cut(9, -9, 9)


@dataclass(frozen=True)
class PosedPerson:
    """Body vertices [V,3] in the camera frame (X right, Y down, Z forward, metres) and their looks."""

    vertices: np.ndarray
    appearance: Appearance


class _Mesh:
    """A drawable: static attributes, a buffer for positions and normals, and faces."""

    def __init__(self, context, programs, uv, rest, shade, faces):
        static = np.column_stack([uv[:, 0], 1 - uv[:, 1], rest, shade]).astype("f4")
        self.count = len(static)
        self.static = context.buffer(static.tobytes())
        self.dynamic = context.buffer(reserve=self.count * 24)
        self.faces = np.ascontiguousarray(faces, dtype="i4")
        self.index = context.buffer(self.faces.tobytes())
        self.array = context.vertex_array(
            programs,
            [(self.dynamic, "3f4 3f4", "position", "normal"), (self.static, "2f4 4f4", "uv", "rest")],
            index_buffer=self.index,
        )

    def move(self, positions: np.ndarray, normals: np.ndarray) -> None:
        both = np.empty((self.count, 6), "f4")
        both[:, :3], both[:, 3:] = positions, normals
        self.dynamic.orphan()
        self.dynamic.write(both)

    def draw(self, selected: np.ndarray | None = None) -> None:
        """All faces, or those of a boolean mask [F]."""
        faces = self.faces if selected is None else self.faces[selected]
        if not len(faces):
            return
        self.index.orphan()
        self.index.write(faces)
        self.array.render(moderngl.TRIANGLES, vertices=3 * len(faces))


class PeopleRenderer:
    """Renders pictures of people; one per process, since it owns an OpenGL context.

    Same inputs give the same picture on the same driver.
    """

    def __init__(self, pack: AssetPack, size: int = 256, supersample: float = 1.5):
        """Pictures of `size` pixels a side, drawn `supersample` times larger; raises when there is no EGL."""
        self.pack = pack
        self.size = size
        self._inner = round(size * supersample)
        self._places = BodyPlaces(pack.joints, pack.template[:, 1].max())
        self._normals = VertexNormals(pack.body_faces, pack.vertex_count)
        self._context = moderngl.create_context(standalone=True, backend="egl")
        self._load_programs()
        self._load_textures()
        self._load_meshes()

    # Setting up

    def _load_programs(self) -> None:
        program = self._context.program
        self._surface = program(
            vertex_shader=shaders.SURFACE_VERTEX, fragment_shader=shaders.SURFACE_FRAGMENT
        )
        self._backdrop = program(
            vertex_shader=shaders.BACKDROP_VERTEX, fragment_shader=shaders.BACKDROP_FRAGMENT
        )
        self._shadow = program(
            vertex_shader=shaders.SHADOW_VERTEX, fragment_shader=shaders.SHADOW_FRAGMENT
        )
        self._ground = program(
            vertex_shader=shaders.GROUND_VERTEX, fragment_shader=shaders.GROUND_FRAGMENT
        )
        self._surface["arm_marks"] = self._places.arm_marks
        self._surface["level_marks"] = self._places.level_marks
        head = self.pack.template[self.pack.head]
        self._surface["face"] = tuple((head.min(0) + head.max(0)) / 2)
        for name, unit in (("albedo", 0), ("noise", 2), ("shadow_map", 3)):
            self._surface[name] = unit
        self._backdrop["panoramas"], self._backdrop["picture"] = 4, 5
        self._ground["shadow_map"] = 3

    def _load_textures(self) -> None:
        pack, context = self.pack, self._context
        skins = {key: decode_image(pack.images[key]) for key in pack.keys("skin/")}
        self._skin_layer = {key: layer for layer, key in enumerate(skins)}
        self._skin_mean = {
            key: ((image[::4, ::4] / 255.0) ** 2.2).reshape(-1, 3).mean(0) for key, image in skins.items()
        }
        self._skins = self._texture_array(list(skins.values()))
        items = pack.keys("clothes/") + pack.keys("hair/")
        self._item_layer = {key: layer for layer, key in enumerate(items)}
        self._items = self._texture_array([decode_image(pack.images[key]) for key in items])
        panoramas = pack.keys("panorama/")
        self._panorama_layer = {key: layer for layer, key in enumerate(panoramas)}
        self._panoramas = self._texture_array([decode_image(pack.images[k]) for k in panoramas], mipmaps=False)
        self._panoramas.repeat_y = False
        self._panoramas.use(4)
        self._noise = self._noise_texture()
        self._noise.use(2)
        self._shadow_map = context.depth_texture((SHADOW_SIZE, SHADOW_SIZE))
        self._shadow_map.compare_func = ""
        self._shadow_map.repeat_x = self._shadow_map.repeat_y = False
        self._shadow_map.filter = (moderngl.NEAREST, moderngl.NEAREST)
        self._shadow_map.use(3)
        self._shadow_buffer = context.framebuffer(depth_attachment=self._shadow_map)
        self._picture: moderngl.Texture | None = None
        self._target = context.framebuffer(
            context.renderbuffer((self._inner, self._inner), 4),
            context.depth_renderbuffer((self._inner, self._inner)),
        )

    def _texture_array(self, images: list[np.ndarray], mipmaps: bool = True) -> moderngl.TextureArray:
        height, width = images[0].shape[:2]
        data = np.full((len(images), height, width, 4), 255, np.uint8)
        for layer, image in zip(data, images):
            layer[..., : image.shape[2]] = image
        texture = self._context.texture_array((width, height, len(images)), 4, data.tobytes())
        texture.filter = (moderngl.LINEAR, moderngl.LINEAR)
        if mipmaps:
            texture.build_mipmaps()
            texture.filter = (moderngl.LINEAR_MIPMAP_NEAREST, moderngl.LINEAR)
        return texture

    def _noise_texture(self) -> moderngl.Texture:
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
        texture = self._context.texture((size, size), 4, data.tobytes())
        texture.build_mipmaps()
        texture.filter = (moderngl.LINEAR_MIPMAP_NEAREST, moderngl.LINEAR)
        return texture

    def _load_meshes(self) -> None:
        pack, context = self.pack, self._context

        def mesh(surface: Surface | Attachment) -> _Mesh:
            return _Mesh(context, self._surface, surface.uv, surface.rest, surface.shade, surface.faces)

        self._skin_mesh, self._cloth_mesh = mesh(pack.skin), mesh(pack.cloth)
        self._item_meshes = [mesh(item) for item in pack.attachments]
        self._item_normals = [
            VertexNormals(item.point[item.faces], len(item.binding.corners)) for item in pack.attachments
        ]
        self._proxy_points = context.buffer(reserve=len(pack.proxy_vertex) * 12)
        self._proxy_array = context.vertex_array(
            self._shadow,
            [(self._proxy_points, "3f4", "position")],
            index_buffer=context.buffer(pack.proxy_faces.astype("i4").tobytes()),
        )
        self._ground_points = context.buffer(reserve=4 * 12)
        self._ground_array = context.vertex_array(self._ground, [(self._ground_points, "3f4", "position")])
        self._backdrop_array = context.vertex_array(self._backdrop, [])

    # Drawing

    def render(
        self,
        people: list[PosedPerson],
        intrinsics: np.ndarray,
        background: BackgroundSpec,
        rng: np.random.Generator,
        photo_corners: np.ndarray | None = None,
    ) -> np.ndarray:
        """A photograph [size,size,3] uint8 RGB: `draw` plus occluders, the photo's border and camera effects.

        people[0] is the subject: occluders are placed on it. photo_corners [4,2]: the photo within the crop,
        pixels, black outside; None draws one at random, often covering the whole crop.
        """
        image = self.draw(people, intrinsics, background)
        if people and rng.random() < 0.3:
            points = people[0].vertices[self.pack.proxy_vertex] @ np.asarray(intrinsics).T
            pixels = points[:, :2] / np.maximum(points[:, 2:], NEAR)
            low, high = pixels.min(0).clip(0, self.size), pixels.max(0).clip(0, self.size)
            image = add_occluders(image, rng, self.pack, (low + high) / 2, float((high - low).max()) / 2)
        image = photograph(image, rng)
        if photo_corners is None:
            up = background.world_from_camera.T @ np.array([0.0, 1.0, 0.0])
            photo_corners = random_photo_corners(rng, np.asarray(intrinsics), self.size, up)
        return image if photo_corners is None else black_outside(image, photo_corners)

    def draw(
        self, people: list[PosedPerson], intrinsics: np.ndarray, background: BackgroundSpec
    ) -> np.ndarray:
        """A clean picture [size,size,3] uint8 RGB; `intrinsics` [3,3] pixels, origin at the first pixel's corner."""
        context = self._context
        projection = self._projection(np.asarray(intrinsics, np.float64))
        shadow = self._draw_shadows(people, background)
        self._target.use()
        context.viewport = (0, 0, self._inner, self._inner)
        context.clear(depth=1.0)
        self._draw_backdrop(intrinsics, background)
        context.enable(moderngl.DEPTH_TEST)
        if background.ground and people:
            self._draw_ground(people[0], projection, shadow, background)
        self._set_light(projection, shadow, background)
        for person in people:
            self._draw_person(person)
        data = np.frombuffer(self._target.read(components=4), np.uint8)
        picture = data.reshape(self._inner, self._inner, 4)[..., :3]
        if self._inner == self.size:
            return picture.copy()
        return cv2.resize(picture, (self.size, self.size), interpolation=cv2.INTER_AREA)

    def _projection(self, K: np.ndarray) -> np.ndarray:
        """Clip from camera coordinates; rows run downwards in the framebuffer as in the picture."""
        scale = 2 / self.size
        return np.array(
            [
                [scale * K[0, 0], scale * K[0, 1], scale * K[0, 2] - 1, 0],
                [0, scale * K[1, 1], scale * K[1, 2] - 1, 0],
                [0, 0, (FAR + NEAR) / (FAR - NEAR), -2 * FAR * NEAR / (FAR - NEAR)],
                [0, 0, 1, 0],
            ]
        )

    def _draw_shadows(self, people: list[PosedPerson], background: BackgroundSpec) -> np.ndarray:
        """Fill the shadow map; returns shadow clip coordinates from camera coordinates [4,4]."""
        sun = background.world_from_camera.T @ background.light.sun
        points = [person.vertices[self.pack.proxy_vertex].astype("f4") for person in people]
        everything = np.concatenate(points) if points else np.zeros((1, 3), "f4")
        low, high = everything.min(0), everything.max(0)
        centre, radius = (low + high) / 2, float(np.linalg.norm(high - low)) / 2 + 0.1
        right = np.cross(sun, [0.21, 0.35, 0.91])
        right /= np.linalg.norm(right)
        rows = np.stack([right, np.cross(sun, right), -sun]) / (radius * np.array([1, 1, 2.0])[:, None])
        shadow = np.eye(4)
        shadow[:3, :3], shadow[:3, 3] = rows, -rows @ centre
        context = self._context
        self._shadow_buffer.use()
        context.viewport = (0, 0, SHADOW_SIZE, SHADOW_SIZE)
        context.enable_only(moderngl.DEPTH_TEST)
        self._shadow_buffer.clear(depth=1.0)
        self._shadow["shadow_from_camera"].write(_columns(shadow))
        for person in points:
            self._proxy_points.orphan()
            self._proxy_points.write(person)
            self._proxy_array.render()
        context.disable(moderngl.DEPTH_TEST)
        return shadow

    def _draw_backdrop(self, K: np.ndarray, background: BackgroundSpec) -> None:
        program, half = self._backdrop, self.size / 2
        program["rays"] = (half / K[0, 0], half / K[1, 1], (half - K[0, 2]) / K[0, 0], (half - K[1, 2]) / K[1, 1])
        program["exposure"] = background.exposure
        program["world_from_camera"].write(_columns(background.world_from_camera))
        program["layer"] = self._panorama_layer.get(background.panorama, -1)
        if background.image is not None:
            if self._picture is not None:
                self._picture.release()
            height, width = background.image.shape[:2]
            data = np.ascontiguousarray(background.image).tobytes()
            self._picture = self._context.texture((width, height), 3, data, alignment=1)
            self._picture.use(5)
        self._backdrop_array.render(moderngl.TRIANGLES, vertices=3)

    def _draw_ground(self, person: PosedPerson, projection, shadow, background: BackgroundSpec) -> None:
        up = background.world_from_camera.T @ np.array([0.0, 1.0, 0.0])
        points = person.vertices[self.pack.proxy_vertex]
        height = points @ up
        foot = points[np.argmin(height)]
        centre = points.mean(0)
        centre = centre - up * (centre @ up - foot @ up)
        aside = np.cross(up, [0.3, 0.2, 0.93])
        aside /= np.linalg.norm(aside)
        ahead = np.cross(up, aside)
        corners = [centre + 4 * (a * aside + b * ahead) for a, b in ((-1, -1), (1, -1), (-1, 1), (1, 1))]
        self._ground_points.write(np.array(corners, "f4"))
        program = self._ground
        program["projection"].write(_columns(projection))
        program["shadow_from_camera"].write(_columns(shadow))
        light = background.light
        sunshine = float(light.sun_color.mean()) * max(float(light.sun[1]), 0.0)
        soft = float(light.sh[0].mean() * 0.282095)
        program["strength"] = 0.85 * sunshine / max(sunshine + soft, 1e-6)
        program["centre"] = tuple(centre)
        program["reach"] = 0.9
        context = self._context
        context.enable(moderngl.BLEND)
        context.blend_func = moderngl.DST_COLOR, moderngl.ZERO
        self._target.depth_mask = False
        self._ground_array.render(moderngl.TRIANGLE_STRIP, vertices=4)
        self._target.depth_mask = True
        context.disable(moderngl.BLEND)

    def _set_light(self, projection, shadow, background: BackgroundSpec) -> None:
        program, light = self._surface, background.light
        program["projection"].write(_columns(projection))
        program["shadow_from_camera"].write(_columns(shadow))
        program["world_from_camera"].write(_columns(background.world_from_camera))
        program["exposure"] = background.exposure
        program["sh"].write(light.sh.astype("f4").tobytes())
        program["sun"] = tuple(background.world_from_camera.T @ light.sun)
        program["sun_color"] = tuple(light.sun_color)

    def _draw_person(self, person: PosedPerson) -> None:
        pack, looks, program = self.pack, person.appearance, self._surface
        vertices = np.ascontiguousarray(person.vertices, np.float32)
        normals = self._normals(vertices)
        items = [(index, pack.attachments[index], cloth, keep) for index, cloth, keep in looks.attachments]

        hidden = np.zeros(pack.vertex_count, bool)
        for _, item, _, _ in items:
            hidden[item.hidden] = True
        self._set_skin(looks)
        self._skin_mesh.move(vertices[pack.skin.vertex], normals[pack.skin.vertex])
        visible = None
        if hidden.any():
            visible = ~hidden[pack.skin.vertex][pack.skin.faces].all(1)
        self._skin_mesh.draw(visible)

        if looks.garments:
            both = pack.cloth_smoothing @ np.concatenate([vertices, normals], axis=1)
            self._cloth_mesh.move(both[:, :3], both[:, 3:])
        depth = 0.0
        for garment in looks.garments:
            self._set_cut(garment.cut)
            self._set_cloth(garment.cloth, looks.seed)
            program["material"] = 1
            # Smoothing shrinks limbs by about 3 mm; later garments lie over earlier ones.
            depth += 0.0015
            wave = 0.25 * garment.thickness if garment.thickness > 0.008 else 0.0
            program["inflate"] = (garment.thickness + 0.003 + depth, garment.flare, wave, 6.28 * looks.seed)
            near = self._places.inside(pack.cloth.rest, garment.cut) > -0.12
            self._cloth_mesh.draw(near[pack.cloth.faces].any(1))

        program["inflate"] = (0.0, 0.0, 0.0, 0.0)
        self._set_cut(BARE)
        self._items.use(0)
        for index, item, cloth, keep in items:
            self._set_cloth(cloth, looks.seed, keep)
            program["material"] = 3 if item.kind == "hair" else 2
            program["layer"] = self._item_layer.get(item.texture, -1)
            mesh = self._item_meshes[index]
            points = self._place(item, vertices, normals)
            drawn = points[item.point]
            mesh.move(drawn, self._item_normals[index](points)[item.point])
            mesh.draw()

    def _place(self, item: Attachment, vertices: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """Points of an attachment on the posed body."""
        if not item.rigid:
            return item.binding.apply(vertices, normals)
        rest = np.zeros((len(item.binding.corners), 3), np.float32)
        rest[item.point] = item.rest
        source, target = self.pack.template[self.pack.head], vertices[self.pack.head]
        rotation, scale = _similarity(source, target)
        return (rest - source.mean(0)) @ (scale * rotation.T) + target.mean(0)

    def _set_skin(self, looks: Appearance) -> None:
        program = self._surface
        self._skins.use(0)
        program["material"] = 0
        program["layer"] = self._skin_layer[looks.skin]
        program["tint"] = tuple(np.array(looks.tone) / self._skin_mean[looks.skin])
        program["inflate"] = (0.0, 0.0, 0.0, 0.0)
        program["finish"] = (0.0, 0.0, looks.seed, 0.0)
        program["scalp"] = (*looks.scalp, looks.scalp_line) if looks.scalp else (0, 0, 0, -9)
        program["beard"] = looks.beard if looks.scalp else 0.0
        cuts = [garment.cut for garment in looks.garments[-HIDE_SLOTS:]]
        hide_a, hide_b = np.zeros((HIDE_SLOTS, 4), "f4"), np.zeros((HIDE_SLOTS, 4), "f4")
        for slot, cut in enumerate(cuts):
            hide_a[slot] = cut.arm, cut.bottom, cut.top, cut.tilt
            hide_b[slot] = cut.neck, cut.neck_width, 1, 0
        program["hide_a"].write(hide_a.tobytes())
        program["hide_b"].write(hide_b.tobytes())

    def _set_cut(self, cut: Cut) -> None:
        self._surface["cut_a"] = (cut.arm, cut.bottom, cut.top, cut.tilt)
        self._surface["cut_b"] = (cut.neck, cut.neck_width)

    def _set_cloth(self, cloth: Cloth, seed: float, keep: float = 0.0) -> None:
        program = self._surface
        program["tint"], program["second"], program["third"] = cloth.color, cloth.second, cloth.third
        program["weave"] = (cloth.pattern, cloth.period, cloth.logo, cloth.weave)
        program["finish"] = (cloth.folds, cloth.shine, seed, keep)


def _columns(matrix: np.ndarray) -> bytes:
    """Column-major float32 bytes, as OpenGL takes matrices."""
    return np.ascontiguousarray(matrix.T, dtype="f4").tobytes()


def _similarity(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, float]:
    """Rotation [3,3] and scale that carry `source` [N,3] to `target` about their means (Umeyama 1991)."""
    a, b = source - source.mean(0), target - target.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    return (u * sign) @ vt, float((s * sign).sum() / (a * a).sum())
