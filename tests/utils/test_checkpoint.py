"""Tests of mmdefect.utils.checkpoint: what is read, and what is refused unread."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import socket
import threading
import zipfile
from collections import OrderedDict
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
from mmdefect.utils.checkpoint import check_finite, load_all, load_exactly
from mmdefect.utils.plain_data import allowed_globals, plain_value

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
    with torch.serialization.safe_globals(allowed_globals()):
        assert named(trained['SGD']) == []
    assert getattr not in allowed_globals()


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


class _Record:
    """A NumPy record that knows a field named 'config', as MMEngine asks of a meta."""

    FIELDS: ClassVar = [('config', '<U300'), ('epoch', '<i8'), ('x', '<U6')]

    def __init__(self, code: str) -> None:
        self.record = np.zeros((), self.FIELDS)
        self.record['config'], self.record['x'] = code, 'config'

    def __reduce__(self) -> tuple[Any, ...]:
        scalar = np.float64(0).__reduce__()[0]
        return scalar, (_Calls(np.dtype, self.FIELDS), self.record.tobytes())


class _Calls:
    """Calls anything when it is unpickled."""

    def __init__(self, function: Any, *args: Any, state: Any = None) -> None:
        self.function, self.args, self.state = function, args, state

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.args, self.state


def _nested(depth: int) -> list[Any]:
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


def _doubled(times: int) -> list[Any]:
    """A few bytes with 2 to the power of ``times`` entries."""
    inner: list[Any] = [0]
    for _ in range(times):
        inner = [inner, inner]
    return inner


def _endless() -> list[Any]:
    inner: list[Any] = []
    inner.append(inner)
    return inner


def _uneven() -> HistoryBuffer:
    buffer = HistoryBuffer([1.0, 2.0], [1, 1])
    buffer._count_history = buffer._count_history[:1]
    return buffer


def _array_of(size: int) -> _Calls:
    """An array of ``size`` numbers in eight bytes."""
    state = (1, (size,), np.dtype('f8'), False, bytes(8))
    return _Calls(RECONSTRUCT, np.ndarray, (0,), b'b', state=state)


NUMBER = "'numpy.core.multiarray.scalar' in meta,"
HISTORY = "'mmengine.logging.history_buffer.HistoryBuffer' in meta,"
SCALAR, RECONSTRUCT = np.float64(0).__reduce__()[0], np.empty(0).__reduce__()[0]
REFUSED = [
    (_Record('raise SystemExit'), NUMBER),
    (_Calls(np.dtype, [('a', '<i8')]), "'numpy.dtype' in meta,"),
    (_Calls(np.ndarray, (1,), 'O', bytes(8)), "'numpy.ndarray' in meta,"),
    (_Calls(np.ndarray, (4,), 'f8', bytes(8), -64), "'numpy.ndarray' in meta,"),
    (np.ones(2, dtype='>c16'), "'numpy.ndarray' in meta,"),
    (np.array(['a', 'b']), "'numpy.ndarray' in meta,"),
    (np.array([{}]), "'numpy.ndarray' in meta,"),
    (_array_of(9), "'numpy.ndarray' in meta,"),
    (_array_of(-1), "'numpy.ndarray' in meta,"),
    (_Calls(SCALAR, np.dtype('O'), bytes(8)), NUMBER),
    (_Calls(SCALAR, np.dtype('f8'), bytes(4)), NUMBER),
    (HistoryBuffer, HISTORY),
    (HistoryBuffer.min, "'builtins.getattr' in meta,"),
    (_uneven(), HISTORY),
    ({'deep': _nested(100)}, "'more than 50 containers in each other' in meta.deep.0."),
    (_endless(), "'more than 50 containers in each other' in meta.0.0."),
    ({'t': torch.float32}, "'torch.dtype' in meta.t,"),
    ({'t': torch.ones(2).to_sparse()}, "'a tensor that is not dense' in meta.t,"),
    ({'t': torch.ones(2, device='meta')}, "'a tensor that is not dense' in meta.t,"),
    (
        {'t': torch.ones(1).expand(1 << 30)},
        r"'a tensor of shape \(1073741824,\), more than the file has,' in meta.t,",
    ),
    ({'t': bytearray(3)}, "'bytearray' in meta.t,"),
    ({'t': {torch.float32: 1}}, r"'torch.dtype' in meta\.t\.torch.float32"),
]


@pytest.mark.parametrize(('meta', 'message'), REFUSED)
def test_exception_not_plain(tmp_path: Path, meta: Any, message: str) -> None:
    """What torch's own allow-list and real checkpoints' names could build together."""
    torch.save({'state_dict': {'w': torch.ones(1)}, 'meta': meta}, tmp_path / 'x.pth')
    with pytest.raises(ValueError, match=rf'x\.pth holds more than .*names {message}'):
        load_weights(tmp_path / 'x.pth')


def test_exception_too_many_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('mmdefect.utils.plain_data.MOST_ENTRIES', 2000)
    torch.save({'meta': {'a': _doubled(12)}}, tmp_path / 'x.pth')
    with pytest.raises(ValueError, match=r"'more than 2,000 entries' in meta\.a\."):
        load_weights(tmp_path / 'x.pth')


def test_feature_attributes_are_dropped(tmp_path: Path) -> None:
    """A pickle can lay attributes over methods; nothing of that gets through."""
    weight = torch.nn.Parameter(torch.ones(2))
    weight.sum = 3  # type: ignore[method-assign, assignment]
    state = OrderedDict(w=weight)
    state._metadata = OrderedDict({'': {'version': 2}})  # type: ignore[attr-defined]
    torch.save({'state_dict': state}, tmp_path / 'x.pth')
    read = torch.load(tmp_path / 'x.pth', weights_only=True)
    assert read['state_dict']['w'].sum == 3  # torch lets it pass
    loaded = load_weights(tmp_path / 'x.pth')['state_dict']
    assert vars(loaded) == {'_metadata': {'': {'version': 2}}}
    assert type(loaded['w']) is torch.Tensor
    assert loaded['w'].sum() == 2
    vars(state).update(items=5, keys=7)
    assert next(iter(plain_value(state, file_bytes=8).items()))[0] == 'w'


def test_feature_arrays(tmp_path: Path) -> None:
    """Golden: each of the four kinds of numbers, in any order and shape."""
    arrays = {
        'c': np.arange(6.0).reshape(2, 3),
        'fortran': np.asfortranarray(np.arange(6).reshape(2, 3)),
        'single': np.float32([1.5]),
        'truth': np.array([[True, False]]),
        'big': np.arange(3.0).astype('>f8'),
        'number': np.float64(0.1),
        'whole': np.int64(-3),
        'one': np.float32(0.5),
        'yes': np.bool_(True),
    }
    torch.save({'meta': arrays}, tmp_path / 'x.pth')
    loaded = load_weights(tmp_path / 'x.pth')['meta']
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array)
        assert loaded[name].dtype == array.dtype.newbyteorder('=')
        assert type(loaded[name]) is type(array)


@pytest.mark.parametrize(
    ('state', 'message'),
    [
        ([torch.ones(1)], 'a list as state_dict'),
        ({3: torch.ones(1)}, 'a state_dict with the key 3'),
        ({'a': [1]}, r"only \['state_dict'\]"),
        ({}, r"only \['state_dict'\]"),
    ],
)
def test_exception_state_dict(state: Any, message: str) -> None:
    message = rf'^x\.pth holds no weights, {message}: expected a'
    with pytest.raises(ValueError, match=message):
        state_dict_of({'state_dict': state}, 'x.pth')


@pytest.mark.parametrize(
    'meta', [7, {'classes': 5}, {'classes': {'a': 1}}, {'classes': ['a', None]}]
)
def test_exception_classes(meta: Any) -> None:
    message = r'^x\.pth has .* as the names of its classes: expected a list of texts'
    with pytest.raises(ValueError, match=message):
        checkpoint_classes({'meta': {'dataset_meta': meta}}, 'x.pth')


def test_exception_archive_that_grows(tmp_path: Path) -> None:
    """A few kB that would fill the memory are refused before anything is read."""
    torch.save({'w': torch.zeros(1 << 20)}, tmp_path / 'stored.pth')
    with (
        zipfile.ZipFile(tmp_path / 'stored.pth') as source,
        zipfile.ZipFile(tmp_path / 'x.pth', 'w', zipfile.ZIP_DEFLATED) as target,
    ):
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
    assert torch.load(tmp_path / 'x.pth')['w'].shape == (1 << 20,)  # torch unpacks it
    with pytest.raises(ValueError, match=r'x\.pth has \S+ bytes and would unpack to 4'):
        load_weights(tmp_path / 'x.pth')
    (tmp_path / 'y.pth').write_bytes(b'PK\x03\x04' + bytes(100))
    with pytest.raises(ValueError, match=r'y\.pth cannot be read as a checkpoint'):
        load_weights(tmp_path / 'y.pth')


def test_exception_flipped_bit(tmp_path: Path) -> None:
    """torch loads another weight without a word; without checksums none can be told."""
    file = tmp_path / 'x.pth'
    for checksums in (True, False):
        torch.serialization.set_crc32_options(checksums)
        torch.save({'w': torch.ones(1000)}, file)
        torch.serialization.set_crc32_options(True)
        assert torch.equal(load_weights(file)['w'], torch.ones(1000))
        content = bytearray(file.read_bytes())
        content[content.index(b'\x80\x3f\x00\x00\x80\x3f') + 1] ^= 1
        file.write_bytes(content)
        assert not torch.equal(torch.load(file)['w'], torch.ones(1000))
        if checksums:
            with pytest.raises(ValueError, match=r'x\.pth cannot .*Bad CRC-32 for'):
                load_weights(file)
        else:
            load_weights(file)


def test_exception_no_regular_file(tmp_path: Path) -> None:
    """Opening a pipe would wait for ever, a device never ends."""
    with pytest.raises(FileNotFoundError, match=r'there is no checkpoint at .*none\.p'):
        load_weights(tmp_path / 'none.pth')
    with pytest.raises(ValueError, match='is a folder: expected a checkpoint'):
        load_weights(tmp_path)
    os.mkfifo(tmp_path / 'pipe.pth')
    (tmp_path / 'zero.pth').symlink_to('/dev/zero')
    for name in ('pipe', 'zero'):
        with pytest.raises(ValueError, match=rf'{name}\.pth is a pipe or a device'):
            load_weights(tmp_path / f'{name}.pth')


def test_exception_gives_no_advice_to_run_it(tmp_path: Path) -> None:
    """torch recommends to read as a program what it cannot read as data."""
    (tmp_path / 'x.pth').write_bytes(pickle.dumps({'a': 1}, protocol=5))
    with pytest.raises(ValueError, match='cannot be read as a checkpoint') as found:
        load_weights(tmp_path / 'x.pth')
    assert 'weights_only' not in str(found.value)
    assert '\n' not in str(found.value)


@pytest.mark.parametrize('length', [0, 3, 200, -20])
def test_exception_truncated(tmp_path: Path, length: int) -> None:
    file = tmp_path / 'cut.pth'
    torch.save({'weight': torch.ones(100)}, file)
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(ValueError, match=r'cut\.pth cannot be read .* a whole file'):
        load_weights(file)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (torch.ones(2), 'holds a Tensor: expected a dict of weights; save the state'),
        ({'meta': [1]}, "holds a list as 'meta': expected a dict; save the weights"),
    ],
)
def test_exception_not_a_dict(tmp_path: Path, content: Any, message: str) -> None:
    torch.save(content, tmp_path / 'x.pth')
    with pytest.raises(ValueError, match=rf'x\.pth {message}'):
        load_weights(tmp_path / 'x.pth')


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
    more = {**target.state_dict(), 'ema.a': torch.ones(1)}
    load_all(source, more, 'x.pth', others=('ema.', 'teacher.'))
    with pytest.raises(ValueError, match=r'^x\.pth does not .*, such as ema\.a; drop'):
        load_all(source, more, 'x.pth', others=('teacher.',), cure='drop it')


@pytest.mark.parametrize(
    ('state', 'message'),
    [
        (
            {'weight': torch.ones(3, 2)},
            'Linear: it lacks 1 of the 2 weights of Linear, such as bias; use the conf',
        ),
        ({'weight': torch.ones(3, 5), 'bias': torch.ones(3)}, r'Linear: size mismatch'),
        (
            {name: torch.ones(3) for name in 'abcde'}
            | torch.nn.Linear(2, 3).state_dict(),
            'Linear: it holds 5 weights that Linear does not have, such as a, b, c; us',
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


FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.mark.parametrize('dtype', FLOATS)
def test_feature_check_finite(dtype: torch.dtype) -> None:
    """Numbers whose sum overflows are finite; integers always are."""
    largest = torch.full((4,), torch.finfo(dtype).max, dtype=dtype)
    check_finite({'a': largest, 'b': torch.ones(0), 'c': torch.tensor(3)}, 'x.pth')


@pytest.mark.parametrize('dtype', [*FLOATS, torch.float8_e4m3fn])
def test_exception_check_finite(dtype: torch.dtype) -> None:
    wrong = torch.tensor([1.0, float('nan')]).to(dtype)
    with pytest.raises(ValueError, match=r'x\.pth holds NaN .* in 1 of 2 tensors, b: '):
        check_finite({'a': torch.ones(2), 'b': wrong}, 'x.pth')
    state = {name: torch.tensor([float('-inf')]) for name in 'abcde'}
    with pytest.raises(ValueError, match=r'in 5 of 5 tensors, a, b, c and 2 more: the'):
        check_finite(state, 'x.pth')


def test_feature_sha256(tmp_path: Path) -> None:
    (tmp_path / 'abc').write_bytes(b'abc')  # FIPS 180-2, B.1
    assert file_sha256(tmp_path / 'abc').startswith('ba7816bf8f01cfea414140de5dae2223')


@pytest.mark.parametrize('safe', [True, False])
def test_feature_resume_never_executes_meta_config(
    safe: bool,
    trained: dict[str, Path],
    tmp_path: Path,
    safe_loading: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A config stored as text in the checkpoint is Python, and resume runs it.

    Safe loading is why it does not: when it does not without, MMEngine was mended.
    """
    if not safe:
        schemes = mmengine_checkpoint.CheckpointLoader._schemes
        monkeypatch.setitem(schemes, '', mmengine_checkpoint.load_from_local)
    file, victim = tmp_path / 'hostile.pth', tmp_path / 'executed'
    checkpoint = load_weights(trained['SGD'])
    checkpoint['meta']['config'] = f'import pathlib\npathlib.Path("{victim}").touch()\n'
    torch.save(checkpoint, file)
    runner = _runner(
        tmp_path, OPTIMIZERS[1], max_epochs=4 - safe, load_from=str(file), resume=True
    )
    runner.train()
    assert runner.epoch == 4 - safe
    assert victim.exists() == (not safe)


def test_exception_resume_from_a_record_as_meta(
    trained: dict[str, Path], tmp_path: Path, safe_loading: None
) -> None:
    """Only a dict is asked for a config; another container may say that it has one."""
    file, victim = tmp_path / 'hostile.pth', tmp_path / 'executed'
    checkpoint = load_weights(trained['SGD'])
    checkpoint['meta'] = _Record(f'open({str(victim)!r}, "w")')
    torch.save(checkpoint, file)
    record = torch.load(file, weights_only=False)['meta']
    assert 'config' in record  # the trap works, MMEngine would run
    assert record['config'] == f'open({str(victim)!r}, "w")'
    runner = _runner(
        tmp_path, OPTIMIZERS[1], max_epochs=5, load_from=str(file), resume=True
    )
    with pytest.raises(ValueError, match=r"hostile\.pth .*'numpy\..*' in meta, which"):
        runner.train()
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
        rf'{file}$',
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
