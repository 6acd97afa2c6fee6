"""Markdown tables rendered from results files, and the check that they agree."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.tables.benchmark_table import BENCHMARK, benchmark_lines
from lab.tables.classifier_table import classifier_lines, is_study
from lab.tables.coverage_table import coverage_lines, is_coverage
from lab.tables.inference_table import inference_lines, is_inference
from lab.tables.leakage_table import is_leakage, leakage_lines
from lab.tables.product_table import is_products, product_lines
from lab.tables.pruning_table import is_pruning, pruning_lines
from lab.tables.reliability_table import is_reliability, reliability_lines
from mmdefect.utils.checks import check_choice
from mmdefect.utils.files import write_text
from mmdefect.visualization.page import Table, markdown_table

# Label, metrics, and the preset whose metrics are meant.
LabelledRow = tuple[str, Mapping[str, float], str]
OPENING = re.compile(r'^<!-- results:\S+( rows:\S+)?( columns:\S+)? -->$', re.MULTILINE)
BLOCK = re.compile(
    r'^(?P<open><!-- results:(?P<name>\S+)(?: rows:(?P<rows>\S+))?'
    r'(?: columns:(?P<columns>\S+))? -->\n)(?P<body>.*?)'
    r'(?P<close>^<!-- /results -->)$',
    re.DOTALL | re.MULTILINE,
)
COLUMNS = ('teacher old', 'old', 'new', 'all')
AUROC = 'AUROC, %: images / pixels'
# What a block may choose from a file.
_CHOICE = ('rows', 'columns')
# Of detectors whose boxes are diagnosed: metric -> title, factor, decimals.
DIAGNOSED = {
    'new_own': ('new on own images', 100, 1),
    'foreign_false_alarms': ('false alarms of new on old kinds', 1, 0),
    'kept_mb': ('kept, MB', 1, 2),
    'seconds': ('minutes', 1 / 60, 0),
}
# Of an anomaly stream; image and pixel AUROC share a cell.
MEASURES = {
    'ACC': 'ACC (IUF)',
    'FM_iuf': 'FM (IUF)',
    'forgetting': 'forgetting (standard)',
    'base': 'base step',
    'last': 'last step',
}
PAPER = 'paper.json'
# Characters of a command below a table.
_LONGEST = 1000


def render_table(results: Mapping[str, Any], paper: Mapping[str, Any]) -> str:
    """Render one results file as a Markdown table, and a line of where it comes from.

    Metrics are fractions, each with an optional ``..._std``; ``paper`` is name of
    results -> row label -> flat metrics in the same form.
    """
    if is_inference(results['metrics']):
        lines = inference_lines(results['metrics'])
    elif results['name'].startswith(BENCHMARK):
        lines = benchmark_lines(results['metrics'])
    elif is_study(results['metrics']):
        lines = classifier_lines(results['metrics'])
    elif is_pruning(results['metrics']):
        lines = pruning_lines(results['metrics'])
    elif is_leakage(results['metrics']):
        lines = leakage_lines(results['metrics'])
    elif is_products(results['metrics']):
        lines = product_lines(results['metrics'])
    elif is_coverage(results['metrics']):
        lines = coverage_lines(results['metrics'])
    elif is_reliability(results['metrics']):
        lines = reliability_lines(results['metrics'])
    else:
        products = any(key.endswith('/ACC_image') for key in results['metrics'])
        lines = (_measure_lines if products else _preset_lines)(results, paper)
    return '\n'.join([*lines, '', _origin(results)]) + '\n'


def render_rows(
    results: Mapping[str, Any], rows: Sequence[str], columns: Sequence[str] = ()
) -> str:
    """Render some presets of a results file, and where the others are.

    Args:
        results: Content of a file of presets, boxes or products.
        rows: Names of presets, in the order of the table.
        columns: Of products: keys of :data:`MEASURES`; all by default.

    Raises:
        ValueError: If a preset or a measure is not in it.
    """
    known = results['metrics']
    metrics = {key: value for key, value in known.items() if key.startswith('teacher/')}
    for row in rows:
        taken = {
            key: value
            for key, value in known.items()
            if key.startswith(f'{row}/') and '_last/' not in key
        }
        if not taken:
            raise ValueError(
                f'rows={row}: expected a preset of {results["name"]}, '
                f'{", ".join(_presets(known))}; name one of them'
            )
        metrics |= taken
    few = {**results, 'metrics': metrics}
    if any(key.endswith('/ACC_image') for key in metrics):
        for key in columns:
            check_choice('columns', key, MEASURES)
        shown = {key: MEASURES[key] for key in columns or MEASURES}
        lines = _measure_table(_rows(few, {}), AUROC, shown)
    else:
        lines = _preset_lines(few, {})
    source = f'commands and runs: `docs/results/{results["name"]}.json`'
    return '\n'.join([*lines, '', f'{_where(few)}; {source}']) + '\n'


def _preset_lines(results: Mapping[str, Any], paper: Mapping[str, Any]) -> list[str]:
    rows = _rows(results, paper)
    cells = [_row(*row) for row in rows]
    columns: tuple[str, ...] = COLUMNS
    if any(key.endswith('/kept_mb') for key in results['metrics']):
        columns += tuple(title for title, *_ in DIAGNOSED.values())
        more = [_diagnosed(metrics, preset) for _, metrics, preset in rows]
        cells = [one + other for one, other in zip(cells, more, strict=True)]
    return _table('AP50, %', columns, cells)


def _measure_lines(results: Mapping[str, Any], paper: Mapping[str, Any]) -> list[str]:
    """AUROC of images / of pixels, a column a measure."""
    rows = _rows(results, paper)
    lines = _measure_table(rows, AUROC, MEASURES)
    products = dict.fromkeys(
        key.rpartition('/')[2]
        for key in results['metrics']
        if '/image_last/' in key and not key.endswith('_std')
    )
    if not products:
        return lines
    shown = {f'last/{product}': product for product in products}
    ours = [row for row in rows if f'{row[2]}/image_last/{min(products)}' in row[1]]
    return [*lines, '', *_measure_table(ours, 'the same, after the last step', shown)]


def _rows(results: Mapping[str, Any], paper: Mapping[str, Any]) -> list[LabelledRow]:
    """Label, metrics and preset of each row, those of the paper last."""
    metrics = results['metrics']
    return [
        *((_label(results, name), metrics, name) for name in _presets(metrics)),
        *(
            (f'{label} (printed in the paper)', published, '')
            for label, published in paper.get(results['name'], {}).items()
        ),
    ]


def _table(
    title: str, columns: Collection[str], rows: Sequence[Sequence[str]]
) -> list[str]:
    numbers = tuple(columns)
    return markdown_table(Table((title, *numbers), rows, numbers)).splitlines()


def _measure_table(
    rows: Sequence[LabelledRow], title: str, measures: Mapping[str, str]
) -> list[str]:
    cells = [_measure_row(*row, measures) for row in rows]
    return _table(title, measures.values(), cells)


def _measure_row(
    label: str, metrics: Mapping[str, float], preset: str, measures: Mapping[str, str]
) -> list[str]:
    cells = [label]
    for measure in measures:
        # `last_image` of all products, `image_last/bottle` of one.
        name, _, product = measure.partition('/')
        keys = [
            f'{what}_{name}/{product}' if product else f'{name}_{what}'
            for what in ('image', 'pixel')
        ]
        cells.append(
            ' / '.join(_cell(metrics, f'{preset}/{key}'.lstrip('/')) for key in keys)
        )
    return cells


def _presets(metrics: Mapping[str, float]) -> list[str]:
    names = (key.partition('/')[0] for key in metrics)
    return [name for name in dict.fromkeys(names) if name and name != 'teacher']


def _label(results: Mapping[str, Any], preset: str) -> str:
    expected = len(results['seeds'])
    found = len(results.get('runs', {}).get(preset, results['seeds']))
    share = f' ({found} of {expected} seeds)' if found < expected else ''
    return f'`{preset}`{share}'


def _row(label: str, metrics: Mapping[str, float], preset: str) -> list[str]:
    keys = ['teacher/old']
    keys += [f'{preset}/{group}'.lstrip('/') for group in ('old', 'new', 'all')]
    return [label, *(_cell(metrics, key) for key in keys)]


def _diagnosed(metrics: Mapping[str, float], preset: str) -> list[str]:
    return [
        _cell(metrics, f'{preset}/{name}', factor=factor, decimals=decimals)
        for name, (_, factor, decimals) in DIAGNOSED.items()
    ]


def _cell(
    metrics: Mapping[str, float], key: str, *, factor: float = 100, decimals: int = 1
) -> str:
    if key not in metrics:
        return '–'
    text = f'{factor * metrics[key]:.{decimals}f}'
    spread = metrics.get(f'{key}_std')
    return text if spread is None else f'{text} ± {factor * spread:.{decimals}f}'


def _origin(results: Mapping[str, Any]) -> str:
    return f'{_where(results)}: {_command(results)}'


def _where(results: Mapping[str, Any]) -> str:
    """Say what ran where; ± is explained when there is one."""
    seeds = ', '.join(str(seed) for seed in results['seeds'])
    explained = ' (mean ± sample standard deviation)' if _has_means(results) else ''
    return (
        f'{results["dataset"]}, {_commits(results["commit"])}, {results["date"]}, '
        f'{results["hardware"]}, seeds {seeds}{explained}'
    )


def _has_means(results: Mapping[str, Any]) -> bool:
    """Whether a number is a mean of seeds; a file may hold one run each of several."""
    runs = results.get('runs')
    several = len(results['seeds']) > 1
    return several and (not runs or any(len(seeds) > 1 for seeds in runs.values()))


def _command(results: Mapping[str, Any]) -> str:
    """As it was typed; where every run has its own, they are left in the file."""
    command = results['command']
    if len(command) <= _LONGEST:
        return f'`{command}`'
    return f'the command of each run stands in `docs/results/{results["name"]}.json`'


def _commits(joined: str) -> str:
    short = [f'`{commit[:10]}`' for commit in joined.split('; ')]
    return f'commit{"s" if len(short) > 1 else ""} {", ".join(short)}'


def render_text(text: str, results_dir: Path, *, source: str = 'text') -> str:
    """Fill every ``<!-- results:NAME -->`` block of a document.

    ``<!-- results:NAME rows:A,B -->`` shows two presets of them, in that order, and
    ``columns:forgetting,last`` behind it two measures.

    Args:
        text: The document.
        results_dir: Folder of the JSON files.
        source: What to call the document in errors.

    Raises:
        FileNotFoundError: If a block names a results file that does not exist.
        ValueError: If a block is not closed, or a results file lacks a field.
    """
    opened, closed = len(OPENING.findall(text)), len(BLOCK.findall(text))
    if opened != closed:
        raise ValueError(
            f"{source}: expected '<!-- /results -->' on a line of its own after each "
            f'of {opened} results blocks; it closes {closed}'
        )
    paper_path = results_dir / PAPER
    paper = (
        json.loads(paper_path.read_text(encoding='utf-8'))
        if paper_path.is_file()
        else {}
    )

    def fill(match: re.Match[str]) -> str:
        path = results_dir / f'{match["name"]}.json'
        if not path.is_file():
            raise FileNotFoundError(
                f'{source}: expected {path}, which a block shows; run the experiment '
                'or remove the block'
            )
        try:
            results = json.loads(path.read_text(encoding='utf-8'))
            if match['rows']:
                rows, columns = (match[k] and match[k].split(',') for k in _CHOICE)
                table = render_rows(results, rows, columns or ())
            else:
                table = render_table(results, paper)
        except KeyError as error:
            raise ValueError(
                f'{path}: expected {error} as write_results writes it; write it again '
                'with the script'
            ) from error
        return f'{match["open"]}\n{table}\n{match["close"]}'

    return BLOCK.sub(fill, text)


def documents(root: Path) -> Iterator[Path]:
    """Yield README.md and every Markdown file below docs."""
    if (root / 'README.md').is_file():
        yield root / 'README.md'
    yield from sorted((root / 'docs').rglob('*.md'))


def render_documents(root: str | Path, *, check: bool = False) -> list[Path]:
    """Fill the results blocks of all documents of a repository.

    Raises:
        FileNotFoundError: If a block names a results file that does not exist.
        ValueError: If a block is not closed, or a results file lacks a field.
    """
    root = Path(root)
    changed = []
    for path in documents(root):
        text = path.read_text(encoding='utf-8')
        source = path.relative_to(root).as_posix()
        rendered = render_text(text, root / 'docs' / 'results', source=source)
        if rendered != text:
            changed.append(path)
            if not check:
                write_text(path, rendered)
    return changed
