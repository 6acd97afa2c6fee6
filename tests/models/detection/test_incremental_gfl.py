"""A student beside its frozen teacher, on images of 96 pixels."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from mmdefect.apis import load_config
from mmdefect.functional.class_rows import GFL_CLASS_KEYS
from mmdefect.streams.stream import resolve_step_config
from tests.models.detection.conftest import (
    BOXES,
    DETECTION,
    NEW,
    OLD,
    TOY,
    Recorder,
    build,
    make_batch,
    make_student,
    make_teacher,
    perturb,
    save,
    split_losses,
    student_cfg,
    toy_model,
)

WEIGHT, BIAS = GFL_CLASS_KEYS
# Together they hold every term; each strategy alone is tested in distill/
each = pytest.mark.parametrize('distill', ['all', 'release'])


def total_of(losses):
    return sum(part for kind in split_losses(losses) for part in kind.values())


def mmdets_gfl():
    """The same architecture without a line of ours."""
    cfg = student_cfg(None)
    cfg.update(type='mmdet.GFL')
    cfg.bbox_head.update(type='mmdet.GFLHead')
    del cfg.bbox_head['num_old_classes'], cfg['distill']
    return build(cfg)


# At the start


def test_feature_equal_at_the_start(teacher_file):
    """Nothing to distil yet, at priors that are compared all the same."""
    student = make_student(teacher_file, 'all')
    _, found = split_losses(student.loss(*make_batch()))
    assert found
    for key, value in found.items():
        assert value.item() == pytest.approx(0, abs=1e-6), key
    _, perturbed = split_losses(perturb(student).loss(*make_batch()))
    assert all(value.item() > 1e-5 for value in perturbed.values())


def test_feature_unrelated_classes_differ_at_the_start(teacher_file):
    """The release's ``loss_kd`` compares new with old classes: never zero."""
    losses = make_student(teacher_file, 'release').loss(*make_batch())
    assert losses.pop('loss_dist_kd').item() > 1e-3
    _, others = split_losses(losses)
    assert all(value.item() == pytest.approx(0, abs=1e-6) for value in others.values())


def test_feature_starts_from_the_teacher(teacher_file, teacher_state):
    """All weights, and the rows of the old classes; new rows as mmdet has them."""
    student = make_student(teacher_file)
    for key, value in student.state_dict().items():
        rows = 3 if key in GFL_CLASS_KEYS else None
        assert torch.equal(value[:rows] if rows else value, teacher_state[key])
    new = student.state_dict()[WEIGHT][3:]
    assert 0.009 < new.std() < 0.011
    torch.testing.assert_close(
        student.bbox_head.gfl_cls.bias[3:], torch.full((3,), -math.log(99))
    )


def test_feature_first_classification_loss(teacher_file, tmp_path):
    """SD-IDD specification D2: new rows start at a score of 0.01, not 0.5."""
    student = make_student(teacher_file)
    images, samples = make_batch()
    losses, _ = split_losses(student.loss(images, samples))
    assert 0 < losses['loss_cls'].item() < 5
    # A teacher at its own cold start.
    cold = build(toy_model(0))
    torch.manual_seed(0)
    cold.init_weights()
    old_samples = make_batch(labels=(0, 2))[1]
    losses, _ = split_losses(cold.train().loss(images, old_samples))
    assert 0 < losses['loss_cls'].item() < 0.01
    # What is cured: the release's new rows start at bias 0.
    with torch.no_grad():
        student.bbox_head.gfl_cls.bias[3:] = 0
    losses, _ = split_losses(student.loss(images, samples))
    assert losses['loss_cls'].item() > 5


@pytest.mark.parametrize(
    ('config', 'weight', 'terms'),
    [
        ('gfl_stream/finetune-new-only', 1.0, {}),
        ('erd/lwf', 1.0, {'cls': 1.0}),
        ('erd/erd', 1.0, {'cls': 1.0, 'elastic': 0.25}),
        ('sd_idd/sd-idd', 2.0, {'cls': 1.0, 'box': 0.25, 'feat': 2.0}),
        ('quality/quality', 1.0, {'quality': 1.0, 'elastic': 0.25}),
        (
            'sd_idd/sd-idd-release',
            2.0,
            {'cls': 1, 'box': 0.25, 'feat': 2}
            | dict.fromkeys(('ring', 'elastic', 'kd'), 0.25),
        ),
    ],
)
def test_feature_published_methods(config, weight, terms):
    """Terms and weights of SD-IDD's specification, 1.5 and 2.3; the fifth is ours."""
    path = TOY.parents[1] / f'{config}_r18_fpn_toy_neu-det_3+3.py'
    student = build(resolve_step_config(load_config(path), 1).model)
    assert student.bbox_head.num_old_classes == 3
    assert student.bbox_head.loss_cls.loss_weight == weight
    assert student.bbox_head.loss_bbox.loss_weight == 2.0
    assert student.bbox_head.loss_dfl.loss_weight == 0.25
    found = student.distill.terms if terms else {}
    assert {name: term.weight for name, term in found.items()} == terms
    if not terms:
        assert student.distill is None
        return
    released = config.endswith('release')
    assert student.distill.per_images == (None if released else 2)
    assert config != 'erd/lwf' or found['cls'].region == 'all'
    if 'box' in found:
        weighted = 'student_score' if released else 'prior_iou'
        assert (found['box'].br_weight, found['feat'].released) == (weighted, released)
    assert 'elastic' not in found or found['elastic'].released is released


# Who learns from what


@each
def test_feature_gradients_of_class_rows(teacher_file, distill):
    """Old rows learn from the teacher alone, new rows from the boxes alone."""
    student = perturb(make_student(teacher_file, distill))
    detection, distillation = split_losses(student.loss(*make_batch()))
    distillation.pop('loss_dist_kd', None)  # the release's, which mixes them
    head = student.bbox_head.gfl_cls
    for losses, silent, learning in (
        (distillation, slice(3, 6), slice(0, 3)),
        (detection, slice(0, 3), slice(3, 6)),
    ):
        gradients = torch.autograd.grad(
            sum(losses.values()), [head.weight, head.bias], retain_graph=True
        )
        for gradient in gradients:
            assert gradient[silent].abs().max() == 0
            assert all(row.abs().max() > 0 for row in gradient[learning])


def test_feature_no_teacher_without_distillation(teacher_file):
    """ERD's fine-tuning baseline: starts from the teacher and forgets it."""
    student = make_student(teacher_file, None)
    assert student.teacher is None
    losses = student.loss(*make_batch())
    assert losses.keys() == DETECTION
    assert torch.equal(
        student.bbox_head.gfl_cls.bias[:3], make_teacher().bbox_head.gfl_cls.bias
    )


@pytest.mark.parametrize(('distill', 'old', 'new'), [('all', 3, 1), ('lwf', 1, 2)])
def test_feature_unequal_numbers_of_classes(tmp_path, distill, old, new):
    path = save(tmp_path / 'teacher.pth', make_teacher(old).state_dict())
    student = make_student(path, distill, num_old=old, num_new=new)
    batch = make_batch(labels=(old, old + new - 1))
    _, start = split_losses(student.loss(*batch))
    assert all(value.item() == pytest.approx(0, abs=1e-6) for value in start.values())
    losses = perturb(student).loss(*batch)
    total_of(losses).backward()
    gradient = student.bbox_head.gfl_cls.weight.grad
    assert len(gradient) == old + new
    assert gradient.isfinite().all()


def test_exception_teacher_without_a_checkpoint():
    cfg = student_cfg('lwf', num_old=3, num_new=3)
    cfg['teacher'] = {'classes': ['a', 'b', 'c']}
    with pytest.raises(ValueError, match=r'model\.teacher=.*: expected dict\(check'):
        build(cfg)


def test_exception_unequal_numbers_for_the_release(tmp_path):
    path = save(tmp_path / 'teacher.pth', make_teacher(2).state_dict())
    student = make_student(path, 'release', num_old=2, num_new=1)
    with pytest.raises(ValueError, match='as many new classes as old, not 1 and 2'):
        student.loss(*make_batch(labels=(2, 2)))


def test_feature_student_becomes_the_teacher(teacher_file, tmp_path):
    """A student's own checkpoint is the next teacher: 3 + 3 + 2."""
    student = perturb(make_student(teacher_file))
    path = save(tmp_path / 'step_1.pth', student.state_dict(), OLD + NEW)
    cfg = student_cfg(teacher=path, num_old=6, num_new=2)
    cfg.teacher.classes = OLD + NEW
    following = build(cfg)
    following.init_weights()
    following.train()
    rows = following.state_dict()[WEIGHT]
    assert torch.equal(rows[:6], student.state_dict()[WEIGHT])
    assert following.teacher.bbox_head.gfl_cls.out_channels == 6
    batch = make_batch(labels=(6, 7))
    detection, distillation = split_losses(following.loss(*batch))
    assert all(v.item() == pytest.approx(0, abs=1e-6) for v in distillation.values())
    assert 0 < detection['loss_cls'].item() < 5
    perturb(following)
    total_of(following.loss(*batch)).backward()


# The teacher is no part of the student


def test_feature_copies_share_the_teacher(teacher_file):
    """An average of the student's weights needs no second teacher."""
    student = make_student(teacher_file)
    average = copy.deepcopy(student)
    assert average.teacher is student.teacher
    assert average.backbone is not student.backbone
    batch = make_batch()
    expected = perturb(student).loss(*batch)
    average.load_state_dict(student.state_dict())
    found = average.loss(*batch)
    for kinds in zip(split_losses(found), split_losses(expected), strict=True):
        for key, value in kinds[0].items():
            assert torch.equal(value, kinds[1][key])


def test_feature_teacher_never_changes(teacher_file, teacher_state):
    """To the last bit, statistics included, and never in training mode."""
    student = make_student(teacher_file, norm_eval=False)
    perturb(student)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.05, momentum=0.9)
    running = student.backbone.bn1.running_mean.clone()
    for seed in range(3):
        student.train()
        optimizer.zero_grad()
        total_of(student.loss(*make_batch(seed=seed))).backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 10.0)
        optimizer.step()
        student.eval()
    student.train()
    assert not torch.equal(student.backbone.bn1.running_mean, running)
    teacher = student.teacher
    found = teacher.state_dict()
    assert found.keys() == teacher_state.keys()
    for key, value in teacher_state.items():
        assert torch.equal(found[key], value)
    assert not any(module.training for module in teacher.modules())
    assert all(p.grad is None and not p.requires_grad for p in teacher.parameters())


def test_feature_loads_into_mmdets_gfl(teacher_file):
    """Strictly, and finds the same: the same modules, parameters and detections."""
    student = perturb(make_student(teacher_file)).eval()
    plain = mmdets_gfl()
    plain.load_state_dict(student.state_dict(), strict=True)
    plain.eval()
    for kind in ('parameters', 'buffers', 'modules'):
        names = [
            [n for n, _ in getattr(model, f'named_{kind}')()]
            for model in (student, plain)
        ]
        assert [n for n in names[0] if not n.startswith('distill')] == names[1]
    inside = {id(module) for module in student.teacher.modules()}
    assert not inside & {id(module) for module in student.modules()}
    images, samples = make_batch()
    found = []
    for model in (student.eval(), plain.eval()):
        model.bbox_head.test_cfg.score_thr = 0.001
        with torch.no_grad():
            found.append(model.predict(images, copy.deepcopy(samples)))
    for ours, theirs in zip(*found, strict=True):
        assert len(theirs.pred_instances) > 10
        for name in ('bboxes', 'scores', 'labels'):
            assert torch.equal(ours.pred_instances[name], theirs.pred_instances[name])
    labels = torch.cat([sample.pred_instances.labels for sample in found[0]])
    assert labels.unique().numel() > 3


# Batches


@each
def test_feature_images_without_boxes(teacher_file, distill):
    """Of one image, of all, of the only one: every key, finite, connected."""
    student = perturb(make_student(teacher_file, distill))
    keys = student.loss(*make_batch()).keys()
    assert keys >= {*DETECTION, 'loss_dist_cls', 'priors_cls'}
    for boxes in ((BOXES, ()), ((), ()), (BOXES,), ((),)):
        losses = student.loss(*make_batch(boxes))
        assert losses.keys() == keys
        values = [value for kind in split_losses(losses) for value in kind.values()]
        assert all(value.isfinite() and value.requires_grad for value in values)
        student.zero_grad()
        sum(values).backward()
        assert all(p.grad.isfinite().all() for p in student.parameters())


def test_feature_context_of_a_batch(teacher_file):
    """Priors, strides, boxes and which priors lie in the padding."""
    student = make_student(teacher_file, Recorder())
    images, samples = make_batch(shapes=[(64, 96), (96, 96)])
    student.loss(images, samples)
    context = student.distill.context
    assert context.level_sizes == (144, 36, 9)
    assert context.strides.unique(return_counts=True)[1].tolist() == [144, 36, 9]
    assert context.strides[[0, 143, 144, 179, 180]].tolist() == [8, 8, 16, 16, 32]
    assert context.priors[13].tolist() == [8 - 16, 8 - 16, 8 + 16, 8 + 16]
    inside = (context.points < torch.tensor([96, 64])).all(dim=1)
    assert torch.equal(context.valid[0], inside)
    assert inside.sum() == 96 + 24 + 6
    assert context.valid[1].all()
    assert [boxes.tolist() for boxes in context.gt_boxes] == [
        sample.gt_instances.bboxes.tolist() for sample in samples
    ]


# Without a teacher


def test_feature_inference_needs_no_teacher(tmp_path):
    """Neither building nor predicting asks for the file."""
    student = build(student_cfg(teacher=tmp_path / 'lost.pth')).eval()
    images, samples = make_batch()
    with torch.no_grad():
        found = student.predict(images, samples)
        assert len(student(images, samples, mode='tensor')[0]) == 3
    assert len(found) == 2
    assert student.teacher is None


def test_exception_other_architecture(teacher_file):
    cfg = student_cfg(teacher=teacher_file)
    cfg.bbox_head.stacked_convs = 1
    message = r'6 not in the model: bbox_head\.cls_convs\.1\.conv'
    with pytest.raises(ValueError, match=message):
        build(cfg).init_weights()


def test_exception_no_teacher_given():
    message = r'^model\.teacher=None: .* for LogitDistillation'
    with pytest.raises(ValueError, match=message):
        build(student_cfg('lwf')).init_weights()


def test_feature_nothing_to_distil_needs_no_teacher():
    """Chained by a hook instead, or the first step of a stream."""
    student = build(student_cfg(None))
    student.init_weights()
    assert student.train().loss(*make_batch()).keys() == DETECTION


def test_exception_loss_before_the_teacher(teacher_file):
    student = build(student_cfg(teacher=teacher_file))
    with pytest.raises(RuntimeError, match=r'teacher=None: .* call init_weights\(\)'):
        student.loss(*make_batch())


def test_feature_start_from_weights_in_memory(teacher_state):
    """Without a file; a strategy may come built."""
    student = build(student_cfg(Recorder()))
    student.start_from(teacher_state, OLD)
    assert torch.equal(student.state_dict()[BIAS][:3], teacher_state[BIAS])
    student.loss(*make_batch())
    assert student.distill.context.num_old == 3


@pytest.mark.parametrize('number', [2, 4])
def test_exception_start_from_another_number_of_classes(number):
    """Of fewer, a class would neither be trained nor distilled."""
    student = build(student_cfg('lwf'))
    message = r'^old_classes=\[.*: expected 3 names'
    with pytest.raises(ValueError, match=message):
        student.start_from(make_teacher(number).state_dict(), list('abcdefg')[:number])


def test_exception_start_from_other_rows():
    """As many names as the head counts as old, but not as the weights have rows."""
    student = build(student_cfg('lwf'))
    with pytest.raises(ValueError, match='expected 2 names, one for each row'):
        student.start_from(make_teacher(2).state_dict(), OLD)
