"""The casting study's classifiers as their configs build them, without weights."""

from __future__ import annotations

import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn

import mmdefect.models.classification.padding  # noqa: F401  registers it
from tests.helpers.configs import ROOT, scope

CONFIGS = ROOT / 'configs/_base_/models/casting'
# Parameters, and those of the head, with two classes: the study's table of models.
PARAMETERS = {
    'luna': (115_088, 41_474),
    'alexnet': (57_012_034, 8_194),
    'resnet18': (11_177_538, 1_026),
    'efficientnetv2_s': (20_180_050, 2_562),
    'convnext_tiny': (27_821_666, 1_538),
    'vit_b16': (85_800_194, 1_538),
    'swin_tiny': (27_520_892, 1_538),
    'dino_vits8': (21_671_042, 770),
}
EXTRA = {
    'efficientnet_lite0': (3_373_570, 2_562),
    'mobilenet_v2': (2_226_434, 2_562),
    'resnet50_caffe': (23_512_130, 4_098),
}
# They call `.item()` when they are built.
NOT_ON_META = (
    *('resnet18', 'efficientnetv2_s', 'convnext_tiny', 'swin_tiny'),
    *('efficientnet_lite0', 'resnet50_caffe'),
)


def config_of(name: str) -> dict:
    return Config.fromfile(CONFIGS / f'{name}.py').model


def build(name: str, device: str = 'cpu', **backbone: object) -> nn.Module:
    """One of the classifiers, with the random weights of its constructor.

    Large ones cost seconds to fill and are wanted on the meta device where possible.
    """
    model = config_of(name)
    model['backbone'] = {**model['backbone'], 'init_cfg': None, **backbone}
    early = 'cpu' if name in NOT_ON_META else device
    with scope('mmpretrain'), torch.device(early):
        return MODELS.build(model).to(device)
