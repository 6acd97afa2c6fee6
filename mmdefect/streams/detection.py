"""Streams of box detectors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope

from mmdefect.engine.run_config import set_hook
from mmdefect.registry import HOST_SCOPE, MODELS, TASK_UTILS
from mmdefect.streams.budget import budget_of
from mmdefect.streams.memory import (
    check_enough,
    choose,
    forget_drafts,
    keep,
    kept_already,
    seen_in,
    still_kept,
)
from mmdefect.streams.recall import PSEUDO_LABELS, recall
from mmdefect.streams.stream import Stream
from mmdefect.utils.config import as_list, innermost, is_coco, use_our_dataset

# What mmdet writes: a user's own mmdet config becomes a stream without edits.
_METRICS = {'CocoMetric', 'mmdet.CocoMetric'}
# Whether they know old classes; others are asked, which imports all of mmdet.
_HEADS = {'GFLHead': False, 'IncrementalGFLHead': True}


@TASK_UTILS.register_module()
class DetectionStream(Stream):
    """A stream whose classes are kinds of boxes; ``class_keys`` default to GFL's.

    Args:
        memory: What is kept of a step for the later ones, which see it again beside
            their own images: ``dict(images=10)`` (of each class) or
            ``dict(images_mb=1)`` (in all), objects cut out of them,
            ``dict(crops=30)``, or images that the model draws, ``dict(drawn=10)``; see
            :class:`mmdefect.streams.budget.Budget`; None keeps nothing.
        kwargs: As for :class:`Stream`.

    Raises:
        ValueError: The memory says none or two kinds, is smaller than one image a
            class, or every step sees all images anyway.
    """

    metrics = ('AP50', 'AP', 'own_AP50')
    requires = ('mmengine', 'mmcv', 'mmdet')

    def __init__(
        self, *, memory: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.memory = budget_of(memory)
        if self.memory is not None and self.train_on == 'seen':
            raise ValueError(
                f"stream.memory={self.memory.asked} with train_on='seen': expected "
                'one of them; a step that sees all images has nothing to remember'
            )

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
            if step > 1:  # else the head knows them
                head['step_sizes'] = [len(names) for names in self.steps[: step + 1]]
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
        """Refuse a class of the step without a box; see :class:`Stream`.

        Raises:
            ValueError: That, or fewer images than are to be kept.
        """
        dataset = _own(dataset)
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
        if self.memory is not None:
            images = (image for image, _ in seen_in(dataset, step, self.memory))
            check_enough(images, self.new_classes(step), self.memory)

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

    def remember(
        self, cfg: Config, step: int, folder: Path, before: Path
    ) -> str | None:
        """Choose and write what is kept after ``step``; see :class:`Stream`."""
        budget = self.memory
        if budget is None:
            return None
        seed, classes = int(cfg.randomness.seed), self.seen_classes(step)
        about: dict[str, Any] = {'step': step, 'classes': classes, 'seed': seed}
        if kept_already(folder, budget=budget, **about):
            forget_drafts(folder)
            return None
        kept, new = [], self.new_classes(step)
        share: dict[str, Any] = {'budget': budget, 'share_of': len(classes)}
        if step:
            kept = still_kept(before, classes=self.old_classes(step), **share)
        if not step and budget.start_from:
            kept = still_kept(Path(budget.start_from), classes=classes, **share)
        else:
            dataset = self._training_set(cfg)
            seen = seen_in(dataset, step, budget)
            chosen = choose(seen, classes=new, seed=seed, **share)
            if budget.drawn is not None:
                from mmdefect.streams.drawn import draw  # builds models

                more = {'dataset': dataset, 'iterations': budget.iterations}
                chosen = draw(cfg, step, folder, chosen=chosen, seed=seed, **more)
            kept += chosen
        memory = keep(folder, kept, budget=budget, **about)
        forget_drafts(folder)
        kind = 'images' if budget.crops is None else 'crops'
        size = f'{len(memory.images)} {kind}, {memory.bytes / 1000:.0f} kB'
        return f'{size}, of {len(classes)} classes'

    def _training_set(self, cfg: Config) -> Any:
        from mmdefect.streams.look import look_at_training  # starts a Runner

        with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
            return _own(look_at_training(cfg)[0].dataset)

    def prepare(self, cfg: Config, step: int, folder: Path) -> None:
        """Label new kinds on kept images, if that is wanted; see :class:`Stream`."""
        if self.memory is not None and self.memory.interim is not None:
            from mmdefect.streams.pseudo_labels import label_new_kinds  # builds models

            label_new_kinds(
                cfg,
                Path(cfg.work_dir) / PSEUDO_LABELS,
                interim=Path(self.memory.interim),
                score=self.memory.interim_score,
                step=step,
                memory=folder,
                old_classes=self.old_classes(step),
                seen_classes=self.seen_classes(step),
            )

    def recall(self, cfg: Config, step: int, folder: Path) -> None:
        """Mix what was kept into the batches; see :class:`Stream`."""
        if self.memory is not None:
            seen = self.seen_classes(step)
            old = self.old_classes(step)
            recall(cfg, self.memory, folder, classes=old, seen_classes=seen)


def _own(dataset: Any) -> Any:
    """Step through wrappers of a dataset."""
    while hasattr(dataset, 'dataset'):
        dataset = dataset.dataset
    return dataset


def _knows_old_classes(kind: Any) -> bool:
    """Whether a head is told how many of its classes are old: ours, or a subclass."""
    if isinstance(kind, str):
        name = kind.rpartition('.')[2]
        if name in _HEADS:
            return _HEADS[name]
        with MODELS.switch_scope_and_registry(HOST_SCOPE) as registry:
            kind = registry.get(kind)
    from mmdefect.models.detection.incremental_head import IncrementalHead

    return isinstance(kind, type) and issubclass(kind, IncrementalHead)
