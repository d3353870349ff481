# SPDX-License-Identifier: GPL-3.0-or-later
"""Single-view fitting: the people of one image, from pixels to posed bodies in the camera's frame."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..body import SMPL_JOINT_NAMES
from ..camera import Intrinsics, choose_intrinsics, project
from ..crop import roll_rotation
from ..detect import Detection
from ..device import exact, is_out_of_memory
from ..distortion import Distortion
from ..errors import NoPersonFound, RefitError
from ..gravity import LineEvidence, Up, find_lines, find_up, given_up, with_found_focal
from ..images import Photo, read_photo
from ..network import CropCamera, Encoding, Estimate
from ..network.flip import flip_average, mirror_camera
from ..results import ConfidenceKind, ImageResult
from .bounds import in_true_camera, working_camera
from .boxes import checked_boxes, turn_boxes
from .confidence import Confidence
from .crops.refinement import CropSource
from .feet import toward_landmarks
from .ground import Ground, feet_of, find_ground
from .height import standing_height
from .job import MAX_BATCH, FitJob
from .likely_pose import complete
from .people import CameraPeople
from .placing import stand_on_floor, with_feet_flat
from .shown import FEET, evidence, guessed_feet, guessed_joints, shown_from
from .subject import Subject
from .undistort import without_distortion

_SENSOR_MM = 36.0


@dataclass(frozen=True)
class ImageRequest:
    """One picture and what is known about it.

    boxes_xywh: [N,4] people in pixels of the result's frame (see `Fitter.reconstruct`), None to detect them.
    K: [3,3] the scene camera's matrix for the stored pixels; focal: given by the user, in pixels, or focal_mm on a sensor
    whose longer side is 36 mm. distortion: the lens's, None for none. up: [3] the scene camera's, the world's up in its
    frame, None where nobody knows. camera_height: metres of such a camera above a floor that is known, None to find the floor.
    """

    image: Path
    boxes_xywh: np.ndarray | None = None
    K: np.ndarray | None = None
    focal: float | None = None
    focal_mm: float | None = None
    distortion: Distortion | None = None
    up: np.ndarray | None = None
    camera_height: float | None = None

    def focal_for(self, size: tuple[int, int]) -> float | None:
        """The user's focal length in pixels of a picture of this size."""
        if self.focal is None and self.focal_mm is not None:
            return self.focal_mm / _SENSOR_MM * max(size)
        return self.focal


class Prepared(NamedTuple):
    """A picture ready to be fitted, without lens distortion."""

    photo: Photo
    size: tuple[int, int]
    """(width, height) as taken."""
    intrinsics: Intrinsics
    boxes: np.ndarray
    """[N,4] people in the photo's pixels."""
    scores: np.ndarray
    """[N], NaN for given boxes."""
    up: Up | LineEvidence
    """What the camera or the file tell of up; where they tell nothing, what lines do."""


class Fitter(FitJob):
    """Fits the people of image after image with the same options; memory does not grow with their number."""

    def detect(self, photo: Photo, intrinsics: Intrinsics | None = None) -> list[Detection]:
        found = super().detect(photo, intrinsics)
        return found[:1] if self.options.people == "largest" else found

    def reconstruct(self, request: ImageRequest) -> tuple[ImageResult, Photo]:
        """All people of a picture.

        With a scene camera (`K`) the result refers to the pixels as stored, which is how Blender shows them;
        otherwise to the picture turned upright. Returns the result and the picture in that frame. Raises ImageError,
        NoPersonFound, BodyFileError, WeightsFileError, DeviceError, Cancelled.
        """
        self.subject()  # a wrong file shows before the work starts
        ready = self.prepare(request)
        people = self._fit_photo(ready.photo, ready.boxes, ready.intrinsics)
        kept = self._usable(people, request.image.name)
        known = self._known_sizes(ready.boxes)[kept]
        people, ready = people[kept], ready._replace(boxes=ready.boxes[kept], scores=ready.scores[kept])
        up = ready.up if isinstance(ready.up, Up) else find_up(ready.up, people.rotmats, people.joints)
        with self.timed("body"):
            people, ground = self.on_device(lambda: self._on_one_floor(people, known, up, request.camera_height))
        return self._result(request, ready, people, ground, up), ready.photo

    def prepare(self, request: ImageRequest) -> Prepared:
        """Read a picture and find its camera and its people. Raises ImageError, NoPersonFound, DeviceError, Cancelled."""
        stored = read_photo(request.image)
        if stored.remark:
            self.say(stored.remark)
        photo = stored if request.K is not None else stored.upright()
        width, height = photo.size
        focal = request.focal_for(photo.size)
        intrinsics = choose_intrinsics(width, height, K=request.K, focal=focal, exif_focal=photo.exif_focal)
        boxes = None if request.boxes_xywh is None else checked_boxes(request.boxes_xywh, photo)
        photo, intrinsics, boxes = without_distortion(photo, intrinsics, boxes, request.distortion)
        if boxes is None:
            boxes, scores = self._found_boxes(photo, intrinsics)
        else:
            scores = np.full(len(boxes), np.nan)
        up: Up | LineEvidence | None = given_up(request.up, photo.up_sensor)
        if up is None or intrinsics.source == "default":  # else lines would tell nothing that is not known
            intrinsics, lines = self.look_for_lines(photo.pixels, boxes, intrinsics, photo.quarter_turns)
            up = up or lines
        return Prepared(photo, (width, height), intrinsics, boxes, scores, up)

    def look_for_lines(
        self, pixels: np.ndarray, boxes_xywh: np.ndarray, intrinsics: Intrinsics, quarter_turns: int
    ) -> tuple[Intrinsics, LineEvidence]:
        """The camera, and what lines outside the boxes [N,4] say, with their focal length where nobody knew it."""
        with self.timed("lines"):
            lines = find_lines(pixels, boxes_xywh, intrinsics, quarter_turns)
            return with_found_focal(intrinsics, lines, pixels.shape[1::-1]), lines

    def _fit_photo(self, photo: Photo, boxes: np.ndarray, intrinsics: Intrinsics) -> CameraPeople:
        """Bodies of the people in the boxes [N,4]; a known height is that of the largest."""
        roll = photo.quarter_turns * np.pi / 2
        if self.options.height is None:
            return self.fit(photo.pixels, boxes, intrinsics, roll)
        largest = largest_box(boxes)
        spans = (0, largest, None), (largest, largest + 1, self.options.height), (largest + 1, len(boxes), None)
        return _joined(
            [self.fit(photo.pixels, boxes[a:b], intrinsics, roll, height) for a, b, height in spans if a < b]
        )

    def fit(
        self,
        pixels: np.ndarray,
        boxes_xywh: np.ndarray,
        intrinsics: Intrinsics,
        roll: float = 0.0,
        height: float | None = None,
    ) -> CameraPeople:
        """Bodies of the people in given boxes.

        pixels: [H,W,3] uint8 RGB; boxes_xywh: [N,4] pixels; roll: the turn in radians that makes the picture upright;
        height: metres that they all measure standing, None to estimate it.
        Values of people that the network could not follow are not finite.
        """
        parts: list[CameraPeople] = []
        batch, start = MAX_BATCH[self.device.type], 0
        while start < len(boxes_xywh):
            self.step("fit")
            try:
                sources = [CropSource(pixels, box, intrinsics, roll) for box in boxes_xywh[start : start + batch]]
                parts.append(self._fit_batch(sources, batch, height))
                start += batch
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                batch = self.make_room(batch)
        return _joined(parts)

    def _known_sizes(self, boxes: np.ndarray) -> np.ndarray:
        """[N] of whom the shape or the height was given, for the people in the boxes [N,4]."""
        known = np.full(len(boxes), self.options.betas is not None)
        known[largest_box(boxes)] |= self.options.height is not None
        return known

    def _on_one_floor(
        self, people: CameraPeople, known: np.ndarray, up: Up, camera_height: float | None
    ) -> tuple[CameraPeople, Ground]:
        """The people on the floor that they share, or on the known one; as they are, where only the camera's up is given.

        known: [N] whose size is known.
        """
        body = self.subject().result_body
        heights = np.array([standing_height(body.data, betas) for betas in people.betas])
        feet, guessed = feet_of(body.data), guessed_feet(people.guessed)

        def found() -> Ground:
            return find_ground(people.vertices, feet, heights, known, up, camera_height, guessed)

        ground = found()
        people = self.feet_on_floor(people, ground, up)
        ground = found()
        as_given = up.source == "camera" and camera_height is None
        return people if as_given else stand_on_floor(people, body, ground), ground

    def feet_as_seen(
        self, last: Estimate, rotmats: Tensor, encoding: Encoding, camera: CropCamera, guessed: np.ndarray
    ) -> Tensor:
        """Rotations [B,24,3,3] with feet as their landmarks are, where there are landmarks and the foot is seen.

        guessed: [B,24] joints that are not.
        """
        subject = self.subject()
        if subject.landmark_points is None or encoding.landmarks is None:
            return rotmats
        posed = subject.landmark_points.pose(last.betas, rotmats)
        followed = torch.from_numpy(~guessed[:, FEET].any(axis=2))
        return toward_landmarks(
            exact(rotmats),
            exact(posed.joints),
            exact(posed.points),
            exact(encoding.landmarks[..., :2]),
            exact(last.cam),
            CropCamera(*map(exact, camera)),
            followed,
        ).to(rotmats)

    def feet_on_floor(self, people: CameraPeople, ground: Ground, up: Up) -> CameraPeople:
        """The people with feet as flat as they probably are."""
        return with_feet_flat(people, self.subject().result_body, ground, up)

    def confidence_kind(self) -> ConfidenceKind:
        """What this job's standard deviations are worth."""
        if not self.options.confidence:
            return "off"
        return "calibrated" if self.subject().network.calibration else "uncalibrated"

    def _found_boxes(self, photo: Photo, intrinsics: Intrinsics) -> tuple[np.ndarray, np.ndarray]:
        """Detected boxes [N,4] in the photo's own pixels, upright or not, and scores [N]. Raises NoPersonFound."""
        self.step("detect")
        found = self.detect(photo, intrinsics)
        if not found:
            raise NoPersonFound(f"Nobody was found in {photo.path.name}.")
        boxes = np.array([person.bbox_xywh for person in found], dtype=np.float64)
        return turn_boxes(boxes, photo.quarter_turns, photo.size), np.array([person.score for person in found])

    def _usable(self, people: CameraPeople, name: str) -> np.ndarray:
        """Which people [N] have finite bodies; says how many have not. Raises RefitError if nobody has."""
        sound = np.asarray(np.isfinite(people.vertices).all(axis=(1, 2)) & np.isfinite(people.transl).all(axis=1))
        if not sound.any():
            raise RefitError(f"The network gave no usable body for {name}.")
        if not sound.all():
            self.say(f"{(~sound).sum()} of {len(sound)} people in {name} could not be fitted.")
        return sound

    def _result(
        self, request: ImageRequest, ready: Prepared, people: CameraPeople, ground: Ground, up: Up
    ) -> ImageResult:
        subject = self.subject()
        return ImageResult(
            image=str(request.image),
            image_size=np.array(ready.size),
            K=ready.intrinsics.K,
            focal_source=ready.intrinsics.source,
            boxes_xywh=ready.boxes,
            scores=ready.scores,
            betas=people.betas,
            rotmats=people.rotmats,
            transl=people.transl,
            joints_cam=people.joints,
            joints2d=project(people.joints, ready.intrinsics.K),
            vertices_cam=people.vertices,
            joint_std_mm=people.joint_std_mm,
            joint_std_deg=people.joint_std_deg,
            guessed=people.guessed,
            confidence=self.confidence_kind(),
            up_cam=ground.up_cam,
            up_source=up.source,
            up_std_deg=up.std_deg,
            up_sure=up.sure,
            camera_height=ground.camera_height,
            on_floor=ground.on_floor,
            joint_names=tuple(SMPL_JOINT_NAMES),
            body_name=subject.result_body.data.name,
            body_kind=subject.result_body.data.shape_space,
            body_file=subject.result_body.file,
            weights_name=subject.network.name,
            iterations=self.options.iterations,
        )

    def _fit_batch(self, sources: list[CropSource], batch: int, height: float | None) -> CameraPeople:
        subject = self.subject()
        crops, true_camera, encoding = self.observe(sources, batch)
        camera = working_camera(true_camera)
        with torch.inference_mode():
            with self.timed("network"):
                subject, estimates = follow(subject, encoding, camera, height)
                if self.options.flip:
                    mirrored = subject.follow(self.observe_mirrored(sources, crops, batch), mirror_camera(camera))
                    estimates[-1] = flip_average(estimates[-1], mirrored[-1])
                self.wait()
            with self.timed("confidence"):
                confidence = self._confidence(subject, encoding, camera, estimates)
                self.wait()
            with self.timed("body"):
                last = estimates[-1]
                shown = shown_from(evidence(subject, encoding, last, camera, crops, sources))
                whole = complete(subject, last.betas, last.rotmats(), shown.bones, confidence)
                guessed = guessed_joints(shown.joints)
                rotmats = self.feet_as_seen(last, whole.rotmats, encoding, camera, guessed)
                posed = subject.place(last.betas, rotmats, last.translation(camera))
                people = _to_people(*posed, *whole.confidence, guessed)
                people = in_true_camera(people, (true_camera.focal / camera.focal).cpu().numpy())
        return unroll(people, np.array([crop.roll for crop in crops]))

    def _confidence(
        self, subject: Subject, encoding: Encoding, camera: CropCamera, estimates: list[Estimate]
    ) -> Confidence:
        count = len(encoding.vector)
        if not self.options.confidence:
            unknown = encoding.vector.new_full((count, len(SMPL_JOINT_NAMES)), np.nan)
            return Confidence(unknown, unknown)
        return subject.confidence(encoding, camera, estimates, subject.expanded_betas(count))


def follow(
    subject: Subject, encoding: Encoding, camera: CropCamera, height: float | None
) -> tuple[Subject, list[Estimate]]:
    """All T+1 estimates for B encoded crops, and the subject, which has the shapes of that height in metres, if one is given."""
    estimates = subject.follow(encoding, camera)
    if height is None:
        return subject, estimates
    subject = subject.of_height(estimates[-1].betas, height)
    return subject, subject.follow(encoding, camera)


def largest_box(boxes: np.ndarray) -> int:
    """Which of the boxes [N,4] covers most."""
    return int(np.argmax(boxes[:, 2] * boxes[:, 3]))


def _joined(parts: list[CameraPeople]) -> CameraPeople:
    return CameraPeople(*(np.concatenate(values) for values in zip(*map(_fields, parts), strict=True)))


def _fields(people: CameraPeople) -> tuple[np.ndarray, ...]:
    return tuple(getattr(people, field.name) for field in fields(people))


def _to_people(*values: torch.Tensor | np.ndarray) -> CameraPeople:
    return CameraPeople(*(one.float().cpu().numpy() if isinstance(one, torch.Tensor) else one for one in values))


def unroll(people: CameraPeople, rolls: np.ndarray) -> CameraPeople:
    """Bodies seen by cameras that were rolled by `rolls` [N] radians, in the frame of the camera that was not.

    The root turns about the pelvis, whose place in the rest pose follows from joints and transl.
    """
    back = np.stack([roll_rotation(-roll) for roll in rolls])
    rest_pelvis = people.joints[:, 0] - people.transl
    joints = people.joints @ back.transpose(0, 2, 1)
    rotmats = people.rotmats.astype(np.float64)
    rotmats[:, 0] = back @ rotmats[:, 0]
    return replace(
        people,
        rotmats=rotmats,
        transl=joints[:, 0] - rest_pelvis,
        joints=joints,
        vertices=people.vertices @ back.transpose(0, 2, 1).astype(np.float32),
    )
