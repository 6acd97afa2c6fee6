from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdefect.converters.visa import plan_visa, write_plan
from mmdefect.datasets.anomaly.classes import VISA_CLASSES, VISA_TOTALS
from mmdefect.datasets.anomaly.dataset import VisADataset
from mmdefect.testing import make_toy_visa

MASK = 'candle/Data/Masks/Anomaly/000.png'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_toy_visa(
        tmp_path / 'VisA', size=32, classes=('candle', 'pcb1'), train=3, test=2
    )


def errors_of(root: Path, **kwargs: bool) -> list[str]:
    plan = plan_visa(root, **kwargs)
    return [e for report in plan.reports for e in report.errors] + plan.errors


def edit_split(root: Path, old: str, new: str) -> None:
    path = root / 'split_csv/1cls.csv'
    text = path.read_text(encoding='utf-8')
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding='utf-8')


def test_smoke(root: Path) -> None:
    plan = plan_visa(root)
    assert errors_of(root) == []
    assert [report.totals for report in plan.reports] == [(3, 2, 2)] * 2
    assert [report.notes for report in plan.reports] == [[], []]
    out = root / 'mvtec'
    write_plan(plan, out)
    assert not (root / 'mvtec.part').exists()
    kwargs = {'data_root': str(out), 'pipeline': [], 'seen_classes': ['candle', 'pcb1']}
    train, test = (VisADataset(split=s, **kwargs) for s in ('train', 'test'))
    assert (len(train), len(test)) == (6, 8)
    info = test.get_data_info(0)
    assert info['img_path'] == str(out / 'candle/test/bad/000.JPG')
    assert info['mask_paths'] == [str(out / 'candle/ground_truth/bad/000.png')]


@pytest.mark.parametrize('link', [False, True])
def test_feature_images_as_they_are_masks_binarised(root: Path, link: bool) -> None:
    write_plan(plan_visa(root), root / 'out', link=link)
    for number in range(2):
        source = root / f'candle/Data/Images/Anomaly/{number:03d}.JPG'
        target = root / f'out/candle/test/bad/{number:03d}.JPG'
        assert target.read_bytes() == source.read_bytes()
        assert target.samefile(source) == link
        folders = ((root / MASK).parent, root / 'out/candle/ground_truth/bad')
        before, after = (
            np.asarray(Image.open(f / source.with_suffix('.png').name)) for f in folders
        )
        assert before.max() == number + 1
        np.testing.assert_array_equal(after, np.where(before > 0, 255, 0))


def test_feature_leftovers_and_blank_masks_are_noted(root: Path) -> None:
    edit_split(root, 'candle,train,normal,candle/Data/Images/Normal/0000.JPG,\n', '')
    (note,) = plan_visa(root).reports[0].notes
    assert note.startswith('images that the split leaves out: 1: ')
    assert note.endswith('Normal/0000.JPG')
    Image.new('L', (32, 32)).save(root / MASK)
    assert plan_visa(root).reports[0].notes[0].startswith('masks without a defect pix')


def test_feature_a_truncated_image_is_found_when_asked(root: Path) -> None:
    path = root / 'candle/Data/Images/Normal/0001.JPG'
    path.write_bytes(path.read_bytes()[:-300])
    assert errors_of(root) == []
    (error,) = errors_of(root, full=True)
    assert 'Normal/0001.JPG' in error


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (
            lambda r: (r / 'candle/Data/Images/Normal/0001.JPG').unlink(),
            'Normal/0001.JPG (missing file)',
        ),
        (
            lambda r: Image.new('L', (16, 16), 1).save(r / MASK),
            '000.png 16x16 of 000.JPG 32x32',
        ),
        (
            lambda r: edit_split(r, 'Normal/0001.JPG', 'Normal/0000.JPG'),
            'images twice (1: candle/train/good/0000.JPG)',
        ),
    ],
)
def test_exception_files(root: Path, damage, message: str) -> None:
    damage(root)
    assert message in errors_of(root)[0]


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('candle,train', 'candl,train', "unknown class 'candl'.*did you mean candle"),
        ('train,normal', 'train,anomaly', r"split and label \('train', 'anomaly'\)"),
        ('train,normal', 'val,normal', r"split and label \('val', 'normal'\)"),
        (f',{MASK}', ',', r'names no mask for candle/Data/Images/Anomaly/000\.JPG'),
        ('object,', 'thing,', 'has no column object: expected object, split'),
        ('candle/Data/Images/', '../Data/Images/', r"\d+ names the file '\.\./Data"),
        (f',{MASK}', f',/{MASK}', 'expected a path within the folder of images'),
        (',candle/Data/Images/Normal/0000.JPG,', ',,', 'line 2 names no image: exp'),
    ],
)
def test_exception_split_file(root: Path, old: str, new: str, message: str) -> None:
    edit_split(root, old, new)
    with pytest.raises(ValueError, match=message):
        plan_visa(root)


def test_exception_empty_or_no_split_file(root: Path) -> None:
    (root / 'split_csv/1cls.csv').write_text(
        'object,split,label,image,mask\n', encoding='utf-8'
    )
    with pytest.raises(ValueError, match='lists no image'):
        plan_visa(root)
    with pytest.raises(FileNotFoundError, match=r'there is no split file .*1cls\.csv'):
        plan_visa(root / 'elsewhere')


@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16'])
def test_feature_windows_wrote_the_split_file(root: Path, encoding: str) -> None:
    before = plan_visa(root)
    path = root / 'split_csv/1cls.csv'
    text = path.read_text(encoding='utf-8').replace('/', '\\')
    path.write_bytes(text.replace('\n', '\r\n').encode(encoding))
    assert plan_visa(root) == before


def test_exception_no_csv(root: Path) -> None:
    edit_split(root, 'candle,', f'"{"a" * 200_000}",')
    with pytest.raises(ValueError, match=r'1cls\.csv is no CSV \(field larger than'):
        plan_visa(root)


def test_exception_a_folder_of_somebody_else(root: Path) -> None:
    theirs = root / 'out.part/mine'
    theirs.mkdir(parents=True)
    with pytest.raises(FileExistsError, match=r'out\.part holds something already'):
        write_plan(plan_visa(root), root / 'out')
    assert theirs.is_dir()


def test_exception_totals_of_the_real_set(root: Path) -> None:
    errors = errors_of(root, expect_real=True)
    assert len(errors) == 12
    assert errors[0] == (
        'candle=3 train, 2 good and 2 defective test images: expected 900 train, 100 '
        'good and 100 defective test images as in the real VisA; get it again'
    )


def test_feature_totals_of_the_specification() -> None:
    """Sums of the 1cls split, and of the stages 8-4: 5499 and 3160."""
    train, good, bad = (sum(t) for t in zip(*VISA_TOTALS.values(), strict=True))
    assert (train, good, bad) == (8659, 962, 1200)
    assert sum(VISA_TOTALS[name][0] for name in VISA_CLASSES[:8]) == 5499
    assert sum(VISA_TOTALS[name][0] for name in VISA_CLASSES[8:]) == 3160
