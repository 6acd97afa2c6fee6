"""A config's own test pipeline for images that are in memory already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from mmdefect.apis.config_files import build_part
from mmdefect.apis.trained import dataset_of
from mmdefect.utils.checks import brief

# What may stand in a config; an image in memory has three channels whatever was asked.
_GREY = ('grayscale', 'grayscale_ignore_orientation')


class ArrayPipeline:
    """From a BGR array to the item that a dataset would give, annotations aside.

    Args:
        cfg: A config; the pipeline is the one of its test dataset, or of validation.

    Raises:
        ValueError: It has no such dataset or pipeline, the pipeline does not begin by
            loading an image, or a part of it cannot be built.

    Example:
        >>> from mmengine.config import Config
        >>> kinds = ('LoadImageFromFile', 'mmdefect.PackAnomalyInputs')
        >>> steps = [{'type': kind} for kind in kinds]
        >>> data = {'type': 'mmdefect.AnomalyDataset', 'pipeline': steps}
        >>> pipeline = ArrayPipeline(Config({'test_dataloader': {'dataset': data}}))
        >>> pipeline(np.zeros((20, 30, 3), np.uint8))['inputs'].shape
        torch.Size([3, 20, 30])
    """

    def __init__(self, cfg: Any) -> None:
        from mmengine.registry import TRANSFORMS, DefaultScope

        dataset = dataset_of(cfg)
        steps = list((dataset or {}).get('pipeline') or [])
        kinds = [_kind(step) for step in steps]
        loading = next((step for step in steps if _loads_image(_kind(step))), None)
        if loading is None:
            raise ValueError(
                f'test_dataloader.dataset.pipeline={kinds}: expected one that begins '
                'with LoadImageFromFile and says how images are prepared; add it'
            )
        self.grey = loading.get('color_type') in _GREY
        self.to_float = bool(loading.get('to_float32'))
        # Labels that no prediction looks at, and a packing that wants one.
        self.label = {'gt_label': 0} if 'PackAnomalyInputs' in kinds else {}
        with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
            self.transforms = [
                build_part(TRANSFORMS, step, name='pipeline', path=cfg.filename)
                for step, kind in zip(steps, kinds, strict=True)
                if not kind.startswith('Load')
            ]

    def __call__(self, image: np.ndarray) -> dict[str, Any]:
        """Prepare one image.

        Args:
            image: ``(H, W, 3)``, BGR, uint8. It is left as it is.

        Returns:
            ``inputs``, ``(C, h, w)``, and ``data_samples``.
        """
        # Transforms may write into what they get.
        image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if self.grey else image.copy()
        if self.to_float:
            image = image.astype(np.float32)
        shape = image.shape[:2]
        item: Any = {
            'img': image,
            'img_shape': shape,
            'ori_shape': shape,
            'height': shape[0],
            'width': shape[1],
            'scale_factor': (1.0, 1.0),
            'img_path': '',
            'img_id': 0,
            **self.label,
        }
        for transform in self.transforms:
            item = transform(item)
        return item


def _kind(step: Mapping[str, Any]) -> str:
    kind = step.get('type') if isinstance(step, Mapping) else None
    if kind is None:
        raise ValueError(
            f'test_dataloader.dataset.pipeline has {brief(step)}: expected '
            "dict(type='...'); correct it"
        )
    name = kind if isinstance(kind, str) else kind.__name__
    return name.rpartition('.')[2]


def _loads_image(kind: str) -> bool:
    return kind.startswith('Load') and 'Image' in kind
