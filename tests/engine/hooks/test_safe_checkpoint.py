from __future__ import annotations

import errno
import io
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdefect.engine.hooks import safe_checkpoint
from mmdefect.engine.hooks.safe_checkpoint import SafeCheckpointHook
from mmdefect.utils.checkpoint import load_weights

HOOK = {'type': 'mmdefect.SafeCheckpointHook', 'interval': 1}
MakeRunner = Callable[..., Runner]


class Killed(BaseException):
    """What a process feels when it dies: nothing catches it."""


def files(work_dir: Path) -> list[str]:
    """All files but the config, which MMEngine dumps at every start."""
    found = (path for path in work_dir.iterdir() if path.is_file())
    return sorted(path.name for path in found if path.suffix != '.py')


def pointer(work_dir: Path) -> str:
    return Path((work_dir / 'last_checkpoint').read_text(encoding='utf-8')).name


def die_in_epoch(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write half of the checkpoint of ``epoch``, then die."""

    def save(checkpoint: dict, filename: str, **kwargs: object) -> None:
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        content = buffer.getvalue()
        dies = checkpoint['meta']['epoch'] == epoch
        Path(filename).write_bytes(content[: len(content) // 2] if dies else content)
        if dies:
            raise Killed

    monkeypatch.setattr('mmengine.runner.runner.save_checkpoint', save)


def test_smoke(make_runner: MakeRunner, tmp_path: Path) -> None:
    make_runner(epochs=2, checkpoint=HOOK).train()
    work_dir = tmp_path / 'work'
    assert files(work_dir) == ['epoch_1.pth', 'epoch_2.pth', 'last_checkpoint']
    assert pointer(work_dir) == 'epoch_2.pth'
    assert load_weights(work_dir / 'epoch_2.pth')['meta']['epoch'] == 2


def test_feature_meta_says_step_and_classes(
    make_runner: MakeRunner, tmp_path: Path
) -> None:
    stream = {'step': 1, 'classes': ['crazing', 'patches'], 'old_classes': ['crazing']}
    make_runner(epochs=1, checkpoint={**HOOK, 'stream': stream}).train()
    meta = load_weights(tmp_path / 'work/epoch_1.pth')['meta']
    assert meta['stream'] == stream
    assert list(meta['dataset_meta']['classes']) == ['crazing', 'patches']


def test_feature_without_a_stream_nothing_is_said(
    make_runner: MakeRunner, tmp_path: Path
) -> None:
    make_runner(epochs=1, checkpoint=HOOK).train()
    assert 'stream' not in load_weights(tmp_path / 'work/epoch_1.pth')['meta']


@pytest.mark.parametrize(
    ('keep', 'epochs', 'kept'),
    [(1, 3, [3]), (2, 4, [3, 4]), (3, 2, [1, 2]), (-1, 3, [1, 2, 3])],
)
def test_feature_max_keep_ckpts(
    keep: int, epochs: int, kept: list[int], make_runner: MakeRunner, tmp_path: Path
) -> None:
    checkpoint = {**HOOK, 'max_keep_ckpts': keep}
    make_runner(epochs=epochs, checkpoint=checkpoint).train()
    expected = [f'epoch_{epoch}.pth' for epoch in kept]
    assert files(tmp_path / 'work') == [*expected, 'last_checkpoint']


@pytest.mark.parametrize('keep', [1, 2])
def test_feature_resumed_run_keeps_as_many(
    keep: int, make_runner: MakeRunner, tmp_path: Path
) -> None:
    checkpoint = {**HOOK, 'max_keep_ckpts': keep}
    make_runner(epochs=2, checkpoint=checkpoint).train()
    make_runner(epochs=4, checkpoint=checkpoint, resume=True).train()
    expected = [f'epoch_{epoch}.pth' for epoch in range(5 - keep, 5)]
    assert files(tmp_path / 'work') == [*expected, 'last_checkpoint']


def test_feature_a_save_that_dies_leaves_the_old_one(
    make_runner: MakeRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old file and pointer are intact, and the run resumes there.

    With MMEngine's own hook `epoch_2.pth` would be half a file and `epoch_1.pth` gone.
    """
    checkpoint = {**HOOK, 'max_keep_ckpts': 1}
    die_in_epoch(2, monkeypatch)
    with pytest.raises(Killed):
        make_runner(epochs=3, checkpoint=checkpoint).train()
    work_dir = tmp_path / 'work'
    assert files(work_dir) == ['epoch_1.pth', 'epoch_2.pth.tmp', 'last_checkpoint']
    assert pointer(work_dir) == 'epoch_1.pth'
    assert load_weights(work_dir / 'epoch_1.pth')['meta']['epoch'] == 1

    monkeypatch.undo()
    resumed = make_runner(epochs=3, checkpoint=checkpoint, resume=True)
    resumed.train()
    assert resumed.iter == 6
    assert files(work_dir) == ['epoch_3.pth', 'last_checkpoint']


def test_exception_full_disk(
    make_runner: MakeRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says what to do, and nothing half written stays."""
    make_runner(epochs=1, checkpoint=HOOK).train()

    def save(checkpoint: dict, filename: str, **kwargs: object) -> None:
        Path(filename).write_bytes(b'half')
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr('mmengine.runner.runner.save_checkpoint', save)
    message = r'work/epoch_2\.pth was not saved \(No space left on device\): free some'
    with pytest.raises(OSError, match=message):
        make_runner(epochs=2, checkpoint=HOOK, resume=True).train()
    assert files(tmp_path / 'work') == ['epoch_1.pth', 'last_checkpoint']


class Spoils(Hook):
    """Makes a weight infinite in the second epoch, after its last loss."""

    def after_train_epoch(self, runner: Runner) -> None:
        if runner.epoch == 1:
            runner.model.layer.weight.data[0, 2] = float('inf')


@pytest.mark.parametrize('hooks', [[], [{'type': 'EMAHook', 'momentum': 0.5}]])
def test_exception_weights_that_are_not_finite(
    hooks: list, make_runner: MakeRunner, tmp_path: Path
) -> None:
    """They never become a checkpoint; the one before stays and is resumed."""
    checkpoint = {**HOOK, 'max_keep_ckpts': 1}
    runner = make_runner(epochs=3, checkpoint=checkpoint, custom_hooks=hooks)
    runner.register_hook(Spoils())
    message = r'The model of .*work at iteration 4 holds NaN .* in 1 of \d+ tensors'
    with pytest.raises(ValueError, match=message):
        runner.train()
    assert files(tmp_path / 'work') == ['epoch_1.pth', 'last_checkpoint']
    assert pointer(tmp_path / 'work') == 'epoch_1.pth'
    resumed = make_runner(
        epochs=3, checkpoint=checkpoint, custom_hooks=hooks, resume=True
    )
    resumed.train()
    assert files(tmp_path / 'work') == ['epoch_3.pth', 'last_checkpoint']


def test_feature_how_images_were_normalised_is_noted(
    make_runner: MakeRunner, tmp_path: Path
) -> None:
    """A later config that normalises in another way can be refused."""
    runner = make_runner(epochs=1, checkpoint=HOOK)
    runner.cfg.data_preprocessor = {'mean': (1.0, 2.0, 3.0), 'to_rgb': True}
    runner.train()
    meta = load_weights(tmp_path / 'work' / 'epoch_1.pth')['meta']
    assert list(meta['data_preprocessor']['mean']) == [1.0, 2.0, 3.0]
    assert type(meta['data_preprocessor']) is dict


def test_feature_dying_before_the_pointer_moves(
    make_runner: MakeRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old checkpoints go last: what the pointer names is always there."""
    publish = safe_checkpoint._publish

    def die(source: Path, target: Path) -> None:
        if target.name == 'last_checkpoint' and 'epoch_2' in source.read_text(
            encoding='utf-8'
        ):
            raise Killed
        publish(source, target)

    monkeypatch.setattr(safe_checkpoint, '_publish', die)
    with pytest.raises(Killed):
        make_runner(epochs=2, checkpoint={**HOOK, 'max_keep_ckpts': 1}).train()
    assert pointer(tmp_path / 'work') == 'epoch_1.pth'
    assert load_weights(tmp_path / 'work/epoch_1.pth')['meta']['epoch'] == 1


def test_feature_a_best_that_dies_leaves_the_old_best(
    make_runner: MakeRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With MMEngine's own hook the old best would be gone and the new half a file."""
    best = {**HOOK, 'max_keep_ckpts': 1, 'save_best': 'score', 'rule': 'greater'}
    runner = make_runner(epochs=1, checkpoint=best)
    runner.train()
    (hook,) = [h for h in runner.hooks if isinstance(h, SafeCheckpointHook)]
    hook._save_best_checkpoint(runner, {'score': 0.5})
    work_dir = tmp_path / 'work'
    first = ['best_score_epoch_1.pth', 'epoch_1.pth', 'last_checkpoint']
    assert files(work_dir) == first

    runner.train_loop._epoch = 2
    die_in_epoch(2, monkeypatch)
    with pytest.raises(Killed):
        hook._save_best_checkpoint(runner, {'score': 0.6})
    assert set(files(work_dir)) == {*first, 'best_score_epoch_2.pth.tmp'}
    load_weights(work_dir / 'best_score_epoch_1.pth')
    info = load_weights(work_dir / 'epoch_1.pth')['message_hub']['runtime_info']
    assert info['best_score'] == 0.5

    monkeypatch.undo()
    hook.best_ckpt_path = str(work_dir / 'best_score_epoch_1.pth')  # as resumed
    hook._save_best_checkpoint(runner, {'score': 0.7})
    after = ['best_score_epoch_2.pth', 'epoch_2.pth', 'last_checkpoint']
    assert files(work_dir) == after
    hook._save_best_checkpoint(runner, {'score': 0.8})  # of the same name
    assert files(work_dir) == after
