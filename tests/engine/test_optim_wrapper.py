from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.registry import MODELS, OPTIM_WRAPPERS, DefaultScope
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmdefect.apis import load_config
from mmdefect.engine.optim_wrapper import CPUAmpOptimWrapper

REPO = Path(__file__).parents[2]
LOSSES = {'loss_cls', 'loss_bbox', 'loss_dfl'}


@pytest.fixture(scope='module')
def detector() -> nn.Module:
    """The toy GFL, freshly initialised."""
    torch.manual_seed(0)
    cfg = load_config(REPO / 'configs/gfl/gfl_r18_fpn_toy_neu-det.py')
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
    model.init_weights()
    return model.train()


def batch() -> dict:
    """Two images of 96 px with a bright and a dark object each."""
    images, samples = [], []
    boxes = torch.tensor([[8.0, 8.0, 40.0, 40.0], [48.0, 40.0, 90.0, 88.0]])
    for seed in range(2):
        generator = torch.Generator().manual_seed(seed)
        image = torch.randint(90, 140, (3, 96, 96), generator=generator)
        image[:, 8:40, 8:40], image[:, 40:88, 48:90] = 230, 20
        images.append(image.to(torch.uint8))
        truth = InstanceData(bboxes=boxes, labels=torch.tensor([seed, 5]))
        shapes = {'img_shape': (96, 96), 'batch_input_shape': (96, 96)}
        sample = DetDataSample(metainfo=shapes)
        sample.gt_instances = truth
        samples.append(sample)
    return {'inputs': images, 'data_samples': samples}


def wrap(model: nn.Module, kind: str) -> CPUAmpOptimWrapper:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    return OPTIM_WRAPPERS.build({'type': kind, 'optimizer': optimizer})


def losses_of(model: nn.Module, kind: str) -> dict[str, Tensor]:
    wrapper = wrap(model, kind)
    data = model.data_preprocessor(batch(), training=True)
    with wrapper.optim_context(model):
        found = model(**data, mode='loss')
    return {k: sum(v) if isinstance(v, list) else v for k, v in found.items()}


def test_feature_losses_are_those_of_float32(detector: nn.Module) -> None:
    """Within 5 % on the first iteration, and not by being float32 themselves."""
    full = losses_of(copy.deepcopy(detector), 'OptimWrapper')
    half = losses_of(copy.deepcopy(detector), 'mmdefect.CPUAmpOptimWrapper')
    assert full.keys() == half.keys() == LOSSES
    for key in LOSSES:
        assert torch.isfinite(half[key]), key
        assert half[key].item() == pytest.approx(full[key].item(), rel=0.05), key
    assert any(half[key].item() != full[key].item() for key in LOSSES)


def test_feature_steps_in_float32_without_a_scaler(detector: nn.Module) -> None:
    """Master weights and gradients stay float32, gradients are not scaled."""
    model = copy.deepcopy(detector)
    weight = model.bbox_head.gfl_cls.weight
    before, grads = weight.detach().clone(), []
    weight.register_hook(lambda grad: grads.append(grad.clone()))
    wrapper = wrap(model, 'mmdefect.CPUAmpOptimWrapper')
    with wrapper.optim_context(model):
        assert model.backbone(torch.zeros(1, 3, 64, 64))[0].dtype == torch.bfloat16
    assert not torch.is_autocast_enabled('cpu')
    assert not hasattr(wrapper, 'loss_scaler')
    log = model.train_step(batch(), wrapper)
    assert torch.isfinite(log['loss'])
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert all(torch.isfinite(p).all() for p in model.parameters())
    (grad,) = grads
    assert grad.dtype == torch.float32
    assert grad.abs().max() > 0
    assert torch.allclose(before - weight.detach(), 0.01 * grad, atol=1e-7)


def test_feature_gpu_options_are_dropped() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    of_gpu = {'loss_scale': 'dynamic', 'dtype': 'float16'}
    wrapper = CPUAmpOptimWrapper(optimizer=optimizer, **of_gpu)
    assert wrapper.optimizer is optimizer
