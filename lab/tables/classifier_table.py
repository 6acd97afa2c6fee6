"""Classifiers as a table: errors of each kind, what was trained, what it costs."""

from __future__ import annotations

from collections.abc import Mapping

from mmdefect.visualization.page import Table, markdown_table

HEAD = (
    'errors',
    'accuracy, % (95 % interval)',
    'misses',
    'false alarms',
    'AUROC, %',
    'trained / all parameters',
    'epochs',
    's an epoch',
    'ms an image',
)


def is_study(metrics: Mapping[str, float]) -> bool:
    """Tell whether a results file is one of ``<model>/<recipe>/<split>/errors``."""
    return any(name.endswith('/errors') for name in metrics)


def classifier_lines(metrics: Mapping[str, float]) -> list[str]:
    """Return a Markdown table, a row a classifier, the splits one after the other."""
    names = [name.rpartition('/')[0] for name in metrics if name.endswith('/errors')]
    names.sort(key=lambda name: name.rpartition('/')[2])  # stable
    rows = [_row(name, metrics) for name in names]
    return markdown_table(
        Table(('split', 'classifier', *HEAD), rows, HEAD)
    ).splitlines()


def _row(name: str, metrics: Mapping[str, float]) -> list[str]:
    model, recipe, split = name.split('/')
    given = {
        key.rpartition('/')[2]: value
        for key, value in metrics.items()
        if key.rpartition('/')[0] == name
    }
    wrong, images = given['errors'], given['images']
    label = model if recipe == 'default' else f'{model}, {recipe}'
    low, high = 100 * given['accuracy_low'], 100 * given['accuracy_high']
    return [
        split,
        f'`{label}`',
        f'{wrong} of {images}',
        f'{100 * (1 - wrong / images):.2f} ({low:.1f}–{high:.1f})',
        f'{given["miss"]}',
        f'{given["false_alarm"]}',
        f'{100 * given["auroc"]:.2f}' if 'auroc' in given else '–',
        f'{given["trainable"]:,} / {given["parameters"]:,}',
        f'{given["epochs"]}',
        f'{given["seconds_per_epoch"]:.0f}',
        f'{given["latency_ms_p50"]:.1f}',
    ]
