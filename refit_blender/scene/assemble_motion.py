# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies over time become animated rigs in the scene: all of them, or none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import bpy
import numpy as np

from ..confidence import JointConfidence
from ..motion_keys import MotionKeys, frames_between, keys_at
from ..motion_results import ABSENT, FILLED, MotionResult, MovingPerson
from ..results import Body
from ..worth_a_look import uncertainty, worth_a_look
from . import animation, cameras, footage, placement, reconstructions, timeline
from .assemble import PHOTO_CAMERA, camera_matrix, leave_edit_mode, nothing_left_on_error, select_bodies
from .body import BodyObjects, Pose, body_mesh, build_body, current_betas, note, set_shape
from .clipping import suit_to_unit, widen_viewports
from .confidence import SPREAD, STD_DEG, STD_MM, note_confidence
from .footage import Footage
from .names import person_name, stem_of
from .recognition import nearest_pairs, own_camera_place
from .reconstructions import Reconstruction, Up, check_own
from .rigs import DEFAULT_STYLE, RigStyle
from .updating import check_reposable
from .upright import settle

WORTH_A_LOOK = "refit_worth_a_look"
"""On a rig: frame, root mean square of the joints' deviations in millimetres, most uncertain joint; again and again."""
_FARTHEST = 1.5
"""Metres between old and new motion of one person, on average over the frames that both have."""
_SOLE, _OTHER_FLOOR = 0.03, 0.15
"""Metres: from a foot's joint down to the ground, and how far feet of somebody may be from the floor who stands on it."""
_FEET = (10, 11)
_SAME_RATE = 1e-4
"""Of the rate: rates that differ by less drift by a frame in five minutes at 30 frames a second."""


@dataclass(frozen=True)
class Shot:
    """What a motion is made from, in the scene.

    name: of the new objects; footage: of the first video; by_number: the scene shows it frame by frame, however fast it
    runs; otherwise by time. cameras: the scene's that took it, none where one is made. follows: the scene takes the
    video's rate and range.
    """

    name: str
    footage: Footage
    by_number: bool
    cameras: tuple[str, ...] = ()
    follows: bool = False

    def positions(self, result: MotionResult, rate: float) -> np.ndarray:
        """Where the instants [F] lie on the time line of a scene with so many frames a second."""
        return self.footage.start + (result.views[0].frames if self.by_number else result.times * rate)


@dataclass(frozen=True)
class MotionOutcome:
    """What a motion put into the scene; updated: how many bodies were there before; frames: the first and the last.

    camera: the one that was made, or the scene's where there is one only; camera_made: it is new.
    """

    collection: bpy.types.Collection
    camera: bpy.types.Object | None
    bodies: tuple[BodyObjects, ...]
    frames: tuple[int, int]
    filled: int
    camera_made: bool = False
    updated: int = 0
    remarks: tuple[str, ...] = ()


def known_motion(scene: bpy.types.Scene, shot: Shot, kind: str) -> Reconstruction | None:
    """The latest motion from this footage, or these cameras, with a body model of this kind, which another press updates."""
    source = shot_source(shot)
    for known in reconstructions.in_scene(scene):
        rigs = known.bodies.values()
        same = known.kind == "motion" and known.footage == source and (shot.cameras or known.camera)
        if same and rigs and all(rig.get("refit_body_kind", kind) == kind for rig in rigs):
            return known
    return None


def shot_source(shot: Shot) -> str:
    """What a motion is found again by: its cameras, or its file."""
    return ", ".join(sorted(shot.cameras)) if shot.cameras else str(shot.footage.path.absolute())


def assemble_motion(
    context: bpy.types.Context,
    shot: Shot,
    result: MotionResult,
    body: Body,
    style: RigStyle = DEFAULT_STYLE,
    known: Reconstruction | None = None,
) -> MotionOutcome:
    """Make bodies with an action each, and the camera where the scene has none. On any error the scene is left as it was.

    Without a camera of the scene, the first person starts at the 3D cursor. style: of new bodies; known: its bodies get the
    motion in place of what they have at these frames; people who are not among them are added.
    """
    leave_edit_mode(context)
    scene = context.scene
    unit = cameras.metres_per_unit(scene)
    rate = result.frame_rate if shot.follows else timeline.rate_of(scene)
    positions = shot.positions(result, rate)
    frames = frames_between(positions)
    place = _place(context, result, body, known)
    people = [_keys(person, body, place, positions, frames) for person in result.people]
    rigs = _recognise(known, people, unit)
    redo = known is not None and len(rigs) == len(people) and _covered(rigs.values(), frames)
    _check(known, rigs, result, redo=redo)
    if not (redo or result.in_scene):
        for index, rig in rigs.items():
            people[index] = _of_own_size(people[index], result.people[index].betas, rig, body, place)
    speed = result.frame_rate / rate
    in_step = None if shot.by_number or abs(speed - 1) < _SAME_RATE else (speed, frames)
    made_camera: tuple[bpy.types.Object, cameras.Frame] | None = None
    remarks: list[str] = []
    with nothing_left_on_error():
        made_here = known or reconstructions.start(scene, shot.name, "motion")
        if known is None:
            made_camera = _camera(made_here, shot, result, place, unit, in_step, remarks)
        bodies = [
            _body(made_here, shot, result, body, style, index, place, rigs.get(index), unit, redo=redo)
            for index in range(len(people))
        ]
        for made, keys in zip(bodies, people, strict=True):
            animation.write_motion(made.rig, made.mesh, keys, frames, unit)
    for index, made in enumerate(bodies):
        if redo or index not in rigs:
            note(made.rig, betas=result.people[index].betas.tolist())
        _note(made.rig, result)
        note_certainty(made.rig, rate)
    if made_camera is not None:
        scene.camera = made_camera[0]
        cameras.set_frame(scene, made_camera[1])
        widen_viewports(context, _farthest(result), unit)
    span = int(frames[0]), int(frames[-1])
    if known is None:
        timeline.suit(scene, rate if shot.follows else None, span)
    else:
        scene.frame_set(scene.frame_current)
    select_bodies(context, [made.rig for made in bodies])
    filled = sum(int((keys.state == FILLED).sum()) for keys in people)
    camera, is_new = (made_camera[0], True) if made_camera else (made_here.camera, False)
    return MotionOutcome(made_here.collection, camera, tuple(bodies), span, filled, is_new, len(rigs), tuple(remarks))


def _check(
    known: Reconstruction | None, rigs: Mapping[int, bpy.types.Object], result: MotionResult, *, redo: bool
) -> None:
    """Raises SourceError where a body that is there cannot take the motion, or nobody can be added."""
    for rig in rigs.values():
        check_reposable(rig, str(result.body_file), shape=redo)
        animation.check_animatable(rig)
        animation.check_own_action(rig)
    if known is not None and len(rigs) < len(result.people):
        check_own(known)


def note_certainty(rig: bpy.types.Object, rate: float) -> None:
    """Note on a rig how certain its motion is, and which frames deserve a look, by the errors that it is keyed with."""
    frames, deviations = animation.animated_numbers(rig, STD_MM)
    _, degrees = animation.animated_numbers(rig, STD_DEG)
    rig[SPREAD] = [*_smallest_and_largest(deviations), *_smallest_and_largest(degrees)]
    overall = uncertainty(deviations) if len(frames) else np.zeros(0)
    noted = [
        (float(frames[place]), float(overall[place]), float(np.argmax(deviations[place])))
        for place in worth_a_look(frames, overall, rate)
    ]
    rig[WORTH_A_LOOK] = [number for one in noted for number in one]


def _smallest_and_largest(values: np.ndarray) -> tuple[float, float]:
    """Of the positive ones, but for the outermost hundredths."""
    positive = values[values > 0]
    return (float(np.quantile(positive, 0.01)), float(np.quantile(positive, 0.99))) if len(positive) else (0.0, 0.0)


def frames_worth_a_look(rig: bpy.types.Object) -> list[tuple[int, float, int]]:
    """(frame, millimetres, joint) of the frames that deserve a look, the worst first."""
    values = rig.get(WORTH_A_LOOK, ())
    numbers = list(values) if hasattr(values, "__len__") and len(values) % 3 == 0 else []
    return [(int(a), float(b), int(c)) for a, b, c in zip(*[iter(numbers)] * 3, strict=True)]


def _place(context: bpy.types.Context, result: MotionResult, body: Body, known: Reconstruction | None) -> np.ndarray:
    """The result's world [4,4] in the scene's, metres."""
    if result.in_scene:
        return np.eye(4)
    if known is not None:
        return own_camera_place(known, context)
    person = result.people[0]
    first = int(np.flatnonzero(person.state != ABSENT)[0])
    cursor = np.array(context.scene.cursor.location) * cameras.metres_per_unit(context.scene)
    return placement.standing_camera(
        result.up, -_level(result), body.joints(person.betas)[0] + person.transl[first], cursor
    )


def _level(result: MotionResult) -> float:
    """How high the floor lies above the camera, which is below it: under the first person's feet where none was found."""
    return _lowest(result.people[0], result.up) if result.floor is None else result.floor


def _lowest(person: MovingPerson, up: np.ndarray) -> float:
    """How high up the ground lies under the lower foot."""
    feet = person.joints[person.state != ABSENT][:, _FEET] @ up
    return float(np.quantile(feet.min(axis=1), 0.1)) - _SOLE


def _ground(result: MotionResult, person: MovingPerson, up: np.ndarray) -> float:
    """How high along the scene's up [3] the ground lies on which a person stands: the floor, or a roof above it."""
    lowest = _lowest(person, up)
    return lowest if result.floor is None or abs(lowest - result.floor) > _OTHER_FLOOR else result.floor


def _keys(person: MovingPerson, body: Body, place: np.ndarray, positions: np.ndarray, frames: np.ndarray) -> MotionKeys:
    rotmats = person.rotmats.copy()
    rotmats[:, 0] = place[:3, :3] @ rotmats[:, 0]
    pelvis = (body.joints(person.betas)[0] + person.transl) @ place[:3, :3].T + place[:3, 3]
    numbers = person.std_mm, person.std_deg, person.contacts, person.guessed
    return keys_at(frames, positions, rotmats, pelvis, person.state, *numbers)


def _of_own_size(
    keys: MotionKeys, betas: np.ndarray, rig: bpy.types.Object, body: Body, place: np.ndarray
) -> MotionKeys:
    """The keys for a rig that keeps its shape: as much nearer to the camera than the found body as it is smaller."""
    own, found = (float(np.ptp(body.vertices(shape)[:, 1])) for shape in (current_betas(rig), betas))
    return replace(keys, pelvis=place[:3, 3] + own / found * (keys.pelvis - place[:3, 3]))


def _recognise(known: Reconstruction | None, people: Sequence[MotionKeys], unit: float) -> dict[int, bpy.types.Object]:
    """Which person is which rig: by the distance of the pelvises in the frames that both have."""
    rigs = known.bodies if known else {}
    distances = {}
    for index, keys in enumerate(people):
        for number, rig in rigs.items():
            apart = np.linalg.norm(animation.keyed_pelvis(rig, keys.frames, unit) - keys.pelvis, axis=1)
            distances[index, number] = float(np.nanmean(apart)) if np.isfinite(apart).any() else np.inf
    everybody = len(rigs) == len(people) == 1
    return {
        index: rigs[number] for index, number in nearest_pairs(distances, np.inf if everybody else _FARTHEST).items()
    }


def _covered(rigs: Iterable[bpy.types.Object], frames: np.ndarray) -> bool:
    """Whether all keys of these rigs are replaced, so that they can take another shape."""
    own = [animation.animated_numbers(rig, animation.STATE)[0] for rig in rigs]
    return all(len(one) == 0 or (frames[0] <= one[0] and one[-1] <= frames[-1]) for one in own)


def _camera(
    made_here: Reconstruction,
    shot: Shot,
    result: MotionResult,
    place: np.ndarray,
    unit: float,
    in_step: tuple[float, np.ndarray] | None,
    remarks: list[str],
) -> tuple[bpy.types.Object, cameras.Frame] | None:
    """The camera of a single video with the frame that it needs, made where the scene has none; None where it has."""
    view, scene = result.views[0], bpy.context.scene
    made_here.collection[reconstructions.FOOTAGE] = shot_source(shot)
    if shot.cameras:
        camera = scene.objects.get(shot.cameras[0]) if len(shot.cameras) == 1 else None
        if camera is not None:
            made_here.note_picture(camera, False, shot_source(shot), view.size, view.K[0])
        return None
    camera, frame = cameras.create_camera(f"{stem_of(shot.name)} camera", view.K[0], *view.size)
    camera.matrix_world = camera_matrix(place, unit)
    camera[PHOTO_CAMERA] = True
    suit_to_unit(cameras.data_of(camera), unit, _farthest(result))
    made_here.collection.objects.link(camera)
    made_here.note_picture(camera, True, shot_source(shot), view.size, view.K[0])
    settle(made_here, Up(result.up, result.up_source, result.up_std_deg, result.up_sure))
    if not footage.show_footage(camera, shot.footage, view.quarter_turns, view.size, in_step):
        remarks.append(f"Blender cannot read {shot.footage.path.name}, so that the camera has no background.")
    return camera, frame


def _farthest(result: MotionResult) -> float:
    """Metres from the camera to the farthest joint, for a result in the camera's frame."""
    there = [person.joints[person.state != ABSENT][..., 2].max() for person in result.people]
    return float(max(there))


def _body(
    made_here: Reconstruction,
    shot: Shot,
    result: MotionResult,
    body: Body,
    style: RigStyle,
    index: int,
    place: np.ndarray,
    rig: bpy.types.Object | None,
    unit: float,
    *,
    redo: bool,
) -> BodyObjects:
    """The rig that is there, or a new one, which stands on the floor below the first pose."""
    person = result.people[index]
    joints = body.joints(person.betas)
    if rig is not None:
        if redo:
            set_shape(rig, body, person.betas)
        return BodyObjects(rig, body_mesh(rig))
    first = int(np.flatnonzero(person.state != ABSENT)[0])
    pelvis = place[:3, :3] @ (joints[0] + person.transl[first]) + place[:3, 3]
    ground = np.array([pelvis[0], pelvis[1], _ground(result, person, place[2, :3]) + place[2, 3]])
    pose = Pose(person.betas, person.rotmats[first], person.transl[first], place, ground, unit)
    number = made_here.next_number
    name = stem_of(shot.name) if len(result.people) == 1 and number == 1 else person_name(shot.name, number)
    made = build_body(name, body, pose, made_here.collection, style)
    note_confidence(made.rig, JointConfidence(person.std_mm[first], person.std_deg[first], result.calibrated))
    made_here.add_body(made.rig)
    return made


def _note(rig: bpy.types.Object, result: MotionResult) -> None:
    """Keep where a motion comes from on the rig, as custom properties."""
    view = result.views[0]
    note(
        rig,
        video=str(view.video),
        body_file=str(result.body_file),
        body_kind=result.body_kind,
        weights=result.weights_name,
        engine_version=result.engine_version,
        iterations=result.iterations,
    )
    known = reconstructions.of(rig)
    if known is not None and known.camera is not None:
        note(
            rig,
            camera=known.camera,
            K=view.K[0].ravel().tolist(),
            image_size=list(view.size),
            focal_source=result.focal_source,
        )
