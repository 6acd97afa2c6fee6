"""``mmdefect list``: what comes with mmdefect, and what was measured."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from typing import Any

from mmdefect.cli import catalogue

HELP = """List methods, data sets, presets and measured results.

A preset is a config: configs/METHOD/PRESET.py of a checkout, and the base of one's own
config anywhere by _base_ = 'mmdefect::METHOD/PRESET.py'."""

KINDS = ('methods', 'datasets', 'presets', 'results')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        'kind',
        nargs='?',
        choices=KINDS,
        metavar='KIND',
        help=f'one of {", ".join(KINDS)}; by default all but the presets',
    )
    parser.add_argument('--json', action='store_true', help='print JSON, of all')


def run(args: argparse.Namespace) -> int:
    """Print what was asked for."""
    root = catalogue.root_of()
    kinds = [args.kind] if args.kind else [*KINDS]
    found = {kind: getattr(catalogue, kind)(root) for kind in kinds}
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    if args.kind is None:
        found.pop('presets')
    sections = ('\n'.join(_SECTIONS[kind](what)) for kind, what in found.items())
    print('\n\n'.join(sections))
    return 0


def _methods(found: list[dict[str, Any]]) -> Iterator[str]:
    yield 'methods (mmdefect list presets names their configs)'
    width = max(len(one['name']) for one in found)
    for one in found:
        yield f'  {one["name"]:{width}}  {one["title"]}, {one["presets"]} presets'
        if one['use']:
            yield f'  {"":{width}}  use it {one["use"]}'


def _datasets(found: list[dict[str, Any]]) -> Iterator[str]:
    yield 'data sets (data/README.md says where they come from)'
    width = max(len(one['folder']) for one in found)
    for one in found:
        yield f'  {one["folder"]:{width}}  {one["about"]}'


def _presets(found: dict[str, list[str]]) -> Iterator[str]:
    for method, names in found.items():
        yield f'{method}:'
        yield from (f'  {method}/{name}.py' for name in names)


def _results(found: list[dict[str, Any]]) -> Iterator[str]:
    yield 'measured results'
    if not found:
        yield '  none here; they are in the checkout, docs/results'
    for one in found:
        made = ', '.join(filter(None, [one['date'], (one['commit'] or '')[:10]]))
        yield f'  {one["name"]}: {one["dataset"]}{made and f" ({made})"}'
        width = max(map(len, one['rows']))
        for row, measures in one['rows'].items():
            yield f'    {row:{width}}  {", ".join(map(_told, measures.items()))}'


def _told(item: tuple[str, float]) -> str:
    measure, value = item
    share = measure in catalogue.SHARES
    # Plus zero: what is rounded to it has no sign.
    return f'{measure} {f"{round(100 * value, 1) + 0.0} %" if share else f"{value:g}"}'


_SECTIONS: dict[str, Callable[[Any], Iterator[str]]] = {
    'methods': _methods,
    'datasets': _datasets,
    'presets': _presets,
    'results': _results,
}
