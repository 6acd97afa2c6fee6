"""Loss and decision of the head."""

from __future__ import annotations

import math

import pytest
import torch
from mmpretrain.structures import DataSample
from torch import nn

from mmdefect.models.classification.head import DefectClsHead, decide


def samples(*labels: int) -> list[DataSample]:
    return [DataSample().set_gt_label(label) for label in labels]


def identity_head(classes: int = 2, **settings: object) -> DefectClsHead:
    """A head whose logits are its features."""
    head = DefectClsHead(in_channels=classes, num_classes=classes, **settings)
    with torch.no_grad():
        head.fc.weight.copy_(torch.eye(classes))
        head.fc.bias.zero_()
    return head


class TestLoss:
    def test_feature_cross_entropy(self):
        torch.manual_seed(0)
        logits = torch.randn(4, 2)
        labels = (0, 1, 1, 0)
        loss = identity_head().loss((logits,), samples(*labels))
        expected = nn.functional.cross_entropy(logits, torch.tensor(labels))
        assert loss.keys() == {'loss'}
        torch.testing.assert_close(loss['loss'], expected)

    def test_feature_class_weight(self):
        """Weighted losses over the number of images, not over the sum of weights."""
        logits = torch.zeros(4, 2)
        head = identity_head(class_weight=[3.0, 1.0])
        loss = head.loss((logits,), samples(0, 1, 1, 1))['loss']
        assert loss.item() == pytest.approx((3 + 1 + 1 + 1) / 4 * math.log(2))

    def test_feature_double_softmax_floor_and_ceiling(self):
        """log(1 + 1/e) at certain and right, 1 more at certain and wrong.

        >>> math.log1p(math.exp(-1))
        0.31326168751822286
        """
        head = identity_head(double_softmax=True)
        certain = (torch.tensor([[50.0, -50.0]]),)
        right = head.loss(certain, samples(0))['loss'].item()
        wrong = head.loss(certain, samples(1))['loss'].item()
        assert right == pytest.approx(0.313262, abs=5e-7)
        assert wrong == pytest.approx(1.313262, abs=5e-7)
        # Without it, the same logits cost nothing or very much.
        plain = identity_head()
        assert plain.loss(certain, samples(0))['loss'] < 1e-6
        assert plain.loss(certain, samples(1))['loss'] > 99

    def test_feature_double_softmax_is_the_loss_of_probabilities(self):
        torch.manual_seed(0)
        logits = torch.randn(5, 2)
        labels = (0, 1, 1, 0, 1)
        loss = identity_head(double_softmax=True).loss((logits,), samples(*labels))
        expected = nn.functional.cross_entropy(logits.softmax(1), torch.tensor(labels))
        torch.testing.assert_close(loss['loss'], expected)


class TestPredict:
    @pytest.mark.parametrize('double_softmax', [False, True])
    def test_feature_softmax_and_arg_max(self, double_softmax):
        """Uncalibrated, and one softmax whatever the loss does."""
        torch.manual_seed(0)
        logits = torch.randn(6, 2)
        found = identity_head(double_softmax=double_softmax).predict((logits,))
        scores = torch.stack([sample.pred_score for sample in found])
        torch.testing.assert_close(scores, logits.softmax(1))
        labels = torch.cat([sample.pred_label for sample in found])
        assert torch.equal(labels, logits.argmax(1))

    def test_feature_keeps_the_samples(self):
        given = samples(1, 0)
        found = identity_head().predict((torch.zeros(2, 2),), given)
        assert all(a is b for a, b in zip(found, given, strict=True))
        assert found[0].gt_label.tolist() == [1]

    def test_feature_temperature(self):
        """Scores become milder, labels stay."""
        logits = torch.tensor([[3.0, 1.0], [0.0, 1.0]])
        head = identity_head()
        head.temperature.fill_(4.0)
        found = head.predict((logits,))
        scores = torch.stack([sample.pred_score for sample in found])
        torch.testing.assert_close(scores, (logits / 4).softmax(1))
        assert [s.pred_label.item() for s in found] == [0, 1]

    @pytest.mark.parametrize(
        ('threshold', 'labels'), [(0.5, [0, 0, 1]), (0.9, [0, 1, 1]), (0.1, [0, 0, 0])]
    )
    def test_feature_threshold(self, threshold, labels):
        """From which probability of class 0 on an image is defective."""
        logits = torch.tensor([[0.95, 0.05], [0.6, 0.4], [0.2, 0.8]]).log()
        head = identity_head()
        head.threshold.fill_(threshold)
        found = head.predict((logits,))
        assert [s.pred_label.item() for s in found] == labels

    def test_feature_calibration_is_saved(self):
        head = identity_head()
        head.temperature.fill_(1.5)
        head.threshold.fill_(0.25)
        other = identity_head()
        other.load_state_dict(head.state_dict())
        assert (other.temperature.item(), other.threshold.item()) == (1.5, 0.25)

    def test_feature_half_precision_features(self):
        head = identity_head().bfloat16()
        (found,) = head.predict((torch.tensor([[1.0, 2.0]]).bfloat16(),))
        assert found.pred_score.dtype == torch.float32


class TestDecide:
    def test_feature_exactly_the_threshold_is_defective(self):
        scores = torch.tensor([[0.3, 0.7], [0.2999, 0.7001]])
        assert decide(scores, torch.tensor(0.3)).tolist() == [0, 1]

    def test_feature_else_the_likeliest_of_the_others(self):
        scores = torch.tensor([[0.45, 0.20, 0.35], [0.6, 0.3, 0.1]])
        assert decide(scores, 0.5).tolist() == [2, 0]


class TestExceptions:
    def test_exception_one_class(self):
        with pytest.raises(ValueError, match=r'^num_classes=1: expected at least 2$'):
            DefectClsHead(in_channels=2, num_classes=1)

    @pytest.mark.parametrize(
        'weights', [[1.0], [1.0, 0.0], [1.0, -1.0], [1.0, math.nan], [1.0, math.inf]]
    )
    def test_exception_class_weight(self, weights):
        with pytest.raises(ValueError, match=r'^class_weight=.*2 positive numbers'):
            DefectClsHead(in_channels=2, class_weight=weights)

    @pytest.mark.parametrize('shape', [(2, 3), (2, 4, 1, 1)])
    def test_exception_features(self, shape):
        head = DefectClsHead(in_channels=4)
        message = r'^in_channels=4: expected features .* a map needs a neck'
        with pytest.raises(ValueError, match=message):
            head((torch.zeros(shape),))
