"""Streams of products as two tables: what is measured, then images by product."""

from __future__ import annotations

from collections.abc import Mapping

from mmdefect.visualization.page import Table, markdown_table

# Fractions, shown in percent.
SHARES = {
    'image_auroc': 'images',
    'pixel_auroc': 'pixels',
    'aupro': 'AUPRO',
    'forgetting': 'forgetting',
    'routing': 'routing',
    'false_alarm': 'false alarms',
    'miss': 'misses',
}
COSTS = {'mb_per_product': 'MB', 'seconds_per_product': 's'}
_MARK = '/seconds_per_product'


def is_products(metrics: Mapping[str, float]) -> bool:
    """Tell whether a results file holds ``<encoder>/<method>/seconds_per_product``."""
    return any(name.endswith(_MARK) for name in metrics)


def product_lines(metrics: Mapping[str, float]) -> list[str]:
    """Return the lines of two Markdown tables."""
    streams = [name.removesuffix(_MARK) for name in metrics if name.endswith(_MARK)]
    products = dict.fromkeys(
        name.rpartition('/')[2] for name in metrics if '/image_auroc/' in name
    )
    numbers = (*SHARES.values(), *COSTS.values())
    rows = [
        (
            f'`{stream}`',
            *(_percent(metrics, f'{stream}/{name}') for name in SHARES),
            *(_plain(metrics, f'{stream}/{name}') for name in COSTS),
        )
        for stream in streams
    ]
    by_product = [
        (
            f'`{stream}`',
            *(_percent(metrics, f'{stream}/image_auroc/{name}') for name in products),
        )
        for stream in streams
    ]
    tables = (
        Table(('encoder/method, %', *numbers), rows, numbers),
        Table(('image AUROC, %', *products), by_product, tuple(products)),
    )
    return '\n\n'.join(map(markdown_table, tables)).splitlines()


def _percent(metrics: Mapping[str, float], key: str) -> str:
    return _cell(metrics, key, 100, '.1f')


def _plain(metrics: Mapping[str, float], key: str) -> str:
    form = '.3g' if metrics.get(key, 0) < 1000 else ',.0f'
    return _cell(metrics, key, 1, form)


def _cell(metrics: Mapping[str, float], key: str, factor: float, form: str) -> str:
    if key not in metrics:
        return '–'
    text = format(factor * metrics[key], form)
    spread = metrics.get(f'{key}_std')
    return text if spread is None else f'{text} ± {format(factor * spread, form)}'
