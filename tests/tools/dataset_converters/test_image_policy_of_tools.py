"""Converters look at image files as datasets do, and take the same settings."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdefect.converters.coco import ImageRecord, build_coco
from mmdefect.converters.deeppcb import convert_deeppcb
from mmdefect.converters.neu_det import convert_neu_det
from mmdefect.datasets.boxes.coco_file import save_json
from mmdefect.datasets.index_masks.dataset import PairedMaskDataset
from mmdefect.datasets.transforms.index_mask import LoadIndexMask
from mmdefect.datasets.transforms.loading import LoadCachedImage
from mmdefect.testing import make_toy_deeppcb, make_toy_neu_det
from tests.helpers.dataset_files import tool
from tests.helpers.image_files import (
    GREY,
    HEIGHT,
    RGB,
    WIDTH,
    packed,
    with_exif,
    written,
)

Out = pytest.CaptureFixture[str]
coco, mvtec_ad, threshold = map(tool, ('coco', 'mvtec_ad', 'mask_from_threshold'))


def coco_of(path: Path, *names: str, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
    records = [ImageRecord(name, *size, [('dent', (1, 1, 4, 4))]) for name in names]
    save_json(build_coco(records, ['dent'], title='t')[0], path)
    return path


def turn_tag(path: Path, orientation: int) -> None:
    """Save a file again with an EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    with Image.open(path) as image:
        image.load()
        image.save(path, exif=exif)


def test_feature_coco_compares_sizes(tmp_path: Path, capsys: Out) -> None:
    written(tmp_path, {'a.png': packed(RGB, 'PNG')})
    sound = coco_of(tmp_path / 'sound.json', 'a.png')
    small = coco_of(tmp_path / 'small.json', 'a.png', size=(WIDTH // 2, HEIGHT // 2))
    more = ['--image-root', tmp_path]
    assert coco(sound, tmp_path / 'new.json', *more) == 0
    assert coco(small, tmp_path / 'other.json', *more) == 1
    out = capsys.readouterr().out
    assert re.search(r'ERROR: images that are not .*/a\.png \(8x6, annotated 4x3', out)
    assert not (tmp_path / 'other.json').exists()


def test_feature_coco_takes_the_word_of_exif(tmp_path: Path, capsys: Out) -> None:
    written(tmp_path, {'a.jpg': with_exif('JPEG', 3, RGB)})
    argv = [coco_of(tmp_path / 'a.json', 'a.jpg'), tmp_path / 'new.json']
    argv += ['--image-root', tmp_path]
    assert coco(*argv) == 1
    assert 'EXIF orientation 3, and its size does not say' in capsys.readouterr().out
    assert coco(*argv, '--exif', 'stored') == 0
    with pytest.raises(SystemExit):
        coco(*argv[:2], '--exif', 'stored')


def test_feature_coco_decodes_and_compares_with_training(
    tmp_path: Path, capsys: Out
) -> None:
    whole = packed(RGB, 'PNG')
    deep = packed(np.uint16(16) * GREY, 'PNG')
    files = {'a.png': whole, 'b.png': whole, 'c.png': whole[:-30], 'd.png': deep}
    written(tmp_path, files)
    train = coco_of(tmp_path / 'train.json', 'a.png')
    test = coco_of(tmp_path / 'test.json', 'b.png', 'd.png')
    cut = coco_of(tmp_path / 'cut.json', 'c.png')
    more = [tmp_path / 'new.json', '--image-root', tmp_path]
    assert coco(test, *more, '--train', train) == 0
    out = capsys.readouterr().out
    assert re.search(r'note: test images that are .*1: .*/b\.png = .*/a\.png', out)
    assert 'note: images of 16 bits are read as 12 bits' in out
    assert coco(cut, *more) == 0  # the header is whole
    assert coco(cut, *more, '--full') == 1
    assert re.search(r'c\.png \(truncated or damaged\)', capsys.readouterr().out)


def test_exception_converters_of_square_images(tmp_path: Path) -> None:
    """NEU-DET has sizes, DeepPCB has none: of square images neither can tell."""
    steel = make_toy_neu_det(tmp_path / 'steel', per_class=2, size=64)
    turn_tag(steel / 'IMAGES/crazing_1.jpg', 6)
    (error,) = convert_neu_det(steel)['train'][1].errors
    assert re.search(
        r'crazing_1\.jpg is 64x64 \(EXIF orientation 6, .*say 64x64', error
    )
    assert convert_neu_det(steel, exif='stored')['train'][1].errors == []

    boards = make_toy_deeppcb(tmp_path / 'boards', train=2, test=2, size=128)
    tagged = next((boards / 'PCBData').rglob('*_test.jpg'))
    turn_tag(tagged, 6)
    reports = [r for _, r in convert_deeppcb(boards).values()]
    (error,) = reports[0].errors + reports[1].errors
    assert f'{tagged} cannot be read as an image (EXIF orientation 6' in error
    reports = [r for _, r in convert_deeppcb(boards, exif='turned').values()]
    assert reports[0].errors + reports[1].errors == []


def test_feature_check_of_products_takes_exif(tmp_path: Path, capsys: Out) -> None:
    tagged = {'a.jpg': with_exif('JPEG', 3, RGB)}
    mask = packed(np.uint8(255) * (GREY > 200), 'PNG')
    written(tmp_path / 'seal/train/good', tagged)
    written(tmp_path / 'seal/test/spot', tagged)
    written(tmp_path / 'seal/ground_truth/spot', {'a_mask.png': mask})
    assert mvtec_ad(tmp_path) == 1
    assert 'may lie on either (1: ' in capsys.readouterr().out
    assert mvtec_ad(tmp_path, '--exif', 'stored', '--full') == 0


def test_feature_tif_images_everywhere(tmp_path: Path, capsys: Out) -> None:
    """Masks of a threshold, compared with their images, and read beside them."""
    image = np.full((32, 40), 3000, np.uint16)
    image[10:20, 5:25] = 300  # a dark object of a camera of 12 bits
    images = written(tmp_path / 'images', {'a.tif': packed(image, 'TIFF')})
    out = tmp_path / 'out'
    assert threshold(tmp_path / 'images', '--out', out) == 0
    more = ['--images', tmp_path / 'images']
    again = ['png', out / 'masks', '--out', tmp_path / 'again', *more]
    assert tool('index_masks')(*again) == 0, capsys.readouterr().out
    dataset = PairedMaskDataset(
        data_root=f'{tmp_path}/',
        data_prefix={'img': 'images', 'mask': 'again/masks'},
        pipeline=[LoadCachedImage(), LoadIndexMask()],
    )
    item = dataset[0]
    assert item['img_path'] == str(images['a.tif'])
    assert item['bits'] == 12
    assert set(np.unique(item['img'])) == {19, 187}
    assert (item['gt_seg_map'] > 0).sum() == 200


def test_feature_masks_of_tagged_images(tmp_path: Path, capsys: Out) -> None:
    """Cut as annotated: by the size of the mask, or as the user says."""
    pixels = np.full((40, 64, 3), 200, np.uint8)
    pixels[10:20, 5:45] = 20
    written(tmp_path / 'images', {'a.png': with_exif('PNG', 6, pixels)})
    argv = [tmp_path / 'images', '--out', tmp_path / 'out']
    assert threshold(*argv) == 1
    assert 'EXIF orientation 6' in capsys.readouterr().out
    assert threshold(*argv, '--exif', 'turned') == 0
    shutil.move(tmp_path / 'out/masks', tmp_path / 'masks')
    cut = [tmp_path, '--out', tmp_path / 'cut', '--size', '16', '--stride', '16']
    assert tool('crack_patches')(*cut, '--split', 'test') == 0
    note = json.loads((tmp_path / 'cut/patches.json').read_text(encoding='utf-8'))
    found = {
        label: [np.asarray(Image.open(path)) for path in folder.iterdir()]
        for label in ('crack', 'background')
        for folder in [tmp_path / 'cut/test' / label]
    }
    assert note['arguments']['exif'] is None
    assert all((patch == 20).any() for patch in found['crack'])
    assert all((patch == 200).all() for patch in found['background'])
