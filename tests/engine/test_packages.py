# SPDX-License-Identifier: GPL-3.0-or-later
"""An environment that lacks a package, or has a broken one, says so in one sentence."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from refit_engine.errors import PackageMissing
from refit_engine.packages import NEEDED, check_packages
from worker_client import Client

# An import hook that plays an environment without some modules; then the worker as it is started.
WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        if name in {broken!r}:
            raise OSError("[WinError 126] c10.dll: The specified module could not be found.")
sys.meta_path.insert(0, Absent())
from refit_engine.{module} import main
sys.exit(main({arguments}))
"""


def script(module: str = "worker", arguments: str = "", absent: tuple = (), broken: tuple = ()) -> str:
    return WITHOUT.format(absent=absent, broken=broken, module=module, arguments=arguments)


def hello(code: str) -> dict:
    with Client("-c", code) as client:
        return client.call("initialize", protocol_version=2, client="test")["error"]


@pytest.mark.parametrize(
    ("module", "package"), [("torch", "torch"), ("numpy", "numpy"), ("cv2", "opencv-python-headless")]
)
def test_the_worker_names_the_package_that_is_missing(module, package):
    error = hello(script(absent=(module,)))
    assert error["data"]["kind"] == "PackageMissing"
    assert error["message"].startswith(f"The engine's Python lacks {package}: press Install Engine")


def test_the_worker_names_the_package_that_is_broken():
    error = hello(script(broken=("torch",)))
    assert error["data"]["kind"] == "PackageMissing"
    assert error["message"].startswith(
        f"torch in the engine's Python ({sys.executable}) cannot be loaded ([WinError 126]"
    )
    assert error["message"].endswith("press Install Engine in the add-on's preferences to install it again.")


def test_the_command_line_names_it_too():
    with Client("-c", script("cli", "['detect', 'photo.jpg']", absent=("torch",))) as client:
        assert client.wait() == 1
        said = client.process.stderr.read().decode()
    assert said.startswith("refit-engine: The engine's Python lacks torch: ") and said.count("\n") == 1


def test_a_package_that_a_package_needs_is_named(tmp_path, monkeypatch):
    (tmp_path / "some_outer.py").write_text("import some_inner")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PackageMissing, match="lacks some_inner: "):
        check_packages({"some_outer": "some-outer"})


def test_every_package_of_the_engine_is_checked():
    project = Path(__file__).parents[2] / "engine" / "pyproject.toml"
    needed = {line.split(">=")[0] for line in tomllib.loads(project.read_text())["project"]["dependencies"]}
    # HEIC photos alone need it, and say so.
    assert set(NEEDED.values()) == needed - {"pillow-heif"}
    check_packages()


def test_the_engines_start_does_not_load_pytorchs_compiler():
    """It takes more than a second, and nothing is compiled."""
    code = "import sys, refit_engine.service, refit_engine.fitting.motion; print('torch._dynamo' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
