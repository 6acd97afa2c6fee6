from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile

from mmdefect.datasets.boxes.neu_det import NEUDETDataset
from mmdefect.datasets.transforms.loading import LoadCachedImage
from mmdefect.registry import TRANSFORMS


def info_of(path: Path) -> dict[str, Any]:
    return {'img_path': str(path)}


def test_smoke(toy_root: Path) -> None:
    transform = TRANSFORMS.build({'type': 'mmdefect.LoadCachedImage'})
    results = transform(info_of(toy_root / 'IMAGES/crazing_1.jpg'))
    assert results['img'].shape == (64, 64, 3)
    assert results['img'].dtype == np.uint8


@pytest.mark.parametrize('to_float32', [False, True])
def test_feature_cached_equals_read(toy_root: Path, to_float32: bool) -> None:
    kwargs = {
        'data_root': f'{toy_root}/',
        'ann_file': 'coco/train.json',
        'pipeline': [LoadCachedImage(to_float32=to_float32)],
    }
    read, cached = NEUDETDataset(**kwargs), NEUDETDataset(**kwargs, cache_gb=1)
    for index in (0, 47):
        a, b = read[index], cached[index]
        assert a.keys() == b.keys()
        assert a['img'].dtype == b['img'].dtype
        assert a['img_shape'] == b['img_shape'] == b['ori_shape'] == (64, 64)
        np.testing.assert_array_equal(a['img'], b['img'])


@pytest.mark.parametrize(
    'loader', ['LoadImageFromFile', 'mmcv.LoadImageFromFile', LoadImageFromFile]
)
def test_feature_a_stock_loader_becomes_ours(toy_root: Path, loader: Any) -> None:
    """The config keeps the name that stock inferencers look for."""
    pipeline = [{'type': loader, 'to_float32': True}, {'type': 'Resize', 'scale': 32}]
    config = copy.deepcopy(pipeline)
    dataset = NEUDETDataset(
        data_root=f'{toy_root}/', ann_file='coco/train.json', pipeline=pipeline
    )
    first, second = dataset.pipeline.transforms
    assert type(first) is LoadCachedImage
    assert first.to_float32
    assert type(second).__name__ == 'Resize'
    assert pipeline == config


def test_feature_other_heads_stay(toy_root: Path) -> None:
    stock = LoadImageFromFile()
    kwargs = {'data_root': f'{toy_root}/', 'ann_file': 'coco/train.json'}
    dataset = NEUDETDataset(**kwargs, pipeline=[stock])
    assert dataset.pipeline.transforms == [stock]
    dataset = NEUDETDataset(**kwargs, pipeline=[{'type': 'Resize', 'scale': 32}])
    assert type(dataset.pipeline.transforms[0]).__name__ == 'Resize'
    assert NEUDETDataset(**kwargs).pipeline.transforms == []


def test_feature_what_is_cached_is_copied_and_made_grey(toy_root: Path) -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    info = {**info_of(toy_root / 'IMAGES/crazing_1.jpg'), 'img_cached': image}
    results = LoadCachedImage()(dict(info))
    results['img'] += 7
    assert image.max() == 0
    assert 'img_cached' not in results
    assert LoadCachedImage(color_type='grayscale')(info)['img'].shape == (64, 64)


def test_exception_arguments() -> None:
    with pytest.raises(TypeError, match='ignore_empty=True: expected False'):
        LoadCachedImage(ignore_empty=True)
    with pytest.raises(TypeError, match="imdecode_backend='pillow': exp"):
        LoadCachedImage(imdecode_backend='pillow')
