"""Inference by several engines as tables: times, peak memory, and all other numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial

from lab.tables.benchmark_table import benchmark_lines
from mmdefect.visualization.page import Table, markdown_table

ENGINES = {
    'eager': 'torch eager',
    'compiled': 'torch.compile',
    'ort': 'ONNX Runtime',
    'openvino': 'OpenVINO',
}
_PARTS = ('p50_ms', 'p95_ms', 'peak_bytes')
_NAME = re.compile(
    rf'(?P<model>.+)_b(?P<batch>\d+)_(?P<engine>{"|".join(ENGINES)})'
    rf'(_({"|".join(_PARTS)})|/eager(_q25|_q75)?)'
)
Metrics = Mapping[str, float]
Cell = Callable[[Metrics, str], str]


def is_inference(metrics: Metrics) -> bool:
    """Whether a results file is one of inference by several engines."""
    return any(_NAME.fullmatch(name) for name in metrics)


def inference_lines(metrics: Metrics) -> list[str]:
    """Return Markdown tables: times of engines, their memory, and what is left."""
    rest = {name: one for name, one in metrics.items() if not _NAME.fullmatch(name)}
    return [
        *_engines('ms a batch: median / p95 (of eager)', metrics, _times),
        '',
        *_engines('peak memory of a process, MB', metrics, _memory),
        *(['', *benchmark_lines(rest)] if rest else []),
    ]


def _engines(title: str, metrics: Metrics, cell: Cell) -> list[str]:
    numbers = ('batch', *ENGINES.values())
    found = [match for name in metrics if (match := _NAME.fullmatch(name))]
    rows = [
        [f'`{model}`', batch, *map(partial(cell, metrics), _keys(model, batch))]
        for model, batch in dict.fromkeys(one.group('model', 'batch') for one in found)
    ]
    return markdown_table(Table((title, *numbers), rows, numbers)).splitlines()


def _keys(model: str, batch: str) -> list[str]:
    return [f'{model}_b{batch}_{engine}' for engine in ENGINES]


def _times(metrics: Metrics, key: str) -> str:
    if f'{key}_p50_ms' not in metrics:
        return '–'
    median, high = (metrics[f'{key}_{part}_ms'] for part in ('p50', 'p95'))
    ratio = metrics.get(f'{key}/eager')
    share = '' if ratio is None else f' ({ratio:.2f})'
    return f'{median:.1f} / {high:.1f}{share}'


def _memory(metrics: Metrics, key: str) -> str:
    peak = metrics.get(f'{key}_peak_bytes')
    return '–' if peak is None else f'{peak / 1e6:.0f}'
