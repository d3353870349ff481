# SPDX-License-Identifier: GPL-3.0-or-later
"""The same network, arranged to run fast."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .geometry import CROP_SIZE
from .modules import named_modules
from .packed import can_pack, pack_convolutions
from .refit import ReFit
from .winograd import WinogradConv2d

# Layers on maps of 32×32 and more; with fewer channels, Winograd's transforms cost what its products save.
_LARGE_MAPS = ("corr_layer.", "backbone.upsample_stage_")
_WIDE = 192


def prepare_for_inference(model: ReFit) -> ReFit:
    """Rearranges a trained network in place for the device that it is on; results stay the same to 1e-4.

    Batch norms go into the convolutions before them, convolutions run with channels last, and the update's
    weights stay packed. On processors, wide convolutions run by Winograd's algorithm and the others with
    packed weights. Returns the model, which from now on can neither be trained nor moved.
    """
    model.eval().requires_grad_(False)
    _fold_batch_norms(model)
    # PyTorch's own types know no memory_format of whole modules.
    model.backbone.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    model.freeze_update()
    if model.init_pose.device.type == "cpu":
        _use_winograd(model)
        if can_pack():
            crop = torch.zeros(1, 3, CROP_SIZE, CROP_SIZE)
            with torch.inference_mode():
                pack_convolutions(model, lambda: model.encode(crop))
    return model


def _fold_batch_norms(module: nn.Module) -> None:
    """A batch norm normalises what the convolution registered just before it gives."""
    children = list(module.named_children())
    for (before_name, before), (name, child) in pairwise(children):
        if isinstance(child, nn.BatchNorm2d) and isinstance(before, nn.Conv2d):
            setattr(module, before_name, fuse_conv_bn_eval(before, child))
            if isinstance(module, nn.Sequential):
                delattr(module, name)
            else:
                setattr(module, name, nn.Identity())
    for child in module.children():
        _fold_batch_norms(child)


def _use_winograd(model: ReFit) -> None:
    for name, module in list(named_modules(model)):
        if not (name.startswith(_LARGE_MAPS) and isinstance(module, nn.Conv2d)):
            continue
        if module.kernel_size == (3, 3) and module.in_channels >= _WIDE:
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, WinogradConv2d(module))
