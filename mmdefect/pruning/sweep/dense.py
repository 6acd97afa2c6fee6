"""The whole network, and the images that it is scored, trained and tested on."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner

from mmdefect.pruning.scoring.score import MaskedBatch, masked_batches
from mmdefect.pruning.sweep.features import ImageSet, load_images
from mmdefect.utils.checkpoint import load_exactly
from mmdefect.utils.config import described_model
from mmdefect.utils.pretrained import load_strictly, pretrained_modules

# Loader of the config -> what its images are for.
SPLITS = {
    'train': 'train_dataloader',
    'val': 'val_dataloader',
    'test': 'test_dataloader',
}


def seed_of(cfg: Config) -> int:
    """Read the config's seed, 0 if it has none."""
    return int((cfg.get('randomness') or {}).get('seed') or 0)


def check_two_classes(cfg: Config) -> None:
    """Refuse a classifier of more than two classes.

    Raises:
        ValueError: It has.
    """
    classes = cfg.model.get('head', {}).get('num_classes', 2)
    if classes != 2:
        raise ValueError(
            f'model.head.num_classes={classes}: expected 2 classes, 0 the defective '
            'one, as networks are compared by misses and false alarms; put all kinds '
            'of defects into one'
        )


def build_parent(cfg: Config) -> Any:
    """Build the classifier with its weights, in evaluation mode.

    The weights are those of ``load_from``, all of them; without it those that the
    parts' ``init_cfg`` name.

    Raises:
        FileNotFoundError: A file of weights does not exist.
        ValueError: Weights do not fit, or there are none; or they were trained on
            images that were normalised in another way.
    """
    described = described_model(cfg)
    # Some networks draw their weights while they are built.
    torch.manual_seed(seed_of(cfg))
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmpretrain')):
        model = MODELS.build(described)
    if cfg.get('load_from'):
        if '://' in cfg.load_from:
            raise ValueError(
                f'load_from={cfg.load_from!r}: expected a file; download it first'
            )
        noted = load_exactly(model, cfg.load_from).get('meta') or {}
        given = described.get('data_preprocessor') or {}
        _check_normalisation(cfg.load_from, noted.get('data_preprocessor'), given)
        return model.eval()
    pretrained = list(pretrained_modules(model))
    if not pretrained and not cfg.prune.get('untrained'):
        raise ValueError(
            'load_from=None: expected a trained parent, as no part of '
            f'{type(model.backbone).__name__} has pretrained weights; give '
            'load_from=...pth, or prune.untrained=True to prune random filters'
        )
    # MMEngine's own loading passes over names that do not fit.
    for module, init_cfg in pretrained:
        load_strictly(module, init_cfg)
    # It would say of every weight how it was drawn.
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel('WARNING')
    model.init_weights()
    logger.setLevel(level)
    return model.eval()


def _check_normalisation(
    path: str, noted: Mapping[str, Any] | None, given: Mapping[str, Any]
) -> None:
    """Compare with what the training noted; weights of elsewhere say nothing."""
    if noted is None:
        return
    for name in ('mean', 'std', 'to_rgb'):
        before, now = (_plain(one.get(name)) for one in (noted, given))
        if before != now:
            raise ValueError(
                f'data_preprocessor.{name}={now}: expected {before}, which {path} was '
                'trained with; a network sees nothing on images that are normalised '
                'in another way'
            )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value


def split_images(cfg: Config, split: str) -> ImageSet:
    """Read images of a split as they are tested, by ``val_dataloader``'s pipeline."""
    loader = copy.deepcopy(cfg[SPLITS[split]])
    if split == 'train':
        loader.dataset.pipeline = copy.deepcopy(cfg.val_dataloader.dataset.pipeline)
        loader.batch_size = cfg.val_dataloader.batch_size
        loader.pop('drop_last', None)
    return load_images(build_loader(cfg, loader))


def segmented_batches(cfg: Config, model: Any, *, raw: bool) -> list[MaskedBatch]:
    """Read the images that filters are scored on.

    Raises:
        ValueError: The config has no ``mask_dataloader``.
    """
    if 'mask_dataloader' not in cfg:
        raise ValueError(
            'mask_dataloader: expected one of mmdefect.PairedMaskDataset; or take a '
            'score that needs no images, mmdefect.L1Norm or mmdefect.RandomScore'
        )
    return masked_batches(model, build_loader(cfg, cfg.mask_dataloader), raw=raw)


def build_loader(cfg: Config, loader: Mapping[str, Any]) -> Any:
    """Build a data loader as MMEngine does, images in order, in this process."""
    settings = copy.deepcopy(dict(loader))
    settings.update(
        num_workers=0,
        sampler={'type': 'DefaultSampler', 'shuffle': False, 'round_up': False},
    )
    for name in ('persistent_workers', 'prefetch_factor', 'worker_init_fn'):
        settings.pop(name, None)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmpretrain')):
        return Runner.build_dataloader(settings, seed=seed_of(cfg))
