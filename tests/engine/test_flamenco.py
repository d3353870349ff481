# SPDX-License-Identifier: GPL-3.0-or-later
"""The job type for Flamenco: compiled by a small host as Flamenco's manager does it, and its commands run."""

import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import pytest
import quickjs
from engine_doubles import SAMPLES
from refit_engine.images import read_photo
from refit_engine.moving_pictures import MovieWriter

SCRIPT = files("refit_engine") / "farm" / "refit_motion.js"
HOST = """
const author = {
    Task: (name, type) => ({
        name, type, commands: [], dependencies: [],
        addCommand(command) { this.commands.push(command); },
        addDependency(task) { this.dependencies.push(task.name); },
    }),
    Command: (name, parameters) => ({ name, parameters }),
};
function frameChunker(frames, size) {
    const chunks = [];
    for (const range of frames.split(",")) {
        const ends = range.split("-").map(Number);
        for (let first = ends[0]; first <= ends[ends.length - 1]; first += size) {
            const last = Math.min(first + size - 1, ends[ends.length - 1]);
            chunks.push(first === last ? String(first) : first + "-" + last);
        }
    }
    return chunks;
}
function compiled(settings) {
    const job = { settings: JSON.parse(settings), tasks: [], addTask(task) { this.tasks.push(task); } };
    compileJob(job);
    return JSON.stringify(job.tasks);
}
"""


@pytest.fixture(scope="module")
def host():
    context = quickjs.Context()
    context.eval(HOST)
    context.eval(SCRIPT.read_text(encoding="utf-8"))
    return context


def compile_job(host, **settings):
    """The tasks of a job; settings that are left out have their defaults, as in Flamenco's form."""
    kinds = json.loads(host.eval("JSON.stringify(JOB_TYPE)"))["settings"]
    defaults = {one["key"]: one["default"] for one in kinds if "default" in one}
    required = {one["key"] for one in kinds if one.get("required")}
    assert required <= settings.keys()
    return json.loads(host.get("compiled")(json.dumps(defaults | settings)))


def words(task):
    (command,) = task["commands"]
    assert command["name"] == "exec"
    return [command["parameters"]["exe"], *command["parameters"]["args"]]


def test_a_range_of_frames_becomes_chunks_and_a_merge_that_waits_for_them(host):
    tasks = compile_job(host, input="/share/walk.mp4", output="/share/out/", frames="0-449")
    assert [task["name"] for task in tasks] == ["observe 0-199", "observe 200-399", "observe 400-449", "merge"]
    assert tasks[-1]["dependencies"] == [task["name"] for task in tasks[:-1]]
    assert all(not task["dependencies"] for task in tasks[:-1])
    shared = ["--cache", "/share/out/parts", "--people", "all", "--frames", "0:450"]
    assert words(tasks[1]) == ["{refit_engine}", "observe", "/share/walk.mp4", "--chunk", "200:400", *shared]
    assert words(tasks[-1]) == ["{refit_engine}", "track", "/share/walk.mp4", "--out", "/share/out/", *shared]


def test_without_frames_everything_is_shared_out_equally(host):
    tasks = compile_job(host, input="D:/takes", output="D:/out", parts=3, people="largest", focal=1200, overlay=False)
    assert [words(task)[3:5] for task in tasks[:-1]] == [["--part", f"{number}/3"] for number in (1, 2, 3)]
    assert words(tasks[-1])[-1] == "--no-overlay"
    assert words(tasks[0])[-4:] == ["--people", "largest", "--focal", "1200"]


@pytest.mark.parametrize(
    "wrong, sentence",
    [
        ({"frames": "1,5-9"}, "Frames must be one range"),
        ({"frames": "0-9", "chunk_size": 0}, "The chunk size must be at least 1"),
        ({"parts": 0}, "Parts must be at least 1"),
    ],
)
def test_wrong_settings_are_refused_in_a_sentence(host, wrong, sentence):
    with pytest.raises(quickjs.JSException, match=sentence):
        compile_job(host, input="a.mp4", output="out", **wrong)


def run(words):
    """Start a task's command, with short blocks of frames."""
    return subprocess.Popen([sys.executable, str(Path(__file__).with_name("short_blocks.py")), *words[1:]])


def test_the_commands_of_a_job_make_what_one_machine_makes(host, tmp_path):
    movie, out, alone = tmp_path / "walk.mp4", tmp_path / "out", tmp_path / "alone"
    pixels = cv2.resize(read_photo(SAMPLES / "balance.jpg").pixels, (360, 640), interpolation=cv2.INTER_AREA)
    with MovieWriter(movie, (360, 640), 25.0) as writer:
        for number in range(10):
            writer.write(np.roll(pixels, 6 * number, axis=1), number / 25)
    job = {"input": str(movie), "output": str(out), "frames": "0-9", "chunk_size": 4, "overlay": False}
    *observing, merge = compile_job(host, **job)
    running = [run(words(task)) for task in observing]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert len(list((out / "parts").rglob("view-*.npz"))) == 3
    assert run(words(merge)).wait() == 0
    assert run(["", "track", str(movie), "--out", str(alone), "--no-overlay", "--no-cache"]).wait() == 0
    assert (out / "motion.npz").read_bytes() == (alone / "motion.npz").read_bytes()
