# SPDX-License-Identifier: GPL-3.0-or-later
"""Installing the engine from wheels: complete or not at all, and never into Blender's Python."""

import importlib.util
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import bpy
import pytest

from refit_blender import engine, engine_install
from refit_blender.engine_install import InstallJob, make_plan, managed_python
from refit_blender.errors import Cancelled, InstallError
from refit_blender.session import state

INDEX = "https://example.org/whl"
PYTHON_TAG = f"cp{sys.version_info[0]}{sys.version_info[1]}"


def write_wheel(
    folder: Path, name: str, version: str, modules: dict[str, str], tag: str = "py3", needs: str = ""
) -> None:
    """A wheel with a few lines of Python."""
    info = f"{name}-{version}.dist-info"
    requirement = f"Requires-Dist: {needs}\n" if needs else ""
    with zipfile.ZipFile(folder / f"{name}-{version}-{tag}-none-any.whl", "w") as wheel:
        for path, text in modules.items():
            wheel.writestr(path, text)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requirement}")
        wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


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
    monkeypatch.setattr(engine_install, "_DISK_MB", {"CPU": 50, "CUDA": 50})
    folder = tmp_path / "wheels-engine"
    folder.mkdir()
    write_wheel(folder, "torch", "2.4.0", {"torch.py": "", "cv2.py": ""}, tag=PYTHON_TAG)
    modules = {"refit_engine/__init__.py": "", "refit_engine/worker.py": "print('works')"}
    write_wheel(folder, "refit_engine", "0.1.0", modules, needs="torch>=2.4")
    return folder


@pytest.fixture
def root(tmp_path):
    return tmp_path / "user" / "engine"


def plan(root, wheels, online=False, accelerator="CPU"):
    return make_plan(root, wheels, accelerator, INDEX, online=online)


def test_installs_offline_and_again_over_itself(quick, root, wheels):
    first_plan = plan(root, wheels)
    assert first_plan.offline and first_plan.index is None and first_plan.download_mb == 0
    assert "from the extension's own wheels" in first_plan.summary()
    InstallJob(first_plan).wait()
    python = managed_python(root)
    assert python.parent.parent.parent == root
    InstallJob(plan(root, wheels)).wait()
    again = managed_python(root)
    assert again != python and not python.exists() and again.exists()


def test_failed_installation_leaves_the_old_one_and_nothing_else(quick, root, wheels):
    old = root / "env-old" / "bin"
    old.mkdir(parents=True)
    (old / "python").touch()
    engine_install._switch(root, old.parent)
    write_wheel(wheels, "refit_engine", "0.2.0", {"refit_engine/__init__.py": ""}, needs="nonexistent-thing")
    with pytest.raises(InstallError, match="There is no nonexistent-thing for Python"):
        InstallJob(plan(root, wheels)).wait()
    assert managed_python(root) == old / "python"
    assert sorted(path.name for path in root.iterdir()) == ["current.json", "env-old"]


def test_engine_that_does_not_start_is_not_installed(quick, root, wheels):
    modules = {"refit_engine/__init__.py": "", "refit_engine/worker.py": "raise OSError('a library is missing')"}
    write_wheel(wheels, "refit_engine", "0.3.0", modules)
    with pytest.raises(InstallError, match="does not start: OSError: a library is missing"):
        InstallJob(plan(root, wheels)).wait()
    assert managed_python(root) is None


def test_cancelled_installation_leaves_nothing(root, wheels):
    job = InstallJob(plan(root, wheels))
    end = time.monotonic() + 30
    while not list(root.glob("env-*/*")) and time.monotonic() < end:
        time.sleep(0.01)
    job.cancel()
    with pytest.raises(Cancelled):
        job.wait()
    assert list(root.iterdir()) == []


def test_extension_without_the_engines_wheel_is_refused(root, tmp_path):
    with pytest.raises(InstallError, match="The extension holds no engine"):
        plan(root, tmp_path)


def test_without_network_and_wheels_it_says_what_to_switch_on(root, wheels):
    next(wheels.glob("torch-*")).unlink()
    with pytest.raises(InstallError, match="Allow Online Access"):
        plan(root, wheels)


def test_wheels_for_another_python_are_not_tried(root, wheels, monkeypatch):
    path = next(wheels.glob("torch-*"))
    path.rename(path.with_name(path.name.replace(PYTHON_TAG, "cp399")))
    with pytest.raises(InstallError, match="PyTorch needs Python 3.99, and none was found"):
        plan(root, wheels)


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
        ("win32", "CUDA", f"{INDEX}/{engine_install.CUDA_TAG}"),
    ],
)
def test_pytorchs_own_index_is_for_what_pypi_lacks(root, wheels, monkeypatch, system, accelerator, index):
    next(wheels.glob("torch-*")).unlink()
    monkeypatch.setattr(engine_install.sys, "platform", system)
    monkeypatch.setattr(engine_install, "find_base_python", lambda _supported: Path("python"))
    made = plan(root, wheels, online=True, accelerator=accelerator)
    assert made.index == index
    assert (index or "PyPI") in made.summary() and "to download" in made.summary()


@pytest.mark.parametrize(("present", "build"), [(True, "CUDA"), (False, "CPU")])
def test_automatic_takes_cuda_where_the_driver_is(root, wheels, monkeypatch, present, build):
    monkeypatch.setattr(engine_install, "has_nvidia_gpu", lambda: present)
    assert plan(root, wheels, accelerator="AUTO").accelerator == build


def test_operator_installs_and_the_engine_is_found(quick, root, wheels, monkeypatch):
    monkeypatch.setattr(engine, "managed_root", lambda: root)
    monkeypatch.setattr(engine, "WHEELS", wheels)
    assert engine.selected_python() is None
    assert bpy.ops.refit.install_engine() == {"FINISHED"}
    assert engine.selected_python().chosen_by == "installed"
    assert state.install is None and state.install_error == ""


def test_operator_reports_what_is_in_the_way(root, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "managed_root", lambda: root)
    monkeypatch.setattr(engine, "WHEELS", tmp_path)
    with pytest.raises(RuntimeError, match="The extension holds no engine"):
        bpy.ops.refit.install_engine()
    assert "The extension holds no engine" in state.install_error
