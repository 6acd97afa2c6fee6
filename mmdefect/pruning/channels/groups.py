"""Channels that must be kept or dropped together, found by tracing the network.

A filter's output is the input of later layers, runs through batch norms, and is added
to the outputs of other filters at a residual connection. Torch-Pruning's dependency
graph (Fang et al., DepGraph: Towards Any Structural Pruning, CVPR 2023) knows which;
here it only answers questions, what is cut is cut by
:mod:`mmdefect.pruning.channels.rebuild`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mmdefect.pruning.channels.plan import ChannelPlan, LayerCut, complement
from mmdefect.pruning.channels.rebuild import channels_of, check_sliceable

OUT, IN = 'out', 'in'


@dataclass(frozen=True, kw_only=True)
class Member:
    """One side of a layer that a group reaches.

    Attributes:
        layer: Name of the module or parameter.
        side: ``'out'`` or ``'in'``.
        index: Its channels in the order of the group's: as many, or a multiple where
            a map was flattened.
        total: How many channels this side has in all; concatenation joins groups.
    """

    layer: str
    side: str
    index: tuple[int, ...]
    total: int

    def of(self, channels: Sequence[int], size: int) -> list[int]:
        """Its indices of some of the group's channels."""
        repeat = len(self.index) // size
        return [
            self.index[channel * repeat + step]
            for channel in channels
            for step in range(repeat)
        ]


@dataclass(frozen=True, kw_only=True)
class ChannelGroup:
    """Channels that stay or go together.

    Attributes:
        name: The first layer that makes them.
        channels: How many there are.
        members: All that they reach.
        filters: Names of the layers whose filters make them; more than one where
            residual connections add them up.
    """

    name: str
    channels: int
    members: tuple[Member, ...]
    filters: tuple[str, ...]

    def makers(self) -> set[str]:
        """All layers whose outputs are these channels, scored or not."""
        return {member.layer for member in self.members if member.side == OUT}

    def gathered(self, scores: Mapping[str, Tensor]) -> Tensor:
        """Score of each channel over the filters that make it, shape ``(C,)``.

        Of several layers the mean, each divided by its mean size first: where maps are
        added up, the layer with the largest numbers would decide alone otherwise.
        """
        found = [
            scores[member.layer].double()[list(member.index)]
            for member in self.members
            if member.side == OUT and member.layer in self.filters
        ]
        if len(found) == 1:
            return found[0]
        sizes = [float(one.abs().mean()) or 1.0 for one in found]
        return torch.stack(
            [one / size for one, size in zip(found, sizes, strict=True)]
        ).mean(dim=0)


def trace_groups(
    model: nn.Module, example: Tensor, *, layers: Sequence[str], forward: Any = None
) -> list[ChannelGroup]:
    """Find the groups that some layers' filters belong to.

    Args:
        model: The network; it is copied and not changed.
        example: An input, shape ``(1, 3, H, W)``; flattened maps depend on its size.
        layers: Names of convolutions and linear layers, in order; a layer whose group
            an earlier one began belongs to that one.
        forward: How the copy is called, ``forward(model, example)``; by default as a
            function.

    Raises:
        ImportError: Torch-Pruning is not installed.
        ValueError: The network cannot be traced, or a group reaches a module that
            cannot be cut.
    """
    graph, traced = _dependency_graph(model, example, forward)
    names = {id(module): name for name, module in traced.named_modules()}
    names |= {id(value): name for name, value in traced.named_parameters()}
    groups: list[ChannelGroup] = []
    known: set[str] = set()
    for name in layers:
        if name in known:
            continue
        group = _group(graph, traced, names, name, set(layers))
        known.update(group.filters)
        groups.append(group)
    return groups


def _dependency_graph(
    model: nn.Module, example: Tensor, forward: Any
) -> tuple[Any, nn.Module]:
    try:
        import torch_pruning
    except ImportError as error:
        raise ImportError(
            'torch_pruning: expected the package torch-pruning; '
            'pip install torch-pruning'
        ) from error
    # One by one: the backbones of mmpretrain and mmdet return nothing from train().
    traced = copy.deepcopy(model)
    traced.eval()
    traced.requires_grad_(True)
    graph = torch_pruning.DependencyGraph()
    try:
        # Its hooks watch a forward pass; what it finds strange, it says by warnings.
        graph.build_dependency(
            traced,
            example_inputs=example,
            # By itself it would call the network on the first image without its batch.
            forward_fn=forward or (lambda network, images: network(images)),
            verbose=False,
        )
    # Whatever a strange network makes it raise, the network is what is to be named.
    except Exception as error:
        raise ValueError(
            f'{type(getattr(model, "backbone", model)).__name__}: expected a network '
            'whose forward pass is made of PyTorch modules and differentiable '
            f'functions; tracing it failed with {type(error).__name__}: {error}'
        ) from error
    return graph, traced


def _group(
    graph: Any, traced: nn.Module, names: Mapping[int, str], name: str, layers: set[str]
) -> ChannelGroup:
    module = traced.get_submodule(name)
    if module not in graph.module2node:
        raise ValueError(
            f'{name}: expected a layer that the outputs depend on by gradients; '
            'remove detach() in between'
        )
    size = channels_of(module, OUT)
    reach = _Reach(graph, module, names)
    together = reach.of(range(size))
    alone = {channel: reach.of([channel]) for channel in {0, size - 1}}
    members = []
    for (layer, side), index in together.items():
        target = reach.targets[layer]
        check_sliceable(target, layer)
        # The graph sorts what a layer takes more than once: there, channel by channel.
        fine = len(index) == size and all(
            found.get((layer, side)) == (index[channel],)
            for channel, found in alone.items()
        )
        if not fine:
            for channel in range(size):
                if channel not in alone:
                    alone[channel] = reach.of([channel])
            rows = [alone[channel].get((layer, side), ()) for channel in range(size)]
            index = tuple(place for row in rows for place in row)
            if len({len(row) for row in rows}) > 1 or len(set(index)) < len(index):
                raise ValueError(
                    f'{name}: expected its {size} channels to lead one by one to the '
                    f'{len(set(index))} of {layer}; leave {name} out (prune.protect)'
                )
        members.append(
            Member(layer=layer, side=side, index=index, total=channels_of(target, side))
        )
    filters = [m.layer for m in members if m.side == OUT and m.layer in layers]
    return ChannelGroup(
        name=name, channels=size, members=tuple(members), filters=tuple(filters)
    )


class _Reach:
    """What some channels of one layer reach; names are by identity."""

    def __init__(self, graph: Any, module: nn.Module, names: Mapping[int, str]) -> None:
        self.graph = graph
        self.module = module
        self.names = names
        self.targets: dict[str, Any] = {}

    def of(self, channels: Sequence[int]) -> dict[tuple[str, str], tuple[int, ...]]:
        """Layer and side -> which of its channels."""
        pruner = self.graph.get_pruner_of_module(self.module)
        found = self.graph.get_pruning_group(
            self.module, pruner.prune_out_channels, list(channels)
        )
        reached: dict[tuple[str, str], tuple[int, ...]] = {}
        for dependency, index in found:
            target = dependency.target.module
            layer = self.names.get(id(target))
            if layer is None:  # an operation without weights
                _check_operation(dependency.target, self.names[id(self.module)])
                continue
            out = self.graph.is_out_channel_pruning_fn(dependency.handler)
            side = OUT if out or _passes_through(target) else IN
            self.targets[layer] = target
            reached.setdefault((layer, side), tuple(map(int, index)))
        return reached


def _check_operation(node: Any, name: str) -> None:
    """Refuse a shuffle of channels, which the graph takes for element-wise."""
    step = node.grad_fn
    moves = step is not None and step.name().startswith(('Transpose', 'Permute'))
    if moves and any(len(given.shape) > 4 for given in step._input_metadata):
        raise ValueError(
            f'{name}: expected channels that are not shuffled before they are used; '
            f'leave {name} out (prune.protect)'
        )


def _passes_through(target: Any) -> bool:
    """Tell whether a layer's inputs are its outputs, channel by channel."""
    depthwise = isinstance(target, nn.Conv2d) and target.groups > 1
    return depthwise or not isinstance(target, (nn.Conv2d, nn.Linear))


def make_plan(
    groups: Sequence[ChannelGroup],
    kept: Mapping[str, Sequence[int]],
    origin: Mapping[str, Any] | None = None,
) -> ChannelPlan:
    """Turn kept channels of groups into cuts of layers.

    Raises:
        ValueError: A group keeps nothing.
    """
    dropped: dict[tuple[str, str], set[int]] = {}
    totals: dict[tuple[str, str], int] = {}
    for group in groups:
        if group.name not in kept:
            continue
        if not kept[group.name]:
            raise ValueError(
                f'{group.name}: expected at least one of {group.channels} channels to '
                'stay; raise the share, or set prune.keep.min_channels'
            )
        gone = complement(kept[group.name], group.channels)
        for member in group.members:
            place = member.layer, member.side
            totals[place] = member.total
            dropped.setdefault(place, set()).update(member.of(gone, group.channels))
    cuts: dict[str, dict[str, Any]] = {}
    for (layer, side), gone_here in dropped.items():
        if gone_here:
            cut = cuts.setdefault(layer, {})
            cut['out' if side == OUT else 'into'] = complement(
                gone_here, totals[layer, side]
            )
            cut['out_of' if side == OUT else 'into_of'] = totals[layer, side]
    layers = {name: LayerCut(**cut) for name, cut in cuts.items()}
    return ChannelPlan(layers=layers, origin=dict(origin or {}))
