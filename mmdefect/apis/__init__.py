"""Functions for users, which the tools are made of.

Those that explain a classifier need torch and are imported when they are asked for.
"""

from importlib import import_module
from typing import Any

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
from mmdefect.apis.models import build_model
from mmdefect.apis.runner import build_runner, finish
from mmdefect.utils.interrupts import recorded

_SALIENCY = (
    'Explained',
    'check_target',
    'explained',
    'load_classifier',
    'make_explainer',
    'prepared',
    'spread',
)

__all__ = [
    'build_model',
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
    *_SALIENCY,
]


def __getattr__(name: str) -> Any:
    if name not in _SALIENCY:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module('mmdefect.apis.saliency'), name)
