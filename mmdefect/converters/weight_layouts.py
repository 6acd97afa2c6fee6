"""How other packages name the weights of classifiers and of frozen encoders.

A layout is a list of rules: a pattern of the whole name, and its name in mmpretrain's
backbone. What matches no rule keeps its name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from mmdefect.utils.normalisation import CAFFE, IMAGENET, Normalisation

Rules = Sequence[tuple[str, str]]

# What both ViT layouts share once a block is found.
_VIT_BLOCK = r'layers.\1'

VIT_TORCHVISION: Rules = [
    (r'class_token', r'cls_token'),
    (r'encoder\.pos_embedding', r'pos_embed'),
    (r'conv_proj\.(\w+)', r'patch_embed.projection.\1'),
    (r'encoder\.ln\.(\w+)', r'ln1.\1'),
    *(
        (rf'encoder\.layers\.encoder_layer_(\d+)\.{theirs}', rf'{_VIT_BLOCK}.{ours}')
        for theirs, ours in [
            (r'ln_([12])\.(\w+)', r'ln\2.\3'),
            (r'self_attention\.in_proj_(\w+)', r'attn.qkv.\2'),
            (r'self_attention\.out_proj\.(\w+)', r'attn.proj.\2'),
            # Files of before torchvision 0.13 number the linear layers.
            (r'mlp\.(?:0|linear_1)\.(\w+)', r'ffn.layers.0.0.\2'),
            (r'mlp\.(?:3|linear_2)\.(\w+)', r'ffn.layers.1.\2'),
        ]
    ),
]
VIT_TIMM: Rules = [
    (r'patch_embed\.proj\.(\w+)', r'patch_embed.projection.\1'),
    (r'norm\.(\w+)', r'ln1.\1'),
    *(
        (rf'blocks\.(\d+)\.{theirs}', rf'{_VIT_BLOCK}.{ours}')
        for theirs, ours in [
            (r'norm([12])\.(\w+)', r'ln\2.\3'),
            (r'attn\.(.+)', r'attn.\2'),
            (r'mlp\.fc1\.(\w+)', r'ffn.layers.0.0.\2'),
            (r'mlp\.fc2\.(\w+)', r'ffn.layers.1.\2'),
        ]
    ),
]
DINOV2: Rules = [
    *VIT_TIMM,
    (r'blocks\.(\d+)\.ls1\.gamma', rf'{_VIT_BLOCK}.attn.gamma1.weight'),
    (r'blocks\.(\d+)\.ls2\.gamma', rf'{_VIT_BLOCK}.ffn.gamma2.weight'),
]
CONVNEXT: Rules = [
    (r'features\.0\.(.+)', r'downsample_layers.0.\1'),
    (r'classifier\.0\.(\w+)', r'norm3.\1'),
    # torchvision numbers downsampling and stages through.
    *((rf'features\.{2 * i}\.(.+)', rf'downsample_layers.{i}.\1') for i in (1, 2, 3)),
    *(
        (rf'features\.{2 * i + 1}\.(\d+)\.{theirs}', rf'stages.{i}.\1.{ours}')
        for i in range(4)
        for theirs, ours in [
            (r'block\.0\.(\w+)', r'depthwise_conv.\2'),
            (r'block\.2\.(\w+)', r'norm.\2'),
            (r'block\.3\.(\w+)', r'pointwise_conv1.\2'),
            (r'block\.5\.(\w+)', r'pointwise_conv2.\2'),
            (r'layer_scale', r'gamma'),
        ]
    ),
]
SWIN: Rules = [
    (r'features\.0\.0\.(\w+)', r'patch_embed.projection.\1'),
    (r'features\.0\.2\.(\w+)', r'patch_embed.norm.\1'),
    (r'norm\.(\w+)', r'norm3.\1'),
    *(
        (rf'features\.{2 * i + 2}\.(.+)', rf'stages.{i}.downsample.\1')
        for i in (0, 1, 2)
    ),
    *(
        (rf'features\.{2 * i + 1}\.(\d+)\.{theirs}', rf'stages.{i}.blocks.\1.{ours}')
        for i in range(4)
        for theirs, ours in [
            (r'attn\.(.+)', r'attn.w_msa.\2'),
            (r'mlp\.0\.(\w+)', r'ffn.layers.0.0.\2'),
            (r'mlp\.3\.(\w+)', r'ffn.layers.1.\2'),
            (r'(norm[12].+)', r'\2'),
        ]
    ),
]
_NORMED = {'0': 'conv', '1': 'bn'}
EFFICIENTNET_V2: Rules = [
    *(
        (rf'features\.([07])\.{i}\.(\w+)', rf'layers.\1.{kind}.\2')
        for i, kind in _NORMED.items()
    ),
    (
        r'features\.(\d)\.(\d+)\.block\.2\.fc([12])\.(\w+)',
        r'layers.\1.\2.se.conv\3.conv.\4',
    ),
    *(
        (
            rf'features\.({stages})\.(\d+)\.block\.{block}\.{i}\.(\w+)',
            rf'layers.\1.\2.{name}{kind}.\3',
        )
        for stages, block, name in [
            ('1', 0, ''),
            ('[23]', 0, 'conv1.'),
            ('[23]', 1, 'conv2.'),
            ('[456]', 0, 'expand_conv.'),
            ('[456]', 1, 'depthwise_conv.'),
            ('[456]', 3, 'linear_conv.'),
        ]
        for i, kind in _NORMED.items()
    ),
]

# By the names of configs/_base_/models/casting, then encoders of anomaly models. What
# stands in IN_ORDER has no rules: its tensors come in the same order here and there.
LAYOUTS: dict[str, Rules] = {
    'luna': [],
    'alexnet': [],
    'resnet18': [],
    'resnet50': [],
    'resnet50_caffe': [],
    'efficientnetv2_s': EFFICIENTNET_V2,
    'convnext_tiny': CONVNEXT,
    'vit_b16': VIT_TORCHVISION,
    'swin_tiny': SWIN,
    'dino_vits8': VIT_TIMM,
    'dinov2_vits14': DINOV2,
    'efficientnet_lite0': [],
}
# Nothing says how LUNA's tensors are called.
IN_ORDER = ('luna', 'efficientnet_lite0')
# Only their features are used: a classifier in the file is left out.
ENCODERS = ('dinov2_vits14', 'efficientnet_lite0')
# What a file holds beside the network: DINOv2's stands for patches hidden in training.
UNUSED = {'dinov2_vits14': ('mask_token',)}
# The linear layer that tells classes apart, as torchvision builds it or as the study
# replaced it.
HEADS = {
    'alexnet': r'classifier\.6',
    'resnet18': r'fc',
    'resnet50': r'fc',
    'resnet50_caffe': r'fc',
    'efficientnetv2_s': r'classifier(?:\.1)?',
    'convnext_tiny': r'classifier\.2',
    'vit_b16': r'heads\.head',
    'swin_tiny': r'head',
    'dino_vits8': r'head',
    'dinov2_vits14': r'head',
}
SOURCES = {
    'luna': "the casting study's LUNA",
    'alexnet': 'torchvision.models.alexnet',
    'resnet18': 'torchvision.models.resnet18',
    'resnet50': 'torchvision.models.resnet50',
    'resnet50_caffe': "Keras' or Caffe's ResNet-50, under torchvision's names",
    'efficientnetv2_s': 'torchvision.models.efficientnet_v2_s',
    'convnext_tiny': 'torchvision.models.convnext_tiny',
    'vit_b16': 'torchvision.models.vit_b_16',
    'swin_tiny': 'torchvision.models.swin_t',
    'dino_vits8': "DINO's or timm's ViT-S/8",
    'dinov2_vits14': "DINOv2's or timm's ViT-S/14 without registers",
    'efficientnet_lite0': "timm's tf_efficientnet_lite0, its classifier included",
}
# What the weights are for; the configs add what matters in training only.
BACKBONES: dict[str, dict[str, Any]] = {
    'luna': {'type': 'mmdefect.LunaNet'},
    'alexnet': {'type': 'mmdefect.AlexNetAdaptive'},
    'resnet18': {'type': 'mmpretrain.ResNet', 'depth': 18},
    'resnet50': {'type': 'mmpretrain.ResNet', 'depth': 50, 'style': 'pytorch'},
    'resnet50_caffe': {'type': 'mmpretrain.ResNet', 'depth': 50, 'style': 'caffe'},
    'efficientnetv2_s': {'type': 'mmpretrain.EfficientNetV2', 'arch': 's'},
    'convnext_tiny': {'type': 'mmpretrain.ConvNeXt', 'arch': 'tiny'},
    'vit_b16': {
        'type': 'mmpretrain.VisionTransformer',
        'arch': 'b',
        'img_size': 224,
        'patch_size': 16,
    },
    'swin_tiny': {'type': 'mmpretrain.SwinTransformer', 'arch': 'tiny'},
    'dino_vits8': {
        'type': 'mmpretrain.VisionTransformer',
        'arch': 'deit-small',
        'img_size': 224,
        'patch_size': 8,
    },
    'dinov2_vits14': {
        'type': 'mmpretrain.VisionTransformer',
        'arch': 'dinov2-small',
        # Of the file; a network for other images resizes the positions as it loads.
        'img_size': 518,
        'patch_size': 14,
        'layer_scale_init_value': 1e-5,
    },
    'efficientnet_lite0': {'type': 'mmdefect.EfficientNetLite', 'arch': 'lite0'},
}
# What the weights saw; whatever is not here saw ImageNet's.
_GREY = (143.9,) * 3, (60.84,) * 3
NORMALISATIONS = {
    'luna': Normalisation(*_GREY, True),
    'resnet50_caffe': CAFFE,
    'efficientnet_lite0': Normalisation((127.0,) * 3, (128.0,) * 3, True),
}


def rename(name: str, arch: str) -> str:
    """Return mmpretrain's name of a weight, its own if no rule of the layout fits."""
    for pattern, replacement in LAYOUTS[arch]:
        match = re.fullmatch(pattern, name)
        if match:
            return match.expand(replacement)
    return name


def head_part(name: str, arch: str) -> str | None:
    """Return ``weight`` or ``bias`` for a name of the classifying layer, else None."""
    match = re.fullmatch(rf'{HEADS[arch]}\.(weight|bias)', name)
    return match.group(1) if match else None


def normalisation_for(arch: str) -> Normalisation:
    """Return how images are normalised for the weights of an architecture."""
    return NORMALISATIONS.get(arch, IMAGENET)
