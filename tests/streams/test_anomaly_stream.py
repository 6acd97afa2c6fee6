"""From a config with products to the configs of its steps."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mmdefect.functional.class_rows import CONDITIONER_CLASS_KEYS
from mmdefect.streams.anomaly import LOOK_BACK, AnomalyStream
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
    return Config(
        {
            'model': {
                'type': 'mmdefect.IUF',
                'num_classes': 15,
                'conditioner': {'heads': 4},
            },
            'train_dataloader': {'dataset': dataset(split='train')},
            'val_dataloader': None,
            'test_dataloader': {'dataset': dataset(split='test')},
            'test_evaluator': [
                {'type': 'mmdefect.AnomalyMetric'},
                {'type': 'DumpResults', 'out_file_path': 'x.pkl'},
            ],
            'default_hooks': hooks,
            'custom_hooks': [{'type': 'mmdefect.EpochSeedHook'}],
            'method': {
                'default_hooks': {
                    'anchor': {'type': 'mmdefect.WeightAnchorHook', 'beta': 0.05},
                    'projection': {'type': 'mmdefect.ProjectedUpdateHook'},
                }
            },
            **more,
        }
    )


def resolve(step: int, cfg: Config | None = None, **stream: Any) -> Config:
    cfg = cfg or config()
    made = AnomalyStream(cfg=cfg, **{'protocol': PROTOCOL, **stream})
    return made.resolve(cfg, step)


def look_back(cfg: Config) -> dict[str, str | None]:
    """The checkpoint of every hook that takes one."""
    hooks = [*cfg.default_hooks.values(), *cfg.custom_hooks]
    return {
        hook['type'].removeprefix('mmdefect.'): hook.get('checkpoint')
        for hook in hooks
        if hook and hook['type'].removeprefix('mmdefect.') in LOOK_BACK
    }


class TestSteps:
    @pytest.mark.parametrize('step', range(3))
    def test_feature_classes(self, step):
        cfg = config()
        resolved = resolve(step, cfg)
        assert resolved.model.num_classes == len(SEEN[step])
        train = resolved.train_dataloader.dataset
        test = resolved.test_dataloader.dataset
        assert train.seen_classes == test.seen_classes == SEEN[step]
        assert train.keep_classes == PROTOCOL[step]
        assert 'keep_classes' not in test  # tested on all products so far
        assert 'replay_classes' not in train
        metric, dump = resolved.test_evaluator
        assert metric.old_classes == (SEEN[step - 1] if step else [])
        assert 'old_classes' not in dump
        assert cfg.model.num_classes == 15  # what was given is left alone

    def test_feature_classes_of_the_data_set(self):
        stream = AnomalyStream(cfg=config(), protocol='4-1x2')
        assert stream.steps == [ALL[:4], ['tiles'], ['wood']]
        stream = AnomalyStream(cfg=config(), protocol='1+1', classes=['b', 'a'])
        assert stream.steps == [['b'], ['a']]

    def test_feature_wrapped_data_sets(self):
        wrapped = {'type': 'RepeatDataset', 'times': 2, 'dataset': dataset()}
        cfg = config(train_dataloader={'dataset': wrapped})
        train = resolve(1, cfg).train_dataloader.dataset
        assert train.dataset.keep_classes == ['metal']
        assert 'keep_classes' not in train

    def test_feature_one_evaluator(self):
        cfg = config(test_evaluator={'type': 'mmdefect.AnomalyMetric'})
        assert resolve(2, cfg).test_evaluator.old_classes == SEEN[1]

    @pytest.mark.parametrize(('step', 'expected'), enumerate([[], *SEEN[:2]]))
    def test_feature_replay(self, step, expected):
        """The memory holds products of earlier steps only."""
        train = {'dataset': dataset(split='train', replay=10)}
        resolved = resolve(step, config(train_dataloader=train))
        assert resolved.train_dataloader.dataset.replay_classes == expected

    def test_feature_the_method_is_of_later_steps(self):
        assert 'anchor' not in resolve(0).default_hooks
        assert resolve(1).default_hooks.anchor.beta == 0.05

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
        found = look_back(self.chained())
        assert set(found) == {
            'FeatureStatisticsHook',
            'WeightImportanceHook',
            'WeightAnchorHook',
            'ProjectedUpdateHook',
        }
        assert set(found.values()) == {'work/step_0/epoch_9.pth'}

    def test_feature_also_custom_hooks(self):
        penalty = {'type': 'mmdefect.ImportancePenaltyHook', 'method': 'ewc'}
        cfg = config(custom_hooks=[penalty])
        assert look_back(self.chained(cfg=cfg))['ImportancePenaltyHook']

    def test_feature_also_without_prefix(self):
        """In our own scope a config may leave the prefix out."""
        cfg = config(custom_hooks=[{'type': 'WeightAnchorHook'}])
        (hook,) = [h for h in self.chained(cfg=cfg).custom_hooks if 'Anchor' in h.type]
        assert hook.checkpoint == 'work/step_0/epoch_9.pth'

    def test_feature_step_0_has_no_predecessor(self):
        assert set(look_back(resolve(0)).values()) == {None}

    def test_feature_weights_and_rows(self):
        """Rows of products by their name, in the order of the stream."""
        (hook,) = [h for h in self.chained(2).custom_hooks if 'Chain' in h.type]
        assert hook.checkpoint == 'work/step_0/epoch_9.pth'
        assert hook.classes == SEEN[2]
        assert tuple(hook.class_keys) == CONDITIONER_CLASS_KEYS
        resolved = self.chained(2, class_keys=['memory', 'filled'])
        (hook,) = [h for h in resolved.custom_hooks if 'Chain' in h.type]
        assert hook.class_keys == ['memory', 'filled']
        assert [h.type for h in resolved.custom_hooks[:1]] == ['mmdefect.EpochSeedHook']

    def test_feature_no_rows_without_a_conditioner(self):
        """UniAD, and IUF without its object-aware attention."""
        cfg = config()
        cfg.model.conditioner = None
        (hook,) = [h for h in self.chained(cfg=cfg).custom_hooks if 'Chain' in h.type]
        assert hook.class_keys == []

    def test_feature_every_hook_that_looks_back_is_known(self):
        from mmdefect.engine.hooks.continual.previous import PreviousStepHook
        from mmdefect.registry import HOOKS

        for name in LOOK_BACK:
            assert issubclass(HOOKS.get(f'mmdefect.{name}'), PreviousStepHook)
        known = {cls.__name__ for cls in PreviousStepHook.__subclasses__()}
        assert known == LOOK_BACK


class TestJoint:
    def test_feature_all_products_from_scratch(self):
        stream = {'train_on': 'seen', 'init': 'scratch'}
        resolved = resolve(2, **stream)
        assert resolved.train_dataloader.dataset.keep_classes == SEEN[2]
        assert resolved.test_evaluator[0].old_classes == SEEN[1]
        assert set(look_back(resolved)) == {
            'FeatureStatisticsHook',
            'WeightImportanceHook',
        }
        made = AnomalyStream(cfg=config(), protocol=PROTOCOL, **stream)
        assert not any(made.starts_from_previous(step) for step in range(3))

    def test_feature_nothing_is_replayed_that_is_there(self):
        train = {'dataset': dataset(split='train', replay=10)}
        resolved = resolve(2, config(train_dataloader=train), train_on='seen')
        assert resolved.train_dataloader.dataset.replay_classes == []


class TestExceptions:
    def test_exception_unknown_product(self):
        with pytest.raises(ValueError, match='glass'):
            AnomalyStream(cfg=config(), protocol=[['cloth'], ['glass']])

    def test_exception_no_such_step(self):
        with pytest.raises(ValueError, match=r'^step 3 does not exist'):
            resolve(3)

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


def test_exception_learnt_images_are_not_tested():
    cfg = config()
    cfg.train_dataloader.dataset.hold_out = 0.1
    with pytest.raises(
        ValueError, match=r'hold_out is 0\.1 in .* and None in the test'
    ):
        resolve(0, cfg)
    cfg.test_dataloader.dataset.hold_out = 0.1
    assert resolve(0, cfg).test_dataloader.dataset.hold_out == 0.1
