"""What a person says of a decision, and what an image then shows."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mmdefect.line import queue
from mmdefect.line.folder import Line
from mmdefect.line.log import Row
from mmdefect.line.truth import things_of
from mmdefect.line.verdicts import give, standing
from tests.helpers.reviewed_line import (
    CRACK,
    DENT,
    add_version,
    decide,
    draw,
    make_line,
)

DENT_BOX, CRACK_BOX = ((*map(float, one['box']),) for one in (DENT, CRACK))
LARGER = (3.0, 7.0, 21.0, 25.0)
FREE = (0.0, 0.0, 3.0, 3.0)
BOXES = {'ok': [], 'dent': [DENT], 'both': [DENT, CRACK]}


@pytest.fixture
def line(tmp_path: Path) -> Line:
    """Of boxes; ``ok``, ``dent`` and ``both`` are decided on."""
    line = make_line(tmp_path / 'l')
    for seed, (name, found) in enumerate(BOXES.items()):
        decide(line, draw(tmp_path / f'{name}.png', seed), *found)
    return line


def maps_line(folder: Path, task: str = 'routed') -> Line:
    line = make_line(folder / 'l', task)
    decisions = {'ok': 'ok', 'bad': 'defective', 'unknown': 'unknown product'}
    for seed, (name, decision) in enumerate(decisions.items()):
        product = None if name == 'unknown' else 'bottle'
        kinds = ['anomaly'] * (name == 'bad')
        path = draw(folder / f'{name}.png', seed)
        decide(line, path, decision=decision, product=product, kinds=kinds)
    return line


def labels_line(folder: Path) -> Line:
    line = make_line(folder / 'l', 'labels')
    for seed, (name, kinds) in enumerate({'ok': [], 'bad': ['red']}.items()):
        decision = 'defective' if kinds else 'ok'
        path = draw(folder / f'{name}.png', seed)
        decide(line, path, decision=decision, kinds=kinds, body={'name': 'blue'})
    return line


def shown(row: Row) -> tuple[Any, list[Any], tuple[str, ...]]:
    """Whether it is good, the defects, and the kinds that the verdict names."""
    return row.body['good'], things_of(row), row.kinds


def test_smoke_a_chained_row(line: Line, tmp_path: Path) -> None:
    decision = next(line.log.rows(kind='decision'))
    queue.enqueue(line, decision, 'margin')
    row = give(line, 'ok.png', 'missed', kind='crack', box=CRACK_BOX, by='night shift')
    assert (row.kind, row.decision, row.version) == ('verdict', 'missed', 'v0001')
    assert (row.image, row.source) == (decision.image, str(tmp_path / 'ok.png'))
    assert (row.score, row.threshold) == (0.25, 0.5)
    assert row.body == {
        'about': decision.id,
        'task': 'boxes',
        'good': False,
        'things': [{'name': 'crack', 'box': [30, 20, 60, 40]}],
        'size': [64, 48],
        'by': 'night shift',
    }
    assert queue.count(line) == 0
    assert line.verify().ok
    assert [*line.log.rows(kind='verdict')] == [row]


def test_feature_the_same_twice_is_one_row(line: Line) -> None:
    first = give(line, 'dent.png', 'confirmed')
    assert give(line, 'dent.png', 'confirmed', by='somebody else') == first
    other = give(line, 'dent.png', 'false alarm')
    again = give(line, 'dent.png', 'confirmed')  # back again: that is something new
    assert [row.id for row in line.log.rows(kind='verdict')] == [
        first.id,
        other.id,
        again.id,
    ]
    assert standing(line.log) == [again]
    moved = give(line, 'dent.png', 'confirmed', box=LARGER)
    assert standing(line.log) == [moved]
    last = give(line, 'ok.png', 'confirmed')
    assert standing(line.log) == [moved, last]


@pytest.mark.parametrize(
    ('image', 'verdict', 'given', 'expected'),
    [
        ('ok', 'confirmed', {}, (True, [], ())),
        (
            'both',
            'confirmed',
            {},
            (False, [('dent', DENT_BOX), ('crack', CRACK_BOX)], ('dent', 'crack')),
        ),
        (
            'dent',
            'confirmed',
            {'kind': 'dent'},
            (False, [('dent', DENT_BOX)], ('dent',)),
        ),
        ('dent', 'confirmed', {'box': LARGER}, (False, [('dent', LARGER)], ('dent',))),
        ('dent', 'false alarm', {}, (True, [], ('dent',))),
        (
            'both',
            'false alarm',
            {'kind': 'dent'},
            (False, [('crack', CRACK_BOX)], ('dent',)),
        ),
        (
            'both',
            'false alarm',
            {'box': [31, 21, 50, 39]},
            (False, [('dent', DENT_BOX)], ('crack',)),
        ),
        ('ok', 'missed', {'kind': 'dent'}, (False, [('dent', None)], ('dent',))),
        (
            'dent',
            'missed',
            {'kind': ['crack', 'dent'], 'box': [CRACK_BOX, FREE]},
            (
                False,
                [('dent', DENT_BOX), ('crack', CRACK_BOX), ('dent', FREE)],
                ('crack', 'dent'),
            ),
        ),
        (
            'dent',
            'wrong kind',
            {'kind': 'crack'},
            (False, [('crack', DENT_BOX)], ('crack',)),
        ),
        (
            'both',
            'wrong kind',
            {'kind': 'crack', 'box': LARGER},
            (False, [('crack', CRACK_BOX), ('crack', LARGER)], ('crack',)),
        ),
    ],
)
def test_feature_boxes(
    line: Line, image: str, verdict: str, given: dict[str, Any], expected: object
) -> None:
    assert shown(give(line, f'{image}.png', verdict, **given)) == expected


@pytest.mark.parametrize(
    ('image', 'verdict', 'given', 'said'),
    [
        ('ok', 'perfect', {}, "verdict='perfect': expected one of confirmed, false"),
        (
            'ok',
            'confirmed',
            {'kind': 'dent'},
            "expected no kind and no box; say 'missed'",
        ),
        ('dent', 'confirmed', {'kind': 'crack'}, 'expected the kinds that were found'),
        ('ok', 'false alarm', {}, "decided to be ok: expected 'confirmed', which says"),
        (
            'dent',
            'false alarm',
            {'kind': 'crack'},
            "a kind that was found, not 'crack'",
        ),
        ('dent', 'false alarm', {'box': CRACK_BOX}, 'a box where something was found'),
        ('ok', 'missed', {}, 'expected the kind that was missed; give it with --kind'),
        (
            'ok',
            'wrong kind',
            {'kind': 'dent'},
            "expected 'missed', as nothing was found",
        ),
        ('dent', 'wrong kind', {}, 'expected the kind that it is; give it with --kind'),
        ('dent', 'wrong kind', {'kind': 'dent'}, 'as dent is what was found'),
        ('both', 'wrong kind', {'kind': 'dent'}, 'expected the box that is of another'),
        (
            'dent',
            'wrong kind',
            {'kind': ['dent', 'crack']},
            'one kind, or a box for each',
        ),
        ('ok', 'missed', {'kind': 'dnet'}, "unknown class 'dnet': .*did you mean dent"),
        (
            'ok',
            'missed',
            {'kind': 'hole'},
            'with --new-kind the next step begins a class',
        ),
        (
            'ok',
            'missed',
            {'kind': 'Dent', 'new_kind': True},
            "'Dent' differs from 'dent' in case, blanks",
        ),
        (
            'ok',
            'missed',
            {'kind': 'a/b', 'new_kind': True},
            "'a/b' is no name of a kind",
        ),
        ('ok', 'missed', {'kind': 'good', 'new_kind': True}, "'good' is no name of a"),
        ('ok', 'missed', {'kind': 3}, 'kind=3: expected a name, or several'),
        (
            'ok',
            'missed',
            {'kind': 'dent', 'product': 'nut'},
            'expected none with a model',
        ),
        ('ok', 'missed', {'kind': 'dent', 'box': [1, 2, 3]}, 'expected x1, y1, x2, y2'),
        (
            'ok',
            'missed',
            {'kind': 'dent', 'box': [5, 5, 5, 9]},
            'a pixel wide and high',
        ),
        (
            'ok',
            'missed',
            {'kind': 'dent', 'box': [9, 9, 5, 5]},
            'a pixel wide and high',
        ),
        (
            'ok',
            'missed',
            {'kind': 'dent', 'box': [0, 0, 65, 9]},
            'out of the image of 64x',
        ),
        (
            'ok',
            'missed',
            {'kind': 'dent', 'box': [-1, 0, 9, 9]},
            'reaches out of the im',
        ),
        (
            'ok',
            'missed',
            {'kind': 'dent', 'box': [0, 0, 9, float('nan')]},
            'a finite num',
        ),
        (
            'ok',
            'missed',
            {'kind': ['dent', 'crack', 'dent'], 'box': [FREE, FREE]},
            '3 kinds and 2 boxes: expected one kind, or one a box',
        ),
        ('none', 'confirmed', {}, "image='none.png' is no image of the log"),
    ],
)
def test_exception_boxes(
    line: Line, image: str, verdict: str, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        give(line, f'{image}.png', verdict, **given)
    assert line.log.count(kind='verdict') == 0


def test_feature_a_new_kind(line: Line) -> None:
    """It is said once that it is one, then it is known."""
    give(line, 'ok.png', 'missed', kind='hole', box=FREE, new_kind=True)
    row = give(line, 'dent.png', 'wrong kind', kind='hole')
    assert row.kinds == ('hole',)
    # From then on there is one spelling of it, and of the model's own.
    for name, new in (('Hole', True), ('ho le', True), ('DENT', False)):
        with pytest.raises(ValueError, match='in case, blanks, _ or - only: expected'):
            give(line, 'dent.png', 'wrong kind', kind=name, new_kind=new)
    for name, like in (('holes', 'hole'), ('dents', 'dent')):
        with pytest.raises(ValueError, match=f'is almost {like}: .* with --alike'):
            give(line, 'dent.png', 'wrong kind', kind=name, new_kind=True)
    row = give(line, 'dent.png', 'wrong kind', kind='holes', new_kind=True, alike=True)
    assert row.kinds == ('holes',)


def test_feature_a_verdict_in_either_spelling(line: Line) -> None:
    row = give(line, 'dent.png', 'false-alarm')
    assert row.decision == 'false alarm'
    assert give(line, 'dent.png', 'false alarm') == row


@pytest.mark.parametrize(
    ('image', 'verdict', 'given', 'expected'),
    [
        ('ok', 'confirmed', {}, (True, [], ())),
        ('bad', 'confirmed', {}, (False, [('anomaly', None)], ('anomaly',))),
        (
            'bad',
            'confirmed',
            {'kind': 'scratch', 'box': FREE},
            (False, [('scratch', FREE)], ('scratch',)),
        ),
        ('bad', 'false alarm', {}, (True, [], ('anomaly',))),
        ('ok', 'missed', {}, (False, [('anomaly', None)], ('anomaly',))),
        (
            'ok',
            'missed',
            {'kind': 'scratch', 'box': FREE},
            (False, [('scratch', FREE)], ('scratch',)),
        ),
        ('unknown', 'confirmed', {}, (None, [], ())),
        ('unknown', 'false alarm', {'product': 'cable'}, (True, [], ())),
    ],
)
def test_feature_maps(
    tmp_path: Path, image: str, verdict: str, given: dict[str, Any], expected: object
) -> None:
    line = maps_line(tmp_path)
    row = give(line, f'{image}.png', verdict, **given)
    assert shown(row) == expected
    assert row.product == given.get('product', None if image == 'unknown' else 'bottle')


def test_exception_a_kind_of_maps_in_two_spellings(tmp_path: Path) -> None:
    line = make_line(tmp_path / 'l', 'maps')
    for seed in range(2):
        decide(line, draw(tmp_path / f'{seed}.png', seed))
    give(line, '0.png', 'missed', kind='hole')
    give(line, '1.png', 'missed', kind='hole')
    with pytest.raises(ValueError, match=r"'Hole' differs from 'hole' in case"):
        give(line, '1.png', 'missed', kind='Hole')


def test_feature_a_new_product(tmp_path: Path) -> None:
    line = maps_line(tmp_path)
    with pytest.raises(ValueError, match=r"the verdict names the unknown class 'nut'"):
        give(line, 'unknown.png', 'false alarm', product='nut')
    row = give(line, 'unknown.png', 'false alarm', product='nut', new_kind=True)
    assert row.product == 'nut'
    assert give(line, 'ok.png', 'confirmed', product='nut').product == 'nut'


def test_feature_the_only_product(tmp_path: Path) -> None:
    """Whatever a model that knows one product says of it."""
    line = make_line(tmp_path / 'l', 'maps')
    decide(line, draw(tmp_path / 'a.png'))
    assert give(line, 'a.png', 'confirmed').product == 'bottle'


@pytest.mark.parametrize(
    ('image', 'verdict', 'given', 'said'),
    [
        ('bad', 'wrong kind', {'kind': 'scratch'}, 'a model of maps names no kind'),
        ('bad', 'missed', {}, "expected 'confirmed', as nothing was missed"),
        ('bad', 'false alarm', {'box': FREE}, 'all of the image is good'),
    ],
)
def test_exception_maps(
    tmp_path: Path, image: str, verdict: str, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        give(maps_line(tmp_path), f'{image}.png', verdict, **given)


@pytest.mark.parametrize(
    ('image', 'verdict', 'given', 'expected'),
    [
        ('ok', 'confirmed', {}, (True, [], ())),
        ('bad', 'confirmed', {}, (False, [('red', None)], ('red',))),
        ('bad', 'false alarm', {}, (True, [], ('red',))),
        ('ok', 'missed', {}, (False, [('red', None)], ('red',))),
        ('ok', 'wrong kind', {'kind': 'green'}, (False, [('green', None)], ('green',))),
        ('bad', 'wrong kind', {'kind': 'blue'}, (False, [('blue', None)], ('blue',))),
    ],
)
def test_feature_labels(
    tmp_path: Path, image: str, verdict: str, given: dict[str, Any], expected: object
) -> None:
    row = give(labels_line(tmp_path), f'{image}.png', verdict, **given)
    assert shown(row) == expected


def test_exception_labels(tmp_path: Path) -> None:
    line = labels_line(tmp_path)
    with pytest.raises(ValueError, match='box: expected none with a model of labels'):
        give(line, 'ok.png', 'missed', box=FREE)


def test_exception_nothing_was_decided(line: Line, tmp_path: Path) -> None:
    decide(line, draw(tmp_path / 'odd.png', 9), decision='undecided')
    with pytest.raises(ValueError, match="expected 'false-alarm' if it is good, 'mis"):
        give(line, 'odd.png', 'confirmed')
    assert shown(give(line, 'odd.png', 'false alarm'))[0] is True


def test_feature_the_newest_decision_is_meant(line: Line, tmp_path: Path) -> None:
    """A miss of one version, found by the next: both verdicts stay."""
    give(line, 'ok.png', 'missed', kind='dent', box=DENT_BOX)
    version = add_version(line)
    decide(line, tmp_path / 'ok.png', DENT)
    row = give(line, 'ok.png', 'confirmed')
    assert (row.version, row.kinds) == (version, ('dent',))
    assert line.log.count(kind='verdict') == 2


def test_feature_the_package_is_gone(line: Line) -> None:
    """That of the version in use says what kinds there are."""
    add_version(line)
    shutil.rmtree(line.versions_dir / 'v0001')
    assert give(line, 'ok.png', 'missed', kind='dent').version == 'v0001'
    shutil.rmtree(line.versions_dir / 'v0002')
    line.pointer.unlink()
    with pytest.raises(FileNotFoundError, match='the packages of v0001 and of the ver'):
        give(line, 'ok.png', 'missed', kind='crack')


@pytest.mark.parametrize('policy', ['none', 'alarms'])
def test_feature_a_reviewed_picture_is_kept(tmp_path: Path, policy: str) -> None:
    """Unless none is: there would be nothing to learn from."""
    line = make_line(tmp_path / 'l', keep_images='none')
    path = draw(tmp_path / 'a.png')
    row = decide(line, path)
    line = Line(_with_policy(line.folder, policy))
    give(line, path, 'missed', kind='dent')
    kept = line.images.find(str(row.image))
    assert (kept is not None) == (policy == 'alarms')


def _with_policy(folder: Path, policy: str) -> Path:
    file = folder / 'line.json'
    text = file.read_text(encoding='utf-8').replace('"none"', f'"{policy}"')
    file.write_text(text, encoding='utf-8')
    return folder


def test_feature_reviewed_pictures_outlive_the_newest(tmp_path: Path) -> None:
    line = make_line(tmp_path / 'l', keep_images='newest', keep_gb=25e-6)
    rows = []
    for seed in range(8):  # 9 kB each, of which 25 are kept
        path = draw(tmp_path / f'{seed}.png', seed)
        rows.append(decide(line, path))
        if seed == 0:
            give(line, path, 'confirmed')
    kept = [line.images.find(str(row.image)) is not None for row in rows]
    assert kept[0]
    assert kept[-1]
    assert sum(kept) < 4


def test_feature_a_kind_that_a_later_version_knows(line: Line) -> None:
    """It is no new one, though the version that decided did not know it."""
    add_version(line, 'labels')
    assert give(line, 'ok.png', 'missed', kind='green', box=FREE).version == 'v0001'


def test_feature_twice_at_once_is_one_row(line: Line) -> None:
    with ThreadPoolExecutor(4) as pool:
        rows = [*pool.map(lambda _: give(line, 'dent.png', 'confirmed'), range(8))]
    assert {row.id for row in rows} == {rows[0].id}
    assert line.log.count(kind='verdict') == 1


def test_feature_a_picture_without_a_suffix_is_found(tmp_path: Path) -> None:
    line = make_line(tmp_path / 'l', keep_images='none')
    path = draw(tmp_path / 'a.png').rename(tmp_path / 'part')
    row = decide(line, path)
    line = Line(_with_policy(line.folder, 'alarms'))
    give(line, path, 'missed', kind='dent')
    kept = line.images.find(str(row.image))
    assert kept is not None
    assert kept.suffix == '.png'


def test_exception_what_is_no_picture(line: Line, tmp_path: Path) -> None:
    """Though what a model has failed on may well be one."""
    (tmp_path / 'text.png').write_text('no image')
    for path in (tmp_path / 'text.png', draw(tmp_path / 'odd.png', 7)):
        decide(line, path, decision='undecided', body={'error': 'failed'})
    for name in ('text.png', tmp_path / 'text.png'):
        for verdict in ('confirmed', 'missed'):
            with pytest.raises(ValueError, match=r'line queue LINE --dismiss'):
                give(line, name, verdict, kind='dent')
    assert line.log.count(kind='verdict') == 0
    assert give(line, 'odd.png', 'missed', kind='dent')
