# SPDX-License-Identifier: GPL-3.0-or-later
"""How well the bundled body's skin keeps its volume where it bends, without and with its pose correctives.

    python -m refit_training.evaluation.measure_skin [--sheet SHEET.jpg]

Volume: between the joint and the skin that bends about it, in percent of that at rest. Of elbows and knees also:
outside, how far the skin stands out from the joint on the outer side of the bend, in percent of that at rest; and
overlap, how deep the two halves of the limb are beyond the plane halfway between them, in millimetres, the mean of the
ten deepest vertices.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import roma
import torch
from refit_engine.body import SMPL_JOINT_NAMES, SMPL_PARENTS, BodyData, BodyModel, load_body
from refit_engine.overlay import draw_overlay

from refit_training.assets.body_weights import subtree

BENDING = (0.02, 0.98)
"""Share of the turn that skin takes which bends."""
NEAR = 0.12
"""Metres along the limb from the joint where overlap is looked for."""
DEEPEST = 10
HINGES = ("left_elbow", "left_knee")
FRONT, LEFT, ABOVE = ((1, 0, 0), (0, 1, 0)), ((0, 0, -1), (0, 1, 0)), ((1, 0, 0), (0, 0, -1))
"""Directions of a picture's right and top in the body's axes, seen from there."""
TILE, FAR = 230, 50.0


@dataclass(frozen=True)
class Case:
    """A bent joint of the left side.

    turns: rotation vectors by joint, degrees; the first joint is the one that is measured. limb: its direction beyond
    the joint in the T-pose. view: the picture's right and top. half: metres from the joint to the picture's edge.
    """

    name: str
    turns: dict[str, tuple[float, float, float]]
    limb: tuple[float, float, float]
    view: tuple[tuple[int, int, int], tuple[int, int, int]]
    half: float

    @property
    def joint(self) -> str:
        return next(iter(self.turns))


CASES = (
    *(Case(f"elbow {a}°", {"left_elbow": (0, -a, 0)}, (1, 0, 0), ABOVE, 0.14) for a in (45, 90, 140)),
    *(Case(f"knee {a}°", {"left_knee": (a, 0, 0)}, (0, -1, 0), LEFT, 0.2) for a in (45, 90, 140)),
    Case("thigh 45°", {"left_hip": (-45, 0, 0)}, (0, -1, 0), LEFT, 0.22),
    Case("sitting, 90°", {"left_hip": (-90, 0, 0), "right_hip": (-90, 0, 0)}, (0, -1, 0), LEFT, 0.22),
    Case("squatting, 120°", {"left_hip": (-120, 0, 0), "right_hip": (-120, 0, 0)}, (0, -1, 0), LEFT, 0.22),
    Case("arm down, 75°", {"left_shoulder": (0, 0, -75)}, (1, 0, 0), FRONT, 0.2),
    Case("arm up, 80° + 15°", {"left_shoulder": (0, 0, 80), "left_collar": (0, 0, 15)}, (1, 0, 0), FRONT, 0.2),
    Case("arm forward, 90°", {"left_shoulder": (0, -90, 0)}, (1, 0, 0), ABOVE, 0.2),
    Case("hand down, 70°", {"left_wrist": (0, 0, -70)}, (1, 0, 0), FRONT, 0.12),
)
SHOWN = ("elbow 90°", "elbow 140°", "knee 90°", "knee 140°", "sitting, 90°", "squatting, 120°", "arm up, 80° + 15°")


@dataclass(frozen=True)
class Measured:
    """volume, outside: percent of those at rest; overlap: mm. The last two are NaN but for elbows and knees."""

    volume: float
    outside: float
    overlap: float


def posed(body: BodyData, turns: dict[str, tuple[float, float, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [V,3] and joints [24,3] of the mean body in the T-pose but for these turns."""
    vectors = torch.zeros(1, len(SMPL_JOINT_NAMES), 3)
    for joint, degrees in turns.items():
        vectors[0, SMPL_JOINT_NAMES.index(joint)] = torch.deg2rad(torch.tensor(degrees, dtype=torch.float32))
    with torch.inference_mode():
        output = BodyModel(body)(torch.zeros(1, 10), roma.rotvec_to_rotmat(vectors))
    return output.vertices[0].double().numpy(), output.joints[0].double().numpy()


def measure(body: BodyData, case: Case) -> Measured:
    """Of the joint that a case bends."""
    joint = SMPL_JOINT_NAMES.index(case.joint)
    others = {name: turn for name, turn in case.turns.items() if name != case.joint}
    (still, still_joints), (bent, bent_joints) = posed(body, others), posed(body, case.turns)
    at_rest, at_bend = still - still_joints[joint], bent - bent_joints[joint]
    share = body.weights[:, subtree(case.joint)].sum(axis=1)
    bending = (share > BENDING[0]) & (share < BENDING[1])
    faces = body.faces[bending[body.faces].any(axis=1)]
    volume = 100 * cone_volume(at_bend, faces) / cone_volume(at_rest, faces)
    if case.joint not in HINGES:
        return Measured(volume, np.nan, np.nan)
    limb = np.array(case.limb, np.float64)
    beyond = (
        roma.rotvec_to_rotmat(torch.deg2rad(torch.tensor(case.turns[case.joint], dtype=torch.float64))).numpy() @ limb
    )
    outwards, outwards_at_rest = unit(limb - beyond), unit((beyond @ limb) * limb - beyond)
    outside = 100 * (at_bend[bending] @ outwards).max() / (at_rest[bending] @ outwards_at_rest).max()
    own = body.weights[:, [joint, SMPL_PARENTS[joint]]].sum(axis=1) > 0.5
    near = own & (np.abs(at_rest @ limb) < NEAR) & (at_bend @ outwards < 0)
    depth = np.sort(np.maximum(at_bend @ unit(limb + beyond) * np.where(share < 0.5, 1, -1), 0)[near])[-DEEPEST:]
    return Measured(volume, outside, 1000 * float(depth.mean()))


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def cone_volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Of all that lies between the origin and a piece of skin."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    return float(np.einsum("fc,fc->", a, np.cross(b, c)) / 6)


def picture(body: BodyData, case: Case) -> np.ndarray:
    """The bent joint [TILE,TILE,3], RGB."""
    vertices, joints = posed(body, case.turns)
    right, up = (np.array(axis, np.float64) for axis in case.view)
    axes = np.array([right, -up, np.cross(right, -up)])
    centre = joints[SMPL_JOINT_NAMES.index(case.joint)]
    focal = TILE / 2 / case.half * FAR
    K = np.array([[focal, 0, TILE / 2], [0, focal, TILE / 2], [0, 0, 1]])
    white = np.full((TILE, TILE, 3), 255, np.uint8)
    return draw_overlay(white, ((vertices - centre) @ axes.T + (0, 0, FAR))[None], body.faces, K)


def sheet(bodies: tuple[BodyData, ...]) -> np.ndarray:
    """A column for each case that is shown, a row for each body; RGB."""
    shown = [case for case in CASES if case.name in SHOWN]
    image = np.vstack([np.hstack([picture(body, case) for case in shown]) for body in bodies])
    for column, case in enumerate(shown):
        name = case.name.replace("°", "")
        cv2.putText(image, name, (column * TILE + 6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (90, 90, 90), 1, cv2.LINE_AA)
    return image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sheet", type=Path, help="write a picture, without correctives above, with them below")
    options = parser.parse_args()
    body = load_body()
    both = (replace(body, posedirs=None), body)
    print(f"{'':18} {'volume, %':>14} {'outside, %':>14} {'overlap, mm':>14}")
    for case in CASES:
        without, with_them = (measure(one, case) for one in both)
        pairs = (
            (getattr(without, name), getattr(with_them, name), digits)
            for name, digits in (("volume", 0), ("outside", 0), ("overlap", 1))
        )
        figures = (f"{old:6.{digits}f} {new:6.{digits}f}" if old == old else "" for old, new, digits in pairs)
        print(f"{case.name:18}", *(f"{pair:>14}" for pair in figures))
    if options.sheet:
        cv2.imwrite(str(options.sheet), sheet(both)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])


if __name__ == "__main__":
    main()
