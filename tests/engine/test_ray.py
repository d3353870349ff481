# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion jobs whose frames are shared out over a Ray cluster."""

import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from engine_doubles import SAMPLES
from refit_engine.cli import main
from refit_engine.images import read_photo
from refit_engine.moving_pictures import MovieWriter

HERE = Path(__file__).parent
CLUSTER = """
import ray, sys
size = dict(num_cpus=2, num_gpus=1, object_store_memory=100_000_000)
context = ray.init("local", include_dashboard=False, logging_level="ERROR", **size)
print(context.address_info["address"], flush=True)
sys.stdin.read()
"""


def write_movie(path, frames):
    pixels = cv2.resize(read_photo(SAMPLES / "balance.jpg").pixels, (180, 320), interpolation=cv2.INTER_AREA)
    with MovieWriter(path, (180, 320), 25.0) as writer:
        for number in range(frames):
            writer.write(np.roll(pixels, 3 * number, axis=1), number / 25)
    return path


@pytest.fixture
def settings(tmp_path):
    """Of processes: a folder in which workers leave their numbers, and the token of a cluster that is made here."""
    (tmp_path / "workers").mkdir()
    own = {
        "ACCIDENTS": str(tmp_path / "workers"),
        "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",  # tests have other work beside them
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
    return os.environ | own


@pytest.fixture
def cluster(settings):
    """The address of a Ray cluster with two processors and one graphics card, of which Ray believes that it is there."""
    pytest.importorskip("ray")
    words = [sys.executable, "-c", CLUSTER]
    with subprocess.Popen(words, env=settings, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process.stdout.readline().strip()
        process.stdin.close()


def left_over(settings):
    """The processes with these settings that still run."""
    mark = f"ACCIDENTS={settings['ACCIDENTS']}".encode()
    found = []
    for status in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in status.read_bytes().split(b"\0"):
                found.append((status.parent / "cmdline").read_bytes())
        except OSError:  # it has ended, or is somebody else's
            continue
    return found


def run(settings, *words):
    command = [sys.executable, str(HERE / "ray_with_accidents.py"), "track", *map(str, words), "--people", "largest"]
    return subprocess.run([*command, "--no-overlay"], env=settings, capture_output=True, text=True)


def test_a_killed_worker_changes_nothing(cluster, settings, tmp_path):
    movie, out = write_movie(tmp_path / "walk.mp4", 14), tmp_path / "out"
    farm = ["--ray", cluster, "--gpus-per-worker", "0.5", "--device", "cpu"]
    done = run(settings, movie, "--out", out, "--cache", tmp_path / "cache", *farm)
    assert done.returncode == 0, done.stderr
    killed = (tmp_path / "workers" / "killed").read_text()
    workers = {path.name for path in (tmp_path / "workers").iterdir()} - {"killed"}
    assert killed in workers and len(workers) >= 3
    # All was looked at by workers: the merge finds it.
    assert "network" not in done.stderr
    assert run(settings, movie, "--out", tmp_path / "alone", "--no-cache").returncode == 0
    assert (out / "motion.npz").read_bytes() == (tmp_path / "alone" / "motion.npz").read_bytes()


def test_a_folder_with_clips_that_workers_or_nobody_can_read(settings, tmp_path):
    pytest.importorskip("ray")
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("a.mp4", "lost.mp4", "strange.mp4"):
        write_movie(folder / name, 3)
    (folder / "broken.mp4").write_bytes(b"no movie")
    done = run(settings, folder, "--out", tmp_path / "out", "--cache", tmp_path / "cache", "--ray", "local")
    assert done.returncode == 1
    told = [line for line in done.stderr.splitlines() if line.startswith("refit-engine:")]
    assert [line.split(":")[1].strip() for line in told[:3]] == ["broken.mp4", "lost.mp4", "strange.mp4"]
    assert "Ray's worker on" in told[1] and told[1].endswith("nowhere.mp4.")
    assert told[2].endswith("Ray's workers failed at 1 of its blocks of frames; Ray's logs say why.")
    assert told[3:] == ["refit-engine: 3 of 4 clips failed."]
    rows = [line.split()[:2] for line in done.stdout.splitlines()][1:]
    assert rows == [["a.mp4", "3"], *([name, "failed"] for name in ("broken.mp4", "lost.mp4", "strange.mp4"))]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.mp4"]
    deadline = time.monotonic() + 20
    while left_over(settings) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left_over(settings) == []


def test_without_ray_a_sentence_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    movie = write_movie(tmp_path / "walk.mp4", 2)
    words = ["track", str(movie), "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache"), "--ray", "local"]
    assert main(words) == 1
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith("refit-engine: --ray needs the package Ray: run") and "pip install" in told


def test_an_address_where_no_cluster_is_is_told_before_clips_are_opened(tmp_path, capsys):
    pytest.importorskip("ray")
    movie = tmp_path / "walk.mp4"
    movie.write_bytes(b"no movie")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = "{}:{}".format(*server.getsockname())
    words = ["track", str(movie), "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache"), "--ray", address]
    assert main(words) == 1
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith(f"refit-engine: No Ray cluster answers at {address}: ")


@pytest.mark.parametrize("host", ["farm..local", "x" * 64])
def test_an_address_that_is_no_name(host, tmp_path, capsys):
    pytest.importorskip("ray")
    movie, address = write_movie(tmp_path / "walk.mp4", 2), f"{host}:6379"
    words = ["track", str(movie), "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache"), "--ray", address]
    assert main(words) == 1
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith(f"refit-engine: No Ray cluster answers at {address}: ")


def test_an_address_where_something_else_answers(tmp_path, capsys):
    pytest.importorskip("ray")
    movie = write_movie(tmp_path / "walk.mp4", 2)

    def answer():
        with server.accept()[0] as connection:
            connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
            connection.recv(100)

    with socket.create_server(("127.0.0.1", 0)) as server:
        address = "{}:{}".format(*server.getsockname())
        other = threading.Thread(target=answer)
        other.start()
        words = ["track", str(movie), "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "c"), "--ray", address]
        assert main(words) == 1
        other.join()
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith(f"refit-engine: What answers at {address} is no Ray cluster: ")


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--gpus-per-worker", "1"], "--gpus-per-worker is for --ray ADDRESS"),
        (["--ray", "local", "--gpus-per-worker", "0"], "must be a number above 0"),
        (["--ray", "local", "--no-cache"], "leave out --no-cache"),
    ],
)
def test_options_that_do_not_fit_together(words, sentence, capsys):
    with pytest.raises(SystemExit):
        main(["track", "walk.mp4", "--out", "out", *words])
    assert sentence in capsys.readouterr().err
