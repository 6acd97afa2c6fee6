"""Cut a network to a channel plan: smaller tensors, the same computation."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmdefect.pruning.channels.plan import ChannelPlan, Kept, LayerCut, indices_kept
from mmdefect.utils.modules import evaluating


def rebuild(model: nn.Module, plan: ChannelPlan) -> nn.Module:
    """Return a cut copy of a network; the network itself stays whole.

    Args:
        model: A network whose layers the plan names.
        plan: What stays. Of a plan that knows widths only the weights mean nothing.

    Raises:
        ValueError: The plan does not fit the network.
    """
    smaller = copy.deepcopy(model)
    cut_in_place(smaller, plan)
    return smaller


def cut_in_place(model: nn.Module, plan: ChannelPlan) -> None:
    """Cut a network to a plan; see :func:`rebuild`."""
    found = {name: _find(model, name) for name in plan.layers}
    # All before any is cut: whoever is refused keeps a network that works.
    for name, cut in plan.layers.items():
        _check(found[name][1], name, cut)
    for name, cut in plan.layers.items():
        parent, target = found[name]
        if isinstance(target, nn.Parameter):
            kept = _index(cut.out, target.device)
            setattr(parent, name.rpartition('.')[2], _cut(target, kept, None))
        else:
            before = channels_of(target, 'in')
            _cut_module(target, cut)
            # A head knows how many features its linear layer takes.
            owner: Any = parent if isinstance(target, nn.Linear) else None
            if getattr(owner, 'in_channels', None) == before:
                owner.in_channels = target.in_features


def reset_norms(model: nn.Module) -> None:
    """Set batch norms to scale 1, shift 0, mean 0 and variance 1, as FTL's release."""
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.reset_parameters()


def channels_of(target: Any, side: str) -> int:
    """Count the channels of one side of a layer."""
    if isinstance(target, nn.Conv2d):
        return target.out_channels if side == 'out' else target.in_channels
    if isinstance(target, nn.Linear):
        return target.out_features if side == 'out' else target.in_features
    if isinstance(target, nn.Parameter):
        return target.shape[0]
    return target.weight.shape[0]


def check_sliceable(target: Any, name: str) -> None:
    """Refuse what no channel can be taken from.

    Raises:
        ValueError: Naming the layer and why.
    """
    reason = None
    if isinstance(target, nn.Conv2d):
        depthwise = target.groups == target.in_channels == target.out_channels
        if target.groups > 1 and not depthwise:
            reason = f'a convolution in {target.groups} groups'
    elif isinstance(target, nn.Parameter):
        if target.ndim != 1:
            reason = f'a bare parameter of shape {tuple(target.shape)}'
    elif isinstance(target, nn.LayerNorm):
        if len(target.normalized_shape) != 1 or not target.elementwise_affine:
            reason = 'a layer norm over more than channels'
    elif not isinstance(target, (nn.Linear, _BatchNorm)) or (
        isinstance(target, _BatchNorm) and not target.affine
    ):
        reason = f'a {type(target).__name__}'
    if reason is not None:
        raise ValueError(
            f'{name} is {reason}: expected convolutions, depthwise ones, linear '
            'layers, batch and layer norms; leave the layers before it out '
            '(prune.protect)'
        )


def _find(model: nn.Module, name: str) -> tuple[nn.Module, Any]:
    """The module or parameter of a name, and what it belongs to."""
    parent_name, _, leaf = name.rpartition('.')
    try:
        parent = model.get_submodule(parent_name)
        return parent, getattr(parent, leaf)
    except AttributeError as error:
        raise ValueError(
            f'{name}: expected a plan that was made of this architecture, '
            f'{type(model).__name__} does not have this layer'
        ) from error


def _check(target: Any, name: str, cut: LayerCut) -> None:
    check_sliceable(target, name)
    if cut.into is not None and not isinstance(target, (nn.Conv2d, nn.Linear)):
        raise ValueError(
            f'{name}: expected a cut of its outputs only, inputs and outputs of a '
            f'{type(target).__name__} are the same channels'
        )
    for side, total in (('out', cut.out_of), ('in', cut.into_of)):
        if total is not None and total != channels_of(target, side):
            raise ValueError(
                f'{name}: expected {channels_of(target, side)} channels ({side}), the '
                f'plan was made of a network with {total}; give a plan of this '
                'architecture and, for flattened maps, of this image size'
            )


def _cut_module(module: Any, cut: LayerCut) -> None:
    out = _index(cut.out, module.weight.device)
    into = _index(cut.into, module.weight.device)
    if isinstance(module, nn.Conv2d) and module.groups > 1:
        into = None  # a depthwise filter has one input of its own
    module.weight = _cut(module.weight, out, into)
    if module.bias is not None:
        module.bias = _cut(module.bias, out, None)
    has_statistics = isinstance(module, _BatchNorm) and module.track_running_stats
    if has_statistics and out is not None:
        module.running_mean = module.running_mean[out].clone()
        module.running_var = module.running_var[out].clone()
    _note_sizes(module)


def _note_sizes(module: Any) -> None:
    """Set what a layer says of itself to the size of its weight."""
    size = module.weight.shape[0]
    if isinstance(module, nn.Conv2d):
        if module.groups > 1:
            module.groups = module.in_channels = size
        else:
            module.in_channels = module.weight.shape[1]
        module.out_channels = size
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, _BatchNorm):
        module.num_features = size
    else:
        module.normalized_shape = (size,)
        if hasattr(module, 'num_channels'):  # mmpretrain's LayerNorm2d
            module.num_channels = size


def _index(kept: Kept | None, device: torch.device) -> Tensor | None:
    if kept is None:
        return None
    return torch.tensor(indices_kept(kept), device=device)


def _cut(value: nn.Parameter, out: Tensor | None, into: Tensor | None) -> nn.Parameter:
    data = value.detach()
    if out is not None:
        data = data[out]
    if into is not None:
        data = data[:, into]
    return nn.Parameter(data.clone(), requires_grad=value.requires_grad)


def feature_widths(model: nn.Module, images: Tensor) -> Sequence[int]:
    """Count the channels of each map of a backbone for images ``(N, 3, H, W)``."""
    with evaluating(model), torch.no_grad():
        return [level.shape[1] for level in model(images)]
