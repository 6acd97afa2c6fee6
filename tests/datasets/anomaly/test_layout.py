"""What the folders of a dataset hold, through the dataset that refuses them."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmdefect.datasets.anomaly.dataset import AnomalyDataset
from tests.helpers.dataset_files import infos

PRODUCTS = ('cloth', 'dots', 'marble')


def build(root: Path, split: str = 'train', **kwargs: Any) -> AnomalyDataset:
    metainfo = {'classes': PRODUCTS}
    return AnomalyDataset(
        data_root=str(root), split=split, metainfo=metainfo, pipeline=[], **kwargs
    )


def test_feature_image_level_product_is_logged(
    products_copy: Path, messages: Any
) -> None:
    shutil.rmtree(products_copy / 'dots/ground_truth')
    dataset = build(products_copy, 'test')
    told = [r.message for r in messages.records if 'pixel metrics' in r.message]
    assert len(told) == 1
    assert 'dots: no ground_truth' in told[0]
    known = {i['class_name']: i['has_mask'] for i in infos(dataset) if i['gt_label']}
    assert known == {'cloth': True, 'dots': False, 'marble': True}


def test_feature_several_masks_of_one_image(products_copy: Path) -> None:
    folder = products_copy / 'cloth/ground_truth/cut'
    shutil.copy(folder / '000_mask.png', folder / '000_mask_1.png')
    (folder / '000_mask.png').rename(folder / '000.PNG')
    info = build(products_copy, 'test').get_data_info(0)
    names = [Path(path).name for path in info['mask_paths']]
    assert names == ['000.PNG', '000_mask_1.png']


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def copy(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    product = next(p for p in path.parents if p.name == 'cloth')
    shutil.copy(product / 'test/good/000.png', path)


shrink = partial(Image.new('L', (16, 8), 255).save)
empty = partial(Path.write_bytes, data=b'')
garble = partial(Path.write_bytes, data=b'no image')


@pytest.mark.parametrize(
    ('spoil', 'name', 'message'),
    [
        (remove, 'ground_truth/cut/000_mask.png', r'cut/000\.png.*000_mask\.png \(or'),
        (remove, 'ground_truth/cut', r'without a mask \(1: .*cut/000\.png'),
        (remove, 'test/cut/000.png', r'masks without a defective.*cut/000_mask\.png'),
        (remove, 'test/cut', r'masks without a defective.*cut/000_mask\.png'),
        (shrink, 'ground_truth/cut/000_mask.png', '16x8 of 000.png 32x32'),
        (empty, 'test/good/000.png', r'test/good/000\.png \(zero bytes\)'),
        (empty, 'ground_truth/cut/000_mask.png', r'000_mask\.png \(zero bytes\)'),
        (garble, 'test/good/000.png', r'test/good/000\.png \(no image\)'),
        (copy, 'test/cut/000.jpg', 'share a name with another'),
        (copy, 'test/000.png', 'images directly in test'),
        (copy, 'ground_truth/good/0_mask.png', r'without a defective.*good/0_mask'),
    ],
)
def test_exception_test_files(
    products_copy: Path, spoil: Any, name: str, message: str
) -> None:
    spoil(products_copy / 'cloth' / name)
    with pytest.raises(ValueError, match=message):
        build(products_copy, 'test')


def test_exception_no_training_images(products_copy: Path) -> None:
    for path in (products_copy / 'cloth/train/good').iterdir():
        path.rename(path.with_suffix('.gif'))
    with pytest.raises(ValueError, match=r"'cloth' has no image in .*train/good: exp"):
        build(products_copy)
    for name in ('cloth/train/good', 'cloth'):
        shutil.rmtree(products_copy / name)
        message = "product 'cloth' has no folder .*train/good: expected its good"
        with pytest.raises(ValueError, match=message):
            build(products_copy)


def test_exception_no_root(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'there is no folder .*nowhere'):
        build(tmp_path / 'nowhere')


def test_feature_verify(products_copy: Path) -> None:
    """Headers show an empty file, full decoding a truncated one."""
    path = products_copy / 'cloth/train/good/000.png'
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:4000])
    assert len(build(products_copy)) == 15
    with pytest.raises(ValueError, match=r'broken files \(1: .*good/000\.png'):
        build(products_copy, verify='full')
    path.write_bytes(b'')
    assert len(build(products_copy, verify=False)) == 15


def test_feature_extensions_in_any_case(products_copy: Path) -> None:
    folder = products_copy / 'cloth/train/good'
    image = Image.open(folder / '000.png')
    for number, extension in enumerate(('.JPG', '.jpeg', '.BMP', '.tif', '.TIFF')):
        (folder / f'{number:03d}.png').unlink()
        image.save(folder / f'{number:03d}{extension}')
    (folder / '._000.png').write_bytes(b'what macOS leaves behind')
    (folder / 'Thumbs.db').write_bytes(b'what Windows leaves behind')
    assert len(build(products_copy)) == 15


@pytest.mark.parametrize(
    'name', ['crack/0.png', 'good/more/0.png', 'good/0.WebP', '0.png']
)
def test_exception_pictures_that_are_not_learned(
    products_copy: Path, name: str
) -> None:
    path = products_copy / 'cloth/train' / name
    path.parent.mkdir(exist_ok=True)
    shutil.copy(products_copy / 'cloth/train/good/000.png', path)
    with pytest.raises(ValueError, match=rf'not learned \(1: .*{name}\): expected'):
        build(products_copy)


def test_exception_empty_root_without_classes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='there is no product in'):
        AnomalyDataset(data_root=str(tmp_path), split='train', pipeline=[])


def names(dataset: AnomalyDataset, product: str) -> list[str]:
    return [
        Path(i['img_path']).name for i in infos(dataset) if i['class_name'] == product
    ]


def test_feature_without_test_images_a_share_is_held_out(
    products_copy: Path, messages: Any
) -> None:
    """No image is both learned and tested, and none is lost."""
    shutil.rmtree(products_copy / 'dots/test')
    shutil.rmtree(products_copy / 'dots/ground_truth')
    learned, tested = build(products_copy), build(products_copy, 'test')
    assert (len(names(learned, 'dots')), len(names(tested, 'dots'))) == (4, 1)
    assert {*names(learned, 'dots'), *names(tested, 'dots')} == set(
        names(build(products_copy, hold_out=0), 'dots')
    )
    assert [i['gt_label'] for i in infos(tested) if i['class_name'] == 'dots'] == [0]
    # The others are as they were, in label order.
    assert len(names(learned, 'cloth')) == len(names(tested, 'cloth')) == 5
    products = [i['class_name'] for i in infos(tested)]
    assert list(dict.fromkeys(products)) == list(PRODUCTS)
    told = [r.message for r in messages.records if 'held out' in r.message]
    assert len(told) == 2
    assert all('dots: no test images, so 1 good ones are held out' in t for t in told)
    half = build(products_copy, 'test', hold_out=0.5)
    assert len(names(half, 'dots')) == 2
    assert names(tested, 'dots')[0] in names(half, 'dots')


def test_feature_defective_test_images_only(products_copy: Path, messages: Any) -> None:
    """A share of the good images is tested, so that the AUROC is defined."""
    shutil.rmtree(products_copy / 'dots/test/good')
    whole = names(build(products_copy, hold_out=0), 'dots')
    learned, tested = build(products_copy), build(products_copy, 'test')
    assert (len(whole), len(names(learned, 'dots'))) == (5, 4)
    of_dots = [i for i in infos(tested) if i['class_name'] == 'dots']
    good = [Path(i['img_path']).name for i in of_dots if i['gt_label'] == 0]
    assert 1 == len(good) < len(of_dots)
    assert {*names(learned, 'dots'), *good} == set(whole)
    assert 'dots: no good test images, so 1 good ones are held out' in messages.text
    build(products_copy, 'test', hold_out=0)
    assert 'dots: no good test images, so its AUROC is undefined' in messages.text


def test_feature_good_test_images_only(products_copy: Path) -> None:
    shutil.rmtree(products_copy / 'dots/ground_truth')
    for folder in (products_copy / 'dots/test').iterdir():
        if folder.name != 'good':
            shutil.rmtree(folder)
    assert len(names(build(products_copy), 'dots')) == 5
    tested = build(products_copy, 'test', keep_classes=['dots'])
    assert {info['gt_label'] for info in infos(tested)} == {0}


def test_feature_an_old_product_without_images(
    products_copy: Path, messages: Any
) -> None:
    """It is named, and the new one trains and is tested."""
    shutil.rmtree(products_copy / 'cloth')
    build(products_copy, keep_classes=['dots'])
    tested = build(products_copy, 'test')
    assert {i['class_name'] for i in infos(tested)} == {'dots', 'marble'}
    assert 'cloth: no test images, so it is not scored' in messages.text
    empty = build(products_copy, 'test', keep_classes=['cloth'])
    assert len(empty) == 0
    with pytest.raises(ValueError, match=r'no folder .*cloth/train/good'):
        build(products_copy)


def test_exception_published_sets_are_whole(products_copy: Path) -> None:
    class Published(AnomalyDataset):
        complete = True

    shutil.rmtree(products_copy / 'dots/test')
    shutil.rmtree(products_copy / 'dots/ground_truth')
    args = {'data_root': str(products_copy), 'metainfo': {'classes': PRODUCTS}}
    with pytest.raises(ValueError, match="'dots' has no test image in"):
        Published(**args, split='test', pipeline=[])
    assert len(names(Published(**args, pipeline=[]), 'dots')) == 5
