from __future__ import annotations

from pathlib import Path

import pytest

from mmdefect.converters.deeppcb import convert_deeppcb
from mmdefect.datasets.boxes.coco_file import save_json
from mmdefect.datasets.boxes.deeppcb import DeepPCBDataset
from mmdefect.datasets.boxes.neu_det import NEUDETDataset
from mmdefect.registry import DATASETS
from mmdefect.testing import make_toy_deeppcb, toy_deeppcb, toy_neu_det

STEEL = ('crazing', 'inclusion', 'patches', 'pitted_surface', 'rolled-in_scale')


def test_smoke(toy_root: Path, tmp_path: Path) -> None:
    steel = NEUDETDataset(
        data_root=f'{toy_root}/', ann_file='coco/test.json', pipeline=[]
    )
    assert len(steel) == 12
    root = make_toy_deeppcb(tmp_path, train=6, test=3, size=128)
    save_json(convert_deeppcb(root)['train'][0], root / 'coco/train.json')
    config = {
        'type': 'mmdefect.DeepPCBDataset',
        'data_root': f'{root}/',
        'pipeline': [],
    }
    boards = DATASETS.build({**config, 'ann_file': 'coco/train.json'})
    assert len(boards) == 6
    assert boards.get_data_info(0)['img_path'].endswith('00041000_test.jpg')


@pytest.mark.parametrize(
    ('dataset', 'toy', 'expected'),
    [
        (NEUDETDataset, toy_neu_det, (*STEEL, 'scratches')),
        (
            DeepPCBDataset,  # in the order of the type numbers
            toy_deeppcb,
            ('open', 'short', 'mousebite', 'spur', 'copper', 'pin-hole'),
        ),
    ],
)
def test_feature_classes_are_those_of_the_protocol(dataset, toy, expected) -> None:
    assert dataset.METAINFO['classes'] == tuple(toy.KINDS) == expected
    assert len(set(dataset.METAINFO['palette'])) == len(expected)
