from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mmdet.registry import MODELS
from mmengine.config import Config

from mmdefect.datasets.boxes.neu_det import NEUDETDataset
from mmdefect.models.detection.incremental_gfl_head import IncrementalGFLHead
from mmdefect.streams.detection import DetectionStream
from mmdefect.utils.config import dataset_classes

NEU_DET = list(NEUDETDataset.METAINFO['classes'])
OLD, NEW = NEU_DET[:3], NEU_DET[3:]


def neu_det(**more: Any) -> dict:
    return {'type': 'mmdefect.NEUDETDataset', 'ann_file': 'coco/train.json', **more}


def metric(kind: str = 'mmdefect.GroupedCocoMetric') -> dict:
    return {'type': kind, 'ann_file': 'coco/test.json'}


def config(
    *, train: dict | None = None, test: dict | None = None, **more: Any
) -> Config:
    whole = {
        'model': dict(type='GFL', bbox_head=dict(type='GFLHead', num_classes=80)),
        'train_dataloader': {'dataset': train or neu_det()},
        'val_dataloader': {'dataset': test or neu_det(test_mode=True)},
        'test_dataloader': {'dataset': test or neu_det(test_mode=True)},
        'val_evaluator': metric(),
        'test_evaluator': metric(),
    }
    return Config(whole | more)


def resolve(cfg: Config, step: int, protocol: Any = '3+3', **stream: Any) -> Config:
    return DetectionStream(cfg=cfg, protocol=protocol, **stream).resolve(cfg, step)


def test_feature_classes() -> None:
    cfg = config()
    for step, keep in enumerate((OLD, NEW)):
        resolved = resolve(cfg, step)
        seen = NEU_DET[: 3 * (step + 1)]
        assert resolved.model.bbox_head.num_classes == len(seen)
        assert 'num_old_classes' not in resolved.model.bbox_head
        train = resolved.train_dataloader.dataset
        assert train.seen_classes == seen
        assert train.keep_classes == keep
        for split in ('val', 'test'):
            dataset = resolved[f'{split}_dataloader'].dataset
            assert dataset.seen_classes == seen
            assert 'keep_classes' not in dataset  # tested on all classes so far
    assert cfg.model.bbox_head.num_classes == 80  # what was given is left alone
    joint = resolve(config(), 1, train_on='seen')
    assert joint.train_dataloader.dataset.keep_classes == NEU_DET


class OwnHead(IncrementalGFLHead):
    """Somebody's subclass."""


@pytest.mark.parametrize(
    'kind',
    [
        'mmdefect.IncrementalGFLHead',
        'mmdefect.IncrementalATSSHead',
        'OwnHead',
        OwnHead,
    ],
)
def test_feature_heads_that_know_old_classes(kind: Any) -> None:
    MODELS.register_module(module=OwnHead, force=True)
    cfg = config(model={'type': 'GFL', 'bbox_head': {'type': kind}})
    assert [resolve(cfg, k).model.bbox_head.num_old_classes for k in (0, 1)] == [0, 3]
    for other in ('RetinaHead', 'nowhere.Head'):
        cfg.model.bbox_head.type = other
        assert 'num_old_classes' not in resolve(cfg, 1).model.bbox_head


def test_feature_labels_follow_the_protocol() -> None:
    """Class lists in an order of their own, and a class left out."""
    protocol = [['patches', 'crazing'], ['scratches']]
    resolved = resolve(config(), 1, protocol)
    seen = resolved.train_dataloader.dataset.seen_classes
    assert seen == ['patches', 'crazing', 'scratches']
    assert resolved.model.bbox_head.num_classes == 3


def test_feature_evaluators() -> None:
    cfg = config(test_evaluator=[metric(), {'type': 'mmdet.DumpDetResults'}])
    assert resolve(cfg, 0).test_evaluator[0].old_classes == []
    resolved = resolve(cfg, 1)
    assert resolved.test_evaluator[0].old_classes == OLD
    assert resolved.val_evaluator.old_classes == OLD
    assert resolved.test_evaluator[1] == {'type': 'mmdet.DumpDetResults'}


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
        own = {'classes': ('hole', 'rust', 'dent'), 'palette': [(1, 2, 3)] * 3}
        plain = {'type': 'CocoDataset', 'metainfo': own}
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
    kind = 'mmdefect.ChainCheckpointHook'
    hook = {'type': kind, 'checkpoint': 'x.pth', 'classes': NEU_DET}
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
    message = "model.type='FasterRCNN': expected a detector with one bbox_head"
    with pytest.raises(ValueError, match=message):
        resolve(cfg, 0)


def test_exception_dataset_without_classes() -> None:
    message = (
        r"dataset 'mmdefect\.DefectDetDataset' does not say its classes: expected "
        r'metainfo=dict\(classes=\(\.\.\.\)\) in it'
    )
    cfg = config(train={'type': 'mmdefect.DefectDetDataset'})
    with pytest.raises(ValueError, match=message):
        DetectionStream(cfg=cfg, protocol='3+3')


@pytest.mark.parametrize('name', ['NEUDETDataset', 'mmdefect.NEUDet', 'nowhere.Cocoa'])
def test_exception_unknown_dataset_type(name: str) -> None:
    message = f"dataset type '{name}' is not registered: expected a known name"
    with pytest.raises(ValueError, match=message):
        dataset_classes({'type': name})
