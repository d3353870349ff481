# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures with a known up: people rendered by tilted and rolled cameras, and frames of calibrated videos."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from refit_engine.body import BodyModel, load_body
from refit_engine.camera import camera_matrix

from refit_training.poses import PoseLibrary
from refit_training.render import AssetPack, PeopleRenderer, PosedPerson, random_appearance, random_background

BUILT = ("adams_place_bridge", "empty_warehouse", "lebombo", "potsdamer", "st_fagans", "studio_small", "venice_sunset")
"""What the names of panoramas of built places begin with; all others show nature."""
SIDE = 1024
FLIP = np.diag([1.0, -1.0, -1.0])
QTM_UNITS = 64.0


@dataclass(frozen=True)
class Tilted:
    """A picture [H,W,3] RGB, its camera matrix K [3,3], the true up [3] in the camera's frame, and where it is from."""

    kind: str
    place: str
    pixels: np.ndarray
    K: np.ndarray
    up: np.ndarray


def recorded(folder: Path, every: int, first: int = 5) -> Iterator[Tilted]:
    """Frames of a Pose2Sim demo: `calibration/*.qca.txt` and `videos/NAME.mp4`. Raises OSError for a missing video.

    Qualisys' XML has the rows of the rotation from the world (Z up) to a camera with Y up that looks along -Z, and
    lengths in 64ths of a pixel (as Pose2Sim reads it, `calibration.py`).
    """
    (file,) = sorted((folder / "calibration").glob("*.qca.txt"))
    for camera in ElementTree.parse(file).getroot().findall("cameras/camera"):
        turn, lens = _numbers(camera.find("transform")), _numbers(camera.find("intrinsic"))
        up = FLIP @ np.array([turn["r13"], turn["r23"], turn["r33"]])
        K = np.diag([lens["focalLengthU"], lens["focalLengthV"], QTM_UNITS]) / QTM_UNITS
        K[:2, 2] = lens["centerPointU"] / QTM_UNITS, lens["centerPointV"] / QTM_UNITS
        path = folder / "videos" / f"{camera.attrib['serial']}.mp4"
        video = cv2.VideoCapture(str(path))
        if not video.isOpened():
            raise OSError(f"{path} could not be read.")
        number = 0
        while video.grab():
            if number % every == first:
                pixels = np.ascontiguousarray(video.retrieve()[1][..., ::-1])
                yield Tilted(folder.name, f"{camera.attrib['serial']} {number}", pixels, K, up / np.linalg.norm(up))
            number += 1


def _numbers(element: ElementTree.Element | None) -> dict[str, float]:
    return {name: float(value) for name, value in ({} if element is None else element.attrib).items()}


class TiltedCamera:
    """Renders single people before panoramas and plain backdrops, pitch -10 to 40 degrees, roll to 15."""

    def __init__(self, pack: AssetPack, poses: PoseLibrary) -> None:
        self.pack, self.poses = pack, poses
        self.rotmats = poses.rotmats()
        self.model = BodyModel(load_body())
        self.renderer = PeopleRenderer(pack, size=SIDE, supersample=1.0)

    def panoramas(self, built: bool) -> list[str]:
        """Keys of the pack's panoramas of built places, or of nature."""
        return [key for key in self.pack.keys("panorama/") if Path(key).name.startswith(BUILT) == built]

    def picture(self, rng: np.random.Generator, kind: str, panorama: str | None) -> Tilted:
        """One picture; without a panorama the backdrop is a plain wall."""
        camera_from_world = tilted_rotation(rng.uniform(-10, 40), rng.uniform(-15, 15))
        width, height = (SIDE, SIDE * 3 // 4) if rng.random() < 0.5 else (SIDE * 3 // 4, SIDE)
        focal = float(np.clip(np.exp(rng.normal(np.log(0.85), 0.25)), 0.55, 1.5)) * np.hypot(width, height)
        vertices = self._person(rng, camera_from_world, focal, height)
        background = random_background(rng, self.pack, camera_from_world, [panorama or self.panoramas(True)[0]])
        wall = None if panorama else _plain(rng)
        background = replace(background, panorama=panorama or "", image=wall)
        square = self.renderer.draw(
            [PosedPerson(vertices, random_appearance(rng, self.pack))], camera_matrix(focal, SIDE, SIDE), background
        )
        left, top = (SIDE - width) // 2, (SIDE - height) // 2
        pixels = np.ascontiguousarray(square[top : top + height, left : left + width])
        up = camera_from_world @ np.array([0.0, 1.0, 0.0])
        return Tilted(
            kind, Path(panorama).name if panorama else "plain", pixels, camera_matrix(focal, width, height), up
        )

    def _person(self, rng: np.random.Generator, camera_from_world: np.ndarray, focal: float, height: int) -> np.ndarray:
        """Vertices [V,3] of a captured pose whose body fills a third to four fifths of the picture's height."""
        pose = self.rotmats[rng.choice(len(self.rotmats), p=self.poses.weights)].astype(np.float64)
        heading = _turn_y(rng.uniform(-np.pi, np.pi))
        pose[0] = camera_from_world @ heading @ pose[0]
        betas = np.clip(rng.standard_normal((1, 10)), -2, 2)
        with torch.no_grad():
            body = self.model(torch.from_numpy(betas).float(), torch.from_numpy(pose[None]).float())
        vertices = body.vertices[0].numpy().astype(np.float64)
        depth = 1.7 * focal / (height * rng.uniform(0.35, 0.8))
        side = np.array([rng.uniform(-0.2, 0.2), rng.uniform(-0.05, 0.05), 1.0])
        side[:2] *= height / focal
        return vertices - vertices.mean(axis=0) + side * depth


def tilted_rotation(pitch_deg: float, roll_deg: float) -> np.ndarray:
    """Rotation [3,3] from a world with Y up to a camera that looks down by pitch, its right side lower by roll."""
    return _turn_z(np.radians(roll_deg)) @ _turn_x(np.radians(pitch_deg)) @ FLIP


def _plain(rng: np.random.Generator) -> np.ndarray:
    """A wall of one colour [256,256,3] uint8, lit unevenly."""
    corners = rng.uniform(30, 240, 3) * rng.uniform(0.6, 1.05, (4, 1))
    small = np.clip(corners, 0, 255).reshape(2, 2, 3).astype(np.float32)
    return cv2.resize(small, (256, 256), interpolation=cv2.INTER_LINEAR).astype(np.uint8)


def _turn_x(angle: float) -> np.ndarray:
    return cv2.Rodrigues(np.array([angle, 0.0, 0.0]))[0]


def _turn_y(angle: float) -> np.ndarray:
    return cv2.Rodrigues(np.array([0.0, angle, 0.0]))[0]


def _turn_z(angle: float) -> np.ndarray:
    return cv2.Rodrigues(np.array([0.0, 0.0, angle]))[0]
