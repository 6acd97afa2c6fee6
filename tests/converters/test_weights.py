"""Renamed weights compute what they computed before.

Slow where whole networks of 25 to 60 million weights are built twice and run.
"""

from __future__ import annotations

import copy

import pytest
import torch
import torchvision.models as zoo
from torch import Tensor, nn

from mmdefect.converters.weight_layouts import (
    BACKBONES,
    ENCODERS,
    normalisation_for,
    rename,
)
from mmdefect.converters.weights import (
    by_name,
    convert,
    expected_weights,
    for_rgb,
    merging_order,
)
from mmdefect.registry import MODELS
from mmdefect.utils.normalisation import CAFFE, IMAGENET
from tests.helpers.source_networks import (
    SOURCES,
    TimmLite,
    TimmViT,
    enliven,
    luna,
    on_meta,
    tiny_torchvision_vit,
)
from tests.models.classification.conftest import PARAMETERS, build

# The smallest at which all layers have something to do. Swin's windows change with the
# size in another way in torchvision.
SIZES = {
    'luna': 300,
    'alexnet': 64,
    'resnet18': 64,
    'efficientnetv2_s': 64,
    'convnext_tiny': 64,
    'swin_tiny': 224,
}


LAYER = 'encoder.layers.encoder_layer_'


def images(size: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 3, size, size, generator=generator)


def batch_statistics(model: nn.Module) -> None:
    """A random network with running statistics hardly sees its image."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train()


@torch.no_grad()
def assert_same(ours: nn.Module, theirs: nn.Module, inputs: Tensor) -> None:
    """Equal to 1e-5, for images whose results differ."""
    found, expected = ours(inputs), theirs(inputs)
    found = found[-1] if isinstance(found, tuple) else found
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 1e-5
    assert (found[0] - found[1]).abs().max() > 1e-2


class TestSameNumbers:
    @pytest.mark.slow
    @pytest.mark.parametrize('arch', SIZES)
    def test_feature_classifier(self, arch):
        """The whole classifier of two classes: backbone, neck and head."""
        torch.manual_seed(0)
        theirs = enliven(SOURCES[arch](num_classes=2))
        converted = convert(theirs.state_dict(), arch)
        assert converted.note is None
        ours = build(arch)
        ours.load_state_dict(converted.state_dict())
        ours.eval()
        inputs = images(SIZES[arch])
        if arch == 'efficientnetv2_s':
            batch_statistics(theirs)
            batch_statistics(ours)
            # The variance of eight values blows rounding up.
            inputs, ours, theirs = inputs.double(), ours.double(), theirs.double()
        assert_same(ours, theirs, inputs)

    @pytest.mark.slow
    def test_feature_efficientnet_needs_its_padding(self):
        """mmpretrain's own padding gives other features."""
        torch.manual_seed(0)
        theirs = enliven(zoo.efficientnet_v2_s(num_classes=2))
        weights = convert(theirs.state_dict(), 'efficientnetv2_s').state_dict()
        model = build('efficientnetv2_s', conv_cfg={'type': 'Conv2dAdaptivePadding'})
        model.load_state_dict(weights, strict=False)
        model.eval()
        for network in (theirs, model):
            batch_statistics(network)
        with torch.no_grad():
            found, expected = (network(images(64)) for network in (model, theirs))
        assert (found - expected).abs().max() > 1e-2

    def test_feature_torchvision_vit(self):
        """At two layers: all have the same names."""
        torch.manual_seed(0)
        theirs = enliven(tiny_torchvision_vit())
        state, head = by_name(theirs.state_dict(), 'vit_b16')
        ours = tiny_vit(embed_dims=48, num_heads=4, feedforward_channels=96, patch=16)
        ours.load_state_dict(state)
        linear = nn.Linear(48, 2)
        linear.load_state_dict(head)
        assert_same(lambda x: linear(ours(x)[-1]), theirs, images(32))

    def test_feature_dino(self):
        torch.manual_seed(0)
        theirs = enliven(TimmViT(width=48, depth=2, heads=6, size=32, patch=8))
        state, head = by_name(theirs.state_dict(), 'dino_vits8')
        assert not head
        ours = tiny_vit(embed_dims=48, num_heads=6, feedforward_channels=192, patch=8)
        ours.load_state_dict(state)
        assert_same(ours, theirs, images(32))

    def test_feature_dinov2(self):
        """Layers are scaled; what stands for hidden patches is left out."""
        torch.manual_seed(0)
        sizes = {'width': 48, 'depth': 2, 'heads': 6, 'patch': 8}
        theirs = enliven(TimmViT(**sizes, size=32, scaled=True))
        state = {**theirs.state_dict(), 'mask_token': torch.zeros(1, 48)}
        converted, _ = by_name(state, 'dinov2_vits14')
        ours = tiny_vit(
            embed_dims=48, num_heads=6, feedforward_channels=192, patch=8, scale=1e-5
        )
        ours.load_state_dict(converted)
        assert_same(ours, theirs, images(32))

    def test_feature_swin_s_merging_is_reordered(self):
        """Without it the same names would load, and mean something else."""
        values = torch.arange(8)
        # (0, 0), (1, 0), (0, 1), (1, 1) of two channels each
        assert merging_order(values).tolist() == [0, 4, 2, 6, 1, 5, 3, 7]
        rows = torch.stack([values, values + 8])
        assert merging_order(rows)[1].tolist() == [8, 12, 10, 14, 9, 13, 11, 15]
        state = {
            'features.2.reduction.weight': rows,
            'features.2.norm.weight': values,
            'features.1.0.attn.qkv.weight': rows,
        }
        backbone, _ = by_name(state, 'swin_tiny')
        assert torch.equal(
            backbone['stages.0.downsample.reduction.weight'], merging_order(rows)
        )
        assert torch.equal(
            backbone['stages.0.downsample.norm.weight'], merging_order(values)
        )
        assert torch.equal(backbone['stages.0.blocks.0.attn.w_msa.qkv.weight'], rows)


def tiny_vit(*, patch: int, scale: float = 0.0, **widths: int) -> nn.Module:
    backbone = MODELS.build(
        {
            'type': 'mmpretrain.VisionTransformer',
            'arch': {'num_layers': 2, **widths},
            'img_size': 32,
            'patch_size': patch,
            'layer_scale_init_value': scale,
        }
    )
    backbone.eval()
    return backbone


class TestNames:
    """At full size, without numbers."""

    @pytest.mark.parametrize('arch', PARAMETERS)
    def test_feature_all_weights_of_the_backbone(self, arch):
        """And the parameters are as many as the study's."""
        found = convert(on_meta(arch).state_dict(), arch)
        expected = expected_weights(arch)
        assert list(found.backbone) == list(expected)
        backbone = MODELS.build(dict(BACKBONES[arch]))
        number = sum(found.backbone[n].numel() for n, _ in backbone.named_parameters())
        assert number == PARAMETERS[arch][0] - PARAMETERS[arch][1]
        assert not found.head
        if arch == 'dino_vits8':
            assert found.note is None
        else:
            assert found.note == (
                'Left out the head, which has 1000 classes where this study has 2: '
                'head.fc will start from random numbers.'
            )

    @pytest.mark.parametrize(
        ('arch', 'source', 'number'),
        [
            (
                'dinov2_vits14',
                lambda: TimmViT(size=518, patch=14, scaled=True),
                22_056_192,
            ),
            ('efficientnet_lite0', TimmLite, 3_371_008),
        ],
    )
    def test_feature_encoders_have_no_head(self, arch, source, number):
        with torch.device('meta'):
            state = source().state_dict()
        found = convert(state, arch)
        assert (found.head, found.note) == ({}, None)
        backbone = MODELS.build(dict(BACKBONES[arch]))
        assert list(found.backbone) == list(backbone.state_dict())
        assert sum(p.numel() for p in backbone.parameters()) == number
        assert arch in ENCODERS

    @pytest.mark.parametrize(
        ('arch', 'style', 'normalisation'),
        [('resnet50', 'pytorch', IMAGENET), ('resnet50_caffe', 'caffe', CAFFE)],
    )
    def test_feature_resnet50_in_both_styles(self, arch, style, normalisation):
        """torchvision's names in both, which mmdet's and mmpretrain's ResNet have."""
        with torch.device('meta'):
            state = zoo.resnet50().state_dict()
        found = convert(state, arch)
        assert len(found.backbone) == len(state) - 2 == 318
        assert found.note.startswith('Left out the head, which has 1000 classes')
        assert BACKBONES[arch]['style'] == style
        assert normalisation_for(arch) == normalisation

    def test_feature_efficientnet_is_the_same_order(self):
        """Two ways to the same names: rules, and one after the other."""
        theirs = on_meta('efficientnetv2_s').state_dict()
        names = [n for n in theirs if not n.startswith('classifier')]
        ours = list(expected_weights('efficientnetv2_s'))
        assert [rename(n, 'efficientnetv2_s') for n in names] == ours
        counters = sum(name.endswith('num_batches_tracked') for name in ours)
        assert len(ours) - counters == 670

    def test_feature_swin_s_window_index_is_the_same(self):
        theirs = convert(zoo.swin_t(num_classes=2).state_dict(), 'swin_tiny').backbone
        ours = expected_weights('swin_tiny')
        names = [name for name in ours if name.endswith('relative_position_index')]
        assert len(names) == 12
        assert all(torch.equal(theirs[name], ours[name]) for name in names)

    @pytest.mark.parametrize(
        ('arch', 'name', 'expected'),
        [
            ('vit_b16', 'class_token', 'cls_token'),
            # as in torchvision's published file
            ('vit_b16', LAYER + '1.mlp.linear_1.bias', 'layers.1.ffn.layers.0.0.bias'),
            ('vit_b16', LAYER + '0.mlp.linear_2.bias', 'layers.0.ffn.layers.1.bias'),
            ('dino_vits8', 'blocks.3.attn.qkv.bias', 'layers.3.attn.qkv.bias'),
            ('convnext_tiny', 'features.4.1.bias', 'downsample_layers.2.1.bias'),
            ('convnext_tiny', 'features.5.8.layer_scale', 'stages.2.8.gamma'),
            ('swin_tiny', 'features.6.norm.bias', 'stages.2.downsample.norm.bias'),
            (
                'efficientnetv2_s',
                'features.4.0.block.2.fc2.bias',
                'layers.4.0.se.conv2.conv.bias',
            ),
            ('resnet18', 'layer2.0.downsample.1.bias', 'layer2.0.downsample.1.bias'),
            ('swin_tiny', 'features.8.norm.bias', 'features.8.norm.bias'),
        ],
    )
    def test_feature_rename(self, arch, name, expected):
        assert rename(name, arch) == expected

    def test_feature_old_files_without_counters(self):
        """resnet18-5c106cde.pth and others of that time."""
        state = {
            name: value
            for name, value in zoo.resnet18(num_classes=2).state_dict().items()
            if not name.endswith('num_batches_tracked')
        }
        found = convert(state, 'resnet18').backbone
        assert found['bn1.num_batches_tracked'] == 0
        assert torch.equal(found['bn1.running_var'], state['bn1.running_var'])

    def test_feature_the_whole_classifier_of_efficientnet_replaced(self):
        """As the study did: a linear layer where there was a sequence."""
        state = zoo.efficientnet_v2_s(num_classes=2).state_dict()
        for part in ('weight', 'bias'):
            state[f'classifier.{part}'] = state.pop(f'classifier.1.{part}')
        found = convert(state, 'efficientnetv2_s')
        assert torch.equal(found.head['bias'], state['classifier.bias'])

    def test_feature_luna_whatever_its_names(self):
        torch.manual_seed(0)
        state = luna().state_dict()
        other = {f'net{i}': value for i, value in enumerate(state.values())}
        other['counter.num_batches_tracked'] = other.pop('net4')
        ours, theirs = (convert(s, 'luna').state_dict() for s in (other, state))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)

    def test_feature_half_a_head_is_left_out(self):
        state = zoo.resnet18(num_classes=2).state_dict()
        del state['fc.bias']
        found = convert(state, 'resnet18')
        assert not found.head
        assert found.note.startswith('Left out the head, which has only a weight:')


class TestForRGB:
    def test_feature_literal_values(self):
        """One filter of one pixel: what was 1, 2, 3 for B, G, R."""
        kernel = torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1)
        given = {'conv1.weight': kernel, 'bn1.running_mean': torch.tensor([10.0])}
        found = for_rgb({**given, 'bn1.bias': torch.tensor([4.0])})
        # 3 * 58.395, 2 * 57.12, 1 * 57.375
        expected = torch.tensor([175.185, 114.24, 57.375])
        torch.testing.assert_close(found['conv1.weight'].flatten(), expected)
        # 10 - (3 * (123.675 - 123.68) + 2 * (116.28 - 116.779) + 103.53 - 103.939)
        torch.testing.assert_close(
            found['bn1.running_mean'], torch.tensor([11.422]), rtol=0, atol=1e-4
        )
        assert found['bn1.bias'] == 4

    def test_feature_the_same_features(self):
        """Of one image, normalised in both ways; the padded border differs a little."""
        torch.manual_seed(0)
        theirs = nn.Sequential(nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8))
        ours = copy.deepcopy(theirs.eval())
        names = {'conv1.weight': '0.weight', 'bn1.running_mean': '1.running_mean'}
        state = theirs.state_dict()
        found = for_rgb({name: state[inner] for name, inner in names.items()})
        ours.load_state_dict(
            {names[name]: value for name, value in found.items()}, strict=False
        )
        bgr = torch.rand(1, 3, 32, 32) * 255
        with torch.no_grad():
            expected = theirs(bgr - torch.tensor(CAFFE.mean).view(1, 3, 1, 1))
            mean, std = (
                torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET.mean, IMAGENET.std)
            )
            difference = (ours((bgr.flip(1) - mean) / std) - expected).abs()
        assert difference[..., 2:-2, 2:-2].max() < 1e-3
        assert 1e-3 < difference.max() < 1.0
        assert expected.abs().max() > 10


class TestExceptions:
    def test_exception_unknown_architecture(self):
        with pytest.raises(ValueError, match=r"^arch='vgg16': expected one of luna,"):
            convert({}, 'vgg16')

    @pytest.mark.parametrize(
        ('arch', 'source', 'reason'),
        [
            ('alexnet', 'resnet18', '14 of 14 weights are missing, such as features.0'),
            ('resnet18', 'alexnet', '100 of 120 weights are missing, such as conv1'),
            ('luna', 'resnet18', 'have another shape, such as input_norm.weight'),
        ],
    )
    def test_exception_another_network(self, arch, source, reason):
        state = on_meta(source).state_dict()
        with pytest.raises(ValueError) as caught:
            convert(state, arch)
        message = str(caught.value)
        assert message.startswith(f'these are not the weights of {arch}: ')
        assert reason in message
        assert '\n' not in message

    @pytest.mark.parametrize(
        ('arch', 'builder', 'reason'),
        [
            ('resnet18', zoo.resnet34, 'do not belong to it, such as layer1.2.conv1'),
            ('convnext_tiny', zoo.convnext_small, 'such as stages.2.9.gamma'),
            ('vit_b16', zoo.vit_b_32, r'3, 32, 32\) instead of \(768, 3, 16, 16\)'),
        ],
    )
    def test_exception_its_larger_relatives(self, arch, builder, reason):
        with torch.device('meta'):
            state = builder().state_dict()
        with pytest.raises(ValueError, match=reason):
            convert(state, arch)

    def test_exception_one_weight_missing(self):
        state = on_meta('convnext_tiny').state_dict()
        del state['features.3.1.block.3.bias']
        message = (
            r'^these are not the weights of convnext_tiny: 1 of 180 weights are '
            r'missing, such as stages\.1\.1\.pointwise_conv1\.bias; give a state_dict '
            r'of torchvision\.models\.convnext_tiny$'
        )
        with pytest.raises(ValueError, match=message):
            convert(state, 'convnext_tiny')
