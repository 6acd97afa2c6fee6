"""Anomaly models and classifiers without mmdet. Slow: a fresh interpreter imports all.

mmpretrain imports mmdet where there is one, so it is refused before mmpretrain comes.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import REPO, tool_env

CODE = """
import sys
from torch import nn
from mmengine.config import Config
from mmengine.registry import DefaultScope, MODELS
import mmdefect.converters.weights
import mmdefect.models.classification.pruned
import mmdefect.models.classification.padding

class Taps(nn.Conv2d):
    def forward(self, x):
        return (super().forward(x),)

def loaded():
    return {name.split('.')[0] for name in sys.modules} & {'mmdet', 'mmpretrain'}

def build(cfg, scope):
    with DefaultScope.overwrite_default_scope(scope):
        return MODELS.build(cfg)

def iuf(backbone):
    return build(dict(
        type='mmdefect.IUF', backbone=backbone, in_channels=12, num_classes=2,
        transformer=dict(grid=4, width=16, depth=2, heads=2, ffn=16),
        conditioner=dict(heads=2),
        compression=dict(type='mmdefect.SemanticCompressionLoss')), 'mmdefect')

iuf(Taps(3, 12, 3, 4)).init_weights()
assert not loaded(), loaded()
sys.modules['mmdet'] = None
iuf(dict(type='mmpretrain.ResNet', depth=18, base_channels=4, stem_channels=4,
         out_indices=(0, 1))).init_weights()
for name in sys.argv[1:]:
    built = build(Config.fromfile(name).model, 'mmpretrain')
    assert type(built).__name__ == 'ImageClassifier'
"""


@pytest.mark.slow
def test_feature_needs_no_mmdet() -> None:
    folder = REPO / 'configs/_base_/models/casting'
    configs = [str(folder / f'{name}.py') for name in ('luna', 'efficientnetv2_s')]
    done = subprocess.run(
        [sys.executable, '-c', CODE, *configs],
        cwd=REPO,
        env=tool_env(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
