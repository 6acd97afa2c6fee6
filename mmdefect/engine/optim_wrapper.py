"""Mixed precision without a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from mmdefect.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """bfloat16 autocast on CPU; MMEngine's ``AmpOptimWrapper`` asserts a GPU.

    bfloat16 has the exponent range of float32, so no loss scaling is needed.

    Args:
        kwargs: Passed to :class:`mmengine.optim.OptimWrapper`; ``loss_scale`` and
            ``dtype``, which only the GPU's wrapper knows, are accepted and dropped.
    """

    def __init__(self, **kwargs: Any) -> None:
        kwargs.pop('loss_scale', None)
        kwargs.pop('dtype', None)
        super().__init__(**kwargs)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run the forward pass under bfloat16 autocast."""
        with super().optim_context(model), torch.autocast('cpu', dtype=torch.bfloat16):
            yield
