# SPDX-License-Identifier: GPL-3.0-or-later
"""The asset pack: one compressed file with all that the renderer draws."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy import sparse

from .geometry import Binding
from .panorama import Light

__all__ = ["AssetPack", "Attachment", "Surface", "decode_image", "encode_image"]

VERSION = 2


@dataclass(frozen=True)
class Surface:
    """A triangle mesh whose points are body vertices.

    vertex [N]: body vertex of each point; uv [N,2] (origin at the image's lower left);
    rest [N,3]: place in the body's rest pose, metres; shade [N]: ambient occlusion there, 0..1 (plus 2 on
    the eyeballs); faces [F,3].
    """

    vertex: np.ndarray
    uv: np.ndarray
    rest: np.ndarray
    shade: np.ndarray
    faces: np.ndarray


@dataclass(frozen=True)
class Attachment:
    """A mesh that rides on the body: hair, a hat, shoes or a suit.

    kind: "hair", "hat", "shoes" or "suit"; wearer: "any", "female" or "male".
    binding: N points on the body; point [M]: the point of each drawn vertex (seams doubled); uv [M,2]; faces [F,3];
    rest [M,3]; shade [M]; rigid: moves with the head as one piece; hidden: body vertices [H] that it covers;
    texture: key in `AssetPack.images`, or "" for a plain colour.
    """

    name: str
    kind: str
    wearer: str
    binding: Binding
    point: np.ndarray
    uv: np.ndarray
    rest: np.ndarray
    shade: np.ndarray
    faces: np.ndarray
    hidden: np.ndarray
    texture: str
    rigid: bool


@dataclass(frozen=True)
class AssetPack:
    """Everything the renderer draws with.

    body_faces [F,3] of V body vertices (for normals); skin: what is seen of them; cloth: the part of the body that
    garments are painted on, its points already in the order of `cloth_smoothing` [N,V], which averages away
    anatomy; proxy_vertex [P], proxy_faces: coarse body that casts shadows; head [H]: vertices that turn with the
    skull; eyes [2,3]: centres of the eyeballs in the rest pose; joints [24,3]: SMPL joints in the rest pose, metres.
    images: encoded (WebP/JPEG) pictures by key, "skin/...", "clothes/...", "hair/...", "panorama/...", "photo/...";
    lights: one per panorama key; sources: lines on origin and licence.
    """

    vertex_count: int
    body_faces: np.ndarray
    template: np.ndarray
    joints: np.ndarray
    skin: Surface
    cloth: Surface
    cloth_smoothing: sparse.csr_matrix
    proxy_vertex: np.ndarray
    proxy_faces: np.ndarray
    head: np.ndarray
    eyes: np.ndarray
    attachments: tuple[Attachment, ...]
    images: dict[str, bytes]
    lights: dict[str, Light]
    sources: tuple[str, ...]

    def keys(self, prefix: str) -> list[str]:
        """Sorted image keys that begin with `prefix`."""
        return sorted(key for key in self.images if key.startswith(prefix))

    def of_kind(self, kind: str, wearer: str = "any") -> list[int]:
        """Indices of the attachments of a kind that a wearer may put on."""
        return [
            index
            for index, item in enumerate(self.attachments)
            if item.kind == kind and (wearer == "any" or item.wearer in ("any", wearer))
        ]

    def part(self, held_out: bool) -> AssetPack:
        """The skins, clothes, hair and panoramas kept for testing, a fifth of each kind, or the others."""
        kinds: dict[str, list[str]] = {}
        for item in self.attachments:
            kinds.setdefault(f"{item.kind} {item.wearer}", []).append(item.name)
        for key in self.images:
            if key.startswith(("skin/", "panorama/")):
                wearer = "female" if "female" in key else "male"
                kinds.setdefault(f"{key.split('/')[0]} {wearer}", []).append(key)
        tested = {name for names in kinds.values() for name in sorted(names)[2::5]}
        dropped = {name for names in kinds.values() for name in names if (name in tested) != held_out}
        return replace(
            self,
            attachments=tuple(item for item in self.attachments if item.name not in dropped),
            images={key: data for key, data in self.images.items() if key not in dropped},
        )

    def save(self, path: Path) -> None:
        """Write the pack as a compressed npz."""
        # Any, since NumPy's stub takes each name for that of an option, too.
        arrays: dict[str, Any] = {
            "format": np.array("refit-render-pack"),
            "version": np.array(VERSION),
            "vertex_count": np.array(self.vertex_count),
            "body_faces": self.body_faces.astype(np.int32),
            "template": self.template.astype(np.float32),
            "joints": self.joints.astype(np.float32),
            "proxy_vertex": self.proxy_vertex.astype(np.int32),
            "proxy_faces": self.proxy_faces.astype(np.int32),
            "head": self.head.astype(np.int32),
            "eyes": self.eyes.astype(np.float32),
            "sources": np.array(self.sources),
            "image_keys": np.array(list(self.images)),
            "smoothing_data": self.cloth_smoothing.data.astype(np.float16),
            "smoothing_indices": self.cloth_smoothing.indices.astype(np.int32),
            "smoothing_indptr": self.cloth_smoothing.indptr.astype(np.int32),
            "attachment_labels": np.array(
                [[item.name, item.kind, item.wearer, item.texture, str(int(item.rigid))] for item in self.attachments]
            ).reshape(-1, 5),
            "light_keys": np.array(list(self.lights)),
        }
        for name, surface in (("skin", self.skin), ("cloth", self.cloth)):
            arrays |= {f"{name}_{key}": value for key, value in _pack_surface(surface).items()}
        for index, data in enumerate(self.images.values()):
            arrays[f"image_{index}"] = np.frombuffer(data, np.uint8)
        for index, light in enumerate(self.lights.values()):
            arrays[f"light_{index}"] = np.vstack([light.sh, light.sun, light.sun_color])
        for index, item in enumerate(self.attachments):
            arrays |= {
                f"attachment_{index}_{key}": value
                for key, value in {
                    "corners": item.binding.corners.astype(np.uint16),
                    "weights": item.binding.weights.astype(np.float32),
                    "offsets": item.binding.offsets.astype(np.float32),
                    "point": item.point.astype(np.uint16),
                    "uv": item.uv.astype(np.float16),
                    "rest": item.rest.astype(np.float16),
                    "shade": item.shade.astype(np.float16),
                    "faces": item.faces.astype(np.uint16),
                    "hidden": item.hidden.astype(np.uint16),
                }.items()
            }
        np.savez_compressed(path, **arrays)

    @classmethod
    def load(cls, path: Path) -> AssetPack:
        """Read a pack written by `save`; raises ValueError for any other file."""
        with np.load(path, allow_pickle=False) as file:
            if "format" not in file or str(file["format"]) != "refit-render-pack":
                raise ValueError(f"{path} is not a render pack")
            if int(file["version"]) != VERSION:
                raise ValueError(f"{path} is a render pack of another version: build it again")
            arrays = {key: file[key] for key in file.files}
        vertex_count = int(arrays["vertex_count"])
        cloth = _unpack_surface(arrays, "cloth")
        smoothing = sparse.csr_matrix(
            (
                arrays["smoothing_data"].astype(np.float32),
                arrays["smoothing_indices"],
                arrays["smoothing_indptr"],
            ),
            (len(cloth.vertex), vertex_count),
        )
        labels = arrays["attachment_labels"]
        lights = (arrays[f"light_{index}"] for index in range(len(arrays["light_keys"])))
        return cls(
            vertex_count=vertex_count,
            body_faces=arrays["body_faces"],
            template=arrays["template"],
            joints=arrays["joints"],
            skin=_unpack_surface(arrays, "skin"),
            cloth=cloth,
            cloth_smoothing=smoothing,
            proxy_vertex=arrays["proxy_vertex"],
            proxy_faces=arrays["proxy_faces"],
            head=arrays["head"],
            eyes=arrays["eyes"],
            attachments=tuple(_unpack_attachment(arrays, i, row) for i, row in enumerate(labels)),
            images={str(key): arrays[f"image_{index}"].tobytes() for index, key in enumerate(arrays["image_keys"])},
            lights={
                str(key): Light(table[:9], table[9], table[10])
                for key, table in zip(arrays["light_keys"], lights, strict=True)
            },
            sources=tuple(str(line) for line in arrays["sources"]),
        )


def _pack_surface(surface: Surface) -> dict[str, np.ndarray]:
    return {
        "vertex": surface.vertex.astype(np.uint16),
        "uv": surface.uv.astype(np.float32),
        "rest": surface.rest.astype(np.float32),
        "shade": surface.shade.astype(np.float16),
        "faces": surface.faces.astype(np.uint16),
    }


def _unpack_surface(arrays: dict[str, np.ndarray], name: str) -> Surface:
    return Surface(
        vertex=arrays[f"{name}_vertex"].astype(np.int64),
        uv=arrays[f"{name}_uv"],
        rest=arrays[f"{name}_rest"],
        shade=arrays[f"{name}_shade"].astype(np.float32),
        faces=arrays[f"{name}_faces"].astype(np.int32),
    )


def _unpack_attachment(arrays: dict[str, np.ndarray], index: int, labels: np.ndarray) -> Attachment:
    def get(key: str) -> np.ndarray:
        return arrays[f"attachment_{index}_{key}"]

    name, kind, wearer, texture, rigid = (str(label) for label in labels)
    return Attachment(
        name=name,
        kind=kind,
        wearer=wearer,
        binding=Binding(get("corners").astype(np.int64), get("weights"), get("offsets")),
        point=get("point").astype(np.int64),
        uv=get("uv").astype(np.float32),
        rest=get("rest").astype(np.float32),
        shade=get("shade").astype(np.float32),
        faces=get("faces").astype(np.int32),
        hidden=get("hidden").astype(np.int64),
        texture=texture,
        rigid=rigid == "1",
    )


def encode_image(image: np.ndarray, quality: int = 80) -> bytes:
    """RGB or RGBA uint8 [H,W,C] as WebP."""
    code = cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
    done, data = cv2.imencode(".webp", cv2.cvtColor(image, code), [cv2.IMWRITE_WEBP_QUALITY, quality])
    if not done:
        raise ValueError("WebP encoding failed")
    return data.tobytes()


def decode_image(data: bytes) -> np.ndarray:
    """Inverse of `encode_image`: RGB or RGBA uint8 [H,W,C]."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ValueError("not an image")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB if image.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)
