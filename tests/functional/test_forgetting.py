"""Forgetting measures on matrices computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from mmdefect.functional.forgetting import (
    average_stage,
    backward_transfer,
    base_mean,
    distance_to_joint,
    forgetting_measure,
    gap,
    group_mean,
    last_mean,
    stage_drop,
    step_forgetting,
)

NAN = float('nan')
# Three steps that bring classes a, b; c; d. Class a recovers in step 1.
MATRIX = torch.tensor(
    [
        [0.60, 0.80, NAN, NAN],
        [0.70, 0.50, 0.90, NAN],
        [0.40, 0.10, 0.60, 0.75],
    ],
    dtype=torch.float64,
)


def test_feature_group_mean_leaves_nan_out() -> None:
    mask = torch.tensor([False, True, True, True])
    assert group_mean(MATRIX[1], mask).item() == pytest.approx(0.7)
    assert group_mean(MATRIX[0], torch.tensor([False, False, True, True])).isnan()


def test_feature_forgetting_measure() -> None:
    # a: 0.70 - 0.40, b: 0.80 - 0.10, c: 0.90 - 0.60; d is new in the last step.
    assert forgetting_measure(MATRIX).item() == pytest.approx((0.3 + 0.7 + 0.3) / 3)


def test_feature_backward_transfer() -> None:
    # a: 0.40 - 0.60, b: 0.10 - 0.80, c: 0.60 - 0.90.
    assert backward_transfer(MATRIX).item() == pytest.approx((-0.2 - 0.7 - 0.3) / 3)


def test_feature_negative_values_are_values() -> None:
    matrix = torch.tensor([[-0.5, NAN], [-0.7, 0.1]])
    assert forgetting_measure(matrix).item() == pytest.approx(0.2)
    assert backward_transfer(matrix).item() == pytest.approx(-0.2)


@pytest.mark.parametrize('measure', [forgetting_measure, backward_transfer])
def test_feature_one_step_has_nothing_to_forget(measure) -> None:
    assert math.isnan(measure(MATRIX[:1]).item())


def test_feature_stages_of_iuf() -> None:
    """Stage values of MVTec-AD 10-1 with five steps, read off the paper's curve.

    The paper's table says ACC 94.2 and FM 3.2.
    """
    stages = torch.tensor([96.8, 96.5, 94.7, 93.5, 93.2, 90.2], dtype=torch.float64)
    assert average_stage(stages[:, None]).item() == pytest.approx(94.15)
    assert stage_drop(stages[:, None]).item() == pytest.approx(3.18)
    assert last_mean(stages[:, None]).item() == pytest.approx(90.2)


def test_feature_stages_are_means_over_the_classes_seen() -> None:
    # Stages: (0.60 + 0.80) / 2, (0.70 + 0.50 + 0.90) / 3, 1.85 / 4.
    assert average_stage(MATRIX).item() == pytest.approx((0.7 + 0.7 + 0.4625) / 3)
    assert stage_drop(MATRIX).item() == pytest.approx(0.7 - (0.7 + 0.4625) / 2)
    assert last_mean(MATRIX).item() == pytest.approx(0.4625)
    assert base_mean(MATRIX).item() == pytest.approx(0.7)


def test_feature_hard_new_classes_drop_a_stage_without_forgetting() -> None:
    matrix = torch.tensor([[0.9, NAN], [0.9, 0.5]], dtype=torch.float64)
    assert stage_drop(matrix).item() == pytest.approx(0.2)
    assert forgetting_measure(matrix).item() == 0


def test_feature_stages_without_a_value() -> None:
    assert stage_drop(MATRIX[:1]).isnan()
    assert average_stage(MATRIX[:1]).item() == pytest.approx(0.7)
    untested = torch.tensor([[0.9, 0.8], [NAN, NAN]])
    for measure in (average_stage, stage_drop, last_mean):
        assert measure(untested).isnan()


@pytest.mark.parametrize('measure', [average_stage, base_mean, stage_drop, last_mean])
def test_exception_stages_need_a_matrix(measure) -> None:
    with pytest.raises(ValueError, match=r'expected \(T, C\)'):
        measure(MATRIX[0])


def test_exception_shapes() -> None:
    with pytest.raises(ValueError, match=r'matrix.shape=\(4,\): expected \(T, C\)'):
        forgetting_measure(MATRIX[0])
    with pytest.raises(ValueError, match=r'shape=\(4,\), reference_row.shape=\(3,\)'):
        gap(MATRIX[0], MATRIX[0, :3])
    with pytest.raises(ValueError, match=r'shape=\(0, 4\)'):
        backward_transfer(MATRIX[:0])


@pytest.mark.parametrize('step', [0, 3, -1])
def test_exception_step_without_predecessor(step) -> None:
    with pytest.raises(ValueError, match=f'step={step}: expected 1 to 2'):
        step_forgetting(MATRIX, step)


def test_feature_distance_to_joint() -> None:
    """Of an old class half is forgotten; a new one lacks what it never learnt."""
    parts = distance_to_joint(
        own_then=torch.tensor([0.70, 0.60]),
        own_now=torch.tensor([0.60, 0.60]),
        now=torch.tensor([0.50, 0.30]),
        joint_own=torch.tensor([0.75, 0.80]),
        joint=torch.tensor([0.70, 0.75]),
    )
    torch.testing.assert_close(parts.forgotten, torch.tensor([0.10, 0.0]))
    torch.testing.assert_close(parts.never_learnt, torch.tensor([0.05, 0.20]))
    # The joint model loses 0.05 on other images, too.
    torch.testing.assert_close(parts.foreign, torch.tensor([0.05, 0.25]))


def test_feature_the_parts_add_up_to_the_distance() -> None:
    values = torch.rand(5, 100, generator=torch.Generator().manual_seed(0)).double()
    names = ('own_then', 'own_now', 'now', 'joint_own', 'joint')
    given = dict(zip(names, values, strict=True))
    parts = distance_to_joint(**given)
    torch.testing.assert_close(
        sum(parts), given['joint'] - given['now'], atol=1e-15, rtol=0
    )


def test_exception_distance_of_other_classes() -> None:
    one, two = torch.zeros(1), torch.zeros(2)
    with pytest.raises(ValueError, match=r'own_now\.shape=\(2,\).*expected \(N,\)'):
        distance_to_joint(own_then=one, own_now=two, now=one, joint_own=one, joint=one)
