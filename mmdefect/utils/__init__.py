"""Registration and safe checkpoints.

Names are resolved when they are asked for: reading checkpoints needs torch, registering
modules needs mmdet, and neither should wait for the other.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
    'register_all_modules': 'mmdefect.utils.setup_env',
    'check_finite': 'mmdefect.utils.checkpoint',
    'checkpoint_classes': 'mmdefect.utils.checkpoint',
    'file_sha256': 'mmdefect.utils.files',
    'load_weights': 'mmdefect.utils.checkpoint',
    'state_dict_of': 'mmdefect.utils.checkpoint',
    'use_safe_loading': 'mmdefect.utils.checkpoint',
}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(_MODULES[name]), name)
