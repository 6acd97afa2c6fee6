"""Counts in, a verdict out."""

from __future__ import annotations

from typing import Any

import pytest

from mmdefect.line.gate import Counts, KindCount, Limits, ProductCount, compare


def counts(
    found: int | None = 0,
    number: int = 50,
    *,
    false: int | None = 0,
    chances: int = 100,
    **more: Any,
) -> Counts:
    kind = KindCount(product='', kind='dent', number=number, found=found, false=0)
    product = ProductCount(product='', number=chances, false=false)
    return Counts(exam='frozen', kinds=(kind,), products=(product,), **more)


def test_smoke_nothing_lost() -> None:
    verdict = compare(counts(48), counts(49), Limits())
    assert verdict.passed
    assert verdict.reasons == ()
    assert verdict.notes == ()
    kind, product = verdict.rows
    assert (kind.found, kind.missed, kind.false) == ((48, 49), (2, 1), (0, 0))
    assert (product.kind, product.number, product.false) == ('', 100, (0, 0))
    assert kind.note == product.note == ''


def test_feature_two_points_are_one_of_fifty() -> None:
    assert compare(counts(48), counts(47), Limits()).passed
    verdict = compare(counts(48), counts(46), Limits())
    assert verdict.reasons == (
        'frozen: dent loses 4.0 points (48 of 50, now 46): '
        'expected 2.0 points at most (1 of 50)',
    )
    assert not verdict.rows[0].passed
    assert verdict.rows[1].passed


def test_feature_a_small_class_says_what_one_miss_is() -> None:
    same = compare(counts(10, 10), counts(10, 10), Limits())
    assert same.rows[0].note == 'one miss is 10.0 points, more than may be lost'
    assert not compare(counts(10, 10), counts(9, 10), Limits()).passed
    assert compare(counts(10, 10), counts(9, 10), Limits(lose=0.1)).passed
    assert compare(counts(50), counts(50), Limits()).rows[0].note == ''


def test_feature_false_alarms_may_rise_by_two_points() -> None:
    old, limits = counts(50, false=5), Limits()
    assert compare(old, counts(50, false=7), limits).passed
    verdict = compare(old, counts(50, false=8), limits)
    assert verdict.reasons == (
        'frozen: false alarms are 8.0 % (8 of 100, before 5): '
        'expected 7.0 % at most (7 of 100)',
    )
    assert compare(old, counts(50, false=8), Limits(false_alarms=0.1)).passed
    assert not compare(old, counts(50, false=5), Limits(false_alarms=0.04)).passed


def test_feature_the_first_version_passes_by_rates_alone() -> None:
    assert compare(None, counts(0, false=100), Limits()).passed
    note = compare(None, counts(0), Limits()).rows[1].note
    assert note == 'no limit is given, and no old version to compare with'
    limits = Limits(false_alarms=0.1, least=0.9)
    assert compare(None, counts(45, false=10), limits).passed
    assert compare(None, counts(44, false=11), limits).reasons == (
        'frozen: dent is found in 88.0 % (44 of 50): '
        'expected 90.0 % at least (45 of 50)',
        'frozen: false alarms are 11.0 % (11 of 100): '
        'expected 10.0 % at most (10 of 100)',
    )


def test_feature_what_is_not_proved_is_said() -> None:
    none = compare(counts(0, 0, chances=0), counts(0, 0, chances=0), Limits())
    assert none.passed
    assert [row.note for row in none.rows] == [
        'no instance of it here: nothing is proved',
        'no image here can raise one: nothing is proved',
    ]
    unknown = compare(counts(None, false=None), counts(None, false=None), Limits())
    assert unknown.passed
    assert [row.note for row in unknown.rows] == [
        'known to neither version: nothing is proved',
        'not known to the new version: nothing is proved',
    ]
    assert unknown.notes == ('no version knows dent: nothing is proved about that',)
    first = compare(None, counts(None), Limits())
    assert first.rows[0].note == 'known to no version: nothing is proved'
    forgotten = compare(counts(0), counts(None), Limits())
    assert forgotten.rows[0].note == 'not known to the new version: nothing is proved'
    assert forgotten.notes == ()
    assert unknown.rows[0].missed == (None, None)
    # A class that only the new version knows has nothing to lose.
    assert compare(counts(None), counts(3), Limits()).passed
    assert not compare(counts(50), counts(None), Limits()).passed


def test_feature_a_kind_that_may_be_misspelt_is_said_with_its_like() -> None:
    shown = KindCount(product='', kind='scratch', number=50, found=None)
    known = KindCount(product='', kind='scratches', number=0, found=0, false=50)
    given = Counts(exam='frozen', kinds=(shown, known), products=())
    assert compare(None, given, Limits()).notes == (
        'no version knows scratch (is it scratches?): nothing is proved about that',
    )


def test_feature_thresholds_that_are_not_calibrated_are_said() -> None:
    verdict = compare(
        counts(50, calibrated=False), counts(50, calibrated=False, failed=1), Limits()
    )
    assert verdict.notes == (
        'the thresholds of the old version are not calibrated',
        'the thresholds of the new version are not calibrated',
        'the new version could not look at 1 image, which count against it',
    )


def test_feature_kinds_without_a_threshold_are_named() -> None:
    new = counts(50, calibrated=False, bare=('crack', 'dent'))
    assert compare(None, new, Limits()).notes == (
        'the new version has no calibrated threshold of crack, dent',
    )


def test_feature_a_product_is_named() -> None:
    kind = KindCount(product='bottle', kind='crack', number=50, found=50)
    lost = KindCount(product='bottle', kind='crack', number=50, found=0)
    verdict = compare(
        Counts(exam='e', kinds=(kind,), products=()),
        Counts(exam='e', kinds=(lost,), products=()),
        Limits(),
    )
    assert verdict.reasons[0].startswith('e: crack of bottle loses 100.0 points')


@pytest.mark.parametrize(
    'given', [{'lose': -0.1}, {'lose': None}, {'false_alarms': 2}, {'least': 'half'}]
)
def test_exception_limits(given: dict) -> None:
    with pytest.raises(ValueError, match=f'{next(iter(given))}='):
        Limits(**given)
