"""Checkpoints that a kill cannot truncate and that say which step they belong to."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.dist import get_world_size
from mmengine.hooks import CheckpointHook
from mmengine.runner import EpochBasedTrainLoop, Runner

from mmdefect.engine.selection import validation_loss
from mmdefect.registry import HOOKS
from mmdefect.utils.checkpoint import check_finite
from mmdefect.utils.distributed import on_main_process


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """MMEngine's :class:`CheckpointHook` with atomic writes.

    MMEngine writes a checkpoint in place, so a process killed in the middle leaves a
    broken file under the final name. Here the file is written beside it, flushed to
    disk and renamed; ``last_checkpoint`` follows, and only then are old checkpoints
    removed. So is the best one: MMEngine removes the old best first. Weights that are
    not finite are never written. What fails on the main process, a full disk too, ends
    all of them.

    Of epochs that tie in ``save_best`` the one with the lower validation loss
    (``nll``) is the best, then the later one: on few validation images an untrained
    model may reach the best F1, and MMEngine would keep that first epoch.

    Args:
        stream: What a checkpoint tells of its stream (step, classes); stored as
            ``meta['stream']``.
        kwargs: Passed to :class:`mmengine.hooks.CheckpointHook`.
    """

    def __init__(self, *, stream: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stream = stream

    def before_train(self, runner: Runner) -> None:
        """Refuse to write checkpoints of a training that sees nothing."""
        super().before_train(runner)
        # A copied work dir knows the old folder, whose best would be removed.
        if path := getattr(self, 'best_ckpt_path', None):
            self.best_ckpt_path = self._here(path)
        for key, path in getattr(self, 'best_ckpt_path_dict', {}).items():
            self.best_ckpt_path_dict[key] = self._here(path)
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            data = runner.train_dataloader
            if not len(data):  # MMEngine would count its epochs and train nothing
                size, last = data.batch_size, data.drop_last
                raise no_batch(len(data.dataset), size, drop_last=last)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the step, the classes and how images were normalised to the meta.

        Raises:
            ValueError: The weights are not finite.
        """
        for part in ('state_dict', 'ema_state_dict'):
            name = f'the model of {runner.work_dir} at iteration {runner.iter}'
            check_finite(checkpoint.get(part) or {}, name)
        if self.stream is not None:
            checkpoint['meta']['stream'] = dict(self.stream)
        if given := runner.cfg.get('data_preprocessor'):
            checkpoint['meta']['data_preprocessor'] = given.to_dict()

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        if isinstance(runner, _InOnePiece):  # after a new best: written whole here
            runner = runner.runner
        outdated = self._outdated(runner, step)
        name = self.filename_tmpl.format(step)
        self.last_ckpt = str(Path(self.out_dir) / name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)

        def write() -> None:
            runner.save_checkpoint(
                self.out_dir,
                f'{name}.tmp',
                save_optimizer=self.save_optimizer,
                save_param_scheduler=self.save_param_scheduler,
                meta=meta,
                by_epoch=self.by_epoch,
                **self.args,
            )
            _publish(Path(f'{self.last_ckpt}.tmp'), Path(self.last_ckpt))
            pointer = Path(runner.work_dir) / 'last_checkpoint'
            pointer.with_suffix('.tmp').write_text(self.last_ckpt, encoding='utf-8')
            _publish(pointer.with_suffix('.tmp'), pointer)
            for path in outdated:
                path.unlink(missing_ok=True)

        _write_once(write, Path(f'{self.last_ckpt}.tmp'))

    def _save_best_checkpoint(self, runner: Runner, metrics: dict[str, Any]) -> None:
        backend: Any = getattr(self, 'file_backend', None)
        later = _RemoveLater(backend)
        self.file_backend: Any = later
        compare = getattr(self, 'is_better_than', {})
        self.is_better_than: Any = self._with_ties(runner, metrics)
        try:
            super()._save_best_checkpoint(_InOnePiece(runner), metrics)
        finally:
            self.file_backend = backend
            self.is_better_than = compare
        best = getattr(self, 'best_ckpt_path', None)
        kept = {best, *getattr(self, 'best_ckpt_path_dict', {}).values()}
        for path in set(later.outdated) - kept:
            Path(path).unlink(missing_ok=True)

    def _with_ties(self, runner: Runner, metrics: dict[str, Any]) -> dict[str, Any]:
        """Decide for each metric of ``save_best``; note the loss of a new best."""
        if not self.save_best:
            return {}
        if 'auto' in self.key_indicators:  # as MMEngine is about to do
            self._init_rule(self.rules, [next(iter(metrics))])
        loss, known = validation_loss(metrics), runner.message_hub.runtime_info
        decided: dict[str, Any] = {}
        for key, rule in zip(self.key_indicators, self.rules, strict=True):
            if key not in metrics:
                raise ValueError(
                    f'default_hooks.checkpoint.save_best={key!r}: expected one of '
                    f'{", ".join(metrics)}, which are measured'
                )
            name = 'best_score' if len(self.rules) == 1 else f'best_score_{key}'
            score, best = metrics[key], known.get(name, self.init_value_map[rule])
            wins = score is not None and self.rule_map[rule](score, best)
            tied = score == best and name in known
            if tied and loss <= known.get(f'{name}_loss', math.inf):
                wins = True
            if wins:  # before the checkpoint that holds it is written
                runner.message_hub.update_info(f'{name}_loss', loss)
            decided[key] = lambda *_, wins=wins: wins
        return decided

    def _outdated(self, runner: Runner, step: int) -> list[Path]:
        """Return the checkpoints that ``max_keep_ckpts`` no longer allows."""
        if self.max_keep_ckpts <= 0 or step in self.keep_ckpt_ids:
            return []
        keep = [*self.keep_ckpt_ids, step]
        outdated, keep = keep[: -self.max_keep_ckpts], keep[-self.max_keep_ckpts :]
        self.keep_ckpt_ids.clear()
        self.keep_ckpt_ids.extend(keep)
        runner.message_hub.update_info('keep_ckpt_ids', keep)
        return [Path(self.out_dir) / self.filename_tmpl.format(old) for old in outdated]

    def _here(self, path: str | None) -> str | None:
        """Where a best checkpoint lies now; None if it is not in this folder."""
        own = Path(self.out_dir) / Path(path or '').name
        return str(own) if own.is_file() else None


class _RemoveLater:
    """A file backend that notes what is to be removed."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.outdated: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def remove(self, path: str) -> None:
        self.outdated.append(str(path))


class _InOnePiece:
    """A runner whose checkpoints have their names once they are written."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.runner, name)

    def save_checkpoint(self, out_dir: str, filename: str, **kwargs: Any) -> None:
        path = Path(out_dir) / filename
        draft = path.with_name(f'{filename}.tmp')

        def write() -> None:
            self.runner.save_checkpoint(out_dir, draft.name, **kwargs)
            _publish(draft, path)

        _write_once(write, draft)


def no_batch(images: int, batch_size: int | None, *, drop_last: bool) -> ValueError:
    """The error of an epoch without a batch; ``batch_size`` is that of each process."""
    processes = get_world_size()
    shared = f' for {processes} processes' if processes > 1 else ''
    each = ' of each process' if processes > 1 else ''
    return ValueError(
        f'the training set has {images} images{shared}, and train_dataloader has '
        f'batch_size={batch_size}{each} and drop_last={drop_last}: expected at least '
        'one batch an epoch; make it smaller, or set drop_last=False'
    )


def _write_once(write: Callable[[], None], draft: Path) -> None:
    """Write on the main process; what fails there ends all of them.

    Raises:
        OSError: Saying what to do; the draft is gone then.
    """

    def attempt() -> None:
        try:
            write()
        except KeyboardInterrupt:
            draft.unlink(missing_ok=True)
            raise
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise OSError(
                error.errno,
                f'{draft.with_suffix("")} was not saved ({error.strerror}): free some '
                'space, or make the folder writable, and continue with --resume',
            ) from None

    on_main_process(attempt)


def _publish(source: Path, target: Path) -> None:
    """Rename ``source`` to ``target`` once its bytes are on the disk."""
    with source.open('rb') as file:
        os.fsync(file.fileno())
    source.replace(target)
