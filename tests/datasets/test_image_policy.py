"""Converters' checks, datasets and loaders see the same files, and the same pixels."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmdefect.converters.image_options import image_errors
from mmdefect.converters.product_checks import check_product
from mmdefect.datasets.anomaly.dataset import AnomalyDataset
from mmdefect.datasets.boxes.coco_file import save_json
from mmdefect.datasets.boxes.dataset import DefectDetDataset
from mmdefect.datasets.images import decode_error
from mmdefect.datasets.transforms.anomaly import LoadAnomalyImage, LoadAnomalyMask
from mmdefect.datasets.transforms.loading import LoadCachedImage
from mmdefect.utils.image_header import SUFFIXES
from tests.helpers.image_files import (
    ACCEPTED,
    BGR,
    GREY,
    HEIGHT,
    REFUSED,
    RGB,
    WIDTH,
    deep,
    packed,
    with_exif,
    written,
)

FILES = {**ACCEPTED, **REFUSED}


@pytest.fixture
def warnings(messages: pytest.LogCaptureFixture) -> Any:
    """What was warned of."""
    messages.set_level(logging.WARNING)
    return messages


def boxes(
    root: Path,
    files: dict[str, bytes],
    *,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    name: str = 'train.json',
    **kwargs: Any,
) -> DefectDetDataset:
    """A dataset of one box an image, with the stock loader's replacement."""
    written(root / 'images', files)
    annotate(root, list(files), size, name)
    kwargs = {'data_root': f'{root}/', 'ann_file': name, **kwargs}
    return DefectDetDataset(pipeline=[LoadCachedImage()], **kwargs)


def annotate(root: Path, names: list[str], size: tuple[int, int], name: str) -> dict:
    width, height = size
    coco: dict[str, Any] = {
        'images': [
            {'id': i, 'file_name': f'images/{n}', 'width': width, 'height': height}
            for i, n in enumerate(names, 1)
        ],
        'annotations': [
            {'id': i, 'image_id': i, 'category_id': 1, 'bbox': [1, 2, 4, 3]}
            for i in range(1, len(names) + 1)
        ],
        'categories': [{'id': 1, 'name': 'dent'}],
    }
    save_json(coco, root / name)
    return coco


def product(root: Path, name: str = 'seal', **files: dict[str, bytes]) -> Path:
    """A product; keys such as ``test_spot`` are its folders."""
    for folder, content in files.items():
        written(root / name / Path(*folder.split('_', 1)), content)
    return root


MASK = packed(np.uint8(255) * (GREY > 200), 'PNG')


@pytest.mark.parametrize('name', FILES)
def test_feature_boxes(tmp_path: Path, name: str) -> None:
    """Converter, dataset and loader agree, with the same words."""
    files = written(tmp_path / 'images', {name: FILES[name][0]})
    coco = annotate(tmp_path, [name], (WIDTH, HEIGHT), 'train.json')
    errors = image_errors(coco['images'], tmp_path, full=True)
    info = {'img_path': str(files[name]), 'width': WIDTH, 'height': HEIGHT}
    if name in REFUSED:
        why = re.escape(REFUSED[name][1])
        assert re.search(rf'broken files \(1: .*/{name} \({why}', errors[0])
        with pytest.raises(ValueError, match=rf'broken images 1: .*/{name} \({why}'):
            boxes(tmp_path, {name: FILES[name][0]})
        with pytest.raises(ValueError, match=rf'/{name} \({why}'):
            LoadCachedImage()(info)
        return
    assert errors == []
    assert decode_error(files[name]) is None
    dataset = boxes(tmp_path, {name: FILES[name][0]})
    found = dataset[0]['img']
    assert found.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(found, LoadAnomalyImage()(dict(info))['img'])
    cached = boxes(tmp_path, {name: FILES[name][0]}, cache_gb=1)
    assert 'img_cached' in cached.get_data_info(0)
    np.testing.assert_array_equal(found, cached[0]['img'])


@pytest.mark.parametrize('name', [n for n in FILES if n.endswith(SUFFIXES)])
def test_feature_products(tmp_path: Path, name: str) -> None:
    other = {'a.png': packed(RGB, 'PNG')}
    root = product(tmp_path, train_good={name: FILES[name][0]}, test_good=other)
    report = check_product(root, 'seal', full=True)
    kwargs: dict[str, Any] = {'data_root': f'{root}/', 'pipeline': [LoadAnomalyImage()]}
    if name in REFUSED:
        why = rf'broken files \(1: .*/{name} \({re.escape(REFUSED[name][1])}'
        assert re.search(why, report.errors[0])
        with pytest.raises(ValueError, match=why):
            AnomalyDataset(verify='full', **kwargs)
        return
    assert report.errors == []
    found = AnomalyDataset(verify='full', **kwargs)[0]['img']
    if (expected := ACCEPTED[name][1]) is not None:
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize('name', ['float.tif', 'lab.tif', 'pages.tif', 'text.png'])
def test_feature_headers_are_enough(tmp_path: Path, name: str) -> None:
    """Such files are found before training, without decoding anything."""
    good = {'a.png': packed(RGB, 'PNG')}
    root = product(tmp_path, train_good=good, test_spot={name: REFUSED[name][0]})
    with pytest.raises(ValueError, match=f'broken files .*{name}'):
        AnomalyDataset(data_root=f'{root}/', split='test')
    report = check_product(root, 'seal')
    assert name in report.errors[0]


def test_feature_annotated_sizes_decide_for_each_image(tmp_path: Path) -> None:
    """Boxes on stored pixels: the picture is not turned under them."""
    tagged = with_exif('JPEG', 6, RGB)
    stored = boxes(tmp_path / 'a', {'a.jpg': tagged})[0]
    turned = boxes(tmp_path / 'b', {'a.jpg': tagged}, size=(HEIGHT, WIDTH))[0]
    assert stored['img'].shape == (HEIGHT, WIDTH, 3)
    assert stored['ori_shape'] == (stored['height'], stored['width'])
    np.testing.assert_array_equal(turned['img'], np.rot90(stored['img'], -1))


def test_exception_square_images_say_nothing(tmp_path: Path) -> None:
    square = {'a.jpg': with_exif('JPEG', 6, np.ascontiguousarray(RGB[:, :HEIGHT]))}
    size = (HEIGHT, HEIGHT)
    message = (
        r"images that are not what .*/a\.jpg \(EXIF orientation 6, .*exif='stored'"
    )
    with pytest.raises(ValueError, match=message):
        boxes(tmp_path, square, size=size)
    loose = boxes(tmp_path, square, size=size, verify_images=False)
    with pytest.raises(ValueError, match=r'a\.jpg \(EXIF orientation 6') as caught:
        loose[0]
    assert "give exif='stored' or 'turned'" in str(caught.value)
    assert 'restore' not in str(caught.value)
    stored, turned = (
        boxes(tmp_path, square, size=size, exif=exif)[0]['img']
        for exif in ('stored', 'turned')
    )
    np.testing.assert_array_equal(turned, np.rot90(stored, -1))


def test_exception_annotated_on_smaller_copies(tmp_path: Path) -> None:
    size = (WIDTH // 2, HEIGHT // 2)
    message = r'images that are not what is annotated \(1: .*/a\.png \(8x6, annotated 4'
    with pytest.raises(ValueError, match=message):
        boxes(tmp_path, {'a.png': packed(RGB, 'PNG')}, size=size)
    files = {'a.png': packed(RGB, 'PNG')}
    loose = boxes(tmp_path, files, size=size, verify_images=False)
    with pytest.raises(ValueError, match=r'a\.png \(8x6, annotated 4x3\)'):
        loose[0]


def test_feature_without_a_size_as_viewers_show_it(tmp_path: Path) -> None:
    """Classifiers, and new images of which nothing is known."""
    files = written(tmp_path, {'a.jpg': with_exif('JPEG', 6, RGB)})
    found = LoadCachedImage()({'img_path': str(files['a.jpg'])})
    assert found['img'].shape == (WIDTH, HEIGHT, 3)


@pytest.mark.parametrize('setting', [{'exif': 'left'}, {'bits': 7}, {'bits': 12.5}])
def test_exception_settings(setting: dict[str, Any]) -> None:
    (name,) = setting
    for dataset in (DefectDetDataset, AnomalyDataset):
        with pytest.raises(ValueError, match=f'{name}=.*: expected one of None'):
            dataset(lazy_init=True, **setting)


def test_feature_masks_of_products_lie_on_stored_pixels(tmp_path: Path) -> None:
    tagged = {'a.jpg': with_exif('JPEG', 6, RGB)}
    root = product(
        tmp_path, train_good=tagged, test_spot=tagged, ground_truth={}, test_good=tagged
    )
    written(root / 'seal/ground_truth/spot', {'a_mask.png': MASK})
    pipeline = [LoadAnomalyImage(), LoadAnomalyMask()]
    for split in ('train', 'test'):
        how = {'split': split, 'pipeline': pipeline, 'verify': 'full'}
        for item in AnomalyDataset(data_root=f'{root}/', **how):
            assert item['img'].shape == (HEIGHT, WIDTH, 3)
            assert item['gt_mask'].shape == (HEIGHT, WIDTH)
    with pytest.raises(ValueError, match='masks of another size than their image'):
        AnomalyDataset(data_root=f'{root}/', split='test', exif='turned')


@pytest.mark.parametrize(
    ('orientation', 'mask'),
    [(6, np.uint8(255) * (GREY.T > 200)), (3, np.uint8(255) * (GREY > 200))],
)
def test_exception_masks_of_products_on_turned_pixels(
    tmp_path: Path, orientation: int, mask: np.ndarray
) -> None:
    """Good images have no mask to go by, so the user says it for all."""
    tagged = {'a.jpg': with_exif('JPEG', orientation, RGB)}
    root = product(tmp_path, train_good=tagged, test_spot=tagged)
    written(root / 'seal/ground_truth/spot', {'a_mask.png': packed(mask, 'PNG')})
    message = r"EXIF orientation whose masks .*a_mask\.png .*exif='turned' or 'stored'"
    with pytest.raises(ValueError, match=message):
        AnomalyDataset(data_root=f'{root}/', split='test')
    assert re.search(message, check_product(root, 'seal').errors[0])
    assert check_product(root, 'seal', exif='turned').errors == []
    pipeline = [LoadAnomalyImage(), LoadAnomalyMask()]
    how = {'split': 'test', 'exif': 'turned', 'pipeline': pipeline}
    item = AnomalyDataset(data_root=f'{root}/', **how)[0]
    assert item['img'].shape[:2] == item['gt_mask'].shape == mask.shape


def twelve(grey: np.ndarray) -> bytes:
    return packed(np.uint16(16) * grey, 'PNG')


def test_feature_12_bits_of_boxes(tmp_path: Path, warnings: Any) -> None:
    """All images of the file say it, also those that a step does not see."""
    dark, bright = {'a.png': twelve(GREY // 16)}, {'b.png': twelve(GREY)}
    dataset = boxes(tmp_path, {**dark, **bright})
    assert dataset.metainfo['bits'] == 12
    assert dataset.get_data_info(0)['bits'] == 12
    found = dataset[1]['img'][..., 0]
    assert np.abs(found.astype(int) - GREY).max() <= 1
    sixteen = boxes(tmp_path, {**dark, **bright}, bits=16)
    assert sixteen[1]['img'].max() < 16  # as the user says
    deeper = boxes(tmp_path / 'deep', {'a.png': deep(np.uint16(257) * BGR, '.png')})
    assert deeper.metainfo['bits'] == 16
    flat = boxes(tmp_path / 'flat', {'a.png': packed(RGB, 'PNG')})
    assert 'bits' not in flat.metainfo


def test_exception_values_beyond_the_bits(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'a\.png \(values up to \d+, more than 10 bi'):
        boxes(tmp_path, {'a.png': twelve(GREY)}, bits=10)


def test_feature_12_bits_of_products(tmp_path: Path) -> None:
    """Training images say it for the test, whose values may all be small."""
    root = product(
        tmp_path,
        train_good={'a.png': twelve(GREY)},
        test_good={'b.png': twelve(GREY // 32)},
        test_spot={'c.png': packed(np.uint16(1) * GREY, 'PNG')},
    )
    product(root, 'nut', train_good={'a.png': packed(np.uint16(257) * GREY, 'PNG')})
    written(root / 'nut/test/good', {'b.png': twelve(GREY // 32)})
    assert 'images of 16 bits are read as 12 bits' in check_product(root, 'seal').notes
    for split in ('train', 'test'):
        infos = AnomalyDataset(data_root=f'{root}/', split=split)
        bits = {info['class_name']: info['bits'] for info in infos}
        assert bits == {'seal': 12, 'nut': 16}


def test_exception_test_images_beyond_the_bits_of_training(tmp_path: Path) -> None:
    root = product(
        tmp_path,
        train_good={'a.png': twelve(GREY)},
        test_good={'b.png': packed(np.uint16(257) * GREY, 'PNG')},
    )
    message = r'16 bits have larger values .*b\.png up to \d+, 12 bits.*training and te'
    with pytest.raises(ValueError, match=message):
        AnomalyDataset(data_root=f'{root}/', split='test')
    infos = AnomalyDataset(data_root=f'{root}/', split='test', bits=16)
    assert infos[0]['bits'] == 16


def test_feature_jpeg_masks_are_thresholded_with_a_word(
    tmp_path: Path, warnings: Any
) -> None:
    square = np.zeros((32, 32), np.uint8)
    square[9:21, 9:21] = 255
    image = packed(np.zeros((32, 32, 3), np.uint8), 'PNG')
    root = product(tmp_path, train_good={'a.png': image}, test_spot={'b.png': image})
    written(root / 'seal/ground_truth/spot', {'b_mask.jpg': packed(square, 'JPEG')})
    pipeline = [LoadAnomalyImage(), LoadAnomalyMask()]
    item = AnomalyDataset(data_root=f'{root}/', split='test', pipeline=pipeline)[0]
    np.testing.assert_array_equal(item['gt_mask'], square // 255)
    (note,) = check_product(root, 'seal', full=True).notes[-1:]
    assert re.search(
        r'masks of grey levels, .*1: .*/b_mask\.jpg \((\d+)\)\): \1 pixels lie between',
        note,
    )
    assert note in warnings.text


def test_feature_learned_test_images_of_products(tmp_path: Path, warnings: Any) -> None:
    image = packed(RGB, 'PNG')
    root = product(tmp_path, train_good={'a.png': image}, test_good={'b.png': image})
    note = r'test images that are training images, too \(1: .*/b\.png = .*/a\.png\)'
    assert re.search(note, check_product(root, 'seal').notes[0])
    AnomalyDataset(data_root=f'{root}/', split='test')
    assert re.search(note, warnings.text)


def test_feature_learned_test_images_of_boxes(tmp_path: Path, warnings: Any) -> None:
    image = packed(RGB, 'PNG')
    boxes(tmp_path, {'a.png': image, 'c.png': packed(RGB[::-1], 'PNG')})
    assert warnings.text == ''
    boxes(tmp_path, {'b.png': image}, name='test.json', test_mode=True)
    note = (
        r'train\.json and .*test\.json: test images that are .*1: .*b\.png = .*a\.png'
    )
    assert len(re.findall(note, warnings.text)) == 1
    boxes(tmp_path, {'b.png': image}, name='test.json', test_mode=True)
    assert len(re.findall(note, warnings.text)) == 1  # once


def test_feature_a_file_is_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmdefect.datasets import images

    calls: list[int] = []
    whole = images.decode
    monkeypatch.setattr(images, 'decode', lambda *a, **k: calls.append(1) or whole(*a))
    how = {'data_root': f'{tmp_path}/', 'ann_file': 'train.json', 'pipeline': []}
    boxes(tmp_path, {'a.png': twelve(GREY)})
    for _ in range(2):
        DefectDetDataset(**how)
    assert len(calls) == 1
    (tmp_path / 'images/a.png').write_bytes(twelve(GREY[::-1] // 2))
    DefectDetDataset(**how)
    assert len(calls) == 2
