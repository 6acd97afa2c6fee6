"""The step x class matrix: groups, forgetting, files, messages."""

from __future__ import annotations

import json
import math

import pytest
import torch

from mmdefect.streams.matrix import StreamMatrix

FIRST = {'coco/AP50/a': 0.8, 'coco/AP50/b': 0.6, 'coco/AP/a': 0.4, 'coco/AP/b': 0.3}
SECOND = {
    'coco/AP50/a': 0.2,
    'coco/AP50/b': 0.1,
    'coco/AP50/c': 0.9,
    'coco/AP/a': 0.1,
    'coco/AP/b': 0.05,
    'coco/AP/c': 0.5,
    'coco/AP50_all': 0.4,
    'time': 1.5,
}


@pytest.fixture
def matrix() -> StreamMatrix:
    matrix = StreamMatrix(classes=['a', 'b', 'c'], metrics=['AP50', 'AP'])
    matrix.add_step(step=0, old=[], new=['a', 'b'], scalars=FIRST)
    matrix.add_step(step=1, old=['a', 'b'], new=['c'], scalars=SECOND)
    return matrix


def test_smoke(matrix) -> None:
    expected = torch.tensor([[0.8, 0.6, math.nan], [0.2, 0.1, 0.9]]).double()
    torch.testing.assert_close(
        matrix.tensor('AP50'), expected, equal_nan=True, atol=1e-6, rtol=0
    )


def test_feature_content_of_the_file(matrix, tmp_path) -> None:
    matrix.save(tmp_path / 'deep' / 'matrix.json')
    content = json.loads(
        (tmp_path / 'deep' / 'matrix.json').read_text(encoding='utf-8')
    )
    assert content['metrics'] == ['AP50', 'AP']
    assert content['classes'] == ['a', 'b', 'c']
    first, second = content['steps']
    assert first['groups']['AP50'] == {
        'old': None,
        'new': pytest.approx(0.7),
        'all': pytest.approx(0.7),
    }
    assert first['forgetting'] == {'AP50': {}, 'AP': {}}
    assert second['old'] == ['a', 'b']
    assert second['new'] == ['c']
    assert second['per_class']['AP'] == {'a': 0.1, 'b': 0.05, 'c': 0.5}
    assert second['groups']['AP50'] == {
        'old': pytest.approx(0.15),
        'new': pytest.approx(0.9),
        'all': pytest.approx(0.4),
    }
    assert second['forgetting']['AP50'] == {
        'a': pytest.approx(0.6),
        'b': pytest.approx(0.5),
    }
    assert second['scalars'] == SECOND
    assert [p.name for p in (tmp_path / 'deep').iterdir()] == ['matrix.json']


def test_feature_round_trip_keeps_nan(matrix, tmp_path) -> None:
    matrix.add_step(
        step=1, old=['a', 'b'], new=['c'], scalars=SECOND | {'coco/AP50/a': math.nan}
    )
    path = tmp_path / 'matrix.json'
    matrix.save(path)
    assert 'NaN' not in path.read_text(encoding='utf-8')
    again = StreamMatrix.load(path)
    assert math.isnan(again.scores(1, 'AP50')['a'])
    assert again.group(metric='AP50', step=1, name='old') == pytest.approx(0.1)
    assert again.to_dict() == matrix.to_dict()


def test_feature_untested_step_is_a_row_of_nan(matrix) -> None:
    later = StreamMatrix(classes=['a', 'b', 'c'], metrics=['AP50'])
    later.add_step(step=1, old=['a', 'b'], new=['c'], scalars=SECOND)
    assert later.tensor('AP50')[0].isnan().all()
    assert later.forgetting(metric='AP50', step=1) == {}
    assert later.scores(0, 'AP50') == {}


def test_feature_other_tasks_and_prefixes() -> None:
    matrix = StreamMatrix(classes=['bottle'], metrics=['pixel_auroc'])
    matrix.add_step(step=0, old=[], new=['bottle'], scalars={'pixel_auroc/bottle': 0.9})
    assert matrix.scores(0, 'pixel_auroc') == {'bottle': 0.9}


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'step': -1}, 'expected a step from 0 with each class once'),
        ({'old': ['a'], 'new': ['a']}, 'with each class once, of a, b, c'),
        ({'old': [], 'new': ['rust']}, 'each class once, of a, b, c'),
        ({'old': [], 'new': []}, 'each class once'),
        (
            {'scalars': {k: v for k, v in SECOND.items() if k != 'coco/AP/b'}},
            'expected one <prefix>/AP/b, found none',
        ),
        (
            {'scalars': SECOND | {'other/AP50/a': 0.3}},
            'found coco/AP50/a, other/AP50/a; use a metric',
        ),
    ],
)
def test_exception_step(matrix, change, message) -> None:
    step = {'step': 1, 'old': ['a', 'b'], 'new': ['c'], 'scalars': SECOND}
    with pytest.raises(ValueError, match=message):
        matrix.add_step(**{**step, **change})


def test_exception_names(matrix) -> None:
    with pytest.raises(ValueError, match=r"classes=\['a', 'a'\]: expected at least"):
        StreamMatrix(classes=['a', 'a'], metrics=['AP50'])
    with pytest.raises(ValueError, match=r'metrics=\[\]: expected'):
        StreamMatrix(classes=['a'], metrics=[])
    with pytest.raises(ValueError, match="metric='AP75': expected one of AP50, AP"):
        matrix.tensor('AP75')
    with pytest.raises(ValueError, match="name='olds': expected one of old, new, all"):
        matrix.group(metric='AP', step=1, name='olds')
    with pytest.raises(ValueError, match='step=7: expected one of 0, 1'):
        matrix.forgetting(metric='AP', step=7)
    with pytest.raises(ValueError, match='without a step: expected one'):
        StreamMatrix(classes=['a'], metrics=['AP']).tensor('AP')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{"metrics": ["AP50"]}', r"json: expected the matrix .*KeyError: 'classes'"),
        ('{', r'matrix\.json'),
        ('[]', r'matrix\.json'),
        ('{"classes": 7, "metrics": ["AP50"]}', r'json: expected the matrix .*TypeErr'),
    ],
)
def test_exception_files(text, message, tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r'matrix\.json'):
        StreamMatrix.load(tmp_path / 'matrix.json')
    (tmp_path / 'matrix.json').write_text(text, encoding='utf-8')
    with pytest.raises(ValueError, match=message):
        StreamMatrix.load(tmp_path / 'matrix.json')


def test_feature_a_metric_that_is_not_told_at_all_is_undefined() -> None:
    """A user's own metric need not tell all; the leading one it has to."""
    matrix = StreamMatrix(classes=['a', 'b'], metrics=['AP50', 'own_AP50'])
    matrix.add_step(step=0, old=[], new=['a', 'b'], scalars=FIRST)
    assert matrix.valued == ['AP50']
    assert matrix.undefined(metric='own_AP50', step=0) == ['a', 'b']
    with pytest.raises(ValueError, match='expected one <prefix>/AP50/a, found none'):
        matrix.add_step(step=1, old=['a'], new=['b'], scalars={'AP/a': 0.5})


def test_feature_a_matrix_of_an_older_version_takes_a_metric_more(tmp_path) -> None:
    older = StreamMatrix(classes=['a', 'b', 'c'], metrics=['AP50'])
    older.add_step(step=0, old=[], new=['a', 'b'], scalars=FIRST)
    older.save(tmp_path / 'matrix.json')
    content = json.loads((tmp_path / 'matrix.json').read_text(encoding='utf-8'))
    del content['steps'][0]['diagnosis']
    (tmp_path / 'matrix.json').write_text(json.dumps(content), encoding='utf-8')
    matrix = StreamMatrix.load(tmp_path / 'matrix.json')
    matrix.require(['AP50', 'AP'])
    matrix.add_step(step=1, old=['a', 'b'], new=['c'], scalars=SECOND)
    rows = matrix.tensor('AP').tolist()
    assert [str(v) for v in rows[0]] == ['nan', 'nan', 'nan']
    assert rows[1] == [0.1, 0.05, 0.5]
    assert matrix.scores(0, 'AP50') == {'a': 0.8, 'b': 0.6}


def test_feature_diagnosis_is_kept_with_its_step(tmp_path) -> None:
    matrix = StreamMatrix(classes=['a', 'b'], metrics=['AP50'])
    found = {'classes': {'a': {'threshold': math.nan}}, 'confusions': [{'count': 2}]}
    matrix.add_step(step=0, old=[], new=['a', 'b'], scalars=FIRST, diagnosis=found)
    matrix.save(tmp_path / 'matrix.json')
    (step,) = StreamMatrix.load(tmp_path / 'matrix.json').steps
    assert step.diagnosis['classes'] == {'a': {'threshold': None}}
    assert step.diagnosis['confusions'] == [{'count': 2}]
