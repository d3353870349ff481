# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept of motion jobs that were stopped: said to the engine, shown and cleared in the preferences."""

import bpy
import pytest

from refit_blender import engine, kept_work


@pytest.fixture
def root(monkeypatch, tmp_path):
    root = tmp_path / "kept-work"
    monkeypatch.setattr(engine, "kept_work_root", lambda: root)
    monkeypatch.setattr(kept_work, "_measured", None)
    return root


def test_the_engine_is_told_where_and_how_much(root, monkeypatch):
    monkeypatch.setattr(kept_work, "limit_gigabytes", lambda: 0.25)
    assert kept_work.kept_work_parameters() == {"cache_folder": str(root), "cache_megabytes": 250}


def test_without_the_addon_in_the_preferences_the_default_holds(monkeypatch):
    monkeypatch.setattr(kept_work, "__package__", "not_there")
    assert kept_work.limit_gigabytes() == kept_work.DEFAULT_GIGABYTES


def test_its_size_is_shown_and_it_can_be_cleared(root):
    assert kept_work.size() == "0 MB"
    (root / "job").mkdir(parents=True)
    (root / "job" / "part.npz").write_bytes(bytes(3_000_000))
    kept_work._measured = None
    assert kept_work.size() == "3 MB"
    assert bpy.ops.refit.clear_kept_work() == {"FINISHED"}
    assert not root.exists()
    assert kept_work.size() == "0 MB"


def test_it_lies_beside_the_engines_that_are_installed():
    assert engine.kept_work_root().parent == engine.managed_root().parent
    assert engine.kept_work_root() != engine.managed_root()
