"""Benchmarks as a table: number, what it was made of, and what is aimed at."""

from __future__ import annotations

from collections.abc import Mapping

from mmdefect.visualization.page import Table, markdown_table

# A results file whose name begins so holds costs and speeds, not accuracies.
BENCHMARK = 'bench_'

# What a number should not exceed. A teacher that shares nothing with the student adds
# its whole forward pass, a third of a training iteration, and inference adds nothing.
TARGETS = {
    'sd_idd_iter/gfl_iter': 1.40,
    'keep_iter/gfl_iter': 1.40,
    'student_infer/gfl_infer': 1.03,
    'student_ckpt/gfl_ckpt': 1.01,
    'startup/mmdet_startup': 1.1,
    'dataset_build/cocodataset': 1.1,
    'grouped_metric/faster_coco_eval': 1.3,
    'cooccurrence_118k_s': 10.0,
    'dataset_118k_peak_gb': 1.5,
    'compat_saved_gib_per_image': 0.8,
    'compat_max_difference': 1e-5,
    'auroc_exact_difference': 1e-9,
    'auroc_streaming_difference': 1e-9,
    'aupro_difference': 1e-3,
    'statistics_mb_per_step': 5.0,
    'statistics_mb_after_two_steps': 5.0,
    'legacy_sweep_minutes': 15.0,
    # The better of ONNX Runtime and OpenVINO.
    'gfl_b1_best/eager': 0.8,
    'coreset_b1_best/eager': 0.8,
    'iuf_b1_best/eager': 0.8,
    'inferencer_torch/predict': 1.1,
    'inferencer_torch/network': 1.1,
    'inferencer_ort/network': 1.1,
    'folder_peak/peak_of_a_tenth': 1.05,
    'casting_int8_lost_points': 0.5,
    'gfl_int8_lost_points': 0.5,
    'add_product_seconds': 60.0,
    'search_share_of_forward': 0.15,
    'cost_100/cost_10_products': 1.05,
    'mb_per_product': 2.0,
    'row_p95_milliseconds': 2.0,
    'status_seconds': 2.0,
    'since_when_seconds': 5.0,
    'promote_decodes_per_image': 1.0,
}
# What a number should at least be.
LEAST = {
    'train_default_cached/compat': 20.0,
    'auroc_exact_speedup': 5.0,
    'auroc_streaming_speedup': 5.0,
    'aupro_speedup': 50.0,
    'casting_int8_gain': 1.1,
    'gfl_int8_gain': 1.1,
    'greedy_speedup': 5.0,
}
_PARTS = ('_q25', '_q75', '_ms', '_bytes')
_HEAD = ('measured', 'quartiles', 'ours, other', 'target')


def benchmark_lines(metrics: Mapping[str, float]) -> list[str]:
    """Return a Markdown table, a row per number that stands for itself."""
    names = ratios(metrics)
    first = 'ratio' if all(_sides(name, metrics) for name in names) else 'number'
    rows = [_row(name, metrics) for name in names]
    return markdown_table(Table((first, *_HEAD), rows, _HEAD)).splitlines()


def ratios(metrics: Mapping[str, float]) -> list[str]:
    """Return the names of the numbers that others belong to."""
    return [name for name in metrics if not name.endswith(_PARTS)]


def missed(metrics: Mapping[str, float]) -> list[str]:
    """Return the names of the numbers on the wrong side of their target."""
    return [name for name in ratios(metrics) if not _met(name, metrics[name])]


def _met(name: str, value: float) -> bool:
    return LEAST.get(name, value) <= value <= TARGETS.get(name, value)


def _row(name: str, metrics: Mapping[str, float]) -> list[str]:
    value = metrics[name]
    spread = '–'
    if f'{name}_q25' in metrics:
        low, high = (metrics[f'{name}_{part}'] for part in ('q25', 'q75'))
        spread = f'{_number(low)} to {_number(high)}'
    sides = _sides(name, metrics) or '–'
    return [f'`{name}`', _number(value), spread, sides, _target(name, value)]


def _target(name: str, value: float) -> str:
    verdict = 'met' if _met(name, value) else 'missed'
    for sign, targets in (('≤', TARGETS), ('≥', LEAST)):
        if name in targets:
            return f'{sign} {_number(targets[name], digits=2)}, {verdict}'
    return '–'


def _number(value: float, digits: int = 3) -> str:
    small = 0 < abs(value) < 0.01
    return f'{value:.1e}' if small else f'{value:.{digits}f}'


def _sides(name: str, metrics: Mapping[str, float]) -> str:
    """What a ratio was made of; empty for what is no ratio."""
    sides = [_side(f'{name}_{side}', metrics) for side in ('ours', 'other')]
    return ', '.join(sides) if all(sides) else ''


def _side(side: str, metrics: Mapping[str, float]) -> str:
    if f'{side}_bytes' in metrics:
        return f'{metrics[f"{side}_bytes"] / 1e6:.2f} MB'
    if f'{side}_ms' not in metrics:
        return ''
    taken = metrics[f'{side}_ms']
    return f'{taken:.0f} ms' if taken >= 100 else f'{taken:.3g} ms'
