"""The frozen teacher, its file, and the stages that it need not compute itself."""

from __future__ import annotations

import copy
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from mmdefect.functional.class_rows import GFL_CLASS_KEYS
from mmdefect.models.detection.teacher import SharedPrefix, Teacher, load_teacher
from tests.models.detection.conftest import (
    OLD,
    Recorder,
    build,
    make_batch,
    make_student,
    make_teacher,
    perturb,
    save,
    split_losses,
    student_cfg,
)

SHARED = ('conv1', 'bn1', 'relu', 'maxpool', 'layer1')


@contextmanager
def calls_of(module):
    """How often a module runs."""
    counts = []
    handle = module.register_forward_hook(lambda *_: counts.append(1))
    try:
        yield counts
    finally:
        handle.remove()


def distillation_of(student, seed=0):
    return split_losses(student.loss(*make_batch(seed=seed)))[1]


# The teacher itself


def test_feature_outputs_are_the_old_models(teacher_file):
    """Of the detector that wrote the checkpoint."""
    old = make_teacher().eval()
    images, _ = make_batch()
    outputs = make_student(teacher_file).teacher(images)
    with torch.no_grad():
        features = old.extract_feat(images)
        classes, boxes = old.bbox_head(features)
    assert outputs.classes.shape == (2, 189, 3)
    assert outputs.boxes.shape == (2, 189, 4, 17)
    assert not outputs.classes.requires_grad
    for ours, theirs in zip(outputs.features, features, strict=True):
        assert torch.equal(ours, theirs)
    flat = [torch.cat([m.flatten(2) for m in maps], 2) for maps in (classes, boxes)]
    assert torch.equal(outputs.classes, flat[0].transpose(1, 2))
    assert torch.equal(outputs.boxes.flatten(2), flat[1].transpose(1, 2))


def test_feature_stays_in_evaluation_mode(teacher_file):
    student = make_student(teacher_file)
    for mode in (student.train, student.eval, student.teacher.train):
        mode()
        assert not any(module.training for module in student.teacher.modules())
    student.teacher.train(True)
    assert not student.teacher.training


def test_feature_shares_no_weights_with_the_student(teacher_file, teacher_state):
    student = make_student(teacher_file)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(1.0)
    for key, value in student.teacher.state_dict().items():
        assert torch.equal(value, teacher_state[key])


def test_feature_without_a_neck():
    """Features go to the head as they come."""
    student = build(student_cfg(None))
    del student.neck
    student.backbone = Pyramid()
    state = student.state_dict()
    for key in GFL_CLASS_KEYS:
        state[key] = state[key][:3]
    images = torch.randn(1, 3, 32, 32)
    outputs = Teacher(student, state)(images)
    assert outputs.classes.shape == (1, 16 + 4 + 1, 3)
    assert torch.equal(outputs.features[1], student.backbone(images)[1])


class Pyramid(nn.Module):
    """Three levels of 64 channels."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 64, 1)

    def forward(self, x):
        return tuple(self.conv(x[:, :, ::s, ::s]) for s in (8, 16, 32))


# Its file


def test_feature_load_teacher(teacher_file, teacher_state):
    state, classes = load_teacher(str(teacher_file), num_classes=3)
    assert classes == OLD
    assert state.keys() == teacher_state.keys()
    assert all(torch.equal(state[key], teacher_state[key]) for key in state)
    assert load_teacher(str(teacher_file), num_classes=3, classes=OLD)[1] == OLD


def test_feature_class_names_may_be_unknown(tmp_path, teacher_state):
    """Of a bare state dict, or another library's file."""
    path = save(tmp_path / 'bare.pth', teacher_state)
    unknown = [f'old class {k}' for k in range(3)]
    assert load_teacher(str(path), num_classes=3)[1] == unknown
    assert load_teacher(str(path), num_classes=3, classes=OLD)[1] == OLD


@pytest.mark.parametrize('prefix', ['teacher.', 'module.ori_model.'])
def test_feature_released_checkpoints(tmp_path, teacher_file, prefix):
    """With the teacher's own teacher inside, as ERD's and SD-IDD's releases save it."""
    state = torch.load(teacher_file)['state_dict']
    wrapped = 'module.' if prefix.startswith('module.') else ''
    nested = {f'{prefix}{key}': torch.zeros_like(state[key]) for key in state}
    given = {**{f'{wrapped}{key}': state[key] for key in state}, **nested}
    path = save(tmp_path / 'released.pth', given)
    found, _ = load_teacher(str(path), num_classes=3)
    assert found.keys() == state.keys()
    student = make_student(path)
    weight = student.teacher.bbox_head.gfl_cls.weight
    assert torch.equal(weight, state[GFL_CLASS_KEYS[0]])
    assert distillation_of(student)['loss_dist_cls'].item() == pytest.approx(
        0, abs=1e-6
    )


def test_exception_file(tmp_path, teacher_file):
    with pytest.raises(FileNotFoundError, match=r'no checkpoint at .*lost\.pth'):
        load_teacher(str(tmp_path / 'lost.pth'), num_classes=3)
    with pytest.raises(ValueError, match='is a folder'):
        load_teacher(str(tmp_path), num_classes=3)
    with pytest.raises(ValueError, match='expected a teacher of 4 classes, not 3; use'):
        load_teacher(str(teacher_file), num_classes=4)
    other = save(tmp_path / 'other.pth', {'fc.weight': torch.ones(3, 2)})
    with pytest.raises(ValueError, match='expected a teacher of 3 classes, not 0'):
        load_teacher(str(other), num_classes=3)
    message = r"teacher of the classes \['a', 'b', 'c'\], not \['crazing', "
    with pytest.raises(ValueError, match=message):
        load_teacher(str(teacher_file), num_classes=3, classes=['a', 'b', 'c'])


# Stages computed once


def frozen_student(teacher_file, distill='all', **kwargs):
    return perturb(make_student(teacher_file, distill, frozen_stages=1, **kwargs))


@pytest.mark.parametrize('distill', ['all', 'release'])
def test_feature_sharing_changes_no_bit(teacher_file, distill):
    """Of a distillation loss or a gradient; the second batch is not verified."""
    results = []
    for names in (None, ()):
        student = frozen_student(teacher_file, distill)
        student.teacher.prefix.names = names
        distillation_of(student)
        losses = distillation_of(student, seed=1)
        sum(losses.values()).backward()
        gradients = [p.grad for p in student.parameters() if p.grad is not None]
        results.append([*losses.values(), *gradients])
        assert student.teacher.prefix.names == (SHARED if names is None else ())
    assert len(results[0]) == len(results[1]) > 40
    assert all(map(torch.equal, *results))


def test_feature_shared_stages_run_once(teacher_file):
    """On the first batch twice, to compare; then by the student alone."""
    student = frozen_student(teacher_file)
    backbone = student.teacher.backbone
    with calls_of(backbone.layer1) as shared, calls_of(backbone.layer2) as own:
        for seed, expected in enumerate((1, 1, 1)):
            distillation_of(student, seed)
            assert len(shared) == expected
        assert len(own) == 4
    # The teacher is whole again afterwards.
    assert list(backbone._modules) == list(student.backbone._modules)
    assert isinstance(backbone.layer1, nn.Sequential)
    assert isinstance(backbone.conv1, nn.Conv2d)


def test_feature_teacher_alone_runs_everything(teacher_file):
    """Without the student's pass before it, nothing is reused."""
    student = frozen_student(teacher_file)
    images, _ = make_batch(seed=1)
    expected = student.teacher(images)
    for _ in range(2):
        distillation_of(student)
        found = student.teacher(images)
        assert torch.equal(found.classes, expected.classes)
    assert not torch.equal(found.classes, student.teacher(images * 0.5).classes)


@pytest.mark.parametrize(
    'backbone', [{}, {'norm_eval': False}, {'frozen_stages': 0}], ids=str
)
def test_feature_what_is_trained_is_not_shared(teacher_file, backbone):
    student = perturb(make_student(teacher_file, **backbone))
    distillation_of(student)
    stem = SHARED[:4] if 'frozen_stages' in backbone else ()
    assert student.teacher.prefix.names == stem
    with calls_of(student.teacher.backbone.layer1) as counts:
        distillation_of(student)
    assert len(counts) == 1


def test_feature_other_weights_are_not_shared(teacher_file, teacher_state):
    """A student whose frozen stages were loaded from elsewhere."""
    student = frozen_student(teacher_file)
    with torch.no_grad():
        student.backbone.conv1.weight[0, 0, 0, 0] += 1e-3
    expected = Teacher(student, teacher_state)(make_batch(seed=1)[0])
    distillation_of(student)
    assert student.teacher.prefix.names == ()
    images, samples = make_batch(seed=1)
    student.loss(images, samples)
    assert torch.equal(student.teacher(images).classes, expected.classes)


def test_feature_other_weights_end_the_shared_stages(teacher_file):
    """What comes before them is shared still."""
    student = frozen_student(teacher_file)
    with torch.no_grad():
        student.backbone.layer1[0].conv1.weight[0, 0, 0, 0] += 1e-3
    distillation_of(student)
    assert student.teacher.prefix.names == SHARED[:4]


def test_feature_batch_statistics_are_not_shared(teacher_file):
    """Frozen parameters, but normalised by the batch."""
    student = frozen_student(teacher_file)
    student.backbone.bn1.train()
    distillation_of(student)
    assert student.teacher.prefix.names == ('conv1',)


def unfreeze(student):
    student.backbone.layer1.requires_grad_(True)
    perturb(student)


def normalise_by_the_batch(student):
    student.backbone.bn1.train()


def unfreeze_and_freeze(student):
    """What was trained in between is no longer the teacher's."""
    unfreeze(student)
    student.loss(*make_batch())
    student.backbone.layer1.requires_grad_(False)


@pytest.mark.parametrize(
    'change', [unfreeze, normalise_by_the_batch, unfreeze_and_freeze]
)
def test_feature_a_change_ends_the_sharing(teacher_file, change):
    """From the batch on that it happens before."""
    student = frozen_student(teacher_file)
    distillation_of(student)
    expected = student.teacher(make_batch(seed=1)[0]).classes
    student.distill = Recorder()
    change(student)
    student.loss(*make_batch(seed=1))
    assert torch.equal(student.distill.context.teacher.classes, expected)


class Backbone(nn.Module):
    """Three layers, of which the first two are frozen; run in a given order."""

    def __init__(self, *order, outputs=('third',)):
        super().__init__()
        self.first = nn.Conv2d(2, 2, 1)
        self.second = nn.Sequential(nn.Conv2d(2, 2, 1), nn.ReLU())
        self.third = nn.Conv2d(2, 2, 1)
        self.first.requires_grad_(False)
        self.second.requires_grad_(False)
        self.order = order
        self.outputs = outputs

    def forward(self, x):
        found = []
        for name in self.order:
            x = getattr(self, name)(x)
            if name in self.outputs:
                found.append(x)
        return tuple(found)


def shared_and_right(backbone, batches=3):
    """Names shared at first and at last, and which features were right.

    Between the batches the student is trained.
    """
    student, expected = backbone, copy.deepcopy(backbone).eval()
    prefix = SharedPrefix(student, copy.deepcopy(expected))
    images = torch.randn(batches, 1, 2, 4, 4)
    right, names = [], []
    for batch in images:
        with prefix.recorded():
            student(batch)
        names.append(prefix.names)
        with torch.no_grad():
            found, wanted = prefix.run(batch), expected(batch)
        right.append(len(found) == len(wanted) and all(map(torch.equal, found, wanted)))
        perturb(student)
    return names[0], prefix.names, right


def test_feature_children_in_order_are_shared():
    order = ('first', 'second', 'third')
    found = shared_and_right(Backbone(*order))
    assert found == (('first', 'second'), ('first', 'second'), [True] * 3)


@pytest.mark.parametrize(
    'backbone',
    [
        Backbone('second', 'first', 'third'),
        Backbone('first', 'second', 'first', 'third'),
        Backbone('first', 'second', 'third', outputs=('first', 'third')),
    ],
    ids=['swapped', 'used twice', 'seen before its end'],
)
def test_feature_children_out_of_order_are_computed_twice(backbone):
    """Detected on the first batch, where both ways are compared."""
    before, after, right = shared_and_right(backbone)
    assert before == ('first', 'second')
    assert right == [True] * 3
    assert after == ()


def test_feature_stages_after_trained_ones_are_not_shared():
    """Frozen, and equal on the first batch, but fed by what is trained."""
    backbone = Backbone('third', 'first', 'second', outputs=('second',))
    assert shared_and_right(backbone)[2] == [True] * 3


def test_feature_several_outputs_of_a_stage_are_not_shared():
    """What cannot be put in its place is computed by both."""

    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    class Split(Backbone):
        def forward(self, x):
            return (self.third(sum(self.second(self.first(x)))),)

    backbone = Split()
    backbone.second = Pair()
    assert shared_and_right(backbone)[2] == [True] * 3


def test_feature_dropout_is_not_shared():
    backbone = Backbone('first', 'second', 'third')
    backbone.second = nn.Sequential(nn.Conv2d(2, 2, 1), nn.Dropout(0.5))
    backbone.second.requires_grad_(False)
    names, _, right = shared_and_right(backbone.train())
    assert names == ('first',)
    assert right == [True] * 3
