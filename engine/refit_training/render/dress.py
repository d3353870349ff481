# SPDX-License-Identifier: GPL-3.0-or-later
"""Dressed people as plain meshes, for renderers other than ours.

The same garments, hair and shoes as `renderer` draws, cut out of the body with numpy. What only our shaders know is
left out: patterns, prints, folds, beards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .appearance import Appearance, Cut, Outfit
from .cuts import BodyPlaces
from .geometry import VertexNormals
from .pack import AssetPack, Attachment, Surface, decode_image

__all__ = ["Part", "dress", "place_attachment", "skin_mean"]

EYE = 2.0
"""What is added to the shade of the eyeballs."""
UNDER = 0.04
"""Skin this far inside a garment, in levels, is not drawn."""


@dataclass(frozen=True)
class Part:
    """A mesh of one material.

    vertices: [N,3] metres, in the frame of the person's; faces: [F,3]; uv: [N,2], origin at the image's lower left.
    color: linear RGB; it multiplies the texture of a "tinted" part, stands in for that of a "masked" one, whose
    texture only says where it is transparent, and is not used for a "textured" one. texture: key of the pack or "".
    """

    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    color: tuple[float, float, float]
    texture: str
    material: Literal["plain", "tinted", "masked", "textured"]


def dress(pack: AssetPack, vertices: np.ndarray, looks: Appearance) -> list[Part]:
    """Skin, garments, hair and shoes of a person whose body has these `vertices` [V,3]."""
    vertices = np.ascontiguousarray(vertices, np.float32)
    normals = VertexNormals(pack.body_faces, pack.vertex_count)(vertices)
    places = BodyPlaces(pack.joints, pack.template[:, 1].max())
    hidden = np.zeros(pack.vertex_count, bool)
    parts = []
    for index, cloth, keep in looks.attachments:
        item = pack.attachments[index]
        hidden[item.hidden] = True
        parts.append(_attachment(pack, item, vertices, normals, cloth.color, keep))
    for layer, garment in enumerate(looks.garments):
        parts.append(_garment(pack, places, vertices, normals, garment, layer, looks.seed))
    return [*_skin(pack, places, vertices, hidden, looks), *(part for part in parts if len(part.faces))]


def skin_mean(pack: AssetPack, key: str) -> np.ndarray:
    """Mean linear colour [3] of a skin's texture, in the shaders' gamma of 2."""
    return ((decode_image(pack.images[key])[::4, ::4] / 255.0) ** 2).reshape(-1, 3).mean(0)


def _skin(
    pack: AssetPack, places: BodyPlaces, vertices: np.ndarray, hidden: np.ndarray, looks: Appearance
) -> list[Part]:
    skin = pack.skin
    covered = hidden[skin.vertex]
    for garment in looks.garments:
        covered = covered | (inside(places, skin.rest, garment.cut) > UNDER)
    faces = skin.faces[~covered[skin.faces].all(1)]
    eyes = np.all(skin.shade[faces] >= EYE - 0.5, axis=1)
    iris = eyes & np.any(_gaze(pack, skin)[faces] > 0.9, axis=1)
    scalp = np.zeros(len(faces), bool)
    if looks.scalp is not None:
        scalp = np.all(_scalp(pack, skin, looks.scalp_line)[faces] > 0, axis=1) & ~eyes

    def part(chosen: np.ndarray, color, texture: str = "") -> Part:
        return Part(vertices[skin.vertex], faces[chosen], skin.uv, color, texture, "tinted" if texture else "plain")

    tint = tuple(np.array(looks.tone) / skin_mean(pack, looks.skin))
    parts = [
        part(~eyes & ~scalp, tint, looks.skin),
        part(eyes & ~iris, (0.62, 0.58, 0.55)),
        part(iris, (0.04, 0.03, 0.02)),
    ]
    return parts + ([part(scalp, looks.scalp)] if looks.scalp is not None else [])


def _gaze(pack: AssetPack, skin: Surface) -> np.ndarray:
    """How far each point [N] is turned to the front about its eyeball's centre: 1 in the middle of the pupil."""
    centre = np.abs(pack.eyes).mean(0)
    around = np.column_stack([np.abs(skin.rest[:, 0]), skin.rest[:, 1:]]) - centre
    return around[:, 2] / np.maximum(np.linalg.norm(around, axis=1), 1e-6)


def _scalp(pack: AssetPack, skin: Surface, line: float) -> np.ndarray:
    """Positive [N] where hair is painted: above the forehead, behind the ears, down to the nape."""
    head = pack.template[pack.head]
    h = skin.rest - (head.min(0) + head.max(0)) / 2
    border = h[:, 1] - 0.075 + 0.026 * line + np.where(h[:, 2] > 0, -0.25, -1.6) * h[:, 2]
    return np.minimum(border, h[:, 1] + 0.0675)


def _garment(
    pack: AssetPack,
    places: BodyPlaces,
    vertices: np.ndarray,
    normals: np.ndarray,
    garment: Outfit,
    layer: int,
    seed: float,
) -> Part:
    rest, cut = pack.cloth.rest, garment.cut
    both = pack.cloth_smoothing @ np.concatenate([vertices, normals], axis=1)
    level, arm, phase = places.level(rest), places.arm(rest), 6.28 * seed
    # As in the vertex shader: over the skin and earlier garments, wider at the ends.
    end = np.maximum(1 - np.abs(level - cut.bottom) / 0.7, 0) + np.maximum(1 - np.abs(arm - cut.arm) / 0.6, 0)
    lift = garment.thickness + 0.0045 + 0.0015 * layer
    lift = lift + garment.flare * end * (0.6 + 0.4 * np.sin(rest[:, 0] * 31 + rest[:, 2] * 43 + phase))
    points = both[:, :3] + both[:, 3:] * lift[:, None]
    points, faces = clip_mesh(points, pack.cloth.faces, inside(places, rest, cut))
    return Part(points, faces, np.zeros((len(points), 2)), garment.cloth.color, "", "plain")


def _attachment(
    pack: AssetPack, item: Attachment, vertices: np.ndarray, normals: np.ndarray, color, keep: float
) -> Part:
    points = place_attachment(pack, item, vertices, normals)
    material = "plain" if not item.texture else "textured" if keep >= 1 and item.kind != "hair" else "masked"
    return Part(points[item.point], item.faces, item.uv, color, item.texture, material)


def place_attachment(pack: AssetPack, item: Attachment, vertices: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Points [N,3] of an attachment on a body with these vertices [V,3] and unit normals [V,3]."""
    if not item.rigid:
        return item.binding.apply(vertices, normals)
    rest = np.zeros((len(item.binding.corners), 3), np.float32)
    rest[item.point] = item.rest
    source, target = pack.template[pack.head], vertices[pack.head]
    rotation, scale = _similarity(source, target)
    return (rest - source.mean(0)) @ (scale * rotation.T) + target.mean(0)


def _similarity(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, float]:
    """Rotation [3,3] and scale that carry `source` [N,3] to `target` about their means (Umeyama 1991)."""
    a, b = source - source.mean(0), target - target.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    return (u * sign) @ vt, float((s * sign).sum() / (a * a).sum())


def inside(places: BodyPlaces, rest: np.ndarray, cut: Cut) -> np.ndarray:
    """How far inside a cut rest-pose points [N,3] are, in levels, with its neckline."""
    within = places.inside(rest, cut)
    if not cut.neck:
        return within
    neckline = places.level_marks[4] - cut.neck * np.where(rest[:, 2] > 0, 1.0, 0.3)
    above = rest[:, 1] - neckline
    notch = np.abs(rest[:, 0]) - cut.neck_width * np.clip(above / max(cut.neck, 0.01), 0, 1)
    return np.where(above > 0, np.minimum(within, 8 * notch), within)


def clip_mesh(points: np.ndarray, faces: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The part of a mesh where `value` [N], linear over each triangle, is positive: points [M,3] and faces [G,3].

    The first N points are the given ones, used or not.
    """
    positive = value > 0
    count = positive[faces].sum(1)
    kept, made, new_faces = [faces[count == 3]], [points], []
    size = len(points)

    def crossing(start: np.ndarray, end: np.ndarray) -> np.ndarray:
        nonlocal size
        share = (value[start] / (value[start] - value[end]))[:, None]
        made.append(points[start] + share * (points[end] - points[start]))
        size += len(start)
        return np.arange(size - len(start), size)

    for inner in (1, 2):
        crossed = faces[count == inner]
        # Turn each triangle so that the odd corner comes first.
        odd = np.argmax(positive[crossed] == (inner == 1), axis=1)
        a, b, c = (crossed[np.arange(len(crossed)), (odd + step) % 3] for step in range(3))
        ab, ac = crossing(a, b), crossing(a, c)
        if inner == 1:
            new_faces.append(np.stack([a, ab, ac], 1))
        else:
            new_faces += [np.stack([ab, b, c], 1), np.stack([ab, c, ac], 1)]
    return np.concatenate(made), np.concatenate([*kept, *new_faces]).astype(np.int32)
