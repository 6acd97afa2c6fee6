"""What a detector's boxes get wrong, as a report shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmdefect.streams.distance import PARTS, class_distances, group_distances
from mmdefect.streams.matrix import StepScores, StreamMatrix
from mmdefect.streams.report.samples import TRUTH, sample_row
from mmdefect.visualization.page import Row, Section, Table, percent

# Pairs of classes that are shown with a picture; all are in matrix.json.
MAX_PAIRS = 12
HEADER = (
    'Class', 'AP50', 'AP50, own images', 'Called from', 'False alarms, own images',
    'False alarms, other images', 'Other images',
)  # fmt: skip
DISTANCE = ('Below joint', 'Forgotten', 'Never learnt', 'False alarms, other images')


def diagnosis_sections(scores: StepScores, **parts: Any) -> list[Section]:
    """Show false alarms and confusions after a step; nothing where none were told.

    Args:
        scores: Of the step.
        parts: ``classes``, ``folder``, ``root`` and ``missing`` of
            :func:`mmdefect.streams.report.samples.sample_row`.
    """
    if not scores.diagnosis:
        return []
    sections = [_alarms(scores)]
    if pairs := scores.diagnosis['confusions']:
        rows = [[p['predicted'], p['shown'], str(p['count'])] for p in pairs]
        pictures: list[Row] = []
        for number, pair in enumerate(pairs[:MAX_PAIRS]):
            title = f'{pair["predicted"]} on {pair["shown"]}'
            example = pair['example']
            shown = {TRUTH: example['gt'], 'predicted': example['pred']}
            row = sample_row(example, shown, name=f'pair_{number}', **parts)
            pictures += [] if row is None else [Row(row.pictures, caption=title)]
        sections.append(
            Section(
                'Which class is mistaken for which',
                f'After step {scores.step}: called boxes that hit nothing and lie on '
                'an object of another class (IoU from 0.5). Pictures: of each pair the '
                'box with the highest score, and that object.',
                Table(('Predicted', 'Shown', 'Boxes'), rows, ('Boxes',)),
                pictures,
            )
        )
    return sections


def _alarms(scores: StepScores) -> Section:
    rows = []
    told: Mapping[str, Mapping[str, Any]] = scores.diagnosis['classes']
    for name, row in told.items():
        threshold = '–' if row['threshold'] is None else f'{row["threshold"]:.3f}'
        rows.append(
            [
                name,
                percent(scores.per_class['AP50'].get(name)),
                percent(row['own_ap50']),
                threshold,
                str(row['own_alarms']),
                str(row['foreign_alarms']),
                str(row['foreign_images']),
            ]
        )
    by_hand = [name for name, row in told.items() if not row['calibrated']]
    rule = 'chosen on validation images'
    if by_hand:
        rule = (
            'at which half of the objects of these test images are found, or as many '
            'as ever are, which serves to compare and not to decide'
        )
        if len(by_hand) < len(told):
            rule = (
                f'chosen on validation images or, of {", ".join(by_hand)}, that {rule}'
            )
    return Section(
        'Where the false alarms are',
        f'After step {scores.step}. Own images show a class of the same step, other '
        'images none: each box of the class there is a false alarm. Boxes are called '
        f'from the score {rule}.',
        Table(HEADER, rows, HEADER[1:]),
    )


def distance_sections(matrix: StreamMatrix, joint: StreamMatrix) -> list[Section]:
    """Show after the last step what is missing to joint training, and why."""
    last = matrix.steps[-1]
    distances = class_distances(matrix, joint, last.step)
    if not distances:
        return []
    means = group_distances(distances, old=last.old, new=last.new)
    rows = [_points(name, row) for name, row in distances.items()]
    rows += [_points(f'mean of {group}', row) for group, row in means.items()]
    section = Section(
        'Why this is below joint training',
        f'After step {last.step}, in points of AP50. Forgotten: lost on own images '
        'since the step that brought the class. Never learnt: what was missing there '
        'to joint training right after that step. False alarms: what boxes on other '
        'images cost beyond what they cost joint training. The three add up to the '
        'distance; a part below zero is better than joint training.',
        Table(('Class', *DISTANCE), rows, DISTANCE),
    )
    return [section]


def _points(name: str, row: Mapping[str, float]) -> list[str]:
    # No -0.0.
    points = [round(100 * row[key], 1) + 0.0 for key in ('distance', *PARTS)]
    return [name, *(f'{value:+.1f}' for value in points)]
