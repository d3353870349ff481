# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting and stopping, installing and removing the engine in a window. The tests tell one story, in their order."""

import os
import sys
from pathlib import Path

import pytest
from desktop import engine_processes, wait_until

sys.path.append(str(Path(__file__).parents[1] / "addon"))
from small_wheels import serve_index, write_wheel

ADDON = "bl_ext.user_default.refit_blender"
# The add-on with folders of its own, an interpreter that has venv, and no engine given by a variable.
USE = f"""
import os
from pathlib import Path
from {ADDON} import engine
from {ADDON}.install import interpreters, plan
engine.managed_root = lambda: Path({{root!r}})
engine.WHEELS = Path({{wheels!r}})
found = interpreters.probe({{python!r}})
plan.find_interpreter = lambda _supported: found
plan._DISK_MB = {{{{"CPU": 50, "CUDA": 50}}}}
plan._DOWNLOAD_MB = {{{{"CPU": 1, "CUDA": 1}}}}
os.environ.pop("REFIT_ENGINE_PYTHON", None)
os.environ.update({{pip!r}})
bpy.context.preferences.addons["{ADDON}"].preferences.accelerator = "CUDA"
bpy.context.preferences.system.use_online_access = True
"""
PRESS = """
window, area, _, region = view_3d()
with bpy.context.temp_override(window=window, area=area, region=region):
    bpy.ops.refit.{}("INVOKE_DEFAULT")
"""
STATE = f"from {ADDON}.session import state\nfrom {ADDON} import engine\n"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("engines") / "engine"


@pytest.fixture(scope="module")
def index(window, root, tmp_path_factory):
    """An index with torch, of which half of the file loads until `go` is set; the add-on uses it."""
    folder, wheels = tmp_path_factory.mktemp("index"), tmp_path_factory.mktemp("wheels")
    random = f"data = {os.urandom(1_500_000).hex()!r}"
    write_wheel(folder, "torch", "2.6.0", {"torch.py": "", "cv2.py": random}, tag="cp311")
    modules = {"refit_engine/__init__.py": "", "refit_engine/worker.py": ""}
    write_wheel(wheels, "refit_engine", "0.1.0", modules, needs="torch>=2.4")
    base = Path(os.environ["REFIT_ENGINE_PYTHON"]).resolve()
    with serve_index(folder, big=".whl") as server:
        pip = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": f"{server.url}/simple/"}
        window.ask(USE.format(root=str(root), wheels=str(wheels), python=str(base), pip=pip))
        yield server


def press(window, operator):
    window.ask(PRESS.format(operator))


def question(window):
    return window.ask(STATE + "answer = state.install.question if state.install else ''")


def message(window):
    return window.ask(STATE + "answer = state.install.progress.message if state.install else ''")


def ended(window):
    return window.ask(STATE + "answer = state.install is None")


def wait_for_question(window):
    wait_until(lambda: question(window) or ended(window), "the size of the download was shown")
    assert question(window).startswith("PyTorch 2.6.0, 2 packages: 3 MB to download from 127.0.0.1, ")


def test_start_and_stop(window):
    window.click(window.find_button("refit.start_engine"))
    wait_until(engine_processes, "the engine was started")
    wait_until(lambda: window.ask(STATE + "answer = engine.running_info() is not None"), "the engine was ready")
    window.picture("engine-started")
    window.click(window.find_button("refit.stop_engine"))
    wait_until(lambda: not engine_processes(), "the engine was stopped")


def test_the_size_is_shown_and_no_is_an_answer(window, index, root):
    press(window, "install_engine")
    wait_for_question(window)
    window.picture("install-question")
    window.click(window.find_button("refit.cancel_install"))
    wait_until(lambda: ended(window), "the installation ended")
    assert not root.exists()
    assert window.ask(STATE + "answer = state.install_error") == ""


def test_the_bar_moves_while_the_file_loads_and_the_engine_is_there_then(window, index, root):
    index.go.clear()
    press(window, "install_engine")
    wait_for_question(window)
    window.click(window.find_button("refit.confirm_install"))
    wait_until(lambda: " MB of 3 MB (" in message(window) and "(0 %)" not in message(window), "half was loaded")
    window.let_it_work()
    window.picture("install-progress")
    index.go.set()
    wait_until(lambda: ended(window), "the installation ended")
    assert window.ask(STATE + "answer = state.install_error") == ""
    assert window.ask(STATE + "answer = engine.selected_python().chosen_by") == "installed"


def test_remove_asks_first(window, index, root):
    press(window, "remove_engine")
    window.let_it_work()
    window.picture("remove-question")
    assert root.exists()
    window.input("key", "Return")
    wait_until(lambda: not root.exists(), "the engine was removed")
    wait_until(lambda: ended(window), "the removal ended")
    assert window.ask(STATE + "answer = engine.selected_python() is None")
