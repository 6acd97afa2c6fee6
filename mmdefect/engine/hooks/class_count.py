"""A model and its data mean the same classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from mmdefect.registry import HOOKS
from mmdefect.utils.checks import some_of
from mmdefect.utils.modules import unwrapped


@HOOKS.register_module()
class ClassCountHook(Hook):
    """Refuses a head of more or fewer classes than the dataset has.

    With more, training is silent and the rest of the head learns nothing; with fewer it
    breaks off in the loss. ``tools/train.py`` and ``tools/test.py`` add this hook to
    every config without a stream; a stream sets the head itself.

    Refuses a classifier's folders in another order than the classes of the same names,
    too: mmpretrain numbers folders by the alphabet, so every label would be wrong.

    Raises:
        ValueError: Naming both numbers and the classes; or folders and classes.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Compare with the training and the validation data."""
        _check(runner, runner.train_dataloader)
        if runner.val_loop is not None:
            _check(runner, runner.val_dataloader)

    def before_test(self, runner: Runner) -> None:
        """Compare with the test data."""
        _check(runner, runner.test_dataloader)


def _check(runner: Runner, loader: Any) -> None:
    dataset = loader.dataset
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    if not isinstance(classes, list | tuple):
        return
    _check_order([*map(str, classes)], getattr(dataset, 'folder_to_idx', None) or {})
    for name, head in _heads(unwrapped(runner)).items():
        number = getattr(head, 'num_classes', len(classes))
        if number != len(classes):
            raise ValueError(
                f'model.{name}.num_classes={number}: expected {len(classes)}, as '
                f'{type(dataset).__name__} has {some_of([*map(str, classes)], 10)}; '
                'set it, or correct the classes'
            )


def _check_order(classes: list[str], folders: Mapping[str, int]) -> None:
    found = sorted(folders, key=lambda name: folders[name])
    if found != classes and set(found) == set(classes):
        raise ValueError(
            f'classes={classes}: expected {found}, the order of the folders, which are '
            'numbered by the alphabet; leave classes out and rename the folders '
            '(0_scrap, 1_good), or list images and labels in a file, ann_file='
            f"'train.txt', with lines such as '{classes[0]}/1.png 0'"
        )


def _heads(model: nn.Module) -> dict[str, Any]:
    """Heads that tell classes apart, by their place in a config."""
    heads: dict[str, Any] = {}
    places = {'': model, 'roi_head.': getattr(model, 'roi_head', None)}
    for prefix, part in places.items():
        name, head = f'{prefix}bbox_head', getattr(part, 'bbox_head', None)
        if isinstance(head, nn.ModuleList):  # of a cascade
            heads |= {f'{name}.{index}': one for index, one in enumerate(head)}
        elif head is not None:
            heads[name] = head
    return heads
