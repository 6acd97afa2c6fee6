"""Measures of forgetting, from a step x class matrix.

A matrix has the shape ``(T, C)``: row ``t`` holds the metric of each class after step
``t``, NaN where a class has not been seen yet (or has no ground truth). A row has the
shape ``(C,)``. Other shapes and empty matrices raise a ValueError.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mmdefect.functional._checks import check_vectors


def _check_matrix(matrix: Tensor) -> None:
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ValueError(
            f'matrix.shape={tuple(matrix.shape)}: expected (T, C), at least one of '
            'each; stack one row a step'
        )


def group_mean(row: Tensor, mask: Tensor) -> Tensor:
    """Mean of a row over the classes of a group (bool, ``(C,)``), NaN left out.

    Returns:
        A scalar; NaN when no class of the group has a value.

    Example:
        >>> row = torch.tensor([0.8, 0.6, torch.nan])
        >>> group_mean(row, torch.tensor([True, True, False]))
        tensor(0.7000)
    """
    check_vectors(row=row, mask=mask)
    return row[mask.bool()].nanmean()


def step_forgetting(matrix: Tensor, step: int) -> Tensor:
    """Loss of each class in one step: the step before minus this one.

    Args:
        matrix: Shape ``(T, C)``.
        step: Row to judge, from 1 to ``T - 1``.

    Returns:
        Shape ``(C,)``; NaN for classes that the step before did not know.

    Raises:
        ValueError: If the matrix is not two-dimensional or the step has no
            predecessor in it.

    Example:
        >>> matrix = torch.tensor([[0.8, torch.nan], [0.6, 0.9]])
        >>> step_forgetting(matrix, 1)
        tensor([0.2000,    nan])
    """
    _check_matrix(matrix)
    if not 1 <= step < len(matrix):
        raise ValueError(
            f'step={step}: expected 1 to {len(matrix) - 1}, a step with one before it'
        )
    return matrix[step - 1] - matrix[step]


def _seen_before_last(matrix: Tensor) -> Tensor:
    """Classes with a value in an earlier row and in the last one, shape ``(C,)``."""
    return ~matrix[:-1].isnan().all(dim=0) & ~matrix[-1].isnan()


def forgetting_measure(matrix: Tensor) -> Tensor:
    """Forgetting measure of Chaudhry et al. 2018 (arXiv 1801.10112), equation 3.

    For each class seen before the last step: the best value of any earlier step minus
    the last one; then the mean over those classes. Negative when classes improved.

    Returns:
        A scalar; NaN when no class was seen before the last step.

    Example:
        >>> matrix = torch.tensor([[0.8, torch.nan], [0.6, 0.9]])
        >>> forgetting_measure(matrix)
        tensor(0.2000)
    """
    _check_matrix(matrix)
    seen = _seen_before_last(matrix)
    if not seen.any():
        return matrix.new_tensor(torch.nan)
    best = matrix[:-1, seen].nan_to_num(nan=float('-inf')).max(dim=0).values
    return (best - matrix[-1, seen]).mean()


def backward_transfer(matrix: Tensor) -> Tensor:
    """Backward transfer of Lopez-Paz and Ranzato 2017 (arXiv 1706.08840), section 2.

    For each class seen before the last step: the last value minus the value right after
    the step that brought the class; then the mean over those classes (the paper takes
    the mean over tasks, each of which is one column there).

    Returns:
        A scalar, negative when something was forgotten; NaN when no class was seen
        before the last step.

    Example:
        >>> matrix = torch.tensor([[0.8, torch.nan], [0.6, 0.9]])
        >>> backward_transfer(matrix)
        tensor(-0.2000)
    """
    _check_matrix(matrix)
    seen = _seen_before_last(matrix)
    if not seen.any():
        return matrix.new_tensor(torch.nan)
    columns = matrix[:, seen]
    # argmax of a 0/1 column is the first 1: the step that brought the class.
    first = (~columns.isnan()).int().argmax(dim=0)
    learned = columns.gather(0, first[None]).squeeze(0)
    return (columns[-1] - learned).mean()


def gap(row: Tensor, reference_row: Tensor) -> Tensor:
    """Gap of each class to a reference, such as joint training: it minus the row.

    Returns:
        Shape ``(C,)``; NaN where either has no value.

    Example:
        >>> gap(torch.tensor([0.6, 0.9]), torch.tensor([0.8, 0.9]))
        tensor([0.2000, 0.0000])
    """
    check_vectors(row=row, reference_row=reference_row)
    return reference_row - row


class Distance(NamedTuple):
    """What a continual model lacks to a joint one, class by class, shapes ``(C,)``.

    Attributes:
        forgotten: Lost since the step that brought the class, on its own images.
        never_learnt: What the class lacked to the joint model right after that step.
        foreign: False alarms on other images, beyond those of the joint model.
    """

    forgotten: Tensor
    never_learnt: Tensor
    foreign: Tensor


def distance_to_joint(
    *, own_then: Tensor, own_now: Tensor, now: Tensor, joint_own: Tensor, joint: Tensor
) -> Distance:
    """Split the distance of average precisions to joint training into its causes.

    With ``A`` the AP on all test images, ``O`` the AP on own images (those that show a
    class of the same step) and ``J`` for the joint model, the distance of a class is::

        J - A = (O_then - O) + (J_O - O_then) + ((O - A) - (J_O - J))
              =  forgotten   +  never learnt  +  foreign false alarms

    An identity, so the parts add up to the distance. The images that ``O`` leaves out
    show no object of the class: what ``A`` is lower by is false alarms on them, and
    the joint model has such, too. Of a class that is new nothing is forgotten, since
    ``O_then`` is ``O``. Each part can be negative.

    Args:
        own_then: ``O`` after the step that brought the class, shape ``(C,)``.
        own_now: ``O`` after the step that is judged.
        now: ``A`` after the step that is judged.
        joint_own: ``J_O`` of the joint model that knows the same classes.
        joint: ``J`` of that model.

    Returns:
        The three parts, NaN where a value is missing.

    Raises:
        ValueError: If the shapes differ.

    Example:
        >>> tenths = [torch.tensor([k / 10]) for k in (7, 6, 5, 8, 7.5)]
        >>> names = ('own_then', 'own_now', 'now', 'joint_own', 'joint')
        >>> parts = distance_to_joint(**dict(zip(names, tenths)))
        >>> [round(float(part), 2) for part in parts]
        [0.1, 0.1, 0.05]
    """
    check_vectors(
        own_then=own_then, own_now=own_now, now=now, joint_own=joint_own, joint=joint
    )
    return Distance(
        forgotten=own_then - own_now,
        never_learnt=joint_own - own_then,
        foreign=(own_now - now) - (joint_own - joint),
    )


def _stages(matrix: Tensor) -> Tensor:
    """Stage values, shape ``(T,)``: the mean over the classes seen up to each step."""
    _check_matrix(matrix)
    return matrix.nanmean(dim=1)


def average_stage(matrix: Tensor) -> Tensor:
    """ACC of IUF (ECCV 2024, arXiv 2312.08917): mean of the stage values of all steps.

    A stage value is the plain mean over the classes seen up to that step. It is not the
    value after the last step, which :func:`last_mean` gives.

    Returns:
        A scalar; NaN when a step has no value.

    Example:
        >>> matrix = torch.tensor([[0.8, torch.nan], [0.6, 0.9]])
        >>> average_stage(matrix)  # of 0.8 and 0.75
        tensor(0.7750)
    """
    return _stages(matrix).mean()


def stage_drop(matrix: Tensor) -> Tensor:
    """FM of IUF (ECCV 2024, arXiv 2312.08917) as its tables were made.

    The stage value of step 0 minus the mean of the later ones. It mixes forgetting with
    the difficulty of the new classes: hard new classes lower a stage although nothing
    was forgotten. :func:`forgetting_measure` looks at each class alone.

    Returns:
        A scalar, negative when later stages are better; NaN when there is one step
        only, or a step has no value.

    Example:
        >>> matrix = torch.tensor([[0.8, torch.nan], [0.6, 0.9]])
        >>> stage_drop(matrix)
        tensor(0.0500)
    """
    stages = _stages(matrix)
    return stages[0] - stages[1:].mean()


def base_mean(matrix: Tensor) -> Tensor:
    """Stage value of the first step, when nothing can have been forgotten.

    Returns:
        A scalar; NaN when the first step has no value.

    Example:
        >>> base_mean(torch.tensor([[0.8, torch.nan], [0.6, 0.9]]))
        tensor(0.8000)
    """
    return _stages(matrix)[0]


def last_mean(matrix: Tensor) -> Tensor:
    """Stage value of the last step: the plain mean over all classes seen.

    Returns:
        A scalar; NaN when the last step has no value.

    Example:
        >>> last_mean(torch.tensor([[0.8, torch.nan], [0.6, 0.9]]))
        tensor(0.7500)
    """
    return _stages(matrix)[-1]
