"""Keras' ResNet-50 in a package of TensorFlow.js, at a stage of one block."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mmdefect.converters import keras_resnet50
from mmdefect.converters.keras_resnet50 import read_keras_resnet50

NORM = ('gamma', 'beta', 'moving_mean', 'moving_variance')


@pytest.fixture(autouse=True)
def one_block(monkeypatch):
    monkeypatch.setattr(keras_resnet50, 'BLOCKS', (1,))


def layers() -> dict[str, np.ndarray]:
    """Two channels in every layer; a kernel counts its values from its own start."""
    found: dict[str, np.ndarray] = {}
    pairs = [('conv1', 'bn_conv1')]
    pairs += [(f'res2a_branch{p}', f'bn2a_branch{p}') for p in ('2a', '2b', '2c', '1')]
    for number, (conv, norm) in enumerate(pairs):
        kernel = np.arange(8, dtype='<f4').reshape(2, 1, 2, 2)  # height, width, in, out
        found[f'{conv}/kernel'] = kernel + 100 * number
        found[f'{conv}/bias'] = np.array([0.5, -1.0], '<f4')
        for row, part in enumerate(NORM):
            found[f'{norm}/{part}'] = np.array([row + 1.0, row + 2.0], '<f4')
    found['fc1000/kernel'] = np.arange(6, dtype='<f4').reshape(2, 3)
    found['fc1000/bias'] = np.array([7, 8, 9], '<f4')
    return found


def write(folder: Path, *, drop: int = 0, **changes: object) -> Path:
    """The package's folder, its values in two shards."""
    folder.mkdir(parents=True)
    values = layers()
    data = b''.join(array.tobytes() for array in values.values())
    data = data[: len(data) - drop]
    (folder / 'shard1').write_bytes(data[:20])
    (folder / 'shard2').write_bytes(data[20:])
    weights = [
        {'name': name, 'shape': list(array.shape), 'dtype': 'float32', **changes}
        for name, array in values.items()
    ]
    manifest = [{'paths': ['shard1', 'shard2'], 'weights': weights}]
    text = json.dumps({'weightsManifest': manifest})
    (folder / 'model.json').write_text(text, encoding='utf-8')
    return folder


def test_smoke_literal_values(tmp_path) -> None:
    state = read_keras_resnet50(write(tmp_path / 'ResNet50'))
    assert list(state)[:5] == [
        *('conv1.weight', 'bn1.weight', 'bn1.bias', 'bn1.running_mean'),
        'bn1.running_var',
    ]
    # out, in, height, width: of the first output the even values
    assert state['conv1.weight'].flatten(1).tolist() == [[0, 4, 2, 6], [1, 5, 3, 7]]
    assert state['layer1.0.conv3.weight'][0].flatten().tolist() == [300, 304, 302, 306]
    assert state['layer1.0.downsample.0.weight'][0, 0, 0, 0] == 400
    assert state['bn1.weight'].tolist() == [1, 2]
    assert state['bn1.bias'].tolist() == [2, 3]
    # means of 3 and 4 less the convolution's bias
    assert state['bn1.running_mean'].tolist() == [2.5, 5.0]
    assert state['bn1.running_var'].tolist() == pytest.approx([4.00099, 5.00099])
    assert state['fc.weight'].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert state['fc.bias'].tolist() == [7, 8, 9]
    assert len(state) == 5 * 5 + 2


def test_feature_computes_what_keras_does(tmp_path) -> None:
    """A convolution with its bias, then a batch norm with Keras' epsilon."""
    state = read_keras_resnet50(write(tmp_path / 'ResNet50'))
    ours = nn.Sequential(nn.Conv2d(2, 2, (2, 1), bias=False), nn.BatchNorm2d(2)).eval()
    names = {'0.weight': 'conv1.weight'} | {
        f'1.{part}': f'bn1.{part}'
        for part in ('weight', 'bias', 'running_mean', 'running_var')
    }
    ours.load_state_dict({k: state[v] for k, v in names.items()}, strict=False)
    image = torch.randn(1, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    kernel = torch.from_numpy(layers()['conv1/kernel']).permute(3, 2, 0, 1)
    before = nn.functional.conv2d(image, kernel, torch.tensor([0.5, -1.0]))
    mean, variance = torch.tensor([3.0, 4.0]), torch.tensor([4.0, 5.0])
    normed = (before - mean.view(-1, 1, 1)) / (variance.view(-1, 1, 1) + 1e-3).sqrt()
    expected = normed * torch.tensor([1.0, 2.0]).view(-1, 1, 1)
    expected += torch.tensor([2.0, 3.0]).view(-1, 1, 1)
    torch.testing.assert_close(ours(image), expected)


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [
        ({'dtype': 'uint8'}, 'conv1/kernel is not stored as float32'),
        ({'quantization': {'scale': 1}}, 'conv1/kernel is not stored as float32'),
        ({'name': 'other'}, "'conv1/kernel'"),
    ],
)
def test_exception_other_content(tmp_path, changes, reason) -> None:
    folder = write(tmp_path / 'ResNet50', **changes)
    with pytest.raises(ValueError, match=rf'Keras.*{reason}.*: expected model\.json'):
        read_keras_resnet50(folder)


def test_exception_cut_short(tmp_path) -> None:
    with pytest.raises(ValueError, match='download the package again'):
        read_keras_resnet50(write(tmp_path / 'ResNet50', drop=8))
    (tmp_path / 'in.tgz').write_bytes(b'no folder')
    with pytest.raises(ValueError, match='download the package again'):
        read_keras_resnet50(tmp_path / 'in.tgz')
    with pytest.raises(FileNotFoundError, match=r'there is no .*none'):
        read_keras_resnet50(tmp_path / 'none')
