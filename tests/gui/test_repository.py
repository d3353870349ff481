# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of the zip as a repository: Blender subscribes to it, installs from it, and updates an older version."""

import json
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from desktop import BlenderWindow, wait_until
from job import SAMPLE_PHOTO

import build

MODULE = "bl_ext.refit.refit_blender"
OLD = "0.0.9"
VERSION_IN_USE = f"""
import sys, tomllib, pathlib
folder = pathlib.Path(sys.modules[{MODULE!r}].__file__).parent
answer = tomllib.loads((folder / 'blender_manifest.toml').read_text())['version']
"""
EXTENSIONS_PAGE = """
bpy.context.preferences.active_section = 'EXTENSIONS'
with bpy.context.temp_override(window=bpy.context.window_manager.windows[0]):
    bpy.ops.screen.userpref_show()
"""
CLOSE_PAGE = """
with bpy.context.temp_override(window=list(bpy.context.window_manager.windows)[-1]):
    bpy.ops.wm.window_close()
"""


def blender(variables, *words):
    done = subprocess.run(["blender", *map(str, words)], env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def older(extension_zip, folder: Path) -> Path:
    """The same extension with an older version's number."""
    target = folder / f"refit_blender-{OLD}.zip"
    with zipfile.ZipFile(extension_zip) as source, zipfile.ZipFile(target, "w") as archive:
        for info in source.infolist():
            content = source.read(info)
            if info.filename == "blender_manifest.toml":
                content = re.sub(rb'(?m)^version = ".+"$', f'version = "{OLD}"'.encode(), content)
            archive.writestr(info, content)
    return target


@pytest.fixture(scope="module")
def repository(extension_zip, tmp_path_factory):
    """A folder that offers the older version."""
    folder = tmp_path_factory.mktemp("repository")
    older(extension_zip, folder)
    build.write_index(folder, "refit_blender", OLD)
    return folder


@pytest.fixture(scope="module")
def user(screen, repository, tmp_path_factory):
    """Environment of a user who subscribed to the folder and installed the older version from it."""
    variables = {**screen, "BLENDER_USER_RESOURCES": str(tmp_path_factory.mktemp("subscriber"))}
    address = (repository / "index.json").as_uri()
    blender(variables, "--command", "extension", "repo-remove", "blender_org")  # the tests have no network
    blender(variables, "--command", "extension", "repo-add", "--name", "ReFit", "--url", address, "refit")
    blender(
        variables, "--online-mode", "--command", "extension", "install", "--sync", "--enable", "refit.refit_blender"
    )
    quiet = "import bpy; user = bpy.context.preferences; user.view.show_splash = False; user.view.smooth_view = 0"
    quiet += "; user.system.use_online_access = True; bpy.ops.wm.save_userpref()"
    blender(variables, "--background", "--python-expr", quiet)
    return variables


def test_the_index_is_the_one_that_blender_would_write(extension_zip, screen, tmp_path):
    shutil.copy(extension_zip, tmp_path)
    build.write_index(tmp_path, "refit_blender", build.version())
    ours = json.loads((tmp_path / "index.json").read_text())
    blender(screen, "--command", "extension", "server-generate", "--repo-dir", tmp_path)
    assert ours == json.loads((tmp_path / "index.json").read_text())
    assert [item["version"] for item in ours["data"]] == [build.version()]


def test_an_older_version_is_updated_in_the_window_and_works_at_once(user, repository, extension_zip, tmp_path_factory):
    shutil.copy(extension_zip, repository)
    build.write_index(repository, "refit_blender", build.version())
    window = BlenderWindow(user, tmp_path_factory.mktemp("channel"), Path(os.environ["REFIT_GUI_PICTURES"]))
    try:
        assert window.ask(VERSION_IN_USE) == OLD
        window.ask("bpy.ops.extensions.repo_sync_all('EXEC_DEFAULT')")
        window.ask(EXTENSIONS_PAGE)
        window.let_it_work()
        window.picture("update-offered")
        window.ask(CLOSE_PAGE)
        window.ask("bpy.ops.extensions.package_upgrade_all('EXEC_DEFAULT')")
        wait_until(lambda: window.ask(VERSION_IN_USE) == build.version(), "the add-on was updated")
        window.open_tab("ReFit")
        assert window.find_button("refit.reconstruct")
        bodies = window.ask(
            f"from {MODULE} import api\n"
            f"done = api.reconstruct({str(SAMPLE_PHOTO)!r}, people='largest', iterations=1)\n"
            "answer = len(done.outcome.bodies)"
        )
        assert bodies == 1
        window.ask(f"bpy.ops.preferences.addon_show(module={MODULE!r})")
        window.let_it_work()
        window.picture("updated-preferences")
    finally:
        window.close()


def test_the_update_works_after_a_restart(user, tmp_path):
    out = tmp_path / "scene.blend"
    said = blender(
        user, "--command", "refit", "reconstruct", SAMPLE_PHOTO, "--people", "largest", "--iterations", 1, "--out", out
    )
    assert "1 body" in said and out.exists()
