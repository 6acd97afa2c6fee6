"""From a config with products to the configs of its steps."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mmdefect.engine.hooks.continual.weight_anchor import WeightAnchorHook
from mmdefect.functional.class_rows import CONDITIONER_CLASS_KEYS
from mmdefect.registry import HOOKS
from mmdefect.streams.anomaly import AnomalyStream
from mmdefect.streams.stream import resolve_step_config
from tests.models.anomaly.conftest import PRODUCTS, Images, make_runner, tiny_iuf

ALL = ['cloth', 'dots', 'marble', 'metal', 'tiles', 'wood']
PROTOCOL = [['cloth', 'wood'], ['metal'], ['dots']]
SEEN = [
    ['cloth', 'wood'],
    ['cloth', 'wood', 'metal'],
    ['cloth', 'wood', 'metal', 'dots'],
]


def dataset(**more: Any) -> dict:
    meta = {'classes': tuple(ALL)}
    return {'type': 'mmdefect.AnomalyDataset', 'metainfo': meta, **more}


def config(**more: Any) -> Config:
    hooks = {
        'statistics': {'type': 'mmdefect.FeatureStatisticsHook'},
        'importance': {'type': 'mmdefect.WeightImportanceHook'},
        'logger': {'type': 'LoggerHook'},
        'timer': None,
    }
    method = {
        'anchor': {'type': 'mmdefect.WeightAnchorHook', 'beta': 0.05},
        'projection': {'type': 'mmdefect.ProjectedUpdateHook'},
    }
    whole = {
        'model': dict(type='mmdefect.IUF', num_classes=15, conditioner={'heads': 4}),
        'train_dataloader': {'dataset': dataset(split='train')},
        'val_dataloader': None,
        'test_dataloader': {'dataset': dataset(split='test')},
        'test_evaluator': [
            {'type': 'mmdefect.AnomalyMetric'},
            {'type': 'DumpResults', 'out_file_path': 'x.pkl'},
        ],
        'default_hooks': hooks,
        'custom_hooks': [{'type': 'mmdefect.EpochSeedHook'}],
        'method': {'default_hooks': method},
    }
    return Config(whole | more)


def resolve(step: int, cfg: Config | None = None, **stream: Any) -> Config:
    cfg = cfg or config()
    made = AnomalyStream(cfg=cfg, **{'protocol': PROTOCOL, **stream})
    return made.resolve(cfg, step)


def look_back(cfg: Config) -> dict[str, str]:
    """The checkpoint of every hook that has one, but of that which loads it."""
    hooks = [*cfg.default_hooks.values(), *cfg.custom_hooks]
    return {
        hook['type'].removeprefix('mmdefect.'): hook['checkpoint']
        for hook in hooks
        if hook and 'checkpoint' in hook and 'Chain' not in hook['type']
    }


@HOOKS.register_module()
class OwnAnchor(WeightAnchorHook):
    """Somebody's subclass."""


class TestSteps:
    @pytest.mark.parametrize('step', range(3))
    def test_feature_classes(self, step):
        """The memory holds products of earlier steps only."""
        cfg = config()
        resolved = resolve(step, cfg)
        old = SEEN[step - 1] if step else []
        assert resolved.model.num_classes == len(SEEN[step])
        train = resolved.train_dataloader.dataset
        test = resolved.test_dataloader.dataset
        assert train.seen_classes == test.seen_classes == SEEN[step]
        assert train.keep_classes == PROTOCOL[step]
        assert 'keep_classes' not in test  # tested on all products so far
        assert 'replay_classes' not in train
        metric, dump = resolved.test_evaluator
        assert metric.old_classes == old
        assert 'old_classes' not in dump
        assert ('anchor' in resolved.default_hooks) == (step > 0)  # of the method
        assert cfg.model.num_classes == 15  # what was given is left alone
        cfg.train_dataloader.dataset.replay = 10
        cfg.test_evaluator = cfg.test_evaluator[0]
        resolved = resolve(step, cfg)
        assert resolved.train_dataloader.dataset.replay_classes == old
        assert resolved.test_evaluator.old_classes == old

    def test_feature_classes_of_the_dataset(self):
        stream = AnomalyStream(cfg=config(), protocol='4-1x2')
        assert stream.steps == [ALL[:4], ['tiles'], ['wood']]
        stream = AnomalyStream(cfg=config(), protocol='1+1', classes=['b', 'a'])
        assert stream.steps == [['b'], ['a']]

    def test_feature_wrapped_datasets(self):
        wrapped = {'type': 'RepeatDataset', 'times': 2, 'dataset': dataset()}
        cfg = config(train_dataloader={'dataset': wrapped})
        train = resolve(1, cfg).train_dataloader.dataset
        assert train.dataset.keep_classes == ['metal']
        assert 'keep_classes' not in train

    def test_feature_a_whole_resolved_config(self):
        """As the StreamRunner has it: without hooks that are absent."""
        cfg = config(stream={'type': 'mmdefect.AnomalyStream', 'protocol': PROTOCOL})
        resolved = resolve_step_config(cfg, 1)
        assert 'stream' not in resolved
        assert resolved.default_hooks.checkpoint.stream.classes == SEEN[1]


class TestChain:
    def chained(self, step=1, cfg=None, **stream):
        cfg = cfg or config()
        made = AnomalyStream(cfg=cfg, protocol=PROTOCOL, **stream)
        resolved = made.resolve(cfg, step)
        made.chain(resolved, step, 'work/step_0/epoch_9.pth')
        return resolved

    def test_feature_hooks_look_back(self):
        """Also custom ones, of a subclass, or without the prefix of our scope."""
        penalty = {'type': 'mmdefect.ImportancePenaltyHook', 'method': 'ewc'}
        others = [{'type': 'OwnAnchor'}, {'type': 'mmdefect.EpochSeedHook'}]
        cfg = config(custom_hooks=[penalty, *others])
        cfg.default_hooks.statistics.type = 'FeatureStatisticsHook'
        found = look_back(self.chained(cfg=cfg))
        assert set(found) == {
            'FeatureStatisticsHook',
            'WeightImportanceHook',
            'WeightAnchorHook',
            'ProjectedUpdateHook',
            'ImportancePenaltyHook',
            'OwnAnchor',
        }
        assert set(found.values()) == {'work/step_0/epoch_9.pth'}
        assert look_back(resolve(0, cfg)) == {}  # there is no predecessor

    @pytest.mark.parametrize(
        ('own', 'conditioner', 'expected'),
        [
            (None, {'heads': 4}, list(CONDITIONER_CLASS_KEYS)),
            (['memory', 'filled'], {'heads': 4}, ['memory', 'filled']),
            (None, None, []),  # UniAD, and IUF without its object-aware attention
        ],
    )
    def test_feature_weights_and_rows(self, own, conditioner, expected):
        """Rows of products by their name, in the order of the stream."""
        cfg = config()
        cfg.model.conditioner = conditioner
        first, *_, hook = self.chained(2, cfg, class_keys=own).custom_hooks
        assert hook == {
            'type': 'mmdefect.ChainCheckpointHook',
            'checkpoint': 'work/step_0/epoch_9.pth',
            'classes': SEEN[2],
            'class_keys': expected,
        }
        assert first.type == 'mmdefect.EpochSeedHook'


def test_feature_joint():
    """All products from scratch; nothing is replayed that is there."""
    stream = {'train_on': 'seen', 'init': 'scratch'}
    train = {'dataset': dataset(split='train', replay=10)}
    resolved = resolve(2, config(train_dataloader=train), **stream)
    assert resolved.train_dataloader.dataset.keep_classes == SEEN[2]
    assert resolved.train_dataloader.dataset.replay_classes == []
    assert resolved.test_evaluator[0].old_classes == SEEN[1]
    assert 'anchor' not in resolved.default_hooks
    made = AnomalyStream(cfg=config(), protocol=PROTOCOL, **stream)
    assert not any(made.starts_from_previous(step) for step in range(3))


class TestExceptions:
    def test_exception_unknown_product(self):
        with pytest.raises(ValueError, match='glass'):
            AnomalyStream(cfg=config(), protocol=[['cloth'], ['glass']])

    @pytest.mark.parametrize('drop_last', [True, False])
    def test_exception_fewer_images_than_a_batch(self, drop_last, tmp_path):
        """MMEngine would count the epochs, train nothing, and write a checkpoint."""
        loader = {
            'batch_size': 5,
            'num_workers': 0,
            'drop_last': drop_last,
            'sampler': {'type': 'DefaultSampler', 'shuffle': True},
            'dataset': Images(PRODUCTS[:1], number=4),
        }
        runner = make_runner(
            tmp_path / 'work', tiny_iuf(1), None, [], train_dataloader=loader
        )
        if drop_last:
            message = (
                r'^the training set has 4 images, .*batch_size=5 and drop_last=True'
            )
            with pytest.raises(ValueError, match=message):
                runner.train()
            assert not list((tmp_path / 'work').glob('*.pth'))
        else:
            runner.train()
            assert isinstance(runner, Runner)
            assert runner.iter == 1


def test_feature_resolving_is_repeatable():
    cfg = config()
    before = copy.deepcopy(cfg._cfg_dict)
    assert resolve(1, cfg)._cfg_dict == resolve(1, cfg)._cfg_dict
    assert cfg._cfg_dict == before


def test_exception_learned_images_are_not_tested():
    cfg = config()
    cfg.train_dataloader.dataset.hold_out = 0.1
    with pytest.raises(ValueError, match=r'hold_out=0\.1 in .* and None in the test'):
        resolve(0, cfg)
    cfg.test_dataloader.dataset.hold_out = 0.1
    assert resolve(0, cfg).test_dataloader.dataset.hold_out == 0.1
