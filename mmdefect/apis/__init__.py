"""Functions for users, which the tools are made of.

Each is imported when it is asked for: ``DefectInferencer`` runs packages where neither
torch nor OpenMMLab is installed, and what explains a classifier is loaded by few.
"""

from importlib import import_module
from typing import Any

_MODULES = {
    'DefectInferencer': 'inferencer',
    'Explained': 'saliency',
    'build_model': 'models',
    'build_runner': 'runner',
    'check_target': 'saliency',
    'dump_predictions': 'config',
    'explained': 'saliency',
    'finish': 'runner',
    'load_classifier': 'saliency',
    'load_config': 'config',
    'make_explainer': 'saliency',
    'only_step': 'config',
    'parse_run': 'config',
    'pictures_in': 'config',
    'prepared': 'saliency',
    'recorded': 'mmdefect.utils.interrupts',
    'show_predictions': 'config',
    'spread': 'saliency',
    'use_amp': 'config',
    'use_tta': 'config',
}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    module = _MODULES[name]
    path = module if '.' in module else f'{__name__}.{module}'
    return getattr(import_module(path), name)
