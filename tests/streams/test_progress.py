"""The end of all steps in the log, and time that survives a resume."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mmdefect.streams import progress
from mmdefect.streams.progress import StepClock


class Processor:
    """Writes lines as MMEngine does."""

    window = 7

    def get_log_after_iter(self, runner: Any, batch_idx: int, mode: str) -> Any:
        eta = {3700: '1:01:40', 0: '0:00:00'}[runner.message_hub.runtime_info['eta']]
        return {'loss': 1}, f'Epoch({mode}) [1][4/9]  lr: 1  eta: {eta}  time: 2'


def runner(eta: float, iteration: int) -> Any:
    return SimpleNamespace(
        log_processor=Processor(),
        message_hub=SimpleNamespace(runtime_info={'eta': eta}),
        max_iters=110,
        iter=iteration,
    )


def line(one: Any, mode: str = 'train') -> str:
    return one.log_processor.get_log_after_iter(one, 3, mode)[1]


def test_smoke_all_steps_at_the_pace_of_this_one() -> None:
    clock, one = StepClock(later=200), runner(3700, 9)
    clock.before_train(one)
    # 37 s an iteration, 200 later ones.
    expected = 'Epoch(train) [1][4/9]  lr: 1  eta: 1:01:40  all steps: 3:05:00  time: 2'
    assert line(one) == expected
    assert 'all steps' not in line(one, 'test')
    assert one.log_processor.window == 7
    # The last iteration of the step has no pace of its own.
    one.iter, one.message_hub.runtime_info['eta'] = 109, 0
    assert 'eta: 0:00:00  all steps: 2:03:20  ' in line(one)


def test_feature_the_last_step_is_as_mmengine_says() -> None:
    clock, one = StepClock(later=0), runner(3700, 9)
    clock.before_train(one)
    assert isinstance(one.log_processor, Processor)


def test_feature_time_before_a_kill_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, 'monotonic', lambda: now[0])
    saved: dict[str, Any] = {'meta': {}}
    first = StepClock(later=0)
    now[0] += 60
    first.before_save_checkpoint(runner(0, 0), saved)
    now[0] += 500  # lost by the kill
    second = StepClock(later=0)
    second.after_load_checkpoint(runner(0, 0), saved)
    now[0] += 5
    assert second.elapsed == 65


def test_feature_checkpoints_of_older_versions() -> None:
    clock = StepClock(later=0)
    clock.after_load_checkpoint(runner(0, 0), {'state_dict': {}})
    assert 0 <= clock.elapsed < 60
