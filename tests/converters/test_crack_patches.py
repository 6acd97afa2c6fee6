from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS
from PIL import Image

from mmdefect.converters.crack_patches import (
    CLASSES,
    Subset,
    plan_patches,
    write_patches,
)
from mmdefect.converters.patch_grid import Settings
from mmdefect.testing import make_toy_cracks
from tests.helpers.configs import ROOT, scope

SMALL = Settings(size=4, stride=2)


def put(root: Path, name: str, mask: np.ndarray, *, suffix: str = '.png') -> None:
    """An image whose pixels all differ, and its mask."""
    height, width = mask.shape
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([rows, columns, 7 * rows + columns], -1).astype(np.uint8)
    for folder, pixels, ending in (('images', image, suffix), ('masks', mask, '.png')):
        path = root / folder / f'{name}{ending}'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)


def line(height: int = 8, width: int = 12, *, column: int = 0) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    mask[:, column] = 255
    return mask


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """Ten images with a crack on the left."""
    for number in range(10):
        put(tmp_path / 'flat', f'{number:02d}', line())
    return tmp_path / 'flat'


def stems(subset: Subset, label: str) -> list[str]:
    return [patch.stem for patch in subset.chosen[label]]


def sources(subset: Subset) -> set[str]:
    return {p.pair.name for patches in subset.chosen.values() for p in patches}


def test_smoke(tmp_path: Path) -> None:
    root = make_toy_cracks(tmp_path / 'toy', size=64, train=4, val=3, test=3)
    settings = Settings(size=16, stride=16, object_ids=(1,), masks=True)
    plan = plan_patches(root, settings)
    write_patches(plan, tmp_path / 'out', settings, root='toy')
    note = json.loads((tmp_path / 'out/patches.json').read_text(encoding='utf-8'))
    assert note['root'] == 'toy'
    assert note['classes'] == ['crack', 'background']
    assert note['arguments'] == {**vars(settings), 'object_ids': [1]}
    for name, images in (('train', 4), ('val', 3), ('test', 3)):
        found = note['subsets'][name]
        assert found['images'] == images
        assert sum(found['on the grid'].values()) == 16 * images
        for label in CLASSES:
            paths = list((tmp_path / f'out/{name}/{label}').iterdir())
            assert len(paths) == found['written'][label] > 0
            for path in paths:
                mask = tmp_path / f'out/masks/{name}/{label}' / path.name
                inside = np.asarray(Image.open(mask))
                assert inside.shape == (16, 16)
                assert (inside.mean() / 255 >= 0.01) == (label == 'crack')
                assert inside.any() == (label == 'crack')


def test_feature_crack_is_class_zero_for_mmpretrain(tmp_path: Path) -> None:
    """As the config reads the patches: by the lists, not by the folders."""
    root = make_toy_cracks(tmp_path / 'toy', size=64, train=2, val=2, test=2)
    settings = Settings(size=16, stride=16, object_ids=(1,))
    out = tmp_path / 'out'
    write_patches(plan_patches(root, settings), out, settings)
    cfg = Config.fromfile(ROOT / 'configs/_base_/datasets/toy_cracks.py')
    with scope('mmpretrain'):
        for split in ('train', 'val', 'test'):
            loader = cfg[f'{split}_dataloader']
            dataset = DATASETS.build({**loader.dataset, 'data_root': str(out)})
            assert dataset.metainfo['classes'] == CLASSES
            infos = [dataset.get_data_info(i) for i in range(len(dataset))]
            folders = [Path(info['img_path']).parent.name for info in infos]
            assert [CLASSES[info['gt_label']] for info in infos] == folders
            assert set(folders) == set(CLASSES)
            written = (tmp_path / 'out' / split).rglob('*.png')
            paths = sorted(info['img_path'] for info in infos)
            assert paths == sorted(map(str, written))
            packed = dataset[0]
            assert tuple(packed['inputs'].shape) == (3, 16, 16)
            assert packed['data_samples'].gt_label.tolist() == [0]


def test_feature_pixels_are_those_of_the_image(tmp_path: Path) -> None:
    put(tmp_path / 'in', 'deep/a', line())
    one = Settings(size=4, stride=2, shares=(0, 0, 1))
    write_patches(plan_patches(tmp_path / 'in', one), tmp_path / 'out', one)
    whole = np.asarray(Image.open(tmp_path / 'in/images/deep/a.png'))
    paths = sorted((tmp_path / 'out/test').rglob('*.png'))
    assert {path.parent.name for path in paths} == set(CLASSES)
    for path in paths:
        source, y, x = path.stem.rsplit('_', 2)
        assert source == 'deep_a'
        top, left = int(y), int(x)
        expected = whole[top : top + 4, left : left + 4]
        np.testing.assert_array_equal(np.asarray(Image.open(path)), expected)


@pytest.mark.parametrize(
    ('pixels', 'expected'),
    [
        (0, {'crack': 1, 'background': 2, 'dropped': 0}),
        (1, {'crack': 1, 'background': 1, 'dropped': 1}),
        (99, {'crack': 1, 'background': 1, 'dropped': 1}),
        (100, {'crack': 2, 'background': 1, 'dropped': 0}),
    ],
)
def test_feature_one_percent(tmp_path: Path, pixels: int, expected: dict) -> None:
    """Three patches of 100x100; background has no pixel, a crack 100 or more."""
    mask = np.zeros((100, 300), np.uint8)
    mask[:, 200:] = 255
    mask[0, :pixels] = 255
    put(tmp_path, 'a', mask)
    settings = Settings(size=100, stride=100, shares=(0, 0, 1))
    assert dict(plan_patches(tmp_path, settings)['test'].found) == expected


def test_feature_other_ids_are_background(tmp_path: Path) -> None:
    """Patches with nothing but a pore: crack or not, as object_ids says."""
    mask = np.zeros((4, 12), np.uint8)
    mask[:, 0], mask[:, 11] = 1, 2
    put(tmp_path, 'a', mask)
    for ids, expected in ((None, (2, 3)), ((1,), (1, 4)), ((2,), (1, 4))):
        settings = Settings(size=4, stride=2, shares=(0, 0, 1), object_ids=ids)
        found = plan_patches(tmp_path, settings)['test'].found
        assert (found['crack'], found['background']) == expected


def test_feature_balanced_by_a_seeded_choice(flat: Path) -> None:
    """Of 15 positions an image 3 have the crack: 12 background ones for 3."""
    plans = [
        plan_patches(flat, Settings(size=4, stride=2, shares=(0, 0, 1), seed=seed))
        for seed in (0, 0, 1)
    ]
    first, again, other = (plan['test'] for plan in plans)
    assert first.found == {'crack': 30, 'background': 120, 'dropped': 0}
    assert len(set(stems(first, 'crack'))) == len(set(stems(first, 'background'))) == 30
    assert stems(first, 'background') == stems(again, 'background')
    assert stems(first, 'background') != stems(other, 'background')
    assert stems(first, 'crack') == stems(other, 'crack')


def test_feature_split_by_image(flat: Path) -> None:
    plan = plan_patches(flat, SMALL)
    assert list(plan) == ['train', 'val', 'test']
    assert [subset.images for subset in plan.values()] == [6, 2, 2]
    own = [sources(subset) for subset in plan.values()]
    assert sum(map(len, own)) == len(set.union(*own))
    again = plan_patches(flat, SMALL)
    assert [sources(subset) for subset in again.values()] == own
    other = plan_patches(flat, Settings(size=4, stride=2, seed=1))
    assert [sources(subset) for subset in other.values()] != own


def test_feature_folders_are_the_split(tmp_path: Path) -> None:
    for name in ('train', 'test'):
        put(tmp_path / name, name, line(), suffix='.JPG')
    plan = plan_patches(tmp_path, SMALL)
    assert {name: sources(subset) for name, subset in plan.items()} == {
        'train': {'train'},
        'test': {'test'},
    }


def test_exception_folders_of_two_kinds_or_none(tmp_path: Path) -> None:
    put(tmp_path / 'train', 'a', line())
    put(tmp_path, 'a', line())
    with pytest.raises(ValueError, match='has train beside images or masks'):
        plan_patches(tmp_path, SMALL)
    with pytest.raises(ValueError, match='has neither: expected either some of train'):
        plan_patches(tmp_path / 'none', SMALL)


@pytest.mark.parametrize(
    ('mask', 'message'),
    [
        (np.zeros((8, 12), np.uint8), r'of test \(1\) give no patch of .* crack'),
        (np.full((8, 12), 255, np.uint8), 'give no patch of the class background'),
        (line(3, 12), r'a\.png is 12x3: expected at least one patch of 4 pixels'),
        (line() // 2, 'holds other values than class ids'),
    ],
)
def test_exception_masks(tmp_path: Path, mask: np.ndarray, message: str) -> None:
    put(tmp_path, 'a', mask)
    with pytest.raises(ValueError, match=message):
        plan_patches(tmp_path, Settings(size=4, shares=(0, 0, 1)))


def test_exception_turned_mask(flat: Path) -> None:
    """320x480 beside 480x320."""
    Image.fromarray(line().T.copy()).save(flat / 'masks/03.png')
    with pytest.raises(ValueError, match=r'03\.png 8x12 of 03\.png 12x8'):
        plan_patches(flat, SMALL)


def test_exception_one_name_for_two(tmp_path: Path) -> None:
    put(tmp_path, 'x/a', line())
    put(tmp_path, 'x_a', line())
    with pytest.raises(ValueError, match='would give patches of one name, x_a_<y>_<x>'):
        plan_patches(tmp_path, Settings(size=4, shares=(0, 0, 1)))
