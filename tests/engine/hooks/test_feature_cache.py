"""Training and testing from features that are computed once."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

from mmdefect.engine.feature_store import CachedItems
from mmdefect.engine.hooks.feature_cache import (
    FeatureCacheHook,
    cache_key,
    check_frozen,
)
from mmdefect.registry import DATASETS
from mmdefect.testing import make_toy_products
from tests.models.anomaly.conftest import PRODUCTS, SIZE, Taps, make_runner, tiny_iuf

CLASSES = PRODUCTS[:2]
# Rounding to float16 of features of a size of about one.
ROUNDING = {'atol': 5e-3, 'rtol': 5e-3}


@pytest.fixture(scope='module')
def products(tmp_path_factory):
    """Two products of 4 training and 5 test images, 32 pixels."""
    root = tmp_path_factory.mktemp('toy') / 'products'
    return make_toy_products(root, size=32, products=2, train=4, test=5)


def pipeline(split='train', size=SIZE, **flips):
    mask = [{'type': 'mmdefect.LoadAnomalyMask'}] if split == 'test' else []
    resize = {'scale': (size, size), 'keep_ratio': False, 'backend': 'pillow'}
    return [
        {'type': 'mmdefect.LoadAnomalyImage'},
        {'type': 'Resize', **resize},
        *mask,
        {'type': 'mmdefect.AnomalyFlipRotate', **flips},
        {'type': 'mmdefect.PackAnomalyInputs'},
    ]


def dataset(root, split='train', **settings):
    with DefaultScope.overwrite_default_scope('mmdefect'):
        return DATASETS.build(
            {
                'type': 'mmdefect.AnomalyDataset',
                'data_root': str(root),
                'split': split,
                'metainfo': {'classes': CLASSES},
                'pipeline': pipeline(split, **settings),
            }
        )


def runner_of(work_dir, root, hooks, model=None, **changes):
    data = changes.pop('dataset', None) or dataset(root)
    return make_runner(work_dir, model or tiny_iuf(2), data, hooks, **changes)


def calls_of(model):
    """Numbers of images that the backbone sees from now on."""
    seen = []
    model.features.register_forward_hook(lambda m, args, o: seen.append(len(args[0])))
    return seen


class TestTraining:
    def test_feature_computed_once(self, products, tmp_path):
        model = tiny_iuf(2)
        seen = calls_of(model)
        hook = FeatureCacheHook(batch_size=3)
        runner = runner_of(tmp_path / 'work', products, [hook], model, epochs=3)
        runner.train()
        assert seen == [3, 3, 2]
        store = runner.train_dataloader.dataset.pipeline.store
        assert store.computed == len(store) == 8
        hook.before_train(runner)
        assert len(seen) == 3

    @pytest.mark.parametrize('source', ['features', 'image'])
    def test_feature_same_items_and_losses(self, source, products, tmp_path):
        """To the rounding of float16; the released conditioner keeps its images."""
        made = []
        for hooks in ([], [FeatureCacheHook()]):
            model = tiny_iuf(2, conditioner={'heads': 2, 'source': source})
            runner = runner_of(tmp_path / f'{len(hooks)}', products, hooks, model)
            for hook in hooks:
                hook.before_train(runner)
            data = runner.train_dataloader.dataset
            items = [data[index] for index in (0, 3, 5)]
            model.eval()
            batch = {key: [found[key] for found in items] for key in items[0]}
            if hooks:
                given = batch['inputs'] = {
                    key: [found['inputs'][key] for found in items]
                    for key in items[0]['inputs']
                }
                kept = {'features', 'image'} if source == 'image' else {'features'}
                assert set(given) == kept
                assert given['features'][0].dtype == torch.float16
            ready = model.data_preprocessor(batch, True)
            losses = model(**ready, mode='loss')
            predicted = model(**ready, mode='predict')
            made.append((losses, [(s.pred_map, s.class_name) for s in predicted]))
        torch.testing.assert_close(made[1][0], made[0][0], **ROUNDING)
        for (cached, name), (plain, other) in zip(made[1][1], made[0][1], strict=True):
            torch.testing.assert_close(cached, plain, **ROUNDING)
            assert name == other

    def test_feature_trains_to_the_same_weights(self, products, tmp_path):
        weights = []
        for hooks in ([], [FeatureCacheHook()]):
            runner = runner_of(tmp_path / f'{len(hooks)}', products, hooks, epochs=2)
            runner.train()
            weights.append(runner.model.reconstructor.state_dict())
        start = tiny_iuf(2).reconstructor.state_dict()
        moved = max((weights[0][n] - start[n]).abs().max() for n in start)
        apart = max((weights[0][n] - weights[1][n]).abs().max() for n in start)
        assert 0 < apart < 0.02 * moved

    def test_feature_a_wrapped_set(self, products, tmp_path):
        from mmengine.dataset import RepeatDataset

        repeated = RepeatDataset(dataset(products), times=2)
        model, hook = tiny_iuf(2), FeatureCacheHook()
        seen = calls_of(model)
        work = tmp_path / 'work'
        runner = runner_of(work, products, [hook], model, dataset=repeated)
        hook.before_train(runner)
        assert seen == [8]
        # An item is a copy: the model writes its prediction into the sample.
        data = repeated.dataset
        data[0]['data_samples'].pred_score = torch.tensor(1.0)
        assert 'pred_score' not in data[0]['data_samples']


def test_feature_same_scores_in_testing(products, tmp_path):
    scores = []
    for hooks in ([], [FeatureCacheHook()]):
        model = tiny_iuf(2)
        seen = calls_of(model)
        loader = {
            'batch_size': 4,
            'num_workers': 0,
            'sampler': {'type': 'DefaultSampler', 'shuffle': False},
            'dataset': dataset(products, 'test'),
        }
        tested = {'test_cfg': {}, 'test_evaluator': {'type': 'mmdefect.AnomalyMetric'}}
        tested['test_dataloader'] = loader
        work = tmp_path / f'{len(hooks)}'
        runner = runner_of(work, products, hooks, model, **tested)
        scores.append(runner.test())
        assert sum(seen) == 10
        if hooks:
            assert isinstance(runner.test_dataloader.dataset.pipeline, CachedItems)
            runner.test()
            assert sum(seen) == 10
    assert 'anomaly/image_auroc/cloth' in scores[0]
    assert scores[1] == pytest.approx(scores[0], abs=0.02, nan_ok=True)


def cached(data, hook, model=None):
    """Store that a hook makes before a training."""
    runner = SimpleNamespace(
        model=model or tiny_iuf(2),
        train_dataloader=SimpleNamespace(dataset=data),
        logger=MMLogger.get_current_instance(),
    )
    hook.before_train(runner)
    return data.pipeline.store


class TestOnDisk:
    @pytest.fixture(scope='class')
    def first(self, products, tmp_path_factory):
        """The first store in a folder."""
        folder = str(tmp_path_factory.mktemp('cache'))
        return cached(dataset(products), FeatureCacheHook(folder=folder))

    def run(self, first, folder, root, model=None, **changes):
        """Store of a later hook, in a copy of the first one's folder."""
        shutil.copytree(first.folder.parent, folder)
        hook = FeatureCacheHook(folder=str(folder))
        return cached(dataset(root, **changes), hook, model)

    def test_feature_found_again(self, first, products, tmp_path):
        again = self.run(first, tmp_path / 'b', products)
        assert (first.computed, again.computed, len(again)) == (8, 0, 8)
        assert first.folder.name == again.folder.name
        moved = tmp_path / 'moved'
        shutil.copytree(products, moved)
        assert self.run(first, tmp_path / 'c', moved).computed == 0
        for digest, kept in first._kept.items():
            assert torch.equal(kept, again._kept[digest])

    @pytest.mark.parametrize(
        'change', ['transform', 'weights', 'backbone', 'mean', 'grid', 'file']
    )
    def test_feature_computed_anew(self, change, first, products, tmp_path):
        root, model, settings = products, tiny_iuf(2), {}
        if change == 'transform':
            settings['size'] = 12
        elif change == 'weights':
            model.features.backbone.second.bias.data += 1e-3
        elif change == 'backbone':
            model.features.backbone.out_indices = (0, 2)
        elif change == 'mean':
            model.data_preprocessor.mean += 1
        elif change == 'grid':
            model.features.grid = 5
        else:
            root = tmp_path / 'products'
            shutil.copytree(products, root)
            images = sorted(root.glob('*/train/good/*.png'))
            shutil.copy(images[0], images[1])
            shutil.copy(next(iter(root.glob('dots/test/*/*.png'))), images[0])
        store = self.run(first, tmp_path / 'cache', root, model, **settings)
        # One image is new, the other was known under another name.
        assert store.computed == (1 if change == 'file' else 8)

    def test_feature_key_is_readable(self, products):
        data = dataset(products)
        key = cache_key(tiny_iuf(2), data)
        assert 'Resize(' in key
        assert f'scale=({SIZE}, {SIZE})' in key
        assert '0x' not in key  # no address, which is another one every time
        assert key == cache_key(tiny_iuf(2), data)
        pooled = tiny_iuf(2)
        pooled.features.pool = 3
        assert cache_key(pooled, data) != key
        assert 'pool' not in key  # entries of before are found


def test_exception(products):
    hook, model = FeatureCacheHook(), tiny_iuf(2)
    message = r'^the feature cache is on and AnomalyFlipRotate may change'
    with pytest.raises(ValueError, match=message):
        cached(dataset(products, hflip=True), hook)
    # Three images of 10 x 4 x 4 numbers of 2 bytes fit.
    data = dataset(products)
    with pytest.raises(MemoryError, match=r'^max_gb=.* full after 3 images'):
        cached(data, FeatureCacheHook(max_gb=1000 / 2**30))
    model.features.backbone.requires_grad_(True)
    message = r'backbone learns \(backbone\.first\.weight and 3 more'
    with pytest.raises(ValueError, match=message):
        cached(data, hook, model)
    with pytest.raises(ValueError, match=r'^model\.type=Taps with FeatureCacheHook'):
        check_frozen(Taps())
