# SPDX-License-Identifier: GPL-3.0-or-later
"""The built zip in the real Blender."""

import subprocess


def test_blender_accepts_the_extension(settings, extension_zip):
    answer = subprocess.run(
        ["blender", "--command", "extension", "validate", str(extension_zip)],
        env=settings,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_the_sidebar_has_a_reconstruct_button(window):
    assert window.find_button("refit.reconstruct")
