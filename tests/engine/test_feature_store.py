"""Features by the content of their image file."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from mmcv.transforms import Resize

from mmdefect.datasets.transforms.anomaly import LoadAnomalyImage
from mmdefect.engine.feature_store import (
    FeatureStore,
    check_deterministic,
    fill,
)

FEATURES = torch.arange(12.0).view(3, 2, 2) / 7


class Mine(Resize):
    """A kind of a known transform."""


class Own:
    """A transform of somebody else."""


class Says:
    def __init__(self, random):
        self.is_random = random


class Toy:
    """A dataset of five infos of four files, in place of MMEngine's."""

    def __init__(self, folder, names='abcab'):
        for name in set(names):
            (folder / name).write_text(name if name != 'c' else 'a', encoding='utf-8')
        self.infos = [{'img_path': str(folder / name)} for name in names]
        self.loaded = []
        self.pipeline = self
        self.transforms = [LoadAnomalyImage()]

    def __len__(self):
        return len(self.infos)

    def get_data_info(self, index):
        return self.infos[index]

    def __call__(self, info):
        self.loaded.append(info['img_path'])
        image = torch.full((3, 2, 2), float(len(self.loaded)))
        sample = SimpleNamespace(clone=lambda: 'a copy')
        return {'inputs': image, 'data_samples': sample}


class TestStore:
    def test_feature_memory(self):
        """Which may be too small."""
        store = FeatureStore(key='k', max_gb=30 / 2**30)
        assert store.get('a') is None
        for _ in range(2):  # the second is there already
            store.put('a', FEATURES)
        assert torch.equal(store.get('a'), FEATURES.half())
        assert (len(store), store.computed) == (1, 2)
        with pytest.raises(MemoryError, match=r'^max_gb=.* after 1 images; raise it'):
            store.put('b', FEATURES)

    def test_feature_disk(self, tmp_path):
        FeatureStore(key='k', folder=tmp_path).put('a', FEATURES)
        again = FeatureStore(key='k', folder=tmp_path)
        assert torch.equal(again.get('a'), FEATURES.half())
        assert (again.get('b'), again.computed, len(again)) == (None, 0, 1)
        assert FeatureStore(key='other', folder=tmp_path).get('a') is None
        assert (again.folder / 'key.txt').read_text(encoding='utf-8') == 'k'
        assert not list(tmp_path.rglob('*.tmp*'))

    def test_feature_beyond_the_budget_on_disk_only(self, tmp_path):
        one = 24 / 2**30  # twelve half floats
        store = FeatureStore(key='k', folder=tmp_path, max_gb=1.5 * one)
        for name in 'abc':
            store.put(name, FEATURES)
        assert len(store) == 3
        assert len(store._kept) == 1
        for name in 'abc':
            torch.testing.assert_close(store.get(name), FEATURES.half())

    def test_feature_what_is_on_disk_makes_room(self, tmp_path):
        """For a mask, which is in memory only; without a folder nothing does."""
        store, alone = (
            FeatureStore(key='k', folder=folder, max_gb=2.5 * 24 / 2**30)
            for folder in (tmp_path, None)
        )
        for kept in (store, alone):
            kept.put('a', FEATURES)
            kept.put('b', FEATURES)
        store.reserve(FEATURES.half())
        assert (len(store), len(store._kept)) == (2, 1)
        for name in 'ab':
            torch.testing.assert_close(store.get(name), FEATURES.half())
        with pytest.raises(MemoryError, match=r'^max_gb='):
            alone.reserve(FEATURES.half())

    @pytest.mark.parametrize('content', [b'', b'\x93NUMPY', b'something else'])
    def test_feature_damaged_entry_is_computed_anew(self, content, tmp_path):
        store = FeatureStore(key='k', folder=tmp_path)
        store.put('a', FEATURES)
        path = store.folder / 'a.npy'
        path.write_bytes(content or path.read_bytes()[:-5])
        again = FeatureStore(key='k', folder=tmp_path)
        assert again.get('a') is None
        again.put('a', FEATURES)
        found = FeatureStore(key='k', folder=tmp_path).get('a')
        torch.testing.assert_close(found, FEATURES.half())

    def test_exception_features_beyond_float16(self):
        with pytest.raises(ValueError, match=r'^features reach 100000: expected'):
            FeatureStore(key='k').put('a', torch.full((1, 1, 1), 1e5))


class TestFill:
    def fill(self, dataset, store, *, with_image=False):
        batches = []

        def extract(images):
            batches.append(len(images))
            return torch.stack(list(images)) * 2

        options = {'with_image': with_image, 'batch_size': 1}
        return fill(dataset, store, extract, **options), batches

    def test_feature_every_content_once(self, tmp_path):
        """Five infos, three files, of which two hold the same."""
        dataset = Toy(tmp_path)
        cached, batches = self.fill(dataset, FeatureStore(key='k'))
        assert len(dataset.loaded) == 3
        assert batches == [1, 1]
        found = [cached(info)['inputs']['features'] for info in dataset.infos]
        assert [int(f.unique()) for f in found] == [2, 4, 2, 2, 4]
        assert len(dataset.loaded) == 3
        assert cached(dataset.infos[0])['data_samples'] == 'a copy'
        assert set(cached(dataset.infos[0])['inputs']) == {'features'}

    def test_feature_images_are_kept_if_needed(self, tmp_path):
        dataset = Toy(tmp_path)
        cached, _ = self.fill(dataset, FeatureStore(key='k'), with_image=True)
        inputs = cached(dataset.infos[1])['inputs']
        assert int(inputs['image'].unique()) == 2
        # Known features, another image.
        inputs = cached(dataset.infos[2])['inputs']
        assert int(inputs['image'].unique()) == 3
        assert int(inputs['features'].unique()) == 2

    def test_exception_kept_masks_count(self, tmp_path):
        dataset = Toy(tmp_path)
        sample = SimpleNamespace(gt_mask=torch.zeros(100, dtype=torch.bool))
        dataset.pipeline = lambda info: {'inputs': FEATURES, 'data_samples': sample}
        dataset.pipeline.transforms = []
        with pytest.raises(MemoryError):
            self.fill(dataset, FeatureStore(key='k', max_gb=250 / 2**30))

    def test_feature_how_a_file_is_read_counts(self, tmp_path):
        """Of other bits, or turned, its features are others; stored is the rule."""
        store = FeatureStore(key='k')
        for how in ({}, {'exif': 'stored'}, {'exif': 'turned'}, {'bits': 12}):
            dataset = Toy(tmp_path)
            dataset.infos = [{**info, **how} for info in dataset.infos]
            self.fill(dataset, store)
        assert len(store) == 3 * 2

    def test_exception_kept_images_count(self, tmp_path):
        """Four features of 24 bytes fit, the images of 48 bytes beside them do not."""
        small = 150 / 2**30
        self.fill(Toy(tmp_path), FeatureStore(key='k', max_gb=small))
        store = FeatureStore(key='k', max_gb=small)
        with pytest.raises(MemoryError, match=r'^max_gb='):
            self.fill(Toy(tmp_path), store, with_image=True)

    def test_exception_random(self, tmp_path):
        dataset = Toy(tmp_path)
        dataset.transforms = [Own()]
        with pytest.raises(ValueError, match=r'^the feature cache is on and Own may'):
            self.fill(dataset, FeatureStore(key='k'))
        assert not dataset.loaded


def test_feature_deterministic():
    check_deterministic([LoadAnomalyImage(), Mine(scale=(2, 2)), Says(False)])
    for transform in (Own(), Says(True)):
        with pytest.raises(ValueError, match=type(transform).__name__):
            check_deterministic([LoadAnomalyImage(), transform])
