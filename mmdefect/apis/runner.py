"""From a config to what trains and tests it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmengine.config import Config

if TYPE_CHECKING:
    from mmengine.runner import Runner

    from mmdefect.streams.runner import StreamRunner


def build_runner(cfg: Config) -> Runner | StreamRunner | Any:
    """Build the runner that the config names; MMEngine's ``Runner`` if it names none.

    Process groups work without a GPU, checkpoints are loaded as tensors only, and a
    detector needs as many classes as its data.
    """
    from mmengine.registry import RUNNERS
    from mmengine.runner import Runner

    from mmdefect.compat import check_provider
    from mmdefect.engine.distributed import prepare_distributed
    from mmdefect.streams.runtime import drop_absent_hooks
    from mmdefect.utils.checkpoint import use_safe_loading

    check_provider(('mmengine', 'mmcv'))
    use_safe_loading()
    prepare_distributed(cfg)
    if 'runner_type' in cfg:
        return RUNNERS.build(cfg)
    drop_absent_hooks(cfg)
    runner = Runner.from_cfg(cfg)
    runner.register_hook({'type': 'mmdefect.ClassCountHook'})
    return runner


def finish() -> None:
    """End a process of a CPU group cleanly; does nothing elsewhere."""
    from mmdefect.engine.distributed import leave_process_group

    leave_process_group()
