"""Tests of mmdefect.utils.checkpoint: what is read, and what is refused unread."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from mmengine.logging.history_buffer import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.runner import checkpoint as mmengine_checkpoint
from torch.utils.data import Dataset

from mmdefect.utils import (
    checkpoint_classes,
    file_sha256,
    load_weights,
    state_dict_of,
    use_safe_loading,
)
from mmdefect.utils.checkpoint import _allowed_globals, load_exactly

OPTIMIZERS = [
    {'type': 'AdamW', 'lr': 0.1},
    {'type': 'SGD', 'lr': 0.1, 'momentum': 0.9},
]


class _Toy(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(2, 1)
        self.norm = torch.nn.BatchNorm1d(1)

    def forward(self, x: torch.Tensor, mode: str = 'loss') -> dict[str, torch.Tensor]:
        return {'loss': self.norm(self.linear(x)).mean() + self.linear.weight.sum()}


class _ToyData(Dataset):
    metainfo: ClassVar[dict[str, Any]] = {
        'classes': ('crack', 'spot'),
        'palette': [(1, 2, 3), (4, 5, 6)],
    }

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {'x': torch.tensor([index, 1.0])}


def _runner(
    work_dir: Path, optimizer: dict[str, Any], max_epochs: int = 2, **kwargs: Any
) -> Runner:
    return Runner(
        _Toy(),
        str(work_dir),
        train_dataloader={
            'dataset': _ToyData(),
            'sampler': {'type': 'DefaultSampler', 'shuffle': True},
            'batch_size': 2,
            'num_workers': 0,
            'collate_fn': {'type': 'default_collate'},
        },
        train_cfg={'by_epoch': True, 'max_epochs': max_epochs},
        optim_wrapper={
            'type': 'OptimWrapper',
            'optimizer': optimizer,
            'clip_grad': {'max_norm': 1.0},
        },
        param_scheduler=[
            {'type': 'LinearLR', 'start_factor': 0.1, 'by_epoch': False, 'end': 2},
            {'type': 'MultiStepLR', 'milestones': [1]},
        ],
        custom_hooks=[{'type': 'EMAHook'}],
        randomness={'seed': 0},
        default_scope='mmengine',
        experiment_name=f'{work_dir.name}-{max_epochs}',
        **kwargs,
    )


@pytest.fixture(scope='module')
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a checkpoint MMEngine itself wrote, for each optimizer."""
    files = {}
    for optimizer in OPTIMIZERS:
        work_dir = tmp_path_factory.mktemp(optimizer['type'])
        _runner(work_dir, optimizer).train()
        files[optimizer['type']] = work_dir / 'epoch_2.pth'
    return files


@pytest.fixture
def safe_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch safe loading on for one test only."""
    loader = mmengine_checkpoint.CheckpointLoader
    monkeypatch.setattr(loader, '_schemes', dict(loader._schemes))
    monkeypatch.setattr(mmengine_checkpoint, 'load_url', mmengine_checkpoint.load_url)
    use_safe_loading()


class _Writes:
    """When unpickled by an ordinary loader, creates a file or folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


class _Evaluates(_Writes):
    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (f'open({str(self.path)!r}, "w")',)


class _GetsAttribute(_Writes):
    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (HistoryBuffer, '__init__')


@pytest.mark.parametrize('name', ['AdamW', 'SGD'])
def test_smoke(trained: dict[str, Path], name: str) -> None:
    """A real checkpoint comes back whole: optimizer, schedulers, log history, EMA."""
    checkpoint = load_weights(trained[name])
    assert set(checkpoint) == {
        'meta',
        'state_dict',
        'ema_state_dict',
        'message_hub',
        'optimizer',
        'param_schedulers',
    }
    loss = checkpoint['message_hub']['log_scalars']['train/loss']
    assert isinstance(loss, HistoryBuffer)
    assert len(loss.data[0]) == 4
    assert loss.statistics('max') == loss.data[0].max()
    assert checkpoint_classes(checkpoint) == ['crack', 'spot']
    assert state_dict_of(checkpoint)['linear.weight'].shape == (1, 2)


def test_feature_allow_list_is_what_checkpoints_name(
    trained: dict[str, Path],
) -> None:
    """Golden: what MMEngine 0.10 with numpy 2 wrote, whatever the optimizer."""
    named = torch.serialization.get_unsafe_globals_in_checkpoint
    assert set(named(trained['AdamW'])) == set(named(trained['SGD']))
    assert {name.replace('_core', 'core') for name in named(trained['SGD'])} == {
        'mmengine.logging.history_buffer.HistoryBuffer',
        'builtins.getattr',
        'numpy.core.multiarray._reconstruct',
        'numpy.core.multiarray.scalar',
        'numpy.ndarray',
        'numpy.dtype',
    }
    with torch.serialization.safe_globals(_allowed_globals()):
        assert named(trained['SGD']) == []
    assert getattr not in _allowed_globals()


def test_feature_numpy_1_names(trained: dict[str, Path], tmp_path: Path) -> None:
    """Published checkpoints were written under numpy 1, which had no `_core`."""
    data = trained['SGD'].read_bytes()
    state = torch.load(trained['SGD'], weights_only=False)
    # The legacy format is one plain pickle stream, so the names can be exchanged.
    old = tmp_path / 'numpy1.pth'
    torch.save(state, old, _use_new_zipfile_serialization=False)
    data = old.read_bytes()
    assert b'numpy._core.multiarray' in data
    old.write_bytes(data.replace(b'numpy._core.multiarray', b'numpy.core.multiarray'))
    history = load_weights(old)['message_hub']['log_scalars']['train/loss']
    expected = state['message_hub']['log_scalars']['train/loss']
    np.testing.assert_array_equal(history.data[0], expected.data[0])


@pytest.mark.parametrize('legacy', [False, True])
@pytest.mark.parametrize(
    ('payload', 'name'),
    [
        (_Writes, 'posix.mkdir'),
        (_Evaluates, 'eval'),
        (_GetsAttribute, 'builtins.getattr'),
    ],
)
def test_exception_code_inside(
    tmp_path: Path, payload: type[_Writes], name: str, legacy: bool
) -> None:
    """Refused by name of the global and of the file, and nothing is executed."""
    target, file = tmp_path / 'executed', tmp_path / 'evil.pth'
    torch.save(
        {'state_dict': {'weight': torch.ones(1)}, 'extra': payload(target)},
        file,
        _use_new_zipfile_serialization=not legacy,
    )
    with pytest.raises(
        ValueError, match=rf"evil.pth holds more than weights: it names '{name}'"
    ):
        load_weights(file)
    assert not target.exists()
    # The trap works: an ordinary loader would have fallen into it.
    torch.load(file, weights_only=False)
    assert target.exists() or payload is _GetsAttribute


def test_exception_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'no checkpoint at .*none\.pth'):
        load_weights(tmp_path / 'none.pth')


def test_exception_directory(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='is a folder, and a checkpoint file was'):
        load_weights(tmp_path)


@pytest.mark.parametrize('length', [0, 3, 200, -20])
def test_exception_truncated(tmp_path: Path, length: int) -> None:
    file = tmp_path / 'cut.pth'
    torch.save({'weight': torch.ones(100)}, file)
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(ValueError, match=r'cut\.pth cannot be read .* truncated'):
        load_weights(file)


def test_exception_not_a_dict(tmp_path: Path) -> None:
    torch.save(torch.ones(2), tmp_path / 'tensor.pth')
    with pytest.raises(ValueError, match='holds a Tensor, and a dict of weights was'):
        load_weights(tmp_path / 'tensor.pth')


def test_exception_no_weights() -> None:
    with pytest.raises(ValueError, match=r"holds no weights, only \['meta'\]"):
        state_dict_of({'meta': {'epoch': 1}})


def test_feature_safetensors(tmp_path: Path) -> None:
    safetensors = pytest.importorskip('safetensors.torch')
    file = tmp_path / 'model.safetensors'
    weights = {'weight': torch.arange(6.0).reshape(2, 3)}
    safetensors.save_file(weights, file, {'classes': '["crack", "spot"]'})
    checkpoint = load_weights(file)
    assert torch.equal(state_dict_of(checkpoint)['weight'], weights['weight'])
    assert checkpoint_classes(checkpoint) == ['crack', 'spot']
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(ValueError, match=r'model\.safetensors cannot be read'):
        load_weights(file)


def test_feature_state_dict_forms() -> None:
    weight = torch.ones(1)
    assert state_dict_of({'module.a.weight': weight}) == {'a.weight': weight}
    assert state_dict_of({'state_dict': {'b': weight}, 'meta': {}}) == {'b': weight}


@pytest.mark.parametrize(
    ('checkpoint', 'classes'),
    [
        ({'meta': {'dataset_meta': {'classes': ('a', 'b')}}}, ['a', 'b']),
        ({'meta': {'dataset_meta': {'CLASSES': ('a', 'b')}}}, ['a', 'b']),
        ({'meta': {'CLASSES': ('a', 'b')}}, ['a', 'b']),
        ({'meta': {'epoch': 1}}, None),
        ({'weight': torch.ones(1)}, None),
    ],
)
def test_feature_classes(checkpoint: dict[str, Any], classes: list[str] | None) -> None:
    assert checkpoint_classes(checkpoint) == classes


def test_feature_load_exactly(tmp_path: Path) -> None:
    source, target = torch.nn.Linear(2, 3), torch.nn.Linear(2, 3)
    file = tmp_path / 'x.pth'
    torch.save({'state_dict': source.state_dict(), 'meta': {'epoch': 4}}, file)
    assert load_exactly(target, file)['meta'] == {'epoch': 4}
    assert torch.equal(target.weight, source.weight)


@pytest.mark.parametrize(
    ('state', 'message'),
    [
        ({'weight': torch.ones(3, 2)}, r'Linear: Missing key.*: "bias"; expected a ch'),
        ({'weight': torch.ones(3, 5), 'bias': torch.ones(3)}, r'Linear: size mismatch'),
        (
            {name: torch.ones(3) for name in 'abcde'}
            | torch.nn.Linear(2, 3).state_dict(),
            r'Linear: Unexpected key.*: "a", "b", "c" and 2 more; expected',
        ),
    ],
)
def test_exception_load_exactly(
    tmp_path: Path, state: dict[str, Any], message: str
) -> None:
    """The error names the weights, three at most."""
    torch.save(state, tmp_path / 'x.pth')
    with pytest.raises(ValueError, match=r'x\.pth does not fit ' + message):
        load_exactly(torch.nn.Linear(2, 3), tmp_path / 'x.pth')
    with pytest.raises(ValueError, match=r'x\.pth does not fit model\.teacher: '):
        load_exactly(torch.nn.Linear(2, 3), tmp_path / 'x.pth', name='model.teacher')


def test_feature_sha256(tmp_path: Path) -> None:
    # printf abc | sha256sum
    (tmp_path / 'abc').write_bytes(b'abc')
    assert file_sha256(tmp_path / 'abc') == (
        'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
    )


def _with_hostile_config(source: Path, target: Path, victim: Path) -> None:
    checkpoint = load_weights(source)
    checkpoint['meta']['config'] = f'import pathlib\npathlib.Path("{victim}").touch()\n'
    torch.save(checkpoint, target)


def test_feature_resume_never_executes_meta_config(
    trained: dict[str, Path], tmp_path: Path, safe_loading: None
) -> None:
    """A config stored as text in the checkpoint is Python, and resume runs it."""
    file, victim = tmp_path / 'hostile.pth', tmp_path / 'executed'
    _with_hostile_config(trained['SGD'], file, victim)
    runner = _runner(
        tmp_path, OPTIMIZERS[1], max_epochs=3, load_from=str(file), resume=True
    )
    runner.train()
    assert runner.epoch == 3
    assert not victim.exists()


def test_feature_resume_executes_meta_config_without_safe_loading(
    trained: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why the test above can fail; when this one does, MMEngine was mended."""
    # Other tests of this process may have switched safe loading on.
    schemes = mmengine_checkpoint.CheckpointLoader._schemes
    monkeypatch.setitem(schemes, '', mmengine_checkpoint.load_from_local)
    file, victim = tmp_path / 'hostile.pth', tmp_path / 'executed'
    _with_hostile_config(trained['SGD'], file, victim)
    _runner(
        tmp_path, OPTIMIZERS[1], max_epochs=4, load_from=str(file), resume=True
    ).train()
    assert victim.exists()


def test_exception_code_inside_through_mmengine(
    tmp_path: Path, safe_loading: None
) -> None:
    file, victim = tmp_path / 'evil.pth', tmp_path / 'executed'
    torch.save({'extra': _Evaluates(victim)}, file)
    with pytest.raises(ValueError, match="it names 'eval'"):
        mmengine_checkpoint.load_checkpoint(_Toy(), str(file))
    assert not victim.exists()


def test_exception_code_inside_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, safe_loading: None
) -> None:
    """Downloads go through the same reader, and keep their hash in the name."""
    served = tmp_path / 'served'
    served.mkdir()
    victim = tmp_path / 'executed'
    torch.save({'extra': _Evaluates(victim)}, served / 'evil.pth')
    torch.save({'state_dict': {'w': torch.ones(1)}}, served / 'good.pth')
    digest = hashlib.sha256((served / 'good.pth').read_bytes()).hexdigest()[:8]
    (served / 'good.pth').rename(served / f'good-{digest}.pth')
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    monkeypatch.setenv('no_proxy', '*')

    handler = partial(SimpleHTTPRequestHandler, directory=str(served))
    monkeypatch.setattr(SimpleHTTPRequestHandler, 'log_message', lambda *_: None)
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f'http://127.0.0.1:{server.server_port}'
        good = mmengine_checkpoint._load_checkpoint(f'{url}/good-{digest}.pth', 'cpu')
        with pytest.raises(ValueError, match="it names 'eval'"):
            mmengine_checkpoint._load_checkpoint(f'{url}/evil.pth', 'cpu')
        with pytest.raises(ConnectionError, match=r'/absent\.pth is .*Error 404'):
            mmengine_checkpoint._load_checkpoint(f'{url}/absent.pth', 'cpu')
        server.shutdown()
    assert torch.equal(good['state_dict']['w'], torch.ones(1))
    assert not victim.exists()


@pytest.mark.parametrize(
    ('name', 'file'),
    [
        ('https://models.invalid/r50-0123abcd.pth', 'r50-0123abcd.pth'),
        ('torchvision://resnet50', r'resnet50-\w+\.pth'),
        ('open-mmlab://detectron2/resnet50_caffe', r'resnet50_msra-\w+\.pth'),
        ('mmcls://vgg16', r'vgg16_\w+-\w+\.pth'),
    ],
)
def test_exception_no_internet(
    name: str,
    file: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    safe_loading: None,
) -> None:
    """Every scheme that downloads says where the file has to go instead."""

    def unknown_host(*_: Any, **__: Any) -> None:
        raise socket.gaierror(-3, 'Temporary failure in name resolution')

    monkeypatch.setattr(socket, 'getaddrinfo', unknown_host)
    for variable in ('http_proxy', 'https_proxy', 'all_proxy'):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    folder = re.escape(str(tmp_path / 'checkpoints'))
    with pytest.raises(
        ConnectionError,
        match=rf'^https://\S+ is not reachable .*name resolution.*put .* at {folder}/'
        rf'{file}\.$',
    ) as caught:
        mmengine_checkpoint._load_checkpoint(name, 'cpu')
    assert caught.value.__suppress_context__


def test_exception_a_silent_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, safe_loading: None
) -> None:
    """It is not waited for; the timeout of other connections stays as it was."""
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    monkeypatch.setattr('mmdefect.utils.weights.DOWNLOAD_TIMEOUT', 0.2)
    monkeypatch.setenv('no_proxy', '*')
    with socket.create_server(('127.0.0.1', 0)) as server:
        url = f'http://127.0.0.1:{server.getsockname()[1]}/a.pth'
        with pytest.raises(ConnectionError, match='timed out'):
            mmengine_checkpoint._load_checkpoint(url, 'cpu')
    assert socket.getdefaulttimeout() is None


def test_exception_weights_that_a_command_makes() -> None:
    with pytest.raises(
        FileNotFoundError,
        match=r'at \S+/mobilenet_v2-in1k-mmdet.pth: download https://\S+b0353104.pth '
        r'into \S+ and run `python tools/model_converters/torchvision_mobilenet_v2.py',
    ):
        load_weights('/nowhere/mobilenet_v2-in1k-mmdet.pth')
