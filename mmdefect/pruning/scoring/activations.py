"""What filters show for a batch: the maps that the next layers see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import activation
from torch.nn.modules.batchnorm import _BatchNorm

from mmdefect.utils.modules import evaluating

_ACTIVATIONS = tuple(
    getattr(activation, name)
    for name in activation.__all__
    if name != 'MultiheadAttention'
)
# mmcv writes two of them anew.
_ACTIVATION_NAMES = ('Swish', 'HSwish')


class StopForwardError(Exception):
    """Raised to end a forward pass whose rest is not needed."""


class ActivationRecorder:
    """Remembers the maps of some layers during one forward pass.

    A map is taken behind the filter's activation function, and behind the batch norm
    between them: conv, norm, ReLU as well as conv, ReLU, norm are recorded at the ReLU
    (FTL scores "right after its ReLU"). Without an activation function it is taken
    behind the norm. Where a network adds up in place before a ReLU, the map is the sum.

    Args:
        model: Any network.
        layers: Names of convolutions or of linear layers over channels-last maps.
        stop_after: A layer behind whose activation the rest is not computed.
    """

    def __init__(
        self, model: nn.Module, layers: Sequence[str], *, stop_after: str | None = None
    ) -> None:
        self.model = model
        self.layers = list(layers)
        self.stop_after = stop_after
        self._maps: dict[str, Tensor] = {}
        # Whose map a tensor is, by identity: a module may run twice in a forward pass.
        self._owner: dict[int, str] = {}
        self._ended: set[str] = set()

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record the forward passes within."""
        self._maps, self._owner, self._ended = {}, {}, set()
        wanted = set(self.layers)
        handles = []
        for name, module in self.model.named_modules():
            if name in wanted:
                handles.append(module.register_forward_hook(self._begin(name)))
            elif isinstance(module, _BatchNorm) or is_activation(module):
                handles.append(module.register_forward_hook(self._follow))
        try:
            yield
        except StopForwardError:
            pass
        finally:
            for handle in handles:
                handle.remove()

    def maps(self) -> dict[str, Tensor]:
        """Maps by layer, each ``(N, C, h, w)``; vectors are left out."""
        return {
            name: channels_first(value, self.model.get_submodule(name))
            for name, value in self._maps.items()
            if value.ndim == 4
        }

    def raw(self) -> dict[str, Tensor]:
        """The recorded tensors as they were computed, for gradients."""
        return {name: value for name, value in self._maps.items() if value.ndim == 4}

    def _begin(self, name: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Tensor) -> None:
            # The layer may run twice; of a tensor that is gone, the identity is free.
            self._owner = {k: v for k, v in self._owner.items() if v != name}
            self._ended.discard(name)
            self._remember(name, output)

        return hook

    def _remember(self, name: str, output: Tensor) -> None:
        self._maps[name] = output
        self._owner[id(output)] = name

    def _follow(self, module: nn.Module, args: Any, output: Any) -> None:
        name = self._owner.get(id(args[0])) if args else None
        if name is None or name in self._ended:
            return
        del self._owner[id(args[0])]
        self._remember(name, output)
        if is_activation(module):
            self._ended.add(name)
            if name == self.stop_after:
                raise StopForwardError


def is_activation(module: nn.Module) -> bool:
    """Tell whether a module is an activation function."""
    name = type(module).__name__
    return isinstance(module, _ACTIVATIONS) or name in _ACTIVATION_NAMES


def channels_first(maps: Tensor, layer: nn.Module) -> Tensor:
    """Move a linear layer's channels, which are last, behind the batch."""
    return maps.permute(0, 3, 1, 2) if isinstance(layer, nn.Linear) else maps


def filter_layers(model: nn.Module, images: Tensor, *, below: str = '') -> list[str]:
    """List convolutions, and linear layers that give maps, in order of running.

    Args:
        model: The network.
        images: An input, shape ``(1, 3, H, W)``.
        below: Name of the module that is searched, such as ``'backbone'``.
    """
    order: list[str] = []
    start = model.get_submodule(below)

    def hook(name: str) -> Any:
        def note(module: nn.Module, args: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.ndim == 4 and name not in order:
                order.append(name)

        return note

    handles = [
        module.register_forward_hook(hook(f'{below}.{name}' if below else name))
        for name, module in start.named_modules()
        if isinstance(module, (nn.Conv2d, nn.Linear))
    ]
    try:
        with evaluating(start), torch.no_grad():
            start(images)
    finally:
        for handle in handles:
            handle.remove()
    return order
