from __future__ import annotations

import errno
import io
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdefect.engine.guards import guarded
from mmdefect.engine.hooks import safe_checkpoint
from mmdefect.engine.hooks.safe_checkpoint import SafeCheckpointHook
from mmdefect.utils import whole_checkpoint
from mmdefect.utils.checkpoint import load_weights
from mmdefect.utils.files import write_text
from mmdefect.utils.interrupts import SIGNALS, Interrupted, recorded

HOOK = {'type': 'mmdefect.SafeCheckpointHook', 'interval': 1}
MakeRunner = Callable[..., Runner]


class Killed(BaseException):
    """What a process feels when it dies: nothing catches it."""


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    return tmp_path / 'work'


def files(work_dir: Path) -> list[str]:
    """All files but the config, which MMEngine dumps at every start.

    Each checkpoint has its hash beside it, and no hash is without a checkpoint.
    """
    found = {path.name for path in work_dir.iterdir() if path.is_file()}
    hashes = {name for name in found if name.endswith('.sha256')}
    whole = {name for name in found if name.endswith('.pth')}
    assert hashes == {f'{name}.sha256' for name in whole}
    return sorted(name for name in found - hashes if not name.endswith('.py'))


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


def test_smoke(make_runner: MakeRunner, work_dir: Path) -> None:
    """The meta tells of normalisation, which a later config may contradict."""
    runner = make_runner(epochs=2, checkpoint=HOOK)
    runner.cfg.data_preprocessor = {'mean': (1.0, 2.0, 3.0), 'to_rgb': True}
    runner.train()
    assert files(work_dir) == ['epoch_1.pth', 'epoch_2.pth', 'last_checkpoint']
    assert pointer(work_dir) == 'epoch_2.pth'
    meta = load_weights(work_dir / 'epoch_2.pth')['meta']
    assert meta['epoch'] == 2
    assert 'stream' not in meta
    assert list(meta['data_preprocessor']['mean']) == [1.0, 2.0, 3.0]
    assert type(meta['data_preprocessor']) is dict


def test_feature_meta_says_step_and_classes(make_runner, work_dir: Path) -> None:
    stream = {'step': 1, 'classes': ['crazing', 'patches'], 'old_classes': ['crazing']}
    make_runner(epochs=1, checkpoint={**HOOK, 'stream': stream}).train()
    meta = load_weights(work_dir / 'epoch_1.pth')['meta']
    assert meta['stream'] == stream
    assert list(meta['dataset_meta']['classes']) == ['crazing', 'patches']


@pytest.mark.parametrize(('keep', 'kept'), [(1, [4]), (2, [3, 4]), (-1, [1, 2, 3, 4])])
@pytest.mark.parametrize('epochs', [[4], [2, 4]])
def test_feature_max_keep_ckpts(
    keep: int, kept: list[int], epochs: list[int], make_runner, work_dir: Path
) -> None:
    """A resumed run keeps as many."""
    for last in epochs:
        resume = last != epochs[0]
        checkpoint = {**HOOK, 'max_keep_ckpts': keep}
        make_runner(epochs=last, checkpoint=checkpoint, resume=resume).train()
    expected = [f'epoch_{epoch}.pth' for epoch in kept]
    assert files(work_dir) == [*expected, 'last_checkpoint']


def test_feature_a_save_that_dies_leaves_the_old_one(
    make_runner, work_dir, monkeypatch
) -> None:
    """Old file and pointer are intact, and the run resumes there.

    With MMEngine's own hook `epoch_2.pth` would be half a file and `epoch_1.pth` gone.
    """
    checkpoint = {**HOOK, 'max_keep_ckpts': 1}
    die_in_epoch(2, monkeypatch)
    with pytest.raises(Killed):
        make_runner(epochs=3, checkpoint=checkpoint).train()
    assert files(work_dir) == ['epoch_1.pth', 'epoch_2.pth.tmp', 'last_checkpoint']
    assert pointer(work_dir) == 'epoch_1.pth'
    assert load_weights(work_dir / 'epoch_1.pth')['meta']['epoch'] == 1

    monkeypatch.undo()
    resumed = make_runner(epochs=3, checkpoint=checkpoint, resume=True)
    resumed.train()
    assert resumed.iter == 6
    assert files(work_dir) == ['epoch_3.pth', 'last_checkpoint']


def test_exception_full_disk(make_runner, work_dir, monkeypatch) -> None:
    """The error says what to do, and nothing half written stays."""
    make_runner(epochs=1, checkpoint=HOOK).train()

    def save(checkpoint: dict, filename: str, **kwargs: object) -> None:
        Path(filename).write_bytes(b'half')
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr('mmengine.runner.runner.save_checkpoint', save)
    message = r'work/epoch_2\.pth was not saved \(No space left on device\): free some'
    with pytest.raises(OSError, match=message):
        make_runner(epochs=2, checkpoint=HOOK, resume=True).train()
    assert files(work_dir) == ['epoch_1.pth', 'last_checkpoint']


class Spoils(Hook):
    """Makes a weight infinite in the second epoch, after its last loss."""

    def after_train_epoch(self, runner: Runner) -> None:
        if runner.epoch == 1:
            runner.model.layer.weight.data[0, 2] = float('inf')


@pytest.mark.parametrize('hooks', [[], [{'type': 'EMAHook', 'momentum': 0.5}]])
def test_exception_weights_that_are_not_finite(
    hooks: list, make_runner, work_dir
) -> None:
    """They never become a checkpoint; the one before stays and is resumed."""
    checkpoint = {**HOOK, 'max_keep_ckpts': 1}
    runner = make_runner(epochs=3, checkpoint=checkpoint, custom_hooks=hooks)
    runner.register_hook(Spoils())
    message = r'the model of .*work at iteration 4 holds NaN .* in 1 of \d+ tensors'
    with pytest.raises(ValueError, match=message):
        runner.train()
    assert files(work_dir) == ['epoch_1.pth', 'last_checkpoint']
    assert pointer(work_dir) == 'epoch_1.pth'
    more = {'custom_hooks': hooks, 'resume': True}
    make_runner(epochs=3, checkpoint=checkpoint, **more).train()
    assert files(work_dir) == ['epoch_3.pth', 'last_checkpoint']


def test_feature_dying_before_the_pointer_moves(
    make_runner, work_dir, monkeypatch
) -> None:
    """Old checkpoints go last: what the pointer names is always there."""

    def die(path: Path, text: str, **kwargs: bool) -> None:
        if 'epoch_2' in text:
            raise Killed
        write_text(path, text, **kwargs)

    monkeypatch.setattr(safe_checkpoint, 'write_text', die)
    with pytest.raises(Killed):
        make_runner(epochs=2, checkpoint={**HOOK, 'max_keep_ckpts': 1}).train()
    assert pointer(work_dir) == 'epoch_1.pth'
    assert load_weights(work_dir / 'epoch_1.pth')['meta']['epoch'] == 1


def test_feature_a_best_that_dies_leaves_the_old_best(
    make_runner, work_dir, monkeypatch
) -> None:
    """With MMEngine's own hook the old best would be gone and the new half a file."""
    best = {**HOOK, 'max_keep_ckpts': 1, 'save_best': 'score', 'rule': 'greater'}
    runner = make_runner(epochs=1, checkpoint=best)
    runner.train()
    (hook,) = [h for h in runner.hooks if isinstance(h, SafeCheckpointHook)]
    hook._save_best_checkpoint(runner, {'score': 0.5})
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


F1, BEST = 'defect/f1_defective', 'best_defect_f1_defective_epoch_{}.pth'


def validate(runner: Runner, epoch: int, f1: float, **others: float) -> None:
    """Let the hook see the validation of an epoch."""
    runner.train_loop._epoch = epoch
    (hook,) = [h for h in runner.hooks if isinstance(h, SafeCheckpointHook)]
    hook.after_val_epoch(runner, {F1: f1, **others})


@pytest.fixture
def trained(make_runner: MakeRunner) -> Runner:
    runner = make_runner(
        epochs=1, checkpoint={**HOOK, 'save_best': F1, 'rule': 'greater'}
    )
    runner.train()
    return runner


def bests(runner: Runner) -> list[str]:
    return sorted(path.name for path in Path(runner.work_dir).glob('best_*.pth'))


@pytest.mark.parametrize(
    ('scores', 'best'),
    [
        # The first epoch of F1 1 has learned nothing, the last one all.
        ([(1.0, 0.681), (1.0, 0.3), (1.0, 0.0001)], 3),
        ([(1.0, 0.681), (1.0, 0.2), (1.0, 0.3)], 2),
        ([(1.0, 0.2), (1.0, 0.2)], 2),  # then the later one
        ([(0.9, 0.1), (1.0, 0.5), (0.9, 0.01)], 2),  # the metric comes first
        ([(1.0, 0.5), (1.0, float('nan'))], 1),
        ([(1.0, float('nan')), (1.0, 0.5), (1.0, 0.6)], 2),
        ([(float('nan'), 0.1), (0.5, 0.9)], 2),
        ([(0.5, None), (0.5, None)], 2),  # without a loss to the later epoch
    ],
)
def test_feature_ties_go_to_the_lower_loss(
    scores: list[tuple[float, float | None]], best: int, trained: Runner
) -> None:
    for epoch, (f1, nll) in enumerate(scores, start=1):
        validate(trained, epoch, f1, **({} if nll is None else {'defect/nll': nll}))
    assert bests(trained) == [BEST.format(best)]


def test_feature_ties_of_several_metrics_and_of_less(make_runner: MakeRunner) -> None:
    keys = [F1, 'errors']
    checkpoint = {**HOOK, 'save_best': keys, 'rule': ['greater', 'less']}
    runner = make_runner(epochs=1, checkpoint=checkpoint)
    runner.train()
    validate(runner, 1, 0.5, errors=3, nll=0.4)
    validate(runner, 2, 0.4, errors=3, nll=0.3)
    validate(runner, 3, 0.5, errors=3, nll=0.35)
    assert bests(runner) == [BEST.format(3), 'best_errors_epoch_2.pth']


def test_feature_the_loss_of_the_best_survives_a_resume(
    make_runner: MakeRunner,
) -> None:
    checkpoint = {**HOOK, 'save_best': F1, 'rule': 'greater'}
    runner = make_runner(epochs=1, checkpoint=checkpoint)
    runner.train()
    validate(runner, 1, 1.0, nll=0.2)
    resumed = make_runner(epochs=2, checkpoint=checkpoint, resume=True)
    resumed.train()
    validate(resumed, 2, 1.0, nll=0.3)
    assert bests(resumed) == [BEST.format(1)]
    validate(resumed, 2, 1.0, nll=0.1)
    assert bests(resumed) == [BEST.format(2)]


def test_feature_killed_in_its_last_save(
    make_runner: MakeRunner, work_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resumed it trains nothing more, and still leaves what it would have left."""
    checkpoint = {**HOOK, 'save_best': F1, 'rule': 'greater', 'max_keep_ckpts': 1}
    runner = make_runner(epochs=1, checkpoint=checkpoint)
    runner.train()
    validate(runner, 1, 0.5)
    runner = make_runner(epochs=2, checkpoint=checkpoint, resume=True)
    runner.train()

    def die(path: Path, text: str, **kwargs: bool) -> None:
        draft = path.with_name(f'{path.name}.tmp')
        draft.write_text(text, encoding='utf-8')
        if text.split()[1] == 'epoch_2.pth':  # after a new best: its second save
            raise Killed
        draft.replace(path)

    monkeypatch.setattr(whole_checkpoint, 'write_text', die)
    with pytest.raises(Killed):
        validate(runner, 2, 0.7)
    monkeypatch.undo()
    left = {path.name for path in work_dir.iterdir()}
    assert {'epoch_2.pth.sha256.tmp', BEST.format(1), BEST.format(2)} <= left
    make_runner(epochs=2, checkpoint=checkpoint, resume=True).train()
    assert files(work_dir) == [BEST.format(2), 'epoch_2.pth', 'last_checkpoint']


def test_feature_killed_before_any_change_of_a_name(
    make_runner: MakeRunner, work_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A death is a copy of the work dir at that moment: what a kill leaves."""
    checkpoint = {**HOOK, 'save_best': F1, 'rule': 'greater', 'max_keep_ckpts': 1}
    deaths: list[Path] = []

    def watch(name: str) -> None:
        change = getattr(os, name)

        def watched(path: str | Path, *args: object, **kwargs: object) -> None:
            if work_dir in Path(path).parents and Path(path).exists():
                deaths.append(work_dir.with_name(f'death_{len(deaths)}'))
                shutil.copytree(work_dir, deaths[-1])
            change(path, *args, **kwargs)

        monkeypatch.setattr(os, name, watched)

    runner = make_runner(epochs=2, checkpoint=checkpoint)
    runner.train()
    validate(runner, 2, 0.5)
    for name in ('replace', 'unlink', 'remove'):
        watch(name)
    resumed = make_runner(epochs=3, checkpoint=checkpoint, resume=True)
    resumed.train()
    validate(resumed, 3, 0.7)
    monkeypatch.undo()
    expected = files(work_dir)
    assert expected == [BEST.format(3), 'epoch_3.pth', 'last_checkpoint']
    assert len(deaths) > 10
    for death in deaths:
        shutil.rmtree(work_dir)
        death.rename(work_dir)
        resumed = make_runner(epochs=3, checkpoint=checkpoint, resume=True)
        resumed.train()
        if resumed.message_hub.get_info('best_score') != 0.7:
            # As ResumedValidationHook does.
            validate(resumed, 3, 0.7)
        assert files(work_dir) == expected, death.name


def test_exception_best_by_what_is_not_measured(trained: Runner) -> None:
    message = f"save_best='{F1}': expected one of nll, which are measured"
    (hook,) = [h for h in trained.hooks if isinstance(h, SafeCheckpointHook)]
    with pytest.raises(ValueError, match=message):
        hook.after_val_epoch(trained, {'nll': 1.0})


def interrupted_in_epoch(runner: Runner, epoch: int) -> None:
    """SIGTERM in the middle of an epoch, as :func:`recorded` handles it."""

    class Stop(Hook):
        def after_train_iter(self, runner: Runner, *_: object, **__: object) -> None:
            if runner.epoch + 1 == epoch:
                raise Interrupted(143)

    runner.register_hook(Stop())
    with pytest.raises(SystemExit) as end:
        recorded('continue with --resume')(runner.train)()
    assert end.value.code == 143


@pytest.mark.parametrize(('hold_s', 'kept'), [(0.0, 4), (60.0, 3)])
def test_feature_an_interruption_saves_the_last_epoch(
    hold_s: float, kept: int, make_runner, work_dir, monkeypatch, capsys
) -> None:
    """Of an interval of three; the parameters at the end are the same bit for bit."""
    signals = {number: signal.getsignal(number) for number in SIGNALS}
    monkeypatch.setattr(safe_checkpoint, 'HOLD_S', hold_s)
    rare = {**HOOK, 'interval': 3, 'max_keep_ckpts': 1}
    hooks = {'custom_hooks': [{'type': 'mmdefect.EpochSeedHook'}]}
    seeded = {**hooks, 'randomness': {'seed': 0}}
    torch.manual_seed(0)
    make_runner(
        epochs=6, checkpoint=rare, work_dir=str(work_dir / 'w'), **seeded
    ).train()
    torch.manual_seed(0)
    runner = make_runner(epochs=6, checkpoint=rare, **seeded)
    interrupted_in_epoch(runner, 5)
    for number, handler in signals.items():
        signal.signal(number, handler)
    expected = [f'epoch_{epoch}.pth' for epoch in sorted({3, kept})]
    assert files(work_dir) == [*expected, 'last_checkpoint']
    assert pointer(work_dir) == f'epoch_{kept}.pth'
    saved = 'epoch_4.pth is saved; ' * (kept == 4)
    said = f'interrupted at epoch 5; {saved}continue with --resume'
    assert capsys.readouterr().err.strip() == said
    resumed = make_runner(epochs=6, checkpoint=rare, resume=True, **seeded)
    resumed.train()
    assert files(work_dir) == ['epoch_6.pth', 'last_checkpoint']
    whole, again = (
        load_weights(folder / 'epoch_6.pth')['state_dict']
        for folder in (work_dir / 'w', work_dir)
    )
    assert all(torch.equal(whole[key], again[key]) for key in whole)


def test_feature_what_an_interruption_cannot_save(
    make_runner, work_dir, monkeypatch, capsys
) -> None:
    """It is said, and the last checkpoint is where a resume goes on."""
    signals = {number: signal.getsignal(number) for number in SIGNALS}
    monkeypatch.setattr(safe_checkpoint, 'HOLD_S', 0.0)
    rare = {**HOOK, 'interval': 3}

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, 'No space left on device')

    runner = make_runner(epochs=6, checkpoint=rare)
    (hook,) = (h for h in runner.hooks if isinstance(h, SafeCheckpointHook))
    publish = hook._publish
    monkeypatch.setattr(
        hook, '_publish', lambda r, p: publish(r, p) if '3' in p.name else full()
    )
    interrupted_in_epoch(runner, 5)
    for number, handler in signals.items():
        signal.signal(number, handler)
    said = 'the last epoch could not be saved ([Errno 28] No space left on device); co'
    assert said in capsys.readouterr().err
    assert pointer(work_dir) == 'epoch_3.pth'


def test_feature_two_are_there_while_it_trains(make_runner, work_dir) -> None:
    """One to continue at if a disk spoils the other."""
    seen = []

    class Look(Hook):
        priority = 'LOWEST'

        def after_train_epoch(self, runner: Runner) -> None:
            seen.append([name for name in files(work_dir) if name.endswith('.pth')])

    runner = make_runner(epochs=3, checkpoint={**HOOK, 'max_keep_ckpts': 1})
    runner.register_hook(Look())
    runner.train()
    names = [f'epoch_{epoch}.pth' for epoch in (1, 2, 3)]
    assert seen == [names[:1], names[:2], names[1:]]
    assert files(work_dir) == ['epoch_3.pth', 'last_checkpoint']


def test_feature_resumed_at_the_newest_that_is_whole(make_runner, work_dir) -> None:
    keep = {**HOOK, 'max_keep_ckpts': 2}
    guarded(make_runner(epochs=3, checkpoint=keep)).train()
    last = work_dir / 'epoch_3.pth'
    last.write_bytes(last.read_bytes()[:-100])
    runner = guarded(make_runner(epochs=4, checkpoint=keep, resume=True))
    runner.train()
    assert runner.iter == 8
    assert runner._load_from.endswith('epoch_2.pth')
    assert files(work_dir) == ['epoch_3.pth', 'epoch_4.pth', 'last_checkpoint']
    load_weights(last)  # trained anew
