from __future__ import annotations

import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mmdefect.datasets.index_masks.dataset import PairedMaskDataset
from mmdefect.testing import make_toy_cracks
from mmdefect.testing.toy_cracks import (
    CRACK,
    DIRT,
    MASK_CLASSES,
    PORE,
    TEXTURES,
    draw_crack,
    draw_parts,
    draw_surface,
)
from tests.helpers.dataset_files import files_in

ROOT = Path(__file__).parents[2]


def test_smoke_layout(tmp_path: Path) -> None:
    root = make_toy_cracks(tmp_path, size=64, train=2, val=1, test=1)
    assert list(files_in(root)) == [
        'test/images/000.png',
        'test/masks/000.png',
        'train/images/000.png',
        'train/images/001.png',
        'train/masks/000.png',
        'train/masks/001.png',
        'val/images/000.png',
        'val/masks/000.png',
    ]


def test_shape(tmp_path: Path) -> None:
    root = make_toy_cracks(tmp_path, train=4, val=1, test=1) / 'train'
    with Image.open(root / 'images/000.png') as image:
        assert (image.size, image.mode) == ((224, 224), 'RGB')
    seen: set[int] = set()
    for path in sorted((root / 'masks').iterdir()):
        with Image.open(path) as image:
            assert (image.size, image.mode) == ((224, 224), 'L')
            mask = np.asarray(image)
        seen |= set(np.unique(mask).tolist())
        assert 0.001 < np.mean(mask == CRACK) < 0.05
    assert seen == {0, CRACK, PORE, DIRT}
    dataset = PairedMaskDataset(
        data_root=str(root),
        metainfo={'mask_classes': MASK_CLASSES},
        target_classes=MASK_CLASSES,
    )
    assert dataset.object_ids == (CRACK, PORE, DIRT)


def test_feature_masks_are_exact() -> None:
    for seed in range(12):
        good, factor, ids = draw_parts(np.random.default_rng(seed), 96)
        np.testing.assert_array_equal(factor < 1, ids > 0)
        image, same = draw_surface(np.random.default_rng(seed), 96)
        np.testing.assert_array_equal(same, ids)
        changed = np.abs(image - good).max(-1)
        assert not changed[ids == 0].any()
        assert (changed[ids == CRACK] > 20).all()
        assert (ids == CRACK).any()


def test_feature_cracks_are_thin() -> None:
    """No pixel of a crack is more than three from its edge."""
    for seed in range(20):
        shape = np.zeros((160, 160), np.uint8)
        draw_crack(np.random.default_rng(seed), shape)
        away = cv2.distanceTransform(np.pad(shape, 1), cv2.DIST_L2, 5)
        # Where loops and branches meet they may be wider.
        assert np.percentile(away[away > 0], 95) <= 3
        assert shape.sum() > 60


def test_feature_darkness_alone_is_no_crack() -> None:
    """Pores are as dark; both materials are drawn."""
    rng = np.random.default_rng(0)
    means = [float(texture(rng, 96).mean()) for texture in TEXTURES]
    assert means[0] + 20 < means[1]
    darks: dict[int, list[float]] = {CRACK: [], PORE: []}
    for seed in range(12):
        image, ids = draw_surface(np.random.default_rng(seed), 224)
        for number, found in darks.items():
            if (ids == number).any():
                found.append(float(image[ids == number].mean()))
    assert abs(np.mean(darks[CRACK]) - np.mean(darks[PORE])) < 20


def test_smoke_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The sizes of the README; a set of its own, not drawn unless asked for."""
    main = runpy.run_path(str(ROOT / 'tools/misc/make_toy_data.py'))['main']
    assert main([str(tmp_path), '--dataset', 'cracks', '--seed', '5']) == 0
    assert [path.name for path in tmp_path.iterdir()] == ['cracks']
    root = tmp_path / 'cracks'
    for subset, number in (('train', 40), ('val', 12), ('test', 20)):
        for folder in ('images', 'masks'):
            assert len(list((root / subset / folder).iterdir())) == number
    alone = make_toy_cracks(tmp_path / 'alone', seed=5, train=1, val=1, test=1)
    made = (root / 'train/images/000.png').read_bytes()
    assert made == (alone / 'train/images/000.png').read_bytes()
    printed = capsys.readouterr().out
    assert f'crack_patches.py {root} --out {tmp_path}/crack_patches' in printed
    assert '--target-ids 1' in printed
