# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding, checking and reading body files."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..contract import Gender
from ..errors import BodyFileError
from ..files import user_cache_folder, write_npz
from ..npz import NpzError, read_npz
from .data import BUNDLED_BODY, BodyData, posedirs_of_shapes
from .joints import SMPL_PARENTS
from .points import SMPL_MARKER_IDS
from .smpl_pickle import SMPL_ARRAYS, read_smpl_pickle

log = logging.getLogger(__name__)


BETAS = 10
SMPL_VERTICES = 6890
# Raise it when the converted files change.
_CONVERSION = 1
_ARRAYS = (
    "v_template",
    "shapedirs",
    "posedirs",
    "weights",
    "J_regressor",
    "parents",
    "faces",
    "joint_template",
    "joint_shapedirs",
    "uv",
    "uv_faces",
    "marker_ids",
    "landmark_ids",
)
# Pose correctives as shapes of single joints: K joints, [K, 9], [N, 2] shape and vertex, [N, 3]; all or none.
_CORRECTIVES = ("corrective_joints", "corrective_mix", "corrective_entries", "corrective_offsets")
# How the bundled male and female bodies differ from the neutral one: in whole steps [11, 3, V], template first.
_SEX_ARRAYS = tuple(
    f"{sex}_{name}"
    for sex in ("male", "female")
    for name in ("difference", "steps", "joint_template", "joint_shapedirs")
)
MAX_BYTES = 1 << 29
"""What an SMPL file's arrays may take: ten times as much as the official ones with 300 betas."""
_INDICES = ("parents", "faces", "uv_faces", "marker_ids", "landmark_ids", "corrective_joints", "corrective_entries")
MAX_NUMBER = 1e4
# As smplx names them, then as SMPL's own downloads do.
_SMPL_FILE_NAMES: dict[str, tuple[str, ...]] = {
    "neutral": ("SMPL_NEUTRAL", "basicModel_neutral_lbs_10_207_0_v1.0.0", "basicmodel_neutral_lbs_10_207_0_v1.1.0"),
    "male": ("SMPL_MALE", "basicmodel_m_lbs_10_207_0_v1.0.0", "basicmodel_m_lbs_10_207_0_v1.1.0"),
    "female": ("SMPL_FEMALE", "basicModel_f_lbs_10_207_0_v1.0.0", "basicmodel_f_lbs_10_207_0_v1.1.0"),
}


def load_body(path: Path | None = None, gender: Gender = "neutral") -> BodyData:
    """Reads the bundled body, or one in SMPL's format.

    An SMPL file, and the bundled male or female body, is converted once, to an npz with this package's
    names in the user's cache folder; ``BodyData.file`` is that npz.

    Args:
        path: ``.npz`` or ``.pkl`` file; or a folder, where the gender picks the file (SMPL_NEUTRAL.pkl,
            or the name that SMPL's download gives it); None for the bundled body.
        gender: of the bundled body, or of the one in a folder; a single file has its own.

    Raises:
        BodyFileError: no such file, not a body in SMPL's format, or not safe to read.
    """
    if path is None and gender == "neutral":
        return _body(_read_npz(BUNDLED_BODY), BUNDLED_BODY, BUNDLED_BODY.name)
    if path is None:
        return _converted_once(BUNDLED_BODY, f"bundled_{gender}", lambda: _of_sex(_read_npz(BUNDLED_BODY), gender))
    path = _find(Path(path), gender)
    arrays = _read_npz(path) if path.suffix.lower() == ".npz" else None
    if arrays is not None and "parents" in arrays:
        return _body(arrays, path, path.name)

    def convert() -> dict[str, np.ndarray]:
        given = read_smpl_pickle(path) if arrays is None else arrays
        return {"name": np.array(path.stem), "kind": np.array("smpl"), **_from_smpl(given, path.name)}

    return _converted_once(path, path.stem, convert)


def _converted_once(path: Path, stem: str, convert: Callable[[], dict[str, np.ndarray]]) -> BodyData:
    """The body that a file was converted to before, or is now."""
    converted = _cache_folder() / f"{stem}-{_fingerprint(path)}-{_CONVERSION}.npz"
    if converted.exists():
        try:
            return _body(_read_npz(converted), converted, path.name)
        except BodyFileError as error:  # cut off by a power cut, say
            log.warning("Converting %s again: %s", path, error)
    arrays = convert()
    body = _body(arrays, converted, path.name)
    log.info("Keeping %s as %s", path, converted)
    _write(converted, arrays)
    return body


def _of_sex(arrays: dict[str, np.ndarray], sex: str) -> dict[str, np.ndarray]:
    """The bundled male or female body, from the differences to the neutral one that the file keeps."""
    difference = arrays[f"{sex}_difference"].T * arrays[f"{sex}_steps"]
    own = {
        "name": np.array(f"bundled_{sex}"),
        "v_template": arrays["v_template"] + difference[..., 0],
        "shapedirs": (arrays["shapedirs"] + difference[..., 1:]).astype(np.float16),
        "joint_template": arrays[f"{sex}_joint_template"],
        "joint_shapedirs": arrays[f"{sex}_joint_shapedirs"],
    }
    return {name: value for name, value in arrays.items() if name not in _SEX_ARRAYS} | own


def _find(path: Path, gender: Gender) -> Path:
    if path.is_dir():
        names = [name + suffix for name in _SMPL_FILE_NAMES[gender] for suffix in (".npz", ".pkl")]
        found = {file.name.lower(): file for file in sorted(path.iterdir())}
        for name in names:
            if name.lower() in found and found[name.lower()].is_file():
                return found[name.lower()]
        raise BodyFileError(f"The folder {path} has no {gender} SMPL body, such as {names[1]}.")
    if not path.is_file():
        raise BodyFileError(f"There is no body file {path}.")
    if path.suffix.lower() not in (".npz", ".pkl"):
        raise BodyFileError(f"{path.name} is no body file: SMPL bodies are .npz or .pkl files.")
    return path


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        return read_npz(
            path, frozenset((*_ARRAYS, *_CORRECTIVES, *_SEX_ARRAYS, *SMPL_ARRAYS, "name", "kind")), MAX_BYTES
        )
    except NpzError as error:
        raise BodyFileError(f"{path.name} is no readable body file: {error}.") from error


def _from_smpl(arrays: dict[str, np.ndarray], source: str) -> dict[str, np.ndarray]:
    """The arrays of an SMPL file under our names, float32; most shapes are still to be checked."""
    for name in ("v_template", "shapedirs", "weights", "J_regressor", "kintree_table", "f"):
        if name not in arrays:
            raise BodyFileError(f"{source} is no SMPL body: it has no {name}.")
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu" or not array.ndim:
            raise BodyFileError(f"{source} is no SMPL body: {name} holds no numbers.")
    table = arrays["kintree_table"]
    parents = table[0].astype(np.int64) if table.ndim == 2 and table.size else np.zeros(0, np.int64)
    if parents.tolist()[1:] != list(SMPL_PARENTS[1:]):  # the first is -1, or as files hold it, 2**32 - 1
        raise BodyFileError(f"{source} has {len(parents)} joints that are not SMPL's 24; SMPL-H and SMPL-X do not fit.")
    if len(arrays["v_template"]) != SMPL_VERTICES:
        raise BodyFileError(f"{source} has {len(arrays['v_template'])} vertices instead of SMPL's {SMPL_VERTICES}.")
    with np.errstate(over="ignore"):
        body: dict[str, np.ndarray] = {
            name: arrays[name].astype(np.float32)
            for name in ("v_template", "weights", "J_regressor", "shapedirs", "posedirs")
            if name in arrays
        }
    body["shapedirs"] = body["shapedirs"][..., :BETAS]
    body["parents"] = np.array(SMPL_PARENTS)
    body["faces"] = arrays["f"].astype(np.int64)
    body["marker_ids"] = np.array(SMPL_MARKER_IDS)
    return body


def _body(arrays: dict[str, np.ndarray], file: Path, source: str) -> BodyData:
    """The npz's arrays in the types to compute with, after a check of every shape; errors name the source."""
    _check(arrays, source)
    values = {
        name: arrays[name].astype(np.float32 if arrays[name].dtype.kind == "f" else np.int64)
        for name in _ARRAYS
        if name in arrays
    }
    posedirs = values.pop("posedirs", None)
    if _CORRECTIVES[0] in arrays:
        posedirs = posedirs_of_shapes(len(arrays["v_template"]), *(arrays[name] for name in _CORRECTIVES))
    return BodyData(
        name=str(arrays["name"]),
        kind="bundled" if str(arrays["kind"]) == "bundled" else "smpl",
        file=file,
        posedirs=posedirs,
        **values,
    )


def _check(arrays: dict[str, np.ndarray], source: str) -> None:
    def count(name: str) -> int:
        return len(arrays[name]) if name in arrays and arrays[name].ndim else 0

    vertices, joints, faces = count("v_template"), len(SMPL_PARENTS), count("faces")
    shapes = {
        "name": (),
        "kind": (),
        "v_template": (vertices, 3),
        "shapedirs": (vertices, 3, BETAS),
        "weights": (vertices, joints),
        "J_regressor": (joints, vertices),
        "parents": (joints,),
        "faces": (faces, 3),
        "marker_ids": (len(SMPL_MARKER_IDS),),
    }
    optional = {
        "posedirs": (vertices, 3, 9 * (joints - 1)),
        "joint_template": (joints, 3),
        "joint_shapedirs": (joints, 3, BETAS),
        "uv": (count("uv"), 2),
        "uv_faces": (faces, 3),
        "landmark_ids": (33, 4),
    }
    shapes |= {name: shape for name, shape in optional.items() if name in arrays}
    if _CORRECTIVES[0] in arrays:
        kept, entries = count("corrective_joints"), count("corrective_entries")
        shapes |= dict(zip(_CORRECTIVES, ((kept,), (kept, 9), (entries, 2), (entries, 3)), strict=True))
    for name, shape in shapes.items():
        if name not in arrays:
            raise BodyFileError(f"{source} is no body file: it has no {name}.")
        _check_array(name, arrays[name], shape, source)
    if arrays["parents"].tolist() != list(SMPL_PARENTS):
        raise BodyFileError(f"{source} has other joints than SMPL's 24.")
    if str(arrays["kind"]) not in ("bundled", "smpl"):
        raise BodyFileError(f"{source} is of an unknown kind.")
    points_to = {"faces": vertices, "marker_ids": vertices, "landmark_ids": vertices, "uv_faces": count("uv")}
    for name, end in points_to.items():
        if name in arrays and not (arrays[name].size and arrays[name].min() >= 0 and arrays[name].max() < end):
            raise BodyFileError(f"{source} is damaged: {name} points to vertices that it does not have.")
    if _CORRECTIVES[0] in arrays:
        _check_correctives(arrays, source)


def _check_correctives(arrays: dict[str, np.ndarray], source: str) -> None:
    joints, entries = arrays["corrective_joints"], arrays["corrective_entries"]
    ends = (len(joints), len(arrays["v_template"]))
    if ((joints < 1) | (joints >= len(SMPL_PARENTS))).any() or (entries < 0).any() or (entries >= ends).any():
        raise BodyFileError(f"{source} is damaged: its pose correctives point to what it does not have.")


def _check_array(name: str, array: np.ndarray, shape: tuple[int, ...], source: str) -> None:
    if array.shape != shape:
        raise BodyFileError(f"{source} is no body file: {name} has the shape {array.shape} instead of {shape}.")
    kinds = "U" if name in ("name", "kind") else "iu" if name in _INDICES else "f"
    if array.dtype.kind not in kinds:
        raise BodyFileError(f"{source} is no body file: {name} holds the wrong kind of values.")
    if kinds == "f" and not (np.abs(array) <= MAX_NUMBER).all():
        raise BodyFileError(f"{source} is damaged: {name} holds values that are no sensible numbers.")


def _fingerprint(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _cache_folder() -> Path:
    return user_cache_folder() / "refit" / "bodies"


def _write(path: Path, arrays: Mapping[str, Any]) -> None:
    """Writes an npz so that nobody ever sees half of it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_npz(path, arrays)
    except OSError as error:
        raise BodyFileError(f"The converted body cannot be kept in {path.parent}: {error.strerror}.") from error
