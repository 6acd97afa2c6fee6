"""What ``mmdefect init`` chooses and warns of, without reading annotations."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmdefect.cli.init_boxes import choose, warnings
from mmdefect.cli.init_boxes_config import Choice, config_text
from mmdefect.cli.init_folders import Labelled, draw_subsets, good_folder
from mmdefect.cli.init_images import Looked, look
from mmdefect.converters.coco import ImageRecord
from mmdefect.converters.importing import Imported, convert
from tests.helpers.image_files import with_exif


def imported(size: tuple[int, int], side: float, images: int = 40) -> Imported:
    """Images of one size, each with a square box."""
    box = (10, 10, 10 + side, 10 + side)
    records = [ImageRecord(f'{k}.png', *size, [('dent', box)]) for k in range(images)]
    return Imported('LabelMe', Path('parts'), ['dent'], records)


@pytest.mark.parametrize(
    ('size', 'side', 'gpu', 'wanted'),
    [
        ((200, 150), 30, False, (200, 150)),  # never enlarged
        ((1000, 2000), 300, False, (640, 320)),
        ((2000, 1000), 300, True, (1312, 656)),
        ((2000, 1000), 24, False, (992, 496)),  # 12 px of 24
        ((4000, 3000), 20, False, (1280, 960)),  # as large as it gets
        ((4000, 3000), 20, True, (1984, 1488)),
    ],
)
def test_feature_size(
    size: tuple[int, int], side: float, gpu: bool, wanted: tuple[int, int]
) -> None:
    found = imported(size, side)
    choice = choose(Looked([size] * 40), found, convert(found), gpu=gpu)
    assert choice.size == wanted
    tiny = side * wanted[0] / max(size) < 8
    said = ' '.join(warnings(found, convert(found), choice))
    assert ('40 of 40 boxes are narrower than 8 px' in said) == tiny


@pytest.mark.parametrize(
    ('images', 'gpu', 'batch', 'epochs', 'rate'),
    [
        (3, False, 1, 200, 0.000125),
        (40, False, 8, 200, 0.001),
        (1000, False, 8, 24, 0.001),
        (100, True, 4, 100, 0.002),
    ],
)
def test_feature_length_of_training(
    images: int, gpu: bool, batch: int, epochs: int, rate: float
) -> None:
    found = imported((96, 64), 20, images)
    choice = choose(Looked([(96, 64)] * images), found, convert(found), gpu=gpu)
    assert (choice.batch, choice.epochs, choice.rate) == (batch, epochs, rate)


@pytest.mark.parametrize('gpu', [False, True])
@pytest.mark.parametrize('pretrained', [False, True])
def test_feature_configs_load(tmp_path: Path, gpu: bool, pretrained: bool) -> None:
    """Also one that needs a GPU, with odd names, small images, an EXIF orientation."""
    found = imported((96, 20), 9)
    found.classes = [
        "it's",
        'Öl fleck',
        *(f'a long name of kind {k}' for k in range(5)),
    ]
    found.records = [ImageRecord(r.file_name, 96, 20, []) for r in found.records]
    args = argparse.Namespace(
        out=tmp_path / 'line.py', data=Path('a\nb'), exif='turned'
    )
    choice = Choice((96, 20), 'why', 4, 30, 0.002, gpu)
    converted = convert(found)
    text = config_text(args, found, converted, choice, pretrained=pretrained)
    lines = text.replace(str(tmp_path), 'here').splitlines()
    assert max(map(len, lines)) < 150
    args.out.write_text(text, encoding='utf-8')
    cfg = Config.fromfile(args.out)
    assert cfg.model.bbox_head.num_classes == 7
    assert list(cfg.val_dataloader.dataset.metainfo.classes) == found.classes
    assert cfg.train_dataloader.dataset.exif == 'turned'
    assert cfg.train_dataloader.dataset.filter_cfg.min_size == 20
    assert cfg.train_dataloader.dataset.filter_cfg.filter_empty_gt
    assert cfg.train_pipeline[2].scale == (96, 20)
    assert cfg.model.backbone.type == (
        'ResNet' if gpu else 'mmdefect.DetectionMobileNetV2'
    )
    assert (cfg.model.backbone.init_cfg is None) == (not gpu and not pretrained)
    assert cfg.train_cfg.max_epochs == cfg.param_scheduler[1].end == 30
    assert cfg.optim_wrapper.optimizer.lr == 0.002


def test_feature_what_images_are_like(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 4000, (20, 30), np.uint16)
    cv2.imwrite(str(tmp_path / 'deep.png'), grey)
    Image.fromarray((grey // 16).astype(np.uint8)).save(tmp_path / 'grey.png')
    (tmp_path / 'turned.jpg').write_bytes(
        with_exif('JPEG', 6, np.zeros((60, 90, 3), np.uint8))
    )
    names = ['deep.png', 'grey.png', 'turned.jpg']
    looked = look(tmp_path, names)
    assert looked.grey
    assert looked.typical == (30, 20)
    assert looked.found() == [
        'images: 3, grey, 1 of 16 bits; 2 of 30 x 20, 1 of 90 x 60'
    ]
    said = looked.warnings()
    assert len(said) == 2
    assert said[0].startswith('the largest image has more than four times the pixels')
    assert said[1].startswith('images with an EXIF orientation (1: turned.jpg)')
    Image.new('RGB', (30, 20), 'red').save(tmp_path / 'red.png')
    (tmp_path / 'cut.png').write_bytes(b'nothing')
    looked = look(tmp_path, [*names, 'red.png', 'cut.png'])
    assert not looked.grey
    assert looked.errors[0].startswith(
        f'broken files (1: {tmp_path}/cut.png (no image)'
    )


@pytest.mark.parametrize(
    ('folders', 'good'),
    [
        (['ok', 'defective'], 'ok'),
        (['NOK', 'OK'], 'OK'),
        (['not_good', 'good'], 'good'),
        (['bad', 'parts-ok 2', 'dent'], 'parts-ok 2'),
    ],
)
def test_feature_which_folder_is_good(folders: list[str], good: str) -> None:
    assert good_folder(folders, None) == good
    assert good_folder(folders, folders[0]) == folders[0]


def test_feature_the_draw_keeps_one_for_training() -> None:
    images = [Labelled(f'{k}.png', 'abc'[k % 3]) for k in range(60)]
    images += [Labelled('few.png', 'd'), Labelled('two.png', 'd')]
    shares = {'val': 0.2, 'test': 0.1}
    drawn = draw_subsets(images, shares, seed=0, train_only=['0.png'])
    assert drawn == draw_subsets(images[::-1], shares, seed=0, train_only=['0.png'])
    assert drawn != draw_subsets(images, shares, seed=1, train_only=['0.png'])
    assert drawn['0.png'] == 'train'
    for folder in 'abc':
        own = [drawn[image.name] for image in images if image.folder == folder]
        assert [own.count(s) for s in ('train', 'val', 'test')] == [14, 4, 2]
    assert sorted([drawn['few.png'], drawn['two.png']]) == ['train', 'val']
