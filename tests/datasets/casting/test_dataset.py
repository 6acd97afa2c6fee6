from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mmdefect.converters.casting import make_split, scan_casting, study
from mmdefect.datasets.casting import dataset as casting
from mmdefect.datasets.casting.dataset import CastingDataset
from mmdefect.datasets.casting.split import SUBSETS, split_file_name, write_split
from mmdefect.registry import DATASETS
from mmdefect.testing import make_toy_casting
from tests.helpers.dataset_files import infos

SPLIT = split_file_name('cluster_level')


@pytest.fixture(scope='module')
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three parts a class, four copies each, outlined and split; read-only."""
    root = tmp_path_factory.mktemp('toy') / 'casting'
    make_toy_casting(root, parts=3, copies=4, size=64, masks=True, originals=True)
    for folder, protocol in (
        (root, 'cluster_level'),
        (root / 'casting_512x512', 'part_level'),
    ):
        what = study(scan_casting(folder, protocol), floor=0.9)
        write_split(folder / split_file_name(protocol), make_split(what, 0.9))
    return root


@pytest.fixture
def damaged(toy: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(toy, tmp_path / 'toy'))


def build(root: Path, split: str = 'train', **kwargs: Any) -> CastingDataset:
    kwargs = {'pipeline': [], **kwargs}
    return CastingDataset(data_root=str(root), split=split, **kwargs)


def every_info(root: Path, **kwargs: Any) -> dict[str, list[dict[str, Any]]]:
    return {split: infos(build(root, split, **kwargs)) for split in SUBSETS}


def test_smoke_by_registry(toy: Path) -> None:
    config = {'type': 'mmdefect.CastingDataset', 'data_root': str(toy)}
    dataset = DATASETS.build(config)
    assert isinstance(dataset, CastingDataset)
    assert dataset.metainfo['classes'] == ('def_front', 'ok_front')
    assert (dataset.test_mode, build(toy, 'val').test_mode) == (False, True)


def test_smoke_item_for_a_classifier(toy: Path) -> None:
    pytest.importorskip('mmpretrain')
    from mmpretrain.datasets.transforms import PackInputs

    from mmdefect.datasets.transforms.loading import LoadCachedImage

    dataset = build(toy, pipeline=[LoadCachedImage(), PackInputs()], cache_gb=0.1)
    item = dataset[0]
    assert tuple(item['inputs'].shape) == (3, 64, 64)
    assert item['data_samples'].gt_label.tolist() == [0]


def test_shape_data_infos(toy: Path) -> None:
    found = infos(build(toy, 'test', mask_dir='masks'))
    first, last = found[0], found[-1]
    name = Path(first['img_path'])
    assert first == {
        'img_path': first['img_path'],
        'gt_label': 0,
        'cluster': first['cluster'],
        'mask_path': f'{toy}/masks/{name.relative_to(toy).with_suffix("")}_mask.png',
        'sample_idx': 0,
    }
    assert name.is_file()
    assert Path(first['mask_path']).is_file()
    assert type(first['cluster']) is int
    assert (last['gt_label'], last['mask_path']) == (1, None)
    places = [
        ('test' in Path(i['img_path']).parts, i['gt_label'], i['img_path'])
        for i in found
    ]
    assert places == sorted(places)


def test_feature_cluster_level(toy: Path) -> None:
    """Every photograph in one subset, whatever folder its copies are in."""
    every = every_info(toy)
    assert {s: len(found) for s, found in every.items()} == dict.fromkeys(SUBSETS, 8)
    clusters = {split: {i['cluster'] for i in found} for split, found in every.items()}
    assert sum(map(len, clusters.values())) == len(set.union(*clusters.values())) == 6
    for found in every.values():
        parts = {
            (i['gt_label'], int(Path(i['img_path']).stem.split('_')[3]) // 4)
            for i in found
        }
        assert len(parts) == 2
        assert Counter(i['gt_label'] for i in found) == {0: 4, 1: 4}


def test_feature_part_level(toy: Path) -> None:
    for root in (toy, toy / 'casting_512x512'):
        kwargs = {'protocol': 'part_level'}
        if root == toy:
            kwargs['split_file'] = 'casting_512x512/casting_part_level.csv'
        every = every_info(root, **kwargs)
        assert [len(found) for found in every.values()] == [2, 2, 2]
        assert 'casting_512x512/def_front' in every['train'][0]['img_path']


def test_feature_legacy(toy: Path) -> None:
    every = every_info(toy, protocol='legacy')
    assert [len(found) for found in every.values()] == [18, 2, 4]
    for split, found in every.items():
        folders = {Path(i['img_path']).parts[-3] for i in found}
        assert folders == ({'test'} if split == 'test' else {'train'})
        assert {i['cluster'] for i in found} == {None}


def test_feature_split_file_of_ones_own(toy: Path, tmp_path: Path) -> None:
    text = (toy / SPLIT).read_text(encoding='utf-8')
    swapped = text.replace(',val', ',x').replace(',test', ',val').replace(',x', ',test')
    (tmp_path / 'mine.csv').write_text(swapped, encoding='utf-8')
    mine = build(toy, 'val', split_file=str(tmp_path / 'mine.csv'))
    assert [i['img_path'] for i in infos(mine)] == [
        i['img_path'] for i in infos(build(toy, 'test'))
    ]


def test_feature_cached_equals_read(toy: Path) -> None:
    cached, read = build(toy, cache_gb=0.1), build(toy)
    for info, other in zip(infos(cached), infos(read), strict=True):
        pixels = info.pop('img_cached')
        assert info == other
        np.testing.assert_array_equal(pixels, cv2.imread(info['img_path']))
    few = build(toy, cache_gb=2.5 * 64 * 64 * 3 / 1e9)
    assert sum('img_cached' in info for info in infos(few)) == 2


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        ({'split': 'dev'}, "split='dev': expected one of train, val, test"),
        ({'protocol': 'random'}, "protocol='random': expected one of legacy"),
        ({'protocol': 'legacy', 'split_file': 'x.csv'}, "split_file='x.csv': expected"),
    ],
)
def test_exception_arguments(toy: Path, kwargs: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(toy, **kwargs)


def test_exception_corrupt_jpeg_in_the_vendors_split(damaged: Path) -> None:
    paths = sorted((damaged / 'test/def_front').iterdir())
    data = paths[0].read_bytes()
    paths[0].write_bytes(data[: len(data) // 2])
    paths[1].write_bytes(b'no image')
    message = rf'broken files \(2: test/def_front/{paths[0].name} \(.*truncated'
    with pytest.raises(ValueError, match=message):
        build(damaged, 'test', protocol='legacy')
    assert len(build(damaged, 'test', protocol='legacy', verify=False)) == 4
    build(damaged, 'train', protocol='legacy')  # another subset's business


def test_exception_changed_file(damaged: Path) -> None:
    path = Path(infos(build(damaged))[0]['img_path'])
    path.write_bytes(path.read_bytes()[:-100])
    message = rf'images differ from those of the split file \(1: .*{path.name}\)'
    with pytest.raises(ValueError, match=message):
        build(damaged)
    assert len(build(damaged, verify=False)) == 8


def test_exception_other_files_than_the_split(damaged: Path) -> None:
    path = Path(infos(build(damaged))[0]['img_path'])
    other = path.with_stem('renamed')
    path.rename(other)
    message = rf'lacks train/.*{path.name} of the split file .*make a split with python'
    with pytest.raises(ValueError, match=message):
        build(damaged, 'test')  # whichever subset is asked for
    (damaged / SPLIT).write_text(
        (damaged / SPLIT).read_text(encoding='utf-8').replace(path.name, other.name)
    )
    build(damaged)
    shutil.copy(other, other.with_stem('twice'))
    with pytest.raises(ValueError, match=r'has .*twice\.jpeg that the split file does'):
        build(damaged)


def test_exception_not_the_committed_images(damaged: Path) -> None:
    """Without a split file of its own, a folder must be the real set."""
    (damaged / SPLIT).unlink()
    message = r'lacks test/def_front/cast_def_0_.* \(the split file of the package\)'
    with pytest.raises(ValueError, match=message):
        build(damaged)


def test_exception_part_level_without_a_split(damaged: Path) -> None:
    message = (
        r'there is no split file .*casting_part_level\.csv: .*--protocol part_level'
    )
    with pytest.raises(FileNotFoundError, match=message):
        build(damaged, protocol='part_level')
    shutil.rmtree(damaged / 'casting_512x512')
    with pytest.raises(FileNotFoundError, match='no def_front or ok_front in'):
        build(damaged, protocol='part_level')


def test_exception_masks_files_and_no_data(damaged: Path) -> None:
    with pytest.raises(FileNotFoundError, match='there is no folder'):
        build(damaged / 'none')
    with pytest.raises(FileNotFoundError, match='there is no mask folder'):
        build(damaged, mask_dir='outlines')
    mask = next((damaged / 'masks').rglob('*.png'))
    shutil.copy(mask, mask.with_name('cast_def_0_999_mask.png'))
    with pytest.raises(ValueError, match='masks without a defective image'):
        build(damaged, mask_dir='masks')
    (damaged / 'test/ok_front/a.gif').write_bytes(b'x')
    for protocol in ('legacy', 'cluster_level'):
        message = r'CastingDataset .*: .* than images \(1: .*a\.gif\)'
        with pytest.raises(ValueError, match=message):
            build(damaged, protocol=protocol)


def test_feature_warns_when_no_mask_is_of_the_subset(
    damaged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {i['img_path'] for i in infos(build(damaged, 'train'))}
    for mask in (damaged / 'masks').rglob('*.png'):
        name = mask.name.replace('_mask.png', '.jpeg')
        if str(damaged / mask.parent.relative_to(damaged / 'masks') / name) in wanted:
            mask.unlink()
    said: list[str] = []
    monkeypatch.setattr(casting, 'print_log', lambda text, **_: said.append(text))
    build(damaged, 'train', mask_dir='masks')
    assert said[0].endswith(
        f'def_front 4, ok_front 4 images, 0 outlined, split by {damaged / SPLIT}.'
    )
    assert 'no mask of masks belongs to this subset' in said[1]
    said.clear()
    build(damaged, 'test', mask_dir='masks')
    assert [text.split(', ')[2] for text in said] == ['4 outlined']
    said.clear()
    build(damaged, 'test', protocol='legacy')
    assert said[0].endswith("split by the vendor's folders.")
