"""A score is that of the recorded file, whatever the trained model holds.

Slow: three epochs are trained.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from mmdefect.apis import build_runner, load_config
from mmdefect.streams import scoring
from mmdefect.streams.runner import StreamRunner
from mmdefect.streams.state import StreamState
from mmdefect.utils.checkpoint import load_weights
from mmdefect.utils.modules import unwrapped
from tests.streams.conftest import CONFIG, options, stream_runner

pytestmark = pytest.mark.usefixtures('undrawn')
TESTED: list[dict[str, torch.Tensor]] = []


@HOOKS.register_module()
class KeepTestedWeights(Hook):
    """Copies the weights that a test runs with."""

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        state = unwrapped(runner).state_dict()
        TESTED.append({name: value.clone() for name, value in state.items()})


@pytest.mark.slow
def test_feature_averaged_weights_and_an_earlier_epoch(
    toy_neu_det, tmp_path, monkeypatch
) -> None:
    """Both make the model that has been trained another one than the file."""
    said: list[str] = []
    monkeypatch.setattr(StreamRunner, '_say', lambda self, text, *_: said.append(text))
    more = {
        'custom_hooks': [
            {'type': 'EMAHook', 'momentum': 0.5, 'update_buffers': True},
            {'type': 'KeepTestedWeights'},
        ],
        'stream.base.train_cfg.max_epochs': 3,
        'default_hooks.checkpoint.interval': 2,
        'default_hooks.checkpoint.save_last': False,
    }
    work_dir = tmp_path / 'work'
    TESTED.clear()
    stream_runner(toy_neu_det, work_dir, **more).train(step=0)
    first = StreamState.load(work_dir).steps[0]
    assert first.checkpoint == 'step_0/epoch_2.pth'
    assert any(
        text.startswith('step 0 leaves epoch_2.pth, saved after 10 of 15 iterations')
        for text in said
    )
    file = load_weights(work_dir / first.checkpoint)
    averaged, raw = file['state_dict'], file['ema_state_dict']
    assert not torch.equal(
        averaged['neck.fpn_convs.0.conv.weight'],
        raw['module.neck.fpn_convs.0.conv.weight'],
    )
    trained = TESTED[0]
    assert trained.keys() == averaged.keys()
    assert all(torch.equal(trained[name], averaged[name]) for name in averaged)

    path = work_dir / 'matrix.json'
    scores = json.loads(path.read_text(encoding='utf-8'))
    path.unlink()
    cfg = load_config(CONFIG, cfg_options=options(toy_neu_det, **more))
    cfg.load_from = str(work_dir)
    build_runner(cfg).test(step=0)
    assert json.loads(path.read_text(encoding='utf-8')) == scores


def calibration(checkpoint: str, **more: object) -> dict:
    note = {'task': 'boxes', 'thresholds': {'dent': 0.3}, 'checkpoint': checkpoint}
    return {'meta': {'calibration': note | more}, 'state_dict': {}}


def test_feature_thresholds_of_these_weights(tmp_path: Path) -> None:
    """Of the checkpoint itself, else of the calibrated one that was made of it."""
    scored, beside = tmp_path / 'epoch_2.pth', tmp_path / 'calibrated.pth'
    plain: dict = {'meta': {}}
    assert scoring._thresholds(calibration('x'), scored) == {'dent': 0.3}
    assert scoring._thresholds(calibration('x', task='classes'), scored) == {}
    assert scoring._thresholds(plain, scored) == {}
    torch.save(calibration('epoch_2.pth'), beside)
    assert scoring._thresholds(plain, scored) == {'dent': 0.3}
    for other in (
        calibration('epoch_1.pth'),
        calibration('epoch_2.pth', scale_offset={'dent': [2.0, 0.0]}),
    ):
        torch.save(other, beside)
        assert scoring._thresholds(plain, scored) == {}
