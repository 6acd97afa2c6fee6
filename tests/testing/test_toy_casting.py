from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from mmdefect.testing.toy_casting import draw_impeller, make_toy_casting
from tests.helpers.dataset_files import files_in

SMALL = {'copies': 2, 'size': 64}


def test_smoke_layout(tmp_path: Path) -> None:
    root = make_toy_casting(tmp_path, parts=2, copies=5, size=64)
    folders = Counter(name.rpartition('/')[0] for name in files_in(root))
    assert folders == {
        'train/def_front': 8,
        'train/ok_front': 8,
        'test/def_front': 2,
        'test/ok_front': 2,
    }
    # Each number once, in train or in test.
    numbers = sorted(int(p.stem.split('_')[3]) for p in root.rglob('cast_ok_0_*.jpeg'))
    assert numbers == list(range(10))


def test_feature_images_look_like_the_real_ones(tmp_path: Path) -> None:
    root = make_toy_casting(tmp_path, parts=1, copies=2)
    for path in root.rglob('*.jpeg'):
        pixels = np.asarray(Image.open(path))
        assert pixels.shape == (96, 96, 3)
        assert (pixels == pixels[..., :1]).all()
        grey = pixels[..., 0].astype(int)
        assert np.median(grey[44:52, 62:66]) < 60  # the opening
        assert 120 < np.median(grey) < 220


def test_feature_more_parts_leave_the_others_alone(tmp_path: Path) -> None:
    """Which images are in test changes with their number; pixels do not."""
    few, more = (
        {Path(name).name: data for name, data in files_in(root).items()}
        for n in (1, 2)
        for root in [make_toy_casting(tmp_path / str(n), parts=n, **SMALL)]
    )
    assert few.items() <= more.items()


def test_feature_masks_outline_the_defect(tmp_path: Path) -> None:
    root = make_toy_casting(tmp_path, parts=4, copies=3, masks=True)
    masks = sorted((root / 'masks').rglob('*.png'))
    assert len(masks) == 12
    for path in masks:
        name = path.relative_to(root / 'masks')
        image = root / name.with_name(name.stem.removesuffix('_mask') + '.jpeg')
        inside = np.asarray(Image.open(path)) > 0
        grey = np.asarray(Image.open(image))[..., 0].astype(int)
        assert 10 < inside.sum() < 600
        assert grey[inside].mean() < 90
    assert not list((root / 'masks').rglob('*ok*'))


def test_feature_ok_parts_have_no_defect() -> None:
    image, mask = draw_impeller(np.random.default_rng(0), 128, defective=False)
    assert (image.shape, image.dtype.name) == ((128, 128), 'float32')
    assert not mask.any()
    y, x = np.mgrid[:128, :128] - 63.5
    radius = np.hypot(x, y) / 64
    assert image[(radius > 0.65) & (radius < 0.8)].min() > 80


def test_feature_originals(tmp_path: Path) -> None:
    root = make_toy_casting(tmp_path, parts=2, copies=2, size=64, originals=True)
    paths = sorted((root / 'casting_512x512').rglob('*.jpeg'))
    assert [p.relative_to(root).parts[1:] for p in paths] == [
        ('def_front', 'cast_def_0_0.jpeg'),
        ('def_front', 'cast_def_0_1.jpeg'),
        ('ok_front', 'cast_ok_0_0.jpeg'),
        ('ok_front', 'cast_ok_0_1.jpeg'),
    ]
    assert Image.open(paths[0]).size == (128, 128)
