"""Pruned networks as a table: how good on each test set, how large, how fast."""

from __future__ import annotations

from collections.abc import Mapping

from mmdefect.visualization.page import Table, markdown_table

MEAN = 'balanced_accuracy_mean'
_COSTS = ('parameters', 'of the parent', 'ms an image', 'times as fast', 'seeds')


def is_pruning(metrics: Mapping[str, float]) -> bool:
    """Tell whether a file has ``<parent>/<variant>/balanced_accuracy_mean``."""
    return any(name.endswith(f'/{MEAN}') for name in metrics)


def pruning_lines(metrics: Mapping[str, float]) -> list[str]:
    """Return a Markdown table, a row a variant, the parents one after the other."""
    variants: dict[str, dict[str, float]] = {}
    for name, value in metrics.items():
        variant, _, key = name.rpartition('/')
        variants.setdefault(variant, {})[key] = value
    names = sorted(variants, key=lambda name: name.partition('/')[0])  # stable
    # '' is the test set of the same data as the training images.
    sets = dict.fromkeys(
        key.removesuffix(MEAN)
        for given in variants.values()
        for key in given
        if key.endswith(MEAN)
    )
    numbers = (*(f'{start.rstrip("_") or "test"}, %' for start in sets), *_COSTS)
    rows = [_row(name, variants[name], list(sets)) for name in names]
    return markdown_table(
        Table(('parent', 'variant', *numbers), rows, numbers)
    ).splitlines()


def _row(name: str, given: Mapping[str, float], sets: list[str]) -> list[str]:
    parent, _, variant = name.partition('/')
    return [
        parent,
        f'`{variant}`',
        *(_accuracy(given, start) for start in sets),
        f'{given["params"]:,.0f}',
        f'{100 * given["params_share"]:.1f} %',
        f'{given["latency_ms_p50"]:.1f}',
        f'{given["latency_speedup"]:.1f}',
        f'{given["seeds"]}',
    ]


def _accuracy(given: Mapping[str, float], start: str) -> str:
    mean = given.get(f'{start}{MEAN}')
    if mean is None:
        return 'not run'
    spread = given.get(f'{start}balanced_accuracy_std')
    return f'{100 * mean:.1f}' + (
        f' ± {100 * spread:.1f}' if spread is not None else ''
    )
