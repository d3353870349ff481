# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Blender with a window on a virtual screen, with the built extension installed as a user installs it.

`build.py test --only gui` provides everything. By hand, with Blender, Xvfb, openbox, xdotool and ImageMagick on the
PATH: REFIT_EXTENSION_ZIP (the zip), REFIT_ENGINE_PYTHON, and REFIT_GUI_PICTURES (a folder) have to be set.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from desktop import BlenderWindow, virtual_screen
from job import Job

NEEDED = ("blender", "Xvfb", "openbox", "xdotool", "import")


@pytest.fixture(scope="session")
def screen():
    absent = [program for program in NEEDED if not shutil.which(program)]
    if absent:
        pytest.skip(f"not installed: {', '.join(absent)}")
    with virtual_screen() as settings:
        yield settings


@pytest.fixture(scope="session")
def extension_zip():
    return Path(os.environ["REFIT_EXTENSION_ZIP"])


@pytest.fixture(scope="session")
def settings(screen, extension_zip, tmp_path_factory):
    """Environment of a user who installed the extension and has no other settings but no greeting and no animation."""
    variables = {**screen, "BLENDER_USER_RESOURCES": str(tmp_path_factory.mktemp("user"))}
    install = [
        "blender",
        "--command",
        "extension",
        "install-file",
        "--repo",
        "user_default",
        "--enable",
        str(extension_zip),
    ]
    subprocess.run(install, env=variables, check=True)
    quiet = "import bpy; view = bpy.context.preferences.view; view.show_splash = False; view.smooth_view = 0"
    quiet += "; bpy.ops.wm.save_userpref()"
    subprocess.run(["blender", "--background", "--python-expr", quiet], env=variables, check=True)
    return variables


@pytest.fixture(scope="module")
def window(settings, tmp_path_factory, request):
    """Blender just started, the sidebar open at the add-on's tab. The tests of a file share it, in their order."""
    channel = tmp_path_factory.mktemp("channel")
    blender = BlenderWindow(settings, channel, Path(os.environ["REFIT_GUI_PICTURES"]))
    try:
        blender.open_tab("ReFit")
        yield blender
        blender.picture(f"end-of-{request.module.__name__}")
    finally:
        blender.close()


@pytest.fixture
def job(window):
    """The add-on's job, as a user sees it."""
    return Job(window)


@pytest.fixture
def untouched(job):
    """What the scene holds must be the same after the test."""
    before = job.content()
    yield
    assert job.content() == before
