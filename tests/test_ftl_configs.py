"""Every config of pruning loads and builds without data or weights."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, TASK_UTILS

from mmdefect.pruning.channels.groups import trace_groups
from mmdefect.pruning.scoring.activations import filter_layers
from mmdefect.pruning.sweep.run import forward_classifier
from mmdefect.pruning.sweep.settings import prune_settings
from tests.helpers.configs import (
    HALF_PLAN,
    PRUNING,
    ROOT,
    configs_in,
    loaded,
    named,
    scope,
)

CONFIGS = [path for path in configs_in(PRUNING) if not path.stem.startswith('gfl_')]
PRUNED = [p for p in CONFIGS if re.search('_(legacy|pruned)_', p.stem)]
SCOPE = 'mmpretrain'
LEGACY = [path for path in PRUNED if '_legacy_' in path.stem]


def without_files(cfg: Config) -> Any:
    model = copy.deepcopy(cfg.model)
    model.backbone.pop('init_cfg', None)
    return model


def test_smoke_something_is_tested() -> None:
    assert len(PRUNED) == 6
    assert len(LEGACY) == 3
    for path in CONFIGS:
        assert ('prune' in loaded(path)) is (path in PRUNED), path.stem


def test_smoke_data_builds_without_data(tmp_path: Path) -> None:
    for path in CONFIGS:
        cfg = copy.deepcopy(loaded(path))
        with named(path), scope(SCOPE):
            for split in ('train', 'val', 'test', 'mask'):
                dataset = dict(cfg[f'{split}_dataloader'].dataset, lazy_init=True)
                built = DATASETS.build(dict(dataset, data_root=str(tmp_path)))
                assert list(built.metainfo['classes']) == ['crack', 'background']


@pytest.mark.parametrize(
    'path',
    # Presets of one network build one model.
    {path.stem.partition('_')[0]: path for path in CONFIGS}.values(),
    ids=lambda path: path.stem,
)
def test_feature_head_fits_the_images(path: Path) -> None:
    """Patches of 112 px."""
    with scope(SCOPE):
        model = MODELS.build(without_files(loaded(path)))
    model.eval()
    with torch.inference_mode():
        assert model(torch.zeros(1, 3, 112, 112), mode='tensor').shape == (1, 2)
    for other in CONFIGS:
        if other.stem.partition('_')[0] == path.stem.partition('_')[0]:
            assert loaded(other).model == loaded(path).model, other.stem


def test_feature_settings_are_complete() -> None:
    for path in PRUNED:
        with named(path):
            settings = prune_settings(loaded(path).prune)
            TASK_UTILS.build(dict(settings.scorer))
            if path in LEGACY:
                assert len(settings.grid.values) == 99
                assert not settings.recovery.finetune
                assert settings.decide.rule == 'ftl_published'
            else:
                assert settings.recovery.finetune
                assert settings.decide.rule == 'one_standard_error'


def test_feature_published_selection_of_each_network() -> None:
    said = {path.stem: loaded(path).prune.select for path in LEGACY}
    assert said['ftl-alexnet_legacy_cracks'] == 'object'
    assert said['vgg16_legacy_cracks'] == 'union'


def test_feature_detector_takes_the_plan_of_a_classifier() -> None:
    """Half of a layer's filters; its own plan is made by the toy sweep."""
    cfg = copy.deepcopy(loaded(ROOT / 'configs/ftl/gfl_pruned-r18_toy_neu-det.py'))
    assert cfg.model.backbone.plan.endswith('plan.json')
    cfg.model.backbone.plan = HALF_PLAN
    with scope('mmdet'):
        model = MODELS.build(cfg.model)
    assert model.backbone.layer1[0].conv1.out_channels == 8
    assert model.backbone.layer1[0].conv2.in_channels == 8


@pytest.mark.parametrize('path', LEGACY, ids=lambda path: path.stem)
def test_feature_every_published_share_leaves_filters(path: Path) -> None:
    settings = prune_settings(loaded(path).prune)
    with scope(SCOPE):
        model: Any = MODELS.build(without_files(loaded(path)))
    image = torch.zeros(1, 3, 112, 112)
    groups = trace_groups(
        model,
        image,
        layers=filter_layers(model, image, below='backbone'),
        forward=forward_classifier,
    )
    narrowest = min(groups, key=lambda group: group.channels)
    counts = [settings.keep.count(narrowest, share) for share in settings.grid.values]
    assert min(counts) >= 1
    assert not settings.greedy or all(len(group.filters) == 1 for group in groups)
