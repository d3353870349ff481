# SPDX-License-Identifier: GPL-3.0-or-later
"""Weight files: our own safetensors, and public ReFit checkpoints.

Both come from strangers. Safetensors hold no code; public checkpoints are pickles and are read by torch's
restricted unpickler, which knows tensors and the few numpy types that such files carry.
"""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import math
import mmap
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeGuard, cast, get_args

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from ..device import is_out_of_memory
from ..errors import WeightsFileError
from ..pickle_machine import Named, PickleError, PickleMachine, Stored
from .backbones import BACKBONES
from .backbones.blazepose import load_blazepose
from .keypoints import KEYPOINT_COUNTS, KeypointKind
from .low_rank import adapters_of, apply_adapters
from .refit import ReFit, ReFitConfig
from .update import UpdateKind

__all__ = ["BUNDLED_WEIGHTS", "WeightsInfo", "load_refit", "read_parts", "save_refit"]

BUNDLED_WEIGHTS = Path(__file__).parents[1] / "data" / "refit_compact.safetensors"
FORMAT, VERSION = "refit-weights", "1"
_ADAPTER = "backbone_change."
_MAKE_SCALAR = cast("Callable[..., Any]", np.float64(0).__reduce__()[0])  # what pickles of single numbers call
_NUMPY_SCALARS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_MAKE_SCALAR, "numpy.core.multiarray.scalar"),  # files written by numpy 1
    (_MAKE_SCALAR, "numpy._core.multiarray.scalar"),
    np.dtype,
    *(type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64, np.int32, np.bool_)),
]
_TORCH_FILES = (b"PK", b"\x80\x02")  # a zip archive, or a bare pickle of old versions
MAX_FILE = 4 << 30
MAX_RADIUS = 10
"""Of the look-up window: the published networks have 3, and parameters grow with the square."""
MAX_PICKLE = 1 << 26
_NUMBER_BYTES = {
    "DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2, "LongStorage": 8, "IntStorage": 4,
    "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1, "BoolStorage": 1,
}  # fmt: skip
_HRNETS = {384: "hrnet_w48", 256: "hrnet_w32"}
# A public checkpoint's body, and second names of tensors that it also holds under their first.
_NOT_OURS = ("smpl", "backbone.downsamples.")


@dataclass(frozen=True)
class WeightsInfo:
    """What a weights file says about itself."""

    name: str
    """The file's name without its ending."""
    config: ReFitConfig
    body: Literal["bundled", "smpl"]
    """The kind of body that the network was trained for."""


def load_refit(weights: Path | None = None, device: torch.device | str = "cpu") -> tuple[ReFit, WeightsInfo]:
    """The network of a weights file, in evaluation mode; None loads the bundled one.

    Raises WeightsFileError when the file is missing, damaged, no weights at all, or of another network.
    """
    path = Path(weights) if weights is not None else BUNDLED_WEIGHTS
    if not path.is_file():
        raise WeightsFileError(f"There is no weights file {path}.")
    if path.stat().st_size > MAX_FILE:
        raise WeightsFileError(f"{path.name} is too large for the weights of ReFit.")
    state, info = _read_safetensors(path) if _is_safetensors(path) else _read_checkpoint(path)
    model = _build(state, info, path)
    if not all(tensor.isfinite().all() for tensor in model.state_dict().values()):
        raise WeightsFileError(f"{path.name} holds values that are not finite numbers.")
    return model.to(device).eval(), info


def read_parts(weights: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What training goes on from, of a file that `save_refit` wrote: the network's parameters, and the adapters of its backbone.

    Raises WeightsFileError when the file is damaged or of another kind.
    """
    state, _ = _read_safetensors(weights)
    return _parts(state)


def save_refit(
    model: ReFit,
    path: Path,
    *,
    body: Literal["bundled", "smpl"],
    half: bool = False,
    notes: Mapping[str, str] | None = None,
) -> None:
    """Writes a weights file that `load_refit` reads; `half` stores float16, `notes` go into its metadata.

    A given backbone is left out: it has its own file beside the bundled weights. Of an adapted one the adapters are kept.
    """
    adapters = adapters_of(model.backbone)
    given = model.config.compact and (adapters or not any(p.requires_grad for p in model.backbone.parameters()))
    state = {
        name: tensor for name, tensor in model.state_dict().items() if not (given and name.startswith("backbone."))
    }
    state |= {_ADAPTER + name: tensor for name, tensor in adapters.items()}
    state = {
        name: (tensor.half() if half and tensor.is_floating_point() else tensor).detach().cpu().contiguous()
        for name, tensor in state.items()
    }
    metadata = {**(notes or {}), "format": FORMAT, "version": VERSION, "body": body}
    metadata["config"] = json.dumps(dataclasses.asdict(model.config))
    safetensors.torch.save_file(state, path, metadata)


def _is_safetensors(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], WeightsInfo]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}
    except (safetensors.SafetensorError, OSError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            raise MemoryError from error
        raise WeightsFileError(f"{path.name} is damaged or incomplete.") from error
    if metadata.get("format") != FORMAT:
        raise WeightsFileError(f"{path.name} is a safetensors file, but not of ReFit weights.")
    if metadata.get("version") != VERSION:
        raise WeightsFileError(f"{path.name} was written by a newer version of the engine.")
    try:
        config = _checked_config(json.loads(metadata["config"]))
        body = _checked_body(metadata["body"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise WeightsFileError(f"{path.name} does not say which network and body it is for.") from error
    state = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    return state, WeightsInfo(path.stem, config, body)


def _checked_body(body: str) -> Literal["bundled", "smpl"]:
    if body not in ("bundled", "smpl"):
        raise ValueError(body)
    return body


def _checked_config(values: dict[str, Any]) -> ReFitConfig:
    """The network that a file says it is for, before any memory is taken for it. Raises TypeError, ValueError."""
    config = ReFitConfig(**values)
    said = vars(config)  # a file's values, of whatever type
    sound = (
        config.backbone in BACKBONES
        and config.keypoints in KEYPOINT_COUNTS
        and config.update in get_args(UpdateKind)
        and config.feedback_camera in ("full", "crop")
        and config.map_head in ("conv3x3", "conv1x1")
        and type(said["radius"]) is int
        and 0 <= config.radius <= MAX_RADIUS
        and isinstance(said["keypoint_dropout"], int | float)
        and 0 <= config.keypoint_dropout <= 1
        and all(isinstance(said[name], bool) for name in ("landmark_feedback", "local_features", "exact_landmarks"))
    )
    if not sound:
        raise ValueError("the network is unknown")
    return config


def _read_checkpoint(path: Path) -> tuple[dict[str, Tensor], WeightsInfo]:
    with path.open("rb") as file:
        if not file.read(2).startswith(_TORCH_FILES):
            raise WeightsFileError(_why_unreadable(path))
        try:
            _check_memory(file, path.stat().st_size)
            file.seek(0)
            # The open file and not its path, since torch judges paths by their ending.
            with torch.serialization.safe_globals(_NUMPY_SCALARS):
                content = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # bytes that are no pickle make the unpickler raise nearly anything
            if is_out_of_memory(error):
                raise
            raise WeightsFileError(_why_unreadable(path)) from error
    given = content.get("model", content) if _is_dictionary(content) else None
    if not _is_dictionary(given) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in given.items()
    ):
        raise WeightsFileError(f"{path.name} is a torch file, but not a ReFit checkpoint.")
    tensors: dict[str, Tensor] = given
    state = {name: tensor for name, tensor in tensors.items() if not name.startswith(_NOT_OURS)}
    return state, WeightsInfo(path.stem, _published_config(state, path), "smpl")


def _is_dictionary(value: Any) -> TypeGuard[dict[Any, Any]]:
    return isinstance(value, dict)


def _check_memory(file: BinaryIO, size: int) -> None:
    """Raises where torch would take more memory than the file has bytes for, or never come to an end.

    A file of torch is an archive with a pickle that names the numbers' places in the other members; of old versions, it
    is five pickles with the numbers behind them.
    """
    file.seek(0)
    if file.read(2) == b"PK":
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            compressed = any(one.compress_type != zipfile.ZIP_STORED for one in members)
            if compressed or sum(one.file_size for one in members) > size:
                raise PickleError("it is compressed, which torch never does")
            (pickle,) = (one for one in members if one.filename.endswith("/data.pkl"))
            content, count = archive.read(pickle), 1
    else:
        file.seek(0)
        content, count = file.read(MAX_PICKLE), 4
    stream = io.BytesIO(content)
    stored: dict[Any, Stored] = {}
    for _ in range(count):
        machine = PickleMachine(lambda named: named)
        machine.run(stream)
        stored |= {reference.key[2]: reference for reference in machine.stored}
    if sum(_stored_bytes(reference) for reference in stored.values()) > size:
        raise PickleError("it has more numbers than bytes")


def _stored_bytes(reference: Stored) -> int:
    """The fewest bytes that a storage takes: a kind, class, key, place, and count of numbers."""
    _, kind, _, _, count = reference.key[:5]
    if not isinstance(kind, Named) or type(count) is not int or count < 0:
        raise PickleError("it is damaged")
    return count * _NUMBER_BYTES.get(kind.name, 1)


def _published_config(state: dict[str, Tensor], path: Path) -> ReFitConfig:
    """The published network's variant, from the shapes of its tensors."""
    kinds: dict[int, KeypointKind] = {count: kind for kind, count in KEYPOINT_COUNTS.items()}
    try:
        _, vector_size = state["init_layer.weight"].shape
        keypoints, _, window = state["flow_layer.weight"].shape
        radius = (math.isqrt(window) - 1) // 2
        if radius > MAX_RADIUS:
            raise ValueError(radius)
        return ReFitConfig(backbone=_HRNETS[vector_size], keypoints=kinds[keypoints], radius=radius)
    except (KeyError, ValueError) as error:
        raise WeightsFileError(f"{path.name} is a checkpoint of another network than ReFit.") from error


def _build(state: dict[str, Tensor], info: WeightsInfo, path: Path) -> ReFit:
    own_backbone = any(name.startswith("backbone.") for name in state)
    state, adapters = _parts(state)
    backbone = None
    try:
        if info.config.compact and not own_backbone:
            backbone = load_blazepose()
            apply_adapters(backbone, adapters)
            state |= {f"backbone.{name}": tensor for name, tensor in backbone.state_dict().items()}
        model = ReFit(info.config, backbone)
        model.load_state_dict(state)
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        raise WeightsFileError(f"{path.name} does not hold the tensors of the network that it is for.") from error
    return model


def _parts(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The network's tensors, and the adapters of its backbone."""
    adapters = {name.removeprefix(_ADAPTER): tensor for name, tensor in state.items() if name.startswith(_ADAPTER)}
    return {name: tensor for name, tensor in state.items() if not name.startswith(_ADAPTER)}, adapters


def _why_unreadable(path: Path) -> str:
    """One sentence for a file that torch could not load as weights."""
    with path.open("rb") as file:
        start = file.read(16)
        if not start:
            return f"{path.name} is empty."
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if content.find(b"v_template") >= 0:
                return f"{path.name} is an SMPL body: choose it as the body, not as the weights."
    if start.startswith(b"PK"):
        return f"{path.name} is damaged, or an archive that holds no weights."
    if start.startswith(b"\x80"):
        return f"{path.name} is a pickle that holds more than tensors, so it was not opened."
    return f"{path.name} is not a weights file: it is neither safetensors nor a torch checkpoint."
