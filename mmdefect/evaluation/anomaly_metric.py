"""Image and pixel metrics of an anomaly model, per product, old and new."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.dist import all_gather_object, all_reduce
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from mmdefect.evaluation.anomaly_alarms import alarm_metrics, decides, judged
from mmdefect.evaluation.anomaly_pixels import (
    ImageRecord,
    PixelHistograms,
    rank_pixels,
)
from mmdefect.evaluation.groups import group_means, groups_of, table
from mmdefect.functional.ranking import Ranking, check_fpr_limit, rank_scores
from mmdefect.registry import METRICS
from mmdefect.utils.checks import check_choice, check_known
from mmdefect.utils.distributed import on_main_process

MODES = ('exact', 'streaming')
IMAGE_METRICS = ('image_auroc', 'image_f1max')
PIXEL_METRICS = ('pixel_auroc', 'pixel_ap', 'pixel_f1max', 'aupro')


@METRICS.register_module()
class AnomalyMetric(BaseMetric):
    """AUROC, F1 and region overlap per product and for the groups old, new, all.

    Returns ``<metric>/<product>`` and ``<metric>_<group>`` for the image metrics
    ``image_auroc`` and ``image_f1max`` and the pixel metrics ``pixel_auroc``,
    ``pixel_ap``, ``pixel_f1max`` and ``aupro``, all fractions. A group is the plain
    mean over its products: old are ``old_classes``, new are the other classes of
    ``dataset_meta``; a group without products has no key. What is undefined (no image,
    one label only, a defective image whose defect is not outlined) is NaN, left out of
    the means, and said once in the log. An AUROC below 0.5 stays below 0.5.

    Of models that decide, ``false_alarm``, ``miss`` and ``routing``, too, alike with
    means: the share of good images with an alarm, of defective ones without, and of
    images whose product was recognised. An unknown product is an alarm.

    What good images score is known without a defect, too: ``score_q50/<product>``,
    ``score_q95``, ``score_q99`` and ``score_max`` are quantiles of the scores of the
    good test images (linear between neighbours), NaN without any;
    ``good_images/<product>`` and ``defective_images`` say how many there are.

    An anomaly map is resized bilinearly to its mask before its pixels are judged. The
    label of an image is ``gt_label``: a defect that is lost in a small mask still makes
    the image defective.

    Args:
        old_classes: Products that earlier steps brought.
        mode: ``exact`` keeps all maps in memory and sorts the pixels of one product
            after the other. ``streaming`` keeps histograms of float16 scores in
            constant memory, 0.8 MB a product; several processes then exchange those
            and not the maps, and agree with one process to the last bit. Scores of
            images are exact in both.
        pixel: Whether to judge pixels too.
        fpr_limit: False positive rate up to which the region overlap is integrated.
        align_corners: How maps are resized; ``True`` as the IUF paper does.
        kwargs: Passed to MMEngine's ``BaseMetric``.

    Raises:
        ValueError: If the mode is unknown or the limit is not in (0, 1].

    Example:
        >>> metric = AnomalyMetric(old_classes=['bottle'], mode='streaming')
        >>> metric.dataset_meta = {'classes': ['bottle', 'cable']}
    """

    default_prefix = 'anomaly'

    def __init__(
        self,
        *,
        old_classes: Sequence[str] = (),
        mode: str = 'exact',
        pixel: bool = True,
        fpr_limit: float = 0.3,
        align_corners: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_choice('mode', mode, MODES)
        check_fpr_limit(fpr_limit)
        self.old_classes = list(old_classes)
        self.mode = mode
        self.pixel = pixel
        self.fpr_limit = fpr_limit
        self.align_corners = align_corners
        self._histograms: PixelHistograms | None = None
        self._size: int | None = None

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep ``class_name``, ``gt_label`` and ``pred_score`` of a batch's samples.

        For the pixels ``pred_map`` and ``gt_mask``, too; ``pred_alarm`` and
        ``pred_product`` where they are set.

        Raises:
            ValueError: If a product is not among the classes, a map is missing or not
                two-dimensional or (streaming) negative, or a number is not finite.
        """
        for sample in data_samples:
            record = self._record(sample)
            if self.pixel and self.mode == 'streaming':
                index = self._classes.index(record.product)
                self._opened_histograms().add(
                    index, record, align_corners=self.align_corners
                )
                record.forget_pixels()
            self.results.append(record)

    def evaluate(self, size: int) -> dict[str, float]:
        """Score the whole test set of ``size`` images, on all ranks.

        Raises:
            ValueError: Streaming, if another number of images was processed; or as in
                :meth:`compute_metrics`.
        """
        self._size = size
        if self.mode == 'exact':
            return super().evaluate(size)
        parts = all_gather_object(self.results)
        images = [record for part in parts for record in part]
        if self.pixel:
            all_reduce(self._opened_histograms().counts)
        if len(images) != size:
            raise ValueError(
                f'{len(images)} images were processed: expected {size}, the size of '
                'the test set; give its loader drop_last=False and a sampler with '
                'round_up=False, or images that fill up a batch count twice'
            )
        metrics = on_main_process(lambda: self.compute_metrics(images))
        self.results.clear()
        self._histograms = None
        return {f'{self.prefix}/{name}': value for name, value in metrics.items()}

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Score all images of all ranks; name -> value, without the prefix.

        Maps are dropped as soon as their product is done.

        Raises:
            ValueError: If no image was evaluated or an old class is unknown.
        """
        if not results and self._size != 0:
            raise ValueError(
                'no image was evaluated: expected at least one; check the test dataset'
            )
        check_known(self.old_classes, self._classes, what='old_classes')
        rows: dict[str, dict[str, float]] = {}
        for name in self._classes:
            images = [record for record in results if record.product == name]
            rows[name] = self._product_metrics(name, images)
            if decides(results):
                rows[name] |= alarm_metrics(images)
            for record in images:
                record.forget_pixels()
        metrics = {
            f'{metric}/{name}': rows[name][metric]
            for metric in rows[self._classes[0]]
            for name in self._classes
        }
        for name in self._classes:
            for key, value in self._good_scores(name, results).items():
                metrics[f'{key}/{name}'] = value
        groups = groups_of(self._classes, self.old_classes)
        logger: MMLogger = MMLogger.get_current_instance()
        logger.info('\n' + table(rows, groups))
        return metrics | group_means(rows, groups)

    @property
    def _classes(self) -> list[str]:
        return list(self.dataset_meta['classes'])

    @property
    def _metrics(self) -> tuple[str, ...]:
        return IMAGE_METRICS + PIXEL_METRICS if self.pixel else IMAGE_METRICS

    def _opened_histograms(self) -> PixelHistograms:
        self._histograms = self._histograms or PixelHistograms(len(self._classes))
        return self._histograms

    def _record(self, sample: Mapping[str, Any]) -> ImageRecord:
        product = sample['class_name']
        if product not in self._classes:
            raise ValueError(
                f'class_name={product!r}: expected one of {", ".join(self._classes)}; '
                'let the dataset keep the classes seen so far only'
            )
        label, score = int(sample['gt_label']), float(sample['pred_score'])
        record = ImageRecord(
            product=product, label=label, score=score, **judged(sample, self._classes)
        )
        if self.pixel:
            self._add_pixels(record, sample)
        if not record.is_finite:
            raise ValueError(
                f'{sample.get("img_path")}: expected a finite score and map, and one '
                'has NaN or infinity; check whether the training diverged'
            )
        return record

    def _add_pixels(self, record: ImageRecord, sample: Mapping[str, Any]) -> None:
        pixels, mask = sample.get('pred_map'), sample.get('gt_mask')
        if pixels is None or pixels.ndim != 2:
            given = None if pixels is None else f'a map {tuple(pixels.shape)}'
            raise ValueError(
                f'pred_map={given} of {sample.get("img_path")}: expected one of shape '
                '(height, width); set pixel=False if the model has none'
            )
        record.outlined = mask is not None or record.label == 0
        record.pixels = pixels.detach().float().cpu()
        record.mask = None if mask is None else mask.cpu() != 0

    def _good_scores(
        self, name: str, results: Sequence[ImageRecord]
    ) -> dict[str, float]:
        """How many images a product has, and how high its good ones score."""
        images = [record for record in results if record.product == name]
        good = [record.score for record in images if not record.label]
        scores = torch.tensor(good or [math.nan], dtype=torch.float64)
        found = {
            'good_images': float(len(good)),
            'defective_images': float(len(images) - len(good)),
            **{f'score_q{q}': float(scores.quantile(q / 100)) for q in (50, 95, 99)},
            'score_max': float(scores.max()),
        }
        if good and len(good) == len(images):
            logger: MMLogger = MMLogger.get_current_instance()
            logger.info(
                f"product '{name}': all its {len(good)} test images are good, so its "
                'AUROC is undefined; half of them score below '
                f'{found["score_q50"]:.4g}, 95 % below {found["score_q95"]:.4g}, 99 % '
                f'below {found["score_q99"]:.4g}, none above {found["score_max"]:.4g}.'
            )
        return found

    def _product_metrics(
        self, name: str, images: Sequence[ImageRecord]
    ) -> dict[str, float]:
        """All metrics of one product; says why some are undefined."""
        labels = {record.label for record in images}
        image_reason = pixel_reason = ''
        found = dict.fromkeys(self._metrics, math.nan)
        if not images:
            image_reason = pixel_reason = 'it has no test image'
        elif len(labels) < 2:
            image_reason = f'all its images are {("good", "defective")[1 in labels]}'
        else:
            found |= self._image_metrics(images)
        if self.pixel and images:
            if all(record.outlined for record in images):
                ranking = self._pixel_ranking(name, images)
                found |= self._pixel_metrics(ranking)
                if not ranking.is_defined:
                    kind = 'normal' if len(ranking.defects) else 'defect'
                    pixel_reason = f'its masks have no {kind} pixel'
            else:
                pixel_reason = 'a defective image of it has no mask'
        self._warn(name, image=image_reason, pixel=pixel_reason if self.pixel else '')
        return found

    def _warn(self, name: str, **reasons: str) -> None:
        texts = [f'{kind} metrics ({why})' for kind, why in reasons.items() if why]
        if texts:
            logger: MMLogger = MMLogger.get_current_instance()
            logger.warning(
                f"product '{name}': {' and '.join(texts)} are undefined and left out "
                'of the means.'
            )

    def _image_metrics(self, images: Sequence[ImageRecord]) -> dict[str, float]:
        # float64 holds every float32 as it is.
        scores = torch.tensor([record.score for record in images], dtype=torch.float64)
        ranking = rank_scores(scores, torch.tensor([r.label for r in images]))
        values = (ranking.auroc(), ranking.f1_max())
        return dict(zip(IMAGE_METRICS, map(float, values), strict=True))

    def _pixel_ranking(self, name: str, images: Sequence[ImageRecord]) -> Ranking:
        if self.mode == 'streaming':
            histograms, index = self._opened_histograms(), self._classes.index(name)
            if histograms.unranked(index) > 0.5:
                logger: MMLogger = MMLogger.get_current_instance()
                logger.warning(
                    f"product '{name}': most defect pixels have scores above 65504 or "
                    'below 6e-8, which float16 cannot tell apart, so its pixel metrics '
                    "mean little; use mode='exact'"
                )
            return histograms.ranking(index)
        return rank_pixels(images, align_corners=self.align_corners)

    def _pixel_metrics(self, ranking: Ranking) -> dict[str, float]:
        curve = (ranking.auroc(), ranking.average_precision(), ranking.f1_max())
        values = (*curve, ranking.aupro(self.fpr_limit))
        return dict(zip(PIXEL_METRICS, map(float, values), strict=True))
