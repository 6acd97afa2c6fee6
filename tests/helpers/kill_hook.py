"""A hook that kills its own process where an environment variable says so."""

from __future__ import annotations

import os
import signal

from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class KillHook(Hook):
    """SIGKILL in epoch and iteration of ``KILL_AT=<step>,<epoch>,<iteration>``."""

    def __init__(self, step: int = 0) -> None:
        self.step = step

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        here = f'{self.step},{runner.epoch},{batch_idx}'
        if os.environ.get('KILL_AT') == here:
            os.kill(os.getpid(), signal.SIGKILL)
