"""Pictures of classified images, one file an image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmpretrain.engine.hooks import VisualizationHook
from mmpretrain.structures import DataSample

from mmdefect.registry import HOOKS


@HOOKS.register_module()
class ClsVisualizationHook(VisualizationHook):
    """mmpretrain's :class:`VisualizationHook` with folders in the file names.

    mmpretrain names a picture after its image without the folder, so two images of one
    name in ``def_front/`` and ``ok_front/`` overwrite each other. Here the last two
    folders come with it: ``train_def_front_cast_0_12.jpeg_0.png``.

    Args:
        kwargs: As for mmpretrain's.
    """

    def _draw_samples(
        self,
        batch_idx: int,
        data_batch: dict,
        data_samples: Sequence[DataSample],
        step: int = 0,
    ) -> None:
        named = [_renamed(sample) for sample in data_samples]
        super()._draw_samples(batch_idx, data_batch, named, step=step)


def _renamed(sample: DataSample) -> DataSample:
    """The same sample (not a copy of its tensors) under a name of its own."""
    if 'img_path' not in sample:
        return sample
    name = '_'.join(Path(sample.img_path).parts[-3:]).lstrip('/')
    return sample.new(metainfo={**dict(sample.metainfo_items()), 'img_path': name})
