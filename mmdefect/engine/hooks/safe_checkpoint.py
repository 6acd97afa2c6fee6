"""Checkpoints that a kill cannot truncate and that say which step they belong to."""

from __future__ import annotations

import math
import re
import time
from pathlib import Path
from typing import Any

from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import EpochBasedTrainLoop, Runner

from mmdefect.engine.checkpoint_files import (
    IN_MEMORY,
    InMemory,
    InOnePiece,
    RemoveLater,
    write_once,
)
from mmdefect.engine.selection import validation_loss
from mmdefect.registry import HOOKS
from mmdefect.utils.checkpoint import check_finite
from mmdefect.utils.files import write_text
from mmdefect.utils.interrupts import do_before_end
from mmdefect.utils.whole_checkpoint import publish, remove, settle

HOLD_S = 60.0
"""An epoch that is not saved is kept in memory if the last one was that long ago."""

# In the message hub of a checkpoint: the ones that its being written made outdated.
_TO_GO = 'outdated_ckpt_ids'


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """MMEngine's :class:`CheckpointHook` with atomic writes.

    MMEngine writes a checkpoint in place, so a process killed in the middle leaves a
    broken file under the final name. Here the file is written beside it, flushed to
    disk, read back, hashed (``epoch_1.pth.sha256``) and renamed; ``last_checkpoint``
    follows, and only then are old checkpoints removed. While it trains there is one
    more than ``max_keep_ckpts``, to continue at if a disk spoils the last. So is the
    best one: MMEngine removes the old best first. Weights that are not finite are never
    written. What fails on the main process, a full disk too, ends all of them.

    With an ``interval`` of several epochs the last one that ended is held in memory
    (:data:`HOLD_S`), and written when a signal ends the training: an interruption costs
    the epoch that it comes in, and a minute.

    Of epochs that tie in ``save_best`` the one with the lower validation loss
    (``nll``) is the best, then the later one: on few validation images an untrained
    model may reach the best F1, and MMEngine would keep that first epoch.

    Args:
        stream: What a checkpoint tells of its stream (step, classes); stored as
            ``meta['stream']``.
        kwargs: Passed to :class:`mmengine.hooks.CheckpointHook`.
    """

    max_keep_ckpts: int

    def __init__(self, *, stream: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stream = stream
        self._asked = self.max_keep_ckpts
        self._size = 0  # of the last checkpoint, in bytes
        self._since = -math.inf  # when the last one was saved or held
        self._saved: int | None = None

    def before_train(self, runner: Runner) -> None:
        """Refuse to write checkpoints of a training that sees nothing."""
        if self._asked > 0:
            self.max_keep_ckpts = self._asked + 1
        super().before_train(runner)
        self._since = time.monotonic()
        self._keep_one_saved_at_its_end(runner)
        # A copied work dir knows the old folder, whose best would be removed.
        if path := getattr(self, 'best_ckpt_path', None):
            self.best_ckpt_path = self._here(path)
        for key, path in getattr(self, 'best_ckpt_path_dict', {}).items():
            self.best_ckpt_path_dict[key] = self._here(path)
        if runner._resume and is_main_process():
            self._finish_what_was_killed(runner)
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            data = runner.train_dataloader
            if not len(data):  # MMEngine would count its epochs and train nothing
                size, last = data.batch_size, data.drop_last
                raise no_batch(len(data.dataset), size, drop_last=last)

    def after_train_epoch(self, runner: Runner) -> None:
        """Save the epoch, or hold it for an interruption."""
        super().after_train_epoch(runner)
        late = time.monotonic() - self._since >= HOLD_S
        if self.by_epoch and self._saved != runner.epoch + 1 and late:
            self._hold(runner)

    def after_train(self, runner: Runner) -> None:
        """Remove what was kept while it trained only."""
        super().after_train(runner)
        do_before_end(None)
        self.max_keep_ckpts = self._asked
        while 0 < self._asked < len(self.keep_ckpt_ids):
            name = self.filename_tmpl.format(self.keep_ckpt_ids.popleft())
            if is_main_process():
                remove(Path(self.out_dir) / name)

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
        if isinstance(runner, InOnePiece):  # after a new best: written whole here
            runner = runner.runner
        outdated = self._outdated(runner, step)
        name = self.filename_tmpl.format(step)
        self.last_ckpt = str(Path(self.out_dir) / name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)

        def write() -> None:
            path = Path(self.last_ckpt)
            self._write(runner, f'{name}.tmp', meta)
            self._publish(runner, path)
            self._size = path.stat().st_size
            for old in outdated:
                remove(old)

        write_once(write, Path(f'{self.last_ckpt}.tmp'), size=self._size)
        do_before_end(None)
        self._saved, self._since = step, time.monotonic()

    def _write(self, runner: Runner, name: str, meta: dict, **more: Any) -> None:
        runner.save_checkpoint(
            self.out_dir,
            name,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            **more,
            **self.args,
        )

    def _publish(self, runner: Runner, path: Path) -> None:
        publish(Path(f'{path}.tmp'), path)
        pointer = Path(runner.work_dir) / 'last_checkpoint'
        write_text(pointer, str(path), lasting=True)

    def _hold(self, runner: Runner) -> None:
        """Keep what a checkpoint would be, until the next one is written."""
        step = runner.epoch + 1
        name = self.filename_tmpl.format(step)
        meta = {'epoch': step, 'iter': runner.iter}
        if is_main_process():
            self._write(runner, name, meta, backend_args={'backend': IN_MEMORY})
            path = Path(self.out_dir) / name
            content = InMemory.content.pop(str(path))

            def write() -> str:
                Path(f'{path}.tmp').write_bytes(content)
                self._publish(runner, path)
                return f'{name} is saved'

            do_before_end(write)
        self._since = time.monotonic()

    def _keep_one_saved_at_its_end(self, runner: Runner) -> None:
        """Count a checkpoint that was written by an interruption among the others."""
        own = Path(self.out_dir) / self.filename_tmpl.format(runner.epoch)
        if self.by_epoch and runner.epoch and own.is_file():
            for old in self._outdated(runner, runner.epoch):
                if is_main_process():
                    remove(old)

    def _finish_what_was_killed(self, runner: Runner) -> None:
        """Write the hashes that are missing; remove drafts and what was to go.

        A training that was killed while it saved its last epoch saves nothing again.
        """
        folder = Path(self.out_dir)
        for pattern in ('*.pth.tmp', '*.pth.sha256.tmp', 'last_checkpoint.tmp'):
            for draft in folder.glob(pattern):
                draft.unlink(missing_ok=True)
        for old in runner.message_hub.runtime_info.get(_TO_GO, ()):
            remove(folder / self.filename_tmpl.format(old))
        step = runner.epoch if self.by_epoch else runner.iter
        settle(folder / self.filename_tmpl.format(step))
        for key in self.key_indicators if self.save_best else ():
            best = self._best(key)
            if best is not None:
                settle(best)
                for path in _saved_as_best(folder, key):
                    if path != best:
                        remove(path)

    def _best(self, key: str) -> Path | None:
        known = getattr(self, 'best_ckpt_path_dict', {})
        path = known.get(key) or getattr(self, 'best_ckpt_path', None)
        return None if path is None else Path(path)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict[str, Any]) -> None:
        backend: Any = getattr(self, 'file_backend', None)
        later = RemoveLater(backend)
        self.file_backend: Any = later
        compare = getattr(self, 'is_better_than', {})
        self.is_better_than: Any = self._with_ties(runner, metrics)
        try:
            super()._save_best_checkpoint(InOnePiece(runner), metrics)
        finally:
            self.file_backend = backend
            self.is_better_than = compare
        best = getattr(self, 'best_ckpt_path', None)
        kept = {best, *getattr(self, 'best_ckpt_path_dict', {}).values()}
        for path in set(later.outdated) - kept:
            remove(Path(path))

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
        runner.message_hub.update_info(_TO_GO, outdated)
        return [Path(self.out_dir) / self.filename_tmpl.format(old) for old in outdated]

    def _here(self, path: str | None) -> str | None:
        """Where a best checkpoint lies now; None if it is not in this folder."""
        own = Path(self.out_dir) / Path(path or '').name
        return str(own) if own.is_file() else None


def _saved_as_best(folder: Path, key: str) -> list[Path]:
    name = re.escape(key.replace('/', '_'))
    best = re.compile(rf'best_{name}_(?:epoch|iter)_\d+\.pth')
    return [path for path in folder.iterdir() if best.fullmatch(path.name)]


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
