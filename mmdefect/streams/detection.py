"""Streams of box detectors."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config, ConfigDict

from mmdefect.engine.run_config import set_hook
from mmdefect.registry import HOST_SCOPE, MODELS, TASK_UTILS
from mmdefect.streams.stream import Stream
from mmdefect.utils.config import as_list, innermost, is_coco, use_our_dataset

# What mmdet writes: a user's own mmdet config becomes a stream without edits.
_METRICS = {'CocoMetric', 'mmdet.CocoMetric'}
# Whether they know old classes; others are asked, which imports all of mmdet.
_HEADS = {'GFLHead': False, 'IncrementalGFLHead': True}


@TASK_UTILS.register_module()
class DetectionStream(Stream):
    """A stream whose classes are kinds of boxes; ``class_keys`` default to GFL's."""

    metrics = ('AP50', 'AP', 'own_AP50')
    requires = ('mmengine', 'mmcv', 'mmdet')

    def specialise(self, cfg: Config, step: int) -> None:
        """Write the classes of ``step`` into head, datasets and evaluators."""
        head = cfg.model.get('bbox_head')
        if not isinstance(head, dict):
            raise ValueError(
                f'model.type={cfg.model.get("type")!r}: expected a detector with one '
                'bbox_head, such as GFL; DetectionStream sets its class count'
            )
        head['num_classes'] = len(self.seen_classes(step))
        if _knows_old_classes(head['type']):
            head['num_old_classes'] = len(self.old_classes(step))
        for split in ('train', 'val', 'test'):
            self._specialise_loader(cfg.get(f'{split}_dataloader'), split, step)
            for evaluator in as_list(cfg.get(f'{split}_evaluator')):
                self._specialise_evaluator(evaluator, step)

    def _specialise_loader(
        self, loader: ConfigDict | None, split: str, step: int
    ) -> None:
        if loader is None:
            return
        dataset = innermost(loader.dataset)
        if is_coco(dataset, HOST_SCOPE):
            use_our_dataset(dataset)
        dataset.seen_classes = self.seen_classes(step)
        if split == 'train':
            dataset.keep_classes = self.train_classes(step)

    def _specialise_evaluator(self, evaluator: ConfigDict, step: int) -> None:
        if evaluator.type in _METRICS:
            evaluator.type = 'mmdefect.GroupedCocoMetric'
        if evaluator.type == 'mmdefect.GroupedCocoMetric':
            evaluator.old_classes = self.old_classes(step)
            evaluator.step_sizes = [len(names) for names in self.steps[: step + 1]]

    def check_training_set(self, dataset: Any, step: int) -> None:
        """Refuse a class of the step without a box; see :class:`Stream`."""
        while hasattr(dataset, 'dataset'):
            dataset = dataset.dataset
        shown = {
            dataset.metainfo['classes'][box['bbox_label']]
            for index in range(len(dataset))
            for box in dataset.get_data_info(index)['instances']
            if not box.get('ignore_flag')
        }
        absent = [name for name in self.new_classes(step) if name not in shown]
        if absent:
            raise ValueError(
                f'{getattr(dataset, "ann_file", "its dataset")}: expected a box of '
                f'every class of step {step}, found none of {", ".join(absent)}; add '
                'some, or leave the class out of stream.protocol'
            )

    def chain(self, cfg: Config, step: int, checkpoint: str) -> None:
        """Make ``step`` start from ``checkpoint``, by its teacher or else by a hook."""
        if cfg.model.get('distill'):
            cfg.model.teacher = dict(
                checkpoint=checkpoint, classes=self.old_classes(step)
            )
            return
        hook: dict[str, Any] = {
            'type': 'mmdefect.ChainCheckpointHook',
            'checkpoint': checkpoint,
            'classes': self.seen_classes(step),
        }
        if self.class_keys is not None:
            hook['class_keys'] = self.class_keys
        set_hook(cfg, hook)


def _knows_old_classes(kind: Any) -> bool:
    """Whether a head is told how many of its classes are old: ours, or a subclass."""
    if isinstance(kind, str):
        name = kind.rpartition('.')[2]
        if name in _HEADS:
            return _HEADS[name]
        with MODELS.switch_scope_and_registry(HOST_SCOPE) as registry:
            kind = registry.get(kind)
    ours = MODELS.get('mmdefect.IncrementalGFLHead')
    return isinstance(kind, type) and issubclass(kind, ours)
