"""Finished streams of products as runs of a results file, whatever learned them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from lab.results import Run
from lab.stream_results import finished, run_of, seed_of
from mmdefect.models.anomaly.product_memory.bank import FIELDS, ProductBank
from mmdefect.streams.report.record import StreamRecord
from mmdefect.streams.state import inside
from mmdefect.utils.checkpoint import load_weights, state_dict_of
from mmdefect.utils.dumped_config import read_dumped_config

# Of the last step; the mean of the first ones leaves out products that are set apart.
JUDGED = ('image_auroc', 'pixel_auroc', 'aupro', 'miss')
MEASURES = (*JUDGED, 'routing', 'false_alarm')
# What a memory of normal patches adds to a checkpoint.
_KEPT = ('banks.', 'memory')


def product_runs(
    folders: Sequence[str | Path], *, command: str, apart: Sequence[str] = ()
) -> dict[str, Run]:
    """Read finished streams of one method: seed as text -> run.

    Metrics are ``<measure>`` and ``<measure>/<product>`` of the last step,
    ``forgetting`` (image AUROC when a product was learned minus that after the last
    step, mean of the old ones), ``mb_per_product`` and ``seconds_per_product``, and
    for a memory with alarms ``certified/<product>`` and ``within_certified``, the
    share of certified products that gave no more false alarms than they may.

    Args:
        folders: Work dirs.
        command: What produced them.
        apart: Products that stay out of the means of AUROCs, overlaps and misses.

    Raises:
        FileNotFoundError, ValueError: As of
            :func:`~lab.stream_results.collect`.
    """
    runs = {}
    for folder in folders:
        record = finished(folder)
        metrics = _measured(record, apart) | _kept(record)
        runs[str(seed_of(record))] = run_of(record, metrics, command)
    return runs


def _measured(record: StreamRecord, apart: Sequence[str]) -> dict[str, float]:
    matrix: Any = record.matrix
    scalars = matrix.steps[-1].scalars
    found: dict[str, float] = {}
    for measure in MEASURES:
        values = _of_products(scalars, measure, matrix.classes)
        found |= {f'{measure}/{name}': value for name, value in values.items()}
        left_out = apart if measure in JUDGED else ()
        counted = [value for name, value in values.items() if name not in left_out]
        if counted:
            found[measure] = statistics.fmean(counted)
    lost = [
        drop
        for step in matrix.steps[:-1]
        for name, first in _of_products(
            step.scalars, 'image_auroc', list(step.new)
        ).items()
        if not math.isnan(drop := first - found.get(f'image_auroc/{name}', math.nan))
    ]
    if lost:
        found['forgetting'] = statistics.fmean(lost)
    seconds = [step['duration_s'] for step in record.state['steps']]
    return {**found, 'seconds_per_product': sum(seconds) / len(matrix.classes)}


def _of_products(
    scalars: Mapping[str, float], measure: str, products: Sequence[str]
) -> dict[str, float]:
    """Values of ``<prefix>/<measure>/<product>`` that are defined."""
    found = {
        name: value
        for name in products
        for key, value in scalars.items()
        if f'/{key}'.endswith(f'/{measure}/{name}')
    }
    return {name: v for name, v in found.items() if v is not None and not math.isnan(v)}


def _kept(record: StreamRecord) -> dict[str, float]:
    """What the last checkpoint remembers, and whether its alarms hold."""
    last = record.state['steps'][-1]
    path = inside(record.work_dir, last['checkpoint'])
    state = state_dict_of(load_weights(path), path)
    classes = record.matrix.classes if record.matrix else []
    size = sum(value.nbytes for name, value in state.items() if name.startswith(_KEPT))
    if not size:
        return {}
    found = {'mb_per_product': size / 1e6 / len(classes)}
    if not any(name.startswith('banks.') for name in state):
        return found
    config = read_dumped_config(inside(record.work_dir, last['config']))
    wanted = {'rate': 0.05, 'confidence': 0.95, **config['model'].get('alarm', {})}
    alarms = _of_products(
        record.matrix.steps[-1].scalars if record.matrix else {}, 'false_alarm', classes
    )
    within = []
    for number, name in enumerate(classes):
        limit = _bank(state, f'banks.{number}.').limit(**wanted)
        certified = limit is not None and limit.certified
        found[f'certified/{name}'] = float(certified)
        if certified and name in alarms:
            within.append(alarms[name] <= wanted['rate'])
    if within:
        found['within_certified'] = statistics.fmean(within)
    return found


def _bank(state: Mapping[str, Tensor], prefix: str) -> ProductBank:
    bank = ProductBank()
    bank.fill({name: state[f'{prefix}{name}'] for name in FIELDS})
    return bank
