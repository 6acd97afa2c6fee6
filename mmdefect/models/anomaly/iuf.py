"""IUF: one reconstruction model for all products, extended step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from mmdefect.functional.class_rows import CONDITIONER_CLASS_KEYS
from mmdefect.models.anomaly.conditioner import Conditions, ObjectConditioner
from mmdefect.models.anomaly.features import FrozenFeatures
from mmdefect.models.anomaly.scoring import anomaly_map, check_score, with_scores
from mmdefect.models.anomaly.transformer import FeatureReconstructor, initialise
from mmdefect.registry import MODELS
from mmdefect.structures import AnomalySample
from mmdefect.utils.checks import check_choice


@MODELS.register_module()
class IUF(BaseModel):
    """Reconstructs frozen features of normal images; what it cannot is anomalous.

    Tang et al., An Incremental Unified Framework for Small Defect Inspection, ECCV
    2024. A frozen backbone gives a grid of features; a transformer reconstructs them
    from a noised copy, its encoder conditioned on which product it sees. Without
    ``conditioner`` and ``compression`` it is UniAD (NeurIPS 2022).

    Hooks spare what earlier steps learned: ``mmdefect.WeightAnchorHook``,
    ``mmdefect.ProjectedUpdateHook``, or one that puts a penalty into ``penalties``.

    Args:
        backbone: Frozen backbone with several outputs, or its config.
        in_channels: Sum of their channels.
        num_classes: Products seen so far.
        transformer: Settings of
            :class:`~mmdefect.models.anomaly.transformer.FeatureReconstructor`.
        conditioner: Settings of
            :class:`~mmdefect.models.anomaly.conditioner.ObjectConditioner`, or
            ``None``.
        compression: Config of a semantic compression loss, or ``None``.
        classification: Weight of the conditioner's loss: 1 as released, 0.5 in the
            paper.
        jitter: Noise on the features in training: ``s`` of ``s |x| / C``.
        score: How a map becomes the image's score, see
            :func:`~mmdefect.models.anomaly.scoring.image_scores`.
        data_preprocessor: As for MMEngine's ``BaseModel``; ours by default. There is no
            ``init_cfg``: a backbone has its own, a step starts from the one before.
    """

    def __init__(
        self,
        *,
        backbone: Mapping[str, Any] | nn.Module,
        in_channels: int,
        num_classes: int,
        transformer: Mapping[str, Any] | None = None,
        conditioner: Mapping[str, Any] | None = None,
        compression: Mapping[str, Any] | None = None,
        classification: float = 1.0,
        jitter: float = 20.0,
        score: str = 'pooled_max',
        data_preprocessor: Mapping[str, Any] | nn.Module | None = None,
    ) -> None:
        super().__init__(
            data_preprocessor=data_preprocessor
            or {'type': 'mmdefect.AnomalyDataPreprocessor'}
        )
        check_score(score)
        settings = dict(transformer or {})
        self.in_channels = in_channels
        self.reconstructor = FeatureReconstructor(in_channels=in_channels, **settings)
        self.features = FrozenFeatures(backbone=backbone, grid=self.reconstructor.grid)
        self.conditioner: ObjectConditioner | None = None
        if conditioner is not None:
            image = conditioner.get('source') == 'image'
            defaults = {
                'type': 'mmdefect.ObjectConditioner',
                'num_classes': num_classes,
                'in_channels': 3 if image else in_channels,
                'width': settings.get('width', 256),
                'depth': settings.get('depth', 4),
                'grid': self.reconstructor.grid,
            }
            self.conditioner = MODELS.build({**defaults, **conditioner})
        self.compression = MODELS.build(dict(compression)) if compression else None
        self.classification = classification
        self.jitter = jitter
        self.score = score
        #: Losses that hooks add in later steps, by name; no part of the model.
        self.penalties: dict[str, Callable[[], Tensor]] = {}

    @property
    def class_keys(self) -> tuple[str, ...]:
        """Parameters whose rows are products."""
        return () if self.conditioner is None else CONDITIONER_CLASS_KEYS

    def init_weights(self) -> None:
        """Initialise what is trained, and load the backbone."""
        for module in (self.reconstructor, self.conditioner):
            if module is not None:
                initialise(module)
        self.features.init_weights()

    @property
    def needs_images(self) -> bool:
        """Whether features alone are not enough."""
        return self.conditioner is not None and self.conditioner.source == 'image'

    def forward(
        self,
        inputs: Tensor | Mapping[str, Tensor],
        data_samples: Sequence[AnomalySample] | None = None,
        mode: str = 'tensor',
    ) -> Any:
        """Losses, predictions or raw maps.

        Args:
            inputs: Preprocessed images ``(B, 3, H, W)``, or ``images`` and ``features``
                by name.
            data_samples: One an image; training needs their ``class_label``.
            mode: ``'loss'``, ``'predict'`` or ``'tensor'``.

        Returns:
            Losses by name; samples with ``pred_score`` and ``pred_map``; or anomaly
            maps ``(B, 1, grid, grid)``.

        Raises:
            ValueError: Unknown mode, or a reconstruction of other features than these.
        """
        given = {'images': inputs} if isinstance(inputs, Tensor) else inputs
        features = self.features.of(given, self.in_channels)
        if mode == 'loss':
            return self.loss(given, features, data_samples or [])
        rebuilt = self.outputs({**given, 'features': features})[0]
        distance = anomaly_map(features, rebuilt)
        if mode == 'tensor':
            return distance
        check_choice('mode', mode, ('loss', 'predict', 'tensor'))
        return with_scores(distance, data_samples or [], self.score)

    def condition(
        self, inputs: Mapping[str, Tensor], features: Tensor
    ) -> Conditions | None:
        """Output of the conditioner, ``None`` without one."""
        if self.conditioner is None:
            return None
        return self.conditioner(inputs['images'] if self.needs_images else features)

    def outputs(self, inputs: Mapping[str, Tensor]) -> list[Tensor]:
        """Reconstruction and, with a conditioner, its logits."""
        features = self.features.of(inputs, self.in_channels)
        conditions = self.condition(inputs, features)
        rebuilt = self.reconstructor(features, conditions and conditions.maps)
        return [rebuilt.features, *([conditions.logits] if conditions else [])]

    def loss(
        self,
        inputs: Mapping[str, Tensor],
        features: Tensor,
        data_samples: Sequence[AnomalySample],
    ) -> dict[str, Tensor]:
        """Reconstruction, classification, compression, and what hooks have added."""
        losses = {}
        conditions = self.condition(inputs, features)
        if conditions is not None:
            labels = [sample.class_label for sample in data_samples]
            targets = torch.tensor(labels, device=features.device)
            crossed = F.cross_entropy(conditions.logits, targets)
            losses['loss_cls'] = self.classification * crossed
        noised = jittered(features, self.jitter if self.training else 0)
        rebuilt = self.reconstructor(noised, conditions and conditions.maps)
        losses['loss_rec'] = F.mse_loss(rebuilt.features, features)
        if self.compression is not None:
            losses['loss_scl'] = self.compression(rebuilt.hidden)
        for name, penalty in self.penalties.items():
            losses[f'loss_{name}'] = penalty()
        return losses


def jittered(features: Tensor, scale: float) -> Tensor:
    """Add noise in proportion to the length of each token (UniAD's feature jitter).

    Args:
        features: Shape ``(B, C, h, w)``.
        scale: Deviation of the noise is ``scale * |token| / C``; 0 for none.
    """
    if not scale:
        return features
    length = features.norm(dim=1, keepdim=True)
    return features + torch.randn_like(features) * length * (scale / features.shape[1])
