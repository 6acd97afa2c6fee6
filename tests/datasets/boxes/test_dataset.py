from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmdefect.datasets import images
from mmdefect.datasets.boxes.classes import NEU_DET_CLASSES
from mmdefect.datasets.boxes.dataset import DefectDetDataset
from mmdefect.datasets.boxes.neu_det import NEUDETDataset
from mmdefect.registry import DATASETS
from mmdefect.utils import images as utils_images

OLD, NEW = list(NEU_DET_CLASSES[:3]), list(NEU_DET_CLASSES[3:])
Edit = Callable[[Callable[[dict[str, Any]], None]], Path]


def build(root: Path, ann_file: str | Path = 'coco/train.json', **kwargs: Any) -> Any:
    kwargs.setdefault('filter_cfg', {'filter_empty_gt': True})
    return NEUDETDataset(
        data_root=f'{root}/', ann_file=str(ann_file), pipeline=[], **kwargs
    )


def names_of(dataset: Any, index: int) -> list[str]:
    """Class names of the boxes of one image, by the labels the dataset gives."""
    classes = dataset.metainfo['classes']
    instances = dataset.get_data_info(index)['instances']
    return sorted(classes[instance['bbox_label']] for instance in instances)


def names_in_file(root: Path) -> dict[str, list[str]]:
    coco = json.loads((root / 'coco/train.json').read_text(encoding='utf-8'))
    names = {c['id']: c['name'] for c in coco['categories']}
    files = {i['id']: i['file_name'] for i in coco['images']}
    found: dict[str, list[str]] = {name: [] for name in files.values()}
    for box in coco['annotations']:
        found[files[box['image_id']]].append(names[box['category_id']])
    return {name: sorted(classes) for name, classes in found.items()}


def test_smoke(toy_root: Path) -> None:
    config = {'type': 'mmdefect.NEUDETDataset', 'data_root': f'{toy_root}/'}
    dataset = DATASETS.build({**config, 'ann_file': 'coco/train.json', 'pipeline': []})
    assert len(dataset) == 48
    assert dataset.metainfo['classes'] == NEU_DET_CLASSES
    info = dataset.get_data_info(0)
    assert info['img_path'] == str(toy_root / 'IMAGES/crazing_1.jpg')
    assert (info['height'], info['width']) == (64, 64)
    x1, y1, x2, y2 = info['instances'][0]['bbox']
    assert 0 <= x1 < x2 <= 64
    assert 0 <= y1 < y2 <= 64


def test_feature_labels_and_palette_follow_seen_classes(toy_root: Path) -> None:
    seen = ['scratches', 'crazing', 'patches']
    dataset = build(toy_root, seen_classes=seen)
    whole = names_in_file(toy_root)
    assert dataset.metainfo['classes'] == tuple(seen)
    colours = NEUDETDataset.METAINFO['palette']
    palette = dict(zip(NEU_DET_CLASSES, colours, strict=True))
    assert dataset.metainfo['palette'] == [palette[name] for name in seen]
    for i in range(len(dataset)):
        name = Path(dataset.get_data_info(i)['img_path']).name
        expected = [n for n in whole[f'IMAGES/{name}'] if n in seen]
        assert names_of(dataset, i) == expected


def test_feature_a_palette_of_other_classes_is_dropped(toy_root: Path) -> None:
    """A user's two colours do not stop mmdet from drawing a third class."""
    palette = [(255, 0, 0), (0, 255, 0)]
    metainfo = {'classes': NEU_DET_CLASSES, 'palette': palette}
    assert 'palette' not in build(toy_root, metainfo=metainfo).metainfo


@pytest.mark.parametrize('mode', ['overlap', 'disjoint', 'relabel'])
def test_feature_split_modes(toy_root: Path, mode: str) -> None:
    dataset = build(
        toy_root, seen_classes=NEU_DET_CLASSES, keep_classes=NEW, split_mode=mode
    )
    expected = {}
    for name, classes in names_in_file(toy_root).items():
        new = [n for n in classes if n in NEW]
        if new and not (mode == 'disjoint' and len(new) < len(classes)):
            expected[Path(name).name] = classes if mode == 'relabel' else new
    found = {
        Path(dataset.get_data_info(i)['img_path']).name: names_of(dataset, i)
        for i in range(len(dataset))
    }
    assert found == expected


def test_feature_relabel_gives_no_box_of_unseen_classes(toy_root: Path) -> None:
    seen = list(NEU_DET_CLASSES[:4])
    kwargs = {'keep_classes': seen[3:], 'split_mode': 'relabel'}
    dataset = build(toy_root, seen_classes=seen, **kwargs)
    found = {name for i in range(len(dataset)) for name in names_of(dataset, i)}
    assert 'pitted_surface' in found
    assert found <= set(seen)


def test_feature_test_mode_keeps_every_image(toy_root: Path) -> None:
    kwargs = {'seen_classes': OLD, 'keep_classes': ['crazing'], 'test_mode': True}
    dataset = build(toy_root, 'coco/test.json', **kwargs)
    found = {name for i in range(len(dataset)) for name in names_of(dataset, i)}
    assert len(dataset) == 12
    assert found == set(OLD)


def test_feature_generic_dataset_reads_classes_from_the_file(toy_root: Path) -> None:
    kwargs = {
        'data_root': f'{toy_root}/',
        'ann_file': 'coco/train.json',
        'pipeline': [],
    }
    assert DefectDetDataset(**kwargs).metainfo['classes'] == NEU_DET_CLASSES
    with pytest.raises(ValueError, match="seen_classes names the unknown class 'rust'"):
        DefectDetDataset(**kwargs, seen_classes=['rust'])


def test_feature_lazy_init_reads_nothing(tmp_path: Path) -> None:
    dataset = build(tmp_path, 'none.json', seen_classes=OLD, lazy_init=True)
    assert dataset.metainfo['classes'] == tuple(OLD)


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (
            {'seen_classes': ['scratch']},
            r"seen_classes names the unknown class 'scratch'.*mean scratches\?",
        ),
        (
            {'seen_classes': ['crazing'], 'keep_classes': ['patches']},
            "keep_classes names the unknown class 'patches'",
        ),
        ({'keep_classes': ['patches\xa0']}, r"the unknown class 'patches\\xa0'.*cr"),
        ({'split_mode': 'all'}, "split_mode='all': expected one of"),
        ({'max_broken': 5}, 'max_broken=5: expected at least 0 and less than 1'),
    ],
)
def test_exception_arguments(toy_root: Path, kwargs: dict, message: str) -> None:
    for lazy_init in (True, False):
        with pytest.raises(ValueError, match=message):
            build(toy_root, lazy_init=lazy_init, **kwargs)


def test_exception_category_order_disagrees(toy_root: Path, changed_coco: Edit) -> None:
    path = changed_coco(lambda coco: coco['categories'].reverse())
    message = (
        'holds the classes scratches, rolled-in_scale, .*: expected exactly crazing, '
        'inclusion, .*in this order'
    )
    with pytest.raises(ValueError, match=message):
        build(toy_root, path)


def test_exception_class_names_that_look_alike(
    toy_root: Path, changed_coco: Edit
) -> None:
    path = changed_coco(lambda coco: coco['categories'][0].update(name='crazing\u200b'))
    message = r'holds the classes crazing\\u200b, .*: expected exactly crazing, incl'
    with pytest.raises(ValueError, match=message):
        build(toy_root, path)


def test_exception_missing_files(toy_root: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'no annotation file .*none\.json'):
        build(toy_root, 'coco/none.json')
    with pytest.raises(FileNotFoundError, match=r'no image folder .*elsewhere'):
        build(toy_root, data_prefix={'img': 'elsewhere'})


def test_feature_ids_and_names_of_any_kind(toy_root: Path, changed_coco: Edit) -> None:
    """Text ids, backslashes, and references to numbers as text."""

    def edit(coco: dict[str, Any]) -> None:
        for image in coco['images']:
            image['file_name'] = image['file_name'].replace('/', '\\')
            image['id'] = f'img_{image["id"]}'
        for box in coco['annotations']:
            box['image_id'] = f'img_{box["image_id"]}'
            box['category_id'] = str(box['category_id'])
            box['iscrowd'] = '0'
            box['id'] = 0
            box['area'] = None

    plain, changed = build(toy_root), build(toy_root, changed_coco(edit))
    assert [info['img_path'] for info in plain] == [i['img_path'] for i in changed]
    assert [i['instances'] for i in plain] == [i['instances'] for i in changed]
    assert [info['img_id'] for info in changed] == [*range(1, 49)]


def test_exception_every_box_is_a_crowd(toy_root: Path, changed_coco: Edit) -> None:
    def edit(coco: dict[str, Any]) -> None:
        for box in coco['annotations']:
            box['iscrowd'] = 1

    message = r'has 0 boxes \(and \d+ marked iscrowd.* of crazing, inclusion, patches:'
    with pytest.raises(ValueError, match=message):
        build(toy_root, changed_coco(edit), keep_classes=OLD)


def test_feature_boxes_to_learn_are_counted_in_label_order(
    toy_root: Path, changed_coco: Edit, messages: pytest.LogCaptureFixture
) -> None:
    def edit(coco: dict[str, Any]) -> None:
        coco['annotations'] = coco['annotations'][:5]
        coco['annotations'][0]['iscrowd'] = 1

    build(toy_root, changed_coco(edit), seen_classes=['patches', 'crazing'])
    (line,) = (r.message for r in messages.records if 'NEUDETDataset' in r.message)
    assert 'classes patches, crazing; 4 boxes (and 1 marked iscrowd, ' in line


def test_exception_step_without_images(toy_root: Path, changed_coco: Edit) -> None:
    def edit(coco: dict[str, Any]) -> None:
        coco['annotations'] = [a for a in coco['annotations'] if a['category_id'] != 6]

    with pytest.raises(ValueError, match='no image with boxes of scratches'):
        build(toy_root, changed_coco(edit), keep_classes=['scratches'])


def test_feature_bad_boxes_are_dropped_or_clipped_in_one_warning(
    toy_root: Path, changed_coco: Edit, messages: pytest.LogCaptureFixture
) -> None:
    def edit(coco: dict[str, Any]) -> None:
        first = coco['annotations'][0]
        coco['annotations'] = [
            {**first, 'bbox': [-5, 10, 20, 20]},
            {**first, 'id': 2, 'bbox': [10, 10, 0, 5]},
            {**first, 'id': 3, 'bbox': [70, 10, 5, 5]},
        ]

    dataset = build(toy_root, changed_coco(edit))
    assert [i['bbox'] for i in dataset.get_data_info(0)['instances']] == [
        [0, 10, 15, 30]
    ]
    warnings = [r.message for r in messages.records if r.levelname == 'WARNING']
    assert len(warnings) == 1
    assert 'boxes dropped 2: IMAGES/crazing_1.jpg [10, 10, 10, 15]' in warnings[0]
    assert 'clipped 1: IMAGES/crazing_1.jpg [-5, 10, 15, 30]' in warnings[0]


def test_feature_images_without_boxes(
    toy_root: Path, changed_coco: Edit, messages: pytest.LogCaptureFixture
) -> None:
    def edit(coco: dict[str, Any]) -> None:
        coco['annotations'] = [a for a in coco['annotations'] if a['image_id'] != 1]

    path = changed_coco(edit)
    for kwargs, number, words in (
        ({}, 47, 'left out'),
        ({'filter_cfg': {}}, 48, 'kept'),
        ({'test_mode': True}, 48, 'kept'),
    ):
        messages.clear()
        assert len(build(toy_root, path, **kwargs)) == number
        assert f'1 images without boxes were {words}' in messages.text


@pytest.fixture
def damaged_root(toy_copy: Path) -> Path:
    """A copy with one truncated image in each split."""
    root = toy_copy
    for side in ('train', 'test'):
        coco = json.loads((root / f'coco/{side}.json').read_text(encoding='utf-8'))
        path = root / coco['images'][0]['file_name']
        path.write_bytes(path.read_bytes()[:900])
    return root


def test_feature_broken_images_are_named_and_left_out(
    damaged_root: Path, messages: pytest.LogCaptureFixture
) -> None:
    dataset = build(damaged_root, max_broken=0.05)
    paths = [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]
    broken = str(damaged_root / 'IMAGES/crazing_1.jpg')
    assert len(dataset) == 47
    assert broken not in paths
    assert f'broken images 1: {broken}' in messages.text


def test_exception_too_many_broken_images(damaged_root: Path) -> None:
    message = r'broken images 1: .*crazing_1\.jpg .*of 48: .*at most 0\.01 in training'
    with pytest.raises(ValueError, match=message):
        build(damaged_root)


def test_exception_broken_image_in_test_and_missing_one(damaged_root: Path) -> None:
    with pytest.raises(ValueError, match='at most 0 in testing'):
        build(damaged_root, 'coco/test.json', test_mode=True, max_broken=0.5)
    assert len(build(damaged_root, verify_images=False)) == 48
    (damaged_root / 'IMAGES/crazing_1.jpg').unlink()
    with pytest.raises(ValueError, match=r'crazing_1\.jpg \(missing file\)'):
        build(damaged_root)


def test_exception_missing_images_are_found_without_verification(
    damaged_root: Path, messages: pytest.LogCaptureFixture
) -> None:
    for split, test in (('train', False), ('test', True)):
        path = damaged_root / f'coco/{split}.json'
        coco = json.loads(path.read_text(encoding='utf-8'))
        coco['images'][0]['file_name'] = 'IMAGES/gone.jpg'
        path.write_text(json.dumps(coco), encoding='utf-8')
        kwargs = {'test_mode': test, 'verify_images': False}
        with pytest.raises(ValueError, match=r'gone\.jpg \(missing file\)'):
            build(damaged_root, f'coco/{split}.json', **kwargs)
    kept = build(damaged_root, max_broken=0.2, verify_images=False)
    assert len(kept) == 47
    assert 'broken images 1' in messages.text


def test_feature_small_sets_are_verified(
    damaged_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=r'crazing_1\.jpg'):
        build(damaged_root, verify_images=None)
    monkeypatch.setattr('mmdefect.datasets.boxes.dataset.SMALL', 47)
    assert len(build(damaged_root, verify_images=None)) == 48


def test_feature_cache_fills_up_to_its_size(toy_root: Path) -> None:
    three_images = 3 * 64 * 64 * 3 / 1e9
    dataset = build(toy_root, cache_gb=three_images)
    cached = ['img_cached' in dataset.get_data_info(i) for i in range(len(dataset))]
    assert cached == [True] * 3 + [False] * 45


@pytest.mark.parametrize('kept', [48, 5])
def test_feature_images_are_decoded_once(toy_root: Path, monkeypatch, kept) -> None:
    """To be checked and kept; those beyond the memory are decoded when they are met."""
    decoded: list[str] = []
    plain = images.decode

    def counted(data, header, **kwargs):
        decoded.append(str(len(data)))
        return plain(data, header, **kwargs)

    monkeypatch.setattr(images, '_KNOWN', {})
    for module in (images, utils_images):
        monkeypatch.setattr(module, 'decode', counted)
    dataset = build(toy_root, cache_gb=(kept + 0.5) * 64 * 64 * 3 / 1e9)
    # One more, to see that it does not fit, where not all do.
    assert len(decoded) == 48 + (kept < 48)
    infos = [dataset.get_data_info(index) for index in range(48)]
    assert ['img_cached' in info for info in infos] == [k < kept for k in range(48)]
    for info in infos[:kept]:
        path = info['img_path']
        np.testing.assert_array_equal(info['img_cached'], images.read_info(info))
        assert not info['img_cached'].flags.writeable, path
    # A step that shows the same images decodes them for its memory alone.
    decoded.clear()
    build(toy_root, cache_gb=1)
    assert len(decoded) == 48
