"""Pretrained weights that a model config names, loaded strictly."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import ConfigDict
from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader
from torch import nn

from mmdefect.utils.checkpoint import (
    load_all,
    load_weights,
    state_dict_of,
    use_safe_loading,
)
from mmdefect.utils.normalisation import (
    IMAGENET,
    Normalisation,
    normalisation_of,
    see_alike,
    written_normalisation,
)
from mmdefect.utils.weights import how_to_make

# Their weights are all for images of one kind.
_TORCHVISION = ('torchvision://', 'https://download.pytorch.org/models/')


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


def check_pairing(model: nn.Module, module: nn.Module, cfg: Mapping[str, Any]) -> None:
    """Refuse weights whose images were normalised otherwise, or of another style.

    ``style`` is where a ResNet has its strides: those of Caffe load into PyTorch's.
    Files of before the converters wrote both are taken, with one line in the log.

    Args:
        model: Its ``data_preprocessor`` is what the weights will see.
        module: The part of it that the weights are for.
        cfg: Names the file as ``checkpoint``.

    Raises:
        ValueError: In one sentence, with what to set.
    """
    path = str(cfg['checkpoint'])
    made = normalisation_of(model)
    if '://' in path:
        weights, style = (IMAGENET if path.startswith(_TORCHVISION) else None), None
    else:
        check_weights_file(path)
        meta = load_weights(path).get('meta') or {}
        weights, style = written_normalisation(meta, path), meta.get('style')
        if weights is None and made is not None:
            print_log(
                f'{path} does not say how its images were normalised; made anew with '
                'tools/model_converters it does, and a wrong pairing is refused',
                'current',
                logging.WARNING,
            )
    if style and style != getattr(module, 'style', style):
        raise ValueError(
            f'{path} has weights of style {style!r}, the backbone is of style '
            f"{module.style!r}: set the backbone's style='{style}'"
        )
    if weights and made and not see_alike(weights, made):
        raise ValueError(
            f'{path} has weights for {weights}, and data_preprocessor makes {made}: '
            f'set {_as_options(weights)} there, or take other weights'
        )


def _as_options(found: Normalisation) -> str:
    mean, std = list(found.mean), list(found.std)
    return (
        f'mean={mean}, std={std} and bgr_to_rgb (of a classifier: to_rgb)={found.rgb}'
    )


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
