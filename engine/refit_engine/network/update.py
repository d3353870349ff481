# SPDX-License-Identifier: GPL-3.0-or-later
"""The recurrent update (paper, Sec. 3.3): one GRU per joint, one for the shape, one for the camera.

Parameters are stored under the published names, one small module per stream group. To run, they are fused
once per forward pass into a few large matrices (`fuse`), so that a step is a handful of matrix products.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

JOINTS = 24
STREAMS = JOINTS + 2
"""Joints, then shape, then camera."""
HIDDEN = 32
POSE, BETAS, CAM = JOINTS * 6, 10, 3
STATE = POSE + BETAS + CAM

UpdateKind = Literal["parallel", "single"]


class StreamLinear(nn.Module):
    """One linear map per stream: weight [streams,out,in]; without `streams`, one map [out,in]."""

    def __init__(self, streams: int | None, inputs: int, outputs: int) -> None:
        super().__init__()
        lead = () if streams is None else (streams,)
        bound = inputs**-0.5
        self.weight = nn.Parameter(torch.empty(*lead, outputs, inputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(*lead, outputs))


class StreamGRU(nn.Module):
    """Gates and candidate of one group of streams; each reads [h, x]."""

    def __init__(self, streams: int | None, hidden: int, inputs: int) -> None:
        super().__init__()
        self.lz = StreamLinear(streams, hidden + inputs, hidden)
        self.lr = StreamLinear(streams, hidden + inputs, hidden)
        self.lq = StreamLinear(streams, hidden + inputs, hidden)


class FusedGRU(NamedTuple):
    """Weights of S streams with H hidden values each, that all read the same x [B,X]."""

    input_weight: Tensor  # [S·3H,X], per stream z, r, q
    input_bias: Tensor  # [S·3H]
    gate_weight: Tensor  # [S,H,2H]
    candidate_weight: Tensor  # [S,H,H]

    def start(self, like: Tensor) -> Tensor:
        """The zero hidden state [S,B,H] for a batch as long as `like` [B,…]."""
        streams, size, _ = self.candidate_weight.shape
        return like.new_zeros(streams, len(like), size)

    def step(self, hidden: Tensor, x: Tensor) -> Tensor:
        """One GRU step: `hidden` [S,B,H] and `x` [B,X] to the next hidden state [S,B,H]."""
        streams, size, _ = self.candidate_weight.shape
        from_x = F.linear(x, self.input_weight, self.input_bias)
        per_stream = from_x.view(-1, streams, 3 * size).transpose(0, 1)
        gates_x, candidate_x = torch.split(per_stream, [2 * size, size], dim=2)
        z, r = torch.baddbmm(gates_x, hidden, self.gate_weight).sigmoid().chunk(2, dim=2)
        q = torch.baddbmm(candidate_x, r * hidden, self.candidate_weight).tanh()
        return torch.lerp(hidden, q, z)


class UpdateBlock(nn.Module):
    """26 GRUs side by side: no stream sees another's hidden state."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.pose_gru = StreamGRU(JOINTS, HIDDEN, inputs)
        self.shape_gru = StreamGRU(None, HIDDEN, inputs)
        self.cam_gru = StreamGRU(None, HIDDEN, inputs)

    def fuse(self) -> FusedGRU:
        return _fuse_gru([self.pose_gru, self.shape_gru, self.cam_gru])


class SingleUpdateBlock(nn.Module):
    """The paper's ablation: one GRU with as many hidden values as the 26 have together."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.gru = StreamGRU(None, STREAMS * HIDDEN, inputs)

    def fuse(self) -> FusedGRU:
        return _fuse_gru([self.gru])


def streams(hidden: Tensor) -> Tensor:
    """A flat [B,832] or a GRU's [S,B,H] hidden state as the regressor reads it: [26,B,32]."""
    flat = hidden if hidden.dim() == 2 else hidden.transpose(0, 1)
    return flat.reshape(len(flat), STREAMS, HIDDEN).transpose(0, 1)


class FusedRegressor(NamedTuple):
    """The regressor of all streams as two matrix products."""

    hidden_weight: Tensor  # [26,32,32]
    bbox_weight: Tensor  # [26,3,32]
    bias: Tensor  # [26,1,32]
    decoder_weight: Tensor  # [157,26·32], block diagonal
    decoder_bias: Tensor  # [157]

    def box_term(self, bbox: Tensor) -> Tensor:
        """The part that stays the same in all iterations: `bbox` [B,3] to [26,B,32]."""
        return bbox @ self.bbox_weight + self.bias

    def __call__(self, hidden: Tensor, box_term: Tensor) -> Tensor:
        """Hidden states [26,B,32] to the step [B,157] of pose, betas and camera."""
        features = torch.baddbmm(box_term, hidden, self.hidden_weight).relu()
        return F.linear(features.transpose(0, 1).flatten(1), self.decoder_weight, self.decoder_bias)


class Regressor(nn.Module):
    """From a stream's hidden state and the box to the change of its parameters; shared by all iterations."""

    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Sequential(StreamLinear(JOINTS, HIDDEN + 3, HIDDEN))
        self.s = nn.Sequential(StreamLinear(None, HIDDEN + 3, HIDDEN))
        self.c = nn.Sequential(StreamLinear(None, HIDDEN + 3, HIDDEN))
        self.decpose = StreamLinear(JOINTS, HIDDEN, 6)
        self.decshape = StreamLinear(None, HIDDEN, BETAS)
        self.deccam = StreamLinear(None, HIDDEN, CAM)
        for decoder in (self.decpose, self.decshape, self.deccam):
            nn.init.uniform_(decoder.weight, -0.01, 0.01)  # an untrained update must not throw the state away

    def fuse(self) -> FusedRegressor:
        layers = [layer for layer in (*self.p, *self.s, *self.c) if isinstance(layer, StreamLinear)]
        weight, bias = _stack(layers)
        decoders = [*self.decpose.weight, self.decshape.weight, self.deccam.weight]
        biases = [self.decpose.bias.flatten(), self.decshape.bias, self.deccam.bias]
        return FusedRegressor(
            hidden_weight=weight[:, :, :HIDDEN].transpose(1, 2).contiguous(),
            bbox_weight=weight[:, :, HIDDEN:].transpose(1, 2).contiguous(),
            bias=bias[:, None],
            decoder_weight=torch.block_diag(*decoders),
            decoder_bias=torch.cat(biases),
        )


def _stack(layers: list[StreamLinear]) -> tuple[Tensor, Tensor]:
    """Weights [S,out,in] and biases [S,out] of several groups of streams, in order."""
    weights = [layer.weight.view(-1, *layer.weight.shape[-2:]) for layer in layers]
    biases = [layer.bias.view(-1, layer.bias.shape[-1]) for layer in layers]
    return torch.cat(weights), torch.cat(biases)


def _fuse_gru(groups: list[StreamGRU]) -> FusedGRU:
    z, z_bias = _stack([group.lz for group in groups])
    r, r_bias = _stack([group.lr for group in groups])
    q, q_bias = _stack([group.lq for group in groups])
    hidden = z.shape[1]
    from_input = torch.cat([z, r, q], dim=1)[:, :, hidden:]
    gates = torch.cat([z, r], dim=1)[:, :, :hidden]
    return FusedGRU(
        input_weight=from_input.reshape(-1, from_input.shape[2]),
        input_bias=torch.cat([z_bias, r_bias, q_bias], dim=1).flatten(),
        gate_weight=gates.transpose(1, 2).contiguous(),
        candidate_weight=q[:, :, :hidden].transpose(1, 2).contiguous(),
    )
