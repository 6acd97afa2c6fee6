"""Hooks that every run of ours has, whatever its config says."""

from __future__ import annotations

from mmengine.runner import Runner

from mmdefect.engine.hooks.exact_checkpoint import ExactCheckpointHook
from mmdefect.engine.hooks.finite_loss import FiniteLossHook
from mmdefect.engine.hooks.pretrained import PairingHook
from mmdefect.engine.hooks.resumed_validation import CatchUpHook, ResumedValidationHook
from mmdefect.engine.hooks.room import RoomHook
from mmdefect.engine.hooks.same_bits import SameBitsHook

GUARDS = (
    ExactCheckpointHook,
    FiniteLossHook,
    PairingHook,
    SameBitsHook,
    RoomHook,
    ResumedValidationHook,
    CatchUpHook,
)


def guarded(runner: Runner) -> Runner:
    """Give a Runner the hooks that refuse what cannot go well, and catch up.

    Wrong weights, or for images of another kind, wrong depths, losses that are no
    numbers, full disks; validations that were cut short. Not by its config: they
    compute nothing, so a stream that was started without them still has the config
    that it resumes with.
    """
    for kind in GUARDS:
        if not any(isinstance(hook, kind) for hook in runner.hooks):
            runner.register_hook(kind())
    return runner
