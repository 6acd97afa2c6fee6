"""From a config to what trains and tests it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmengine.config import Config

if TYPE_CHECKING:
    from mmengine.runner import Runner

    from mmdefect.streams.runner import StreamRunner


def build_runner(cfg: Config) -> Runner | StreamRunner | Any:
    """Build the runner that the config names; MMEngine's ``Runner`` if it names none.

    Process groups work without a GPU, and checkpoints are loaded as tensors only.
    """
    from mmengine.registry import RUNNERS
    from mmengine.runner import Runner

    from mmdefect.compat import check_provider
    from mmdefect.engine.distributed import prepare_distributed
    from mmdefect.streams.runtime import drop_absent_hooks
    from mmdefect.utils.checkpoint import use_safe_loading
    from mmdefect.utils.console import quiet_console

    check_provider(('mmengine', 'mmcv'))
    quiet_console()
    use_safe_loading()
    prepare_distributed(cfg)
    if 'runner_type' in cfg:
        return RUNNERS.build(cfg)
    drop_absent_hooks(cfg)
    return Runner.from_cfg(cfg)


def finish() -> None:
    """End a process of a CPU group cleanly; does nothing elsewhere."""
    from mmdefect.engine.distributed import leave_process_group

    leave_process_group()
