from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from mmdefect.datasets.boxes.neu_det import NEUDETDataset
from mmdefect.streams.detection import DetectionStream, dataset_classes

NEU_DET = list(NEUDETDataset.METAINFO['classes'])
OLD, NEW = NEU_DET[:3], NEU_DET[3:]


def neu_det(**more: Any) -> dict:
    return {'type': 'mmdefect.NEUDETDataset', 'ann_file': 'coco/train.json', **more}


def metric(kind: str = 'mmdefect.GroupedCocoMetric') -> dict:
    return {'type': kind, 'ann_file': 'coco/test.json'}


def config(
    *, train: dict | None = None, test: dict | None = None, **more: Any
) -> Config:
    return Config(
        {
            'model': {
                'type': 'GFL',
                'bbox_head': {'type': 'GFLHead', 'num_classes': 80},
            },
            'train_dataloader': {'dataset': train or neu_det()},
            'val_dataloader': {'dataset': test or neu_det(test_mode=True)},
            'test_dataloader': {'dataset': test or neu_det(test_mode=True)},
            'val_evaluator': metric(),
            'test_evaluator': metric(),
            **more,
        }
    )


def resolve(cfg: Config, step: int, protocol: Any = '3+3', **stream: Any) -> Config:
    return DetectionStream(cfg=cfg, protocol=protocol, **stream).resolve(cfg, step)


@pytest.mark.parametrize(('step', 'classes'), [(0, 3), (1, 6)])
def test_feature_class_counts(step: int, classes: int) -> None:
    cfg = config()
    resolved = resolve(cfg, step)
    assert resolved.model.bbox_head.num_classes == classes
    assert cfg.model.bbox_head.num_classes == 80  # what was given is left alone


def test_feature_datasets() -> None:
    for step, keep in enumerate((OLD, NEW)):
        resolved = resolve(config(), step)
        train = resolved.train_dataloader.dataset
        assert train.seen_classes == NEU_DET[: 3 * (step + 1)]
        assert train.keep_classes == keep
        for split in ('val', 'test'):
            dataset = resolved[f'{split}_dataloader'].dataset
            assert dataset.seen_classes == NEU_DET[: 3 * (step + 1)]
            assert 'keep_classes' not in dataset  # tested on all classes so far


def test_feature_train_on_seen() -> None:
    resolved = resolve(config(), 1, train_on='seen')
    assert resolved.train_dataloader.dataset.keep_classes == NEU_DET


def test_feature_labels_follow_the_protocol() -> None:
    """Class lists in an order of their own, and a class left out."""
    protocol = [['patches', 'crazing'], ['scratches']]
    resolved = resolve(config(), 1, protocol)
    assert resolved.train_dataloader.dataset.seen_classes == [
        'patches',
        'crazing',
        'scratches',
    ]
    assert resolved.model.bbox_head.num_classes == 3


def test_feature_evaluators() -> None:
    cfg = config(test_evaluator=[metric(), {'type': 'mmdet.DumpDetResults'}])
    assert resolve(cfg, 0).test_evaluator[0].old_classes == []
    resolved = resolve(cfg, 1)
    assert resolved.test_evaluator[0].old_classes == OLD
    assert resolved.val_evaluator.old_classes == OLD
    assert resolved.test_evaluator[1] == {'type': 'mmdet.DumpDetResults'}


def test_feature_without_validation() -> None:
    resolved = resolve(config(val_dataloader=None, val_evaluator=None), 1)
    assert resolved.val_dataloader is None


class TestPlainMmdet:
    """A user's own mmdet config becomes a stream without edits to its datasets."""

    @pytest.mark.parametrize('prefix', ['', 'mmdet.'])
    def test_feature_coco_types_become_ours(self, prefix: str) -> None:
        plain = {'type': f'{prefix}CocoDataset', 'ann_file': 'x.json'}
        cfg = config(
            train=plain, test=plain, test_evaluator=metric(f'{prefix}CocoMetric')
        )
        resolved = resolve(cfg, 1, '40+40')
        for split in ('train', 'test'):
            dataset = resolved[f'{split}_dataloader'].dataset
            assert dataset.type == 'mmdefect.DefectDetDataset'
            assert dataset.metainfo['classes'] == tuple(dataset.seen_classes)
            # COCO's own first, 40th, 41st and last category.
            picked = [dataset.seen_classes[label] for label in (0, 39, 40, 79)]
            assert picked == ['person', 'bottle', 'wine glass', 'toothbrush']
        assert resolved.test_evaluator.type == 'mmdefect.GroupedCocoMetric'
        assert resolved.test_evaluator.old_classes[-1] == 'bottle'
        assert resolved.model.bbox_head.num_classes == 80

    def test_feature_own_classes(self) -> None:
        """All classes of the file are declared, however few the step has seen."""
        plain = {
            'type': 'CocoDataset',
            'metainfo': {
                'classes': ('hole', 'rust', 'dent'),
                'palette': [(1, 2, 3)] * 3,
            },
        }
        resolved = resolve(config(train=plain, test=plain), 0, '1+2')
        dataset = resolved.train_dataloader.dataset
        assert dataset.seen_classes == ['hole']
        assert dataset.metainfo == plain['metainfo']

    def test_feature_it_builds(self, tmp_path: Path) -> None:
        from mmengine.registry import DATASETS

        plain = {'type': 'CocoDataset', 'ann_file': 'x.json', 'pipeline': []}
        resolved = resolve(config(train=plain, test=plain), 0, '40+40')
        built = DATASETS.build(dict(resolved.train_dataloader.dataset, lazy_init=True))
        assert len(built.metainfo['classes']) == 40


def test_feature_wrapped_dataset() -> None:
    repeated = {'type': 'RepeatDataset', 'times': 2, 'dataset': neu_det()}
    wrapped = {'type': 'ClassBalancedDataset', 'dataset': repeated}
    resolved = resolve(config(train=wrapped), 1)
    outer = resolved.train_dataloader.dataset
    assert 'seen_classes' not in outer
    assert 'seen_classes' not in outer.dataset
    assert outer.dataset.dataset.seen_classes == NEU_DET
    assert outer.dataset.dataset.keep_classes == NEW


def test_feature_chain_by_a_hook() -> None:
    stream, cfg = DetectionStream(cfg=config(), protocol='3+3'), config()
    stream.chain(cfg, 1, 'x.pth')
    hook = {
        'type': 'mmdefect.ChainCheckpointHook',
        'checkpoint': 'x.pth',
        'classes': NEU_DET,
    }
    assert cfg.custom_hooks == [hook]
    keys = ['bbox_head.cls.weight']
    stream = DetectionStream(cfg=config(), protocol='3+3', class_keys=keys)
    stream.chain(cfg, 1, 'x.pth')
    assert cfg.custom_hooks == [{**hook, 'class_keys': keys}]


def test_feature_chain_by_a_teacher() -> None:
    """A student is started by what it learns from, and by nothing else."""
    stream, cfg = DetectionStream(cfg=config(), protocol='3+3'), config()
    cfg.model.distill = {'type': 'mmdefect.SelectiveDistillation'}
    stream.chain(cfg, 1, 'x.pth')
    assert cfg.model.teacher == {'checkpoint': 'x.pth', 'classes': NEU_DET[:3]}
    assert not cfg.get('custom_hooks')


def test_feature_classes_can_be_said() -> None:
    cfg = config(train={'type': 'mmdefect.DefectDetDataset'})
    stream = DetectionStream(cfg=cfg, protocol='1+1', classes=['hole', 'rust'])
    assert stream.classes == ['hole', 'rust']


@pytest.mark.parametrize('head', [{}, {'roi_head': {'type': 'StandardRoIHead'}}])
def test_exception_no_bbox_head(head: dict) -> None:
    cfg = config(model={'type': 'FasterRCNN', **head})
    message = "model 'FasterRCNN' has no bbox_head: DetectionStream sets the class"
    with pytest.raises(ValueError, match=message):
        resolve(cfg, 0)


def test_exception_dataset_without_classes() -> None:
    message = (
        r"dataset 'mmdefect\.DefectDetDataset' does not say its classes: expected "
        r'metainfo=dict\(classes=\(\.\.\.\)\) in it'
    )
    with pytest.raises(ValueError, match=message):
        DetectionStream(
            cfg=config(train={'type': 'mmdefect.DefectDetDataset'}), protocol='3+3'
        )


@pytest.mark.parametrize('name', ['NEUDETDataset', 'mmdefect.NEUDet', 'nowhere.Cocoa'])
def test_exception_unknown_dataset_type(name: str) -> None:
    message = f"dataset type '{name}' is not registered: expected a known name"
    with pytest.raises(ValueError, match=message):
        dataset_classes({'type': name})


def test_exception_unknown_class_in_protocol() -> None:
    message = "unknown class 'crasing'.*did you mean 'crazing'"
    with pytest.raises(ValueError, match=message):
        DetectionStream(cfg=config(), protocol=[['crasing']])
