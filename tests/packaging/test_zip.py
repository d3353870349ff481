# SPDX-License-Identifier: GPL-3.0-or-later
"""What build.py packs: complete, clean, and the same every time."""

import hashlib
import json
import posixpath
import re
import shutil
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


def test_manifest_wheel_and_changelog_have_the_engines_version(extension):
    with zipfile.ZipFile(extension) as opened:
        manifest = build.tomllib.loads(opened.read("blender_manifest.toml").decode())
        changes = opened.read("CHANGELOG.md").decode()
        (wheel,) = (name for name in opened.namelist() if name.startswith("wheels-engine/refit_engine-"))
    assert manifest["version"] == build.version() and f"-{build.version()}-" in wheel
    assert re.search(r"^## \[(.+?)\]", changes, re.MULTILINE)[1] == build.version()
    assert "version" not in build.tomllib.loads((build.ROOT / "blender_manifest.toml").read_text())


def test_the_manifest_credits_everybody_whose_work_is_packed(extension):
    with zipfile.ZipFile(extension) as opened:
        manifest = build.tomllib.loads(opened.read("blender_manifest.toml").decode())
    holders = " ".join(manifest["copyright"])
    for name in ("MediaPipe", "MoveNet", "MakeHuman", "ruamel.yaml", "Vladimir Mandic", "perfanalytics"):
        assert name in holders
    assert all(re.fullmatch(r"\d{4}(-\d{4})? \S.*", line) for line in manifest["copyright"])


def test_links_of_the_guide_lead_to_files_in_the_zip(extension):
    entries = set(names(extension))
    with zipfile.ZipFile(extension) as opened:
        guide = [name for name in entries if name.endswith(".md")]
        assert "README.md" in guide and "docs/how-it-works.md" in guide
        for page in guide:
            for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", opened.read(page).decode()):
                target = posixpath.normpath(posixpath.join(posixpath.dirname(page), link))
                if target.startswith(("engine/", "refit_blender/", "tests/")):
                    continue  # sources, for developers
                assert target in entries or any(name.startswith(f"{target}/") for name in entries), (page, link)


def test_the_folder_is_a_repository_of_the_newest_zips(extension, tmp_path):
    shutil.copy(extension, tmp_path)
    shutil.copy(extension, tmp_path / "refit_blender-0.0.9.zip")
    build.write_index(tmp_path, "refit_blender", build.version())
    index = json.loads((tmp_path / "index.json").read_text())
    (entry,) = index["data"]
    assert index["version"] == "v1" and entry["archive_url"] == f"./{extension.name}"
    assert entry["archive_hash"] == f"sha256:{hashlib.sha256(extension.read_bytes()).hexdigest()}"
    assert entry["archive_size"] == extension.stat().st_size and entry["version"] == build.version()
    assert json.loads((extension.parent / "index.json").read_text()) == index


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
