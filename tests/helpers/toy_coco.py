"""COCO in miniature, on disk like the real one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from mmdet.datasets import CocoDataset
from PIL import Image

CLASSES = CocoDataset.METAINFO['classes']
# Ids that COCO skips.
GAPS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
IDS = [number for number in range(1, 91) if number not in GAPS]
SIZE = 64


def draw_coco(root: Path) -> Path:
    """COCO's folders and ids: ten images of 64 px, 16 coloured boxes each.

    An image shows old and new classes, as in COCO; each class is in two of them.
    """
    (root / 'annotations').mkdir(parents=True)
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (80, 3))
    for split in ('train2017', 'val2017'):
        (root / split).mkdir()
        images, annotations = [], []
        for number in range(10):
            pixels = rng.integers(100, 120, (SIZE, SIZE, 3))
            for k in range(16):
                label = (number * 16 + k) * 7 % 80
                x, y = k % 4 * 16 + 1, k // 4 * 16 + 1
                pixels[y : y + 14, x : x + 14] = colours[label]
                box = {
                    'id': 16 * number + k + 1,
                    'image_id': number + 1,
                    'category_id': IDS[label],
                    'bbox': [x, y, 14, 14],
                    'area': 196,
                    'iscrowd': 0,
                }
                annotations.append(box)
            name = f'{number + 1:012}.png'
            Image.fromarray(pixels.astype(np.uint8)).save(root / split / name)
            image = {'id': number + 1, 'file_name': name, 'width': SIZE, 'height': SIZE}
            images.append(image)
        categories = [
            {'id': number, 'name': name, 'supercategory': 'toy'}
            for number, name in zip(IDS, CLASSES, strict=True)
        ]
        content = {
            'categories': categories,
            'images': images,
            'annotations': annotations,
        }
        path = root / 'annotations' / f'instances_{split}.json'
        path.write_text(json.dumps(content), encoding='utf-8')
    return root
