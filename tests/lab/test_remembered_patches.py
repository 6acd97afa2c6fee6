"""The attempt at remembered patches: its drift, what it keeps, what it teaches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from safetensors.torch import save_file

from lab.remembered_patches import Drift, keep_patches
from mmdefect.apis import load_config
from mmdefect.registry import MODELS
from mmdefect.streams.stream import resolve_step_config

TOY = Path(__file__).parents[2] / 'configs/keep/keep-0_r18_fpn_toy_neu-det_3+3.py'
META = {'img_shape': (96, 96), 'pad_shape': (96, 96), 'scale_factor': (1.0, 1.0)}


def test_no_drift_changes_nothing() -> None:
    torch.manual_seed(0)
    features = torch.rand(500, 4)
    drift = Drift(4)
    drift.see(features, features, torch.ones(500))
    patches = torch.rand(3, 4, 3, 3)
    torch.testing.assert_close(drift(patches), patches, atol=1e-5, rtol=0)


def test_linear_drift_is_found() -> None:
    torch.manual_seed(0)
    turn, shift = torch.rand(4, 4), torch.rand(4)
    features = torch.rand(5000, 4)
    drift = Drift(4, ridge=1e-6)
    drift.see(features, features @ turn + shift, torch.rand(5000))
    patches = torch.rand(3, 4, 3, 3)
    wanted = torch.einsum('mchw,cd->mdhw', patches, turn) + shift[:, None, None]
    torch.testing.assert_close(drift(patches), wanted, atol=1e-3, rtol=0)


@pytest.fixture
def model_of() -> Any:
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield lambda step, **options: MODELS.build(
            {
                **resolve_step_config(load_config(TOY), step).model,
                **options,
                'init_cfg': None,
            }
        )


def sample_of(label: int) -> dict[str, Any]:
    torch.manual_seed(label)
    boxes = torch.tensor([[8.3, 9.1, 60.2, 64.7]])
    truth = InstanceData(bboxes=boxes, labels=torch.tensor([label]))
    image = torch.randint(0, 256, (3, 96, 96), dtype=torch.uint8)
    return {
        'inputs': [image],
        'data_samples': [DetDataSample(gt_instances=truth, metainfo=META)],
    }


def test_patches_are_what_the_classifier_saw(model_of: Any) -> None:
    model = model_of(0)
    kept = keep_patches(model, [sample_of(k) for k in range(3)], megabytes=0.1)
    assert set(kept['labels'].tolist()) == {-1, 0, 1, 2}
    assert (kept['quality'][kept['labels'] < 0] == 0).all()
    assert (kept['quality'][kept['labels'] >= 0] > 0).any()
    assert kept['patches'].numel() * 2 <= 1e5


def test_they_teach_the_classifier_alone(model_of: Any, tmp_path: Path) -> None:
    before = model_of(0)
    kept = keep_patches(before, [sample_of(k) for k in range(3)], megabytes=0.1)
    save_file(kept, str(tmp_path / 'kept.safetensors'))
    model = model_of(
        1,
        type='mmdefect.PatchGFL',
        patches=str(tmp_path / 'kept.safetensors'),
        teacher_cache_mb=None,
    ).train()
    model.start_from(model_of(0).state_dict(), ['a', 'b', 'c'])
    data = model.data_preprocessor(sample_of(4), True)
    losses = model.loss(data['inputs'], data['data_samples'])
    losses['loss_patches'].backward()
    moved = {name for name, p in model.named_parameters() if p.grad is not None}
    assert moved == {'bbox_head.gfl_cls.weight', 'bbox_head.gfl_cls.bias'}
    # New channels learn that old objects are none of theirs.
    assert model.bbox_head.gfl_cls.bias.grad[3:].gt(0).all()
