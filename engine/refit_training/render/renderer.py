# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws posed, dressed people before a backdrop with OpenGL, without a window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import moderngl
import numpy as np

from . import shaders
from .appearance import Appearance, Cloth, Outfit
from .background import BackgroundSpec
from .cuts import BodyPlaces
from .dress import place_attachment, skin_mean
from .effects import add_occluders, black_outside, camera_effects, random_photo_corners
from .geometry import VertexNormals
from .opengl import Mesh, assign, define, noise_texture, open_context, texture_array
from .pack import AssetPack, Attachment, decode_image

__all__ = ["PeopleRenderer", "PosedPerson"]

NEAR, FAR = 0.05, 100.0
SHADOW_SIZE = 192
HIDE_SLOTS = 4
SCENE_FLOATS = 92
Material = Literal["SKIN", "CLOTH", "ITEM", "HAIR"]


@dataclass(frozen=True)
class PosedPerson:
    """Body vertices [V,3] in the camera frame (X right, Y down, Z forward, metres) and their looks."""

    vertices: np.ndarray
    appearance: Appearance


class PeopleRenderer:
    """Renders pictures of people; one per process, since it owns an OpenGL context.

    Same inputs give the same picture on the same driver.
    """

    def __init__(self, pack: AssetPack, size: int = 256, supersample: float = 1.5, card: bool = False):
        """Pictures of `size` pixels a side, drawn `supersample` times larger; see `open_context` for `card` and errors."""
        self.pack = pack
        self.size = size
        self._inner = round(size * supersample)
        self._places = BodyPlaces(pack.joints, pack.template[:, 1].max())
        self._normals = VertexNormals(pack.body_faces, pack.vertex_count)
        self._context = open_context(card)
        self._load_programs()
        self._load_textures()
        self._load_meshes()

    # Setting up

    def _load_programs(self) -> None:
        def program(vertex: str, fragment: str, **units: int) -> moderngl.Program:
            made = self._context.program(vertex_shader=vertex, fragment_shader=fragment)
            assign(made, **units)
            return made

        self._surfaces: dict[tuple, moderngl.Program] = {}
        self._scene = self._context.buffer(reserve=SCENE_FLOATS * 4)
        self._scene.bind_to_uniform_block(0)
        self._panorama_program = program(shaders.BACKDROP_VERTEX, shaders.PANORAMA_FRAGMENT, panoramas=4)
        self._picture_program = program(shaders.BACKDROP_VERTEX, shaders.PICTURE_FRAGMENT, picture=5)
        self._shadow_program = program(shaders.SHADOW_VERTEX, shaders.SHADOW_FRAGMENT)
        self._ground_program = program(shaders.GROUND_VERTEX, shaders.GROUND_FRAGMENT, shadow_map=3)

    def _surface_program(
        self, material: Material, pattern: int = 0, printed: bool = False, hidden: int = 0, beard: bool = False
    ) -> moderngl.Program:
        """The surface program for this use, compiled when first asked for."""
        key = (material, pattern, printed, hidden, beard)
        if key not in self._surfaces:
            defines = {
                "SKIN": 0,
                "CLOTH": 1,
                "ITEM": 2,
                "HAIR": 3,
                "MATERIAL": material,
                "PATTERN": pattern,
                "PRINT": int(printed),
                "HIDDEN": hidden,
                "BEARD": int(beard),
                "EYE": ", ".join(f"{value:.5f}" for value in np.abs(self.pack.eyes).mean(0)),
                "ARM_MARKS": ", ".join(f"{mark:.5f}" for mark in self._places.arm_marks),
                "LEVEL_MARKS": ", ".join(f"{mark:.5f}" for mark in self._places.level_marks),
            }
            made = self._context.program(
                vertex_shader=define(shaders.SURFACE_VERTEX, defines),
                fragment_shader=define(shaders.SURFACE_FRAGMENT, defines),
            )
            head = self.pack.template[self.pack.head]
            centre = tuple((head.min(0) + head.max(0)) / 2)
            assign(made, albedo=0 if material == "SKIN" else 1, noise=2, shadow_map=3, face=centre)
            self._surfaces[key] = made
        return self._surfaces[key]

    def _load_textures(self) -> None:
        pack, context = self.pack, self._context
        skins = {key: decode_image(pack.images[key]) for key in pack.keys("skin/")}
        self._skin_layer = {key: layer for layer, key in enumerate(skins)}
        self._skin_mean = {key: skin_mean(pack, key) for key in skins}
        self._skins = texture_array(context, list(skins.values()))
        items = pack.keys("clothes/") + pack.keys("hair/")
        self._item_layer = {key: layer for layer, key in enumerate(items)}
        self._items = texture_array(context, [decode_image(pack.images[key]) for key in items])
        panoramas = pack.keys("panorama/")
        self._panorama_layer = {key: layer for layer, key in enumerate(panoramas)}
        self._panoramas = texture_array(context, [decode_image(pack.images[k]) for k in panoramas], mipmaps=False)
        self._panoramas.repeat_y = False
        self._skins.use(0)
        self._items.use(1)
        self._panoramas.use(4)
        self._noise = noise_texture(context)
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

    def _load_meshes(self) -> None:
        pack, context = self.pack, self._context
        self._skin_mesh, self._cloth_mesh = Mesh(context, pack.skin), Mesh(context, pack.cloth)
        self._item_meshes = [Mesh(context, item) for item in pack.attachments]
        self._item_normals = [
            VertexNormals(item.point[item.faces], len(item.binding.corners)) for item in pack.attachments
        ]
        self._proxy_points = context.buffer(reserve=len(pack.proxy_vertex) * 12)
        self._proxy_array = context.vertex_array(
            self._shadow_program,
            [(self._proxy_points, "3f4", "position")],
            index_buffer=context.buffer(pack.proxy_faces.astype("i4").tobytes()),
        )
        self._ground_points = context.buffer(reserve=4 * 12)
        self._ground_array = context.vertex_array(self._ground_program, [(self._ground_points, "3f4", "position")])
        self._panorama_array = context.vertex_array(self._panorama_program, [])
        self._picture_array = context.vertex_array(self._picture_program, [])

    # Drawing

    def render(
        self,
        people: list[PosedPerson],
        intrinsics: np.ndarray,
        background: BackgroundSpec,
        rng: np.random.Generator,
        photo_corners: np.ndarray | None = None,
    ) -> np.ndarray:
        """A synthetic render [size,size,3] uint8 RGB: `draw` plus occluders, the photo's border and camera effects.

        people[0] is the subject: occluders are placed on it. photo_corners [4,2]: the photo within the crop,
        pixels, black outside; None draws one at random, often covering the whole crop.
        """
        image = self.draw(people, intrinsics, background)
        intrinsics = np.asarray(intrinsics, np.float64)
        subject = self._pixels(people[0], intrinsics) if people else np.zeros((0, 2))
        if people and rng.random() < 0.25:
            low, high = subject.min(0).clip(0, self.size), subject.max(0).clip(0, self.size)
            image = add_occluders(image, rng, self.pack, (low + high) / 2, float((high - low).max()) / 2)
        image = camera_effects(image, rng)
        if photo_corners is None:
            up = background.world_from_camera.T @ np.array([0.0, 1.0, 0.0])
            photo_corners = random_photo_corners(rng, intrinsics, self.size, up, subject)
        return image if photo_corners is None else black_outside(image, photo_corners)

    def _pixels(self, person: PosedPerson, K: np.ndarray) -> np.ndarray:
        """Where the coarse body [P,3] falls in the picture: [P,2] pixels."""
        points = person.vertices[self.pack.proxy_vertex] @ K.T
        return points[:, :2] / np.maximum(points[:, 2:], NEAR)

    def draw(self, people: list[PosedPerson], intrinsics: np.ndarray, background: BackgroundSpec) -> np.ndarray:
        """A clean picture [size,size,3] uint8 RGB; `intrinsics` [3,3] pixels, origin at the first pixel's corner."""
        context = self._context
        intrinsics = np.asarray(intrinsics, np.float64)
        self._write_scene(people, intrinsics, background)
        self._draw_shadows(people)
        self._target.use()
        context.viewport = (0, 0, self._inner, self._inner)
        context.disable(moderngl.DEPTH_TEST)
        context.clear(depth=1.0)
        self._draw_backdrop(intrinsics, background)
        context.enable(moderngl.DEPTH_TEST)
        if background.ground and people:
            self._draw_ground(people[0], background)
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

    def _write_scene(self, people: list[PosedPerson], K: np.ndarray, background: BackgroundSpec) -> None:
        """Camera and light of the picture, for all programs; the layout is `shaders._SCENE`."""
        light, world_from_camera = background.light, background.world_from_camera
        sun = world_from_camera.T @ light.sun
        rotation = np.eye(4)
        rotation[:3, :3] = world_from_camera
        scene = np.zeros(SCENE_FLOATS, "f4")
        for slot, matrix in enumerate((self._projection(K), self._shadow_camera(people, sun), rotation)):
            scene[16 * slot : 16 * slot + 16] = matrix.T.ravel()
        scene[48:84].reshape(9, 4)[:, :3] = light.sh
        scene[84:88] = *sun, background.exposure
        scene[88:91] = light.sun_color
        self._scene.write(scene)

    def _shadow_camera(self, people: list[PosedPerson], sun: np.ndarray) -> np.ndarray:
        """Orthographic clip coordinates seen from the sun, around everybody: [4,4] from camera coordinates."""
        if not people:
            return np.eye(4)
        low = np.min([person.vertices[self.pack.proxy_vertex].min(0) for person in people], 0)
        high = np.max([person.vertices[self.pack.proxy_vertex].max(0) for person in people], 0)
        centre, radius = (low + high) / 2, float(np.linalg.norm(high - low)) / 2 + 0.1
        right = np.cross(sun, [0.21, 0.35, 0.91])
        right /= np.linalg.norm(right)
        rows = np.stack([right, np.cross(sun, right), -sun]) / (radius * np.array([1, 1, 2.0])[:, None])
        shadow = np.eye(4)
        shadow[:3, :3], shadow[:3, 3] = rows, -rows @ centre
        return shadow

    def _draw_shadows(self, people: list[PosedPerson]) -> None:
        context = self._context
        self._shadow_buffer.use()
        context.viewport = (0, 0, SHADOW_SIZE, SHADOW_SIZE)
        context.enable_only(moderngl.DEPTH_TEST)
        self._shadow_buffer.clear(depth=1.0)
        for person in people:
            self._proxy_points.orphan()
            self._proxy_points.write(person.vertices[self.pack.proxy_vertex].astype("f4"))
            self._proxy_array.render()

    def _draw_backdrop(self, K: np.ndarray, background: BackgroundSpec) -> None:
        if background.image is None:
            half, program = self.size / 2, self._panorama_program
            shift = ((half - K[0, 2]) / K[0, 0], (half - K[1, 2]) / K[1, 1])
            rays = (half / K[0, 0], half / K[1, 1], *shift)
            layer, balance = self._panorama_layer[background.panorama], tuple(background.balance)
            assign(program, rays=rays, layer=layer, balance=balance)
            self._panorama_array.render(moderngl.TRIANGLES, vertices=3)
            return
        if self._picture is not None:
            self._picture.release()
        height, width = background.image.shape[:2]
        data = np.ascontiguousarray(background.image).tobytes()
        self._picture = self._context.texture((width, height), 3, data, alignment=1)
        self._picture.use(5)
        self._picture_array.render(moderngl.TRIANGLES, vertices=3)

    def _draw_ground(self, person: PosedPerson, background: BackgroundSpec) -> None:
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
        light = background.light
        sunshine = float(light.sun_color.mean()) * max(float(light.sun[1]), 0.0)
        soft = float(light.sh[0].mean() * 0.282095)
        strength = 0.85 * sunshine / max(sunshine + soft, 1e-6)
        assign(self._ground_program, strength=strength, centre=tuple(centre), reach=0.9)
        context = self._context
        context.enable(moderngl.BLEND)
        context.blend_func = moderngl.DST_COLOR, moderngl.ZERO
        self._target.depth_mask = False
        self._ground_array.render(moderngl.TRIANGLE_STRIP, vertices=4)
        self._target.depth_mask = True
        context.disable(moderngl.BLEND)

    def _draw_person(self, person: PosedPerson) -> None:
        """Outermost first, so that what is covered is not shaded."""
        pack, looks = self.pack, person.appearance
        vertices = np.ascontiguousarray(person.vertices, np.float32)
        normals = self._normals(vertices)
        hidden = np.zeros(pack.vertex_count, bool)
        for index, cloth, keep in looks.attachments:
            item = pack.attachments[index]
            hidden[item.hidden] = True
            points = place_attachment(pack, item, vertices, normals)
            self._item_meshes[index].move(points[item.point], self._item_normals[index](points)[item.point])
            self._item_meshes[index].draw(self._item_program(item, cloth, looks.seed, keep))
        if looks.garments:
            both = pack.cloth_smoothing @ np.concatenate([vertices, normals], axis=1)
            self._cloth_mesh.move(both[:, :3], both[:, 3:])
        for layer, garment in reversed(list(enumerate(looks.garments))):
            near = self._places.inside(pack.cloth.rest, garment.cut) > -0.12
            self._cloth_mesh.draw(
                self._cloth_program(garment, layer, looks.seed), np.any(near[pack.cloth.faces], axis=1)
            )

        covered = hidden[pack.skin.vertex]
        for garment in looks.garments[-HIDE_SLOTS:]:
            if not garment.cut.neck:
                covered |= self._places.inside(pack.skin.rest, garment.cut) > 0.04
        self._skin_mesh.move(vertices[pack.skin.vertex], normals[pack.skin.vertex])
        faces = pack.skin.faces
        self._skin_mesh.draw(
            self._skin_program(looks),
            ~np.all(covered[faces], axis=1) & ~np.any(hidden[pack.skin.vertex][faces], axis=1),
        )

    def _skin_program(self, looks: Appearance) -> moderngl.Program:
        garments = looks.garments[-HIDE_SLOTS:]
        beard = looks.beard > 0 and looks.scalp is not None
        program = self._surface_program("SKIN", hidden=len(garments), beard=beard)
        hide_a, hide_b = np.zeros((HIDE_SLOTS, 4), "f4"), np.zeros((HIDE_SLOTS, 4), "f4")
        for slot, garment in enumerate(garments):
            cut = garment.cut
            hide_a[slot] = cut.arm, cut.bottom, cut.top, cut.tilt
            hide_b[slot] = cut.neck, cut.neck_width, 0, 0
        assign(
            program,
            layer=self._skin_layer[looks.skin],
            tint=tuple(np.array(looks.tone) / self._skin_mean[looks.skin]),
            finish=(0.0, 0.0, looks.seed, 0.0),
            scalp=(*looks.scalp, looks.scalp_line) if looks.scalp else (0, 0, 0, -9),
            stubble=looks.beard,
            hide_a=[tuple(row) for row in hide_a],
            hide_b=[tuple(row) for row in hide_b],
        )
        return program

    def _cloth_program(self, garment: Outfit, layer: int, seed: float) -> moderngl.Program:
        cut, cloth, thickness = garment.cut, garment.cloth, garment.thickness
        program = self._surface_program("CLOTH", cloth.pattern, cloth.logo > 0)
        _assign_cloth(program, cloth, seed, 0.0)
        # Smoothing shrinks limbs by about 3 mm; later garments lie over earlier ones.
        lift = thickness + 0.0045 + 0.0015 * layer
        wave = 0.25 * thickness if thickness > 0.008 else 0.0
        assign(
            program,
            cut_a=(cut.arm, cut.bottom, cut.top, cut.tilt),
            cut_b=(cut.neck, cut.neck_width),
            inflate=(lift, garment.flare, wave, 6.28 * seed),
        )
        return program

    def _item_program(self, item: Attachment, cloth: Cloth, seed: float, keep: float) -> moderngl.Program:
        if item.kind == "hair":
            program = self._surface_program("HAIR")
        else:
            plain = keep >= 1
            program = self._surface_program("ITEM", 0 if plain else cloth.pattern, not plain and cloth.logo > 0)
        _assign_cloth(program, cloth, seed, keep)
        assign(program, layer=self._item_layer.get(item.texture, -1))
        return program


def _assign_cloth(program: moderngl.Program, cloth: Cloth, seed: float, keep: float) -> None:
    assign(
        program,
        tint=cloth.color,
        second=cloth.second,
        third=cloth.third,
        weave=(cloth.pattern, cloth.period, cloth.logo, cloth.weave),
        finish=(cloth.folds, cloth.shine, seed, keep),
    )
