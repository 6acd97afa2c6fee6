"""A student and its teacher."""

from __future__ import annotations

import copy
import math
import pickle

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import MODELS
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from torch import nn

from mmdefect.models.classification.distilled import (
    DistilledClassifier,
    recorded_logits,
    softened_kl,
)
from tests.helpers.configs import scope
from tests.helpers.networks import stir

PREPROCESSOR = {'mean': [127.0] * 3, 'std': [50.0] * 3, 'to_rgb': True}


def config(width=2, classes=2, **settings):
    """A small classifier with batch norm, and dropout in training."""
    return {
        'type': 'ImageClassifier',
        'backbone': {
            'type': 'mmdefect.LunaNet',
            'base_channels': width,
            'num_blocks': 2,
        },
        'neck': {'type': 'GlobalAveragePooling'},
        'head': {
            'type': 'mmdefect.DefectClsHead',
            'in_channels': 2 * width,
            'num_classes': classes,
        },
        'data_preprocessor': dict(PREPROCESSOR),
        **settings,
    }


def build(cfg):
    with scope('mmpretrain'):
        return MODELS.build(copy.deepcopy(cfg))


@pytest.fixture(scope='module')
def parent(tmp_path_factory):
    """A wider classifier, and its file."""
    model = stir(build(config(width=4))).eval()
    path = tmp_path_factory.mktemp('teacher') / 'teacher.pth'
    torch.save({'state_dict': model.state_dict()}, path)
    return model, path


def student_config(path, **settings):
    return {
        **config(),
        'type': 'mmdefect.DistilledClassifier',
        'teacher': config(width=4),
        'teacher_checkpoint': str(path),
        **settings,
    }


def make_student(path, **settings):
    student = build(student_config(path, **settings))
    student.init_weights()
    return stir(student, seed=9).train()


def batch(number=3):
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(number, 3, 16, 16, generator=generator)
    labels = [index % 2 for index in range(number)]
    return images, [DataSample().set_gt_label(label) for label in labels]


class TestLoss:
    def test_feature_formula(self, parent):
        """The head's loss as it is, and the other one by its definition."""
        model, path = parent
        student = make_student(path, weight=0.5, temperature=3.0)
        images, samples = batch()
        losses = student.loss(images, samples)
        assert losses.keys() == {'loss', 'loss_distill'}
        logits = student.head(student.extract_feat(images))
        labels = torch.tensor([0, 1, 0])
        plain = nn.functional.cross_entropy(logits, labels)
        torch.testing.assert_close(losses['loss'], plain)
        q = (model(images) / 3).softmax(dim=1)
        p = (logits / 3).softmax(dim=1)
        divergence = (q * (q / p).log()).sum(dim=1).mean()
        torch.testing.assert_close(losses['loss_distill'], 0.5 * 9 * divergence)
        assert losses['loss_distill'] > 1e-3

    def test_feature_golden(self):
        """By scipy.

        >>> from scipy.special import softmax, rel_entr
        >>> q, p = softmax([2 / 2, 0.0]), softmax([0.0, 1 / 2])
        >>> 2**2 * rel_entr(q, p).sum()
        1.0296126584275647
        """
        found = softened_kl(
            torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]]), temperature=2.0
        )
        assert found.item() == pytest.approx(1.0296126584275647, rel=1e-6)

    def test_feature_float32(self):
        half = torch.tensor([[2.0, 0.0]]).bfloat16()
        assert softened_kl(half, half, temperature=2.0).dtype == torch.float32

    def test_feature_student_is_called_once(self, parent):
        student = make_student(parent[1])
        calls = []
        student.backbone.register_forward_hook(lambda *call: calls.append('backbone'))
        student.head.register_forward_hook(lambda *call: calls.append('head'))
        student.teacher.model.backbone.register_forward_hook(
            lambda *call: calls.append('teacher')
        )
        student.loss(*batch())
        assert calls == ['backbone', 'head', 'teacher']

    def test_feature_teacher_of_smaller_images(self, parent):
        """It sees the batch as OpenCV would have resized it."""
        student = make_student(parent[1], teacher_size=8)
        images, samples = batch()
        seen = []
        student.teacher.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        student.loss(images, samples)
        expected = [cv2.resize(i.permute(1, 2, 0).numpy(), (8, 8)) for i in images]
        small = torch.from_numpy(np.stack(expected)).permute(0, 3, 1, 2)
        torch.testing.assert_close(seen[0], small, rtol=0, atol=1e-5)

    def test_feature_train_step(self, parent):
        """Both losses move the student, and the teacher stays."""
        student = make_student(parent[1], weight=10.0)
        images, samples = batch()
        before = copy.deepcopy(student.teacher.state_dict())
        optimizer = torch.optim.SGD(student.parameters(), lr=0.05)
        history = []
        for _ in range(30):
            losses = student(images, samples, mode='loss')
            history.append(losses['loss_distill'].item())
            total, _ = student.parse_losses(losses)
            torch.testing.assert_close(total, losses['loss'] + losses['loss_distill'])
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
        assert history[-1] < history[0] / 2
        for key, value in student.teacher.state_dict().items():
            assert torch.equal(value, before[key])


class TestTeacher:
    def test_feature_is_no_part_of_the_student(self, parent):
        student = make_student(parent[1])
        plain = build(config())
        assert isinstance(student, ImageClassifier)
        assert list(student.state_dict()) == list(plain.state_dict())
        assert [n for n, _ in student.named_parameters()] == [
            n for n, _ in plain.named_parameters()
        ]
        plain.load_state_dict(student.state_dict())

    def test_feature_frozen_and_in_evaluation_mode(self, parent):
        model, path = parent
        student = make_student(path).train()
        for module in student.teacher.train().modules():
            assert not module.training
        assert not any(p.requires_grad for p in student.teacher.parameters())
        images, _ = batch()
        found = student.teacher(images.requires_grad_(True))
        assert not found.requires_grad
        torch.testing.assert_close(found, model(images).detach())

    def test_feature_copies_share_it(self, parent):
        student = make_student(parent[1])
        averaged = copy.deepcopy(student)
        assert averaged.teacher is student.teacher
        again = pickle.loads(pickle.dumps(student))
        images, samples = batch()
        for copied in (averaged, again):
            expected = student.eval().loss(images, samples)
            found = copied.eval().loss(images, samples)
            torch.testing.assert_close(found, expected)

    def test_feature_of_a_module(self, parent):
        """Copied, so that the caller's stays trainable."""
        model, _ = parent
        student = make_student('', teacher=model, teacher_checkpoint=None)
        assert student.teacher.model is not model
        assert all(p.requires_grad for p in model.parameters())
        images, _ = batch()
        torch.testing.assert_close(student.teacher(images), model(images).detach())

    def test_feature_not_needed_in_test(self, tmp_path):
        student = build(student_config(tmp_path / 'gone.pth')).eval()
        assert student.teacher is None
        images, samples = batch()
        found = student(images, samples, mode='predict')
        assert len(found) == 3
        with pytest.raises(RuntimeError, match=r'teacher=None: .* call init_weights'):
            student.loss(images, samples)

    def test_feature_preprocessor_of_the_top_level(self, parent):
        """A teacher's config without one is as one that has the student's."""
        teacher = {k: v for k, v in config(4).items() if k != 'data_preprocessor'}
        assert make_student(parent[1], teacher=teacher).teacher is not None


class TestExceptions:
    def test_exception_weights_of_another_network(self, parent):
        student = build(student_config(parent[1], teacher=config(width=3)))
        with (
            scope('mmpretrain'),
            pytest.raises(
                ValueError, match=r'teacher\.pth does not fit model\.teacher'
            ),
        ):
            student.init_weights()

    def test_exception_other_classes(self, parent):
        head = {**config()['head'], 'num_classes': 3}
        student = build(student_config(parent[1], head=head))
        message = r'^num_classes=2 of the teacher: expected 3'
        with pytest.raises(ValueError, match=message):
            student.init_weights()

    @pytest.mark.parametrize(
        'other', [{'mean': [0.0] * 3}, {'std': [1.0] * 3}, {'to_rgb': False}]
    )
    def test_exception_other_normalisation(self, parent, other):
        teacher = config(width=4, data_preprocessor={**PREPROCESSOR, **other})
        student = build(student_config(parent[1], teacher=teacher))
        message = r'^mean, std, to_rgb=.* of the teacher: .*same data_preprocessor'
        with pytest.raises(ValueError, match=message):
            student.init_weights()

    def test_exception_shapes(self):
        with pytest.raises(ValueError, match=r'shape=\(2, 3\), teacher.shape=\(2, 2\)'):
            softened_kl(torch.zeros(2, 2), torch.zeros(2, 3), temperature=1.0)

    @pytest.mark.parametrize(
        'settings',
        [{'weight': math.nan}, {'temperature': 0}, {'temperature': math.inf}],
    )
    def test_exception_numbers(self, settings):
        with pytest.raises(ValueError, match=r'^(weight|temperature)=.*: expected'):
            build(student_config('x.pth', **settings))

    def test_exception_random_teacher(self):
        with pytest.raises(ValueError, match=r'teacher_checkpoint=None: expected a'):
            build(student_config('', teacher_checkpoint=None))

    def test_exception_no_teacher(self):
        with pytest.raises(TypeError, match=r"model\.teacher='teacher\.pth'"):
            DistilledClassifier(
                teacher='teacher.pth',
                **{k: v for k, v in config().items() if k != 'type'},
            )

    def test_exception_head_that_hides_its_logits(self):
        class Silent(nn.Module):
            pass

        message = 'head=Silent: expected one whose loss calls the head'
        with pytest.raises(RuntimeError, match=message), recorded_logits(Silent()):
            pass
