"""Test-time augmentation of a classifier whose threshold was calibrated."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.model import BaseTTAModel
from mmpretrain.structures import DataSample

from mmdefect.models.classification.head import decide
from mmdefect.registry import MODELS


@MODELS.register_module()
class AverageDefectScoreTTA(BaseTTAModel):
    """Averages the probabilities of all views, and decides by the head's threshold.

    mmpretrain's ``AverageClsScoreTTA`` averages scores and leaves the label of the
    first view beside them.

    Args:
        module: Classifier, or its config. A head without a threshold, one of
            mmpretrain's, takes the likeliest class.
        data_preprocessor: As in MMEngine.
    """

    def merge_preds(
        self, data_samples_list: Sequence[Sequence[DataSample]]
    ) -> list[DataSample]:
        """Merge the views of each image, with ``pred_score`` of shape ``(C,)``."""
        return [self._merge(views) for views in data_samples_list]

    def _merge(self, views: Sequence[DataSample]) -> DataSample:
        score = sum(view.pred_score for view in views) / len(views)
        threshold = getattr(self.module.head, 'threshold', None)
        label = score.argmax() if threshold is None else decide(score[None], threshold)
        return views[0].new().set_pred_score(score).set_pred_label(label)
