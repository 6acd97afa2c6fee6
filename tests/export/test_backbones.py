"""Backbones of our configs in miniature, as ONNX Runtime computes them.

Each is traced, which takes some seconds of the processor or more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from mmengine.registry import MODELS

from mmdefect.export.graphs import exportable
from mmdefect.export.onnx_file import whole_windows, write_onnx
from tests.helpers.configs import scope
from tests.helpers.networks import build_classifier, images, stir

SIZE = 64
TRANSFORMERS: dict[str, dict[str, Any]] = {
    'VisionTransformer': {
        'arch': {
            'embed_dims': 16,
            'num_layers': 2,
            'num_heads': 2,
            'feedforward_channels': 32,
        },
        'img_size': SIZE,
        'patch_size': 16,
    },
    'SwinTransformer': {
        'arch': {'embed_dims': 16, 'depths': [1, 1, 2, 1], 'num_heads': [1, 2, 4, 8]},
        'img_size': SIZE,
        'window_size': 2,
    },
}


def classifier(name: str) -> torch.nn.Module:
    if name not in TRANSFORMERS:
        return build_classifier(name, pixels=1)
    width = 16 if name == 'VisionTransformer' else 128
    cfg = {
        'type': 'ImageClassifier',
        'backbone': {'type': name, **TRANSFORMERS[name]},
        'neck': None if width == 16 else {'type': 'GlobalAveragePooling'},
        'head': {'type': 'LinearClsHead', 'num_classes': 3, 'in_channels': width},
    }
    with scope('mmpretrain'):
        return stir(MODELS.build(cfg).eval())


def test_feature_windows_are_put_together_as_before() -> None:
    """Swin's own way and the one that is traced, for any number of images."""
    model = classifier('SwinTransformer')
    for number in (1, 3):
        given = images(number, size=SIZE)
        with torch.no_grad():
            expected = model(given)
            with whole_windows(model):
                assert torch.equal(model(given), expected)
    before = [part for part in model.modules() if 'window_reverse' in vars(part)]
    assert not before


@pytest.mark.slow
@pytest.mark.parametrize(
    'name', ['MobileNetV2', 'EfficientNetV2', 'ConvNeXt', 'FTLAlexNet', *TRANSFORMERS]
)
def test_feature_equal(name: str, tmp_path: Path) -> None:
    model = classifier(name)
    network = exportable(model, 'labels')
    given = images(2, size=SIZE)
    path = tmp_path / 'x.onnx'
    write_onnx(network, given, path, any_size=False)
    session = onnxruntime.InferenceSession(str(path))
    for batch in (given, images(3, size=SIZE, seed=4), given[:1]):
        with torch.no_grad():
            (expected,) = network.module(batch)
        (found,) = session.run(None, {'images': batch.numpy()})
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)
