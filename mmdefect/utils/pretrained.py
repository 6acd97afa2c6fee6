"""Pretrained weights that a model config names, loaded strictly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import ConfigDict
from mmengine.runner import CheckpointLoader
from torch import nn

from mmdefect.utils.checkpoint import load_all, state_dict_of, use_safe_loading
from mmdefect.utils.weights import how_to_make


def pretrained_modules(
    model: nn.Module,
) -> Iterator[tuple[nn.Module, Mapping[str, Any]]]:
    """Modules whose ``init_cfg`` names a file, and that ``init_cfg``."""
    for module in model.modules():
        cfgs = getattr(module, 'init_cfg', None) or ()
        for cfg in (cfgs,) if isinstance(cfgs, Mapping) else cfgs:
            if cfg.get('type') == 'Pretrained':
                yield module, cfg


def weight_files(model: Any) -> Iterator[str]:
    """Files that any ``init_cfg`` of a model config names."""
    if isinstance(model, Mapping):
        if model.get('type') == 'Pretrained' and 'checkpoint' in model:
            yield str(model['checkpoint'])
        for value in model.values():
            yield from weight_files(value)
    elif isinstance(model, (list, tuple)):
        for value in model:
            yield from weight_files(value)


def load_strictly(module: nn.Module, cfg: Mapping[str, Any]) -> None:
    """Load all weights of a module; the file may hold others, too.

    Args:
        cfg: ``checkpoint``, and the ``prefix`` of the module's weights in it.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A weight is missing or has another shape.
    """
    path, prefix = str(cfg['checkpoint']), (cfg.get('prefix') or '').rstrip('.')
    check_weights_file(path)
    prefix = f'{prefix}.' if prefix else ''
    use_safe_loading()  # whichever tool has built the model
    loaded = CheckpointLoader.load_checkpoint(path, map_location='cpu')
    found = {
        name.removeprefix(prefix): value
        for name, value in state_dict_of(loaded, path).items()
        if name.startswith(prefix)
    }
    cure = 'use the same package and architecture; see tools/model_converters'
    load_all(module, found, path, others=('',), cure=cure)


def check_weights_file(path: str) -> None:
    """Refuse a file that is not there; what a URL gives, the download will say.

    Raises:
        FileNotFoundError: There is no such file.
    """
    if '://' not in path and not Path(path).is_file():
        make = how_to_make(path) or 'make the file with tools/model_converters'
        raise FileNotFoundError(
            f'there are no pretrained weights at {path}: {make}, or set init_cfg=None '
            'to start from random ones'
        )


def without_weights(model: Any) -> Any:
    """A model's config whose parts name no file to load and no way to draw weights."""
    if isinstance(model, dict):
        kept = {k: without_weights(v) for k, v in model.items() if k != 'init_cfg'}
        return ConfigDict(**kept)
    return model
