"""One small drawn data set, written as each annotation tool would write it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE = WIDTH, HEIGHT = 96, 64
CLASSES = ['dent', 'scratch']
Box = tuple[int, int, int, int]


def boxes_of(number: int) -> list[tuple[str, Box]]:
    """Defects of an image; every fourth one is good."""
    if number % 4 == 3:
        return []
    x, y = 5 + 3 * number % 40, 4 + 2 * number % 25
    found: list[tuple[str, Box]] = [('dent', (x, y, x + 20, y + 16))]
    if number % 2:
        found.append(('scratch', (60, 30 + number, 90, 42 + number)))
    return found


def draw(folder: Path, count: int = 12) -> list[str]:
    """Draw images with a dark dent and a bright scratch; return their names."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    names = []
    for number in range(count):
        pixels = rng.integers(100, 130, (HEIGHT, WIDTH, 3), np.uint8)
        for name, (x1, y1, x2, y2) in boxes_of(number):
            pixels[y1:y2, x1:x2] = {'dent': 20, 'scratch': 240}[name]
        names.append(f'part {number}.png')
        Image.fromarray(pixels).save(folder / names[-1])
    return names


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding='utf-8')


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding='utf-8')


def labelme(root: Path, count: int = 12) -> None:
    """A file beside each image; scratches as outlines."""
    for number, name in enumerate(draw(root, count)):
        shapes = []
        for label, (x1, y1, x2, y2) in boxes_of(number):
            points = [[x2, y1], [x1, y2]]
            kind = 'rectangle'
            if label == 'scratch':
                kind, points = 'polygon', [[x1, y1], [x2, y1 + 3], [x1 + 4, y2]]
            shapes.append({'label': label, 'points': points, 'shape_type': kind})
        content = {'version': '5.5.0', 'flags': {}, 'shapes': shapes}
        content |= {'imagePath': name, 'imageData': None}
        content |= {'imageHeight': HEIGHT, 'imageWidth': WIDTH}
        write_json((root / name).with_suffix('.json'), content)


def yolo(root: Path, count: int = 12) -> None:
    """Images and labels in two folders; a good image has an empty file."""
    for number, name in enumerate(draw(root / 'images', count)):
        lines = []
        for label, (x1, y1, x2, y2) in boxes_of(number):
            middle = (x1 + x2) / 2 / WIDTH, (y1 + y2) / 2 / HEIGHT
            sides = (x2 - x1) / WIDTH, (y2 - y1) / HEIGHT
            values = ' '.join(f'{value:.6f}' for value in (*middle, *sides))
            lines.append(f'{CLASSES.index(label)} {values}\n')
        write_text((root / 'labels' / name).with_suffix('.txt'), ''.join(lines))
    write_text(root / 'data.yaml', 'train: images\nnames:\n  0: dent\n  1: scratch\n')


def cvat(root: Path, count: int = 12) -> None:
    """One file; scratches as outlines."""
    images = []
    for number, name in enumerate(draw(root / 'images', count)):
        shapes = []
        for label, (x1, y1, x2, y2) in boxes_of(number):
            if label == 'scratch':
                points = f'{x1:.2f},{y1:.2f};{x2:.2f},{y1 + 3:.2f};{x1 + 4:.2f},{y2}'
                shapes.append(f'<polygon label="{label}" points="{points}"/>')
                continue
            corners = f'xtl="{x1}.00" ytl="{y1}.00" xbr="{x2}.00" ybr="{y2}.00"'
            shapes.append(f'<box label="{label}" occluded="0" {corners}/>')
        size = f'width="{WIDTH}" height="{HEIGHT}"'
        images.append(
            f'<image id="{number}" name="{name}" {size}>{"".join(shapes)}</image>'
        )
    labels = ''.join(f'<label><name>{name}</name></label>' for name in CLASSES)
    head = f'<version>1.1</version><meta><task><labels>{labels}</labels></task></meta>'
    text = '<?xml version="1.0" encoding="utf-8"?>\n'
    text += f'<annotations>{head}{"".join(images)}</annotations>'
    write_text(root / 'annotations.xml', text)


def label_studio(root: Path, count: int = 12) -> None:
    """An export of uploaded images; scratches as outlines."""
    tasks = []
    for number, name in enumerate(draw(root / 'photos', count)):
        regions = []
        for label, (x1, y1, x2, y2) in boxes_of(number):
            kind = 'polygonlabels' if label == 'scratch' else 'rectanglelabels'
            value: dict[str, Any] = {kind: [label]}
            if label == 'scratch':
                points = [(x1, y1), (x2, y1 + 3), (x1 + 4, y2)]
                value['points'] = [
                    [100 * x / WIDTH, 100 * y / HEIGHT] for x, y in points
                ]
            else:
                value |= {'x': 100 * x1 / WIDTH, 'y': 100 * y1 / HEIGHT, 'rotation': 0}
                value['width'] = 100 * (x2 - x1) / WIDTH
                value['height'] = 100 * (y2 - y1) / HEIGHT
            region = {'type': kind, 'value': value, 'from_name': 'label'}
            regions.append(
                {**region, 'original_width': WIDTH, 'original_height': HEIGHT}
            )
        upload = f'{number:08x}-{name}'
        link = f'/data/upload/1/{upload.replace(" ", "%20")}'
        annotations = [{'id': number, 'was_cancelled': False, 'result': regions}]
        tasks.append(
            {
                'id': number,
                'annotations': annotations,
                'file_upload': upload,
                'data': {'image': link},
            }
        )
    write_json(root / 'project-1.json', tasks)


def voc(root: Path, count: int = 12) -> None:
    """Two folders, as labelImg writes them."""
    for number, name in enumerate(draw(root / 'JPEGImages', count)):
        objects = ''
        for label, corners in boxes_of(number):
            tags = zip(('xmin', 'ymin', 'xmax', 'ymax'), corners, strict=True)
            box = ''.join(f'<{tag}>{value}</{tag}>' for tag, value in tags)
            objects += f'<object><name>{label}</name><bndbox>{box}</bndbox></object>'
        size = f'<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>'
        text = f'<annotation><filename>{name}</filename>{size}{objects}</annotation>'
        write_text((root / 'Annotations' / name).with_suffix('.xml'), text)


def coco(root: Path, count: int = 12) -> None:
    """One file beside a folder of images."""
    images, annotations = [], []
    for number, name in enumerate(draw(root / 'images', count), 1):
        images.append(
            {'id': number, 'file_name': name, 'width': WIDTH, 'height': HEIGHT}
        )
        for label, (x1, y1, x2, y2) in boxes_of(number - 1):
            own = {'id': len(annotations) + 1, 'image_id': number, 'iscrowd': 0}
            own['category_id'] = CLASSES.index(label) + 1
            annotations.append({**own, 'bbox': [x1, y1, x2 - x1, y2 - y1]})
    categories = [{'id': k, 'name': name} for k, name in enumerate(CLASSES, 1)]
    content = {'images': images, 'annotations': annotations, 'categories': categories}
    write_json(root / 'instances.json', content)


WRITERS: dict[str, Callable[..., None]] = {
    'coco': coco,
    'cvat': cvat,
    'label-studio': label_studio,
    'labelme': labelme,
    'voc': voc,
    'yolo': yolo,
}
