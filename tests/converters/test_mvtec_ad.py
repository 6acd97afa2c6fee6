from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from mmdefect.converters.mvtec_ad import check_folder
from mmdefect.converters.product_checks import (
    ProductReport,
    check_product,
    compare_totals,
    print_reports,
)
from mmdefect.datasets.anomaly.classes import MVTEC_AD_CLASSES, MVTEC_AD_TOTALS
from mmdefect.testing import make_toy_products


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_toy_products(tmp_path, size=32, products=2, train=3, test=5)


def test_smoke(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reports, errors = check_folder(root, full=True)
    assert print_reports(reports, errors)
    assert capsys.readouterr().out.splitlines() == [
        'cloth: 3 train, 2 good and 3 defective test images (cut 1, hole 1, stain 1), '
        '3 masks',
        'dots: 3 train, 2 good and 3 defective test images (blot 1, missing 1, '
        'scratch 1), 3 masks',
        '2 products: 6 train, 4 good and 6 defective test images',
    ]


def test_feature_every_error_is_listed(root: Path) -> None:
    (root / 'cloth/ground_truth/cut/000_mask.png').unlink()
    (root / 'cloth/train/good/000.png').write_bytes(b'')
    (root / 'cloth/test/hole/000.png').unlink()
    report = check_product(root, 'cloth')
    assert len(report.errors) == 3
    assert not print_reports([report])


@pytest.mark.parametrize(
    ('gone', 'notes'),
    [
        (
            ['ground_truth', 'test/good'],
            [
                'no ground_truth: defects are known by image only',
                'no good test images, so 1 good ones are held out of training and '
                'tested (hold_out=0.2).',
            ],
        ),
        (
            ['ground_truth', 'test/cut', 'test/hole', 'test/stain'],
            ['no defective test image: its AUROC is undefined'],
        ),
        (
            ['ground_truth', 'test'],
            [
                'no test images, so 1 good ones are held out of training and tested '
                '(hold_out=0.2).'
            ],
        ),
    ],
)
def test_feature_notes(root: Path, gone: list, notes: list) -> None:
    for name in gone:
        shutil.rmtree(root / 'cloth' / name)
    report = check_product(root, 'cloth')
    assert (report.errors, report.notes) == ([], notes)


def test_feature_blank_masks_are_looked_for_when_asked(root: Path) -> None:
    Image.new('L', (32, 32)).save(root / 'dots/ground_truth/blot/000_mask.png')
    assert check_product(root, 'dots').notes == []
    (note,) = check_product(root, 'dots', full=True).notes
    assert note.startswith('masks without a defect pixel: 1: ')


def test_exception_nothing_there(tmp_path: Path) -> None:
    _, (error,) = check_folder(tmp_path)
    assert 'there is no product in' in error


def test_exception_totals_of_the_real_set(root: Path) -> None:
    _, errors = check_folder(root, expect_real=True)
    assert len(errors) == 17  # 15 that are not there, 2 that do not belong to it
    assert 'bottle=0 train' in errors[0]
    assert 'cloth=3 train' in errors[-2]


def test_feature_real_totals_pass() -> None:
    reports = [
        ProductReport(name, train, good, {'any': bad})
        for name, (train, good, bad) in MVTEC_AD_TOTALS.items()
    ]
    assert compare_totals(reports, MVTEC_AD_TOTALS, title='MVTec-AD') == []


def test_feature_totals_of_the_specification() -> None:
    """Sums of the whole set, and training images of the stages of 3-3x4."""
    train, good, bad = (sum(t) for t in zip(*MVTEC_AD_TOTALS.values(), strict=True))
    assert (train, good, bad) == (3629, 467, 1258)
    stages = [MVTEC_AD_CLASSES[i : i + 3] for i in range(0, 15, 3)]
    sums = [sum(MVTEC_AD_TOTALS[name][0] for name in stage) for stage in stages]
    assert sums == [652, 935, 732, 610, 700]
