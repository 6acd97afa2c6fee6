"""Streams of anomaly models: products arrive in steps."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config, ConfigDict

from mmdefect.engine.hooks.continual.previous import PreviousStepHook
from mmdefect.engine.run_config import set_hook
from mmdefect.evaluation.anomaly_alarms import ALARM_METRICS
from mmdefect.functional.class_rows import CONDITIONER_CLASS_KEYS
from mmdefect.registry import HOOKS, TASK_UTILS
from mmdefect.streams.stream import Stream
from mmdefect.utils.config import as_list, innermost


@TASK_UTILS.register_module()
class AnomalyStream(Stream):
    """A stream whose classes are products.

    ``class_keys`` are those of the conditioner by default, and none where a step's
    model has no conditioner.
    """

    metrics = (
        'image_auroc',
        'pixel_auroc',
        'pixel_ap',
        'image_f1max',
        'pixel_f1max',
        'aupro',
    )
    more_metrics = ALARM_METRICS
    requires = ('mmengine', 'mmcv')

    def specialise(self, cfg: Config, step: int) -> None:
        """Write the products of ``step`` into model, datasets and evaluator."""
        cfg.model.num_classes = len(self.seen_classes(step))
        _check_held_out(cfg)
        for split in ('train', 'val', 'test'):
            loader = cfg.get(f'{split}_dataloader')
            if loader is not None:
                self._specialise_dataset(innermost(loader.dataset), split, step)
        for evaluator in as_list(cfg.get('test_evaluator')):
            if str(evaluator.type).removeprefix('mmdefect.') == 'AnomalyMetric':
                evaluator.old_classes = self.old_classes(step)

    def _specialise_dataset(self, dataset: ConfigDict, split: str, step: int) -> None:
        dataset.seen_classes = self.seen_classes(step)
        if split != 'train':
            return
        dataset.keep_classes = self.train_classes(step)
        if dataset.get('replay'):
            kept = self.train_classes(step)
            dataset.replay_classes = [
                name for name in self.old_classes(step) if name not in kept
            ]

    def chain(self, cfg: Config, step: int, checkpoint: str) -> None:
        """Make ``step`` start from ``checkpoint``, and its hooks look back at it."""
        named = (cfg.get('default_hooks') or {}).values()
        for hook in [*named, *(cfg.get('custom_hooks') or [])]:
            if hook and _looks_back(hook['type']):
                hook['checkpoint'] = checkpoint
        set_hook(
            cfg,
            {
                'type': 'mmdefect.ChainCheckpointHook',
                'checkpoint': checkpoint,
                'classes': self.seen_classes(step),
                'class_keys': self._class_keys(cfg.model),
            },
        )

    def _class_keys(self, model: ConfigDict) -> list[str]:
        if self.class_keys is not None:
            return self.class_keys
        return list(CONDITIONER_CLASS_KEYS) if model.get('conditioner') else []


def _check_held_out(cfg: Config) -> None:
    """Refuse to test on images that were learned."""
    given = {
        split: innermost(loader.dataset).get('hold_out')
        for split in ('train', 'test')
        if (loader := cfg.get(f'{split}_dataloader')) is not None
    }
    if len(set(given.values())) > 1:
        raise ValueError(
            f'hold_out={given["train"]} in the training set and {given["test"]} in the '
            'test set: expected the same, or images are tested that were learned'
        )


def _looks_back(kind: Any) -> bool:
    """Whether a hook looks at the checkpoint of the step before."""
    found = HOOKS.get(kind) if isinstance(kind, str) else kind
    return isinstance(found, type) and issubclass(found, PreviousStepHook)
