"""A test or a resume takes the whole of a checkpoint, or refuses it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.evaluator import BaseMetric
from mmengine.runner import Runner
from torch import Tensor
from torch.torch_version import TorchVersion

from mmdefect.engine.guards import guarded
from mmdefect.engine.hooks.exact_checkpoint import ExactCheckpointHook
from mmdefect.engine.hooks.safe_checkpoint import SafeCheckpointHook
from mmdefect.utils.checkpoint import load_weights, use_safe_loading
from mmdefect.utils.whole_checkpoint import hash_beside
from tests.engine.hooks.conftest import Line, loader

CHECKPOINT = {'type': 'mmdefect.SafeCheckpointHook', 'interval': 1}
CLASSES = ('crazing', 'patches')
STATE = {'layer.weight': torch.full((1, 4), 0.25), 'layer.bias': torch.zeros(1)}
MakeRunner = Callable[..., Runner]


class Tested(Line):
    """Gives its weights as predictions."""

    def forward(self, x: list[Tensor], mode: str = 'tensor') -> Any:
        if mode == 'loss':
            return super().forward(x, mode)
        return [float(self.layer.weight.sum())] * len(x)


class WeightSum(BaseMetric):
    """What the model was when it was tested."""

    def process(self, data_batch: Any, data_samples: Any) -> None:
        self.results += data_samples

    def compute_metrics(self, results: list[float]) -> dict[str, float]:
        return {'sum': results[0]}


@pytest.fixture
def make(make_runner: MakeRunner) -> MakeRunner:
    """A guarded runner that can also be tested."""
    use_safe_loading()

    def build(**more: Any) -> Runner:
        settings = {'epochs': 1, 'checkpoint': CHECKPOINT, 'model': Tested()}
        tested = {'test_dataloader': loader(4), 'test_evaluator': WeightSum()}
        return guarded(make_runner(**{**settings, **tested, 'test_cfg': {}, **more}))

    return build


def saved(path: Path, state: Any, classes: Any = CLASSES, **more: Any) -> str:
    meta = {'dataset_meta': {'classes': classes}} if classes else {}
    torch.save({'state_dict': state, 'meta': meta, **more}, path)
    return str(path)


@pytest.mark.parametrize(
    'content',
    [
        STATE,
        {'state_dict': STATE},
        {'state_dict': STATE, 'meta': {}},
        # As mmdet 2 wrote it.
        {'state_dict': STATE, 'meta': {'CLASSES': CLASSES, 'config': '1 / 0'}},
        {'state_dict': {f'module.{name}': value for name, value in STATE.items()}},
        # A nested teacher, and the average that mmdet 2 kept in the model.
        {'ori_model.layer.bias': torch.ones(1), 'ema_layer_bias': torch.ones(1)}
        | STATE,
    ],
)
def test_smoke_test(content: dict, make: MakeRunner, tmp_path: Path) -> None:
    torch.save(content, tmp_path / 'x.pth')
    assert make(load_from=str(tmp_path / 'x.pth')).test() == {'sum': 1.0}


def test_feature_the_meta_of_a_dataset_can_be_read_again(tmp_path: Path) -> None:
    told = {
        'classes': np.array(['dent', 'rust']),
        'palette': np.full((2, 3), 7, np.uint8),
        'severity': ConfigDict(dent=1, of=dict(rust=np.float16(0.5))),
        'seen': {2, 1},
        'size': torch.Size([3, 4]),
        'version': TorchVersion('2.0'),
        'turned': True,
        'none': None,
    }
    checkpoint = {'state_dict': STATE, 'meta': {'dataset_meta': told}}
    ExactCheckpointHook().before_save_checkpoint(None, checkpoint)
    torch.save(checkpoint, tmp_path / 'x.pth')
    assert load_weights(tmp_path / 'x.pth')['meta']['dataset_meta'] == {
        'classes': ['dent', 'rust'],
        'palette': [[7, 7, 7], [7, 7, 7]],
        'severity': {'dent': 1, 'of': {'rust': 0.5}},
        'seen': [1, 2],
        'size': (3, 4),
        'version': '2.0',
        'turned': True,
        'none': None,
    }


def test_feature_weights_that_hooks_hand_around_are_no_resume() -> None:
    """CalibrationHook does after a training, which may have been a resumed one."""
    hook = ExactCheckpointHook()
    runner = SimpleNamespace(_resume=True, _load_from=None, work_dir='work')
    hook.before_train(runner)
    hook.after_load_checkpoint(runner, {'state_dict': STATE, 'meta': {}})
    wrong = {'state_dict': {'layer.bias': torch.tensor([float('nan')])}}
    with pytest.raises(ValueError, match='holds NaN'):
        hook.after_load_checkpoint(runner, wrong)


def test_feature_average_is_tested_and_resumed(
    make: MakeRunner, tmp_path: Path
) -> None:
    """What EMAHook has swapped fits, too."""
    hooks = [{'type': 'EMAHook', 'momentum': 0.5}]
    make(custom_hooks=hooks).train()
    path = tmp_path / 'work/epoch_1.pth'
    averaged = load_weights(path)['state_dict']['layer.weight'].sum()
    for more in ({}, {'custom_hooks': hooks}):
        found = make(load_from=str(path), **more).test()
        assert found['sum'] == pytest.approx(float(averaged), abs=1e-6)
    runner = make(epochs=2, custom_hooks=hooks, resume=True)
    runner.train()
    assert runner.iter == 4


@pytest.mark.parametrize(
    ('state', 'classes', 'message'),
    [
        ({}, CLASSES, r"x\.pth holds no weights, only \['meta', 'state_dict'\]"),
        (
            {'layer.weight': STATE['layer.weight']},
            CLASSES,
            r'does not fit the Tested of this config: .*, such as layer\.bias; use the',
        ),
        (
            {**STATE, **{f'more.{k}': torch.ones(1) for k in range(5)}},
            CLASSES,
            r'config: it holds 5 weights .*, such as more\.0, more\.1, more\.2; use',
        ),
        (
            {**STATE, 'layer.bias': torch.zeros(2)},
            CLASSES,
            r'this config: size mismatch for layer\.bias: .*; use the config',
        ),
        (
            {**STATE, 'layer.bias': torch.full((1,), float('nan'))},
            CLASSES,
            r'x\.pth holds NaN or infinity in 1 of 2 tensors, layer\.bias: the train',
        ),
        (
            STATE,
            CLASSES[::-1],
            r"the classes \['patches', 'crazing'\]: expected .*\['crazing', 'patches'",
        ),
        (STATE, ('crazing',), r"knows the classes \['crazing'\]: expected"),
        (STATE, 5, r'x\.pth has 5 as the names of its classes'),
    ],
)
def test_exception_test(
    state: dict, classes: Any, message: str, make: MakeRunner, tmp_path: Path
) -> None:
    """None of these may end in a score."""
    path = saved(tmp_path / 'x.pth', state, classes)
    with pytest.raises(ValueError, match=message):
        make(load_from=path).test()


def test_feature_training_may_start_from_a_part(
    make: MakeRunner, tmp_path: Path
) -> None:
    """Fine-tuning takes over what fits, as MMEngine does; but no NaN."""
    part = {'layer.bias': torch.zeros(1)}
    runner = make(load_from=saved(tmp_path / 'x.pth', part, CLASSES[::-1]))
    runner.train()
    assert runner.iter == 2
    path = saved(tmp_path / 'x.pth', {'layer.bias': torch.full((1,), float('nan'))})
    with pytest.raises(ValueError, match=r'x\.pth holds NaN or infinity in 1 of 1'):
        make(load_from=path).train()


def save_again(checkpoint: dict, path: Path) -> None:
    """As others write it: without a hash."""
    hash_beside(path).unlink()
    torch.save(checkpoint, path)


def test_exception_resume(make: MakeRunner, tmp_path: Path) -> None:
    """A published file has no state to go on from; another model's is refused."""
    path = saved(tmp_path / 'x.pth', STATE)
    with pytest.raises(ValueError, match=r'x\.pth cannot be resumed: it holds wei'):
        make(load_from=path, resume=True).train()
    make().train()
    loaded = load_weights(tmp_path / 'work/epoch_1.pth')
    del loaded['state_dict']['layer.bias']
    save_again(loaded, tmp_path / 'work/epoch_1.pth')
    message = r'work/epoch_1\.pth does not fit .*: .*, such as layer\.bias'
    with pytest.raises(ValueError, match=message):
        make(epochs=2, resume=True).train()


def test_feature_a_copied_work_dir_resumes_where_it_is(
    make: MakeRunner, tmp_path: Path
) -> None:
    """MMEngine notes whole paths, and would go on with the folder that was copied."""
    best = {**CHECKPOINT, 'save_best': 'score', 'rule': 'greater'}
    runner = make(checkpoint=best)
    runner.train()
    (hook,) = [h for h in runner.hooks if isinstance(h, SafeCheckpointHook)]
    hook._save_best_checkpoint(runner, {'score': 0.5})
    work = tmp_path / 'work'
    work.rename(tmp_path / 'old')
    shutil.copytree(tmp_path / 'old', work)
    text = (work / 'last_checkpoint').read_text(encoding='utf-8')
    moved = text.replace('/work/', '/old/')  # as if made there
    (work / 'last_checkpoint').write_text(moved, encoding='utf-8')
    spoilt = load_weights(tmp_path / 'old/epoch_1.pth')
    spoilt['state_dict']['layer.bias'].fill_(float('nan'))
    torch.save(spoilt, tmp_path / 'old/epoch_1.pth')
    loaded = load_weights(work / 'epoch_1.pth')
    old_best = str(tmp_path / 'old/best_score_epoch_1.pth')
    loaded['message_hub']['runtime_info']['best_ckpt'] = old_best
    save_again(loaded, work / 'epoch_1.pth')
    resumed = make(epochs=2, checkpoint=best, resume=True)
    resumed.train()
    assert resumed.iter == 4
    (hook,) = [h for h in resumed.hooks if isinstance(h, SafeCheckpointHook)]
    assert hook.best_ckpt_path == str(work / 'best_score_epoch_1.pth')
    hook._save_best_checkpoint(resumed, {'score': 0.9})
    assert Path(old_best).is_file()
    assert not (work / 'best_score_epoch_1.pth').exists()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'optimizer': [1]}, 'its optimizer is a list, expected a dict; use'),
        (
            {'param_schedulers': None},
            'param_schedulers is a NoneType, expected a lis',
        ),
        (
            {'message_hub': 'x'},
            'expected how far a training had come, too',
        ),
        ({'ema_state_dict': 'x'}, 'ema_state_dict of .* holds no weights, a str as'),
        ({'ema_state_dict': {'w': 3}}, 'ema_state_dict of .* holds no weights, only'),
    ],
)
def test_exception_resume_from_other_content(
    change: dict, message: str, make: MakeRunner, tmp_path: Path
) -> None:
    make().train()
    path = tmp_path / 'work/epoch_1.pth'
    save_again({**load_weights(path), **change}, path)
    with pytest.raises(ValueError, match=message):
        make(epochs=2, resume=True).train()


class Adapting(Tested):
    """Shortens a weight while it loads, as transformers do with position embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self._register_load_state_dict_pre_hook(self._shorten)

    @staticmethod
    def _shorten(state: dict, *args: Any) -> None:
        state['layer.weight'] = state['layer.weight'][:, :4]


def test_feature_a_model_that_adapts_weights(make: MakeRunner, tmp_path: Path) -> None:
    longer = {**STATE, 'layer.weight': torch.ones(1, 9)}
    path = saved(tmp_path / 'x.pth', longer)
    assert make(load_from=path, model=Adapting()).test() == {'sum': 4.0}
