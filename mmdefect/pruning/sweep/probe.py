"""A linear classifier on frozen features, folded into the network's own head."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmdefect.pruning.sweep.settings import ProbeSettings

Features = np.ndarray


@dataclass(frozen=True, kw_only=True)
class FittedProbe:
    """A logistic regression in the features' own units.

    Attributes:
        weight: Of each class, shape ``(K, D)``, float64.
        bias: Shape ``(K,)``.
        c: Inverse strength of the penalty that cross-validation chose.
        accuracy: Its mean over the folds.
        converged: Whether the solver ended before its last step.
    """

    weight: Features
    bias: Features
    c: float
    accuracy: float
    converged: bool


def fit_probe(
    features: Features,
    labels: Features,
    classes: int,
    settings: ProbeSettings,
    seed: int,
    *,
    sources: Sequence[str] | None = None,
) -> FittedProbe:
    """Fit scikit-learn's logistic regression, its penalty chosen by cross-validation.

    With fewer images than features the fit is done in the space that the images span,
    where it has the same solution (the penalty keeps the weights in that space) and
    takes seconds instead of minutes.

    Args:
        features: Shape ``(N, D)``.
        labels: Shape ``(N,)``, 0 to ``classes - 1``.
        classes: How many there are.
        settings: See :class:`ProbeSettings`.
        seed: Which images each fold takes.
        sources: Photograph of each image, of which no fold gets a part; by default
            every image is one of its own.

    Raises:
        ImportError: scikit-learn is not installed.
        ValueError: A class has fewer images or sources than there are folds, or a
            feature is not finite.
    """
    _check(features, labels, classes, settings.folds, sources)
    values = features.astype(np.float64)
    mean, scale = _scaling(values, standardize=settings.standardize)
    basis, reduced = _span((values - mean) / scale)
    search = _search(reduced, labels, settings, seed, sources)
    best = search.best_estimator_
    coefficients, intercept = best.coef_, best.intercept_
    if classes == 2:  # one row, of the second class
        coefficients = np.concatenate([np.zeros_like(coefficients), coefficients])
        intercept = np.concatenate([np.zeros_like(intercept), intercept])
    weight = (coefficients if basis is None else coefficients @ basis) / scale
    return FittedProbe(
        weight=weight,
        bias=intercept - weight @ mean,
        c=float(search.best_params_['C']),
        accuracy=float(search.cv_results_['mean_test_accuracy'][search.best_index_]),
        converged=bool(best.n_iter_.max() < settings.max_iter),
    )


def _search(
    features: Features,
    labels: Features,
    settings: ProbeSettings,
    seed: int,
    sources: Sequence[str] | None,
) -> Any:
    """Fit scikit-learn's search for the penalty."""
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import (
            GridSearchCV,
            StratifiedGroupKFold,
            StratifiedKFold,
        )
    except ImportError as error:
        raise ImportError(
            'sklearn: expected the package scikit-learn for the linear probe; '
            'pip install scikit-learn'
        ) from error
    split = StratifiedKFold if sources is None else StratifiedGroupKFold
    search = GridSearchCV(
        LogisticRegression(max_iter=settings.max_iter),
        {'C': list(settings.c)},
        cv=split(settings.folds, shuffle=True, random_state=seed),
        scoring=_judge,
        refit=_best_penalty,
    )
    with warnings.catch_warnings():
        # Weak penalties often do not converge; that of the chosen one is returned.
        warnings.simplefilter('ignore', ConvergenceWarning)
        return search.fit(features, labels, groups=sources)


def _judge(model: Any, features: Features, labels: Features) -> dict[str, float]:
    """Measure accuracy and mean log-likelihood of a fold, which may lack a class."""
    likelihood = model.predict_log_proba(features)
    known = np.isin(labels, model.classes_)
    column = np.searchsorted(model.classes_, labels[known])
    return {
        'accuracy': float(model.score(features, labels)),
        'likelihood': float(likelihood[known, column].mean()),
    }


def _best_penalty(results: Mapping[str, Any]) -> int:
    """Index of the most accurate penalty; of several, the one of the lower loss.

    Accuracies of few images tie, and the first in the list would win.
    """
    accuracy = results['mean_test_accuracy'].round(12)  # folds add up in any order
    likelihood = results['mean_test_likelihood']
    return max(range(len(accuracy)), key=lambda i: (accuracy[i], likelihood[i]))


def sources_of(paths: Sequence[str], pattern: str | None) -> tuple[str, ...] | None:
    """Find the photograph that each image is cut of, in its file name.

    Raises:
        ValueError: A name does not have it.
    """
    if pattern is None:
        return None
    found = []
    for path in paths:
        match = re.search(pattern, Path(path).name)
        if match is None or match[1] is None:
            raise ValueError(
                f'prune.probe.source={pattern!r}: expected a pattern that the names of '
                f'all training images have, {path} does not'
            )
        found.append(match[1])
    return tuple(found)


def fold_into_head(head: Any, probe: FittedProbe) -> None:
    """Make a classifier's head compute the probe.

    Raises:
        ValueError: The head has no such layer, or one of another shape.
    """
    layer = getattr(head, 'fc', None)
    if not isinstance(layer, nn.Linear) or layer.weight.shape != probe.weight.shape:
        shape = tuple(layer.weight.shape) if isinstance(layer, nn.Linear) else None
        raise ValueError(
            f'{type(head).__name__}.fc={shape}: expected {probe.weight.shape}, as the '
            'probe has; take a head of one linear layer on the same features, such as '
            'mmdefect.DefectClsHead'
        )
    with torch.no_grad():
        layer.weight.copy_(_tensor(probe.weight))
        layer.bias.copy_(_tensor(probe.bias))
    # A calibration belongs to the weights that were there before.
    if reset := getattr(head, 'reset_calibration', None):
        reset()


def _tensor(values: Features) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))


def _scaling(values: Features, *, standardize: bool) -> tuple[Features, Features]:
    """Return mean and deviation of each feature, 1 of a constant one."""
    if not standardize:
        return np.zeros(values.shape[1]), np.ones(values.shape[1])
    deviation = values.std(axis=0)
    # Rounding alone gives a constant feature a deviation of about 1e-16 of its mean.
    mean = values.mean(axis=0)
    constant = deviation <= 1e-9 * np.maximum(np.abs(mean), 1e-30)
    return mean, np.where(constant, 1.0, deviation)


def _span(values: Features) -> tuple[Features | None, Features]:
    """Find an orthonormal basis and the rows in it: ``values = rows @ basis``."""
    if values.shape[0] >= values.shape[1]:
        return None, values
    # Of the transposed, so that Q's columns span the images.
    basis, triangle = np.linalg.qr(values.T)
    return basis.T, triangle.T


def _check(
    features: Features,
    labels: Features,
    classes: int,
    folds: int,
    sources: Sequence[str] | None,
) -> None:
    if features.ndim != 2 or len(features) != len(labels):
        raise ValueError(
            f'features.shape={features.shape} and {len(labels)} labels: expected '
            '(N, D) and N'
        )
    counts = np.bincount(labels, minlength=classes)
    if len(counts) != classes or counts.min() < folds:
        raise ValueError(
            f'prune.probe.folds={folds}: expected {classes} classes of at least '
            f'{folds} images, one a fold; there are {counts.tolist()}'
        )
    if sources is not None:
        pairs = set(zip(labels.tolist(), sources, strict=True))
        shown = [sum(label == one for label, _ in pairs) for one in range(classes)]
        if min(shown) < folds:
            raise ValueError(
                f'prune.probe.folds={folds}: expected at least {folds} photographs of '
                f'each class, one a fold; images are cut of {shown}, check '
                'prune.probe.source'
            )
    if not np.isfinite(features).all():
        raise ValueError(
            'features: expected finite numbers; check the weights of the network that '
            'gave them'
        )
