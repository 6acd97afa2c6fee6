"""Tables rendered from results files."""

from __future__ import annotations

import json

import pytest

from lab.tables.results_table import render_documents, render_text

RESULTS = {
    'name': 'toy',
    'command': 'make demo',
    'commit': '0123456789abcdef',
    'date': '2026-01-02',
    'duration_s': 60.0,
    'hardware': 'A CPU, 2 cores',
    'software': 'torch 2',
    'dataset': 'NEU-DET',
    'seeds': [0, 1, 2],
    'metrics': {
        'teacher/old': 0.7104,
        'teacher/old_std': 0.0123,
        'finetune/old': 0.0312,
        'finetune/old_std': 0.002,
        'finetune/new': 0.7,
        'finetune/all': 0.3656,
        'joint/old': 0.7,
    },
    'notes': '',
}
PAPER = {'toy': {'SD-IDD': {'old': 0.582, 'new': 0.69, 'all': 0.636}}}
TABLE = """\
| AP50, % | teacher old | old | new | all |
| --- | ---: | ---: | ---: | ---: |
| `finetune` | 71.0 ± 1.2 | 3.1 ± 0.2 | 70.0 | 36.6 |
| `joint` | 71.0 ± 1.2 | 70.0 | – | – |
| SD-IDD (printed in the paper) | – | 58.2 | 69.0 | 63.6 |

NEU-DET, commit `0123456789`, 2026-01-02, A CPU, 2 cores, seeds 0, 1, 2 \
(mean ± sample standard deviation): `make demo`
"""
EMPTY = '# T\n\n<!-- results:toy -->\n<!-- /results -->\n\nend\n'


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / 'docs' / 'results'
    folder.mkdir(parents=True)
    (folder / 'toy.json').write_text(json.dumps(RESULTS), encoding='utf-8')
    (folder / 'paper.json').write_text(json.dumps(PAPER), encoding='utf-8')
    (tmp_path / 'README.md').write_text(EMPTY, encoding='utf-8')
    (tmp_path / 'docs' / 'deep').mkdir()
    (tmp_path / 'docs' / 'deep' / 'page.md').write_text(
        'No table, `<!-- results:x -->`.', encoding='utf-8'
    )
    return tmp_path


def test_smoke(root) -> None:
    assert render_documents(root) == [root / 'README.md']
    text = (root / 'README.md').read_text(encoding='utf-8')
    assert text == (
        f'# T\n\n<!-- results:toy -->\n\n{TABLE}\n<!-- /results -->\n\nend\n'
    )
    assert render_documents(root) == []


def test_feature_check_writes_nothing_and_notices_changes(root) -> None:
    assert render_documents(root, check=True) == [root / 'README.md']
    assert (root / 'README.md').read_text(encoding='utf-8') == EMPTY
    render_documents(root)
    assert render_documents(root, check=True) == []
    changed = {**RESULTS, 'metrics': RESULTS['metrics'] | {'joint/old': 0.71}}
    (root / 'docs' / 'results' / 'toy.json').write_text(
        json.dumps(changed), encoding='utf-8'
    )
    assert render_documents(root, check=True) == [root / 'README.md']


def test_feature_gpu_and_one_seed(root) -> None:
    changed = {**RESULTS, 'seeds': [0], 'hardware': 'H200'}
    (root / 'docs' / 'results' / 'toy.json').write_text(
        json.dumps(changed), encoding='utf-8'
    )
    text = render_text(EMPTY, root / 'docs' / 'results')
    assert 'H200, seeds 0: `make demo`' in text


def test_feature_runs_of_several_commits_and_missing_seeds(root) -> None:
    changed = {
        **RESULTS,
        'commit': '0123456789abcdef; fedcba9876543210',
        'runs': {'finetune': {'0': {}, '1': {}, '2': {}}, 'joint': {'1': {}}},
    }
    (root / 'docs' / 'results' / 'toy.json').write_text(
        json.dumps(changed), encoding='utf-8'
    )
    text = render_text(EMPTY, root / 'docs' / 'results')
    expected = TABLE.replace('`joint`', '`joint` (1 of 3 seeds)').replace(
        'commit `0123456789`', 'commits `0123456789`, `fedcba9876`'
    )
    assert expected in text


def test_feature_diagnosed_boxes(root) -> None:
    """Counts, megabytes and minutes beside the percentages; gaps where unknown."""
    found = {'new_own': 0.704, 'foreign_false_alarms': 3.0, 'kept_mb': 0.4412}
    kept = {f'keep/{key}': value for key, value in (found | {'seconds': 2008}).items()}
    content = {**RESULTS, 'metrics': RESULTS['metrics'] | kept}
    (root / 'docs/results/toy.json').write_text(json.dumps(content), encoding='utf-8')
    rows = render_text(EMPTY, root / 'docs/results').splitlines()
    (row,) = (row for row in rows if row.startswith('| `keep`'))
    assert row.endswith('| 70.4 | 3 | 0.44 | 33 |')
    (row,) = (row for row in rows if row.startswith('| `joint`'))
    assert row.endswith('| – | – | – | – |')


def test_feature_two_blocks_of_one_name(root) -> None:
    text = render_text(EMPTY + EMPTY, root / 'docs' / 'results')
    assert text.count('| `finetune` |') == 2


def test_exception_documents(root) -> None:
    (root / 'README.md').write_text(EMPTY.replace('toy', 'rust'), encoding='utf-8')
    with pytest.raises(FileNotFoundError, match=r'README\.md: expected .*rust\.json'):
        render_documents(root)
    (root / 'README.md').write_text('<!-- results:toy -->\n' + EMPTY, encoding='utf-8')
    with pytest.raises(ValueError, match='of 2 results blocks; it closes 1'):
        render_documents(root)


def test_exception_not_a_results_file(root) -> None:
    (root / 'docs' / 'results' / 'toy.json').write_text(
        '{"name": "toy"}', encoding='utf-8'
    )
    with pytest.raises(ValueError, match=r"toy\.json: expected 'metrics'"):
        render_documents(root)


def test_feature_measures_of_products(root) -> None:
    """Image and pixel values share a cell; products have a table of their own."""
    metrics = {
        'iuf/ACC_image': 0.9,
        'iuf/ACC_image_std': 0.01,
        'iuf/ACC_pixel': 0.8,
        'iuf/FM_iuf_image': -0.012,
        'iuf/base_image': 0.95,
        'iuf/last_image': 0.85,
        'iuf/last_pixel': 0.75,
        'iuf/image_last/bottle': 0.9,
        'iuf/image_last/bottle_std': 0.02,  # no product
        'iuf/image_last/casting': 0.6,
        'iuf/pixel_last/bottle': 0.7,
    }
    results = {**RESULTS, 'seeds': [0], 'metrics': metrics}
    (root / 'docs/results/toy.json').write_text(json.dumps(results), encoding='utf-8')
    (root / 'docs/results/paper.json').write_text('{}', encoding='utf-8')
    table = render_text(EMPTY, root / 'docs/results').splitlines()[4:11]
    assert table == [
        '| AUROC, %: images / pixels | ACC (IUF) | FM (IUF) | forgetting (standard) '
        '| base step | last step |',
        '| --- | ---: | ---: | ---: | ---: | ---: |',
        '| `iuf` | 90.0 ± 1.0 / 80.0 | -1.2 / – | – / – | 95.0 / – | 85.0 / 75.0 |',
        '',
        '| the same, after the last step | bottle | casting |',
        '| --- | ---: | ---: |',
        '| `iuf` | 90.0 ± 2.0 / 70.0 | 60.0 / – |',
    ]
    few = EMPTY.replace('toy -->', 'toy rows:iuf columns:last,ACC -->')
    table = render_text(few, root / 'docs/results').splitlines()[4:7]
    assert table == [
        '| AUROC, %: images / pixels | last step | ACC (IUF) |',
        '| --- | ---: | ---: |',
        '| `iuf` | 85.0 / 75.0 | 90.0 ± 1.0 / 80.0 |',
    ]
    with pytest.raises(ValueError, match=r'columns=.best.: expected one of ACC'):
        render_text(few.replace('last,ACC', 'best'), root / 'docs/results')
