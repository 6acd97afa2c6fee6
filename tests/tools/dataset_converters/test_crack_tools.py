"""Tools around segmented images: masks of annotations, of thresholds, and patches."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmdefect.datasets.index_masks.dataset import PairedMaskDataset
from mmdefect.testing import make_toy_cracks
from tests.helpers.dataset_files import tool

patches, index = tool('crack_patches'), tool('index_masks')
threshold = tool('mask_from_threshold')

Out = pytest.CaptureFixture[str]
GRID = ['--size', '16', '--stride', '16', '--target-ids', '1']


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return make_toy_cracks(tmp_path / 'toy', size=64, train=3, val=3, test=3)


def test_smoke_patches(toy: Path, tmp_path: Path, capsys: Out) -> None:
    out = tmp_path / 'out'
    out.mkdir()  # an empty folder may be there
    assert patches(toy, '--out', out, *GRID) == 0
    printed = capsys.readouterr().out
    written = len(list(out.rglob('*.png')))
    assert f'wrote {out}: {written} patches' in printed
    note = json.loads((out / 'patches.json').read_text(encoding='utf-8'))
    found = note['subsets']['val']
    crack, background, dropped = found['on the grid'].values()
    grid = f'crack {crack}, background {background}, '
    assert f'val: 3 images, on the grid {grid}' in printed
    assert crack + background + dropped == 48
    assert sorted(path.name for path in out.iterdir()) == [
        'patches.json',
        *('test', 'test.txt', 'train', 'train.txt', 'val', 'val.txt'),
    ]


@pytest.mark.parametrize(
    ('split', 'subsets'),
    [
        (['--split', 'test'], {'test': 9}),
        (['--split', '0.34', '0.33', '0.33'], {'train': 3, 'val': 3, 'test': 3}),
        ([], {'train': 5, 'val': 2, 'test': 2}),
    ],
)
def test_feature_flat_folders(tmp_path: Path, split: list, subsets: dict) -> None:
    root = make_toy_cracks(tmp_path / 'toy', size=64, train=9, val=1, test=1) / 'train'
    out = tmp_path / 'out'
    assert patches(root, '--out', out, *GRID, *split) == 0
    found = json.loads((out / 'patches.json').read_text(encoding='utf-8'))['subsets']
    assert {name: subset['images'] for name, subset in found.items()} == subsets


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--split', 'test'], 'is split already (train, val, test)'),
        (['--split', 'all'], '--split=all: expected the word test'),
        (['--split', '0.5', '0.5'], '--split=0.5 0.5: expected the word test'),
        (['--split', '0.5', '0.5', '0.5'], 'three numbers from 0 on that add up to 1'),
        (['--size', '65'], 'expected at least one patch of 65 pixels'),
        (['--target-ids', '0'], 'target_classes=[0] holds 0'),
        (['--target-ids', '9'], 'no mask has the ids [9]: expected some of'),
    ],
)
def test_exception_patches(
    toy: Path, tmp_path: Path, capsys: Out, arguments: list, message: str
) -> None:
    assert patches(toy, '--out', tmp_path / 'out', *GRID, *arguments) == 1
    printed = capsys.readouterr().out
    assert 'ERROR: ' in printed
    assert message in printed
    assert 'Nothing written' in printed
    assert not list(tmp_path.glob('out*'))


def test_exception_patches_into_a_full_folder(toy: Path, capsys: Out) -> None:
    assert patches(toy, '--out', toy, *GRID) == 1
    assert f'ERROR: {toy} holds something already' in capsys.readouterr().out
    assert not (toy / 'patches.json').exists()


def test_smoke_index_png(toy: Path, tmp_path: Path, capsys: Out) -> None:
    out = tmp_path / 'out'
    argv = ['png', toy / 'train/masks', '--out', out, '--images', toy / 'train/images']
    assert index(*argv, '--values', 'dirt=3', 'pore=2', 'crack=1') == 0
    assert f'wrote {out}: 3 masks' in capsys.readouterr().out
    classes = json.loads((out / 'classes.json').read_text(encoding='utf-8'))
    assert classes == {'dirt': 1, 'pore': 2, 'crack': 3}
    before, after = (
        cv2.imread(str(folder / '000.png'), cv2.IMREAD_UNCHANGED)
        for folder in (toy / 'train/masks', out / 'masks')
    )
    np.testing.assert_array_equal(after, np.array([0, 3, 2, 1])[before])


def test_smoke_index_labelme_and_coco(tmp_path: Path, capsys: Out) -> None:
    shape = {'label': 'crack', 'shape_type': 'line', 'points': [[1, 1], [8, 1]]}
    content = {'imagePath': 'a.jpg', 'imageHeight': 9, 'imageWidth': 9}
    content['shapes'] = [shape]
    (tmp_path / 'in').mkdir()
    (tmp_path / 'in/a.json').write_text(json.dumps(content), encoding='utf-8')
    argv = ['labelme', tmp_path / 'in', '--out', tmp_path / 'out']
    assert index(*argv) == 1
    assert 'give --line-width' in capsys.readouterr().out
    assert index(*argv, '--line-width', '2', '--classes', 'pore', 'crack') == 0
    mask = cv2.imread(str(tmp_path / 'out/masks/a.png'), cv2.IMREAD_UNCHANGED)
    assert set(np.unique(mask)) == {0, 2}

    box = {'id': 1, 'image_id': 1, 'category_id': 3}
    box['segmentation'] = [[1, 1, 5, 1, 5, 5]]
    coco = {
        'images': [{'id': 1, 'file_name': 'a.jpg', 'height': 9, 'width': 9}],
        'categories': [{'id': 3, 'name': 'crack'}],
        'annotations': [box],
    }
    (tmp_path / 'coco.json').write_text(json.dumps(coco), encoding='utf-8')
    assert index('coco', tmp_path / 'coco.json', '--out', tmp_path / 'coco') == 0
    assert (tmp_path / 'coco/masks/a.png').is_file()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--values', 'crack=1'], 'holds values of no class'),
        (['--values', 'crack=1', 'crack=2'], '--values names a class twice'),
        (['--images', 'none'], 'there is no image folder none'),
    ],
)
def test_exception_index(
    toy: Path, tmp_path: Path, capsys: Out, arguments: list, message: str
) -> None:
    how = ['--out', tmp_path / 'out', *arguments]
    assert index('png', toy / 'train/masks', *how) == 1
    printed = capsys.readouterr().out
    assert message in printed
    assert 'Nothing written' in printed
    assert not list(tmp_path.glob('out*'))


@pytest.mark.parametrize(
    'arguments',
    [
        ['png', '--classes', 'a'],
        ['coco', '--values', 'a=1'],
        ['coco', '--line-width', '2'],
        ['labelme', '--line-width', '0'],
        ['png', '--values', 'a'],
        ['voc'],
    ],
)
def test_exception_index_arguments(arguments: list) -> None:
    with pytest.raises(SystemExit):
        index(arguments[0], 'in', '--out', 'out', *arguments[1:])


def test_smoke_threshold(toy: Path, tmp_path: Path, capsys: Out) -> None:
    """First pass, a person's edit, second pass, and the dataset of the result."""
    images, first, final = toy / 'val/images', tmp_path / 'first', tmp_path / 'final'
    argv = [images, '--out', first, '--classes', 'crack', 'pore', '--pictures']
    assert threshold(*argv, '--method', 'adaptive', '--min-area', '9') == 0
    path = first / 'components.json'
    review = json.loads(path.read_text(encoding='utf-8'))
    number = sum(len(own) for own in review['images'].values())
    assert f'components: {number}\n' in capsys.readouterr().out
    assert review['threshold']['method'] == 'adaptive'
    assert review['threshold']['min_area'] == 9
    assert len(list((first / 'pictures').iterdir())) == 3

    for own in review['images'].values():
        largest = max(own, key=lambda one: one['area'])
        for one in own:
            one['class'] = 'pore' if one is largest else None
    path.write_text(json.dumps(review), encoding='utf-8')
    assert threshold(images, '--out', final, '--review', path) == 0
    printed = capsys.readouterr().out
    assert 'pore 3' in printed
    assert f'dropped {number - 3}' in printed
    names = json.loads((final / 'classes.json').read_text(encoding='utf-8'))
    prefix = {'img': str(images), 'mask': str(final / 'masks')}
    how = {'metainfo': {'mask_classes': names}, 'target_classes': ['pore']}
    assert len(PairedMaskDataset(data_root='', data_prefix=prefix, **how)) == 3


def test_exception_threshold(toy: Path, tmp_path: Path, capsys: Out) -> None:
    images = toy / 'val/images'
    argv = [images, '--out', tmp_path / 'out']
    for arguments, message in (
        (['--block', '4'], 'block=4: expected an odd number'),
        (['--classes', 'a', 'a'], 'expected 1 to 126 different ones'),
        (['--review', 'none.json'], 'here is no list of components none.json'),
    ):
        assert threshold(*argv, *arguments) == 1
        printed = capsys.readouterr().out
        assert message in printed
        assert 'Nothing written' in printed
    assert threshold(images, '--out', images) == 1
    assert 'holds something already' in capsys.readouterr().out
    assert not list(tmp_path.glob('out*'))
    with pytest.raises(SystemExit):
        threshold(*argv, '--review', 'x.json', '--level', '3')
