"""Group means, comparisons and the table of an anomaly metric."""

from __future__ import annotations

import math

import pytest

from mmdefect.evaluation.groups import (
    check_old_classes,
    forgotten,
    gaps_to_joint,
    group_means,
    groups_of,
    table,
)

NAN = float('nan')
ROWS = {'a': {'auroc': 0.5}, 'b': {'auroc': 0.75}, 'c': {'auroc': NAN}}
NOW = {'a': 0.5, 'b': 0.75, 'c': NAN}


def test_smoke_means_leave_nan_out() -> None:
    assert group_means(ROWS, groups_of('abc', 'bc')) == {
        'auroc_old': 0.75,
        'auroc_new': 0.5,
        'auroc_all': 0.625,
    }
    assert math.isnan(group_means(ROWS, groups_of('abc', 'c'))['auroc_old'])


@pytest.mark.parametrize(('old', 'names'), [('', ['all']), ('abc', ['old', 'all'])])
def test_feature_a_group_without_classes_is_none(old, names) -> None:
    assert list(groups_of('abc', old)) == names


def test_feature_forgotten() -> None:
    found = forgotten(NOW, {'a': 0.75, 'b': 0.5, 'c': 1.0}, 'abc')
    assert math.isnan(found.pop('forgetting/c'))
    assert found == {'forgetting/a': 0.25, 'forgetting/b': -0.25, 'forgetting_old': 0}
    assert forgotten(NOW, {}, '') == {}


def test_feature_gaps_to_joint() -> None:
    joint = {'c': 1.0, 'b': 1.0, 'a': 1.0}
    found = gaps_to_joint(NOW, joint, groups_of('abc', 'a'))
    assert found == {
        'gap_to_joint_old': 0.5,
        'gap_to_joint_new': 0.25,
        'gap_to_joint_all': 0.375,
    }


def test_shape_table() -> None:
    lines = table(ROWS, groups_of('abc', 'a')).splitlines()
    assert [line.split()[-1] for line in lines] == [
        'auroc', '0.500', '0.750', 'nan', '0.500', '0.750', '0.625',
    ]  # fmt: skip
    assert len({len(line) for line in lines}) == 1


def test_exception_names() -> None:
    with pytest.raises(ValueError, match='old class d was given'):
        check_old_classes('abc', 'ad')
    with pytest.raises(ValueError, match='no value of b, c was given'):
        forgotten(NOW, {'a': 1.0}, 'abc')
    with pytest.raises(ValueError, match='no value of c was given'):
        gaps_to_joint(NOW, {'a': 1.0, 'b': 1.0}, groups_of('abc', 'a'))
