from __future__ import annotations

from pathlib import Path

from mmdefect.datasets.boxes.neu_det import NEUDETDataset
from mmdefect.testing.toy_neu_det import KINDS


def test_smoke(toy_root: Path) -> None:
    dataset = NEUDETDataset(
        data_root=f'{toy_root}/', ann_file='coco/test.json', pipeline=[]
    )
    assert len(dataset) == 12


def test_feature_classes_are_those_of_the_protocol() -> None:
    classes = NEUDETDataset.METAINFO['classes']
    assert classes == (
        'crazing',
        'inclusion',
        'patches',
        'pitted_surface',
        'rolled-in_scale',
        'scratches',
    )
    assert tuple(KINDS) == classes
    assert len(set(NEUDETDataset.METAINFO['palette'])) == len(classes)
