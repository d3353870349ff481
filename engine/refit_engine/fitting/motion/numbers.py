# SPDX-License-Identifier: GPL-3.0-or-later
"""The tuned numbers of motion fitting, each with what chose it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...body import SMPL_JOINT_NAMES


@dataclass(frozen=True)
class MotionNumbers:
    """Chosen on 852 frames of a recording with motion-capture truth, seen by one to three cameras at 10 frames a second, and
    checked on one of 60 frames a second; those of contacts, exchanged limbs and the floor, `looseness`, `landmark_weight`,
    `confidence_power`, `across_std` and what comes after `floor_std`, up to `longest_gap`, on rendered clips
    (`refit_training.render.clips`, those named tune). Deviations are standard deviations.
    """

    iterations: int = 2
    """Updates of a frame's own fit: 1 to 3 are as exact as 5 once the motion is solved."""
    landmark_weight: float = 0.25
    """Of the squared distances from landmarks, each in its own spread: neighbouring frames err alike."""
    landmark_scale: float = 2.0
    """Spreads from which on a landmark counts less (Cauchy)."""
    confidence_power: float = 0.3
    """Power of a landmark's confidence with which it counts. The confidence says whether a landmark is seen, not how far it is
    off: below 0.05, legs that others hide are 27 mm off, the median, and those in full view 14 mm."""
    exchange_bend: float = 0.1
    """Metres by which limbs leave a straight path between three pictures, from which on it costs little more to leave it farther.
    With 0.05 to 0.2, and prices of 0.1 to 0.5, the same exchanges are found."""
    exchange_price: float = 0.5
    """Of each picture in which limbs are taken to be exchanged; 1 leaves half of the true ones."""
    exchange_gap: float = 0.2
    """Seconds between pictures from which on paths are not followed."""
    pose_deg: float = 28.0
    """Deviation of a joint's rotation in a frame's own fit, about each axis; its calibrated one does no better."""
    pose_freedom: float = 3.0
    """Degrees of freedom of Student's t, by which poses that are far off lose their say."""
    pose_weight: float = 1.0
    depth_std: float = 0.3
    """Metres along the ray that a frame's own fit is off: with an unknown size, all of a track alike."""
    across_std: float = 0.01
    """Metres across the ray that a frame's own fit is off. True errors are 10 to 25 mm, but landmarks of hips and shoulders alone
    do worse: their offsets from the joints differ between people."""
    interval: float = 0.1
    """Seconds to which the deviations of second differences belong."""
    looseness: float = 3.0
    """Factor on all of them, which were measured on a man who poses: with 1.5, people who walk and kick are smoothed too much."""
    pelvis_m: float = 0.009
    spine_deg: float = 2.0
    root_deg: float = 5.0
    """Pelvis, hips, neck and head."""
    leg_deg: float = 6.0
    shoulder_deg: float = 7.0
    arm_deg: float = 9.0
    contact_speed: float = 0.44
    """Metres a second under which a point of the foot stands, the geometric mean of two speeds: in the picture, at the body's
    depth, and in space. The two together tell points that stand (below 0.1) from others (above 0.3) with precision and recall
    of 0.90 each, the area under the curve is 0.985; in the picture alone it is 0.977, in space 0.96."""
    contact_smoothing: float = 0.1
    """Seconds over which landmarks are averaged for that speed."""
    bridged_gap: float = 1.0
    """Seconds without the person, over which feet are taken to stand in turn;"""
    gap_edge: float = 0.2
    """seconds beside it in which they are looked at, and"""
    swing_speed: float = 2.5
    """metres a second of a foot that swings."""
    same_place: float = 0.05
    """Metres by which a foot that stood all the time may be somewhere else afterwards."""
    contact_std: float = 0.003
    """Metres that a standing point moves in `interval`."""
    contact_scale: float = 4.0
    """Deviations from which on a standing point that moves counts less (Cauchy): with 2, feet come off too early."""
    contact_height: float = 0.06
    """Metres above the floor at which a point stands half as probably."""
    floor_std: float = 0.015
    """Metres that a standing point is off a level floor."""
    step_seconds: float = 0.5
    """A foot that stands for so long tells as much of the floor as one independent look at it."""
    uneven: float = 0.09
    """Metres off the floor that was found, from which on a point does not lie on it; and"""
    level_share: float = 0.7
    """the share of standing points that must, for the floor to be believed."""
    std_factor: float = 1.5
    """By how much true errors grow faster than the deviations of the equations, and"""
    slow_error: float = 0.022
    """metres of joints relative to the pelvis that are added: frames in a row err alike. Chosen on the rendered tuning clips."""
    beta_std: float = 0.3
    """How far the frames' own shapes are off, where several cameras tell more. Landmarks say nothing of girth: with 2, twelve
    frames of four cameras gave betas of 2.6 and -5, a fat body that met landmarks only 2 % better; the height is the same."""
    view_scale: float = 0.10
    """Metres that a camera's landmarks are off the body, the median, at which the camera counts a quarter."""
    window: float = 20.0
    """Seconds of a long track that are kept of each solution,"""
    window_frames: int = 600
    """and so many of its frames, at most, whatever the frame rate is: a frame that is solved takes 0.7 MB of memory."""
    margin: float = 8.0
    """Seconds more at both ends that are solved with them: with 5, the leg of somebody who stands for long differs by up to 5 mm,
    with 8 by 1."""
    longest_gap: float = 2.0
    """Seconds without the person that are filled in."""
    contact_steepness: float = 4.0
    """Power of a foot's speed with which the probability falls that it stands."""
    least_standing: float = 3.0
    """Standing points at least, summed over instants, from which the floor's level is believed."""
    independent: float = 10.0
    """So many observations' worth is known of the shape, however long the track is: frames in a row err alike."""
    steps: int = 10
    """Of the solver, at most: an outlier takes more of them."""
    converged: float = 2e-3
    """Radians or metres: no unknown moves by more in the last step. With a tenth of it and 12 steps, clips come out the same."""
    turned_back: float = -0.3
    """Cosine between two steps of an instant, below which half as much is taken. Without it, knees or spines of three of five
    tuning clips went to and fro by 20 to 35 degrees with every step, without end."""
    share_growth: float = 1.5
    """By which the share that is taken grows again after each step that does not turn back."""
    longest_step: float = 0.5
    """Radians or metres that a step moves an unknown by, at most."""
    damping: float = 1e-3
    """Added to the diagonal: a damping in proportion to it would freeze what changes slowly."""

    def of_several_views(self) -> MotionNumbers:
        """Several cameras: landmarks tell more, and how feet move is known along every ray.

        The speed of feet is then the one that all pictures agree on.
        """
        return replace(
            self, landmark_weight=3.0, looseness=1.5, contact_speed=0.3, contact_std=0.001, contact_scale=3.0
        )

    def rough(self) -> MotionNumbers:
        """For a first solution, from which feet, floor and trust are found: clips come out as exact as with a full one."""
        return replace(self, steps=5, converged=0.03, margin=1.0)

    def acceleration_std(self) -> Tensor:
        """Deviations [75] of second differences over `interval`: turns of the 24 joints about three axes, and the pelvis' place."""
        turns = np.repeat(np.radians([self._joint_deg(name) for name in SMPL_JOINT_NAMES]), 3)
        return torch.from_numpy(self.looseness * np.concatenate([turns, np.full(3, self.pelvis_m)]))

    def _joint_deg(self, name: str) -> float:
        part = name.removeprefix("left_").removeprefix("right_")
        if part.startswith("spine") or part == "collar":
            return self.spine_deg
        if part in ("pelvis", "hip", "neck", "head"):
            return self.root_deg
        if part in ("knee", "ankle", "foot"):
            return self.leg_deg
        return self.shoulder_deg if part == "shoulder" else self.arm_deg


NUMBERS = MotionNumbers()
