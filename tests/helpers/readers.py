"""Readers of files that somebody else wrote, each with a file that it accepts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mmdefect.converters.annotated import Found
from mmdefect.converters.annotated_shapes import labelme_images
from mmdefect.converters.coco import check_coco, reorder_classes
from mmdefect.converters.cvat import read_cvat
from mmdefect.converters.deeppcb import read_annotation
from mmdefect.converters.deeppcb import read_split as read_deeppcb
from mmdefect.converters.image_folder import ImageFolder
from mmdefect.converters.index_masks import from_coco
from mmdefect.converters.label_studio import read_label_studio
from mmdefect.converters.labelme import read_labelme as read_labelme_boxes
from mmdefect.converters.neu_det import read_split_list
from mmdefect.converters.visa import read_split as read_visa
from mmdefect.converters.voc import read_voc_xml
from mmdefect.converters.yolo import read_yolo
from mmdefect.datasets.anomaly.meta_file import read_meta_file
from mmdefect.datasets.boxes.class_split import (
    class_names,
    cooccurrence_table,
    split_coco,
)
from mmdefect.datasets.boxes.coco_file import read_coco, save_json
from mmdefect.datasets.boxes.dataset import DefectDetDataset
from mmdefect.datasets.casting.split import read_split as read_casting_split
from mmdefect.evaluation.grouped_coco import GroupedCocoMetric
from tests.helpers.image_files import packed, written

BOX = {'bbox': [1, 2, 20, 20], 'area': 400, 'iscrowd': 0}
OUTLINE, RUNS = [[1, 2, 21, 2, 21, 22, 1, 22]], {'size': [40, 60], 'counts': [40, 2360]}
COCO = {
    'images': [
        {'id': number, 'file_name': f'images/{name}.png', 'width': 60, 'height': 40}
        for number, name in enumerate('ab', 1)
    ],
    'annotations': [
        {**BOX, 'id': n, 'image_id': n, 'category_id': n, 'segmentation': shape}
        for n, shape in enumerate((OUTLINE, RUNS), 1)
    ],
    'categories': [{'id': 1, 'name': 'dent'}, {'id': 2, 'name': 'rust'}],
}
LABELME = {'imagePath': 'a.png', 'imageHeight': 40, 'imageWidth': 60}
LABELME['shapes'] = [
    {'label': 'dent', 'shape_type': 'polygon', 'points': [[1, 1], [9, 1], [9, 9]]},
    {'label': 'rust', 'shape_type': 'circle', 'points': [[9, 9], [9, 4]]},
]
LISTED = {
    'filename': 'a/test/hole/7.png',
    'label': 1,
    'clsname': 'a',
    'maskname': 'a/7.png',
}
IMAGE = packed(np.zeros((40, 60), np.uint8), 'PNG')
VOC = """<?xml version="1.0" encoding="utf-8"?><annotation><size><width>60</width>
<height>40</height></size><object><name>dent</name><bndbox><xmin>5</xmin><ymin>5</ymin>
<xmax>30</xmax><ymax>30</ymax></bndbox></object></annotation>"""
CVAT = """<?xml version="1.0" encoding="utf-8"?><annotations><meta><task><labels><label>
<name>dent</name></label></labels><original_size><width>60</width><height>40</height>
</original_size></task></meta><image id="0" name="a.png" width="60" height="40">
<box label="dent" xtl="5" ytl="5" xbr="30" ybr="30" rotation="5"/>
<polygon label="rust" points="1,1;9,1;9,9"/></image><track id="0" label="dent">
<box frame="0" outside="0" xtl="5" ytl="5" xbr="30" ybr="30"/></track></annotations>"""
REGION = {'x': 5, 'y': 5, 'width': 50, 'height': 40, 'rotation': 3}
TASKS = [
    {
        'data': {'image': '/data/upload/1/0a1b2c3d-a.png'},
        'annotations': [
            {
                'was_cancelled': False,
                'result': [
                    {
                        'type': 'rectanglelabels',
                        'original_width': 60,
                        'original_height': 40,
                        'value': {**REGION, 'rectanglelabels': ['dent']},
                    }
                ],
            }
        ],
    }
]
VISA = 'object,split,label,image,mask\ncandle,train,normal,candle/0.JPG,\n'
CASTING = 'path,sha256,cluster,split\ntest/def_front/a.jpeg,4e71ebe,3,train\n'


def read_boxes(path: Path) -> None:
    """What a converter, a training and a test do with a COCO file."""
    written(path.parent / 'images', {'a.png': IMAGE, 'b.png': IMAGE})
    coco = read_coco(path)
    check_coco(coco, title='t', root=path.parent)
    names = class_names(coco)
    save_json(reorder_classes(coco, names), path.with_name('target.json'))
    if names and coco['annotations']:
        cooccurrence_table(coco, [names])
        split_coco(coco, keep=names)
    # Serialising collects the garbage of the whole process, a second each time.
    options = {'verify_images': False, 'pipeline': [], 'serialize_data': False}
    options |= {'data_root': f'{path.parent}/', 'ann_file': str(path)}
    DefectDetDataset(**options)
    data = DefectDetDataset(test_mode=True, **options)
    metric = GroupedCocoMetric(ann_file=str(path), backend='pycocotools')
    metric.dataset_meta = data.metainfo
    metric.open()


def read_labelme(path: Path) -> None:
    for *_, draw in labelme_images(path.parent, line_width=3):
        list(draw())


def importer(read: Callable[..., Found]) -> Callable[[Path], None]:
    """One of the importers of boxes, raising the first error that it has collected."""

    def first_error(path: Path) -> None:
        written(path.parent, {'a.png': IMAGE, 'frame_000000.png': IMAGE})
        found = read(ImageFolder(path.parent), [path])
        for error in found.errors:
            raise ValueError(error)

    return first_error


def read_yolo_label(folder: ImageFolder, paths: list[Path]) -> Found:
    label = folder.root / 'a.txt'
    label.write_bytes(paths[0].read_bytes())
    return read_yolo(folder, [label], classes=['dent', 'rust'])


def read_yolo_names(folder: ImageFolder, paths: list[Path]) -> Found:
    names = folder.root / 'data.yaml'
    names.write_bytes(paths[0].read_bytes())
    return read_yolo(folder, [names], classes=['dent'])


def read_deeppcb_list(path: Path) -> None:
    path.parent.joinpath('PCBData').mkdir(exist_ok=True)
    listed = path.parent / 'PCBData/test.txt'
    listed.write_bytes(path.read_bytes())
    for error in read_deeppcb(path.parent, 'test')[2]:
        raise ValueError(error)


KINDS: dict[str, tuple[Any, Callable[[Path], Any]]] = {
    'boxes': (COCO, read_boxes),
    'outlines': (COCO, from_coco),
    'labelme': (LABELME, read_labelme),
    'labelme-boxes': (LABELME, importer(read_labelme_boxes)),
    'label-studio': (TASKS, importer(read_label_studio)),
    'cvat': (CVAT, importer(read_cvat)),
    'yolo': ('0 0.5 0.5 0.1 0.2\n1 .1 .1 .2 .1 .2 .3\n', importer(read_yolo_label)),
    'yolo-names': ('names:\n  0: dent\n  1: rust\n', importer(read_yolo_names)),
    'meta': (LISTED, lambda path: read_meta_file(path, path.parent)),
    'voc': (VOC, lambda path: read_voc_xml(path, file_name='a.jpg')),
    'visa': (VISA, read_visa),
    'casting': (CASTING, read_casting_split),
    'names': ('crazing_1\ncrazing_2.jpg\n', read_split_list),
    'deeppcb': ('1 2 30 40 5\n3 4 50 60 6\n', read_annotation),
    'deeppcb-list': ('g/0.jpg g_not/0.txt\n', read_deeppcb_list),
}
