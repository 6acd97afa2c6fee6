from __future__ import annotations

import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mmdefect.testing.toy_products import PRODUCTS, make_toy_products, spoil, surface
from mmdefect.testing.toy_visa import make_toy_visa
from tests.helpers.dataset_files import files_in

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole set at its own size, as the configs use it."""
    return make_toy_products(tmp_path_factory.mktemp('toy'), train=12)


def test_smoke_layout(tmp_path: Path) -> None:
    root = make_toy_products(tmp_path, size=32, products=1, train=1, test=5)
    assert list(files_in(root)) == [
        'cloth/ground_truth/cut/000_mask.png',
        'cloth/ground_truth/hole/000_mask.png',
        'cloth/ground_truth/stain/000_mask.png',
        'cloth/test/cut/000.png',
        'cloth/test/good/000.png',
        'cloth/test/good/001.png',
        'cloth/test/hole/000.png',
        'cloth/test/stain/000.png',
        'cloth/train/good/000.png',
    ]


def test_shape(toy: Path) -> None:
    assert sorted(path.name for path in toy.iterdir()) == list(PRODUCTS)
    for product in PRODUCTS:
        assert len(list((toy / product / 'test/good').iterdir())) == 8
        masks = sorted((toy / product / 'ground_truth').rglob('*_mask.png'))
        assert len(masks) == 12
        assert len({path.parent.name for path in masks}) == 3
        for path in masks:
            mask = np.asarray(Image.open(path))
            assert mask.shape == (128, 128)
            assert set(np.unique(mask)) == {0, 255}
            assert 0.003 < np.mean(mask > 0) < 0.12


@pytest.mark.parametrize('product', PRODUCTS)
def test_feature_masks_are_exact(product: str) -> None:
    texture, defects = PRODUCTS[product]
    for seed, defect in enumerate(defects.values()):
        rng = np.random.default_rng(seed)
        good = surface(texture, rng, 96)
        bad, shape = spoil(rng, good, defect)
        changed = np.abs(bad - good).max(-1)
        assert not changed[shape == 0].any()
        # Red on a red dot, or paper on paper, changes little there.
        assert np.mean(changed[shape > 0] > 20) > 0.4


def patch_features(path: Path) -> np.ndarray:
    """Mean and deviation of 9x9 patches, shape (patches, 6)."""
    image = cv2.imread(str(path)).astype(np.float32)
    mean = cv2.blur(image, (9, 9))
    spread = np.sqrt(np.maximum(cv2.blur(image * image, (9, 9)) - mean * mean, 0))
    return np.concatenate([mean, spread], -1)[4:-4:4, 4:-4:4].reshape(-1, 6)


def auroc(good: np.ndarray, bad: np.ndarray) -> float:
    return float(np.mean(bad[:, None] > good))


@pytest.mark.parametrize('product', PRODUCTS)
def test_feature_defects_can_be_learned_and_not_from_the_mean(
    toy: Path, product: str
) -> None:
    """One Gaussian of patches finds them, the mean colour of the image does not."""
    folder = toy / product
    normal = [patch_features(p) for p in sorted((folder / 'train/good').iterdir())]
    pooled = np.concatenate(normal)
    centre = pooled.mean(0)
    inverse = np.linalg.inv(np.cov(pooled.T) + 1e-3 * np.eye(6))
    by_patch: dict[bool, list[float]] = {True: [], False: []}
    by_mean: dict[bool, list[float]] = {True: [], False: []}
    for path in sorted((folder / 'test').rglob('*.png')):
        features = patch_features(path)
        away = features - centre
        worst = np.einsum('ni,ij,nj->n', away, inverse, away).max()
        good = path.parent.name == 'good'
        by_patch[good].append(worst)
        by_mean[good].append(np.abs(away.mean(0)[:3]).sum())
    assert auroc(*(np.array(by_patch[g]) for g in (True, False))) > 0.8
    assert auroc(*(np.array(by_mean[g]) for g in (True, False))) < 0.8


def test_smoke_visa(tmp_path: Path) -> None:
    root = make_toy_visa(tmp_path, size=32, classes=('pcb4',), train=1, test=1)
    assert list(files_in(root)) == [
        'pcb4/Data/Images/Anomaly/000.JPG',
        'pcb4/Data/Images/Normal/0000.JPG',
        'pcb4/Data/Images/Normal/0001.JPG',
        'pcb4/Data/Masks/Anomaly/000.png',
        'split_csv/1cls.csv',
    ]
    assert (root / 'split_csv/1cls.csv').read_text(encoding='utf-8').splitlines() == [
        'object,split,label,image,mask',
        'pcb4,train,normal,pcb4/Data/Images/Normal/0000.JPG,',
        'pcb4,test,normal,pcb4/Data/Images/Normal/0001.JPG,',
        'pcb4,test,anomaly,pcb4/Data/Images/Anomaly/000.JPG,'
        'pcb4/Data/Masks/Anomaly/000.png',
    ]


def test_feature_visa_masks_hold_small_integers(tmp_path: Path) -> None:
    root = make_toy_visa(tmp_path, size=32, classes=('candle',), test=3)
    folder = root / 'candle/Data/Masks/Anomaly'
    masks = [np.asarray(Image.open(folder / f'{i:03d}.png')) for i in range(3)]
    assert [set(np.unique(mask)) for mask in masks] == [{0, 1}, {0, 2}, {0, 3}]


def test_smoke_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main = runpy.run_path(str(ROOT / 'tools/misc/make_toy_data.py'))['main']
    assert main([str(tmp_path), '--dataset', 'products', 'visa', '--seed', '5']) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ['VisA', 'products']
    alone = make_toy_products(tmp_path / 'alone', seed=5, products=1, train=1, test=2)
    name = 'cloth/train/good/000.png'
    made = (tmp_path / 'products' / name).read_bytes()
    assert made == (alone / name).read_bytes()
    printed = capsys.readouterr().out
    assert 'tools/dataset_converters/mvtec_ad.py' in printed
    assert 'tools/dataset_converters/visa.py' in printed
