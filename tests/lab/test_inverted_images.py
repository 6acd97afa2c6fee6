"""The attempt at images made from moments: the moments, and that steps come nearer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from torch import nn

from lab.inverted_images import (
    Spectra,
    class_moments,
    distance,
    invert,
    moments_of,
    remembered,
    within_boxes,
)
from mmdefect.apis import load_config
from mmdefect.registry import MODELS
from mmdefect.streams.stream import resolve_step_config

TOY = Path(__file__).parents[2] / 'configs/keep/keep-0_r18_fpn_toy_neu-det_3+3.py'
META = {'img_shape': (64, 64), 'pad_shape': (64, 64), 'scale_factor': (1.0, 1.0)}
BOX = InstanceData(
    bboxes=torch.tensor([[8.0, 8.0, 40.0, 48.0]]), labels=torch.tensor([1])
)


def test_moments_within_boxes_and_outside() -> None:
    layer = nn.Sequential(nn.BatchNorm2d(1))
    image = torch.zeros(1, 1, 8, 8)
    image[..., :4, :4] = torch.tensor([1.0, 3.0]).repeat(8).view(4, 4)
    box = InstanceData(bboxes=torch.tensor([[0.0, 0.0, 4.0, 4.0]]))
    inside = within_boxes([box], image, size=6)  # two rows and columns are padding
    with moments_of(layer, inside) as found:
        layer(image)
    ((within, outside),) = found
    assert within.squeeze().tolist() == [2, 1]
    assert outside.squeeze().tolist() == [0, 0]
    assert inside.isnan().sum() == 8 * 8 - 6 * 6


def test_distance_of_equal_moments_is_zero() -> None:
    moments = [torch.rand(2, 2, 3) + 0.1]
    assert distance(moments, moments) == 0
    assert distance([moments[0] * 2], moments) > 0


def test_spectra_are_images() -> None:
    images = Spectra(2, 16, seed=0)()
    assert images.shape == (2, 1, 16, 16)
    assert 0 < images.min() < images.max() < 255


@pytest.fixture
def detector() -> Any:
    with DefaultScope.overwrite_default_scope('mmdet'):
        cfg = resolve_step_config(load_config(TOY), 0).model
        return MODELS.build({**cfg, 'init_cfg': None}).requires_grad_(False).eval()


def test_steps_come_nearer_to_what_was_seen(detector: Any, capsys: Any) -> None:
    torch.manual_seed(0)
    image = (60 + 40 * torch.rand(1, 64, 64)).expand(3, -1, -1).byte()
    truth = DetDataSample(gt_instances=BOX.clone(), metainfo=META)
    sample = {'inputs': [image], 'data_samples': [truth]}
    moments, boxes = class_moments(detector, [sample], 64)
    images, off = invert(detector, moments, boxes, size=64, steps=20)
    first = float(capsys.readouterr().out.split('moments ')[1].split(',')[0])
    assert off < first / 2
    about, png = remembered(images[0], boxes[0], name='b', classes=['a', 'b'], at=0)
    assert about.shows('b')
    assert about.bytes == len(png)
