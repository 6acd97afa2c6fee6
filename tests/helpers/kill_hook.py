"""A hook that ends its own process where an environment variable says so."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class KillHook(Hook):
    """SIGKILL in epoch and iteration of ``KILL_AT=<step>,<epoch>,<iteration>``.

    ``KILL_RANK`` names the only process that dies, ``KILL_NOTE`` a file that tells
    when, and ``KILL_WORDS`` a sentence to raise instead.
    """

    def __init__(self, step: int = 0) -> None:
        self.step = step

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        here = f'{self.step},{runner.epoch},{batch_idx}'
        rank = os.environ.get('RANK', '0')
        if os.environ.get('KILL_AT') != here:
            return
        if os.environ.get('KILL_RANK', rank) != rank:
            return
        if note := os.environ.get('KILL_NOTE'):
            Path(note).touch()
        if words := os.environ.get('KILL_WORDS'):
            raise ValueError(words)
        os.kill(os.getpid(), signal.SIGKILL)
