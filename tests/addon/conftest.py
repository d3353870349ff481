# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on, switched on in a clean scene for every test, with an engine that is played by a script."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
import synthetic_body
from blender_helpers import write_launcher

import refit_blender
from refit_blender import engine, session
from refit_blender.jobs import Limits

EXIT_STATUS = pytest.StashKey[int]()


@pytest.fixture(scope="session", autouse=True)
def addon() -> Iterator[None]:
    entry = bpy.context.preferences.addons.new()
    entry.module = refit_blender.__name__
    refit_blender.register()
    yield
    refit_blender.unregister()
    bpy.context.preferences.addons.remove(entry)


@pytest.fixture(autouse=True)
def clean_scene(addon: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(engine.PYTHON_VARIABLE, raising=False)
    bpy.ops.wm.read_homefile(use_empty=True)
    yield
    session.reset()
    engine.shutdown()
    owner = bpy.context.id_data
    assert owner is None, f"bpy.context belongs to {owner}: Blender 4.2 would use it after it is freed"


@pytest.fixture
def preferences() -> Iterator[bpy.types.AddonPreferences]:
    """The add-on's preferences, as they were afterwards."""
    found = bpy.context.preferences.addons[refit_blender.__name__].preferences
    yield found
    for name in ("next_press", "look_through", "pack_photo"):
        found.property_unset(name)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A picture of 640 x 480 pixels."""
    path = tmp_path / "a photo.png"
    image = bpy.data.images.new("photo", 640, 480)
    image.filepath_raw = str(path)
    image.file_format = "PNG"
    image.save()
    bpy.data.images.remove(image)
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """The first of 40 numbered pictures of 64 x 48 pixels, frames 0 to 39 of a sequence; they get brighter."""
    folder = tmp_path / "footage"
    folder.mkdir()
    image = bpy.data.images.new("frame", 64, 48)
    image.file_format = "PNG"
    for number in range(40):
        image.pixels.foreach_set(np.full(64 * 48 * 4, number / 40, dtype=np.float32))
        image.filepath_raw = str(folder / f"walk_{number + 1:03d}.png")
        image.save()
    bpy.data.images.remove(image)
    return folder / "walk_001.png"


@pytest.fixture
def four_cameras(photo: Path) -> list[bpy.types.Object]:
    """Cameras cam_1, cam_2, cam_3 and cam_10 around the origin, each with the photo as its background."""
    made = []
    for index, number in enumerate((10, 2, 1, 3)):
        camera = bpy.data.objects.new(f"cam_{number}", bpy.data.cameras.new(f"cam_{number}"))
        bpy.context.scene.collection.objects.link(camera)
        camera.location, camera.rotation_euler = (4 - index, -4, 1 + 0.1 * index), (1.4, 0.1, 0.2 * index)
        camera.data.background_images.new().image = bpy.data.images.load(str(photo), check_existing=True)
        made.append(camera)
    bpy.context.view_layer.update()
    return made


@dataclass(frozen=True)
class FakeEngine:
    """An installed engine that behaves as told, and what it answers."""

    folder: Path
    body: dict[str, np.ndarray]
    result: dict[str, np.ndarray]

    def prepare(self, image: Path, **result) -> dict[str, np.ndarray]:
        """What it answers from now on for one picture."""
        return synthetic_body.write_result(
            self.folder / "result.npz", self.folder / "body.npz", self.body, image, **result
        )

    def requests(self) -> list[dict[str, Any]]:
        """All that it was asked, the parameters and the method."""
        return [json.loads(line) for line in (self.folder / "requests").read_text().splitlines()]

    def prepare_views(self, names: Sequence[str], **result) -> dict[str, np.ndarray]:
        """What it answers for these cameras."""
        return synthetic_body.write_views_result(
            self.folder / "views.npz", self.folder / "body.npz", self.body, names, **result
        )

    def prepare_motion(self, video: Path, *, clip: str = "", **motion) -> dict[str, np.ndarray]:
        """What it answers for videos; clip: only for the one with this name, without its ending."""
        return synthetic_body.write_motion(
            self.folder / f"{f'motion {clip}' if clip else 'motion'}.npz",
            self.folder / "body.npz",
            self.body,
            video,
            **motion,
        )

    def request(self) -> dict[str, Any]:
        """The parameters of the last job that it got."""
        return json.loads((self.folder / "request.json").read_text())

    @property
    def starts(self) -> int:
        return len((self.folder / "starts").read_text())


@pytest.fixture
def install_fake(tmp_path: Path, photo: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeEngine]:
    """Call it to install an engine: behaviour, and what the result holds."""

    def install(behaviour: str = "good", *, correctives: bool = False, regressor: bool = False, **result) -> FakeEngine:
        folder = tmp_path / "engine"
        folder.mkdir(exist_ok=True)
        body = synthetic_body.make_body(correctives=correctives, regressor=regressor)
        body_file = folder / "body.npz"
        np.savez(body_file, **body)
        arrays = synthetic_body.write_result(folder / "result.npz", body_file, body, photo, **result)
        (folder / "behaviour").write_text(behaviour)
        launcher = write_launcher(folder / "python", folder)
        monkeypatch.setenv(engine.PYTHON_VARIABLE, str(launcher))
        monkeypatch.setattr(engine, "_limits", Limits(start=20.0, silence=20.0, cancel=20.0))
        return FakeEngine(folder, body, arrays)

    return install


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[EXIT_STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Blender 4.2 as a Python module leaks registered classes and then crashes in its exit handlers, 4.5 hangs there
    where Rigify was switched on: end before them.
    """
    if bpy.app.version < (5, 0):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(config.stash.get(EXIT_STATUS, 1))
