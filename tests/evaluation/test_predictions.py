"""Predictions of single images and what is taken from them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from mmdefect.evaluation.predictions import (
    Prediction,
    best_of,
    mcnemar,
    measure,
    read_predictions,
)
from tests.helpers.study_runs import PERFECT, SAID, WorkDir


def named(rows: list[Prediction]) -> dict[str, Prediction]:
    return {str(number): row for number, row in enumerate(rows)}


def test_smoke_read(make_run: WorkDir) -> None:
    found = read_predictions(make_run('luna') / 'test.jsonl')
    assert list(found.values()) == SAID
    assert next(iter(found)) == 'test/0.jpeg'


def test_feature_measures() -> None:
    found = measure(named(SAID))
    assert (found.wrong, found.images) == (2, 4)
    assert (found.errors.misses, found.errors.defects) == (1, 2)
    assert found.errors.false_alarms == 1
    # Of the four pairs of a defective and a sound image, (0.3, 0.6) is the wrong way.
    assert found.auroc == pytest.approx(0.75)
    low, high = found.accuracy_range
    assert low < 0.5 < high
    # One class has none.
    assert math.isnan(measure(named(PERFECT[:2])).auroc)


def test_feature_mcnemar_looks_at_what_one_gets_wrong() -> None:
    # 2 against 0 wrong: two fair coins that fall alike, 2 * 0.5 ** 2.
    assert mcnemar(named(SAID), named(PERFECT)) == pytest.approx(0.5)
    assert mcnemar(named(SAID), named(SAID)) == 1


def test_feature_of_as_few_errors_the_likelier_is_the_best() -> None:
    measures = [measure(named(rows)) for rows in (SAID, PERFECT, PERFECT)]
    assert best_of(measures) == 1
    sure, unsure = (
        measure(named([Prediction(0, 0, score), Prediction(1, 1, 1 - score)]))
        for score in (0.99, 0.5)
    )
    assert unsure.nll == pytest.approx(math.log(2))
    assert sure.nll == pytest.approx(-math.log(0.99))
    assert best_of([unsure, sure]) == 1
    assert best_of([sure, unsure]) == 0


def test_exception_images() -> None:
    with pytest.raises(ValueError, match=r"1 images are in one .* such as '3'"):
        mcnemar(named(SAID), named(PERFECT[:3]))
    with pytest.raises(ValueError, match=r'^predictions=\{\}: expected'):
        measure({})


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{"path": "a"}\n', r'test\.jsonl, line 1 \('),
        ('oops\n', r'test\.jsonl, line 1 \('),
        ('{"path": "a", "label": 0, "pred": 0, "score": 1}\n' * 2, "has 'a' twice"),
    ],
)
def test_exception_bad_file(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / 'test.jsonl'
    path.write_text(text, encoding='utf-8')
    with pytest.raises(ValueError, match=message):
        read_predictions(path)


def test_exception_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'test_evaluator\.out_file'):
        read_predictions(tmp_path / 'test.jsonl')
