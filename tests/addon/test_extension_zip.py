# SPDX-License-Identifier: GPL-3.0-or-later
"""The built zip in this Blender version: accepted, installed as by a user, enabled, removed again."""

import os
import subprocess
import sys
from pathlib import Path

import bpy
import pytest

MODULE = "bl_ext.user_default.refit_blender"


@pytest.fixture(scope="module")
def extension_zip():
    path = os.environ.get("REFIT_EXTENSION_ZIP")
    if not path:
        pytest.skip("REFIT_EXTENSION_ZIP is not set; build.py test sets it")
    return path


def run_python(code, user_folder):
    """Run code in a fresh Blender of this version with an empty user folder."""
    settings = {**os.environ, "BLENDER_USER_RESOURCES": str(user_folder)}
    return subprocess.run([sys.executable, "-c", code], env=settings, capture_output=True, text=True, timeout=120)


def test_blenders_validator_accepts_it(extension_zip):
    validator = Path(bpy.utils.system_resource("SCRIPTS"), "addons_core", "bl_pkg", "cli", "blender_ext.py")
    answer = subprocess.run([sys.executable, validator, "validate", extension_zip], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_it_installs_into_a_clean_blender_works_and_leaves_without_a_trace(extension_zip, tmp_path):
    lens = tmp_path / "lens.yml"
    lens.write_text("camera_matrix:\n- - 500.0\n  - 0.0\n  - 320.0\n- [0.0, 500.0, 240.0]\n- [0.0, 0.0, 1.0]\n")
    code = f"""
import sys
from pathlib import Path
import bpy
before = set(dir(bpy.types))
bpy.ops.extensions.package_install_files(filepath={extension_zip!r}, repo="user_default", enable_on_install=True)
assert {MODULE!r} in bpy.context.preferences.addons
assert bpy.ops.refit.reconstruct.get_rna_type()
from bl_ext.user_default.refit_blender import api
assert [place for place in sys.path if Path(place).is_relative_to({str(tmp_path)!r}) and Path(place, "ruamel").is_dir()]
assert len(api.import_calibration({str(lens)!r}).cameras) == 1
bpy.ops.preferences.addon_disable(module={MODULE!r})
assert set(dir(bpy.types)) == before, set(dir(bpy.types)) - before
print("CAME AND WENT")
"""
    answer = run_python(code, tmp_path)
    assert "CAME AND WENT" in answer.stdout, answer.stdout + answer.stderr
    assert (tmp_path / "extensions" / "user_default" / "refit_blender" / "wheels-engine").is_dir()
