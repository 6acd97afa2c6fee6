from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mmdefect.converters.casting import REAL_TOTALS
from mmdefect.converters.casting_split import split_clusters
from mmdefect.datasets.casting.layout import CastingImage
from mmdefect.datasets.casting.split import (
    COLUMNS,
    SUBSETS,
    SplitRow,
    changed_files,
    committed_rows,
    count_subsets,
    difference,
    file_hash,
    legacy_split,
    read_split,
    split_file_name,
    write_split,
)

ROWS = [
    SplitRow('train/def_front/a.jpeg', '0' * 16, 0, 'train'),
    SplitRow('train/def_front/b.jpeg', '1' * 16, 0, 'train'),
    SplitRow('test/ok_front/c.jpeg', '2' * 16, 1, 'test'),
]


def vendor_images() -> list[CastingImage]:
    """Names as many as in the real set."""
    return [
        CastingImage(f'{folder}/{n:04d}.jpeg', label, folder.partition('/')[0])
        for folder, number in REAL_TOTALS.items()
        for label in [int(folder.endswith('ok_front'))]
        for n in range(number)
    ]


def images_of(rows: list[SplitRow]) -> list[CastingImage]:
    return [CastingImage(row.path, int('ok_' in row.path)) for row in rows]


def test_feature_legacy_sizes() -> None:
    images = vendor_images()
    split = legacy_split(images)
    assert Counter(split.values()) == {'train': 5970, 'val': 663, 'test': 715}
    assert list(split).count('test/def_front/0000.jpeg') == 1
    for image in images:
        assert (split[image.name] == 'test') == (image.vendor_split == 'test')
    counts = count_subsets(split, images)
    assert counts['test'] == [453, 262]
    # Drawn without looking at the class: about as many defective ones as in train.
    assert counts['val'][0] / 663 == pytest.approx(3758 / 6633, abs=0.05)


def test_feature_legacy_is_a_function_of_the_seed() -> None:
    images = vendor_images()
    split = legacy_split(images)
    assert legacy_split(images) == split
    assert legacy_split(images, seed=43) != split
    # names = [i.name for i in vendor_images() if i.vendor_split == 'train']
    # order = torch.randperm(6633, generator=torch.Generator().manual_seed(42))
    # [names[i] for i in order[-3:]]
    last = [f'train/def_front/{number}.jpeg' for number in ('2658', '0166', '1961')]
    assert {split[name] for name in last} == {'val'}


def toy_clusters(sizes: dict[int, list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Clusters of given sizes for each class, numbered one after the other."""
    each = [(label, size) for label, found in sizes.items() for size in found]
    numbers = [size for _, size in each]
    labels = np.repeat([label for label, _ in each], numbers)
    return np.repeat(np.arange(len(each)), numbers), labels


def test_feature_clusters_stay_together() -> None:
    rng = np.random.default_rng(0)
    clusters, labels = toy_clusters(
        {0: rng.integers(1, 60, 110).tolist(), 1: rng.integers(20, 340, 17).tolist()}
    )
    order = rng.permutation(len(clusters))  # files are in no order of clusters
    clusters, labels = clusters[order], labels[order]
    subsets = np.array(split_clusters(clusters, labels))
    for cluster in np.unique(clusters):
        assert len(set(subsets[clusters == cluster])) == 1
    for label, number in ((0, 110), (1, 17)):
        own = labels == label
        images = [np.mean(subsets[own] == subset) for subset in SUBSETS]
        assert images == pytest.approx([0.7, 0.1, 0.2], abs=0.02)
        there = [len(set(clusters[own & (subsets == subset)])) for subset in SUBSETS]
        few = [round(0.1 * number), round(0.2 * number)]
        assert there == [number - sum(few), *few]


def test_feature_split_is_a_function_of_the_seed() -> None:
    clusters, labels = toy_clusters({0: [3] * 30, 1: [2] * 30})
    first, again, other = (split_clusters(clusters, labels, seed=s) for s in (0, 0, 1))
    assert first == again
    assert first != other


def test_feature_mixed_cluster_counts_once() -> None:
    clusters = np.array([0, 0, 0, 1, 2, 3, 4, 5])
    labels = np.array([0, 0, 1, 0, 0, 1, 1, 1])  # cluster 0 holds both classes
    subsets = split_clusters(clusters, labels)
    assert len(set(subsets[:3])) == 1
    assert sorted(subsets[2:5]) == sorted(SUBSETS)
    assert sorted(subsets[5:]) == sorted(SUBSETS)


def test_exception_not_enough_parts() -> None:
    clusters, labels = toy_clusters({0: [4] * 5, 1: [50, 50]})
    message = 'the class ok_front has 2 different parts: expected at least 3'
    with pytest.raises(ValueError, match=message):
        split_clusters(clusters, labels)


def test_feature_round_trip(tmp_path: Path) -> None:
    path = tmp_path / 'deep' / split_file_name('part_level')
    write_split(path, ROWS[::-1])
    assert path.read_text(encoding='utf-8').splitlines() == [
        'path,sha256,cluster,split',
        'test/ok_front/c.jpeg,2222222222222222,1,test',
        'train/def_front/a.jpeg,0000000000000000,0,train',
        'train/def_front/b.jpeg,1111111111111111,0,train',
    ]
    assert sorted(read_split(path)) == sorted(ROWS)


@pytest.mark.parametrize(
    ('lines', 'message'),
    [
        ([], 'starts with nothing: expected the columns path,sha256,cluster,split'),
        (['path,split'], r"starts with \['path', 'split'\]"),
        ([','.join(COLUMNS), 'a,b,1'], "line 2 is 'a,b,1'"),
        ([','.join(COLUMNS), 'a,b,x,train'], "line 2 is 'a,b,x,train'"),
        ([','.join(COLUMNS), 'a,b,1,dev'], 'one of train, val, test'),
        ([','.join(COLUMNS), 'a,b,1,val', 'a,b,1,val'], r'names images twice \(1: a\)'),
        ([','.join(COLUMNS), 'a,b,7,val', 'c,d,7,test'], r'than one subset \(1: 7\)'),
    ],
)
def test_exception_bad_split_file(tmp_path: Path, lines: list, message: str) -> None:
    path = tmp_path / 'split.csv'
    path.write_text('\n'.join(lines), encoding='utf-8')
    with pytest.raises(ValueError, match=message):
        read_split(path)
    with pytest.raises(FileNotFoundError, match='there is no split file'):
        read_split(tmp_path / 'none.csv')


def test_feature_difference() -> None:
    images = images_of(ROWS)
    assert difference(ROWS, images) is None
    assert difference(ROWS, images[1:]) == (
        'lacks train/def_front/a.jpeg of the split file'
    )
    more = [*images, CastingImage('x.jpeg', 0), CastingImage('y.jpeg', 0)]
    assert difference(ROWS, more) == (
        'has x.jpeg that the split file does not know and 1 more'
    )


def test_feature_hashes(tmp_path: Path) -> None:
    (tmp_path / 'a').write_bytes(b'abc')
    # hashlib.sha256(b'abc').hexdigest(), as in FIPS 180-2
    assert file_hash(tmp_path / 'a') == 'ba7816bf8f01cfea'
    rows = [SplitRow('a', 'ba7816bf8f01cfea', 0, 'train')]
    assert changed_files(rows, tmp_path) == []
    (tmp_path / 'a').write_bytes(b'abd')
    assert changed_files(rows, tmp_path) == ['a']


def test_feature_committed_split() -> None:
    """Part C test 4: no cluster of siblings is in two subsets."""
    rows = committed_rows()
    folders = Counter(row.path.rpartition('/')[0] for row in rows)
    assert folders == REAL_TOTALS
    assert all(len(row.sha256) == 16 for row in rows)
    subsets: dict[int, set[str]] = {}
    for row in rows:
        subsets.setdefault(row.cluster, set()).add(row.split)
    assert {len(found) for found in subsets.values()} == {1}
    # The same bytes, of which the vendor has 64 pairs, are one cluster.
    by_hash: dict[str, set[int]] = {}
    for row in rows:
        by_hash.setdefault(row.sha256, set()).add(row.cluster)
    assert {len(found) for found in by_hash.values()} == {1}
    assert len(rows) - len(by_hash) == 64
    for kind in ('def_front', 'ok_front'):
        own = [row for row in rows if f'/{kind}/' in row.path]
        shares = [sum(r.split == s for r in own) / len(own) for s in SUBSETS]
        assert shares == pytest.approx([0.7, 0.1, 0.2], abs=0.02)
    names = [row.path for row in rows]
    assert names == sorted(names)
