"""Group means and the table of an anomaly metric."""

from __future__ import annotations

import math

import pytest

from mmdefect.evaluation.groups import group_means, groups_of, table

ROWS = {'a': {'auroc': 0.5}, 'b': {'auroc': 0.75}, 'c': {'auroc': float('nan')}}


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


def test_shape_table() -> None:
    lines = table(ROWS, groups_of('abc', 'a')).splitlines()
    assert [line.split()[-1] for line in lines] == [
        'auroc', '0.500', '0.750', '–', '0.500', '0.750', '0.625',
    ]  # fmt: skip
    assert len({len(line) for line in lines}) == 1
