"""A stream whose learning rate is far too high stops, and no step counts as trained.

Slow: the first epoch is trained, then the second until it diverges, and once more.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmdefect.streams.state import StreamState
from mmdefect.utils.checkpoint import load_weights, state_dict_of
from tests.streams.conftest import stream_runner

# Fine in the first epoch, hopeless in the second.
HIGH = {
    'stream.base.train_cfg.max_epochs': 2,
    'param_scheduler.1.eta_min': 1e35,
    'param_scheduler.1.convert_to_iter_based': False,
}


@pytest.mark.slow
def test_exception_no_step_is_trained(toy_neu_det: Path, tmp_path: Path) -> None:
    """The first epoch's checkpoint stays, and is where a resume goes on."""
    work_dir = tmp_path / 'work'
    message = (
        r'stopped in .*work/step_0, epoch 2, iteration \d+: loss_\S+.* is not finite '
        r'on a batch of \w+_\d+\.jpg, .*; lower the learning rate \(now \S+e\+\d\d\), '
    )
    for resume in (False, True):
        with pytest.raises(ValueError, match=message):
            stream_runner(toy_neu_det, work_dir, resume=resume, **HIGH).train()
        state = StreamState.load(work_dir)
        assert [step.state for step in state.steps] == ['running', 'pending']
        kept = {path.name for path in (work_dir / 'step_0').glob('*.pth*')}
        batch_file = 'non_finite_batch_rank_0.pth'
        assert kept == {'epoch_1.pth', 'epoch_1.pth.sha256', batch_file}
        assert state_dict_of(load_weights(work_dir / 'step_0/epoch_1.pth'))
        text = (work_dir / 'step_0/non_finite_loss.json').read_text(encoding='utf-8')
        (batch,) = json.loads(text)['batches']
        assert len(batch['images']) == 6
        assert all(Path(image).is_file() for image in batch['images'])
    assert not (work_dir / 'matrix.json').exists()
