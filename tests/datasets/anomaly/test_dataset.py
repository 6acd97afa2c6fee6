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
from mmdefect.datasets.anomaly.mvtec_ad import MVTecADDataset
from mmdefect.datasets.anomaly.visa import VisADataset
from mmdefect.registry import DATASETS
from mmdefect.testing import make_toy_products
from tests.conftest import tool_env

PRODUCTS = ('cloth', 'dots', 'marble')
BASES = Path(__file__).parents[3] / 'configs/_base_/datasets'


@pytest.fixture(scope='module')
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three products, 5 training and 5 test images each; read-only."""
    root = tmp_path_factory.mktemp('toy')
    return make_toy_products(root, size=32, products=3, train=5, test=5)


@pytest.fixture
def damaged(toy: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(toy, tmp_path / 'toy'))


def build(root: Path, split: str = 'train', **kwargs: Any) -> AnomalyDataset:
    kwargs = {'metainfo': {'classes': PRODUCTS}, 'pipeline': [], **kwargs}
    return AnomalyDataset(data_root=str(root), split=split, **kwargs)


def infos(dataset: AnomalyDataset) -> list[dict[str, Any]]:
    return [dataset.get_data_info(i) for i in range(len(dataset))]


def counts(dataset: AnomalyDataset) -> dict[str, int]:
    return dict(Counter(info['class_name'] for info in infos(dataset)))


# ----------------------------------------------------------------------- smoke


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
    assert isinstance(built, (MVTecADDataset, VisADataset))
    assert (len(classes), classes[0], classes[-1]) == (number, *ends)
    assert list(classes) == sorted(classes)


def test_smoke_without_mmdet() -> None:
    """Pipelines included, in the scope of anomaly configs."""
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


# ----------------------------------------------------------------------- shape


def test_shape_data_infos(toy: Path) -> None:
    train, test = infos(build(toy)), infos(build(toy, 'test'))
    assert [info['class_label'] for info in train] == [0] * 5 + [1] * 5 + [2] * 5
    assert {info['gt_label'] for info in train} == {0}
    assert {info['defect'] for info in train} == {'good'}
    assert test[0] == {
        'exif': 'stored',
        'img_path': str(toy / 'cloth/test/cut/000.png'),
        'mask_paths': [str(toy / 'cloth/ground_truth/cut/000_mask.png')],
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
def test_shape_items_of_the_base_configs(toy: Path, name: str) -> None:
    """The pipelines of the configs, on toy images, as the runner builds them."""
    cfg = Config.fromfile(BASES / f'{name}.py')
    shape = (128, 128) if name == 'toy_products' else (224, 224)
    mask = (224, 224) if name in ('mvtec_ad', 'visa') else (32, 32)
    for split in ('train', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.dataset.update(data_root=str(toy), metainfo={'classes': PRODUCTS})
        batch = pseudo_collate([DATASETS.build(loader.dataset)[i] for i in (0, 4)])
        assert {tuple(image.shape) for image in batch['inputs']} == {(3, *shape)}
        sample = batch['data_samples'][0]
        assert (sample.class_name, sample.ori_shape) == ('cloth', (32, 32))
        assert ('gt_mask' in sample) == (split == 'test')
    assert tuple(sample.gt_mask.shape) == mask
    assert cfg.train_dataloader.drop_last
    assert cfg.test_evaluator.type == 'mmdefect.AnomalyMetric'


# --------------------------------------------------------------------- classes


def test_feature_labels_follow_seen_classes(toy: Path) -> None:
    dataset = build(toy, seen_classes=['marble', 'cloth'], keep_classes=['cloth'])
    assert dataset.metainfo['classes'] == ('marble', 'cloth')
    assert {(i['class_name'], i['class_label']) for i in infos(dataset)} == {
        ('cloth', 1)
    }


def test_feature_classes_from_the_folders(toy: Path, damaged: Path) -> None:
    (damaged / 'lists').mkdir()  # no product: neither train nor test below it
    assert build(damaged, metainfo=None).metainfo['classes'] == PRODUCTS
    # A declared set may hold products that this step does not need.
    shutil.rmtree(damaged / 'dots')
    assert counts(build(damaged, keep_classes=['cloth'])) == {'cloth': 5}


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        ({'seen_classes': ['clot']}, "unknown class 'clot'.*did you mean cloth"),
        (
            {'seen_classes': ['cloth'], 'keep_classes': ['dots']},
            "keep_classes names the unknown class 'dots'[;:] expected some of cloth",
        ),
        ({'seen_classes': ['cloth', 'cloth']}, "'cloth' twice"),
        ({'replay_classes': ['wool']}, "replay_classes names the unknown class 'wool'"),
        (
            {'replay': 2, 'replay_classes': ['dots']},
            'replay_classes names dots, of which all images are in the set already',
        ),
        ({'keep_classes': []}, 'No class is left'),
        ({'split': 'val'}, "split='val': expected one of train, test"),
        ({'split': 'test', 'replay': 1}, 'both in training only'),
        ({'split': 'test', 'rebalance': True}, 'both in training only'),
        ({'replay': -1}, 'a number of images from 0'),
        ({'verify': 'all'}, "verify is 'all'"),
    ],
)
def test_exception_arguments(toy: Path, kwargs: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(toy, **{'lazy_init': True, **kwargs})


# ---------------------------------------------------------------------- replay


def test_feature_replay(toy: Path) -> None:
    kwargs = {'keep_classes': ['marble'], 'replay_classes': ['cloth', 'dots']}
    small, large = (build(toy, **kwargs, replay=n) for n in (2, 4))
    assert counts(small) == {'marble': 5, 'cloth': 2, 'dots': 2}
    assert counts(build(toy, **kwargs)) == {'marble': 5}
    assert counts(build(toy, **kwargs, replay=9)) == {
        'marble': 5,
        'cloth': 5,
        'dots': 5,
    }
    paths = [{info['img_path'] for info in infos(d)} for d in (small, large)]
    assert paths[0] < paths[1]
    other = build(toy, **kwargs, replay=2, replay_seed=1)
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


def test_feature_rebalance(damaged: Path) -> None:
    for number in range(2, 5):
        (damaged / f'cloth/train/good/{number:03d}.png').unlink()
    assert counts(build(damaged)) == {'cloth': 2, 'dots': 5, 'marble': 5}
    repeated = build(damaged, rebalance=True)
    assert counts(repeated) == {'cloth': 4, 'dots': 5, 'marble': 5}
    paths = Counter(
        i['img_path'] for i in infos(repeated) if i['class_name'] == 'cloth'
    )
    assert set(paths.values()) == {2}


def test_feature_rebalance_sizes_are_near() -> None:
    one = AnomalyImage(Path('a.png'), 'a')
    sizes = [1, 3, 7, 60, 320, 391]
    repeated = repeat_small({str(n): [one] * n for n in sizes})
    lengths = [len(group) for group in repeated.values()]
    assert max(lengths) < 2 * min(lengths)
    assert lengths[-1] == 391
