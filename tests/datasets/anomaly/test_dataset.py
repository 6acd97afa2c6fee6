from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from mmengine.dataset import pseudo_collate

from mmdefect.datasets.anomaly.dataset import AnomalyDataset, repeat_small
from mmdefect.datasets.anomaly.layout import AnomalyImage, draw_images
from mmdefect.registry import DATASETS
from tests.conftest import tool_env
from tests.helpers.dataset_files import infos

PRODUCTS = ('cloth', 'dots', 'marble')
BASES = Path(__file__).parents[3] / 'configs/_base_/datasets'


def build(root: Path, split: str = 'train', **kwargs: Any) -> AnomalyDataset:
    kwargs = {'metainfo': {'classes': PRODUCTS}, 'pipeline': [], **kwargs}
    return AnomalyDataset(data_root=str(root), split=split, **kwargs)


def counts(dataset: AnomalyDataset) -> dict[str, int]:
    return dict(Counter(info['class_name'] for info in infos(dataset)))


@pytest.mark.parametrize(
    ('name', 'number', 'ends'),
    [
        ('MVTecADDataset', 15, ('bottle', 'zipper')),
        ('VisADataset', 12, ('candle', 'pipe_fryum')),
    ],
)
def test_smoke_published_class_order(name: str, number: int, ends: tuple) -> None:
    built = DATASETS.build({'type': f'mmdefect.{name}', 'lazy_init': True})
    classes = built.metainfo['classes']
    assert (len(classes), classes[0], classes[-1]) == (number, *ends)
    assert list(classes) == sorted(classes)


@pytest.mark.slow
def test_smoke_without_mmdet() -> None:
    """Pipelines included, in the scope of anomaly configs; slow: a new interpreter."""
    code = (
        'import sys\n'
        'from mmengine.config import Config\n'
        'from mmengine.registry import DATASETS, DefaultScope\n'
        "DefaultScope.get_instance('run', scope_name='mmdefect')\n"
        f"cfg = Config.fromfile('{BASES}/toy_products.py')\n"
        'for loader in (cfg.train_dataloader, cfg.test_dataloader):\n'
        '    DATASETS.build(dict(loader.dataset, lazy_init=True))\n'
        "print(sorted({'mmdet', 'mmpretrain'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, '-c', code], env=tool_env(), capture_output=True, text=True
    )
    assert done.stdout == '[]\n', done.stderr


def test_shape_data_infos(toy_products: Path) -> None:
    train, test = infos(build(toy_products)), infos(build(toy_products, 'test'))
    assert [info['class_label'] for info in train] == [0] * 5 + [1] * 5 + [2] * 5
    assert {info['gt_label'] for info in train} == {0}
    assert {info['defect'] for info in train} == {'good'}
    assert test[0] == {
        'exif': 'stored',
        'img_path': str(toy_products / 'cloth/test/cut/000.png'),
        'mask_paths': [str(toy_products / 'cloth/ground_truth/cut/000_mask.png')],
        'has_mask': True,
        'class_name': 'cloth',
        'class_label': 0,
        'defect': 'cut',
        'gt_label': 1,
        'sample_idx': 0,
    }
    good = next(info for info in test if info['defect'] == 'good')
    assert (good['gt_label'], good['has_mask'], good['mask_paths']) == (0, True, [])


@pytest.mark.parametrize('name', ['mvtec_ad', 'visa', 'products', 'toy_products'])
def test_shape_items_of_the_base_configs(toy_products: Path, name: str) -> None:
    """The pipelines of the configs, on toy images, as the runner builds them."""
    cfg = Config.fromfile(BASES / f'{name}.py')
    shape = (128, 128) if name == 'toy_products' else (224, 224)
    mask = (224, 224) if name in ('mvtec_ad', 'visa') else (32, 32)
    for split in ('train', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.dataset.update(
            data_root=str(toy_products), metainfo={'classes': PRODUCTS}
        )
        batch = pseudo_collate([DATASETS.build(loader.dataset)[i] for i in (0, 4)])
        assert {tuple(image.shape) for image in batch['inputs']} == {(3, *shape)}
        sample = batch['data_samples'][0]
        assert (sample.class_name, sample.ori_shape) == ('cloth', (32, 32))
        assert ('gt_mask' in sample) == (split == 'test')
    assert tuple(sample.gt_mask.shape) == mask
    assert cfg.train_dataloader.drop_last
    assert cfg.test_evaluator.type == 'mmdefect.AnomalyMetric'


def test_feature_labels_follow_seen_classes(toy_products: Path) -> None:
    dataset = build(
        toy_products, seen_classes=['marble', 'cloth'], keep_classes=['cloth']
    )
    assert dataset.metainfo['classes'] == ('marble', 'cloth')
    assert counts(dataset) == {'cloth': 5}
    assert {info['class_label'] for info in infos(dataset)} == {1}


def test_feature_classes_from_the_folders(
    toy_products: Path, products_copy: Path
) -> None:
    (products_copy / 'lists').mkdir()  # no product: neither train nor test below it
    assert build(products_copy, metainfo=None).metainfo['classes'] == PRODUCTS
    # A declared set may hold products that this step does not need.
    shutil.rmtree(products_copy / 'dots')
    assert counts(build(products_copy, keep_classes=['cloth'])) == {'cloth': 5}


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        ({'seen_classes': ['clot']}, "unknown class 'clot'.*did you mean cloth"),
        (
            {'seen_classes': ['cloth'], 'keep_classes': ['dots']},
            "keep_classes names the unknown class 'dots'.*some of cloth",
        ),
        ({'seen_classes': ['cloth', 'cloth']}, "'cloth' twice"),
        ({'replay_classes': ['wool']}, "replay_classes names the unknown class 'wool'"),
        (
            {'replay': 2, 'replay_classes': ['dots']},
            'names dots, of which all images are in the set already',
        ),
        ({'keep_classes': []}, r'keep_classes=\[\]: expected at least one of cloth'),
        ({'split': 'val'}, "split='val': expected one of train, test"),
        ({'split': 'test', 'replay': 1}, 'both in training only'),
        ({'split': 'test', 'rebalance': True}, 'both in training only'),
        ({'replay': -1}, 'a number of images from 0'),
        ({'hold_out': -0.1}, 'hold_out=-0.1: expected at least 0 and less than 1'),
        ({'hold_out': 1}, 'hold_out=1: expected'),
        ({'verify': 'all'}, "verify='all': expected one of True, False, full"),
    ],
)
def test_exception_arguments(toy_products: Path, kwargs: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(toy_products, **{'lazy_init': True, **kwargs})


def test_feature_replay(toy_products: Path) -> None:
    kwargs = {'keep_classes': ['marble'], 'replay_classes': ['cloth', 'dots']}
    small, large = (build(toy_products, **kwargs, replay=n) for n in (2, 4))
    assert counts(small) == {'marble': 5, 'cloth': 2, 'dots': 2}
    assert counts(build(toy_products, **kwargs)) == {'marble': 5}
    assert counts(build(toy_products, **kwargs, replay=9)) == dict.fromkeys(PRODUCTS, 5)
    paths = [{info['img_path'] for info in infos(d)} for d in (small, large)]
    assert paths[0] < paths[1]
    other = build(toy_products, **kwargs, replay=2, replay_seed=1)
    assert {info['img_path'] for info in infos(other)} != paths[0]


def test_feature_replay_ignores_order_and_place() -> None:
    names = [f'{i:03d}.png' for i in range(20)]
    draws = []
    for root, order in ((Path('/a'), 1), (Path('/b/c'), -1)):
        images = [AnomalyImage(root / 'x/train/good' / n, 'x') for n in names[::order]]
        drawn = draw_images(images, 3, seed=0, root=root)
        draws.append(sorted(image.path.name for image in drawn))
    assert draws[0] == draws[1]
    assert len(draws[0]) == 3


def test_feature_rebalance(products_copy: Path) -> None:
    for number in range(2, 5):
        (products_copy / f'cloth/train/good/{number:03d}.png').unlink()
    assert counts(build(products_copy)) == {'cloth': 2, 'dots': 5, 'marble': 5}
    repeated = build(products_copy, rebalance=True)
    assert counts(repeated) == {'cloth': 4, 'dots': 5, 'marble': 5}
    paths = Counter(i['img_path'] for i in infos(repeated))
    assert sorted(paths.values())[-3:] == [1, 2, 2]


def test_feature_rebalance_sizes_are_near() -> None:
    one = AnomalyImage(Path('a.png'), 'a')
    repeated = repeat_small({n: [one] * n for n in (1, 3, 7, 60, 320, 391)})
    lengths = [len(group) for group in repeated.values()]
    assert max(lengths) < 2 * min(lengths)
    assert lengths[-1] == 391
