# SPDX-License-Identifier: GPL-3.0-or-later
"""The geometry of multi-view fitting, alone: Blender's cameras, and a network that knows the answer.

`tests/rig/record_cameras.py` made the reference: a body posed in Blender's world, the matrices that the add-on reads from
the cameras around it, and Blender's own projections.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import roma
import torch
from engine_doubles import ScriptedDetector, ScriptedModels
from refit_engine.body import LandmarkBody, load_body
from refit_engine.camera import Intrinsics
from refit_engine.crop import box_crop, crop_matrix, roll_rotation, transform
from refit_engine.fitting import FitOptions
from refit_engine.fitting.crops.refinement import CropSource
from refit_engine.fitting.job import EncodedCrops, FitJob, crop_camera
from refit_engine.fitting.multiview import fit
from refit_engine.fitting.multiview.fit import View, fit_person
from refit_engine.fitting.shown import Shown
from refit_engine.fitting.subject import Subject
from refit_engine.network import CropCamera, Encoding, Estimate
from refit_engine.network.geometry import cam_from_translation, rotmats_to_6d
from refit_engine.network.refit import Merge

REFERENCE = Path(__file__).parents[1] / "data" / "blender_rig.npz"


@pytest.fixture(scope="module")
def reference() -> dict[str, np.ndarray]:
    with np.load(REFERENCE) as data:
        return {name: data[name] for name in data.files}


def seen_by_blender(projection: np.ndarray, points: np.ndarray) -> np.ndarray:
    """World points [N,3] to pixels [N,2] by a projection [4,4] of the reference."""
    clip = np.column_stack([points, np.ones(len(points))]) @ projection.T
    return clip[:, :2] / clip[:, 3:]


class Oracle:
    """In place of the network: landmarks where Blender sees them, and the true body as every view's update.

    rolls: [C] radians by which the views' crops are turned; depth_error: the views' own depths are wrong by up to this
    factor, as those of a single picture are.
    """

    def __init__(self, reference, count: int, rolls: np.ndarray, depth_error: float = 1.0) -> None:
        self.truth = reference
        self.R, self.t = reference["R"][:count], reference["t"][:count]
        self.rolls, self.depth_error = rolls, depth_error
        blank = np.zeros((*reference["size"][::-1], 3), np.uint8)
        self.views = [
            View(f"cam{i}", blank, Intrinsics(reference["K"][i], "scene"), self.R[i], self.t[i], roll)
            for i, roll in enumerate(rolls)
        ]
        body = load_body()
        rotmats = torch.from_numpy(reference["rotmats"])[None]
        betas = torch.from_numpy(reference["betas"])[None]
        self.points = LandmarkBody(body).double()(betas, rotmats)[0].numpy() + reference["transl"]
        template, directions = body.joints_linear()
        self.rest_pelvis = template[0] + directions[0] @ reference["betas"]
        self.boxes = np.array([self._box(i) for i in range(count)])

    def _box(self, number: int) -> np.ndarray:
        pixels = seen_by_blender(self.truth["projection"][number], self.points)
        return np.concatenate([pixels.min(axis=0), np.ptp(pixels, axis=0)])

    def observe(self, sources: Sequence[CropSource]) -> EncodedCrops:
        crops = [box_crop(source.box_xywh, source.intrinsics, source.roll) for source in sources]
        landmarks = []
        for crop, source, projection in zip(crops, sources, self.truth["projection"], strict=False):
            pixels = transform(crop_matrix(crop, source.intrinsics), seen_by_blender(projection, self.points))
            landmarks.append(np.column_stack([pixels, np.ones(len(pixels))]))
        seen = torch.tensor(np.array(landmarks), dtype=torch.float32)
        encoding = Encoding(torch.zeros(len(crops), 1, 1, 1), torch.zeros(len(crops), 1), seen)
        camera = crop_camera(crops, [source.intrinsics for source in sources], torch.device("cpu"))
        return EncodedCrops(crops, camera, encoding)

    def follow(self, encoding: Encoding, camera: CropCamera, merge: Merge) -> list[Estimate]:
        rotmats, places = [], []
        for R, t, roll in zip(self.R, self.t, self.rolls, strict=True):
            turn = roll_rotation(roll) @ R
            pose = self.truth["rotmats"].copy()
            pose[0] = turn @ pose[0]
            rotmats.append(pose)
            places.append(turn @ (self.rest_pelvis + self.truth["transl"]) + roll_rotation(roll) @ t)
        wrong = np.linspace(1 / self.depth_error, self.depth_error, len(places))[:, None]
        transl = np.array(places) * wrong - self.rest_pelvis
        pose6d = rotmats_to_6d(torch.tensor(np.array(rotmats), dtype=torch.float32))
        betas = torch.tensor(self.truth["betas"], dtype=torch.float32).expand(len(places), -1)
        cam = cam_from_translation(torch.tensor(transl, dtype=torch.float32), camera)
        estimate = Estimate(pose6d, betas, cam)
        return [merge(estimate)]


@pytest.fixture(scope="module")
def job(untrained_weights) -> FitJob:
    return FitJob(ScriptedModels(ScriptedDetector([])), FitOptions(weights=untrained_weights, confidence=False), "cpu")


@pytest.mark.parametrize("count, depth_error", [(2, 1.0), (3, 1.3), (4, 1.3), (8, 1.0)])
def test_body_stands_where_blender_put_it(reference, job, monkeypatch, count, depth_error):
    oracle = Oracle(reference, count, np.linspace(0, 0.6, count), depth_error)
    monkeypatch.setattr(FitJob, "observe", lambda job, sources, *_: oracle.observe(sources))
    monkeypatch.setattr(Subject, "follow", lambda subject, *rest: oracle.follow(*rest))
    # The oracle has no maps that could tell what is hidden.
    whole = Shown(*(np.ones((1, 24)),) * 2)
    monkeypatch.setattr(fit, "_shown", lambda *_: whole)
    people = fit_person(job, oracle.views, oracle.boxes)
    landmarks = people.vertices[0][load_body().landmark_ids].mean(axis=1)
    assert np.linalg.norm(landmarks - reference["landmarks"], axis=-1).max() < 1e-3
    turned = roma.rotmat_geodesic_distance(
        torch.from_numpy(people.rotmats[0]).double(), torch.from_numpy(reference["rotmats"])
    )
    assert np.degrees(turned.max().item()) < 0.1
    np.testing.assert_allclose(people.betas[0], reference["betas"], atol=0.01)
    assert people.used.all() and people.reprojection_errors.max() < 0.1


def test_what_the_addon_reads_is_what_blender_projects(reference):
    for K, R, t, projection in zip(*(reference[name] for name in ("K", "R", "t", "projection")), strict=True):
        ahead = (reference["landmarks"] @ R.T + t) @ K.T
        pixels = ahead[:, :2] / ahead[:, 2:]
        np.testing.assert_allclose(pixels, seen_by_blender(projection, reference["landmarks"]), atol=1e-3)
