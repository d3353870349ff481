# SPDX-License-Identifier: GPL-3.0-or-later
"""Panel, scripts and command line offer the options of the table that they share with the engine."""

import inspect

import bpy
import pytest

from refit_blender import api, cli
from refit_blender.contract import OPTIONS, VIEWS_ITERATIONS
from refit_blender.engine_job import Options


def test_jobs_ask_for_the_options_of_the_table_with_their_defaults():
    asked = Options().parameters()
    assert set(asked) == set(OPTIONS)
    assert {name: value for name, value in asked.items() if value is not None} == {
        name: option.default for name, option in OPTIONS.items() if option.default is not None
    }


@pytest.mark.parametrize("function", [api.reconstruct, api.fit_cameras, api.fit_shape])
def test_scripts_have_the_defaults_of_the_table(function):
    for name, parameter in inspect.signature(function).parameters.items():
        if name == "iterations" and function is api.fit_cameras:
            assert parameter.default == VIEWS_ITERATIONS
        elif name in OPTIONS:
            assert parameter.default == OPTIONS[name].default


@pytest.mark.parametrize(("name", "more"), [("people", {"box"}), ("gender", set()), ("device", set())])
def test_the_panel_offers_the_choices_of_the_table(name, more):
    items = bpy.context.scene.refit.bl_rna.properties[name].enum_items
    assert {item.identifier.lower() for item in items} == {*OPTIONS[name].choices, *more}


@pytest.mark.parametrize(
    ("name", "default"), [("iterations", OPTIONS["iterations"].default), ("camera_iterations", VIEWS_ITERATIONS)]
)
def test_the_panel_has_the_limits_of_the_table(name, default):
    field = bpy.context.scene.refit.bl_rna.properties[name]
    limits = OPTIONS["iterations"]
    assert (field.default, field.hard_min, field.hard_max) == (default, limits.low, limits.high)


def test_the_command_line_has_the_limits_of_the_table(capsys):
    assert cli.main(["reconstruct", "photo.jpg", "--out", "a.blend", "--iterations", "101"]) == 2
    assert "must be from 0 to 100" in capsys.readouterr().err
