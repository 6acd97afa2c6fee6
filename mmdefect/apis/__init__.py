"""What a user imports, and what the tools are made of."""

from mmdefect.apis.config import (
    dump_predictions,
    load_config,
    only_step,
    parse_run,
    pictures_in,
    show_predictions,
    use_amp,
    use_tta,
)
from mmdefect.apis.runner import build_runner, finish
from mmdefect.utils.interrupts import recorded

__all__ = [
    'build_runner',
    'dump_predictions',
    'finish',
    'load_config',
    'only_step',
    'parse_run',
    'pictures_in',
    'recorded',
    'show_predictions',
    'use_amp',
    'use_tta',
]
