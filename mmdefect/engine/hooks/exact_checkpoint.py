"""What is tested or resumed is the checkpoint, all of it and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner

from mmdefect.engine.hooks.freeze import is_about_to_train
from mmdefect.registry import HOOKS
from mmdefect.utils.checkpoint import (
    checkpoint_classes,
    load_all,
    state_dict_of,
)
from mmdefect.utils.distributed import on_main_process
from mmdefect.utils.modules import unwrapped
from mmdefect.utils.plain_data import storable
from mmdefect.utils.whole_checkpoint import newest_whole

# Second networks that releases keep beside the one that a config describes.
COMPANIONS = ('ori_model.', 'teacher.', 'ema_')


@HOOKS.register_module()
class ExactCheckpointHook(Hook):
    """Refuses to test or to resume a checkpoint that is another model's.

    MMEngine loads what fits and passes over the rest, so a model that was filled in
    part, or not at all, would be scored. Here every weight has to be in the file with
    its shape, no other may be (a teacher or the moving average beside the model may),
    the classes that the file names have to be those of the dataset, in their order, and
    all weights finite. A training that only starts from a file (``load_from``) may take
    over a part; its weights have to be finite.

    A work dir that was moved or copied resumes where it is now.

    tools/train.py and tools/test.py add this hook.
    """

    # Before hooks that load a second model from the same file.
    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._training = False

    def before_train(self, runner: Runner) -> None:
        """From here on nothing is resumed: hooks hand weights of their own around."""
        self._training = True

    def before_run(self, runner: Runner) -> None:
        """Have a moved or copied work dir resume at its own newest whole checkpoint.

        Raises:
            ValueError: It has some, and none is whole.
        """
        if runner._resume and runner._load_from is None:
            folder, say = Path(runner.work_dir), runner.logger.warning
            own = on_main_process(lambda: newest_whole(folder, say))
            runner._load_from = None if own is None else str(own)

    def before_save_checkpoint(
        self, runner: Runner, checkpoint: dict[str, Any]
    ) -> None:
        """Write the meta of a dataset so that it can be read again."""
        meta = checkpoint['meta']
        if 'dataset_meta' in meta:
            meta['dataset_meta'] = storable(meta['dataset_meta'])

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Check what MMEngine has read and is about to load.

        Raises:
            ValueError: It does not fit; naming file, weights or classes.
        """
        path = runner._load_from or f'the last checkpoint of {runner.work_dir}'
        state = state_dict_of(checkpoint, path)
        if 'ema_state_dict' in checkpoint:
            averaged = {'state_dict': checkpoint['ema_state_dict']}
            state_dict_of(averaged, f'ema_state_dict of {path}')
        if self._training:
            return
        trains = is_about_to_train(runner)
        if trains and not runner._resume:
            return
        if trains:
            _check_progress(checkpoint, path)
        _check_classes(checkpoint, _dataset(runner, trains), path)
        model = unwrapped(runner)
        name = f'the {type(model).__name__} of this config'
        load_all(model, state, path, name=name, others=COMPANIONS)


def _check_progress(checkpoint: Mapping[str, Any], path: str) -> None:
    """Refuse what is no state of a training, before MMEngine stumbles over it."""
    meta = checkpoint.get('meta') or {}
    counted = all(type(meta.get(name)) is int for name in ('epoch', 'iter'))
    if not counted or not isinstance(checkpoint.get('message_hub'), dict):
        raise ValueError(
            f'{path} cannot be resumed: it holds weights, expected how far a training '
            'had come, too; start from it with --cfg-options load_from=... instead'
        )
    for found, name, kinds in (
        (meta, 'seed', (int, type(None))),
        (checkpoint, 'optimizer', (dict,)),
        (checkpoint, 'param_schedulers', (list, dict)),
    ):
        if name in found and not isinstance(found[name], kinds):
            raise ValueError(
                f'{path} cannot be resumed: its {name} is a '
                f'{type(found[name]).__name__}, expected a {kinds[0].__name__}; use an '
                'earlier checkpoint'
            )


def _dataset(runner: Runner, trains: bool) -> Any:
    tests = isinstance(runner._test_loop, BaseLoop)
    later = runner.test_loop if tests else runner.val_loop
    loop: Any = runner.train_loop if trains else later
    return getattr(loop.dataloader, 'dataset', None)


def _check_classes(checkpoint: Mapping[str, Any], dataset: Any, path: str) -> None:
    found = checkpoint_classes(checkpoint, path)
    expected = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    if found is None or not expected:
        return
    expected = [expected] if isinstance(expected, str) else list(expected)
    if found != expected:
        raise ValueError(
            f'{path} knows the classes {found}: expected those of the dataset, '
            f'{expected}; give the dataset the same ones in this order '
            '(metainfo.classes), or use the checkpoint that was trained on these'
        )
