"""Scores of whole networks: averages over images, whatever the batches."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from mmengine.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn

from mmdefect.functional.filter_score import seg_iou, taylor
from mmdefect.pruning.scoring.score import (
    MaskedBatch,
    masked_batches,
    score_filters,
    selected_scores,
)
from mmdefect.pruning.scoring.scorers import L1Norm, RandomScore, SegIoU, Taylor
from tests.helpers.configs import scope
from tests.helpers.networks import build_classifier, images

FIRST = 'backbone.blocks.0.conv1'
LAST = 'backbone.blocks.3.conv2'
POSITIVE = SegIoU(active='positive')


@pytest.fixture(scope='module')
def model():
    return build_classifier('LunaNet')


def batch(start=0, stop=4):
    """Four images, their left halves the object."""
    masks = torch.zeros(4, 32, 32, dtype=torch.uint8)
    for index in range(4):
        masks[index, :, : 8 * (index + 1)] = 255
    labels = torch.tensor([0, 1, 2, 0])
    part = slice(start, stop)
    return MaskedBatch(images=images(4)[part], masks=masks[part], labels=labels[part])


class TestScoreFilters:
    def test_feature_first_layer_by_hand(self, model):
        whole = batch()
        found = score_filters(model, [whole], POSITIVE, [FIRST])
        assert list(found) == [FIRST]
        block = model.backbone.blocks[0]
        with torch.no_grad():
            maps = block.conv1(model.backbone.input_norm(whole.images)).relu()
        expected = seg_iou(maps > 0, whole.masks.float() / 255).mean(dim=0)
        torch.testing.assert_close(found[FIRST], expected)
        assert found[FIRST].dtype == torch.float64

    @pytest.mark.parametrize('scorer', [POSITIVE, Taylor()])
    def test_feature_any_batches(self, model, scorer):
        """A mean over images, of gradients by their own losses, too."""
        layers = [FIRST, LAST]
        one = score_filters(model, [batch()], scorer, layers)
        parts = [batch(0, 3), batch(3, 4)]
        two = score_filters(model, parts, scorer, layers)
        assert list(one) == list(two) == layers
        for name in layers:
            torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-7)

    def test_feature_background(self, model):
        given = batch()
        inverse = replace(given, masks=255 - given.masks)
        found = score_filters(model, [given], POSITIVE, [FIRST], background=True)
        expected = score_filters(model, [inverse], POSITIVE, [FIRST])
        assert torch.equal(found[FIRST], expected[FIRST])
        plain = score_filters(model, [given], POSITIVE, [FIRST])
        assert not torch.equal(found[FIRST], plain[FIRST])

    @pytest.mark.parametrize('frozen', [True, False])
    def test_feature_gradients(self, model, frozen):
        """Of the summed cross-entropy by the map, also in a frozen network."""
        whole = batch()
        model.requires_grad_(not frozen)
        try:
            found = score_filters(model, [whole], Taylor(), [LAST])
        finally:
            model.requires_grad_(True)
        before = {}
        handle = model.backbone.blocks[3].relu2.register_forward_hook(
            lambda *call: before.update(maps=call[2])
        )
        maps = model.extract_feat(whole.images)
        handle.remove()
        loss = nn.functional.cross_entropy(
            model.head(maps), whole.labels, reduction='sum'
        )
        (gradient,) = torch.autograd.grad(loss, before['maps'])
        expected = taylor(before['maps'].detach(), gradient).mean(dim=0)
        torch.testing.assert_close(found[LAST], expected, rtol=1e-4, atol=1e-7)
        assert found[LAST].max() > 0

    def test_feature_leaves_the_network_as_it_is(self, model):
        before = {key: value.clone() for key, value in model.state_dict().items()}
        model.train()
        score_filters(model, [batch()], Taylor(), [FIRST])
        assert model.training
        model.eval()
        assert all(p.grad is None for p in model.parameters())
        for key, value in model.state_dict().items():
            assert torch.equal(value, before[key])

    def test_feature_stops_early(self, model):
        ran = []
        handle = model.backbone.blocks[1].register_forward_hook(
            lambda *call: ran.append(1)
        )
        early = score_filters(model, [batch()], POSITIVE, [FIRST], stop_after=FIRST)
        assert not ran
        late = score_filters(model, [batch()], POSITIVE, [FIRST])
        handle.remove()
        assert ran
        assert torch.equal(early[FIRST], late[FIRST])

    def test_feature_without_images(self, model):
        found = score_filters(model, [], L1Norm(), [FIRST, LAST])
        weight = model.get_submodule(LAST).weight
        expected = weight.double().abs().sum(dim=(1, 2, 3))
        torch.testing.assert_close(found[LAST], expected.detach())
        one, again, other = (
            score_filters(model, [], RandomScore(), [FIRST, LAST], seed=seed)
            for seed in (0, 0, 1)
        )
        assert torch.equal(one[LAST], again[LAST])
        assert not torch.equal(one[LAST], other[LAST])

    def test_exception_no_images_or_no_map(self, model):
        with pytest.raises(ValueError, match=r'expected images, SegIoU scores filters'):
            score_filters(model, [], POSITIVE, [FIRST])
        with pytest.raises(ValueError, match=r'none: expected a map of each of 4 '):
            score_filters(model, [batch()], POSITIVE, ['none'])


class TestSelect:
    @staticmethod
    def run(background):
        return {'a': torch.tensor([1.0, 2.0] if background else [5.0, 3.0])}

    @pytest.mark.parametrize(
        ('select', 'expected'),
        [
            ('object', [[5, 3]]),
            ('background', [[1, 2]]),
            ('union', [[5, 3], [1, 2]]),
            ('contrast', [[4, 1]]),
        ],
    )
    def test_feature(self, select, expected):
        found = selected_scores(select, self.run)
        assert [scores['a'].tolist() for scores in found] == expected

    def test_exception(self):
        with pytest.raises(ValueError, match="select='both': expected one of object"):
            selected_scores('both', self.run)


class TestMaskedBatches:
    @staticmethod
    def loader():
        """As mmpretrain's collate gives them, BGR and 0 to 255."""
        image = torch.zeros(3, 4, 4, dtype=torch.uint8)
        image[0] = 200
        mask = torch.zeros(4, 4, dtype=torch.uint8)
        mask[1, 2] = 3
        sample = DataSample().set_gt_label(1)
        sample.set_field(mask.numpy(), 'gt_seg_map')
        return [{'inputs': [image, image], 'data_samples': [sample, sample]}]

    @staticmethod
    def classifier():
        cfg = {
            'type': 'ImageClassifier',
            'backbone': {'type': 'mmdefect.LunaNet', 'num_blocks': 1},
            'data_preprocessor': {'mean': [10.0] * 3, 'std': [2.0] * 3, 'to_rgb': True},
        }
        with scope('mmpretrain'):
            return MODELS.build(cfg)

    def test_feature_as_the_network_takes_them_or_raw(self):
        (found,) = masked_batches(self.classifier(), self.loader(), raw=True)
        assert found.images[0, :, 0, 0].tolist() == [200, 0, 0]
        assert found.images.dtype == torch.float32
        (found,) = masked_batches(self.classifier(), self.loader())
        assert found.images.shape == (2, 3, 4, 4)
        assert found.images[0, :, 0, 0].tolist() == [-5, -5, 95]
        # Every index is the object.
        assert found.masks.dtype == torch.uint8
        assert found.masks[0].sum() == found.masks[0, 1, 2] == 255
        assert found.labels.tolist() == [1, 1]

    def test_exception_two_sizes_in_a_batch(self):
        (batch,) = self.loader()
        batch['inputs'][1] = torch.zeros(3, 4, 6, dtype=torch.uint8)
        with pytest.raises(ValueError, match='set mask_dataloader'):
            masked_batches(self.classifier(), [batch])
