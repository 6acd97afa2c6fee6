"""Reading checkpoints without running anything they contain.

A ``.pth`` file is a pickle, hence a program. Only tensors, plain containers and what
MMEngine's own log history consists of are accepted here, and there is no way around it.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
import torch
from mmengine.logging.history_buffer import HistoryBuffer
from torch import Tensor, nn

from mmdefect.utils.weights import download, how_to_make

MapLocation = str | torch.device | Callable[..., Any] | None

HISTORY_STATISTICS = ('min', 'max', 'current', 'mean')


def load_weights(
    path: str | Path, *, map_location: MapLocation = 'cpu'
) -> dict[str, Any]:
    """Read a whole checkpoint, ``.pth`` or ``.safetensors``, as data only.

    Args:
        path: A local file.
        map_location: As in :func:`torch.load`.

    Returns:
        The checkpoint; of a safetensors file, ``state_dict`` and the class names.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is a folder, cannot be read, holds no dict, or names anything
            beyond the allow-list (nothing is executed then).
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise ValueError(
            f'{path} is a folder, and a checkpoint file was expected: give one of the '
            f'.pth or .safetensors files in it.'
        )
    if not path.is_file():
        cure = how_to_make(path) or 'check the path'
        raise FileNotFoundError(f'There is no checkpoint at {path}: {cure}.')
    if path.suffix == '.safetensors':
        return _read_safetensors(path, map_location)
    checkpoint = _read_pickle(path, map_location)
    if not isinstance(checkpoint, dict):
        raise ValueError(
            f'{path} holds a {type(checkpoint).__name__}, and a dict of weights was '
            'expected: save the state_dict of the model instead.'
        )
    return checkpoint


def state_dict_of(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the weights of a checkpoint, without the ``module.`` of DDP.

    Raises:
        ValueError: If the checkpoint neither has a ``state_dict`` nor is one.
    """
    state = checkpoint.get('state_dict', checkpoint)
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(
            f'The checkpoint holds no weights, only {sorted(map(str, checkpoint))}: a '
            "'state_dict' of tensors was expected."
        )
    return {key.removeprefix('module.'): value for key, value in state.items()}


def load_exactly(
    model: nn.Module, path: str | Path, *, name: str | None = None
) -> dict[str, Any]:
    """Fill a model from a checkpoint that has each of its weights and no others.

    Args:
        model: The model.
        path: A local file.
        name: What the error calls the model; by default its type.

    Returns:
        The whole checkpoint.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It cannot be read (:func:`load_weights`), or a weight is missing,
            left over or of another shape.
    """
    checkpoint = load_weights(path)
    try:
        model.load_state_dict(state_dict_of(checkpoint))
    except RuntimeError as error:
        raise ValueError(
            f'{path} does not fit {name or type(model).__name__}: '
            f'{first_mismatch(error)}; expected a checkpoint of the model that the '
            'config describes'
        ) from None
    return checkpoint


def first_mismatch(error: RuntimeError) -> str:
    """The first line about weights of what ``load_state_dict`` raised.

    Of names that are missing or too many it keeps three.
    """
    line = str(error).partition('\n')[2].strip().partition('\n')[0].rstrip(' .')
    names = re.findall(r'"[^"]+"', line)
    if len(names) <= 3:
        return line
    kind = line.partition(names[0])[0]
    return f'{kind}{", ".join(names[:3])} and {len(names) - 3} more'


def checkpoint_classes(checkpoint: Mapping[str, Any]) -> list[str] | None:
    """Return the class names a checkpoint was trained on, None when it says none."""
    meta = checkpoint.get('meta') or {}
    dataset_meta = meta.get('dataset_meta') or meta
    # mmdet 2 wrote capitals, and directly into `meta`.
    classes = dataset_meta.get('classes') or dataset_meta.get('CLASSES')
    return list(classes) if classes else None


def file_sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with Path(path).open('rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def use_safe_loading() -> None:
    """Make MMEngine read every checkpoint, local or downloaded, by this module.

    Its own loader runs any pickle after a warning, and ``Runner.resume`` executes the
    text in ``meta['config']`` as Python; that entry is dropped.
    """
    from mmengine.runner import checkpoint as mmengine_checkpoint

    mmengine_checkpoint.CheckpointLoader.register_scheme(
        prefixes='', loader=load_from_local_safely, force=True
    )
    # All schemes that download (http, torchvision, open-mmlab, mmcls) end here.
    mmengine_checkpoint.load_url = load_url_safely


def load_from_local_safely(
    filename: str, map_location: MapLocation = None
) -> dict[str, Any]:
    """Stand in for MMEngine's ``load_from_local``; see :func:`use_safe_loading`."""
    checkpoint = load_weights(filename, map_location=map_location)
    meta = checkpoint.get('meta')
    if isinstance(meta, dict):
        meta.pop('config', None)
    return checkpoint


def load_url_safely(
    filename: str,
    model_dir: str | None = None,
    map_location: MapLocation = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Stand in for :func:`torch.hub.load_state_dict_from_url`, same cache folder.

    Raises:
        ConnectionError: The server cannot be reached, or has no such file.
    """
    folder = Path(model_dir or Path(torch.hub.get_dir()) / 'checkpoints')
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / Path(urlparse(filename).path).name
    if not target.exists():
        # A published name ends with the first digits of its hash: `-0123abcd.pth`.
        digits = re.search(r'-([a-f0-9]+)\.', target.name)
        prefix = digits.group(1) if digits else None
        download(filename, target, prefix, progress=progress)
    return load_from_local_safely(str(target), map_location)


def _history_statistic(owner: Any, name: Any) -> Callable[..., Any]:
    """Stand in for ``getattr`` in a pickle, where it could reach anything.

    Every ``HistoryBuffer`` pickles its methods as ``getattr(HistoryBuffer, 'min')``,
    so real checkpoints cannot be read without the name.
    """
    if owner is not HistoryBuffer or name not in HISTORY_STATISTICS:
        raise pickle.UnpicklingError(f'GLOBAL builtins.getattr of {owner!r}, {name!r}')
    return getattr(HistoryBuffer, name)


def _allowed_globals() -> list[Any]:
    """Return what a real MMEngine checkpoint names beyond torch's own allow-list."""
    reconstruct = np.empty(0).__reduce__()[0]
    scalar = np.float64(0).__reduce__()[0]
    # numpy 2 moved its core; files written by either must load under the other.
    numpy_functions = [
        (function, f'numpy.{core}.multiarray.{name}')
        for core in ('core', '_core')
        for function, name in ((reconstruct, '_reconstruct'), (scalar, 'scalar'))
    ]
    # The log history has the first two, a metric may log the third.
    dtypes = (np.float64, np.int64, np.float32)
    return [
        HistoryBuffer,
        (_history_statistic, 'builtins.getattr'),
        *numpy_functions,
        np.ndarray,
        np.dtype,
        *(type(np.dtype(dtype)) for dtype in dtypes),
    ]


def _read_pickle(path: Path, map_location: MapLocation) -> Any:
    try:
        with torch.serialization.safe_globals(_allowed_globals()):
            return torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:
        # torch's readers raise whatever they stumble over in a broken file.
        reason = str(error)
        named = re.search(r'GLOBAL (\S+)', reason)
        if isinstance(error, pickle.UnpicklingError) and named:
            raise ValueError(
                f"{path} holds more than weights: it names '{named.group(1)}', which "
                'was refused and not run; use a checkpoint of tensors and plain '
                'containers.'
            ) from None
        raise _unreadable(path, error) from error


def _read_safetensors(path: Path, map_location: MapLocation) -> dict[str, Any]:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise ImportError(
            f'Reading {path} needs the package safetensors: run `pip install '
            'safetensors`.'
        ) from None
    if callable(map_location):
        raise TypeError(
            f'A safetensors file is read to one device, and map_location for {path} is '
            "a function: give a device such as 'cpu'."
        )
    device = 'cpu' if map_location is None else str(map_location)
    try:
        with safe_open(str(path), framework='pt', device=device) as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise _unreadable(path, error) from error
    checkpoint: dict[str, Any] = {'state_dict': state, 'meta': {}}
    if 'classes' in metadata:
        classes = json.loads(metadata['classes'])
        checkpoint['meta']['dataset_meta'] = {'classes': classes}
    return checkpoint


def _unreadable(path: Path, error: Exception) -> ValueError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return ValueError(
        f'{path} cannot be read as a checkpoint ({reason}): it may be truncated, copy '
        'or download it again.'
    )
