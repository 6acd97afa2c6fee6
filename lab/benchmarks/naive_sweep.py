"""A sweep without shortcuts, for the benchmark to compare with."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from mmdefect.pruning.channels.groups import ChannelGroup, make_plan
from mmdefect.pruning.channels.plan import ChannelPlan
from mmdefect.pruning.channels.rebuild import rebuild, reset_norms
from mmdefect.pruning.scoring.score import MaskedBatch, score_filters
from mmdefect.pruning.scoring.scorers import SegIoU
from mmdefect.pruning.sweep.features import ImageSet, extract_features
from mmdefect.pruning.sweep.keep import KeepPolicy, best
from mmdefect.pruning.sweep.settings import ProbeSettings


class NaiveSweep:
    """FTL network by network, as if there were one."""

    def __init__(
        self,
        *,
        model: Any,
        groups: Sequence[ChannelGroup],
        batches: Sequence[MaskedBatch],
        images: ImageSet,
        batch_size: int,
        probe: ProbeSettings,
    ) -> None:
        self.model = model
        self.groups = groups
        self.batches = batches
        self.images = images
        self.files = [_encoded(image) for image in images.images]
        self.batch_size = batch_size
        self.probe = probe

    def run(self, share: float) -> ChannelPlan:
        """Make one network and fit its regression."""
        policy = KeepPolicy(type='uniform_legacy')
        kept: dict[str, list[int]] = {}
        for group in self.groups:
            small = self._cut(make_plan(self.groups, kept))
            scores = score_filters(
                small, self.batches, SegIoU(active='legacy'), [group.name]
            )
            kept[group.name] = best(group, [scores], policy.count(group, share))
        plan = make_plan(self.groups, kept)
        decoded = ImageSet(
            images=torch.stack([_decoded(file) for file in self.files]),
            labels=self.images.labels,
            paths=self.images.paths,
        )
        features = extract_features(
            self._cut(plan), decoded, batch_size=self.batch_size
        )
        self._fit(features)
        return plan

    def _cut(self, plan: ChannelPlan) -> Any:
        small = rebuild(self.model, plan)
        reset_norms(small)
        return small

    def _fit(self, features: np.ndarray) -> None:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GridSearchCV, StratifiedKFold

        search = GridSearchCV(
            LogisticRegression(max_iter=self.probe.max_iter),
            {'C': list(self.probe.c)},
            cv=StratifiedKFold(self.probe.folds, shuffle=True, random_state=0),
        )
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', ConvergenceWarning)
            search.fit(features.astype(np.float64), self.images.labels.numpy())


def _encoded(image: Tensor) -> np.ndarray:
    return cv2.imencode('.png', image.permute(1, 2, 0).numpy())[1]


def _decoded(file: np.ndarray) -> Tensor:
    return torch.from_numpy(cv2.imdecode(file, cv2.IMREAD_COLOR)).permute(2, 0, 1)
