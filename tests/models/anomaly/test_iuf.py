"""The model: its size, what trains what, noise, and what it predicts."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmdefect.models.anomaly.iuf import IUF, jittered
from mmdefect.models.anomaly.transformer import Reconstruction
from tests.models.anomaly.conftest import (
    CHANNELS,
    GRID,
    SIZE,
    Taps,
    build,
    prepared,
    tiny_backbone_cfg,
    tiny_iuf,
)

COMPRESSION = {
    'type': 'mmdefect.SemanticCompressionLoss',
    'selector': 'index',
    'index': 1,
}


def count(module):
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


class TestSize:
    """The released network for the twelve products of VisA."""

    @pytest.fixture(scope='class')
    def paper(self, b4):
        return IUF(
            backbone=b4,
            in_channels=272,
            num_classes=12,
            conditioner={'source': 'image'},
            compression={'type': 'mmdefect.SemanticCompressionLoss'},
        )

    def test_feature_numbers_of_parameters(self, paper):
        rebuilt = paper.reconstructor
        assert count(paper) == 9_107_996
        assert count(rebuilt.encoder) == 3_159_040
        assert count(rebuilt.decoder) + count(rebuilt.norm) == 4_414_976
        assert count(paper.conditioner) == 1_390_604
        assert count(rebuilt.input) == 69_888
        assert count(rebuilt.output) == 69_904
        assert count(rebuilt.position) == 3_584
        frozen = sum(p.numel() for p in paper.features.parameters())
        assert frozen == pytest.approx(3.64e6, abs=5e3)

    def test_feature_the_cheap_conditioner(self, b4):
        """Blocks and head as in the image's, the stem on 272 channels."""
        model = IUF(
            backbone=b4, in_channels=272, num_classes=12, conditioner={'heads': 4}
        )
        assert count(model.conditioner) == 1_390_604 + (272 - 3) * 256


class TestGradients:
    @pytest.mark.parametrize('source', ['features', 'image'])
    def test_feature_reconstruction_trains_all_but_the_conditioner(self, source):
        model = tiny_iuf(conditioner={'heads': 2, 'source': source}).train()
        model(**prepared(model), mode='loss')['loss_rec'].backward()
        assert all(p.grad is None for p in model.conditioner.parameters())
        for name, parameter in model.reconstructor.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name
        assert all(p.grad is None for p in model.features.parameters())

    def test_feature_classification_trains_the_conditioner_alone(self):
        model = tiny_iuf().train()
        model(**prepared(model), mode='loss')['loss_cls'].backward()
        # A key's bias shifts all scores of a query alike, so it has no gradient.
        for name, parameter in model.conditioner.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0 or name.endswith('key.bias'), name
        assert all(p.grad is None for p in model.reconstructor.parameters())


class Silent(nn.Module):
    """Reconstructs zeros and remembers what it was given."""

    grid = GRID

    def forward(self, features, conditions=None):
        self.given = features
        return Reconstruction(torch.zeros_like(features), [])


class TestJitter:
    def test_feature_in_proportion_to_each_token(self):
        """Deviation 20 |x| / C in every channel, mean zero."""
        torch.manual_seed(0)
        features = torch.randn(1, 16, 1, 2) * 3
        features[..., 1] *= 5
        noise = torch.cat([jittered(features, 20.0) - features for _ in range(3000)])
        expected = 20 * features.norm(dim=1, keepdim=True) / 16
        relative = noise / expected
        assert relative.std(dim=0).flatten().tolist() == pytest.approx(
            [1] * 32, abs=0.1
        )
        assert relative.std(dim=(0, 1)).flatten().tolist() == pytest.approx(
            [1, 1], abs=0.02
        )
        assert relative.mean().abs() < 0.02
        assert jittered(features, 0) is features

    def test_feature_the_target_is_clean(self):
        model = tiny_iuf(conditioner=None).train()
        model.reconstructor = Silent()
        data = prepared(model)
        losses = model(**data, mode='loss')
        clean = model.features(data['inputs']['images'])
        torch.testing.assert_close(losses['loss_rec'], clean.square().mean())
        assert (model.reconstructor.given - clean).abs().max() > clean.abs().mean()

    def test_feature_off_in_evaluation_mode(self):
        model = tiny_iuf(conditioner=None).eval()
        model.reconstructor = Silent()
        data = prepared(model)
        clean = model.features(data['inputs']['images'])
        for mode in ('loss', 'predict', 'tensor'):
            model(**data, mode=mode)
            assert torch.equal(model.reconstructor.given, clean), mode

    def test_feature_of_the_reconstruction_only(self):
        """The conditioner sees clean features."""
        model = tiny_iuf().train()
        seen = []
        model.conditioner.register_forward_hook(lambda m, args, o: seen.append(args[0]))
        data = prepared(model)
        model(**data, mode='loss')
        assert torch.equal(seen[0], model.features(data['inputs']['images']))


class TestLosses:
    def test_smoke(self):
        model = tiny_iuf(compression=COMPRESSION).train()
        losses = model(**prepared(model), mode='loss')
        assert list(losses) == ['loss_cls', 'loss_rec', 'loss_scl']
        assert all(loss.isfinite() for loss in losses.values())

    def test_feature_uniad(self):
        model = tiny_iuf(conditioner=None).train()
        assert list(model(**prepared(model), mode='loss')) == ['loss_rec']

    def test_feature_weight_of_the_classification(self):
        found = []
        for weight in (1.0, 0.5):
            model = tiny_iuf(classification=weight).train()
            found.append(model(**prepared(model), mode='loss')['loss_cls'])
        torch.testing.assert_close(found[1], found[0] / 2)

    def test_feature_labels_are_those_of_the_samples(self):
        model = tiny_iuf(3).eval()
        data = prepared(model, labels=(2, 0, 1))
        logits = model.outputs(data['inputs'])[1]
        expected = nn.functional.cross_entropy(logits, torch.tensor([2, 0, 1]))
        torch.testing.assert_close(model(**data, mode='loss')['loss_cls'], expected)

    def test_feature_penalties(self):
        """Added by hooks; no part of the weights."""
        model = tiny_iuf().train()
        names = list(model.state_dict())
        model.penalties['ewc'] = lambda: torch.tensor(2.5)
        assert model(**prepared(model), mode='loss')['loss_ewc'] == 2.5
        assert list(model.state_dict()) == names


class TestPrediction:
    @pytest.mark.parametrize('source', ['features', 'image', None])
    def test_shape(self, source):
        cfg = source and {'heads': 2, 'source': source}
        model = tiny_iuf(conditioner=cfg).eval()
        assert model.needs_images is (source == 'image')
        data = prepared(model)
        maps = model(**data, mode='tensor')
        assert maps.shape == (4, 1, GRID, GRID)
        made = model(**data, mode='predict')
        for sample, small in zip(made, maps, strict=True):
            assert sample.pred_map.shape == (SIZE, SIZE)
            assert sample.pred_map.min() >= 0
            assert sample.pred_map.dtype == sample.pred_score.dtype == torch.float32
            torch.testing.assert_close(sample.pred_map[0, 0], small[0, 0, 0])
            assert sample.pred_score > 0

    def test_feature_the_map_is_the_distance_of_the_reconstruction(self):
        model = tiny_iuf(conditioner=None).eval()
        data = prepared(model)
        features = model.features(data['inputs']['images'])
        rebuilt = model.outputs(data['inputs'])[0]
        expected = (rebuilt - features).square().sum(1, keepdim=True).sqrt()
        torch.testing.assert_close(model(**data, mode='tensor'), expected)

    def test_feature_images_one_by_one(self):
        """No image has a part in the result of another."""
        model = tiny_iuf().eval()
        data = prepared(model)
        together = model(**data, mode='tensor')
        for index, image in enumerate(data['inputs']['images']):
            alone = model(image[None])
            torch.testing.assert_close(alone[0], together[index], atol=1e-5, rtol=1e-5)

    def test_feature_features_instead_of_images(self):
        model = tiny_iuf().eval()
        images = prepared(model)['inputs']['images']
        given = {'features': model.features(images)}
        assert torch.equal(model(given), model(images))

    def test_exception_mode(self):
        with pytest.raises(ValueError, match=r"^mode='los': expected one of loss"):
            tiny_iuf()(torch.zeros(1, 3, SIZE, SIZE), mode='los')

    def test_exception_channels(self):
        model = tiny_iuf(in_channels=12)
        message = rf'^in_channels=12: expected {CHANNELS}, the channels'
        with pytest.raises(ValueError, match=message):
            model(torch.zeros(1, 3, SIZE, SIZE))

    def test_exception_score(self):
        with pytest.raises(ValueError, match=r"model\.score='sum'"):
            tiny_iuf(score='sum')

    def test_exception_compression_of_one_layer(self):
        model = tiny_iuf(compression=COMPRESSION, transformer={'depth': 1})
        with pytest.raises(ValueError, match=r'depth=1: expected at least 2'):
            model(**prepared(model), mode='loss')


@pytest.mark.parametrize('scope', ['mmpretrain', None])
def test_smoke_builds_under_every_scope(scope):
    cfg = {
        'type': 'mmdefect.IUF',
        'backbone': tiny_backbone_cfg(),
        'in_channels': 12,
        'num_classes': 2,
        'transformer': {'grid': 4, 'width': 16, 'depth': 2, 'heads': 2, 'ffn': 16},
        'conditioner': {'heads': 2},
        'compression': {'type': 'mmdefect.SemanticCompressionLoss'},
    }
    model = build(cfg, scope)
    model.init_weights()
    losses = model.train()(**prepared(model, size=32), mode='loss')
    assert losses['loss_rec'].isfinite()


def test_feature_backbone_without_init_weights():
    """A plain module keeps the weights it came with."""
    backbone = Taps()
    before = backbone.first.weight.clone()
    tiny_iuf(backbone=backbone)
    assert torch.equal(backbone.first.weight, before)
