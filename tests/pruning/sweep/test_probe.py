"""A logistic regression, and the head that computes the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn

from mmdefect.models.classification.head import DefectClsHead
from mmdefect.pruning.sweep.probe import fit_probe, fold_into_head, sources_of
from mmdefect.pruning.sweep.settings import ProbeSettings


def cloud(images: int, features: int, classes: int = 2) -> tuple[Any, Any]:
    """Noisy clusters, so that no penalty separates them perfectly."""
    rng = np.random.default_rng(0)
    labels = np.arange(images) % classes
    centres = rng.normal(size=(classes, features))
    values = 5 + 2 * rng.normal(size=(images, features)) + centres[labels]
    return values.astype(np.float32), labels


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


class Head(nn.Module):
    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(features, classes)


@pytest.mark.parametrize('classes', [2, 3])
def test_feature_folded_head_gives_sklearn_s_probabilities(classes: int) -> None:
    # Part C, test 10, for a probe on standardised features.
    values, labels = cloud(90, 12, classes)
    settings = ProbeSettings(c=(0.1,))
    probe = fit_probe(values, labels, classes, settings, 0)
    head = Head(12, classes).double()
    fold_into_head(head, probe)
    scaler = StandardScaler().fit(values.astype(np.float64))
    scaled = scaler.transform(values.astype(np.float64))
    reference = LogisticRegression(C=0.1, max_iter=2000).fit(scaled, labels)
    ours = head.fc(torch.from_numpy(values).double()).softmax(dim=1).detach().numpy()
    np.testing.assert_allclose(ours, reference.predict_proba(scaled), atol=1e-6)


@pytest.mark.parametrize('standardize', [True, False])
def test_feature_fewer_images_than_features_has_the_same_solution(
    standardize: bool,
) -> None:
    values, labels = cloud(24, 200)
    values = values / 10
    settings = ProbeSettings(c=(0.01,), standardize=standardize, max_iter=5000)
    probe = fit_probe(values, labels, 2, settings, 0)
    wide = values.astype(np.float64)
    if standardize:
        wide = StandardScaler().fit_transform(wide)
    reference = LogisticRegression(C=0.01, max_iter=5000, tol=1e-10).fit(wide, labels)
    np.testing.assert_allclose(
        softmax(values.astype(np.float64) @ probe.weight.T + probe.bias),
        reference.predict_proba(wide),
        atol=1e-4,
    )


def test_feature_penalty_is_chosen_by_cross_validation() -> None:
    # Noise in most features: a weak penalty learns it by heart.
    rng = np.random.default_rng(1)
    labels = np.arange(60) % 2
    values = rng.normal(size=(60, 150)).astype(np.float32)
    values[:, 0] += 3 * labels
    probe = fit_probe(values, labels, 2, ProbeSettings(c=(1e-3, 1e-2, 1e5)), 0)
    assert probe.c < 1
    assert probe.accuracy > 0.8
    assert probe.converged


def test_feature_of_as_accurate_penalties_the_likelier_is_chosen() -> None:
    """All are right on separable images; the strongest, listed first, is least sure."""
    labels = np.arange(60) % 2
    values = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    values[:, 0] += 20 * labels
    for order in ((1e-3, 1e-2, 10.0), (10.0, 1e-2, 1e-3)):
        probe = fit_probe(values, labels, 2, ProbeSettings(c=order), 0)
        assert (probe.accuracy, probe.c) == (1.0, 10.0)


def test_feature_same_seed_same_probe_and_no_weight_of_a_constant() -> None:
    values, labels = cloud(40, 4)
    values[:, 2] = 7.0
    settings = ProbeSettings(c=(0.1, 1.0))
    probe, again = (fit_probe(values, labels, 2, settings, 3) for _ in range(2))
    assert np.array_equal(probe.weight, again.weight)
    assert np.isfinite(probe.weight).all()
    assert np.abs(probe.weight[:, 2]).max() == 0
    # A stopped solver is said.
    values, labels = cloud(60, 20)
    probe = fit_probe(values, labels, 2, ProbeSettings(c=(1e5,), max_iter=1), 0)
    assert not probe.converged


@pytest.mark.parametrize(
    ('values', 'labels', 'said'),
    [
        (np.zeros((4, 2, 2)), np.zeros(4, int), r'features\.shape=\(4, 2, 2\)'),
        (np.zeros((4, 2)), np.zeros(3, int), 'and 3 labels'),
        (np.zeros((8, 2)), np.array([0] * 7 + [1]), r'\[7, 1\]'),
        (np.zeros((8, 2)), np.array([0, 1] * 3 + [2, 2]), 'expected 2 classes'),
        (np.full((8, 2), np.nan), np.array([0, 1] * 4), 'expected finite'),
    ],
)
def test_exception_features(values: Any, labels: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        fit_probe(values, labels, 2, ProbeSettings(), 0)


def test_feature_folds_do_not_share_a_photograph() -> None:
    # Ten patches of each photograph are nearly alike and tell nothing about the class
    # of another photograph: a fold that has seen one of them knows the rest.
    rng = np.random.default_rng(0)
    photographs = np.repeat(np.arange(24), 10)
    values = rng.normal(size=(24, 40))[photographs] + rng.normal(size=(240, 40)) / 100
    labels = rng.permutation(np.arange(24) % 2)[photographs]
    settings = ProbeSettings(c=(1.0,))
    sources = [f'photograph {number}' for number in photographs]
    apart = fit_probe(values, labels, 2, settings, 0)
    together = fit_probe(values, labels, 2, settings, 0, sources=sources)
    assert apart.accuracy == 1
    assert together.accuracy < 0.7
    # All images train the probe either way.
    np.testing.assert_allclose(apart.weight, together.weight)


def test_feature_sources_stand_in_file_names() -> None:
    paths = ['a_1/road_1_361_224_0.png', 'a_1/road_1_361_0_56.png', 'b/wall_7_0_0.jpg']
    found = sources_of(paths, r'(.+)_\d+_\d+')
    assert found == ('road_1_361', 'road_1_361', 'wall_7')
    assert sources_of(paths, None) is None
    values, labels = cloud(40, 4)
    with pytest.raises(ValueError, match=r'names of all .*, a_1_1/b\.png does not'):
        sources_of(['a_1_1/b.png'], r'(.+)_\d+_\d+')
    with pytest.raises(ValueError, match=r'photographs of .* cut of \[2, 2\]'):
        fit_probe(
            values, labels, 2, ProbeSettings(), 0, sources=['p', 'p', 'q', 'q'] * 10
        )


def test_feature_calibration_of_the_head_before_is_gone() -> None:
    values, labels = cloud(40, 4)
    head = DefectClsHead(in_channels=4)
    head.temperature.fill_(2.5)
    head.threshold.fill_(0.1)
    probe = fit_probe(values, labels, 2, ProbeSettings(c=(1.0,)), 0)
    fold_into_head(head, probe)
    assert (float(head.temperature), float(head.threshold)) == (1.0, 0.5)
    with pytest.raises(ValueError, match=r'Head\.fc=\(2, 5\): expected'):
        fold_into_head(Head(5, 2), probe)
    with pytest.raises(ValueError, match='one linear layer'):
        fold_into_head(nn.Identity(), probe)
