"""A student whose features the frozen heads look at."""

from __future__ import annotations

import pytest
import torch

from tests.models.detection.conftest import (
    NEW,
    OLD,
    build,
    make_batch,
    make_student,
    make_teacher,
    perturb,
    save,
    split_losses,
    student_cfg,
)


@pytest.fixture(scope='module')
def expert_file(tmp_path_factory):
    """A model of all six classes that has seen the new ones."""
    path = tmp_path_factory.mktemp('expert') / 'epoch_1.pth'
    return save(path, make_teacher(6).state_dict(), OLD + NEW)


def student_with_expert(teacher_file, expert_file):
    torch.manual_seed(1)
    cfg = student_cfg('expert', teacher_file)
    cfg.expert = {'checkpoint': str(expert_file)}
    student = build(cfg)
    student.init_weights()
    return student.train()


def test_feature_nothing_to_distil_at_the_start(teacher_file):
    """The student's features are the teacher's."""
    student = make_student(teacher_file, 'cross')
    _, found = split_losses(student.loss(*make_batch()))
    assert found.keys() == {'loss_dist_cross_cls', 'loss_dist_cross_box'}
    assert all(value.item() == pytest.approx(0, abs=1e-6) for value in found.values())
    _, moved = split_losses(perturb(student).loss(*make_batch()))
    assert all(value.item() > 1e-5 for value in moved.values())


def test_feature_gradients_reach_backbone_and_neck_alone(teacher_file, expert_file):
    student = perturb(student_with_expert(teacher_file, expert_file))
    _, distillation = split_losses(student.loss(*make_batch()))
    assert len(distillation) == 4
    sum(distillation.values()).backward()
    assert all(p.grad is None for p in student.bbox_head.parameters())
    for name in ('neck', 'backbone'):
        part = student.get_submodule(name)
        grads = [p.grad for p in part.parameters() if p.requires_grad]
        assert all(g.isfinite().all() and g.abs().max() > 0 for g in grads)
    for frozen in (student.teacher, student.expert):
        assert all(p.grad is None for p in frozen.parameters())


def test_feature_the_heads_see_the_students_features(teacher_file, expert_file):
    """What is compared is the old head on the student's neck outputs."""
    student = perturb(student_with_expert(teacher_file, expert_file))
    seen = []
    student.distill.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    images, samples = make_batch()
    student.loss(images, samples)
    (context,) = seen
    features = student.extract_feat(images)
    for name, classes in (('teacher', 3), ('expert', 6)):
        frozen = getattr(student, name)
        rows, _ = frozen.bbox_head(features)
        expected = torch.cat([r.flatten(2).transpose(1, 2) for r in rows], 1)
        assert expected.shape == (2, 189, classes)
        torch.testing.assert_close(context.cross[name].classes, expected)
    torch.testing.assert_close(context.expert.classes, student.expert(images).classes)


def test_feature_no_other_strategy_pays_for_it(teacher_file):
    student = make_student(teacher_file, 'lwf')
    runs = []
    student.teacher.bbox_head.register_forward_hook(lambda *_: runs.append(1))
    student.loss(*make_batch())
    assert len(runs) == 1


def test_feature_checkpoints_hold_the_student_alone(teacher_file, expert_file):
    student = student_with_expert(teacher_file, expert_file)
    plain = make_student(teacher_file, 'lwf')
    assert student.state_dict().keys() == plain.state_dict().keys()


def test_exception_an_expert_of_other_classes(teacher_file):
    with pytest.raises(
        ValueError, match='an expert of 6 classes, not 3; use a checkpoint of this'
    ):
        student_with_expert(teacher_file, teacher_file)


def test_exception_an_expert_without_a_checkpoint():
    cfg = student_cfg('expert')
    cfg.expert = {'classes': NEW}
    with pytest.raises(ValueError, match=r'model\.expert=.*: expected dict\(check'):
        build(cfg)


def test_exception_an_expert_is_asked_for(teacher_file):
    student = make_student(teacher_file, 'expert')
    with pytest.raises(ValueError, match=r'model\.expert=None: expected dict'):
        student.loss(*make_batch())
