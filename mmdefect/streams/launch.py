"""The ordinary Runner of a step: built beside others, and ended cleanly."""

from __future__ import annotations

import gc
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.visualization import Visualizer

from mmdefect.engine.guards import guarded
from mmdefect.utils.files import write_text


def build_step_runner(cfg: Config, recorded: Path) -> Runner:
    """Build a Runner and keep it from dumping its config over the recorded one.

    The recorded one trains alone, without the flags and paths of this run.

    Args:
        cfg: Config of the step.
        recorded: The file in its folder that holds its config.
    """
    gc.collect()  # a Runner, its model and its loaders hold each other
    text = None
    if is_main_process() and recorded.is_file():  # no other process dumps its config
        text = recorded.read_text(encoding='utf-8')
    runner = guarded(Runner.from_cfg(cfg))
    if text is not None:
        write_text(recorded, text)
    return runner


def tear_down(runner: Runner) -> None:
    """Close what a Runner leaves open, so that the next one starts clean."""
    runner.visualizer.close()
    for handler in list(runner.logger.handlers):
        handler.close()
    name = runner.experiment_name
    for cls in (MMLogger, MessageHub, DefaultScope):
        cls._instance_dict.pop(name, None)
    for cls in (Visualizer, type(runner.visualizer)):
        cls._instance_dict.pop(runner.visualizer.instance_name, None)
