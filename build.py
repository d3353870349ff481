#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one entry point of this repository: run it, test it, pack it. Needs Python 3.11 or newer and nothing else.

Everything that is downloaded or built goes to ~/.cache/refit-blender (or REFIT_CACHE) and is used again. What
was interrupted there is made anew by the next run.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
import zipfile
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tests import suites
from tests.checks import run as checks
from tests.gui import debian

Kind = Literal["photo", "multiview", "motion"]

ROOT = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("REFIT_CACHE") or Path.home() / ".cache" / "refit-blender").resolve()
ENGINE = ROOT / "engine"
LOCK = ENGINE / "requirements-linux-py311.txt"
WHEELHOUSE = ROOT / "wheels"
# What the add-on itself needs in Blender's Python: pure Python, since Blender chooses wheels by platform only.
ADDON_REQUIREMENTS = ROOT / "refit_blender" / "requirements.txt"
CHROOT = CACHE / "sid"
SAMPLE_PHOTO = ROOT / "docs" / "samples" / "balance.jpg"
SAMPLE_VIDEO = ROOT / "docs" / "samples" / "walk.mp4"
SAMPLE_CALIBRATION = ROOT / "docs" / "samples" / "multiview" / "calibration.toml"
SAMPLES: dict[Kind, Path] = {"photo": SAMPLE_PHOTO, "multiview": SAMPLE_CALIBRATION, "motion": SAMPLE_VIDEO}

RUN_BLENDER = "4.5.15"
TEST_BLENDERS = ("4.2.23", RUN_BLENDER, "5.0.1")
SOAK = {"jobs": 1000, "kills": 100, "hangs": 100, "real": 20}
SETUPTOOLS = "setuptools==84.2.1"
# Blender as a Python module links these even where no window is ever opened.
BPY_LIBRARIES = (
    "libegl1 libgl1 libgl1-mesa-dri libgomp1 libice6 libsm6 libx11-6 libxext6 libxfixes3 libxi6 libxkbcommon0 libxrender1"
    " libxxf86vm1"
).split()
# Blender's platform names, and the wheel tags that each can install.
WHEEL_TAGS = {
    "linux-x64": ("manylinux2014_x86_64", *(f"manylinux_2_{minor}_x86_64" for minor in range(28, 16, -1))),
    "windows-x64": ("win_amd64",),
    "macos-arm64": ("macosx_14_0_arm64", "macosx_12_0_arm64", "macosx_11_0_arm64", "macosx_11_0_universal2"),
}


class BuildError(Exception):
    """Something the user has to know or do; shown as one sentence, without a traceback."""


# ---------------------------------------------------------------------------------------------- small helpers


def say(text: str) -> None:
    print(f"[build] {text}", flush=True)


@contextlib.contextmanager
def timed(what: str) -> Generator[None, None, None]:
    """Announce a step, and say how long it took."""
    say(f"{what} …")
    start = time.monotonic()
    yield
    say(f"{what}: {time.monotonic() - start:.1f} s")


def call(command: Sequence[object], env: Mapping[str, str] | None = None, stdout: int | None = None) -> None:
    """Run a command in the foreground; a failure becomes a BuildError that names it."""
    words = [str(word) for word in command]
    try:
        subprocess.run(words, check=True, env=env, stdout=stdout)
    except FileNotFoundError:
        raise BuildError(f"The program {words[0]} is not installed.") from None
    except subprocess.CalledProcessError as error:
        raise BuildError(f"This command failed with exit code {error.returncode}: {' '.join(words)}") from None


def digest(*parts: str | bytes) -> str:
    sha = hashlib.sha256()
    for part in parts:
        sha.update(part.encode() if isinstance(part, str) else part)
        sha.update(b"\0")
    return sha.hexdigest()[:12]


def write_anew(path: Path, text: str) -> None:
    """Write a file of the cache; a copy of the cache made by hard links keeps what it has."""
    path.unlink(missing_ok=True)
    path.write_text(text, encoding="utf-8")


def is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


@contextlib.contextmanager
def cache_lock() -> Generator[None, None, None]:
    """Two set-ups in one cache must not step on each other (POSIX; elsewhere there is no lock)."""
    CACHE.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:
        yield
        return
    with (CACHE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another build.py is setting up the same cache, waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def apt_install(packages: Sequence[str], purpose: str) -> None:
    """Install the Debian packages that are absent; does nothing on other systems."""
    if not shutil.which("dpkg-query"):
        return
    query = ["dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package}\n", *packages]
    known = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    present = {line.split()[1] for line in known.splitlines() if line.startswith("ii")}
    absent = [name for name in packages if name not in present]
    if not absent:
        return
    command = f"apt-get install --no-install-recommends {' '.join(absent)}"
    if not is_root():
        raise BuildError(f"{purpose} needs system libraries. Run this as root, then try again: {command}")
    say(f"{purpose} needs system packages: {' '.join(absent)}")
    silent = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    call(["apt-get", "-qq", "update"], env=silent)
    call(
        ["apt-get", "-qq", "-y", "install", "--no-install-recommends", *absent],
        env=silent,
        stdout=subprocess.DEVNULL,
    )


# ---------------------------------------------------------------------------------------------- environments


@dataclass(frozen=True)
class Environment:
    """A virtual environment in the cache, named after what was asked of it."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def unfinished(self) -> Path:
        """Is there while something is being made or installed, and afterwards where that was interrupted."""
        return self.folder / ".unfinished"

    def site_packages(self) -> Path:
        """The folder that packages are installed into."""
        query = "import sysconfig; print(sysconfig.get_path('purelib'))"
        return Path(
            subprocess.run([self.python, "-c", query], capture_output=True, text=True, check=True).stdout.strip()
        )

    def pip(self, *arguments: object) -> None:
        call([self.python, "-m", "pip", "--disable-pip-version-check", *arguments])

    def install(self, name: str, *arguments: object, key: str) -> None:
        """Run `pip install` once for a name and key, again where the key changed."""
        stamp = self.folder / f".installed-{name}"
        if stamp.exists() and stamp.read_text() == key:
            return
        with timed(f"installing {name} into {self.folder.name}"):
            self.unfinished.touch()
            self.pip("install", *arguments)
            write_anew(stamp, key)
            self.unfinished.unlink()


def python_for_blender() -> str:
    """The interpreter that bpy's wheels are made for: 3.11.

    Environments shall point at the program itself: a name like python3 means another version in another system.
    """
    if sys.version_info[:2] == (3, 11):
        return str(Path(sys.executable).resolve())
    found = shutil.which("python3.11")
    if not found:
        raise BuildError("Blender's Python modules are made for Python 3.11: install it, then try again.")
    return found


def environment(name: str, key: str, python: str) -> Environment:
    env = Environment(CACHE / "venvs" / f"{name}-{digest(key, python)}")
    if env.python.exists() and not env.unfinished.exists():
        return env
    if env.folder.exists():
        say(f"{env.folder.name} is incomplete, making it anew")
        shutil.rmtree(env.folder)
    env.folder.mkdir(parents=True)
    env.unfinished.touch()
    try:
        subprocess.run([python, "-m", "venv", str(env.folder)], check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        raise BuildError(f"No virtual environment could be made (python3-venv missing?): {error.stdout}") from None
    env.unfinished.unlink()
    return env


def tools_environment() -> Environment:
    env = environment("tools", SETUPTOOLS, sys.executable)
    env.install("setuptools", SETUPTOOLS, key=SETUPTOOLS)
    return env


def checking_environment(engine: Environment) -> Environment:
    """The tools with ruff, pyright and stubs; pyright finds the engine's packages through it, too."""
    env = tools_environment()
    requirements = ["--no-deps", "-r", str(ROOT / "tests" / "checks" / "requirements.txt")]
    env.install("tools that check", *requirements, key=requirements_key(requirements))
    write_anew(env.site_packages() / "engine.pth", f"{engine.site_packages()}\n")
    return env


def own_platform() -> str:
    """This system in Blender's words."""
    system = {"win32": "windows", "darwin": "macos"}.get(sys.platform, sys.platform)
    machine = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64"}
    return f"{system}-{machine.get(platform.machine().lower(), platform.machine().lower())}"


def engine_requirements() -> list[str]:
    """Arguments for pip: exact versions where they were tried, else the ranges in the engine's pyproject.toml."""
    if own_platform() == "linux-x64":
        return ["-r", str(LOCK)]
    return tomllib.loads((ENGINE / "pyproject.toml").read_text())["project"]["dependencies"]


def requirements_key(arguments: Sequence[str]) -> str:
    """The arguments themselves, with requirement files replaced by what they say."""
    return digest(*(Path(word).read_text() if word.endswith(".txt") else word for word in arguments))


def engine_environment(*, for_tests: bool) -> Environment:
    requirements = engine_requirements()
    key = requirements_key(requirements)
    env = environment("engine", key, python_for_blender())
    env.install("the engine's dependencies (PyTorch is large)", *requirements, key=key)
    if for_tests:
        extra = ["-r", str(ROOT / "tests" / "requirements.txt")]
        env.install("test tools", *extra, key=requirements_key(extra))
    wheel = engine_wheel()
    env.install("refit-engine", "--no-deps", "--force-reinstall", wheel, key=digest(wheel.read_bytes()))
    return env


def bpy_environment(version: str) -> Environment:
    apt_install(BPY_LIBRARIES, "Blender as a Python module")
    requirements = [f"bpy=={version}", "-r", str(ROOT / "tests" / "addon" / "requirements.txt")]
    key = requirements_key(requirements)
    env = environment(f"bpy-{version}", key, python_for_blender())
    env.install(f"Blender {version}", *requirements, key=key)
    brought = ["-r", str(ADDON_REQUIREMENTS)]
    env.install("what the extension brings", *brought, key=requirements_key(brought))
    return env


# ---------------------------------------------------------------------------------------------- the extension


def files_under(folder: Path) -> list[Path]:
    """The files a package consists of, sorted, without what tools leave behind."""
    ignored = {"__pycache__", "build", "dist"}
    paths = (path for path in folder.rglob("*") if path.is_file())
    return sorted(
        path
        for path in paths
        if not any(part in ignored or part.endswith(".egg-info") for part in path.relative_to(folder).parts)
    )


def engine_wheel_sources() -> list[Path]:
    """The files that the engine's wheel is built from; training is not among them."""
    return [ENGINE / "pyproject.toml", *files_under(ENGINE / "refit_engine"), ROOT / "LICENSE"]


def build_engine_wheel(folder: Path) -> None:
    """Build the engine's own wheel into a folder; the same sources give the same bytes."""
    tools = tools_environment()
    with tempfile.TemporaryDirectory() as scratch:
        # From a copy, since setuptools would pack what an earlier build left in the source folder.
        for path in engine_wheel_sources():
            copy = Path(scratch, path.relative_to(ENGINE if path.is_relative_to(ENGINE) else ROOT))
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
            copy.chmod(0o644)
        oldest_date_in_zip = {**os.environ, "SOURCE_DATE_EPOCH": "315532800"}
        wheel = [tools.python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
        call([*wheel, "-w", folder, scratch], env=oldest_date_in_zip)


@functools.cache
def engine_wheel() -> Path:
    """The engine's wheel from the cache, built once for each state of its sources.

    One run of this script sees one state of them, even when they are being edited.
    """
    sources = engine_wheel_sources()
    key = digest(*(part for path in sources for part in (str(path.relative_to(ROOT)), path.read_bytes())))
    folder = CACHE / "wheels" / key
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with timed("building the engine's wheel"), tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
            build_engine_wheel(Path(unfinished, "wheel"))
            for outdated in folder.parent.glob("*/*.whl"):
                shutil.rmtree(outdated.parent)
            Path(unfinished, "wheel").rename(folder)
    return next(folder.glob("*.whl"))


def addon_wheels() -> list[Path]:
    """The wheels that Blender installs with the extension, downloaded once for each state of their list."""
    folder = CACHE / "addon-wheels" / requirements_key(["-r", str(ADDON_REQUIREMENTS)])
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        only_pure = ["--only-binary=:all:", "--no-deps", "--platform", "any", "--python-version", "3.11"]
        with timed("downloading add-on wheels"), tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
            wheels = Path(unfinished, "wheels")
            tools_environment().pip("download", "--quiet", *only_pure, "-d", wheels, "-r", ADDON_REQUIREMENTS)
            wheels.rename(folder)
    return sorted(folder.glob("*.whl"))


def version() -> str:
    """The version of engine and add-on, which the engine's package names."""
    found = re.search(r'^__version__ = "(.+)"$', (ENGINE / "refit_engine" / "__init__.py").read_text(), re.MULTILINE)
    if not found:
        raise BuildError("engine/refit_engine/__init__.py names no version.")
    return found[1]


def extension_manifest(wheels: Sequence[Path], platform_name: str | None) -> str:
    """The zip's manifest: the root's with the version, the wheels that Blender installs, and the platform."""
    manifest = (ROOT / "blender_manifest.toml").read_text(encoding="utf-8")
    added = f'version = "{version()}"\nwheels = {json.dumps([f"./wheels/{path.name}" for path in wheels])}\n'
    if platform_name:
        if "platforms" in tomllib.loads(manifest):
            raise BuildError("blender_manifest.toml names platforms already; --platform would contradict it.")
        added += f'platforms = ["{platform_name}"]\n'
    # Top-level keys must come before the first table.
    head, bracket, tables = manifest.partition("\n[")
    return f"{head.rstrip()}\n{added}{bracket}{tables}"


def extension_files(manifest: str, wheels: Sequence[Path], engine_wheels: Sequence[Path]) -> dict[str, bytes]:
    """What the zip holds, by the names in it: the add-on beside its manifest, and the guide beside both."""
    entries = {"blender_manifest.toml": manifest.encode()}
    for path in files_under(ROOT / "refit_blender"):
        entries[path.relative_to(ROOT / "refit_blender").as_posix()] = path.read_bytes()
    guide = [ROOT / name for name in ("LICENSE", "NOTICE", "README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    for path in (*guide, *files_under(ROOT / "docs")):
        entries[path.relative_to(ROOT).as_posix()] = path.read_bytes()
    for path in engine_wheels:
        entries[f"wheels-engine/{path.name}"] = path.read_bytes()
    for path in wheels:
        entries[f"wheels/{path.name}"] = path.read_bytes()
    return entries


def build_zip(*, platform_name: str | None = None, with_wheels: bool = False, folder: Path = ROOT / "dist") -> Path:
    """Write the installable extension, the engine's wheel in wheels-engine/, and the folder's index for Blender.

    Blender itself installs the wheels that the manifest names, those in wheels/.
    """
    brought = addon_wheels()
    wheels = [engine_wheel()]
    if with_wheels:
        wheels += sorted(WHEELHOUSE.glob("*.whl"))
        if len(wheels) == 1:
            raise BuildError("wheels/ is empty: fill it first with `build.py wheels`.")
    manifest = extension_manifest(brought, platform_name)
    facts = tomllib.loads(manifest)
    name = "-".join([facts["id"], facts["version"], *(one.replace("-", "_") for one in facts.get("platforms", []))])
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}.zip"
    with zipfile.ZipFile(target, "w") as archive:
        for entry, content in sorted(extension_files(manifest, brought, wheels).items()):
            info = zipfile.ZipInfo(entry, date_time=(1980, 1, 1, 0, 0, 0))
            info.external_attr = 0o644 << 16
            info.create_system = 3
            info.compress_type = zipfile.ZIP_STORED if entry.endswith(".whl") else zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    write_index(folder, facts["id"], facts["version"])
    return target


def write_index(folder: Path, identifier: str, newest: str) -> None:
    """Write index.json, with which the folder is a static repository that Blender installs and updates from.

    It lists the folder's zips of the newest version. The same as `blender --command extension server-generate`, without
    a Blender. Format: Blender's manual, "Creating a Static Extensions Repository".
    """
    listed: list[dict[str, object]] = []
    for path in sorted(folder.glob(f"{identifier}-{newest}*.zip")):
        with zipfile.ZipFile(path) as archive:
            facts = tomllib.loads(archive.read("blender_manifest.toml").decode())
        del facts["wheels"]
        content = path.read_bytes()
        found = {
            "python_versions": ["3"],  # all wheels that Blender installs are pure Python
            "archive_url": f"./{path.name}",
            "archive_size": len(content),
            "archive_hash": f"sha256:{hashlib.sha256(content).hexdigest()}",
        }
        listed.append({**facts, **found})
    index: dict[str, object] = {"version": "v1", "blocklist": [], "data": listed}
    (folder / "index.json").write_text(json.dumps(index, indent=2), encoding="utf-8")


def fill_wheelhouse(platform_name: str, python_version: str) -> None:
    """Download the engine's dependencies for a platform into wheels/, from the index that pip is configured for."""
    tools = tools_environment()
    tags = [word for tag in WHEEL_TAGS[platform_name] for word in ("--platform", tag)]
    requirements: list[object] = ["-r", LOCK]
    if platform_name != own_platform():
        # pip follows dependencies by this system's rules, not by the other's: name every package instead.
        requirements += ["--no-deps", *(["colorama"] if platform_name.startswith("windows") else [])]
    for old in WHEELHOUSE.glob("*.whl"):
        old.unlink()
    only_wheels = ["--only-binary=:all:", "--python-version", python_version, *tags]
    tools.pip("download", *only_wheels, "-d", WHEELHOUSE, *requirements)
    say(f"{len(list(WHEELHOUSE.glob('*.whl')))} wheels for {platform_name}, Python {python_version} in {WHEELHOUSE}")


# ---------------------------------------------------------------------------------------------- run


def run(source: Path, out: Path, *, kind: Kind) -> int:
    """Set up, install the extension into a clean Blender as a user would, and do the main job there.

    source: of the kind; for "multiview" a calibration file that has the pictures of its cameras near it.
    """
    if not source.is_file():
        raise BuildError(f"There is no file {source}.")
    with timed("set-up"), cache_lock():
        engine = engine_environment(for_tests=False)
        blender = bpy_environment(RUN_BLENDER)
        extension = build_zip()
    say(f"extension: {extension} ({extension.stat().st_size / 1e6:.1f} MB)")
    started = time.time()
    with tempfile.TemporaryDirectory(prefix="refit-user-") as user_folder:
        settings = {**os.environ, "REFIT_ENGINE_PYTHON": str(engine.python), "BLENDER_USER_RESOURCES": user_folder}
        command = [blender.python, __file__, "inside-blender", extension, source.resolve(), out.resolve()]
        command += [] if kind == "photo" else [f"--{kind}"]
        with timed(f"the job in Blender {RUN_BLENDER}, from its start to its end"):
            done = subprocess.run([str(word) for word in command], env=settings, check=False)
    if done.returncode:
        return done.returncode
    for path in sorted(out.iterdir()):
        if path.stat().st_mtime >= started:
            print(f"    {path}  {path.stat().st_size / 1e6:.2f} MB")
    return 0


def inside_blender(extension: Path, source: Path, out: Path, *, kind: Kind) -> int:
    """The part of `run` that Blender's own Python executes: install the zip, then use the add-on's command line."""
    with timed("starting Blender"):
        import bpy
    with timed("installing the extension"):
        bpy.ops.extensions.package_install_files(filepath=str(extension), repo="user_default", enable_on_install=True)
    # The installed extension, which no checker can see: it has the same command line.
    if TYPE_CHECKING:
        from refit_blender import cli
    else:
        from bl_ext.user_default.refit_blender import cli

    results = ["--out", str(out / "result.blend"), "--glb", str(out / "result.glb"), "--keep", str(out)]
    if kind != "multiview":
        return cli.main(["reconstruct" if kind == "photo" else "track", str(source), *results])
    # The scene stays open from the first command to the second.
    scene = Path(bpy.app.tempdir, "cameras.blend")
    imported = cli.main(["import-calibration", str(source), "--out", str(scene)])
    return imported or cli.main(["fit-cameras", "--people", "largest", *results])


# ---------------------------------------------------------------------------------------------- check


def check() -> int:
    """Look at the sources without running them; prints findings and returns the exit code."""
    start = time.monotonic()
    with cache_lock():
        engine = engine_environment(for_tests=True)
        blender = bpy_environment(RUN_BLENDER)
        tools = checking_environment(engine)
    findings = checks.run(ROOT, checks.Pythons(tools.python, engine.python, blender.python))
    print(f"check: {findings} findings in {time.monotonic() - start:.0f} s", flush=True)
    return 1 if findings else 0


# ---------------------------------------------------------------------------------------------- test


class WindowSetup:
    """Installs Blender 5.2 with a window beside everything else: it waits for the network most of the time."""

    def __init__(self) -> None:
        self.log = CACHE / "sid.log"
        self.obstacle = debian.obstacle()
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self._work)
        if not self.obstacle:
            apt_install(debian.HOST_TOOLS, "Blender in a window")
            say(f"Blender 5.2 is set up in the background (log: {self.log})")
            self.thread.start()

    def _work(self) -> None:
        try:
            debian.make(CHROOT, self.log)
        except (subprocess.CalledProcessError, OSError) as error:
            self.error = error

    def finish(self) -> None:
        """Wait until it is there; raise if it could not be made although nothing stood in the way."""
        if not self.obstacle:
            with timed("waiting for Blender 5.2"):
                self.thread.join()
        if self.error:
            raise BuildError(f"Blender 5.2 could not be set up, see {self.log}: {self.error}")


def interpreter_files(python: Path) -> list[Path]:
    """What a virtual environment made from this interpreter needs of the system that made it."""
    query = "import json, sys, sysconfig; print(json.dumps([sys.base_prefix, sysconfig.get_path('stdlib')]))"
    answer = subprocess.run([python, "-c", query], capture_output=True, text=True, check=True).stdout
    prefix, library = map(Path, json.loads(answer))
    return [prefix] if prefix != Path("/usr") else [python.resolve(), library]


def chosen_suites(only: str | None, keyword: str | None, results: Path, tally: suites.Tally) -> list[suites.Suite]:
    """Set up what the chosen part of the test suite needs; what cannot run here is skipped in the tally."""
    runs: list[suites.Suite] = []
    window = WindowSetup() if only in (None, "gui") else None
    apt_install(BPY_LIBRARIES, "The test suite")
    engine = engine_environment(for_tests=True)
    settings = {
        "REFIT_ENGINE_PYTHON": str(engine.python),
        "REFIT_EXTENSION_ZIP": str(build_zip(folder=results)),
        "REFIT_GUI_PICTURES": str(results),
        # The machine's cores are few, and small arrays gain nothing from more threads.
        "OMP_NUM_THREADS": "1",
    }

    def add(
        name: str,
        python: Path | str,
        folders: Sequence[str],
        wrap: Callable[[list[str]], list[str]] = list,
        further: Mapping[str, str] | None = None,
    ) -> None:
        report = results / f"{name}.xml"
        command = suites.pytest_command(python, [ROOT / "tests" / folder for folder in folders], report, keyword)
        runs.append(suites.Suite(name, wrap(command), settings | dict(further or {}), report))

    blenders = {version: bpy_environment(version).python for version in TEST_BLENDERS if only in (None, "addon")}
    # Those that take longest come first, since several run at once.
    if window:
        window.finish()
    if window and window.obstacle:
        tally.skip(f"the add-on in a window, since {window.obstacle}")
    elif window:
        visible = [ROOT, engine.folder, *interpreter_files(Path(python_for_blender()))]
        inside = functools.partial(
            debian.command_inside, CHROOT, settings=settings, readable=visible, writable=[results]
        )
        add("add-on in a window of Blender 5.2", "python3", ["gui"], wrap=inside)
    if only in (None, "engine"):
        add("engine", engine.python, ["engine", "packaging"])
    for version, python in blenders.items():
        add(f"add-on in Blender {version}", python, ["addon"])
    if only in (None, "training"):
        # Training is not installed: it is used from the checkout.
        add("training", engine.python, ["training"], further={"PYTHONPATH": str(ENGINE)})
    return runs


def test(only: str | None, keyword: str | None) -> int:
    """Set up and run every suite, print one overall line, and return the exit code."""
    start = time.monotonic()
    results = CACHE / "test-results"
    tally = suites.Tally()
    if not only and check():
        tally.failed += 1
        tally.remarks.append("check: has findings, see above")
    with cache_lock():
        shutil.rmtree(results, ignore_errors=True)
        results.mkdir(parents=True)
        runs = chosen_suites(only, keyword, results, tally)
    say(f"running the tests: {', '.join(suite.name for suite in runs) or 'none'} …")
    for suite, exit_code, seconds in suites.run_all(runs, ROOT, at_once=os.cpu_count() or 1):
        if suite.output.exists():
            print(suite.output.read_text(errors="replace"), end="", flush=True)
        say(f"{suite.name}: {seconds:.1f} s")
        tally.add(suite, exit_code)
    for remark in tally.remarks:
        say(remark)
    say(f"results and pictures: {results}")
    print(f"{tally} in {time.monotonic() - start:.0f} s", flush=True)
    return 1 if tally.failed else 0


def soak(counts: dict[str, int]) -> int:
    """Set up and run tests/soak in Blender as a Python module."""
    with cache_lock():
        engine, blender = engine_environment(for_tests=False), bpy_environment(RUN_BLENDER)
    path = os.pathsep.join(map(str, (ROOT, ROOT / "tests" / "addon")))
    settings = {**os.environ, "REFIT_ENGINE_PYTHON": str(engine.python), "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    arguments = [word for name, count in counts.items() for word in (f"--{name}", count)]
    command = [blender.python, ROOT / "tests" / "soak" / "soak.py", *arguments]
    return subprocess.run([str(word) for word in command], env=settings, check=False).returncode


# ---------------------------------------------------------------------------------------------- command line


def _add_kinds(command: argparse.ArgumentParser) -> None:
    """What is reconstructed, where it is no photo."""
    command.set_defaults(kind="photo")
    kinds = command.add_mutually_exclusive_group()
    for kind, text in (
        ("multiview", "fit one body to calibrated photos; IMAGE is a calibration file then (default: the sample's)"),
        ("motion", "follow the people of a video; IMAGE is a movie then (default: the sample's)"),
    ):
        kinds.add_argument(f"--{kind}", dest="kind", action="store_const", const=kind, help=text)


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="{run,check,test,soak,zip,wheels,bench}")
    at_work = commands.add_parser("run", help="set up and reconstruct a photo in Blender, without a window")
    at_work.add_argument("source", nargs="?", type=Path, metavar="IMAGE", help="default: the sample photo")
    _add_kinds(at_work)
    at_work.add_argument("--out", type=Path, default=Path("out"), help="folder for the results (default: out)")
    commands.add_parser("check", help="lint, format, types, imports, and what documents promise")
    tests = commands.add_parser("test", help="check, set up and run the whole test suite")
    tests.add_argument("--only", choices=["engine", "training", "addon", "gui"], help="run one part of it")
    tests.add_argument("-k", dest="keyword", help="run the tests that match, as pytest's -k")
    soaking = commands.add_parser("soak", help="do a thousand jobs with an engine that is killed or hangs now and then")
    for name, count in SOAK.items():
        soaking.add_argument(f"--{name}", type=int, default=count, metavar="N", help=f"default: {count}")
    packing = commands.add_parser("zip", help="make the installable extension, and its repository, in dist/")
    packing.add_argument("--platform", choices=list(WHEEL_TAGS), help="mark the zip as made for one platform")
    packing.add_argument("--with-wheels", action="store_true", help="put wheels/ in, for machines without a network")
    downloads = commands.add_parser("wheels", help="fill wheels/ with the engine's dependencies")
    downloads.add_argument("--platform", choices=list(WHEEL_TAGS), default="linux-x64")
    downloads.add_argument("--python-version", default="3.11")
    benchmark = commands.add_parser("bench", help="time the engine's stages, as JSON (refit-engine bench)")
    benchmark.add_argument("arguments", nargs=argparse.REMAINDER, help="passed on to refit-engine bench")
    inner = commands.add_parser("inside-blender")
    for name in ("extension", "source", "out"):
        inner.add_argument(name, type=Path)
    _add_kinds(inner)
    return parser


def main() -> int:
    options = command_line().parse_args()
    try:
        match options.command:
            case "run":
                return run(options.source or SAMPLES[options.kind], options.out, kind=options.kind)
            case "check":
                return check()
            case "test":
                return test(options.only, options.keyword)
            case "soak":
                return soak({name: getattr(options, name) for name in SOAK})
            case "zip":
                with cache_lock():
                    target = build_zip(platform_name=options.platform, with_wheels=options.with_wheels)
                say(f"wrote {target}")
                say(f"repository for Blender: {(target.parent / 'index.json').as_uri()}")
            case "wheels":
                with cache_lock():
                    fill_wheelhouse(options.platform, options.python_version)
            case "bench":
                with cache_lock():
                    engine = engine_environment(for_tests=False)
                call([engine.python, "-m", "refit_engine.cli", "bench", *options.arguments])
            case _:  # inside-blender
                return inside_blender(options.extension, options.source, options.out, kind=options.kind)
    except BuildError as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("build.py: interrupted; run it again to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
