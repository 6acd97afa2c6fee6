"""A linear head whose decision can be calibrated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from mmpretrain.models.heads import ClsHead
from torch import Tensor, nn

from mmdefect.registry import MODELS
from mmdefect.utils.checks import check_range

# Index of the defective class, the one whose probability meets the threshold.
DEFECTIVE = 0


def decide(scores: Tensor, threshold: Tensor | float) -> Tensor:
    """Call an image defective from a probability on, else its likeliest other class.

    Args:
        scores: Probabilities, shape ``(B, C)``, class 0 is the defective one.
        threshold: From which probability of class 0 on an image is called 0.

    Returns:
        Labels, shape ``(B,)``. With two classes and 0.5 they are the arg max.
    """
    others = scores[:, DEFECTIVE + 1 :].argmax(dim=1) + 1
    defective = scores[:, DEFECTIVE] >= threshold
    return torch.where(defective, torch.full_like(others, DEFECTIVE), others)


@MODELS.register_module()
class DefectClsHead(ClsHead):
    """One linear layer, with a temperature and a threshold that a calibration sets.

    ``temperature`` (1) and ``threshold`` (0.5) are buffers, so that a checkpoint holds
    how its scores are to be read: ``pred_score = softmax(logits / temperature)`` and
    ``pred_label`` by :func:`decide`.

    Args:
        in_channels: Number of features of an image.
        num_classes: Number of classes; 0 is defective.
        class_weight: Factor of the loss of each class. The loss is the sum over a
            batch, so weighted, divided by the number of images.
        double_softmax: Cross-entropy of ``softmax(logits)``, as if they were logits:
            what the casting study did to LUNA. For two classes it lies between
            ``log(1 + 1/e) = 0.3133`` and 1.3133 and hardly learns from bad mistakes.
        init_cfg: As in :class:`mmengine.model.BaseModule`; PyTorch's by default.

    Raises:
        ValueError: Fewer than two classes, or class weights that are not one positive
            number a class; or, when called, features of another shape.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int = 2,
        class_weight: Sequence[float] | None = None,
        double_softmax: bool = False,
        init_cfg: Any = None,
    ) -> None:
        check_range('num_classes', num_classes, 2)
        if class_weight is not None:
            _check_class_weight(class_weight, num_classes)
        # With its prefix: other packages have a loss of this name.
        loss = {'type': 'mmpretrain.CrossEntropyLoss', 'class_weight': class_weight}
        super().__init__(loss=loss, init_cfg=init_cfg)
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.double_softmax = double_softmax
        self.fc = nn.Linear(in_channels, num_classes)
        self.temperature: Tensor
        self.threshold: Tensor
        self.register_buffer('temperature', torch.tensor(0.0))
        self.register_buffer('threshold', torch.tensor(0.0))
        self.reset_calibration()

    def reset_calibration(self) -> None:
        """Probabilities as they are, and the more probable class wins."""
        self.temperature.fill_(1.0)
        self.threshold.fill_(0.5)

    def pre_logits(self, feats: Sequence[Tensor]) -> Tensor:
        """The last features, shape ``(B, in_channels)``."""
        features = feats[-1]
        if features.ndim != 2 or features.shape[1] != self.in_channels:
            raise ValueError(
                f'in_channels={self.in_channels}: expected features of shape '
                f'(B, {self.in_channels}), not {tuple(features.shape)}; a map needs a '
                'neck (GlobalAveragePooling or mmdefect.FlattenNeck), and with '
                'FlattenNeck the number depends on the image size'
            )
        return features

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """Logits, shape ``(B, num_classes)``, without temperature."""
        return self.fc(self.pre_logits(feats))

    def loss(
        self, feats: Sequence[Tensor], data_samples: list[Any], **kwargs: Any
    ) -> dict[str, Tensor]:
        """Cross-entropy of a batch; see :class:`mmpretrain.models.heads.ClsHead`."""
        logits = self(feats)
        scores = logits.softmax(dim=1) if self.double_softmax else logits
        return self._get_loss(scores, data_samples, **kwargs)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Softmax at the calibrated temperature, in float32."""
        return (logits.float() / self.temperature).softmax(dim=1)

    def _get_predictions(
        self, cls_score: Tensor, data_samples: list[Any] | None
    ) -> list[Any]:
        scores = self.probabilities(cls_score)
        samples = super()._get_predictions(cls_score, data_samples)
        labels = decide(scores, self.threshold)
        for sample, score, label in zip(samples, scores, labels, strict=True):
            sample.set_pred_score(score).set_pred_label(label)
        return samples


def _check_class_weight(class_weight: Sequence[float], num_classes: int) -> None:
    positive = all(math.isfinite(weight) and weight > 0 for weight in class_weight)
    if len(class_weight) != num_classes or not positive:
        raise ValueError(
            f'class_weight={list(class_weight)}: expected {num_classes} positive '
            'numbers, one a class'
        )
