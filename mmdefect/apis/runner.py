"""From a config to what trains and tests it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from mmengine.config import Config

from mmdefect.utils.interrupts import (
    Interrupted,
    end_interrupted,
    raise_interrupts,
)

if TYPE_CHECKING:
    from mmengine.runner import Runner

    from mmdefect.streams.runner import StreamRunner


def build_runner(cfg: Config) -> Runner | StreamRunner | Any:
    """Build the runner that the config names; MMEngine's ``Runner`` if it names none.

    Process groups work without a GPU. Checkpoints are loaded as tensors only and have
    to fit exactly where they are tested or resumed, a loss that is not finite stops the
    training, a detector needs as many classes as its data, mmdet's ``CocoDataset`` is
    read as ours (:mod:`mmdefect.streams.plain`), and the console shows no config
    (:mod:`mmdefect.utils.console`).

    Example:
        >>> runner = build_runner(load_config('my_config.py'))  # doctest: +SKIP
        >>> runner.train()  # doctest: +SKIP
    """
    from mmengine.registry import RUNNERS
    from mmengine.runner import Runner

    from mmdefect.compat import check_provider
    from mmdefect.engine.guards import guarded
    from mmdefect.engine.run_config import drop_absent_hooks
    from mmdefect.streams.plain import check_coco_data
    from mmdefect.utils.checkpoint import use_safe_loading
    from mmdefect.utils.console import quiet_console
    from mmdefect.utils.distributed import prepare_distributed

    check_provider(('mmengine', 'mmcv'))
    quiet_console()
    use_safe_loading()
    prepare_distributed(cfg)
    if 'runner_type' in cfg:
        return RUNNERS.build(cfg)
    drop_absent_hooks(cfg)
    runner = guarded(Runner.from_cfg(cfg))
    check_coco_data(runner)
    runner.register_hook({'type': 'mmdefect.ClassCountHook'})
    return runner


def recorded(cure: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Report what ends a tool early once and last, not by every process.

    A signal ends it in one sentence (:mod:`mmdefect.utils.interrupts`). An error of a
    process that torchrun has started goes to the file that the launcher reads.

    Args:
        cure: What to do after an interruption, such as ``'start it again'``.

    Example:
        >>> @recorded('start it again')
        ... def main() -> None: ...
    """

    def wrapped(main: Callable[[], None]) -> Callable[[], None]:
        @wraps(main)
        def recording() -> None:
            try:
                raise_interrupts()
                _record_errors(main)
            except Interrupted as stop:
                end_interrupted(stop, cure)

        return recording

    return wrapped


def _record_errors(main: Callable[[], None]) -> None:
    if 'TORCHELASTIC_ERROR_FILE' not in os.environ:
        main()
        return
    from torch.distributed.elastic.multiprocessing.errors import get_error_handler

    handler = get_error_handler()
    handler.initialize()
    try:
        main()
    except Exception as error:  # whatever it is, the launcher prints it
        handler.record_exception(error)
        sys.exit(1)


def finish() -> None:
    """End a process of a CPU group cleanly; does nothing elsewhere.

    Example:
        >>> finish()
    """
    from mmdefect.utils.distributed import leave_process_group

    leave_process_group()
