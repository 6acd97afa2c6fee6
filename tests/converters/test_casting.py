from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmdefect.converters.casting import (
    THRESHOLD,
    Study,
    calibrate,
    describe_split,
    make_split,
    measure,
    scan_casting,
    study,
    write_contact_sheet,
)
from mmdefect.converters.near_duplicates.calibration import THRESHOLDS, choose
from mmdefect.datasets.casting.layout import CASTING_CLASSES, CastingScan
from mmdefect.datasets.casting.split import SUBSETS
from mmdefect.testing import make_toy_casting

COPIES = 4


@pytest.fixture(scope='module')
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five parts a class, four copies each; read-only."""
    root = tmp_path_factory.mktemp('toy') / 'casting'
    return make_toy_casting(root, parts=5, copies=COPIES, size=64, originals=True)


@pytest.fixture(scope='module')
def what(root: Path) -> Study:
    return study(scan_casting(root, 'cluster_level'))


def part_of(name: str) -> tuple[str, int]:
    """Class and number of the part that a toy image shows."""
    _, kind, _, number = Path(name).stem.split('_')
    return kind, int(number) // COPIES


def test_smoke_clusters_are_the_parts(what: Study) -> None:
    rows = make_split(what, THRESHOLD)
    assert [row.path for row in rows] == [image.name for image in what.scan.images]
    by_part: dict[tuple[str, int], set[int]] = {}
    for row in rows:
        by_part.setdefault(part_of(row.path), set()).add(row.cluster)
    assert len(by_part) == 10
    assert {len(clusters) for clusters in by_part.values()} == {1}
    assert len(set.union(*by_part.values())) == 10


@pytest.mark.parametrize('protocol', ['cluster_level', 'part_level'])
def test_feature_no_cluster_in_two_subsets(root: Path, protocol: str) -> None:
    """Part C test 4, with two photographs of one part in the originals."""
    found = study(scan_casting(root, protocol), floor=THRESHOLD)
    rows = make_split(found, THRESHOLD)
    subsets: dict[int, set[str]] = {}
    for row in rows:
        subsets.setdefault(row.cluster, set()).add(row.split)
    assert {len(found) for found in subsets.values()} == {1}
    assert set.union(*subsets.values()) == set(SUBSETS)


def test_feature_measures(what: Study) -> None:
    found = measure(what, THRESHOLD)
    assert found['images'] == 40
    assert found['clusters'] == 10
    assert found['clusters/def_front'] == found['clusters/ok_front'] == 5
    assert found['largest'] == COPIES
    assert found['largest_share'] == pytest.approx(0.2)
    assert found['singletons'] == found['mixed'] == found['mixed_images'] == 0
    assert (
        found['identical'] == found['identical_test'] == found['without_opening'] == 0
    )
    # Of four copies of a part one or two are in test: all leak.
    test = [i.name for i in what.scan.images if i.vendor_split == 'test']
    train = {part_of(i.name) for i in what.scan.images if i.vendor_split == 'train'}
    clean = sum(part_of(name) not in train for name in test)
    assert found['clean_test'] == clean
    assert found['leak'] == pytest.approx(1 - clean / len(test))


def test_feature_one_cluster_of_two_classes(what: Study) -> None:
    """A part whose copies are called defective and ok is reported, and stays whole."""
    images = list(what.scan.images)
    number = next(n for n, image in enumerate(images) if image.label == 0)
    images[number] = replace(images[number], label=1)
    changed = replace(what, scan=CastingScan(what.scan.folder, images))
    found = measure(changed, THRESHOLD)
    assert (found['mixed'], found['mixed_images']) == (1, 1)
    assert len(make_split(changed, THRESHOLD)) == 40


def test_feature_same_bytes_are_counted(what: Study) -> None:
    hashes = list(what.hashes)
    hashes[int(np.flatnonzero(what.in_test)[0])] = hashes[0]
    found = measure(replace(what, hashes=hashes), THRESHOLD)
    assert (found['identical'], found['identical_test']) == (1, 1)


def test_feature_describe_split(what: Study) -> None:
    found = describe_split(make_split(what, THRESHOLD), what.scan)
    assert found == {
        f'{subset}/{kind}{what}': number
        for subset, numbers in (('train', (12, 3)), ('val', (4, 1)), ('test', (4, 1)))
        for kind in CASTING_CLASSES
        for what, number in zip(('', '/clusters'), numbers, strict=True)
    }


def test_feature_calibrate(what: Study) -> None:
    rows = calibrate(what, siblings=10)
    assert [row.threshold for row in rows] == list(THRESHOLDS)
    chosen = choose(rows, largest=0.21)
    assert (chosen.recall, chosen.clusters) == (1.0, 10)
    assert chosen.threshold == THRESHOLDS[0]


def test_feature_cache(root: Path, tmp_path: Path, monkeypatch) -> None:
    from mmdefect.converters import casting

    cache = tmp_path / 'cache.npz'
    first = study(scan_casting(root, 'part_level'), cache=cache)
    monkeypatch.setattr(casting, 'describe_files', None)  # cannot be called any more
    again = study(scan_casting(root, 'part_level'), cache=cache)
    np.testing.assert_array_equal(first.found.maps, again.found.maps)
    np.testing.assert_array_equal(first.pairs.similarity, again.pairs.similarity)


def test_feature_contact_sheet(what: Study, tmp_path: Path) -> None:
    path = tmp_path / 'deep/sheet.png'
    write_contact_sheet(what, THRESHOLD, path)
    assert cv2.imread(str(path)).shape == (10 * 160, COPIES * 160, 3)


def test_exception_expect_real(root: Path) -> None:
    message = r'train/def_front=\d+: expected 3758 as in the real set.*\(3 more'
    with pytest.raises(ValueError, match=message):
        scan_casting(root, 'cluster_level', expect_real=True)


def test_exception_threshold_below_the_floor(what: Study) -> None:
    with pytest.raises(ValueError, match=r'threshold=0\.5: expected at least 0\.7 and'):
        make_split(what, 0.5)
