"""How far a stream is from joint training, and why: forgotten, never learnt, alarms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from mmdefect.functional.forgetting import distance_to_joint
from mmdefect.streams.matrix import GROUPS, MATRIX_FILE, StreamMatrix

OWN = 'own_AP50'
"""AP50 of a class on the images that show a class of the same step."""
PARTS = ('forgotten', 'never_learnt', 'foreign')
Distances = dict[str, dict[str, float]]


def joint_matrix(work_dir: str | Path | None) -> StreamMatrix | None:
    """Scores of the upper bound that ``stream.joint`` names, if it has some yet."""
    path = Path(work_dir or '') / MATRIX_FILE
    return StreamMatrix.load(path) if work_dir and path.is_file() else None


def class_distances(matrix: StreamMatrix, joint: StreamMatrix, step: int) -> Distances:
    """Split the distance of each class to joint training after a step.

    Args:
        matrix: Scores of the stream, AP50 first.
        joint: Scores of joint training with the same protocol.
        step: A step that was tested.

    Returns:
        Class -> ``distance`` and the parts that add up to it, see
        :func:`mmdefect.functional.forgetting.distance_to_joint`. Classes without all
        that it takes are left out; all of them where a matrix has no AP on own images.
    """
    main = matrix.metrics[0]
    if not all({main, OWN} <= set(one.metrics) for one in (matrix, joint)):
        return {}
    names = list(matrix.scores(step, main))

    def row(values: Mapping[str, float]) -> Tensor:
        found = [values.get(name, math.nan) for name in names]
        return torch.tensor(found, dtype=torch.float64)

    learnt = {
        name: value
        for entry in matrix.steps
        for name, value in entry.per_class[OWN].items()
        if name in entry.new
    }
    now, bound = row(matrix.scores(step, main)), row(joint.scores(step, main))
    parts = distance_to_joint(
        own_then=row(learnt),
        own_now=row(matrix.scores(step, OWN)),
        now=now,
        joint_own=row(joint.scores(step, OWN)),
        joint=bound,
    )
    columns = {'distance': bound - now, **parts._asdict()}
    table = torch.stack(list(columns.values()))
    return {
        name: dict(zip(columns, values.tolist(), strict=True))
        for name, values in zip(names, table.T, strict=True)
        if not values.isnan().any()
    }


def group_distances(
    distances: Distances, *, old: Sequence[str], new: Sequence[str]
) -> Distances:
    """Average over old, new and all classes; groups without any are left out."""
    members = dict(zip(GROUPS, (old, new, (*old, *new)), strict=True))
    found: Distances = {}
    for group, names in members.items():
        rows = [distances[name] for name in names if name in distances]
        if rows:
            found[group] = {
                key: math.fsum(row[key] for row in rows) / len(rows) for key in rows[0]
            }
    return found
