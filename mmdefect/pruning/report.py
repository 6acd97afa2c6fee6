"""Table, plots and page of a pruning sweep."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from mmdefect.functional.decision import pareto_front
from mmdefect.pruning.channels.plan import read_plan
from mmdefect.pruning.sweep.candidates import PLAN, SUMMARY
from mmdefect.pruning.sweep.decide import decision_scores
from mmdefect.pruning.sweep.measure import Sweep
from mmdefect.pruning.sweep.outcome import Outcome
from mmdefect.pruning.sweep.run import PruneRun
from mmdefect.pruning.sweep.workdir import recipe, worked
from mmdefect.utils.files import in_one_piece, write_json
from mmdefect.visualization.page import (
    Page,
    Picture,
    Section,
    Table,
    footer_text,
    in_words,
    write_page,
)
from mmdefect.visualization.plots import curves, save_figure, trade_off

ORIGIN = ('seed', 'commit', 'hardware', 'command')
# A sweep of a hundred networks is a curve, not a table.
_ROWS = 20


def write_sweep(run: PruneRun, sweep: Sweep, *, command: str) -> Path:
    """Write ``sweep.csv``, ``summary.json`` and the plots; return ``index.html``.

    ``command`` made the networks, if the work dir does not know what made all of them.
    """
    folder = run.work_dir
    scores = decision_scores(sweep.outcomes, run.settings.decide)
    _write_csv(sweep, scores, folder)
    state = worked(folder)
    # One stage alone does not make the networks.
    command = state.get('command', command)
    summary = _summary(run, sweep, state, command)
    write_json(folder / SUMMARY, summary)
    page = Page(
        name='Pruning sweep',
        headline=headline(sweep),
        lead=f'Chosen by {in_words(run.settings.decide.rule)} on the validation '
        f'images; {len(sweep.outcomes)} networks, filters scored by '
        f'{run.settings.scorer["type"]}.',
        sections=[
            Section(
                title='Networks',
                text='Balanced accuracy; test sets were not looked at to choose. A '
                'parent is the whole network with the head it was trained with.',
                table=sweep_table(sweep),
                pictures=_plots(run, sweep, scores),
            )
        ],
        footer=Table(ORIGIN, [tuple(str(summary[name]) for name in ORIGIN)]),
        footer_text=footer_text('result.json of every network in the work dir'),
    )
    return write_page(page, folder, markdown='sweep.md')


def _summary(
    run: PruneRun, sweep: Sweep, state: Mapping[str, Any], command: str
) -> dict[str, Any]:
    """Return what ``summary.json`` holds: the networks, and where they came from."""
    return {
        'chosen': sweep.outcomes[sweep.chosen].name,
        'rule': run.settings.decide.rule,
        'scorer': dict(run.settings.scorer),
        'recipe': recipe(run.cfg),
        'load_from': run.cfg.get('load_from'),
        'seed': run.seed,
        'command': command,
        'duration_s': state['seconds'],
        **state['environment'],
        'outcomes': [asdict(outcome) for outcome in sweep.outcomes],
        'parent': None if sweep.parent is None else asdict(sweep.parent),
    }


def headline(sweep: Sweep) -> str:
    """Tell what the chosen network costs and says, beside the whole one."""
    whole, small = sweep.outcomes[0], sweep.outcomes[sweep.chosen]
    share = small.cost.parameters / whole.cost.parameters
    faster = whole.cost.latency_ms_p50 / small.cost.latency_ms_p50
    parts = [
        f'{name} {100 * small.test[name].balanced_accuracy:.1f} % balanced accuracy '
        f'(whole network {100 * quality.balanced_accuracy:.1f} %)'
        for name, quality in whole.test.items()
    ]
    return (
        f'{small.name}: {100 * share:.1f} % of the parameters, {faster:.1f} times as '
        f'fast; {", ".join(parts)}.'
    )


def sweep_table(sweep: Sweep) -> Table:
    """Tabulate all networks, or about twenty, with the first, last and chosen."""
    outcomes = sweep.outcomes
    step = max(1, len(outcomes) // _ROWS)
    shown = sorted({*range(0, len(outcomes), step), len(outcomes) - 1, sweep.chosen})
    tests = list(outcomes[0].test)
    header = (
        'network',
        'parameters',
        'MACs, million',
        'ms an image, p50 / p95',
        'val, %',
        *(f'{name}, %' for name in tests),
    )
    rows = [_cells(outcomes[index], tests, index == sweep.chosen) for index in shown]
    if sweep.parent is not None:
        rows.insert(0, _cells(sweep.parent, tests, chosen=False))
    return Table(header, rows, header[1:])


def _cells(outcome: Outcome, tests: Sequence[str], chosen: bool) -> list[str]:
    cost = outcome.cost
    return [
        f'{outcome.name} (chosen)' if chosen else outcome.name,
        f'{cost.parameters:,}',
        f'{cost.macs / 1e6:.1f}',
        f'{cost.latency_ms_p50:.2f} / {cost.latency_ms_p95:.2f}',
        f'{100 * outcome.val.balanced_accuracy:.1f}',
        *(f'{100 * outcome.test[name].balanced_accuracy:.1f}' for name in tests),
    ]


def _write_csv(sweep: Sweep, scores: Sequence[float], folder: Path) -> None:
    tests = list(sweep.outcomes[0].test)
    columns = [
        'network', 'size', 'chosen', 'on_front', 'decision_score', 'parameters',
        'backbone_parameters', 'macs', 'latency_ms_p50', 'latency_ms_p95',
        *(f'{name}_{number}' for name in ('val', *tests) for number in _NUMBERS),
    ]  # fmt: skip
    front = pareto_front(
        [one.cost.parameters for one in sweep.outcomes],
        [one.val.accuracy for one in sweep.outcomes],
    )
    with (
        in_one_piece(folder / 'sweep.csv') as draft,
        draft.open('w', newline='', encoding='utf-8') as file,
    ):
        writer = csv.writer(file)
        writer.writerow(columns)
        for index, outcome in enumerate(sweep.outcomes):
            cost = outcome.cost
            sets = [outcome.val, *(outcome.test[name] for name in tests)]
            writer.writerow(
                [
                    outcome.name,
                    '' if outcome.size is None else outcome.size,
                    int(index == sweep.chosen),
                    int(index in front),
                    scores[index] if scores else '',
                    cost.parameters,
                    outcome.backbone_parameters,
                    cost.macs,
                    cost.latency_ms_p50,
                    cost.latency_ms_p95,
                    *(getattr(one, number) for one in sets for number in _NUMBERS),
                ]
            )


_NUMBERS = ('images', 'accuracy', 'balanced_accuracy', 'f1', 'misses', 'false_alarms')


def _plots(run: PruneRun, sweep: Sweep, scores: Sequence[float]) -> list[Picture]:
    folder, outcomes = run.work_dir, sweep.outcomes
    series = {'val': [one.val.balanced_accuracy for one in outcomes]}
    for name in outcomes[0].test:
        series[name] = [one.test[name].balanced_accuracy for one in outcomes]
    figures: dict[str, tuple[Figure, str]] = {}
    for name, axis, values in (
        ('parameters', 'parameters', [one.cost.parameters for one in outcomes]),
        ('latency', 'ms an image', [one.cost.latency_ms_p50 for one in outcomes]),
    ):
        what = 'balanced accuracy'
        figure = trade_off(
            values, series, chosen=sweep.chosen, xlabel=axis, ylabel=what
        )
        figures[f'sweep_{name}.png'] = figure, f'{what} against {axis}'
    if scores:
        figure = _scores(outcomes, scores)
        figures['sweep_scores.png'] = figure, 'decision score against parameters'
    if len(outcomes) > 2:
        figure = _widths(run)
        figures['sweep_widths.png'] = figure, 'kept filters of each layer by size'
    return [
        Picture(save_figure(figure, folder / name), text, 460)
        for name, (figure, text) in figures.items()
    ]


def _scores(outcomes: Sequence[Outcome], scores: Sequence[float]) -> Figure:
    """Draw the decision score against the share of parameters, ordered by size."""
    costs = [outcome.cost.parameters for outcome in outcomes]
    order = sorted(range(len(costs)), key=lambda index: costs[index])
    shares = [100 * costs[index] / costs[0] for index in order]
    return curves(
        {'decision score': (shares, [scores[index] for index in order])},
        xlabel='parameters, % of the whole network',
        ylabel='decision score',
    )


def _widths(run: PruneRun) -> Figure:
    """Draw the kept filters of the scored layers against the network's size."""
    small = [one for one in run.candidates if one.size is not None]
    widths = [read_plan(one.path(PLAN)).widths() for one in small]
    sizes = [float(one.size or 0) for one in small]
    return curves(
        {
            group.name.removeprefix('backbone.'): (
                sizes,
                [found.get(group.name, group.channels) for found in widths],
            )
            for group in run.groups
        },
        xlabel=run.settings.grid.kind,
        ylabel='kept filters',
    )
