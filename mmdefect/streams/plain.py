"""COCO data of a config without a stream, read by the rules of a stream's."""

from __future__ import annotations

from mmengine.config import ConfigDict
from mmengine.runner import Runner

from mmdefect.utils.config import as_list, every_innermost, is_coco, use_our_dataset

OUR_METRIC = 'mmdefect.GroupedCocoMetric'


def check_coco_data(runner: Runner) -> None:
    """Read the data of every mmdet ``CocoDataset`` as ``mmdefect.DefectDetDataset``.

    mmdet's takes labels from a file of other class names or another class order without
    a word; ours refuses what cannot be right. The metric stays, and so does the config
    of the Runner, which is dumped, logged and saved in checkpoints: it is the user's
    and works without this package.

    Data of another backend than the disk, and datasets of other types, stay as they
    are.

    Args:
        runner: As it was built, before its loaders are.
    """
    for split in ('train', 'val', 'test'):
        # Given at construction, built when a loop starts.
        loader = getattr(runner, f'_{split}_dataloader')
        metrics = as_list(runner.cfg.get(f'{split}_evaluator'))
        stock = all(metric.get('type') != OUR_METRIC for metric in metrics)
        if isinstance(loader, dict):
            for dataset in every_innermost(loader['dataset']):
                if _is_plain(dataset, runner.cfg.get('default_scope')):
                    use_our_dataset(dataset)
                    dataset.setdefault('stock_metric', stock)


def _is_plain(dataset: ConfigDict, scope: str | None) -> bool:
    """Whether it is mmdet's ``CocoDataset``, with files on the disk."""
    backend = (dataset.get('backend_args') or {}).get('backend', 'local')
    return backend == 'local' and is_coco(dataset, dataset.get('_scope_') or scope)
