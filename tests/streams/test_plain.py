"""mmdet configs without a stream: their COCO data are read by our rules.

Slow: two trainings are compared.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmdet.datasets import CocoDataset
from mmengine.config import Config
from mmengine.registry import METRICS, DefaultScope
from mmengine.runner import Runner

from mmdefect.apis import build_runner, load_config
from mmdefect.datasets.boxes.classes import NEU_DET_CLASSES
from mmdefect.datasets.boxes.dataset import DefectDetDataset
from mmdefect.streams.plain import check_coco_data
from mmdefect.utils.config import every_innermost, is_coco
from tests.conftest import toy_options
from tests.helpers.image_files import deep, with_exif
from tests.helpers.toy_coco import draw_coco

CONFIG = Path(__file__).parents[2] / 'configs/gfl/gfl_r18_fpn_toy_neu-det.py'
SIZE = 96
KINDS = ('hole', 'dent', 'rust')
SPLITS = ('train', 'val', 'test')


def plain(root: Path, work_dir: Path) -> Config:
    """The toy config as its owner would write it for mmdet, without our names."""
    cfg = load_config(CONFIG, cfg_options=toy_options(root), work_dir=str(work_dir))
    for split in SPLITS:
        cfg[f'{split}_dataloader'].pop('worker_init_fn', None)
        dataset = cfg[f'{split}_dataloader'].dataset
        dataset.type = 'CocoDataset'
        dataset.metainfo = dict(classes=NEU_DET_CLASSES)
        dataset.pop('cache_gb', None)
        dataset.indices = 4
    for split in SPLITS[1:]:
        cfg[f'{split}_evaluator'] = dict(
            type='CocoMetric', ann_file=cfg.test_evaluator.ann_file, metric='bbox'
        )
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1, val_interval=1)
    cfg.default_hooks = dict(checkpoint=dict(type='CheckpointHook'))
    cfg.custom_hooks = []
    for key in ('custom_imports', 'dataset_type'):
        cfg.pop(key, None)
    cfg.model.bbox_head.type = 'GFLHead'
    cfg.randomness = dict(seed=0)
    cfg.model.test_cfg.score_thr = 0.0  # an epoch gives low scores
    assert 'mmdefect' not in cfg.pretty_text
    return cfg


@pytest.mark.slow
def test_feature_nothing_changes(toy_neu_det: Path, tmp_path: Path) -> None:
    """One epoch and a test, by MMEngine alone and by our tools.

    The config stays the user's: in the work dir, beside the log, in the checkpoint.
    """
    runners, scores, dumps = [], [], []
    for name, build in (('stock', Runner.from_cfg), ('ours', build_runner)):
        folder = tmp_path / name
        runner = build(plain(toy_neu_det, folder))
        runner.train()
        scores.append(runner.test())
        runners.append(runner)
        dumped = (folder / CONFIG.name).read_text(encoding='utf-8')
        saved = torch.load(folder / 'epoch_1.pth', weights_only=False)['meta']
        (log,) = folder.rglob('*.log')
        log_text = log.read_text(encoding='utf-8')
        for text in (dumped, saved['cfg'], runner.cfg.pretty_text, log_text):
            assert "'mmdefect" not in text
            assert text.count("type='CocoDataset'") == 3
        dumps.append(dumped.replace(str(folder), ''))
    assert dumps[0] == dumps[1]
    assert scores[0] == scores[1]
    assert len(scores[0]) == 6
    stock, ours = runners
    assert type(stock.train_dataloader.dataset) is CocoDataset
    for split in SPLITS:
        dataset = getattr(ours, f'{split}_dataloader').dataset
        assert type(dataset) is DefectDetDataset
        assert not dataset.verify_images
    for one, other in zip(
        stock.model.parameters(), ours.model.parameters(), strict=True
    ):
        assert torch.equal(one, other)


def loaders(cfg: Config, *, ours: bool = True) -> SimpleNamespace:
    """What a Runner holds of its data before its loaders are built, and no model."""
    held = {f'_{s}_dataloader': copy.deepcopy(cfg[f'{s}_dataloader']) for s in SPLITS}
    runner = SimpleNamespace(cfg=cfg, **held)
    if ours:
        check_coco_data(runner)
    return runner


def built(runner: SimpleNamespace, split: str) -> Any:
    with DefaultScope.overwrite_default_scope('mmdet'):
        return Runner.build_dataloader(getattr(runner, f'_{split}_dataloader')).dataset


def score(metric: dict[str, Any], dataset: Any) -> dict[str, float]:
    """Score boxes that are shifted by up to four pixels."""
    scorer = METRICS.build(dict(metric, _scope_='mmdet'))
    scorer.dataset_meta = dataset.metainfo
    rng = np.random.default_rng(0)
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        boxes = np.array([box['bbox'] for box in info['instances']])
        found = dict(
            bboxes=torch.tensor(boxes + rng.integers(0, 5, (len(boxes), 1))),
            scores=torch.tensor(rng.random(len(boxes))),
            labels=torch.tensor([box['bbox_label'] for box in info['instances']]),
        )
        sample = dict(img_id=info['img_id'], ori_shape=(64, 64), pred_instances=found)
        scorer.process({}, [sample])
    return scorer.evaluate(len(dataset))


def test_feature_coco(tmp_path: Path, toy_neu_det: Path) -> None:
    """80 classes that nobody lists, ids with gaps: the same samples as mmdet's."""
    root = draw_coco(tmp_path / 'coco')
    cfg = plain(toy_neu_det, tmp_path / 'work')
    for split, folder in zip(SPLITS, ('train2017', 'val2017', 'val2017'), strict=True):
        dataset = cfg[f'{split}_dataloader'].dataset
        del dataset.metainfo
        dataset.update(
            data_root=f'{root}/',
            ann_file=f'annotations/instances_{folder}.json',
            data_prefix=dict(img=f'{folder}/'),
            indices=None,
        )
    metric = dict(type='CocoMetric', ann_file=f'{root}/{dataset.ann_file}')
    for split in SPLITS:
        theirs, mine = (built(loaders(cfg, ours=o), split) for o in (False, True))
        assert type(mine) is DefectDetDataset
        assert mine.metainfo['classes'] == theirs.metainfo['classes']
        assert len(mine) == len(theirs) == 10
        for index in range(10):
            one, other = mine.get_data_info(index), theirs.get_data_info(index)
            for key in ('img_path', 'img_id', 'height', 'width', 'instances'):
                assert one[key] == other[key]
    assert any(box['bbox_label'] > 70 for box in one['instances'])
    scores = score(metric, mine)
    assert scores == score(metric, theirs)
    assert 0.3 < scores['coco/bbox_mAP'] < 0.9


# ------------------------------------------------------------------ what is refused


def draw(root: Path, **changes: Any) -> dict[str, Any]:
    """Three images with a box of each of KINDS, and their file."""
    root.mkdir(exist_ok=True)
    images, boxes = [], []
    for number in range(3):
        pixels = np.full((SIZE, SIZE, 3), 90, np.uint8)
        pixels[20:50, 10:40] = 60 * number
        cv2.imwrite(str(root / f'{number}.png'), pixels)
        images.append(
            dict(id=number, file_name=f'{number}.png', width=SIZE, height=SIZE)
        )
        box = dict(id=number, image_id=number, category_id=number, area=900, iscrowd=0)
        boxes.append({**box, 'bbox': [10, 20, 30, 30]})
    categories = [dict(id=k, name=name) for k, name in enumerate(KINDS)]
    return dict(images=images, annotations=boxes, categories=categories)


@pytest.fixture
def loaded(tmp_path: Path, toy_neu_det: Path) -> Callable[..., Any]:
    """Write a file, and build its training or test data set by our runner."""

    def load(
        coco: dict[str, Any],
        split: str = 'test',
        metric: str = 'CocoMetric',
        **own: Any,
    ) -> Any:
        root = tmp_path / 'data'
        (root / 'own.json').write_text(json.dumps(coco), encoding='utf-8')
        cfg = plain(toy_neu_det, tmp_path / 'work')
        cfg.test_evaluator.type = metric
        dataset = cfg[f'{split}_dataloader'].dataset
        dataset.update(data_root=f'{root}/', ann_file='own.json', indices=None)
        dataset.update(data_prefix=dict(img=''), metainfo=dict(classes=KINDS))
        dataset.update(own)
        return built(loaders(cfg), split)

    return load


def refusal(root: Path) -> str:
    """What our data set says of the file."""
    with pytest.raises(ValueError) as error:
        DefectDetDataset(
            data_root=f'{root}/',
            ann_file='own.json',
            metainfo=dict(classes=KINDS),
            pipeline=[dict(type='LoadImageFromFile')],
            verify_images=None,
        )[0]
    return str(error.value)


def other_order(coco: dict[str, Any]) -> None:
    coco['categories'].reverse()


def misspelled(coco: dict[str, Any]) -> None:
    coco['categories'][1]['name'] = 'dnet'


def listed_twice(coco: dict[str, Any]) -> None:
    coco['images'].append({**coco['images'][0], 'id': 7})


def turned(root: Path) -> None:
    """A picture that is square: both ways fit the annotated size."""
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    (root / '0.png').write_bytes(with_exif('JPEG', 6, image))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (other_order, 'own.json holds the classes rust, dent, hole: expected exactly'),
        (misspelled, 'holds the classes hole, dnet, rust: expected exactly hole, dent'),
        (listed_twice, r'lists files more than once \(1: 0\.png\): expected one entry'),
        (None, r'0\.png.* orientation'),
    ],
)
def test_exception(tmp_path, loaded, change, message) -> None:
    """In the words of our data set; mmdet's says nothing and takes wrong labels."""
    coco = draw(tmp_path / 'data')
    if change is None:
        turned(tmp_path / 'data')
    else:
        change(coco)
    for split in ('train', 'test'):
        with pytest.raises(ValueError, match=message) as error:
            loaded(coco, split)[0]
        assert refusal(tmp_path / 'data') in str(error.value)


def test_exception_some_of_the_classes(tmp_path, loaded) -> None:
    """mmdet's way to choose classes is also how one is forgotten."""
    coco = draw(tmp_path / 'data')
    cure = 'file, all of them, and in seen_classes those to learn'
    with pytest.raises(ValueError, match=cure):
        loaded(coco, metainfo=dict(classes=KINDS[:2]))
    chosen = loaded(coco, 'train', seen_classes=list(KINDS[1:]))
    assert chosen.metainfo['classes'] == KINDS[1:]
    assert [len(chosen.get_data_info(i)['instances']) for i in range(2)] == [1, 1]


def test_feature_windows_paths(tmp_path: Path, loaded: Callable[..., Any]) -> None:
    coco = draw(tmp_path / 'data')
    draw(tmp_path / 'data/line')
    for image in coco['images']:
        image['file_name'] = f'line\\{image["file_name"]}'
    assert loaded(coco)[1]['inputs'].shape == (3, SIZE, SIZE)


def test_feature_16_bits(tmp_path: Path, loaded: Callable[..., Any]) -> None:
    """Values of 12 bits are not black."""
    coco = draw(tmp_path / 'data')
    for number in range(3):
        pixels = np.full((SIZE, SIZE), 2048, np.uint16)
        pixels[0, 0] = 4095
        (tmp_path / f'data/{number}.png').write_bytes(deep(pixels, '.png'))
    inputs = loaded(coco)[0]['inputs']
    assert inputs.max() == 255
    assert 127 <= int(inputs[0, -1, -1]) <= 128


@pytest.mark.parametrize(
    ('ids', 'kept'), [(['a', 'b', 'c'], [1, 2, 3]), (['7', '8', '9'], [7, 8, 9])]
)
def test_feature_ids_that_are_text(tmp_path, loaded, ids, kept) -> None:
    """mmdet's metric reads the file itself, by its own rules."""
    coco = draw(tmp_path / 'data')
    for image, box, own in zip(coco['images'], coco['annotations'], ids, strict=True):
        image['id'] = box['image_id'] = own
    metrics = {'CocoMetric': ids, 'mmdefect.GroupedCocoMetric': kept}
    for metric, expected in metrics.items():
        dataset = loaded(coco, metric=metric)
        assert [dataset[i]['data_samples'].img_id for i in range(3)] == expected


def test_feature_images_to_submit(tmp_path: Path, loaded: Callable[..., Any]) -> None:
    coco = draw(tmp_path / 'data')
    del coco['annotations']
    assert len(loaded(coco)) == 3
    with pytest.raises(ValueError, match=r"own\.json has no 'annotations'"):
        loaded(coco, 'train')


# --------------------------------------------------------------------- what is meant


class OwnDataset(CocoDataset):
    """Somebody's subclass."""


@pytest.mark.parametrize(
    ('kind', 'scope', 'expected'),
    [
        ('CocoDataset', 'mmdet', True),
        ('mmdet.CocoDataset', 'mmpretrain', True),
        ('mmdet.datasets.coco.CocoDataset', None, True),
        (CocoDataset, None, True),
        ('CocoDataset', 'mmpose', False),
        ('mmpose.CocoDataset', 'mmdet', False),
        ('CocoPanopticDataset', 'mmdet', False),
        ('mmdefect.DefectDetDataset', 'mmdet', False),
        (OwnDataset, 'mmdet', False),
    ],
)
def test_feature_which(kind: Any, scope: str | None, expected: bool) -> None:
    assert is_coco({'type': kind}, scope) is expected


def test_feature_wrapped(tmp_path: Path, toy_neu_det: Path) -> None:
    """Every part, and nothing that lies elsewhere."""
    cfg = plain(toy_neu_det, tmp_path)
    part = cfg.train_dataloader.dataset
    remote = dict(part, backend_args=dict(backend='petrel'))
    both = dict(type='ConcatDataset', datasets=[part, remote])
    cfg.train_dataloader.dataset = dict(type='RepeatDataset', times=2, dataset=both)
    found = list(every_innermost(loaders(cfg)._train_dataloader['dataset']))
    assert [d.type for d in found] == ['mmdefect.DefectDetDataset', 'CocoDataset']
