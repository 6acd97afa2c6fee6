"""What the folders of a data set hold, through the data set that refuses them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmengine.logging import MMLogger
from PIL import Image

from mmdefect.datasets.anomaly.dataset import AnomalyDataset
from mmdefect.testing import make_toy_products

PRODUCTS = ('cloth', 'dots', 'marble')


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Three products, 5 training and 5 test images each, that a test may spoil."""
    return make_toy_products(tmp_path / 'toy', size=32, products=3, train=5, test=5)


def build(root: Path, split: str = 'train', **kwargs: Any) -> AnomalyDataset:
    metainfo = {'classes': PRODUCTS}
    return AnomalyDataset(
        data_root=str(root), split=split, metainfo=metainfo, pipeline=[], **kwargs
    )


def infos(dataset: AnomalyDataset) -> list[dict[str, Any]]:
    return [dataset.get_data_info(i) for i in range(len(dataset))]


@pytest.fixture
def messages(caplog: pytest.LogCaptureFixture) -> Any:
    """What was logged; MMEngine's logger calls its own handlers only."""
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def test_feature_image_level_product_is_logged(damaged: Path, messages: Any) -> None:
    shutil.rmtree(damaged / 'dots/ground_truth')
    dataset = build(damaged, 'test')
    told = [r.message for r in messages.records if 'pixel metrics' in r.message]
    assert len(told) == 1
    assert 'dots: no ground_truth' in told[0]
    known = {i['class_name']: i['has_mask'] for i in infos(dataset) if i['gt_label']}
    assert known == {'cloth': True, 'dots': False, 'marble': True}


def test_feature_several_masks_of_one_image(damaged: Path) -> None:
    folder = damaged / 'cloth/ground_truth/cut'
    shutil.copy(folder / '000_mask.png', folder / '000_mask_1.png')
    (folder / '000_mask.png').rename(folder / '000.PNG')
    info = build(damaged, 'test').get_data_info(0)
    names = [Path(path).name for path in info['mask_paths']]
    assert names == ['000.PNG', '000_mask_1.png']


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def shrink(path: Path) -> None:
    Image.new('L', (16, 8), 255).save(path)


def empty(path: Path) -> None:
    path.write_bytes(b'')


def garble(path: Path) -> None:
    path.write_bytes(b'no image')


def copy(path: Path) -> None:
    shutil.copy(next(path.parent.glob('*.png')), path)


@pytest.mark.parametrize(
    ('spoil', 'name', 'message'),
    [
        (remove, 'ground_truth/cut/000_mask.png', r'cut/000\.png.*000_mask\.png \(or'),
        (remove, 'ground_truth/cut', r'without a mask \(1: .*cut/000\.png'),
        (remove, 'test/cut/000.png', r'Masks without a defective.*cut/000_mask\.png'),
        (remove, 'test/cut', r'Masks without a defective.*cut/000_mask\.png'),
        (shrink, 'ground_truth/cut/000_mask.png', '16x8 of 000.png 32x32'),
        (empty, 'test/good/000.png', r'test/good/000\.png \(zero bytes\)'),
        (garble, 'test/good/000.png', r'test/good/000\.png \(no image\)'),
        (empty, 'ground_truth/cut/000_mask.png', r'000_mask\.png \(zero bytes\)'),
        (copy, 'test/cut/000.jpg', 'share a name with another'),
    ],
)
def test_exception_test_files(
    damaged: Path, spoil: Any, name: str, message: str
) -> None:
    spoil(damaged / 'cloth' / name)
    with pytest.raises(ValueError, match=message):
        build(damaged, 'test')


def test_exception_images_directly_in_test(damaged: Path) -> None:
    shutil.copy(damaged / 'cloth/test/good/000.png', damaged / 'cloth/test/000.png')
    with pytest.raises(ValueError, match='Images directly in test'):
        build(damaged, 'test')


def test_exception_mask_of_a_good_image(damaged: Path) -> None:
    truth = damaged / 'cloth/ground_truth'
    shutil.copytree(truth / 'cut', truth / 'good')
    with pytest.raises(ValueError, match=r'Masks without a defective.*good/000_mask'):
        build(damaged, 'test')


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('cloth', "product 'cloth' has no folder .*train/good; expected its normal"),
        ('cloth/train/good', "product 'cloth' has no folder .*train/good"),
    ],
)
def test_exception_no_training_folder(damaged: Path, name: str, message: str) -> None:
    shutil.rmtree(damaged / name)
    with pytest.raises(ValueError, match=message):
        build(damaged)


def test_exception_no_training_image(damaged: Path) -> None:
    for path in (damaged / 'cloth/train/good').iterdir():
        path.rename(path.with_suffix('.gif'))
    with pytest.raises(ValueError, match=r"'cloth' has no image in .*train/good"):
        build(damaged)


def test_exception_no_root(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'There is no folder .*nowhere'):
        build(tmp_path / 'nowhere')


def test_feature_verify(damaged: Path) -> None:
    """Headers show an empty file, full decoding a truncated one."""
    path = damaged / 'cloth/train/good/000.png'
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:4000])
    assert len(build(damaged)) == 15
    with pytest.raises(ValueError, match=r'Broken files \(1: .*good/000\.png'):
        build(damaged, verify='full')
    path.write_bytes(b'')
    assert len(build(damaged, verify=False)) == 15


def test_exception_several_problems_are_counted(damaged: Path) -> None:
    for product in ('cloth', 'dots'):
        shutil.rmtree(damaged / product / 'train')
    with pytest.raises(ValueError, match=r'cloth.*\(1 more like this\.\)'):
        build(damaged)


def test_feature_extensions_in_any_case(damaged: Path) -> None:
    folder = damaged / 'cloth/train/good'
    image = Image.open(folder / '000.png')
    for number, extension in enumerate(('.JPG', '.jpeg', '.BMP', '.tif', '.TIFF')):
        (folder / f'{number:03d}.png').unlink()
        image.save(folder / f'{number:03d}{extension}')
    (folder / '._000.png').write_bytes(b'what macOS leaves behind')
    (folder / 'Thumbs.db').write_bytes(b'what Windows leaves behind')
    assert len(build(damaged)) == 15


@pytest.mark.parametrize(
    'name', ['crack/0.png', 'good/more/0.png', 'good/0.WebP', '0.png']
)
def test_exception_pictures_that_are_not_learnt(damaged: Path, name: str) -> None:
    path = damaged / 'cloth/train' / name
    path.parent.mkdir(exist_ok=True)
    shutil.copy(damaged / 'cloth/train/good/000.png', path)
    with pytest.raises(ValueError, match=rf'not learnt \(1: .*{name}\); expected'):
        build(damaged)


def test_exception_empty_root_without_classes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='there is no product in'):
        AnomalyDataset(data_root=str(tmp_path), split='train', pipeline=[])


def names(dataset: AnomalyDataset, product: str) -> list[str]:
    return [
        Path(i['img_path']).name for i in infos(dataset) if i['class_name'] == product
    ]


def test_feature_without_test_images_a_share_is_held_out(
    damaged: Path, messages: Any
) -> None:
    """No image is both learnt and tested, and none is lost."""
    shutil.rmtree(damaged / 'dots/test')
    shutil.rmtree(damaged / 'dots/ground_truth')
    learnt, tested = build(damaged), build(damaged, 'test')
    assert (len(names(learnt, 'dots')), len(names(tested, 'dots'))) == (4, 1)
    assert {*names(learnt, 'dots'), *names(tested, 'dots')} == set(
        names(build(damaged, hold_out=0), 'dots')
    )
    assert [i['gt_label'] for i in infos(tested) if i['class_name'] == 'dots'] == [0]
    # The others are as they were, in label order.
    assert len(names(learnt, 'cloth')) == len(names(tested, 'cloth')) == 5
    products = [i['class_name'] for i in infos(tested)]
    assert list(dict.fromkeys(products)) == list(PRODUCTS)
    told = [r.message for r in messages.records if 'held out' in r.message]
    assert len(told) == 2
    assert all('dots: no test images, so 1 good ones are held out' in t for t in told)
    half = build(damaged, 'test', hold_out=0.5)
    assert len(names(half, 'dots')) == 2
    assert names(tested, 'dots')[0] in names(half, 'dots')


def test_feature_good_test_images_only(damaged: Path) -> None:
    shutil.rmtree(damaged / 'dots/ground_truth')
    for folder in (damaged / 'dots/test').iterdir():
        if folder.name != 'good':
            shutil.rmtree(folder)
    assert len(names(build(damaged), 'dots')) == 5
    tested = build(damaged, 'test', keep_classes=['dots'])
    assert {info['gt_label'] for info in infos(tested)} == {0}


def test_feature_an_old_product_without_images(damaged: Path, messages: Any) -> None:
    """It is named, and the new one trains and is tested."""
    shutil.rmtree(damaged / 'cloth')
    build(damaged, keep_classes=['dots'])
    tested = build(damaged, 'test')
    assert {i['class_name'] for i in infos(tested)} == {'dots', 'marble'}
    assert 'cloth: no test images, so it is not scored' in messages.text
    empty = build(damaged, 'test', keep_classes=['cloth'])
    assert len(empty) == 0
    with pytest.raises(ValueError, match=r'no folder .*cloth/train/good'):
        build(damaged)


def test_exception_published_sets_are_whole(damaged: Path) -> None:
    class Published(AnomalyDataset):
        complete = True

    shutil.rmtree(damaged / 'dots/test')
    shutil.rmtree(damaged / 'dots/ground_truth')
    args = {'data_root': str(damaged), 'metainfo': {'classes': PRODUCTS}}
    with pytest.raises(ValueError, match="'dots' has no test image in"):
        Published(**args, split='test', pipeline=[])
    assert len(names(Published(**args, pipeline=[]), 'dots')) == 5


def test_exception_share_to_hold_out(damaged: Path) -> None:
    for share in (-0.1, 1):
        with pytest.raises(ValueError, match=r'hold_out is .* expected a share'):
            build(damaged, hold_out=share)
