# SPDX-License-Identifier: GPL-3.0-or-later
"""The bench measures what it says; how fast that is, no test decides."""

import json

from refit_engine import bench, bench_motion
from refit_engine.camera import choose_intrinsics
from refit_engine.cli import main
from refit_engine.detect import PersonDetector


def test_somebody_is_found_in_the_benchs_picture():
    picture = bench.drawn_person(choose_intrinsics(bench.WIDTH, bench.HEIGHT))
    assert len(PersonDetector().detect(picture)) == 1


def test_bench_prints_every_stage_as_json(monkeypatch, capsys):
    monkeypatch.setattr(bench, "REPEATS", 1)
    monkeypatch.setattr(bench, "_worker_start", lambda: 1.0)
    assert main(["bench", "--device", "cpu"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report["stages_ms"]) == {"crop", "network", "body"}
    assert all(
        report[name] > 0
        for name in (
            "detect_ms",
            "crop_to_body_ms",
            "up_of_12_megapixels_ms",
            "loop_ms",
            "confidence_ms",
            "worker_ready_s",
        )
    )


def test_bench_of_motion_follows_one_person(monkeypatch, capsys):
    monkeypatch.setattr(bench_motion, "FRAMES", 6)
    monkeypatch.setattr(bench_motion, "ALONE", 1)
    assert main(["bench", "--motion", "--device", "cpu"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["frames"], report["people"]) == (6, 1)
    assert report["frames_per_second"] > 0
    assert report["frame_by_frame"]["frames_per_second"] > 0
    assert all(value > 0 for name in ("seconds", "processor_seconds") for value in report[name].values())
