"""Grouped COCO metric: golden values, both backends, names, bad input."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from mmdefect.datasets.boxes.dataset import DefectDetDataset
from mmdefect.evaluation import grouped_coco
from mmdefect.evaluation.grouped_coco import GroupedCocoMetric
from mmdefect.registry import METRICS

both_backends = pytest.mark.parametrize('backend', ['faster', 'pycocotools'])
Box = tuple[int, str, tuple[float, float, float, float]]
# image, class, (x, y, w, h)
TRUTH: list[Box] = [
    (1, 'crazing', (10, 10, 40, 40)),
    (2, 'crazing', (10, 10, 40, 40)),
    (1, 'patches', (100, 100, 50, 50)),
    (2, 'scratches', (60, 60, 30, 80)),
]
CATEGORIES = ['crazing', 'patches', 'scratches']


def write_json(path: Path, *, categories=CATEGORIES, truth=TRUTH, crowd=()) -> str:
    """Write a COCO json with images 1, 2, 3; image 3 holds no box."""
    ids = {name: 10 * (k + 1) for k, name in enumerate(categories)}
    boxes = [
        {
            'id': k + 1,
            'image_id': image,
            'category_id': ids[name],
            'bbox': list(box),
            'area': box[2] * box[3],
            'iscrowd': int(k in crowd),
        }
        for k, (image, name, box) in enumerate(truth)
        if name in ids
    ]
    images = [
        {'id': k, 'file_name': f'{k}.jpg', 'width': 200, 'height': 200}
        for k in (1, 2, 3)
    ]
    names = [{'id': i, 'name': name} for name, i in ids.items()]
    path.write_text(
        json.dumps({'images': images, 'annotations': boxes, 'categories': names}),
        encoding='utf-8',
    )
    return str(path)


def made(ann_file, *, classes=CATEGORIES, **kwargs) -> GroupedCocoMetric:
    metric = GroupedCocoMetric(ann_file=str(ann_file), **kwargs)
    metric.dataset_meta = {'classes': tuple(classes)}
    return metric


def evaluate(ann_file, boxes, **kwargs) -> dict[str, float]:
    """Score ``(image, class, xywh, score)`` boxes."""
    return feed(made(ann_file, **kwargs), boxes)


def feed(metric, boxes) -> dict[str, float]:
    classes = metric.dataset_meta['classes']
    for image in (1, 2, 3):
        mine = [box for box in boxes if box[0] == image]
        xywh = torch.tensor([box[2] for box in mine]).float().reshape(-1, 4)
        prediction = {
            'bboxes': torch.cat([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], dim=1),
            'scores': torch.tensor([box[3] for box in mine]).float(),
            'labels': torch.tensor([classes.index(box[1]) for box in mine]).long(),
        }
        metric.process(
            {},
            [{'img_id': image, 'ori_shape': (200, 200), 'pred_instances': prediction}],
        )
    return metric.evaluate(3)


# crazing: one hit (IoU 1), one miss -> precision 1 up to recall 0.5: 51 of COCO's 101
# recall points. patches: a box of IoU 0.8 -> a hit at 0.5 .. 0.8, 7 of 10 thresholds.
# scratches: a wrong box with the higher score, then the right one -> precision 0.5.
PREDICTIONS = [
    (1, 'crazing', (10, 10, 40, 40), 0.9),
    (1, 'patches', (100, 100, 50, 40), 0.9),
    (2, 'scratches', (150, 10, 30, 80), 0.9),
    (2, 'scratches', (60, 60, 30, 80), 0.4),
]
GOLDEN = {
    'coco/AP50/crazing': 51 / 101,
    'coco/AP50/patches': 1.0,
    'coco/AP50/scratches': 0.5,
    'coco/AP/crazing': 51 / 101,
    'coco/AP/patches': 0.7,
    'coco/AP/scratches': 0.5,
    'coco/AP50_old': 51 / 101,
    'coco/AP50_new': 0.75,
    'coco/AP50_all': (51 / 101 + 1.5) / 3,
    'coco/AP_old': 51 / 101,
    'coco/AP_new': 0.6,
    'coco/AP_all': (51 / 101 + 1.2) / 3,
    # every box lies on an image that shows an old class, and a new one
    'coco/own_AP50/crazing': 51 / 101,
    'coco/own_AP50/patches': 1.0,
    'coco/own_AP50/scratches': 0.5,
    'coco/old_own_AP50': 51 / 101,
    'coco/new_own_AP50': 0.75,
    'coco/all_own_AP50': (51 / 101 + 1.5) / 3,
    'coco/foreign_false_alarms': 0,
    'coco/foreign_false_alarms_old': 0,
    'coco/bbox_mAP': (51 / 101 + 1.2) / 3,
    'coco/bbox_mAP_50': (51 / 101 + 1.5) / 3,
    # at 0.75 patches are still hit
    'coco/bbox_mAP_75': (51 / 101 + 1.5) / 3,
    'coco/bbox_mAP_s': -1.0,
    # all boxes have areas between 32^2 and 96^2
    'coco/bbox_mAP_m': (51 / 101 + 1.2) / 3,
    'coco/bbox_mAP_l': -1.0,
}


@both_backends
def test_smoke(tmp_path, backend) -> None:
    ann_file = write_json(tmp_path / 'test.json')
    found = evaluate(ann_file, PREDICTIONS, old_classes=['crazing'], backend=backend)
    assert found == pytest.approx(GOLDEN, abs=1e-9)


def random_case(seed: int) -> tuple[list[Box], list]:
    rng = np.random.default_rng(seed)
    truth: list[Box] = []
    boxes = []
    for _ in range(60):
        image, name = int(rng.integers(1, 3)), str(rng.choice(CATEGORIES))
        box = (*rng.uniform(0, 100, 2), *rng.uniform(8, 90, 2))
        truth.append((image, name, tuple(map(float, box))))
        for _ in range(2):
            shifted = np.asarray(box) + rng.normal(0, 6, 4)
            shifted[2:] = np.maximum(shifted[2:], 1)
            boxes.append((image, name, tuple(shifted), float(rng.uniform())))
    return truth, boxes


@pytest.mark.parametrize('seed', range(2))
def test_feature_backends_agree(tmp_path, seed) -> None:
    truth, boxes = random_case(seed)
    ann_file = write_json(tmp_path / 'test.json', truth=truth, crowd={3, 11})
    items = ['mAP', 'mAP_50', 'mAP_s', 'AR@100', 'AR_m@1000']
    options = {'old_classes': ['patches'], 'metric_items': items}
    one, other = (
        evaluate(ann_file, boxes, backend=backend, **options)
        for backend in ('faster', 'pycocotools')
    )
    assert one.keys() == other.keys()
    assert one == pytest.approx(other, abs=1e-6)
    assert 0.05 < one['coco/AP_all'] < 0.95
    for name in ('AP50', 'AP'):
        old, new = one[f'coco/{name}_old'], one[f'coco/{name}_new']
        assert one[f'coco/{name}_all'] == pytest.approx((old + 2 * new) / 3)


def test_feature_agrees_with_mmdet(tmp_path) -> None:
    from mmdet.evaluation.metrics import CocoMetric

    truth, boxes = random_case(7)
    ann_file = write_json(tmp_path / 'test.json', truth=truth)
    metric = CocoMetric(ann_file=ann_file, classwise=True)
    metric.dataset_meta = {'classes': tuple(CATEGORIES)}
    theirs = feed(metric, boxes)
    ours = evaluate(ann_file, boxes, classwise=True)
    # Without old classes nothing is new.
    assert 'coco/AP50_all' in ours
    assert not any(key.endswith(('_old', '_new')) for key in ours)
    assert {k: ours[k] for k in theirs} == pytest.approx(theirs, abs=5.1e-4)
    assert 'coco/crazing_precision' in theirs


def test_feature_names_decide_not_order(tmp_path) -> None:
    plain = write_json(tmp_path / 'plain.json')
    order = ['dirt', 'scratches', 'crazing', 'patches']
    mixed = write_json(tmp_path / 'mixed.json', categories=order)
    classes = ['patches', 'crazing', 'scratches']
    found = evaluate(mixed, PREDICTIONS, classes=classes, old_classes=['crazing'])
    assert found == pytest.approx(GOLDEN, abs=1e-9)
    subset = evaluate(plain, PREDICTIONS[:2], classes=['patches', 'crazing'])
    assert subset['coco/AP50/patches'] == pytest.approx(1.0)
    assert subset['coco/AP50_all'] == pytest.approx((1 + 51 / 101) / 2)
    assert 'coco/AP50/scratches' not in subset


@both_backends
def test_feature_no_predictions_give_zeros(tmp_path, backend) -> None:
    ann_file = write_json(tmp_path / 'test.json')
    found = evaluate(ann_file, [], old_classes=['crazing'], backend=backend)
    assert found.keys() == GOLDEN.keys()
    defined = {k: v for k, v in found.items() if k[-6:] not in ('_mAP_s', '_mAP_l')}
    assert set(defined.values()) == {0.0}


@both_backends
def test_feature_crowd_and_class_without_ground_truth(tmp_path, backend) -> None:
    """The one is not missed, the other undefined and left out."""
    ann_file = write_json(tmp_path / 'test.json', truth=TRUTH[:3], crowd={1})
    options = {'old_classes': ['crazing', 'scratches'], 'backend': backend}
    found = evaluate(ann_file, PREDICTIONS, **options)
    assert math.isnan(found['coco/AP50/scratches'])
    assert found['coco/AP50/crazing'] == found['coco/AP50_old'] == pytest.approx(1.0)


def test_feature_classwise_prints_a_table(tmp_path, monkeypatch) -> None:
    said = []
    logger = grouped_coco.MMLogger.get_current_instance()
    monkeypatch.setattr(logger, 'info', said.append)
    found = evaluate(write_json(tmp_path / 'test.json'), PREDICTIONS, classwise=True)
    assert found['coco/patches_precision'] == pytest.approx(0.7)
    table = ' '.join(said)
    assert '| patches   | 0.700 | 1.000  | 1.000' in table


def test_feature_format_only_writes_boxes(tmp_path) -> None:
    prefix = str(tmp_path / 'boxes')
    options = {'format_only': True, 'outfile_prefix': prefix}
    assert evaluate(write_json(tmp_path / 'test.json'), PREDICTIONS, **options) == {}
    written = json.loads(Path(f'{prefix}.bbox.json').read_text(encoding='utf-8'))
    assert [box['category_id'] for box in written] == [10, 20, 30, 30]
    assert written[1]['bbox'] == [100, 100, 50, 40]


def test_feature_builds_without_data() -> None:
    metric = METRICS.build(
        {'type': 'mmdefect.GroupedCocoMetric', 'ann_file': 'no/such.json'}
    )
    metric.dataset_meta = {'classes': ('crazing',)}
    with pytest.raises(FileNotFoundError, match=r'no annotation file no/such\.json'):
        metric.process({}, [])


def test_feature_without_faster_coco_eval(monkeypatch) -> None:
    monkeypatch.setattr(grouped_coco, 'find_spec', lambda name: None)
    coco, evaluator = grouped_coco.coco_backend('auto')
    assert coco.__module__.startswith('pycocotools')
    assert evaluator.__module__.startswith('pycocotools')
    with pytest.raises(ModuleNotFoundError, match='pip install faster-coco-eval'):
        grouped_coco.coco_backend('faster')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            {'classes': ['crazing', 'dirt']},
            r'class dirt is not in .*which has crazing',
        ),
        (
            {'classes': ['crazing'], 'old_classes': ['patches']},
            "old_classes names the unknown class 'patches'",
        ),
        ({'metric': ['bbox', 'segm']}, r"metric=\['bbox', 'segm'\]: expected 'bbox'"),
        ({'iou_thrs': [0.75]}, r'expected 0\.5 among them'),
        ({'backend': 'fast'}, "backend='fast': expected one of"),
        ({'metric_items': ['mAP_90']}, "metric_items='mAP_90': expected mAP, "),
    ],
)
def test_exception_arguments(tmp_path, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(write_json(tmp_path / 'a.json'), [], **options)


def test_exception_no_image(tmp_path) -> None:
    with pytest.raises(ValueError, match='no image was evaluated'):
        made(write_json(tmp_path / 'a.json')).compute_metrics([])


# ------------------------------------------------------ entries in any spelling


def same(coco) -> None:
    """Nothing."""


def each(section, **fields):
    """Set fields of every entry."""
    return lambda coco: [entry.update(fields) for entry in coco[section]]


def ids(change, section, key):
    def apply(coco) -> None:
        for entry in coco[section]:
            entry['id'] = change(entry['id'])
        for box in coco['annotations']:
            box[key] = change(box[key])

    return apply


def image_ids(change):
    return ids(change, 'images', 'image_id')


def category_ids(change):
    return ids(change, 'categories', 'category_id')


def counted_from_zero(coco) -> None:
    for number, box in enumerate(coco['annotations']):
        box['id'] = number


def backslashes(coco) -> None:
    for image in coco['images']:
        image['file_name'] = f'images\\{image["file_name"]}'


SPELLINGS = {
    'as it should be': same,
    'annotations from 0': counted_from_zero,
    'all annotations 1.0': each('annotations', id=1.0),
    'annotations as text': each('annotations', id='uuid'),
    'annotations null': each('annotations', id=None),
    'images from 0': image_ids(lambda key: key - 1),
    'images negative': image_ids(lambda key: -key),
    'images of 53 bits': image_ids(lambda key: 2**53 - key),
    'images of 63 bits': image_ids(lambda key: 2**63 - key),
    'images beyond': image_ids(lambda key: 2**70 + key),
    'images as float': image_ids(float),
    'images as numbers in text': image_ids(str),
    'images as text': image_ids(lambda key: f'img_{key}'),
    'references as text': lambda coco: [
        box.update(image_id=str(box['image_id'])) for box in coco['annotations']
    ],
    'categories from 0': category_ids(lambda key: key // 10 - 1),
    'categories as text': category_ids(lambda key: f'class {key}'),
    'categories as float': category_ids(float),
    'area null': each('annotations', area=None),
    'area as text': each('annotations', area='x'),
    'area zero': each('annotations', area=0),
    'area nan': each('annotations', area=float('nan')),
    'no area, no crowd': lambda coco: [
        (box.pop('area'), box.pop('iscrowd')) for box in coco['annotations']
    ],
    'crowd null': each('annotations', iscrowd=None),
    'crowd text': each('annotations', iscrowd='0'),
    'crowd false': each('annotations', iscrowd='false'),
    'crowd bool': each('annotations', iscrowd=False),
    'ignore text': each('annotations', ignore='0'),
    'backslashes': backslashes,
}


@pytest.mark.parametrize('spelling', SPELLINGS)
def test_feature_perfect_detections_score_one(tmp_path, spelling) -> None:
    """Whatever the ids and flags: dataset and metric read one file as one."""
    path = Path(write_json(tmp_path / 'test.json'))
    content = json.loads(path.read_text(encoding='utf-8'))
    SPELLINGS[spelling](content)
    path.write_text(json.dumps(content), encoding='utf-8')
    for folder in (tmp_path, tmp_path / 'images'):
        for name in ('1.jpg', '2.jpg', '3.jpg'):
            folder.mkdir(exist_ok=True)
            (folder / name).write_bytes(b'not read')
    metrics = [made(path, backend=name) for name in ('faster', 'pycocotools')]
    data = DefectDetDataset(
        data_root=f'{tmp_path}/',
        ann_file=str(path),
        pipeline=[],
        test_mode=True,
        verify_images=False,
        metainfo={'classes': tuple(CATEGORIES)},
    )
    for info in (data.get_data_info(index) for index in range(len(data))):
        boxes = [box['bbox'] for box in info['instances']]
        prediction = {
            'bboxes': torch.tensor(boxes).float().reshape(-1, 4),
            'scores': torch.full((len(boxes),), 0.9),
            'labels': torch.tensor([box['bbox_label'] for box in info['instances']]),
        }
        sample = {'ori_shape': (200, 200), 'pred_instances': prediction}
        sample |= {k: info[k] for k in ('img_id', 'img_path')}
        for metric in metrics:
            metric.process({}, [sample])
    wanted = {f'coco/AP50/{name}': 1.0 for name in CATEGORIES}
    wanted |= {f'coco/AP/{name}': 1.0 for name in CATEGORIES}
    wanted |= dict.fromkeys(('coco/bbox_mAP', 'coco/bbox_mAP_m', 'coco/AP50_all'), 1.0)
    wanted |= dict.fromkeys(('coco/bbox_mAP_s', 'coco/bbox_mAP_l'), -1.0)
    for metric in metrics:
        found = metric.evaluate(3)
        assert {key: found[key] for key in wanted} == pytest.approx(wanted)


@both_backends
def test_feature_boxes_are_those_of_the_data_set(tmp_path, backend) -> None:
    """Clipped to the image, and none that training would leave out."""
    truth = [
        *TRUTH,
        (3, 'patches', (180, 180, 60, 60)),
        (3, 'patches', (50, 50, 0, 9)),
        (3, 'patches', (250, 20, 30, 30)),
    ]
    boxes = [(i, name, box, 0.9) for i, name, box in TRUTH]
    boxes.append((3, 'patches', (180, 180, 20, 20), 0.9))
    found = evaluate(
        write_json(tmp_path / 'test.json', truth=truth), boxes, backend=backend
    )
    assert found['coco/AP/patches'] == pytest.approx(1.0)


def test_feature_open_is_early_and_once(tmp_path) -> None:
    path = tmp_path / 'test.json'
    with pytest.raises(ValueError, match='dataset_meta=None: expected'):
        GroupedCocoMetric(ann_file=str(path)).open()
    metric = made(path)
    with pytest.raises(FileNotFoundError, match='here is no annotation file'):
        metric.open()
    write_json(path)
    metric.open()
    path.unlink()
    metric.open()
    assert feed(metric, PREDICTIONS)['coco/AP50/patches'] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ('more', 'message'),
    [
        ({'img_id': 4}, r'test\.json: image 4 \(None\) is listed nowhere; expected'),
        ({'img_path': 'a/2.jpg'}, r'image 1 \(a/2.jpg\) is listed as 1\.jpg; expected'),
    ],
)
def test_exception_the_evaluator_has_another_file(tmp_path, more, message) -> None:
    metric = made(write_json(tmp_path / 'test.json'))
    with pytest.raises(ValueError, match=message):
        metric.process({}, [{'img_id': 1, 'ori_shape': (200, 200), **more}])
