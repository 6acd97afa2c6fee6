"""A toy teacher on disk and students that start from it."""

from __future__ import annotations

import copy
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData

from mmdefect.apis import load_config
from mmdefect.streams.stream import resolve_step_config

TOY = Path(__file__).parents[3] / 'configs/sd_idd/sd-idd_r18_fpn_toy_neu-det_3+3.py'
OLD = ['crazing', 'inclusion', 'patches']
NEW = ['pitted_surface', 'rolled-in_scale', 'scratches']
DISTILL = {
    'sd_idd': {'type': 'mmdefect.SelectiveDistillation'},
    'lwf': {'type': 'mmdefect.LogitDistillation'},
    'cross': {'type': 'mmdefect.CrossHeadDistillation', 'classification': False},
    'expert': {
        'type': 'mmdefect.CrossHeadDistillation',
        'classification': False,
        'expert_classes': True,
        'expert_boxes': True,
    },
    # All but released_classes, which is not zero for equal models.
    'all': {
        'type': 'mmdefect.SelectiveDistillation',
        'regression': {'br_weight': 'teacher_iou', 'norm': 'weight_sum'},
        'ring': True,
        'elastic': True,
        'soft_quality': True,
    },
    'release': {
        'type': 'mmdefect.SelectiveDistillation',
        'regression': {'br_weight': 'student_score'},
        'features': {'released': True},
        'ring': True,
        'elastic': {'released': True},
        'released_classes': True,
        'per_images': None,
    },
}
HEAD = {
    'in_channels': 16,
    'feat_channels': 16,
    'stacked_convs': 1,
    'norm_cfg': {'type': 'GN', 'num_groups': 4},
    'anchor_generator': {
        'type': 'AnchorGenerator',
        'ratios': [1.0],
        'octave_base_scale': 4,
        'scales_per_octave': 1,
        'strides': [8, 16, 32],
    },
    'loss_cls': {'type': 'QualityFocalLoss', 'use_sigmoid': True, 'loss_weight': 2.0},
    'loss_dfl': {'type': 'DistributionFocalLoss', 'loss_weight': 0.25},
    'loss_bbox': {'type': 'GIoULoss', 'loss_weight': 2.0},
    'train_cfg': {
        'assigner': {'type': 'ATSSAssigner', 'topk': 9},
        'allowed_border': -1,
        'pos_weight': -1,
    },
    'test_cfg': {},
}
META = {'img_shape': (96, 96), 'pad_shape': (96, 96), 'scale_factor': (1.0, 1.0)}
DETECTION = {'loss_cls', 'loss_bbox', 'loss_dfl'}
BOXES = ((8.3, 9.1, 40.2, 44.7), (50.4, 30.2, 90.1, 88.6))


@lru_cache
def _toy(step):
    return resolve_step_config(load_config(TOY), step).model


def toy_model(step):
    """The model of a step, to be changed at will."""
    return copy.deepcopy(_toy(step))


def build(cfg):
    with DefaultScope.overwrite_default_scope('mmdet'):
        return MODELS.build(cfg)


def student_cfg(distill='sd_idd', teacher=None, num_old=3, num_new=3, **backbone):
    cfg = toy_model(1)
    cfg.bbox_head.update(num_classes=num_old + num_new, num_old_classes=num_old)
    cfg.backbone.update(backbone)
    cfg.distill = DISTILL.get(distill, distill)
    if teacher is not None:
        cfg.teacher = {'checkpoint': str(teacher)}
    return cfg


def make_student(teacher, distill='sd_idd', **kwargs):
    """A student in training mode that started from the teacher's file."""
    torch.manual_seed(1)
    student = build(student_cfg(distill, teacher, **kwargs))
    student.init_weights()
    return student.train()


def make_teacher(num_classes=3, **backbone):
    """A detector whose scores and boxes vary, as if it had been trained."""
    torch.manual_seed(0)
    cfg = toy_model(0)
    cfg.bbox_head.num_classes = num_classes
    cfg.backbone.update(backbone)
    teacher = build(cfg)
    teacher.init_weights()
    perturb(teacher, 0.1)
    with torch.no_grad():
        teacher.bbox_head.gfl_cls.weight.mul_(15)
        teacher.bbox_head.gfl_reg.weight.mul_(10)
    return teacher


def make_head(kind, **changes):
    """A small head, its class logits spread."""
    head = build(ConfigDict({**HEAD, **changes}, type=kind))
    torch.manual_seed(0)
    head.init_weights()
    torch.nn.init.normal_(head.gfl_cls.weight, std=0.1)
    return head


def head_features():
    generator = torch.Generator().manual_seed(1)
    return tuple(
        torch.randn(2, 16, size, size, generator=generator, requires_grad=True)
        for size in (12, 6, 3)
    )


def truths(*labels, boxes=2):
    """Ground truth of an image a pair of labels."""
    found = torch.tensor([[8.0, 8.0, 40.0, 44.0], [30.0, 20.0, 90.0, 88.0]])[:boxes]
    return [
        InstanceData(bboxes=found, labels=torch.tensor(pair)[:boxes]) for pair in labels
    ]


def losses_of_head(head, gt, maps=None):
    return head.loss_by_feat(*head(maps or head_features()), gt, [META] * len(gt))


class Recorder(torch.nn.Module):
    """A strategy that costs nothing and remembers what it saw."""

    def forward(self, context):
        self.context = context
        return {}


def save(path, state, classes=None):
    """Write a checkpoint as MMEngine does."""
    meta = {'dataset_meta': {'classes': tuple(classes)}} if classes else {}
    torch.save({'state_dict': state, 'meta': meta}, path)
    return path


def perturb(model, scale=0.05, seed=3):
    """Shift every trainable parameter a little, as some training would."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                noise = torch.randn(parameter.shape, generator=generator)
                size = parameter.abs().mean().clamp(min=0.01)
                parameter.add_(scale * size * noise)
    return model


def make_batch(boxes=(BOXES, BOXES[:1]), labels=(3, 5), shapes=None, seed=0):
    """Preprocessed images of 96 x 96 and their samples, labels in turn."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(len(boxes), 3, 96, 96, generator=generator)
    samples = []
    for number, found in enumerate(boxes):
        for box in found:
            x1, y1, x2, y2 = map(int, box)
            images[number, :, y1:y2, x1:x2] += 2.0
        shape = shapes[number] if shapes else (96, 96)
        images[number, :, shape[0] :] = 0
        images[number, :, :, shape[1] :] = 0
        classes = [labels[k % len(labels)] for k in range(len(found))]
        sample = DetDataSample(
            metainfo={
                'img_shape': shape,
                'pad_shape': shape,
                'ori_shape': shape,
                'batch_input_shape': (96, 96),
                'scale_factor': (1.0, 1.0),
            }
        )
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor(found).reshape(-1, 4),
            labels=torch.tensor(classes, dtype=torch.long),
        )
        samples.append(sample)
    return images, samples


def split_losses(losses):
    """Detection losses and distillation losses, each summed over its levels."""
    summed = {
        key: sum(value) if isinstance(value, list) else value
        for key, value in losses.items()
        if 'loss' in key
    }
    ours = {key: summed[key] for key in summed if key not in DETECTION}
    return {key: summed[key] for key in sorted(DETECTION)}, ours


@pytest.fixture(scope='session')
def teacher_state():
    return make_teacher().state_dict()


@pytest.fixture(scope='session')
def teacher_file(teacher_state, tmp_path_factory):
    """A checkpoint of step 0 of the toy stream."""
    return save(tmp_path_factory.mktemp('teacher') / 'epoch_1.pth', teacher_state, OLD)
