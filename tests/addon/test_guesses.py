# SPDX-License-Identifier: GPL-3.0-or-later
"""Joints that no picture shows: kept on the rig, and named in plain words."""

import numpy as np
import pytest
from test_fit_cameras import NAMES, engine_for_cameras, fit  # noqa: F401
from test_reconstruct import reconstruct

from refit_blender.guesses import guessed_parts
from refit_blender.results import JOINT_NAMES
from refit_blender.scene.guesses import guesses_of


def joints(*names: str) -> np.ndarray:
    return np.isin(JOINT_NAMES, names)


def sided(side: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{side}_{name}" for name in names)


LEG, ARM = ("knee", "ankle", "foot"), ("elbow", "wrist", "hand")


@pytest.mark.parametrize(
    ("guessed", "words"),
    [
        ((), ""),
        ((*sided("left", *LEG), *sided("right", *LEG)), "both legs"),
        ((*sided("left", *LEG), *sided("right", *LEG), "left_hand"), "left hand, both legs"),
        ((*sided("left", "ankle", "foot"), *sided("right", "ankle", "foot")), "both lower legs"),
        ((*sided("left", "foot"), *sided("right", "foot")), "both feet"),
        ((*sided("left", *ARM), *sided("right", "wrist", "hand")), "left arm, right forearm"),
        (("head", *sided("left", *LEG), *sided("right", "foot")), "head, left leg, right foot"),
        (("left_hip", "right_hip", *sided("left", *LEG), *sided("right", *LEG)), "both legs, hips"),
    ],
    ids=str,
)
def test_parts_have_plain_names(guessed, words):
    assert guessed_parts(joints(*guessed)) == words


def test_guesses_are_kept_on_the_rig_and_explain_themselves(photo, install_fake):
    fake = install_fake(people=2)
    unseen = np.stack([joints(*sided("left", *LEG)), joints()])
    np.savez(fake.folder / "result.npz", **{**fake.result, "guessed": unseen})
    first, second = sorted(reconstruct(photo), key=lambda rig: rig.name)
    assert list(first["refit_guessed"]) == unseen[0].astype(int).tolist()
    assert guessed_parts(guesses_of(first)) == "left leg" and guessed_parts(guesses_of(second)) == ""
    assert "likely pose" in first.id_properties_ui("refit_guessed").as_dict()["description"]


@pytest.mark.parametrize("value", ["x", 5, [1, 0], None])
def test_changed_property_says_nothing(photo, install_fake, value):
    install_fake()
    (rig,) = reconstruct(photo)
    if value is None:
        del rig["refit_guessed"]
    else:
        rig["refit_guessed"] = value
    assert guesses_of(rig) == (False,) * 24


def test_bodies_of_several_cameras_have_them_too(engine_for_cameras):  # noqa: F811
    result = engine_for_cameras.prepare_views(NAMES)
    np.savez(engine_for_cameras.folder / "views.npz", **{**result, "guessed": joints(*sided("right", *ARM))[None]})
    (rig,) = fit()
    assert guessed_parts(guesses_of(rig)) == "right arm"
