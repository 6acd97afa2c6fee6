"""Convolutions in the memory order that they are fastest in."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdefect.registry import HOOKS
from mmdefect.utils.modules import unwrapped


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Puts the weights of a convolutional model into channels-last order.

    Activations follow by themselves, numbers stay the same to rounding, and checkpoints
    do not depend on it. Worth it on a GPU in half precision and, for depthwise
    convolutions and few channels (MobileNetV2, LUNA), on a CPU. Images stay as they
    are: a batch norm of three channels, LUNA's first layer, is slow in this order.
    """

    priority = 'VERY_LOW'

    def before_run(self, runner: Runner) -> None:
        """Reorder in place: the optimizer holds these very parameters."""
        # torch's types do not know this argument alone.
        model: Any = unwrapped(runner)
        model.to(memory_format=torch.channels_last)
