"""Another dense head of mmdet through the same code: ATSS, whose boxes are numbers."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from mmengine.config import ConfigDict

from mmdefect.apis import load_config
from mmdefect.functional.class_rows import ATSS_CLASS_KEYS
from mmdefect.models.detection import atss_head
from mmdefect.models.detection.distill.terms import ElasticBoxes, FittingBoxes
from mmdefect.streams.stream import resolve_step_config
from mmdefect.utils.modules import class_keys_of
from tests.models.detection import conftest
from tests.models.detection.conftest import (
    DISTILL,
    HEAD,
    META,
    OLD,
    Recorder,
    build,
    head_features,
    losses_of_head,
    make_batch,
    perturb,
    save,
    truths,
)

TOY = Path(__file__).parents[3] / 'configs/atss/lwf_atss-r18_fpn_toy_neu-det_3+3.py'
WEIGHT, BIAS = ATSS_CLASS_KEYS
LOSSES = {'loss_cls', 'loss_bbox', 'loss_centerness'}
REPLAYED = {**META, 'replayed': True}


def settings(**changes):
    parts = {
        'bbox_coder': {
            'type': 'DeltaXYWHBBoxCoder',
            'target_means': [0.0, 0.0, 0.0, 0.0],
            'target_stds': [0.1, 0.1, 0.2, 0.2],
        },
        'loss_cls': {
            'type': 'FocalLoss', 'use_sigmoid': True, 'gamma': 2.0, 'alpha': 0.25
        },
        'loss_bbox': {'type': 'GIoULoss', 'loss_weight': 2.0},
        'loss_centerness': {'type': 'CrossEntropyLoss', 'use_sigmoid': True},
    }  # fmt: skip
    kept = {key: value for key, value in HEAD.items() if not key.startswith('loss_')}
    return {**kept, **parts, **changes}


def make_head(kind, **changes):
    head = build(ConfigDict(settings(**changes), type=kind))
    torch.manual_seed(0)
    head.init_weights()
    torch.nn.init.normal_(head.atss_cls.weight, std=0.1)
    return head


def model_cfg(step, distill=None):
    cfg = copy.deepcopy(resolve_step_config(load_config(TOY), step).model)
    if step:
        cfg.distill = DISTILL.get(distill, distill)
    return cfg


def make_teacher():
    torch.manual_seed(0)
    teacher = build(model_cfg(0))
    teacher.init_weights()
    perturb(teacher, 0.1)
    with torch.no_grad():
        teacher.bbox_head.atss_cls.weight.mul_(15)
        teacher.bbox_head.atss_reg.weight.mul_(10)
    return teacher


@pytest.fixture(scope='module')
def teacher(tmp_path_factory):
    """Weights of step 0, and their file."""
    state = make_teacher().state_dict()
    return state, save(tmp_path_factory.mktemp('atss') / 'epoch_1.pth', state, OLD)


def make_student(teacher, distill='lwf'):
    torch.manual_seed(1)
    cfg = model_cfg(1, distill)
    cfg.teacher = {'checkpoint': str(teacher[1])}
    student = build(cfg)
    student.init_weights()
    return student.train()


def losses_of(student, **batch):
    losses = student.loss(*make_batch(**batch))
    return {k: sum(v) if isinstance(v, list) else v for k, v in losses.items()}


# The head


@pytest.mark.parametrize('boxes', [2, 0])
def test_feature_losses_equal_mmdets_bit_for_bit(boxes):
    theirs = make_head('mmdet.ATSSHead', num_classes=6)
    ours = make_head('mmdefect.ATSSHead', num_classes=6)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    gt = truths((0, 5), (3, 5), boxes=boxes)
    expected = losses_of_head(theirs, gt)
    found = losses_of_head(ours, gt)
    assert found.keys() == expected.keys() == LOSSES
    for key, levels in expected.items():
        assert all(map(torch.equal, found[key], levels))


def test_feature_normaliser_is_global(monkeypatch):
    """Two processes with the same images are one process with them twice."""
    head = make_head('mmdefect.ATSSHead', num_classes=6)
    maps, gt = head_features(), truths((0, 5), (3, 5))
    doubled = tuple(torch.cat([level, level]) for level in maps)
    twice = losses_of_head(head, gt * 2, doubled)
    monkeypatch.setattr(atss_head, 'get_world_size', lambda: 2)
    shared = losses_of_head(head, gt, maps)
    for key in ('loss_cls', 'loss_bbox'):
        torch.testing.assert_close(shared[key], twice[key], rtol=1e-5, atol=1e-7)


def test_feature_new_images_teach_the_new_classes_alone():
    """mmdet's head of the new rows; old rows have neither loss nor gradient."""
    head = make_head('mmdefect.IncrementalATSSHead', num_classes=5, num_old_classes=2)
    sliced = make_head('mmdet.ATSSHead', num_classes=3)
    state = head.state_dict()
    for key in ('atss_cls.weight', 'atss_cls.bias'):
        state[key] = state[key][2:]
    sliced.load_state_dict(state)
    found = losses_of_head(head, truths((2, 4), (3, 3)))
    expected = losses_of_head(sliced, truths((0, 2), (1, 1)))
    for key in LOSSES:
        torch.testing.assert_close(found[key], expected[key], rtol=1e-6, atol=0)
    sum(sum(levels) for levels in found.values()).backward()
    assert head.atss_cls.weight.grad[:2].abs().max() == 0


def test_feature_remembered_images_have_mmdets_loss():
    """To the last bit; beside a new image, old rows learn from the remembered alone."""
    head = make_head('mmdefect.IncrementalATSSHead', num_classes=5, num_old_classes=2)
    theirs = make_head('mmdet.ATSSHead', num_classes=5)
    theirs.load_state_dict(head.state_dict(), strict=True)
    gt = truths((0, 4), (1, 2))
    found = head.loss_by_feat(*head(head_features()), gt, [REPLAYED] * 2)
    for key, levels in losses_of_head(theirs, gt).items():
        assert all(map(torch.equal, found[key], levels))
    classes, *others = head(head_features())
    leaves = [level.detach().requires_grad_() for level in classes]
    gt = truths((2, 3), (0, 1))
    mixed = head.loss_by_feat(leaves, *others, gt, [META, REPLAYED])
    sum(mixed['loss_cls']).backward()
    for level in leaves:
        assert level.grad[0, :2].abs().max() == 0
        assert level.grad[1, :2].abs().min() > 0


def test_feature_boxes_are_decoded():
    """As mmdet decodes them: no deltas, the priors themselves."""
    head = make_head('mmdefect.IncrementalATSSHead', num_classes=5, num_old_classes=2)
    features = head_features()
    classes, deltas, centerness = head(features)
    silent = [torch.zeros_like(level) for level in deltas]
    dense = head.dense(features, (classes, silent, centerness))
    assert not dense.has_distributions
    assert dense.classes.shape == (2, 189, 5)
    assert dense.boxes.shape == (2, 189, 4)
    # Stride 8, 4 strides wide, around (8, 8); and the first prior of stride 32.
    expected = torch.tensor([[-8.0, -8, 24, 24], [-64, -64, 64, 64]])
    torch.testing.assert_close(dense.boxes[1, [13, 180]], expected)


def test_exception_several_priors_a_location():
    anchors = {**HEAD['anchor_generator'], 'ratios': [0.5, 1.0, 2.0]}
    with pytest.raises(ValueError, match='3 priors a location: expected one'):
        make_head('mmdefect.IncrementalATSSHead', num_classes=5,
                  anchor_generator=anchors)  # fmt: skip


# The student


def test_feature_starts_from_the_teacher(teacher):
    student = make_student(teacher)
    for key, value in student.state_dict().items():
        shared = value[:3] if key in ATSS_CLASS_KEYS else value
        assert torch.equal(shared, teacher[0][key])
    assert len(student.state_dict()[BIAS]) == 6
    assert student.teacher.bbox_head.atss_cls.out_channels == 3
    assert class_keys_of(student) == ATSS_CLASS_KEYS
    assert class_keys_of(build(model_cfg(0))) == ATSS_CLASS_KEYS


@pytest.mark.parametrize('distill', ['lwf', 'all', 'cross'])
def test_feature_strategies_see_dense_outputs(teacher, distill):
    """Nothing to distil at the start; then every term, finite and connected."""
    student = make_student(teacher, distill)
    start = losses_of(student)
    terms = {key for key in start if key.startswith('loss_dist_')}
    assert len(terms) == {'lwf': 1, 'all': 6, 'cross': 2}[distill]
    for key in terms:
        assert start[key].item() == pytest.approx(0, abs=1e-6), key
    moved = losses_of(perturb(student))
    assert start.keys() >= LOSSES
    for key in terms:
        assert moved[key].item() > 1e-6, key
    sum(value for key, value in moved.items() if 'loss' in key).backward()
    assert all(p.grad.isfinite().all() for p in student.parameters())


def test_feature_old_rows_learn_from_the_teacher_alone(teacher):
    student = perturb(make_student(teacher))
    losses = losses_of(student)
    rows = student.bbox_head.atss_cls.weight
    for keys, silent in ((LOSSES, slice(0, 3)), ({'loss_dist_cls'}, slice(3, 6))):
        total = sum(losses[key] for key in keys)
        (gradient,) = torch.autograd.grad(total, rows, retain_graph=True)
        assert gradient[silent].abs().max() == 0
        assert gradient.abs().max() > 0


def test_feature_box_terms_compare_decoded_boxes(teacher):
    """Of one prior, 1 - GIoU times the weight, as written out."""
    student = make_student(teacher, Recorder())
    student.loss(*make_batch())
    context = student.distill.context
    old = context.teacher.boxes
    context = replace(
        context,
        student=replace(context.student, boxes=old + old.new_tensor([4, 0, 4, 0])),
    )
    wide, high = (old[..., 2:] - old[..., :2]).unbind(-1)
    # Shifted by 4 px: overlap and union of two equal boxes; nothing else is around.
    overlap = (wide - 4).clamp(min=0) * high
    iou = overlap / (2 * wide * high - overlap)
    around = (wide + 4) * high
    giou = iou - (around - (2 * wide * high - overlap)) / around
    region = context.fitting()
    expected = (region.iou * region.mask * (1 - giou)).sum(dim=1)
    values, _ = FittingBoxes()(context)
    torch.testing.assert_close(values, expected, rtol=1e-3, atol=1e-4)
    assert (values > 0.01).all()
    assert ElasticBoxes()(context)[1].sum() > 0
    best = context.teacher.classes.sigmoid().amax(dim=2)
    assert torch.equal(context.teacher_strength, best)


def test_feature_loads_into_mmdets_atss(teacher):
    """Strictly, and finds the same."""
    student = perturb(make_student(teacher)).eval()
    cfg = model_cfg(0)
    cfg.type, cfg.bbox_head.type = 'mmdet.ATSS', 'mmdet.ATSSHead'
    cfg.bbox_head.num_classes = 6
    plain = build(cfg)
    plain.load_state_dict(student.state_dict(), strict=True)
    plain.eval()
    images, samples = make_batch()
    found = []
    for model in (student, plain):
        model.bbox_head.test_cfg.score_thr = 0.001
        with torch.no_grad():
            found.append(model.predict(images, copy.deepcopy(samples)))
    for ours, theirs in zip(*found, strict=True):
        assert len(theirs.pred_instances) > 10
        for name in ('bboxes', 'scores', 'labels'):
            assert torch.equal(ours.pred_instances[name], theirs.pred_instances[name])


def test_feature_steps_compete():
    """The class scores do, before the centerness: new ones are half of what they were.

    All old scores are 0.5, all new ones 0.8.
    """
    head = make_head(
        'mmdefect.IncrementalATSSHead', num_classes=2, num_old_classes=1,
        test_cfg={
            'score_thr': 0.05, 'nms_pre': 1000, 'max_per_img': 1000,
            'nms': {'type': 'nms', 'iou_threshold': 1.0},
            'competition': {'power': 1.0},
        },
    )  # fmt: skip
    torch.nn.init.zeros_(head.atss_cls.weight)
    head.atss_cls.bias.data = torch.tensor([0.5, 0.8]).logit()
    torch.nn.init.zeros_(head.atss_centerness.weight)
    torch.nn.init.zeros_(head.atss_centerness.bias)
    maps = head(tuple(level.detach() for level in head_features()))
    found = head.predict_by_feat(*maps, batch_img_metas=[META] * 2)[0]
    for label, score in ((0, 0.25), (1, 0.2)):  # halved by the centerness
        scores = found.scores[found.labels == label]
        assert len(scores) == 189
        assert scores.tolist() == pytest.approx([score] * 189)


def test_exception_teacher_of_another_head(teacher, tmp_path):
    state = conftest.make_teacher().state_dict()
    other = state, save(tmp_path / 'gfl.pth', state, OLD)
    with pytest.raises(ValueError, match='expected a teacher of 3 classes, not 0'):
        make_student(other)
