# SPDX-License-Identifier: GPL-3.0-or-later
"""Installing the engine from wheels: complete or not at all, and never into Blender's Python."""

import importlib.util
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import bpy
import pytest
from small_wheels import serve_index, write_wheel

from refit_blender import engine
from refit_blender.errors import Cancelled, InstallError
from refit_blender.install import interpreters
from refit_blender.install import plan as plans
from refit_blender.install.folder import managed_python, remove_all, switch_to, tidy
from refit_blender.install.interpreters import Interpreter
from refit_blender.install.job import InstallJob, RemoveJob
from refit_blender.install.lock import install_lock
from refit_blender.install.plan import make_plan
from refit_blender.session import state
from tests.processes import running

INDEX = "https://example.org/whl"
PYTHON_TAG = f"cp{sys.version_info[0]}{sys.version_info[1]}"
OWN_PYTHON = Interpreter(Path(sys.executable), sys.version_info[:2], makes_environments=True)
# Random, so that the wheel is as large as what is in it.
BIG_MODULE = f"data = {os.urandom(1_500_000).hex()!r}"


@pytest.fixture(scope="module")
def fresh_environment(tmp_path_factory):
    """An environment with pip and nothing else, as the installation makes them."""
    if importlib.util.find_spec("ensurepip") is None:
        pytest.skip("this Python cannot make environments")
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    return folder


@pytest.fixture
def quick(fresh_environment, monkeypatch):
    """Installations copy their environment, which is much faster than making one."""

    def copy(_job, folder):
        shutil.copytree(fresh_environment, folder, symlinks=True, dirs_exist_ok=True)

    monkeypatch.setattr(InstallJob, "_create_environment", copy)


@pytest.fixture
def wheels(tmp_path, monkeypatch):
    """A folder with all that an engine needs, small and made up."""
    monkeypatch.setattr(plans, "_DISK_MB", {"CPU": 50, "CUDA": 50})
    folder = tmp_path / "application support" / "wheels-engine"
    folder.mkdir(parents=True)
    write_wheel(folder, "torch", "2.4.0", {"torch.py": "", "cv2.py": ""}, tag=PYTHON_TAG)
    modules = {"refit_engine/__init__.py": "", "refit_engine/worker.py": "print('works')"}
    write_wheel(folder, "refit_engine", "0.1.0", modules, needs="torch>=2.4")
    return folder


@pytest.fixture
def root(tmp_path):
    return tmp_path / "a user's folder" / "engine"


@pytest.fixture
def pip_settings(monkeypatch):
    """Call it with what pip is told by variables; it is told nothing else."""
    for name in list(os.environ):
        if name.startswith("PIP_") or name.lower().endswith("_proxy") or name.endswith(("CERT_FILE", "CA_BUNDLE")):
            monkeypatch.delenv(name)

    def set_up(**settings: object) -> None:
        for name, value in {"PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": 0, "PIP_TIMEOUT": 5, **settings}.items():
            monkeypatch.setenv(name, str(value))

    return set_up


@pytest.fixture
def online(tmp_path, wheels, monkeypatch):
    """Torch is on an index, not with the extension; gives the index's folder. PyPI has all that is needed."""
    folder = tmp_path / "index"
    folder.mkdir()
    shutil.move(next(wheels.glob("torch-*")), folder)
    monkeypatch.setattr(plans, "_DOWNLOAD_MB", {"CPU": 1, "CUDA": 1})
    return folder


def plan(root, wheels, online=False, accelerator="CPU"):
    return make_plan(root, wheels, accelerator, INDEX, online=online)


def plan_from_pypi(root, wheels):
    """A plan that needs no other index than that of pip's settings."""
    made = plan(root, wheels, online=True, accelerator="CUDA" if sys.platform == "linux" else "CPU")
    assert made.index is None
    return made


def wait_for(condition: Callable[[], object], seconds: float = 30.0) -> object:
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return value


def names_in(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir()) if root.exists() else []


# ---------------------------------------------------------------------------------------------- from the zip's wheels


def test_installs_offline_and_again_over_itself(quick, root, wheels):
    first_plan = plan(root, wheels)
    assert first_plan.offline and first_plan.index is None and first_plan.download_mb == 0
    assert "from the extension's own wheels" in first_plan.summary()
    InstallJob(first_plan, ask=True).wait()  # there is nothing to load, and nothing to ask
    python = managed_python(root)
    assert python.parent.parent.parent == root
    assert not (python.parent.parent / "pip").exists()
    InstallJob(plan(root, wheels)).wait()
    again = managed_python(root)
    assert again != python and not python.exists() and again.exists()
    assert names_in(root) == ["current.json", again.parent.parent.name]


def test_failed_installation_leaves_the_old_one_and_nothing_else(quick, root, wheels, pip_settings):
    pip_settings()
    old = root / "env-old" / "bin"
    old.mkdir(parents=True)
    (old / "python").touch()
    switch_to(root, old.parent)
    write_wheel(wheels, "refit_engine", "0.2.0", {"refit_engine/__init__.py": ""}, needs="nonexistent-thing")
    with pytest.raises(InstallError, match="has no nonexistent-thing"):
        InstallJob(plan(root, wheels)).wait()
    assert managed_python(root) == old / "python"
    assert names_in(root) == ["current.json", "env-old"]


def test_engine_that_does_not_start_is_not_installed(quick, root, wheels):
    modules = {"refit_engine/__init__.py": "", "refit_engine/worker.py": "raise OSError('a library is missing')"}
    write_wheel(wheels, "refit_engine", "0.3.0", modules)
    with pytest.raises(InstallError, match="does not start: OSError: a library is missing"):
        InstallJob(plan(root, wheels)).wait()
    assert managed_python(root) is None and not root.exists()


def test_cancelled_installation_leaves_nothing(root, wheels):
    job = InstallJob(plan(root, wheels))
    wait_for(lambda: list(root.glob("env-*/*")))
    job.cancel()
    with pytest.raises(Cancelled):
        job.wait()
    assert not root.exists()


# ---------------------------------------------------------------------------------------------- plans


def test_extension_without_the_engines_wheel_is_refused(root, tmp_path):
    with pytest.raises(InstallError, match="The extension holds no engine"):
        plan(root, tmp_path)


def test_without_network_and_wheels_it_says_what_to_switch_on(root, wheels, online):
    with pytest.raises(InstallError, match="Allow Online Access in Preferences > System > Network"):
        plan(root, wheels)


def test_wheels_for_another_python_are_not_tried(root, wheels):
    path = next(wheels.glob("torch-*"))
    path.rename(path.with_name(path.name.replace(PYTHON_TAG, "cp399")))
    with pytest.raises(InstallError, match="The engine needs Python 3.99, and none was found"):
        plan(root, wheels)


@pytest.mark.parametrize("minor", [11, 12, 13, 14])
def test_every_python_with_wheels_of_torch_is_taken(root, wheels, online, monkeypatch, minor):
    found = Interpreter(Path("python"), (3, minor), makes_environments=True)
    monkeypatch.setattr(plans, "find_interpreter", lambda supported: found if (3, minor) in supported else None)
    assert plan(root, wheels, online=True).python == found


def test_other_pythons_are_named_with_those_that_are_wanted(root, wheels, online, monkeypatch):
    monkeypatch.setattr(plans, "find_interpreter", lambda _supported: None)
    with pytest.raises(InstallError, match=r"needs Python 3\.11, 3\.12, 3\.13 or 3\.14, and none was found"):
        plan(root, wheels, online=True)


def test_a_python_without_venv_is_named_before_anything_is_done(root, wheels, monkeypatch):
    bare = Interpreter(Path("/usr/bin/python3.14"), (3, 14), makes_environments=False)
    monkeypatch.setattr(plans, "find_interpreter", lambda _supported: bare)
    with pytest.raises(InstallError, match=r"/usr/bin/python3\.14 cannot .*apt install python3\.14-venv"):
        plan(root, wheels)


def test_the_interpreter_that_makes_environments_is_preferred(monkeypatch):
    known = {
        "bare": Interpreter(Path("bare"), (3, 14), makes_environments=False),
        "old": Interpreter(Path("old"), (3, 9), makes_environments=True),
        "complete": Interpreter(Path("complete"), (3, 12), makes_environments=True),
    }
    monkeypatch.setattr(interpreters, "_candidates", lambda _supported: iter(("bare", "gone", "old", "complete")))
    monkeypatch.setattr(interpreters, "probe", known.get)
    interpreters.find_interpreter.cache_clear()
    assert interpreters.find_interpreter(frozenset({(3, 12), (3, 14)})) == known["complete"]
    assert interpreters.find_interpreter(frozenset({(3, 14)})) == known["bare"]
    assert interpreters.find_interpreter(frozenset({(3, 13)})) is None
    interpreters.find_interpreter.cache_clear()


def test_an_interpreter_says_what_it_is():
    own = interpreters.probe(sys.executable)
    assert own.version == sys.version_info[:2]
    assert own.makes_environments == (importlib.util.find_spec("ensurepip") is not None)
    assert interpreters.probe("/nowhere/python") is None


def test_full_disk_is_seen_before_anything_is_touched(root, wheels, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: shutil._ntuple_diskusage(10, 10, 1_000_000))
    with pytest.raises(InstallError, match="has 1 MB free and 50 MB are needed"):
        plan(root, wheels)
    assert not root.exists()


@pytest.mark.parametrize(
    ("system", "accelerator", "index"),
    [
        ("linux", "CPU", f"{INDEX}/cpu"),
        ("linux", "CUDA", None),
        ("win32", "CPU", None),
        ("win32", "CUDA", f"{INDEX}/{plans.CUDA_TAG}"),
    ],
)
def test_pytorchs_own_index_is_for_what_pypi_lacks(root, wheels, online, monkeypatch, system, accelerator, index):
    monkeypatch.setattr(plans.sys, "platform", system)
    monkeypatch.setattr(plans, "find_interpreter", lambda _supported: OWN_PYTHON)
    made = plan(root, wheels, online=True, accelerator=accelerator)
    assert made.index == index
    assert (index or "PyPI") in made.summary() and "to download" in made.summary()


@pytest.mark.parametrize(("present", "build"), [(True, "CUDA"), (False, "CPU")])
def test_automatic_takes_cuda_where_the_driver_is(root, wheels, monkeypatch, present, build):
    monkeypatch.setattr(plans, "has_nvidia_gpu", lambda: present)
    assert plan(root, wheels, accelerator="AUTO").accelerator == build


# ---------------------------------------------------------------------------------------------- from an index


def test_the_size_is_asked_for_shown_and_right(quick, root, wheels, online, pip_settings):
    """Torch grows on the index: what pip would load now counts, and the user is asked before it is loaded."""
    write_wheel(online, "torch", "2.5.0", {"torch.py": "", "cv2.py": BIG_MODULE}, tag=PYTHON_TAG)
    with serve_index(online) as index:
        pip_settings(PIP_INDEX_URL=f"{index.url}/simple/")
        job = InstallJob(plan_from_pypi(root, wheels), ask=True)
        wait_for(lambda: job.question or job.ended)
        size = next(online.glob("torch-2.5*")).stat().st_size / 1e6
        assert job.question.startswith(f"PyTorch 2.5.0, 2 packages: {size:.0f} MB to download from 127.0.0.1, ")
        assert not [request for request in index.asked if request.startswith("GET") and request.endswith(".whl")]
        job.confirm()
        job.wait()
    assert managed_python(root) and job.question == ""


def test_an_index_of_the_users_settings_is_in_the_question(quick, root, wheels, online, pip_settings, tmp_path):
    """The CUDA build may come from an index, or a folder, that the add-on does not know."""
    folder = tmp_path / "more wheels"
    folder.mkdir()
    write_wheel(folder, "torch", "2.9.0+cu128", {"torch.py": "", "cv2.py": ""}, tag=PYTHON_TAG)
    with serve_index(online) as first, serve_index(folder) as second:
        pip_settings(PIP_INDEX_URL=f"{first.url}/simple/", PIP_EXTRA_INDEX_URL=f"{second.url}/simple/")
        job = InstallJob(plan_from_pypi(root, wheels), ask=True)
        wait_for(lambda: job.question or job.ended)
        assert "PyTorch 2.9.0+cu128 with CUDA" in job.question
        job.cancel()
        with pytest.raises(Cancelled):
            job.wait()
    assert not root.exists()


def test_pytorchs_index_gives_torch_and_nothing_else(quick, root, wheels, online, pip_settings, tmp_path, monkeypatch):
    """Its build is kept although PyPI has a newer one; other packages come from PyPI."""
    monkeypatch.setattr(plans.sys, "platform", "linux")
    pytorch = tmp_path / "pytorch"
    pytorch.mkdir()
    write_wheel(pytorch, "torch", "2.5.0+cpu", {"torch.py": "", "cv2.py": ""}, tag=PYTHON_TAG)
    write_wheel(pytorch, "small_thing", "1.0", {"small_thing.py": "origin = 'pytorch'"})
    write_wheel(online, "torch", "2.6.0", {"torch.py": "raise OSError", "cv2.py": ""}, tag=PYTHON_TAG)
    write_wheel(online, "small_thing", "1.1", {"small_thing.py": "origin = 'pypi'"})
    worker = "import importlib.metadata as m; print(m.version('torch'), m.version('small-thing'))"
    modules = {"refit_engine/__init__.py": "", "refit_engine/worker.py": worker}
    write_wheel(wheels, "refit_engine", "0.2.0", modules, needs="torch>=2.4\nRequires-Dist: small-thing")
    with serve_index(online) as pypi, serve_index(pytorch) as other:
        pip_settings(PIP_INDEX_URL=f"{pypi.url}/simple/")
        job = InstallJob(make_plan(root, wheels, "CPU", other.url, online=True), ask=True)
        wait_for(lambda: job.question or job.ended)
        assert job.question.startswith("PyTorch 2.5.0+cpu, 3 packages: ")
        job.confirm()
        job.wait()
    answer = subprocess.run([managed_python(root), "-m", "refit_engine.worker"], capture_output=True, text=True)
    assert answer.stdout.split() == ["2.5.0+cpu", "1.1"]


def test_the_bar_moves_while_a_big_file_loads_and_cancel_leaves_nothing(quick, root, wheels, online, pip_settings):
    write_wheel(online, "torch", "2.5.0", {"torch.py": "", "cv2.py": BIG_MODULE}, tag=PYTHON_TAG)
    with serve_index(online, big=".whl") as index:
        index.go.clear()
        pip_settings(PIP_INDEX_URL=f"{index.url}/simple/")
        job = InstallJob(plan_from_pypi(root, wheels))
        shown = wait_for(lambda: "(" in job.progress.message and job.progress)
        wait_for(lambda: job.progress.message.endswith(" %)") and not job.progress.message.endswith("(0 %)"))
        halfway = job.progress
        assert "Fetching torch" in halfway.message and " MB of " in halfway.message
        assert shown.fraction < halfway.fraction < 0.5
        job.cancel()
        with pytest.raises(Cancelled):
            job.wait()
    assert not root.exists()


# ---------------------------------------------------------------------------------------------- what goes wrong


def closed_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def sentence_of(root, wheels) -> str:
    with pytest.raises(InstallError) as caught:
        InstallJob(plan_from_pypi(root, wheels)).wait()
    assert not root.exists()
    return str(caught.value)


def test_no_network(quick, root, wheels, online, pip_settings):
    pip_settings(PIP_INDEX_URL="https://no-such-host.invalid/simple")
    assert "The server no-such-host.invalid was not found: check the network" in sentence_of(root, wheels)


def test_an_index_that_does_not_answer(quick, root, wheels, online, pip_settings):
    pip_settings(PIP_INDEX_URL=f"http://127.0.0.1:{closed_port()}/simple")
    assert "The server 127.0.0.1 does not answer" in sentence_of(root, wheels)


def test_a_proxy_that_is_not_there(quick, root, wheels, online, pip_settings):
    pip_settings(PIP_INDEX_URL="https://no-such-host.invalid/simple", PIP_PROXY=f"http://127.0.0.1:{closed_port()}")
    assert "The proxy refuses or does not answer" in sentence_of(root, wheels)


def test_an_unknown_certificate(quick, root, wheels, online, pip_settings, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {key} -out {certificate} -days 2 -subj /CN=localhost"
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    subprocess.run(command.split(), check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serve_index(online, tls=context) as index:
        pip_settings(PIP_INDEX_URL=f"{index.url}/simple")
        assert "The certificate of 127.0.0.1 is not trusted" in sentence_of(root, wheels)


def test_an_index_without_torch(quick, root, wheels, online, pip_settings):
    with serve_index(wheels) as index:
        pip_settings(PIP_INDEX_URL=f"{index.url}/simple")
        assert f"The package index {index.url}/simple has no torch: check" in sentence_of(root, wheels)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_disk_that_fills_up(quick, root, wheels, monkeypatch):
    """The program writes to a device that is always full."""
    real = InstallJob._run

    def write_to_full_device(job, command, explain, on_line=None):
        code = "open('/dev/full', 'w', buffering=1).write('a line\\n')"
        return real(job, [sys.executable, "-c", code] if "install" in command else command, explain)

    monkeypatch.setattr(InstallJob, "_run", write_to_full_device)
    with pytest.raises(InstallError, match=r"^The disk is full: free some space, then try again\.$"):
        InstallJob(plan(root, wheels)).wait()


def test_a_folder_that_may_not_be_written(root, wheels, monkeypatch):
    def refuse(path, *_words, **_more):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(InstallError, match=f"There is no permission to write {root}"):
        InstallJob(plan(root, wheels)).wait()


# ---------------------------------------------------------------------------------------------- two at once, killed


def test_a_second_installation_at_the_same_time_is_refused(quick, root, wheels):
    root.mkdir(parents=True)
    other = root / "env-other"
    other.mkdir()
    with install_lock(root):
        with pytest.raises(InstallError, match="Another Blender is installing or removing the engine"):
            InstallJob(plan(root, wheels)).wait()
        tidy(root)
        assert other.exists()
    tidy(root)
    assert not root.exists() or names_in(root) == []


def test_the_lock_of_a_killed_process_is_free(root):
    root.mkdir(parents=True)
    code = (
        f"import sys, time; sys.path.insert(0, {str(Path(engine.__file__).parents[1])!r})\n"
        "from pathlib import Path\nfrom refit_blender.install.lock import install_lock\n"
        f"with install_lock(Path({str(root)!r})):\n    print('held', flush=True)\n    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InstallError), install_lock(root):
            pass
        holder.kill()
    with install_lock(root):
        assert names_in(root) == ["install.lock"]
    assert names_in(root) == []


def test_programs_end_with_the_one_who_started_them(tmp_path):
    """A Blender that is killed takes the whole family of an installation's program with it."""
    child = tmp_path / "child"
    grandchild = f"import os, time; open({str(child)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grandchild!r}])"
    owner = (
        f"import os, sys; sys.path.insert(0, {str(Path(engine.__file__).parents[1])!r})\n"
        "from pathlib import Path\nfrom refit_blender.install.programs import Program\n"
        f"program = Program(Path(sys.executable), [sys.executable, '-c', {program!r}], dict(os.environ))\n"
        "list(program.lines())\n"
    )
    with subprocess.Popen([sys.executable, "-c", owner]) as process:
        number = int(wait_for(lambda: child.exists() and child.read_text()))
        assert running(number)
        process.send_signal(signal.SIGKILL)
    wait_for(lambda: not running(number))


# ---------------------------------------------------------------------------------------------- buttons


@pytest.fixture
def managed(root, wheels, monkeypatch):
    """The add-on's own folders are those of the test."""
    monkeypatch.setattr(engine, "managed_root", lambda: root)
    monkeypatch.setattr(engine, "WHEELS", wheels)


def test_operators_install_and_remove_the_engine(quick, managed, root):
    assert engine.selected_python() is None and not bpy.ops.refit.remove_engine.poll()
    state.error = state.install_error = "an old sentence"
    assert bpy.ops.refit.install_engine() == {"FINISHED"}
    assert engine.selected_python().chosen_by == "installed"
    assert state.install is None and state.install_error == state.error == ""
    (root / "env-leftover").mkdir()
    assert bpy.ops.refit.remove_engine() == {"FINISHED"}
    assert engine.selected_python() is None and not root.exists()
    assert not bpy.ops.refit.remove_engine.poll()


def test_leftovers_of_a_killed_installation_go_at_the_next_start(managed, root):
    for name in ("env-whole", "env-killed"):
        (root / name / "bin").mkdir(parents=True)
    (root / "current.json").write_text(json.dumps({"folder": "env-whole"}))
    engine.tidy_managed_root()
    wait_for(lambda: names_in(root) == ["current.json", "env-whole"])


def test_operator_reports_what_is_in_the_way(managed, root, wheels):
    next(wheels.glob("refit_engine-*")).unlink()
    with pytest.raises(RuntimeError, match="The extension holds no engine"):
        bpy.ops.refit.install_engine()
    assert "The extension holds no engine" in state.install_error
    bpy.context.preferences.addons["refit_blender"].preferences.accelerator = "CPU"
    assert state.install_error == ""


def test_an_engine_that_is_in_use_stays(root):
    folder = root / "env-used"
    folder.mkdir(parents=True)
    switch_to(root, folder)
    (root / "removed-env-used" / "file").mkdir(parents=True)
    with install_lock(root), pytest.MonkeyPatch.context() as patch:

        def refuse(path, _target):
            raise PermissionError(13, "in use", str(path))

        patch.setattr(Path, "rename", refuse)
        with pytest.raises(InstallError, match="stop it in every open Blender"):
            remove_all(root)
    assert json.loads((root / "current.json").read_text()) == {"folder": "env-used"} and folder.exists()
    RemoveJob(root).wait()
    assert not root.exists()


def test_stop_ends_the_engines_process(install_fake):
    install_fake()
    assert not bpy.ops.refit.stop_engine.poll()
    assert bpy.ops.refit.start_engine() == {"FINISHED"}
    process = engine.resident().pid
    assert bpy.ops.refit.stop_engine() == {"FINISHED"}
    assert not engine.running() and not running(process)
    assert bpy.ops.refit.start_engine.poll()
