# SPDX-License-Identifier: GPL-3.0-or-later
"""Body files that users bring: official SMPL ones, and everything else that they may point at."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import types

import numpy as np
import pytest
import roma
import torch
from parity_rules import fake_smpl
from refit_engine.body import BUNDLED_BODY, BodyModel, load_body
from refit_engine.body.points import SMPL_MARKER_IDS
from refit_engine.errors import BodyFileError
from scipy import sparse


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    for variable in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def complete() -> dict[str, np.ndarray]:
    return fake_smpl()


@pytest.fixture(scope="module")
def smpl(complete) -> dict[str, np.ndarray]:
    """Without pose correctives, which are nine tenths of the file."""
    return without(complete, "posedirs")


def without(content: dict, name: str) -> dict:
    return {key: value for key, value in content.items() if key != name}


def write_pickle(path, content, protocol: int = 2):
    with path.open("wb") as file:
        pickle.dump(content, file, protocol=protocol)
    return path


@pytest.fixture
def official(tmp_path, complete, monkeypatch):
    """A file like SMPL's download: chumpy arrays, sparse regressor, things that no body needs."""

    class Ch:
        def __init__(self, x):
            self.x = x

    Ch.__module__, Ch.__qualname__ = "chumpy.ch", "Ch"
    package, module = types.ModuleType("chumpy"), types.ModuleType("chumpy.ch")
    module.Ch = Ch
    content = dict(complete)
    for name in ("v_template", "shapedirs", "posedirs", "weights"):
        content[name] = Ch(complete[name])
    content["J_regressor"] = sparse.csc_matrix(complete["J_regressor"])
    content |= {"bs_type": "lrotmin", "pose_training_info": {"gender": "neutral"}, "J": Ch(np.zeros((24, 3)))}
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "chumpy", package)
        patch.setitem(sys.modules, "chumpy.ch", module)
        path = write_pickle(tmp_path / "SMPL_NEUTRAL.pkl", content)
    # Python 2's names of the same things.
    raw = path.read_bytes().replace(b"cscipy.sparse._csc\n", b"cscipy.sparse.csc\n")
    path.write_bytes(raw.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))
    return path


def assert_is_the_fake(body, smpl):
    for name in {"v_template", "shapedirs", "posedirs", "weights", "J_regressor"} & smpl.keys():
        np.testing.assert_array_equal(getattr(body, name), smpl[name].astype(np.float32), err_msg=name)
    np.testing.assert_array_equal(body.faces, smpl["f"])
    assert body.kind == "smpl" and body.parents[0] == -1
    assert tuple(body.marker_ids) == SMPL_MARKER_IDS


def test_an_official_pickle_is_read_without_chumpy(official, complete):
    assert "chumpy" not in sys.modules
    assert_is_the_fake(load_body(official), complete)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_cleaned_pickles_of_any_protocol_are_read(tmp_path, smpl, protocol):
    assert_is_the_fake(load_body(write_pickle(tmp_path / "clean.pkl", smpl, protocol)), smpl)


def test_an_smpl_npz_is_read(tmp_path, smpl):
    np.savez(tmp_path / "SMPL_MALE.npz", **smpl)
    body = load_body(tmp_path / "SMPL_MALE.npz")
    assert_is_the_fake(body, smpl)
    assert body.name == "SMPL_MALE"


def test_a_body_is_converted_once_into_the_cache(official, cache, complete):
    first = load_body(official)
    assert first.file.is_relative_to(cache)
    written = first.file.stat().st_mtime_ns
    again = load_body(first.file)
    assert load_body(official).file.stat().st_mtime_ns == written
    assert_is_the_fake(again, complete)
    assert again.name == "SMPL_NEUTRAL"


@pytest.mark.parametrize("length", [0, 1000, -1000])
def test_a_converted_body_that_was_cut_off_is_converted_again(tmp_path, smpl, length):
    path = write_pickle(tmp_path / "body.pkl", smpl)
    converted = load_body(path).file
    whole = converted.read_bytes()
    converted.write_bytes(whole[:length])
    assert_is_the_fake(load_body(path), smpl)
    assert len(converted.read_bytes()) == len(whole)


def test_a_changed_file_is_converted_anew(tmp_path, smpl):
    before = load_body(write_pickle(tmp_path / "body.pkl", smpl))
    after = load_body(write_pickle(tmp_path / "body.pkl", smpl | {"v_template": smpl["v_template"] + 1}))
    np.testing.assert_allclose(after.v_template - before.v_template, 1, atol=1e-5)


def test_a_folder_offers_one_body_per_gender(tmp_path, smpl):
    write_pickle(tmp_path / "SMPL_NEUTRAL.pkl", smpl)
    write_pickle(tmp_path / "basicModel_f_lbs_10_207_0_v1.0.0.pkl", smpl)
    assert load_body(tmp_path).name == "SMPL_NEUTRAL"
    assert load_body(tmp_path, "female").name == "basicModel_f_lbs_10_207_0_v1.0.0"
    with pytest.raises(BodyFileError, match="no male SMPL body"):
        load_body(tmp_path, "male")


def test_the_bundled_body_can_be_given_as_a_file():
    assert load_body(BUNDLED_BODY).kind == "bundled"


def test_posing_agrees_with_smplx(tmp_path, complete):
    smplx = pytest.importorskip("smplx")
    model = smplx.SMPL(model_path="", data_struct=smplx.utils.Struct(**complete), create_transl=False)
    body = BodyModel(load_body(write_pickle(tmp_path / "SMPL_NEUTRAL.pkl", complete)))
    generator = torch.Generator().manual_seed(0)
    betas = torch.randn(4, 10, generator=generator)
    rotmats = roma.rotvec_to_rotmat(torch.randn(4, 24, 3, generator=generator))
    transl = torch.randn(4, 3, generator=generator)
    theirs = model(betas=betas, global_orient=rotmats[:, :1], body_pose=rotmats[:, 1:], transl=transl, pose2rot=False)
    ours = body(betas, rotmats, transl)
    torch.testing.assert_close(ours.vertices, theirs.vertices, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.joints, theirs.joints[:, :24], atol=1e-5, rtol=0)
    points = body.subset(np.array(SMPL_MARKER_IDS))(betas, rotmats) + transl[:, None]
    torch.testing.assert_close(points, theirs.vertices[:, list(SMPL_MARKER_IDS)], atol=1e-5, rtol=0)


class Malicious:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("function", "arguments"),
    [(os.system, ("touch {}",)), (exec, ("open({!r}, 'w')",)), (eval, ("open({!r}, 'w')",)), (open, ("{}", "w"))],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_no_code_in_a_pickle_runs(tmp_path, smpl, function, arguments, protocol):
    trace = tmp_path / "trace"
    call = Malicious(function, *(argument.format(str(trace)) for argument in arguments))
    path = write_pickle(tmp_path / "evil.pkl", smpl | {"extra": call}, protocol)
    with pytest.raises(BodyFileError, match="not safe to read"):
        load_body(path)
    assert not trace.exists()


@pytest.mark.parametrize(
    "raw",
    [
        b"cnumpy.testing._private.utils\nruncode\n(S'1'\ntR.",  # a numpy function that executes text
        b"cnumpy\nload\n(S'/etc/passwd'\ntR.",
        b"cbuiltins\ngetattr\n(cnumpy\nndarray\nS'__class__'\ntR.",
        b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__init__\x93.",  # a dotted name
        b"ccopy_reg\n_reconstructor\n(cnumpy\nload\nc__builtin__\nobject\nNtR.",
    ],
)
def test_harmless_looking_names_lead_nowhere(tmp_path, raw):
    path = tmp_path / "evil.pkl"
    path.write_bytes(raw)
    with pytest.raises(BodyFileError, match="not safe to read"):
        load_body(path)


def test_a_pickle_cannot_spoil_the_reader_for_the_next(tmp_path, smpl):
    # BUILD on the class itself with slot state: sets attributes of what the name stands for.
    path = tmp_path / "evil.pkl"
    path.write_bytes(b"cnumpy\nndarray\n(N(S'__setstate__'\ncnumpy\ndtype\ndtb.")
    with pytest.raises(BodyFileError):
        load_body(path)
    assert_is_the_fake(load_body(write_pickle(tmp_path / "good.pkl", smpl)), smpl)


def test_a_sparse_matrix_that_points_outside_is_refused(tmp_path, smpl):
    matrix = sparse.csc_matrix(smpl["J_regressor"])
    matrix.indices[0] = 10**6
    path = write_pickle(tmp_path / "broken.pkl", smpl | {"J_regressor": matrix})
    with pytest.raises(BodyFileError):
        load_body(path)


def test_wrong_files_are_named_in_one_sentence(tmp_path, smpl):
    text = tmp_path / "body.pkl"
    text.write_text("this is no pickle")
    photo = tmp_path / "body.npz"
    photo.write_bytes(b"\xff\xd8\xff\xe0 a photo")
    cut = tmp_path / "cut.pkl"
    cut.write_bytes(write_pickle(tmp_path / "whole.pkl", smpl).read_bytes()[:100_000])
    other = tmp_path / "other.npz"
    np.savez(other, weights=np.zeros(3))
    objects = tmp_path / "objects.npz"
    np.savez(objects, v_template=np.array([{}], object))
    cases = {
        tmp_path / "none.pkl": "There is no body file",
        text: "no readable pickle|not safe",
        photo: "no readable body file",
        cut: "no readable pickle|not safe",
        other: "has no v_template",
        objects: "no readable body file",
        write_pickle(tmp_path / "list.pkl", [1, 2]): "no named arrays",
        write_pickle(tmp_path / "part.pkl", without(smpl, "shapedirs")): "has no shapedirs",
        tmp_path / "image.jpg": "There is no body file",
        write_pickle(tmp_path / "body.obj", smpl): "SMPL bodies are .npz or .pkl",
    }
    for path, message in cases.items():
        with pytest.raises(BodyFileError, match=message) as caught:
            load_body(path)
        assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kintree_table": np.zeros((2, 52), np.int64)}, "SMPL-H and SMPL-X do not fit"),
        ({"v_template": np.zeros((10475, 3))}, "10475 vertices instead of SMPL's 6890"),
        ({"weights": np.zeros((6890, 23))}, "weights has the shape"),
        ({"posedirs": np.zeros((6890, 3, 9))}, "posedirs has the shape"),
        ({"v_template": np.full((6890, 3), np.nan)}, "damaged"),
        ({"f": np.full((13776, 3), 6890)}, "points to vertices"),
    ],
)
def test_bodies_that_do_not_fit_say_why(tmp_path, smpl, changes, message):
    with pytest.raises(BodyFileError, match=message):
        load_body(write_pickle(tmp_path / "body.pkl", smpl | changes))
    assert not list(tmp_path.glob("cache/**/*.npz")), "a refused body must not stay in the cache"


def test_few_betas_are_refused_and_more_are_cut(tmp_path, smpl):
    few = write_pickle(tmp_path / "few.pkl", smpl | {"shapedirs": smpl["shapedirs"][..., :4]})
    with pytest.raises(BodyFileError, match="shapedirs has the shape"):
        load_body(few)
    many = np.concatenate([smpl["shapedirs"]] * 30, axis=2)
    assert_is_the_fake(load_body(write_pickle(tmp_path / "many.pkl", smpl | {"shapedirs": many})), smpl)


def test_a_body_without_correctives_poses(tmp_path, smpl):
    body = load_body(write_pickle(tmp_path / "plain.pkl", smpl))
    assert body.posedirs is None
    output = BodyModel(body)(torch.zeros(1, 10), torch.eye(3).expand(1, 24, 3, 3))
    np.testing.assert_allclose(output.vertices[0], smpl["v_template"], atol=1e-5)


def test_the_bundled_body_needs_no_smplx():
    code = "import sys; import refit_engine.body as b; b.BodyModel(b.load_body()); sys.exit('smplx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
