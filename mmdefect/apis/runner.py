"""From a config to what trains and tests it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmengine.config import Config

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

    Raises:
        ValueError: The config names a type that is not known.

    Example:
        >>> runner = build_runner(load_config('my_config.py'))  # doctest: +SKIP
        >>> runner.train()  # doctest: +SKIP
    """
    from mmengine.registry import RUNNERS
    from mmengine.runner import Runner

    from mmdefect.apis.config_files import said
    from mmdefect.compat import check_provider
    from mmdefect.engine.guards import guarded
    from mmdefect.engine.run_config import drop_absent_hooks, forget_visualizer
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
    forget_visualizer(cfg)
    try:
        runner = guarded(Runner.from_cfg(cfg))
    except KeyError as error:  # a type that no registry knows, or none at all
        raise ValueError(
            f'{cfg.filename or "the config"} cannot be run ({said(error)}): expected '
            'known types; correct it'
        ) from error
    check_coco_data(runner)
    runner.register_hook({'type': 'mmdefect.ClassCountHook'})
    return runner


def finish() -> None:
    """End a process of a CPU group cleanly; does nothing elsewhere.

    Example:
        >>> finish()
    """
    from mmdefect.utils.distributed import leave_process_group

    leave_process_group()
