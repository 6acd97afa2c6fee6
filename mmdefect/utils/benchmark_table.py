"""Benchmarks as a table: ratio, what it was made of, and what is aimed at."""

from __future__ import annotations

from collections.abc import Mapping

# A results file whose name begins so holds ratios `ours/other`, not accuracies.
BENCHMARK = 'bench_'

# What each ratio should not exceed. A teacher that shares nothing with the student adds
# its whole forward pass, a third of a training iteration, and inference adds nothing.
TARGETS = {
    'sd_idd_iter/gfl_iter': 1.40,
    'student_infer/gfl_infer': 1.03,
    'student_ckpt/gfl_ckpt': 1.01,
}
_PARTS = ('_q25', '_q75', '_ms', '_bytes')
_HEAD = ('ratio', 'measured', 'quartiles', 'ours, other', 'target')


def benchmark_lines(metrics: Mapping[str, float]) -> list[str]:
    """Return a Markdown table, a row per ratio.

    Args:
        metrics: ``ours/other``, its ``_q25`` and ``_q75`` if it was repeated, and
            ``_ours_ms`` and ``_other_ms``, or ``_bytes`` in their place.
    """
    rows = [_row(name, metrics) for name in ratios(metrics)]
    rule = ['---'] + ['---:'] * (len(_HEAD) - 1)
    return [f'| {" | ".join(cells)} |' for cells in (_HEAD, rule, *rows)]


def ratios(metrics: Mapping[str, float]) -> list[str]:
    """Return the names of the ratios among the metrics."""
    return [name for name in metrics if not name.endswith(_PARTS)]


def missed(metrics: Mapping[str, float]) -> list[str]:
    """Return the names of the ratios above their target."""
    return [name for name in ratios(metrics) if metrics[name] > _target(name)]


def _target(name: str) -> float:
    return TARGETS.get(name, float('inf'))


def _row(name: str, metrics: Mapping[str, float]) -> list[str]:
    value = metrics[name]
    spread, target = '–', '–'
    if f'{name}_q25' in metrics:
        spread = f'{metrics[f"{name}_q25"]:.3f} to {metrics[f"{name}_q75"]:.3f}'
    if name in TARGETS:
        verdict = 'missed' if value > TARGETS[name] else 'met'
        target = f'≤ {TARGETS[name]:.2f}, {verdict}'
    sides = ', '.join(_side(f'{name}_{side}', metrics) for side in ('ours', 'other'))
    return [f'`{name}`', f'{value:.3f}', spread, sides, target]


def _side(side: str, metrics: Mapping[str, float]) -> str:
    if f'{side}_bytes' in metrics:
        return f'{metrics[f"{side}_bytes"] / 1e6:.2f} MB'
    taken = metrics[f'{side}_ms']
    return f'{taken:.0f} ms' if taken >= 100 else f'{taken:.3g} ms'
