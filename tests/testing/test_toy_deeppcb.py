from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from mmdefect.converters.deeppcb import read_annotation
from mmdefect.datasets.boxes.classes import DEEPPCB_CLASSES
from mmdefect.testing.toy_deeppcb import make_toy_deeppcb


def test_smoke_layout(tmp_path: Path) -> None:
    root = make_toy_deeppcb(tmp_path, train=4, test=2, size=128)
    assert (root / 'PCBData/trainval.txt').read_text(encoding='utf-8').splitlines() == [
        'group00041/00041/00041000.jpg group00041/00041_not/00041000.txt',
        'group12000/12000/12000000.jpg group12000/12000_not/12000000.txt',
        'group13000/13000/13000000.jpg group13000/13000_not/13000000.txt',
        'group00041/00041/00041001.jpg group00041/00041_not/00041001.txt',
    ]
    listed = (root / 'PCBData/test.txt').read_text(encoding='utf-8')
    assert len(listed.splitlines()) == 2
    assert (root / 'PCBData/group00041/00041/00041001_test.jpg').is_file()
    assert len(list(root.rglob('*.jpg'))) == 6


def test_feature_images_look_binarised(tmp_path: Path) -> None:
    root = make_toy_deeppcb(tmp_path, train=1, test=1)
    image = Image.open(root / 'PCBData/group00041/00041/00041000_test.jpg')
    pixels = np.asarray(image)
    assert (image.size, image.mode) == ((192, 192), 'L')
    assert np.mean((pixels < 60) | (pixels > 195)) > 0.98
    assert 0.2 < np.mean(pixels > 127) < 0.8


def test_feature_mixed_kinds_and_boxes_inside(tmp_path: Path) -> None:
    root = make_toy_deeppcb(tmp_path, train=30, test=1)
    kinds: Counter[str] = Counter()
    both_groups = 0
    for path in sorted(root.rglob('*_not/*.txt')):
        objects = read_annotation(path)
        names = [name for name, _ in objects]
        assert 3 <= len(objects) <= 8
        assert len(set(names)) >= 3
        for _, (x1, y1, x2, y2) in objects:
            assert 0 <= x1 < x2 <= 192
            assert 0 <= y1 < y2 <= 192
            assert 5 <= np.sqrt((x2 - x1) * (y2 - y1)) <= 24
        kinds.update(names)
        groups = {name in DEEPPCB_CLASSES[:3] for name in names}
        both_groups += len(groups) == 2
    assert set(kinds) == set(DEEPPCB_CLASSES)
    assert both_groups >= 28
