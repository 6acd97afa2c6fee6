from __future__ import annotations

from pathlib import Path

from mmdefect.converters.deeppcb import convert_deeppcb
from mmdefect.datasets.boxes.coco_file import save_json
from mmdefect.datasets.boxes.deeppcb import DeepPCBDataset
from mmdefect.registry import DATASETS
from mmdefect.testing import make_toy_deeppcb
from mmdefect.testing.toy_deeppcb import KINDS


def test_smoke(tmp_path: Path) -> None:
    root = make_toy_deeppcb(tmp_path, train=6, test=3, size=128)
    save_json(convert_deeppcb(root)['train'][0], root / 'coco/train.json')
    dataset = DATASETS.build(
        {
            'type': 'mmdefect.DeepPCBDataset',
            'data_root': f'{root}/',
            'ann_file': 'coco/train.json',
            'pipeline': [],
        }
    )
    assert len(dataset) == 6
    assert dataset.get_data_info(0)['img_path'].endswith('00041000_test.jpg')


def test_feature_classes_are_in_the_order_of_the_type_numbers() -> None:
    classes = DeepPCBDataset.METAINFO['classes']
    assert classes == ('open', 'short', 'mousebite', 'spur', 'copper', 'pin-hole')
    assert tuple(KINDS) == classes
    assert len(set(DeepPCBDataset.METAINFO['palette'])) == len(classes)
