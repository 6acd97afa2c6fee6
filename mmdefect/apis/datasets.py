"""Data sets that a config names: built without a look at every file, and compared."""

from __future__ import annotations

import copy
import inspect
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.logging import MMLogger
from mmengine.registry import DATASETS, DefaultScope

from mmdefect.datasets.boxes.coco_file import read_coco
from mmdefect.engine.calibrated import annotation_files
from mmdefect.utils.checks import some_of
from mmdefect.utils.config import every_innermost
from mmdefect.utils.dumped_config import SCOPES, check_types
from mmdefect.utils.files import identical_files

# Looking at all files of a set at its start.
_CHECKS = {'verify_images': False, 'verify': False, 'cache_gb': 0.0}
# What chooses images of a step among those of its classes.
_OF_A_STEP = ('keep_classes', 'replay', 'replay_classes', 'rebalance')


def build_dataset(
    cfg: Any, settings: Mapping[str, Any], *, verified: bool = True
) -> Any:
    """Build a data set of a config.

    Args:
        cfg: Says in which scope names are looked up.
        settings: Of the data set.
        verified: Whether all of its files are looked at, as the settings say. If not,
            it is to be no wrapper.
    """
    given: dict[str, Any] = copy.deepcopy(dict(settings))
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        if verified:
            return DATASETS.build(given)
        given.update(_without_checks(DATASETS.get(given['type'])))
        with _silently():
            return DATASETS.build(given)


@contextmanager
def _silently() -> Iterator[None]:
    """Nobody has asked what is in it."""
    logger = MMLogger.get_current_instance()
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _without_checks(kind: Any) -> dict[str, Any]:
    """Those of the settings that a dataset, or one that it inherits from, has."""
    known: set[str] = set()
    for part in getattr(kind, '__mro__', ()):
        if '__init__' in vars(part):
            known.update(inspect.signature(part.__init__).parameters)
    return {name: value for name, value in _CHECKS.items() if name in known}


def refuse_learned(cfg: Any, paths: Sequence[Path]) -> list[str]:
    """Refuse images that a model was trained on, whatever they are called now.

    They are told by their content where the training images are on this machine. Where
    they are not, nobody can tell, and names are a hint.

    Args:
        cfg: Of the model; without training data nothing is known.
        paths: Images that thresholds are to be chosen on.

    Returns:
        What a user should know, one sentence or none.

    Raises:
        ValueError: Naming those that were learned from.
    """
    if 'dataset' not in (cfg.get('train_dataloader') or {}):
        return []
    learned = _learned(cfg)
    here = [path for path in learned if path.is_file()]
    if same := _of_equal_content(paths, here):
        raise ValueError(
            f'{len(same)} of {len(paths)} images are training images of this model '
            f'({some_of(same)}): expected images that it has not learned from, as it '
            'is too sure of those; give others'
        )
    if learned and len(here) == len(learned):
        return []
    gone = {path.name for path in learned} - {path.name for path in here}
    alike = [str(path) for path in paths if path.name in gone]
    hint = f'; {len(alike)} have their names ({some_of(alike)})' if alike else ''
    return [
        'the training images are not here to be compared: thresholds mean nothing if '
        f'these images are among them{hint}'
    ]


def _learned(cfg: Any) -> list[Path]:
    """Training images, of a stream's step those of the steps before it, too."""
    try:
        return [*dict.fromkeys(_training_images(cfg))]
    except (AssertionError, KeyError, OSError, TypeError, ValueError):
        # Not on this machine; a list of them may be.
        lists = annotation_files(cfg.train_dataloader['dataset'])
        known = [path for path in lists if path.suffix == '.json' and path.is_file()]
        return [Path(i['file_name']) for path in known for i in _images_of(path)]


def _training_images(cfg: Any) -> Iterator[Path]:
    for settings in every_innermost(cfg.train_dataloader['dataset']):
        plain = {key: v for key, v in settings.items() if key not in _OF_A_STEP}
        check_types(plain, 'train_dataloader', (*SCOPES, 'mmcv', 'mmengine'))
        dataset = build_dataset(cfg, {**plain, 'pipeline': []}, verified=False)
        for index in range(len(dataset)):
            yield Path(dataset.get_data_info(index)['img_path'])


def _images_of(path: Path) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = read_coco(path)['images']
    except ValueError:  # damaged, and no list
        return []
    return found


def _of_equal_content(paths: Sequence[Path], others: Sequence[Path]) -> list[str]:
    """Those of the paths whose bytes one of the others has, too."""
    ours = [path for path in paths if path.is_file()]
    sizes = {path.stat().st_size for path in ours}
    alike = [path for path in others if path.stat().st_size in sizes]
    groups = map(set, identical_files([*ours, *alike]))
    same = {path for group in groups if group.intersection(alike) for path in group}
    return [str(path) for path in ours if path in same]
