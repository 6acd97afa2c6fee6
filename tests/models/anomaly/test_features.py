"""Frozen features of several scales."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmdefect.models.anomaly.features import (
    FrozenFeatures,
    align_concat,
    drop_unused_stages,
    pool_concat,
)
from tests.models.anomaly.conftest import (
    GRID,
    Taps,
    build,
    tiny_backbone_cfg,
    tiny_iuf,
)


class TestAlignConcat:
    def test_feature_corners_are_the_corners(self):
        """Whatever the size, and channels in order."""
        maps = [torch.randn(2, 3, 12, 12), torch.randn(2, 2, 4, 4)]
        made = align_concat(maps, 4)
        assert made.shape == (2, 5, 4, 4)
        for row in (0, -1):
            for column in (0, -1):
                expected = torch.cat([m[:, :, row, column] for m in maps], dim=1)
                torch.testing.assert_close(made[:, :, row, column], expected)

    def test_feature_large_maps_are_sampled_not_averaged(self):
        """7 -> 4 with aligned corners takes every other pixel."""
        maps = torch.arange(49.0).square().view(1, 1, 7, 7)
        torch.testing.assert_close(align_concat([maps], 4), maps[:, :, ::2, ::2])


class TestPoolConcat:
    def test_feature_large_maps_are_averaged_within_cells(self):
        maps = torch.arange(16.0).view(1, 1, 4, 4)
        assert pool_concat([maps], 2, 1)[0, 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]

    def test_feature_neighbours_at_the_border_are_those_that_there_are(self):
        maps = torch.arange(9.0).view(1, 1, 3, 3)
        made = pool_concat([maps], 3, 3)[0, 0]
        assert made.tolist() == [[2.0, 2.5, 3.0], [3.5, 4.0, 4.5], [5.0, 5.5, 6.0]]

    def test_feature_small_maps_are_enlarged_between_the_centres_of_cells(self):
        maps = torch.tensor([[0.0, 8.0], [0.0, 8.0]]).view(1, 1, 2, 2)
        made = pool_concat([torch.zeros(1, 3, 4, 4), maps], 4, 1)
        assert made.shape == (1, 4, 4, 4)
        assert made[0, 3].tolist() == [[0.0, 2.0, 6.0, 8.0]] * 4

    def test_feature_a_frozen_backbone_pools_where_it_is_told_to(self):
        torch.manual_seed(0)
        taps, image = Taps(), torch.randn(1, 3, 16, 16)
        with torch.no_grad():
            maps = taps(image)
        made = FrozenFeatures(backbone=taps, grid=GRID, pool=3)(image)
        assert torch.equal(made, pool_concat(maps, GRID, 3))
        plain = FrozenFeatures(backbone=taps, grid=GRID)(image)
        assert torch.equal(plain, align_concat(maps, GRID))

    @pytest.mark.parametrize('pool', [0, 2])
    def test_exception_pool(self, pool):
        with pytest.raises(ValueError, match=rf'^pool={pool}: expected an odd number'):
            FrozenFeatures(backbone=Taps(), pool=pool)


class TestEfficientNetB4:
    """The paper's backbone."""

    def test_shape_taps_and_neck(self, b4):
        features = FrozenFeatures(backbone=b4)
        image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            taps = b4(image)
        assert [tuple(tap.shape[1:]) for tap in taps] == [
            (24, 112, 112),
            (32, 56, 56),
            (56, 28, 28),
            (160, 14, 14),
        ]
        assert features(image).shape == (1, 272, 14, 14)


class TestFrozen:
    def test_feature_always_in_evaluation_mode_without_gradient(self):
        model = tiny_iuf().train()
        assert model.reconstructor.training
        assert not any(module.training for module in model.features.modules())
        assert not any(p.requires_grad for p in model.features.parameters())
        assert not model.features(torch.randn(1, 3, 16, 16)).requires_grad

    def test_feature_stays_frozen_when_initialised(self):
        features = FrozenFeatures(backbone=tiny_backbone_cfg(), grid=GRID)
        features.init_weights()
        assert not any(p.requires_grad for p in features.parameters())
        assert not any(module.training for module in features.modules())

    def test_exception_one_map(self):
        features = FrozenFeatures(backbone=nn.Conv2d(3, 4, 3))
        with pytest.raises(
            ValueError, match=r'^backbone=Conv2d gives a Tensor: expected'
        ):
            features(torch.zeros(1, 3, 8, 8))


class TestUnusedStages:
    @pytest.mark.parametrize(
        ('cfg', 'gone', 'kept'),
        [
            (tiny_backbone_cfg(), 'layer3', 'layer2'),
            (
                {'type': 'mmpretrain.MobileNetV2', 'out_indices': (0, 1)},
                'layer3',
                'layer2',
            ),
        ],
    )
    def test_feature_same_maps_without_them(self, cfg, gone, kept):
        torch.manual_seed(0)
        backbone = build(cfg)
        backbone.eval()
        image = torch.randn(1, 3, 32, 32)
        with torch.no_grad():
            before = backbone(image)
            drop_unused_stages(backbone)
            after = backbone(image)
        assert hasattr(backbone, kept)
        assert not hasattr(backbone, gone)
        assert len(before) == len(after) == 2
        for ours, theirs in zip(after, before, strict=True):
            assert torch.equal(ours, theirs)

    def test_feature_others_are_left_alone(self):
        backbone = Taps()
        names = list(backbone.state_dict())
        drop_unused_stages(backbone)
        assert list(backbone.state_dict()) == names


class TestPretrained:
    def test_feature_all_weights_of_a_classifier(self, tmp_path):
        """Stages that were dropped and a head may be there."""
        torch.manual_seed(1)
        whole = build({**tiny_backbone_cfg(), 'out_indices': (3,)})
        state = {f'backbone.{name}': v for name, v in whole.state_dict().items()}
        state['head.fc.bias'] = torch.zeros(3)
        torch.save({'state_dict': state}, tmp_path / 'in.pth')
        cfg = {'type': 'Pretrained', 'checkpoint': str(tmp_path / 'in.pth')}
        backbone = {**tiny_backbone_cfg(), 'init_cfg': {**cfg, 'prefix': 'backbone'}}
        features = FrozenFeatures(backbone=backbone, grid=GRID)
        features.init_weights()
        for name, value in features.backbone.state_dict().items():
            assert torch.equal(value, whole.state_dict()[name]), name
        # Not one weight may be missing, or the backbone would stay random.
        backbone['init_cfg'] = {**cfg, 'prefix': 'encoder'}
        with pytest.raises(
            ValueError, match=r'in\.pth does not fit ResNet: it lacks \d+'
        ):
            FrozenFeatures(backbone=backbone, grid=GRID).init_weights()


@pytest.mark.parametrize('drawn', [0, 7])
def test_feature_a_random_backbone_hangs_on_the_seed_alone(drawn) -> None:
    """Not on how many numbers the rest of the model has drawn before."""
    torch.manual_seed(3)
    torch.rand(drawn)
    features = FrozenFeatures(backbone=build(tiny_backbone_cfg()))
    before = torch.get_rng_state()
    features.init_weights()
    assert torch.equal(torch.get_rng_state(), before)
    other = FrozenFeatures(backbone=build(tiny_backbone_cfg()))
    torch.manual_seed(3)
    other.init_weights()
    for name, value in other.state_dict().items():
        assert torch.equal(value, features.state_dict()[name]), name
