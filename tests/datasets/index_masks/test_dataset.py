from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import Runner
from PIL import Image

from mmdefect.datasets.index_masks.dataset import PairedMaskDataset, resolve_ids
from mmdefect.registry import DATASETS
from mmdefect.testing import make_toy_cracks
from mmdefect.testing.toy_cracks import MASK_CLASSES
from tests.helpers.configs import ROOT, scope
from tests.helpers.dataset_files import infos

PIPELINE = [
    {'type': 'LoadImageFromFile'},
    {'type': 'mmdefect.LoadIndexMask'},
    {'type': 'mmpretrain.PackInputs', 'algorithm_keys': ('gt_label', 'gt_seg_map')},
]


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def put(root: Path, name: str, ids: list[int], folders: tuple = ('images', 'masks')):
    """An image and a mask of one row."""
    write(root / folders[0] / name, np.full((1, len(ids), 3), 99, np.uint8))
    write(root / folders[1] / name, np.array([ids], np.uint8))


def dataset_of(root: Path, **kwargs: Any) -> PairedMaskDataset:
    return PairedMaskDataset(data_root=str(root), **kwargs)


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """Masks with the ids 1 and 2, with 1 only, and with 2 only."""
    put(tmp_path, 'a.png', [0, 1, 2])
    put(tmp_path, 'b.png', [0, 0, 1])
    put(tmp_path, 'c.png', [2, 0, 0])
    return tmp_path


def test_smoke(tmp_path: Path) -> None:
    root = make_toy_cracks(tmp_path, size=64, train=2, val=1, test=1) / 'train'
    with scope('mmpretrain'):
        how = {'target_classes': ('crack',), 'pipeline': PIPELINE}
        how |= {'data_root': str(root), 'metainfo': {'mask_classes': MASK_CLASSES}}
        dataset = DATASETS.build({'type': 'mmdefect.PairedMaskDataset', **how})
        packed = dataset[1]
    assert len(dataset) == 2
    assert dataset.metainfo['classes'] == ('object', 'background')
    assert tuple(packed['inputs'].shape) == (3, 64, 64)
    ids = np.asarray(Image.open(root / 'masks/001.png'))
    expected = np.where(ids == 1, 255, 0)
    np.testing.assert_array_equal(packed['data_samples'].gt_seg_map, expected)
    assert packed['data_samples'].gt_label.tolist() == [0]


@pytest.mark.parametrize('name', ['cracks', 'toy_cracks'])
def test_smoke_config(tmp_path: Path, name: str) -> None:
    """The loader that filters are scored with."""
    root = make_toy_cracks(tmp_path, size=64, train=2, val=1, test=1) / 'train'
    if name == 'cracks':  # binary there
        for path in (root / 'masks').iterdir():
            ids = np.asarray(Image.open(path))
            write(path, np.where(ids == 1, 255, 0).astype(np.uint8))
    cfg = Config.fromfile(ROOT / f'configs/_base_/datasets/{name}.py')
    loader = cfg.mask_dataloader
    loader.dataset.data_root = str(root)
    with scope('mmpretrain'):
        batches = list(Runner.build_dataloader(loader, seed=0))
    assert len(batches) == 2
    for number, batch in enumerate(batches):
        ids = np.asarray(Image.open(root / f'masks/{number:03d}.png'))
        expected = np.where(ids == (255 if name == 'cracks' else 1), 255, 0)
        (sample,) = batch['data_samples']
        np.testing.assert_array_equal(sample.gt_seg_map, expected)
        assert sample.gt_label.tolist() == [0]


def test_feature_data_info(three: Path) -> None:
    assert dataset_of(three).get_data_info(2) == {
        'img_path': str(three / 'images/c.png'),
        'mask_path': str(three / 'masks/c.png'),
        'name': 'c',
        'object_ids': None,
        'width': 3,
        'height': 1,
        'sample_idx': 2,
    }


def test_feature_layout_of_the_release(tmp_path: Path) -> None:
    """Images/{Crack,Background} and Segmented/{Crack,Background}."""
    folders = ('Images', 'Segmented')
    put(tmp_path, 'Crack/x.png', [0, 1], folders)
    put(tmp_path, 'Background/x.png', [0, 4], folders)
    prefix = {'img': 'Images', 'mask': 'Segmented'}
    dataset = dataset_of(tmp_path, data_prefix=prefix, pipeline=PIPELINE)
    assert [i['name'] for i in infos(dataset)] == ['Background/x', 'Crack/x']
    cracks = {'target_classes': (1,), 'allow_empty': True, 'pipeline': PIPELINE}
    with scope('mmpretrain'):
        dataset = dataset_of(tmp_path, data_prefix=prefix, **cracks)
        labels = [dataset[i]['data_samples'].gt_label.item() for i in range(2)]
    assert labels == [1, 0]


def test_feature_indices(three: Path) -> None:
    for indices, expected in ((2, ['a', 'b']), ([0, 2], ['a', 'c'])):
        found = infos(dataset_of(three, indices=indices))
        assert [info['name'] for info in found] == expected


def test_feature_nothing_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path / 'none', lazy_init=True)
    with pytest.raises(FileNotFoundError, match='there is no image folder'):
        len(dataset)


def test_exception_masks_without_an_object(three: Path) -> None:
    with pytest.raises(ValueError, match=r'without an object \(1: .*/masks/b\.png\)'):
        dataset_of(three, target_classes=(2,))
    assert len(dataset_of(three, target_classes=(2,), allow_empty=True)) == 3


@pytest.mark.parametrize('kwargs', [{}, {'allow_empty': True}])
def test_exception_class_that_occurs_in_no_mask(three: Path, kwargs: dict) -> None:
    message = r'names 3, 7, which occur in no mask: expected ids that do \(1, 2\)'
    with pytest.raises(ValueError, match=message):
        dataset_of(three, target_classes=(1, 3, 7), **kwargs)


def test_exception_sizes(three: Path) -> None:
    write(three / 'masks/b.png', np.ones((3, 1), np.uint8))
    with pytest.raises(ValueError, match=r'\(1: .*/masks/b\.png 1x3 of b\.png 3x1\)'):
        dataset_of(three)


def test_exception_grey_values(three: Path) -> None:
    """With classes at once; without, LoadIndexMask says whether all of it is object."""
    put(three, 'd.png', [0, 1, 200])
    with pytest.raises(ValueError, match=r'd\.png holds other values than class ids'):
        dataset_of(three, target_classes=(1,), allow_empty=True)
    legacy = [{'type': 'mmdefect.LoadIndexMask', 'legacy': True}]
    found = dataset_of(three, pipeline=legacy)[3]
    assert found['gt_seg_map'].tolist() == [[0, 255, 255]]
    with pytest.raises(ValueError, match='other values than class ids'):
        dataset_of(three, pipeline=[{'type': 'mmdefect.LoadIndexMask'}])[3]


def test_exception_data_prefix(three: Path) -> None:
    with pytest.raises(
        ValueError, match=r"data_prefix=\{'img_path': 'images'\}: expected img"
    ):
        dataset_of(three, data_prefix={'img_path': 'images'})


@pytest.mark.parametrize(
    ('targets', 'names', 'expected'),
    [
        (None, None, None),
        ((3, 1, 3), None, (1, 3)),
        (('dirt', 1), ('crack', 'pore', 'dirt'), (1, 3)),
        (('crack',), {'crack': 5}, (5,)),
        ('crack', ['crack'], (1,)),
    ],
)
def test_feature_ids(targets: Any, names: Any, expected: Any) -> None:
    assert resolve_ids(targets, names) == expected


@pytest.mark.parametrize(
    ('targets', 'names', 'message'),
    [
        ((), None, r'target_classes=\(\): expected at least one'),
        (('rust',), ('crack', 'pore'), "names 'rust': expected one of crack, pore"),
        (('rust',), None, 'no name at all, as there are no mask_classes'),
        ((0,), None, r'target_classes=\(0,\) holds 0: expected .* from 1 .* to 126'),
        ((127,), None, 'holds 127: expected'),
        ((1.5,), None, 'holds 1.5: expected'),
        ((True,), None, 'holds True: expected'),
        (('a',), {'a': 255}, 'holds 255: expected'),
    ],
)
def test_exception_ids(targets: Any, names: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve_ids(targets, names)
