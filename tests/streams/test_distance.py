"""The distance to joint training and its parts, from two matrices."""

from __future__ import annotations

import math

import pytest

from mmdefect.streams.closing import summary_text
from mmdefect.streams.distance import class_distances, group_distances, joint_matrix
from mmdefect.streams.matrix import StreamMatrix

METRICS = ('AP50', 'own_AP50')


def matrix(*steps: tuple[dict[str, float], dict[str, float]]) -> StreamMatrix:
    """Steps a, b; then c: of each the AP50 and the own AP50 of the classes."""
    found = StreamMatrix(classes=['a', 'b', 'c'], metrics=METRICS)
    for number, values in enumerate(steps):
        old = ['a', 'b'] if number else []
        scalars = {
            f'coco/{metric}/{name}': value
            for metric, row in zip(METRICS, values, strict=True)
            for name, value in row.items()
        }
        found.add_step(
            step=number, old=old, new=['c'] if old else ['a', 'b'], scalars=scalars
        )
    return found


OURS = (
    ({'a': 0.7, 'b': 0.8}, {'a': 0.75, 'b': 0.8}),
    ({'a': 0.5, 'b': 0.8, 'c': 0.3}, {'a': 0.65, 'b': 0.85, 'c': 0.6}),
)
JOINT = (
    OURS[0],
    ({'a': 0.75, 'b': 0.85, 'c': 0.7}, {'a': 0.8, 'b': 0.85, 'c': 0.75}),
)


def test_smoke() -> None:
    found = class_distances(matrix(*OURS), matrix(*JOINT), 1)
    names = ('distance', 'forgotten', 'never_learnt', 'foreign')
    assert [found['a'][name] for name in names] == pytest.approx([0.25, 0.1, 0.05, 0.1])
    assert [found['b'][n] for n in names] == pytest.approx([0.05, -0.05, 0.05, 0.05])
    assert [found['c'][name] for name in names] == pytest.approx([0.4, 0, 0.15, 0.25])
    means = group_distances(found, old=['a', 'b'], new=['c'])
    assert list(means) == ['old', 'new', 'all']
    assert means['old']['distance'] == pytest.approx(0.15)
    assert means['all']['forgotten'] == pytest.approx(0.05 / 3)
    for row in (*found.values(), *means.values()):
        assert sum(row[name] for name in names[1:]) == pytest.approx(row['distance'])


def test_feature_the_log_names_the_parts() -> None:
    text = summary_text(matrix(*OURS), matrix(*JOINT))
    cells = [[c.strip() for c in line.split('|')[1:-1]] for line in text.split('\n')]
    shown = {row[0]: row[1:] for row in cells if row}
    assert shown['below joint'] == ['0.0 %', '23.3 %']
    assert shown['of it forgotten'] == ['0.0 %', '1.7 %']
    assert shown['of it never learnt'] == ['0.0 %', '8.3 %']
    assert shown['of it false alarms elsewhere'] == ['0.0 %', '13.3 %']
    alone = summary_text(matrix(*OURS))
    assert 'forgotten' not in alone


def test_feature_what_is_not_known_is_left_out() -> None:
    ours, joint = matrix(*OURS), matrix(*JOINT)
    older = StreamMatrix(classes=['a'], metrics=['AP50'])
    older.add_step(step=0, old=[], new=['a'], scalars={'AP50/a': 0.5})
    assert class_distances(ours, older, 1) == class_distances(older, ours, 0) == {}
    # Joint training has not been tested after this step; no ground truth of b.
    assert class_distances(ours, matrix(JOINT[0]), 1) == {}
    step = ({**JOINT[1][0], 'b': math.nan}, JOINT[1][1])
    assert list(class_distances(ours, matrix(JOINT[0], step), 1)) == ['a', 'c']
    # The step that brought a and b has not been tested.
    late = StreamMatrix(classes=['a', 'b', 'c'], metrics=METRICS)
    scalars = {f'AP50/{n}': v for n, v in OURS[1][0].items()}
    scalars |= {f'own_AP50/{n}': v for n, v in OURS[1][1].items()}
    late.add_step(step=1, old=['a', 'b'], new=['c'], scalars=scalars)
    assert list(class_distances(late, joint, 1)) == ['c']


def test_feature_joint_without_scores(tmp_path) -> None:
    assert joint_matrix(None) is joint_matrix(tmp_path) is None
    matrix(*JOINT).save(tmp_path / 'matrix.json')
    found = joint_matrix(tmp_path)
    assert found is not None
    assert found.to_dict() == matrix(*JOINT).to_dict()
