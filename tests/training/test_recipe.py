# SPDX-License-Identifier: GPL-3.0-or-later
"""The recipe: stages share the time, go on after a stop, and end in weights that can be fitted with."""

import json
import shutil
import time

import numpy as np
import pytest
import torch

pytest.importorskip("moderngl", reason="the training extra (moderngl) is not installed")

from refit_engine.network.checkpoint import BUNDLED_WEIGHTS, load_refit
from refit_training.render import synthetic as drawing
from refit_training.train import recipe
from refit_training.train.batches import ahead
from refit_training.train.clock import Budget, Clock

SMALL = recipe.Sizes((1, 1e-4), (4, 1e-4), (2, 1e-4), (2, 1e-4))


def test_time_that_a_stage_leaves_goes_to_the_later_ones(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    budget = Budget(tmp_path / "time.json", 100, {"a": 0.2, "b": 0.2, "c": 0.6})
    first = Clock(budget, "a")
    assert first.account.allowed == pytest.approx(20)
    now[0] = 4
    assert first.tick()
    now[0] = 21
    assert not first.tick()
    first.finish()
    assert Clock(budget, "b").account.allowed == pytest.approx(79 / 4)


def test_time_that_was_used_before_a_stop_counts(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    clock = Clock(Budget(tmp_path / "time.json", 100, {"a": 0.5, "b": 0.5}), "a")
    now[0] = 30
    clock.tick()
    now[0] = 1000
    again = Clock(Budget(tmp_path / "time.json", 100, {"a": 0.5, "b": 0.5}), "a")
    assert not again.account.done and again.left == pytest.approx(20)


@pytest.fixture
def kitchen(renders, folder, poses, tmp_path, monkeypatch):
    """A recipe of tiny stages whose pictures and features are already made; and how often each was asked for."""
    asked = {"draw": 0, "features": 0}

    def draw(what, *_):
        asked["draw"] += 1
        shutil.copytree(renders, what.out)

    def store_features(_, out, *__):
        asked["features"] += 1
        shutil.copytree(folder, out)

    monkeypatch.setattr(recipe, "draw", draw)
    monkeypatch.setattr(recipe, "store_features", store_features)
    monkeypatch.setattr(recipe, "PROCESSOR", SMALL)
    library = tmp_path / "poses.npz"
    poses.save(library)
    out = tmp_path / "runs"
    return recipe.Recipe(tmp_path / "pack.npz", library, out, steps=1, results=tmp_path / "results"), asked


def test_stopped_recipe_goes_on_and_ends_in_weights(kitchen, monkeypatch):
    small, asked = kitchen
    with monkeypatch.context() as patch:
        patch.setattr(recipe, "average_weights", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            small.run(minutes=1)
    stopped = (small.out / "loop" / recipe.WEIGHTS).stat().st_mtime_ns
    small.run(minutes=1)
    assert asked == {"draw": 1, "features": 1}
    assert (small.out / "loop" / recipe.WEIGHTS).stat().st_mtime_ns == stopped
    assert all(account["done"] for account in json.loads((small.out / "time.json").read_text()).values())
    load_refit(small.out / recipe.WEIGHTS)
    carried = sorted(path.name for path in small.results.iterdir())
    assert carried == sorted([*(f"{run}.safetensors" for run in recipe.CARRIED), "log.jsonl", "time.json"])
    assert sum(path.stat().st_size for path in small.results.iterdir()) < 64 * 2**20
    assert all(path.stat().st_size < 16 * 2**20 for path in small.results.iterdir())


def test_without_adapters_the_backbone_stays_the_bundled_one(kitchen):
    small, _ = kitchen
    small = recipe.Recipe(small.pack, small.poses, small.out, steps=1, adapters=0.0)
    small.run(minutes=1)
    assert not (small.out / "adapters").exists()
    crop = torch.rand(1, 3, 256, 256)
    with torch.no_grad():
        ours, bundled = (load_refit(file)[0].backbone(crop) for file in (small.out / recipe.WEIGHTS, BUNDLED_WEIGHTS))
    torch.testing.assert_close(ours.landmarks, bundled.landmarks, atol=0.05, rtol=1e-3)


def test_batches_fetched_ahead_are_the_same_in_the_same_order_and_errors_arrive():
    def items():
        yield from range(20)
        raise RuntimeError("no more")

    fetched = ahead(items(), torch.device("cuda"))
    assert [next(fetched) for _ in range(20)] == list(range(20))
    with pytest.raises(RuntimeError, match="no more"):
        next(fetched)


def test_drawing_stops_when_told_and_makes_only_what_is_missing(tmp_path, monkeypatch):
    made = []

    class Sketch(drawing.Drawing):
        def sampler(self):
            return None

        def shard(self, _, index):
            made.append(index)
            np.savez(self.out / f"{self._name(index)}.npz")

    sketch = Sketch(tmp_path, tmp_path, tmp_path / "out")
    drawing.draw(sketch, 5 * drawing.SHARD, more=lambda: len(made) < 2)
    assert made == [0, 1]
    drawing.draw(sketch, 5 * drawing.SHARD)
    assert made == [0, 1, 2, 3, 4]
