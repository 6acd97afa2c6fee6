"""The end of a stream: a report that fails is named, and scores are shown anyway."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmdefect.streams import closing
from mmdefect.streams.closing import MAX_CLASSES, MAX_STEPS, sum_up, summary_text
from mmdefect.streams.matrix import StreamMatrix
from tests.helpers.synthetic_stream import make_stream


def test_smoke_report_and_table(tmp_path) -> None:
    """Also of a class whose name Matplotlib would take for a formula."""
    said: list[str] = []
    work_dir = make_stream(tmp_path)
    for path in [*work_dir.glob('*.json'), *work_dir.glob('step_*/samples.json')]:
        text = path.read_text(encoding='utf-8').replace('crazing', '$\\\\frac$')
        path.write_text(text, encoding='utf-8')
    sum_up(work_dir, lambda text, _: said.append(text))
    assert said[0] == f'report: {work_dir / "report/index.html"}'
    assert said[1].startswith('all scores, as in ')
    assert '| mean of old ' in said[1]


def test_exception_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(work_dir: Path, joint: str | None) -> Path:
        raise KeyError('no such font')

    monkeypatch.setattr(closing, 'write_report', fail)
    said: list[str] = []
    work_dir = make_stream(tmp_path)
    message = r"the steps are done .* cannot be drawn: KeyError: 'no such font'; when"
    with pytest.raises(RuntimeError, match=message):
        sum_up(work_dir, lambda text, _: said.append(text))
    assert said[0].startswith("the report cannot be drawn (KeyError: 'no such font')")
    assert '| mean of old ' in said[1]


def rows_of(text: str) -> dict[str, list[str]]:
    cells = [[c.strip() for c in line.split('|')[1:-1]] for line in text.splitlines()]
    return {row[0]: row[1:] for row in cells if row}


def test_feature_the_numbers_of_the_matrix(tmp_path) -> None:
    path = make_stream(tmp_path) / 'matrix.json'
    rows = rows_of(summary_text(StreamMatrix.load(path)))
    assert rows.pop('AP50') == ['step 0', 'step 1']
    steps = json.loads(path.read_text(encoding='utf-8'))['steps']

    def shown(values) -> list[str]:
        return ['–' if v is None else f'{100 * v:.1f} %' for v in values]

    for name in steps[1]['per_class']['AP50']:
        values = [step['per_class']['AP50'].get(name) for step in steps]
        assert rows.pop(name) == shown(values)
    for group in ('old', 'new', 'all'):
        values = [step['groups']['AP50'][group] for step in steps]
        assert rows.pop(f'mean of {group}') == shown(values)
    lost = steps[1]['forgetting']['AP50'].values()
    assert rows.pop('lost by old') == ['–', f'{100 * sum(lost) / 3:.1f} %']
    assert rows.pop('AP of all') == shown(s['groups']['AP']['all'] for s in steps)
    assert not rows


def test_feature_gap_to_joint(tmp_path, undrawn) -> None:
    """Mean of what every class lacks; one that joint training lacks is left out."""
    ours, joint = (StreamMatrix(classes=['a', 'b'], metrics=['AP50']) for _ in range(2))
    scalars = {'AP50/a': 0.5, 'AP50/b': 0.4}
    ours.add_step(step=0, old=[], new=['a', 'b'], scalars=scalars)
    joint.add_step(step=0, old=[], new=['a'], scalars={'AP50/a': 0.75})
    assert rows_of(summary_text(ours, joint))['below joint'] == ['25.0 %']
    joint.save(tmp_path / 'joint/matrix.json')
    said: list[str] = []
    work_dir = make_stream(tmp_path)
    sum_up(work_dir, lambda text, _: said.append(text), str(tmp_path / 'joint'))
    assert rows_of(said[1])['below joint'] == ['–', '–']  # of other classes
    sum_up(work_dir, lambda text, _: said.append(text), 'nowhere')
    assert 'below joint' not in said[3]


def test_feature_undefined_scores() -> None:
    matrix = StreamMatrix(classes=['a', 'b'], metrics=['AP50'])
    scalars = {'AP50/a': float('nan'), 'AP50/b': 0.5}
    matrix.add_step(step=0, old=[], new=['a', 'b'], scalars=scalars)
    rows = rows_of(summary_text(matrix))
    assert (rows['a'], rows['b'], rows['mean of all']) == (
        ['–'],
        ['50.0 %'],
        ['50.0 %'],
    )


@pytest.mark.parametrize('number', [15, 80])
def test_feature_one_screen(number: int) -> None:
    names = [f'product number {k}' for k in range(number)]
    matrix = StreamMatrix(classes=names, metrics=['image_auroc'])
    for step in range(number):
        scalars = {f'image_auroc/{name}': 1.0 for name in names[: step + 1]}
        matrix.add_step(step=step, old=names[:step], new=[names[step]], scalars=scalars)
    lines = summary_text(matrix).splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 130
    header = next(line for line in lines if 'step 0' in line)
    assert f'step {number - 1} ' in header  # the first step and the last ones
    assert f'{number - MAX_STEPS} more steps are in matrix.json' in lines
    more = f'{number - MAX_CLASSES} more classes are in matrix.json'
    assert (more in lines) == (number > MAX_CLASSES)
