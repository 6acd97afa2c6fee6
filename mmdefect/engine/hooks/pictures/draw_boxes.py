"""Pictures of detected boxes, one file an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdet.engine.hooks import DetVisualizationHook
from mmdet.structures import DetDataSample
from mmengine.runner import Runner

from mmdefect.datasets.images import HOW_TO_READ, read_info
from mmdefect.registry import HOOKS


@HOOKS.register_module()
class BoxVisualizationHook(DetVisualizationHook):
    """mmdet's :class:`DetVisualizationHook` for folders of images, read as in the test.

    mmdet names a picture after its image without the folder, so that two images of one
    name overwrite each other, and turns pixels by their EXIF orientation although the
    boxes lie on the stored ones. Here pictures keep the folders below the dataset's
    image folder, and pixels are those that the detector has seen.

    Args:
        kwargs: As for mmdet's.
    """

    def before_test_epoch(self, runner: Runner) -> None:
        """Note how the dataset reads its images, and where they lie."""
        dataset = runner.test_dataloader.dataset
        infos = (dataset.get_data_info(index) for index in range(len(dataset)))
        self._read = {
            info['img_path']: {k: info[k] for k in HOW_TO_READ if k in info}
            for info in infos
        }
        prefix = getattr(dataset, 'data_prefix', None) or {}
        self._root = Path(prefix.get('img') or '.')

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Mapping[str, Any],
        outputs: Sequence[DetDataSample],
    ) -> None:
        """Draw every image of the batch."""
        if not self.draw:
            return
        for sample in outputs:
            self._test_index += 1
            path = sample.img_path
            file = None if self.test_out_dir is None else self._file(path)
            self._visualizer.add_datasample(
                Path(path).name if self.show else 'test_img',
                read_info({**self._read.get(path, {}), 'img_path': path})[..., ::-1],
                data_sample=sample,
                show=self.show,
                wait_time=self.wait_time,
                pred_score_thr=self.score_thr,
                out_file=file,
                step=self._test_index,
            )

    def _file(self, path: str) -> str:
        image = Path(path)
        inside = image.is_relative_to(self._root)
        name = image.relative_to(self._root) if inside else Path(image.name)
        return str(Path(self.test_out_dir) / name)
