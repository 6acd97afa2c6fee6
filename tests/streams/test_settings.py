"""Which settings decide the weights of a step, which its scores, which neither."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from mmengine.config import Config

from mmdefect.streams.settings import (
    scoring_hash,
    scoring_part,
    shared_scoring_hash,
    training_part,
)
from mmdefect.streams.state import canonical


def settings() -> dict[str, Any]:
    dataset = {'type': 'X', 'ann_file': 'a.json', 'cache_gb': 1, 'seen_classes': ['a']}
    return {
        'model': {'type': 'GFL', 'test_cfg': {'score_thr': 0.1}},
        'train_dataloader': {'batch_size': 2, 'num_workers': 2, 'dataset': dataset},
        'test_dataloader': {
            'batch_size': 2,
            'num_workers': 2,
            'dataset': {'type': 'RepeatDataset', 'dataset': dict(dataset)},
        },
        'test_evaluator': [{'type': 'M', 'ann_file': 'a.json', 'old_classes': []}],
        'test_pipeline': [{'type': 'Load'}],
        'train_cfg': {'max_epochs': 3, 'val_interval': 1},
        'optim_wrapper': {'optimizer': {'lr': 1}},
        'default_hooks': {
            'checkpoint': {'type': 'C', 'interval': 1, 'max_keep_ckpts': 1},
            'logger': {'type': 'LoggerHook', 'interval': 10},
            'visualization': {'type': 'mmdefect.AnomalyMapHook'},
            'anchor': {'type': 'mmdefect.WeightAnchorHook', 'beta': 1},
        },
        'custom_hooks': [{'type': 'EMAHook', 'momentum': 0.1}],
    }


def changed(key: str, value: Any) -> Config:
    cfg = Config(copy.deepcopy(settings()))
    cfg.merge_from_dict({key: value})
    return cfg


def parts(cfg: Config) -> tuple[dict, dict]:
    plain = canonical(cfg)
    return training_part(plain), scoring_part(plain)


BEFORE = parts(Config(settings()))
WATCHERS = [*settings()['custom_hooks'], {'type': 'mmdefect.SamplePredictionsHook'}]


NEITHER = {
    'train_dataloader.num_workers': 0,
    'train_dataloader.pin_memory': True,
    'train_dataloader.dataset.cache_gb': 0,
    'test_dataloader.num_workers': 0,
    'test_dataloader.persistent_workers': True,
    'test_dataloader.dataset.dataset.cache_gb': 0,
    'test_pipeline': [],
    'train_cfg.val_interval': 5,
    'default_hooks.logger.interval': 1,
    'default_hooks.logger': None,
    'default_hooks.visualization.per_class': 3,
    'default_hooks.timer': {'type': 'IterTimerHook'},
    'default_hooks.checkpoint.interval': 2,
    'default_hooks.checkpoint.max_keep_ckpts': 3,
    'custom_hooks': WATCHERS,
    'log_level': 'WARNING',
    'find_unused_parameters': True,
}
SCORES = {
    'test_dataloader.batch_size': 1,
    'test_dataloader.dataset.dataset.ann_file': 'b.json',
    'test_evaluator.0.ann_file': 'b.json',
    'test_evaluator.0.iou_thrs': [0.5],
    'test_cfg': {'type': 'TestLoop', 'fp16': True},
    'tta': {'type': 'DetTTAModel'},
}
WEIGHTS = {
    'train_dataloader.batch_size': 1,
    'train_dataloader.dataset.ann_file': 'b.json',
    'train_cfg.max_epochs': 4,
    'optim_wrapper.optimizer.lr': 2,
    'default_hooks.checkpoint.save_optimizer': False,
    'default_hooks.checkpoint.save_last': False,
    'default_hooks.anchor.beta': 2,
    'custom_hooks.0.momentum': 0.2,
    'randomness': {'seed': 1},
    'my_own_setting': 1,
}
# Scores of tools/test.py with another threshold are not those of the stream.
BOTH = {'model.test_cfg.score_thr': 0.2, 'model.data_preprocessor': {'mean': [0]}}
CASES = [
    (key, value, group is WEIGHTS or group is BOTH, group is SCORES or group is BOTH)
    for group in (NEITHER, SCORES, WEIGHTS, BOTH)
    for key, value in group.items()
]


@pytest.mark.parametrize(('key', 'value', 'weights', 'scores'), CASES)
def test_feature_decides(key: str, value: Any, weights: bool, scores: bool) -> None:
    cfg = changed(key, value)
    training, scoring = parts(cfg)
    assert (training != BEFORE[0]) == weights
    assert (scoring != BEFORE[1]) == scores
    assert (scoring_hash(cfg) != scoring_hash(Config(settings()))) == scores
    if weights:
        assert shared_scoring_hash(cfg) == shared_scoring_hash(Config(settings()))


def test_feature_an_interval_that_leaves_another_epoch() -> None:
    """Without save_last the interval says which epoch a step leaves."""
    before = changed('default_hooks.checkpoint', {'save_last': False})
    after = changed('default_hooks.checkpoint', {'save_last': False, 'interval': 2})
    assert parts(before)[0] != parts(after)[0]


def test_feature_steps_of_one_test_set() -> None:
    later = changed('test_dataloader.dataset.dataset.seen_classes', ['a', 'b'])
    later.test_evaluator[0].old_classes = ['a']
    assert shared_scoring_hash(later) == shared_scoring_hash(Config(settings()))
    assert scoring_hash(later) != scoring_hash(Config(settings()))
    other = changed('test_dataloader.dataset.dataset.ann_file', 'b.json')
    assert shared_scoring_hash(other) != shared_scoring_hash(Config(settings()))
