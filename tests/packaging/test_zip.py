# SPDX-License-Identifier: GPL-3.0-or-later
"""What build.py packs: complete, clean, and the same every time."""

import zipfile

import pytest

import build


@pytest.fixture(scope="module")
def extension(tmp_path_factory):
    return build.build_zip(folder=tmp_path_factory.mktemp("dist"))


def names(archive):
    with zipfile.ZipFile(archive) as opened:
        return opened.namelist()


def test_the_add_on_lies_beside_its_manifest_and_the_engine_beside_both(extension):
    entries = names(extension)
    assert {"blender_manifest.toml", "__init__.py", "LICENSE"} <= set(entries)
    assert sum(name.startswith("wheels-engine/refit_engine-") for name in entries) == 1


def test_nothing_that_tools_leave_behind_is_packed(extension):
    assert not [name for name in names(extension) if "__pycache__" in name or name.endswith((".pyc", ".pyo"))]


def test_the_same_sources_give_the_same_zip(extension, tmp_path):
    assert build.build_zip(folder=tmp_path).read_bytes() == extension.read_bytes()


def test_the_engines_wheel_is_complete_and_always_the_same(tmp_path):
    build.build_engine_wheel(tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.read_bytes() == build.engine_wheel().read_bytes()
    data = {f"refit_engine/data/{path.name}" for path in (build.ENGINE / "refit_engine" / "data").iterdir()}
    assert data <= set(names(wheel))


def test_a_zip_for_one_platform_says_so(tmp_path):
    archive = build.build_zip(platform_name="linux-x64", folder=tmp_path)
    assert archive.name.endswith("-linux_x64.zip")
    with zipfile.ZipFile(archive) as opened:
        manifest = build.tomllib.loads(opened.read("blender_manifest.toml").decode())
    assert manifest["platforms"] == ["linux-x64"]


@pytest.mark.parametrize(
    ("file", "sources"),
    [
        ("sources.list", "deb [trusted=yes] http://mirror.test/debian trixie main contrib\n"),
        (
            "sources.list.d/debian.sources",
            "# comment\nTypes: deb\nURIs: http://mirror.test/debian\nSuites: trixie trixie-updates\nComponents: main\n",
        ),
    ],
)
def test_the_mirror_is_the_one_that_apt_uses(file, sources, tmp_path):
    (tmp_path / "etc/apt/sources.list.d").mkdir(parents=True)
    (tmp_path / "etc/os-release").write_text("NAME=Debian\nVERSION_CODENAME=trixie\n")
    (tmp_path / "etc/apt" / file).write_text(sources)
    assert build.debian.mirror(tmp_path / "etc") == "http://mirror.test/debian"
