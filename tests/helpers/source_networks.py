"""The networks whose weights are converted, as their own packages build them."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torchvision.models as zoo
from torch import Tensor, nn
from torchvision.models.vision_transformer import VisionTransformer

# They start at a constant, or so small that nothing is to be seen of them.
STILL = ('class_token', 'cls_token', 'bias_table', 'pos_embed', 'pos_embedding')


def luna(num_classes: int = 2) -> nn.Sequential:
    """LUNA by its table of layers, its softmax left out."""
    layers: list[nn.Module] = [nn.BatchNorm2d(3)]
    for before, width in ((3, 8), (8, 16), (16, 32), (32, 64)):
        layers += [
            *(nn.Conv2d(before, width, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(width, width, 3, padding=1), nn.ReLU()),
            nn.MaxPool2d(2),
        ]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(18 * 18 * 64, num_classes))


SOURCES: dict[str, Callable[..., nn.Module]] = {
    'luna': luna,
    'alexnet': zoo.alexnet,
    'resnet18': zoo.resnet18,
    'efficientnetv2_s': zoo.efficientnet_v2_s,
    'convnext_tiny': zoo.convnext_tiny,
    'vit_b16': zoo.vit_b_16,
    'swin_tiny': zoo.swin_t,
}


class TimmBlock(nn.Module):
    def __init__(self, width: int, heads: int, scaled: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = nn.ModuleDict(
            {'qkv': nn.Linear(width, 3 * width), 'proj': nn.Linear(width, width)}
        )
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.ModuleDict(
            {'fc1': nn.Linear(width, 4 * width), 'fc2': nn.Linear(4 * width, width)}
        )
        if scaled:
            self.ls1, self.ls2 = LayerScale(width), LayerScale(width)
        else:
            self.ls1 = self.ls2 = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.attn['qkv'](self.norm1(x)).chunk(3, dim=-1)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in qkv)
        weights = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)
        x = x + self.ls1(self.attn['proj']((weights @ v).transpose(1, 2).flatten(2)))
        hidden = nn.functional.gelu(self.mlp['fc1'](self.norm2(x)))
        return x + self.ls2(self.mlp['fc2'](hidden))


class LayerScale(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.gamma * x


class TimmViT(nn.Module):
    """A ViT with the names of timm and DINO; DINO's ViT-S/8 with the defaults.

    With ``scaled`` layers it is DINOv2's.
    """

    def __init__(
        self,
        *,
        width: int = 384,
        depth: int = 12,
        heads: int = 6,
        size: int = 224,
        patch: int = 8,
        scaled: bool = False,
    ) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + (size // patch) ** 2, width))
        self.patch_embed = nn.ModuleDict({'proj': nn.Conv2d(3, width, patch, patch)})
        self.blocks = nn.Sequential(
            *(TimmBlock(width, heads, scaled) for _ in range(depth))
        )
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, images: Tensor) -> Tensor:
        patches = self.patch_embed['proj'](images).flatten(2).mT
        token = self.cls_token.expand(len(images), -1, -1)
        x = torch.cat([token, patches], dim=1) + self.pos_embed
        return self.norm(self.blocks(x))[:, 0]


def tiny_torchvision_vit(classes: int = 2) -> VisionTransformer:
    """torchvision's ViT, two layers of 48 channels at 32 pixels."""
    model = VisionTransformer(
        image_size=32,
        patch_size=16,
        num_layers=2,
        num_heads=4,
        hidden_dim=48,
        mlp_dim=96,
        num_classes=classes,
    )
    # torchvision starts with a head of zeros, behind which all networks are equal.
    nn.init.normal_(model.heads.head.weight)
    return model


@torch.no_grad()
def enliven(model: nn.Module) -> nn.Module:
    """Random numbers wherever a fresh network has constants; eval mode."""
    generator = torch.Generator().manual_seed(0)
    # Without norms, PyTorch's small weights leave little of an image.
    normed = len([m for m in model.modules() if 'Norm' in type(m).__name__]) > 1
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1 and not normed:
            nn.init.kaiming_normal_(parameter, generator=generator)
        elif name.endswith(STILL):
            parameter.normal_(generator=generator)
        elif name.endswith('layer_scale') or (
            parameter.ndim == 1 and name.endswith('weight')
        ):
            parameter.uniform_(0.5, 1.5, generator=generator)
        elif parameter.ndim == 1:
            parameter.normal_(std=0.1, generator=generator)
    for name, buffer in model.named_buffers():
        if name.endswith('running_mean'):
            buffer.normal_(std=0.1, generator=generator)
        elif name.endswith('running_var'):
            buffer.uniform_(0.5, 1.5, generator=generator)
    return model.eval()


def on_meta(arch: str, classes: int = 1000) -> nn.Module:
    """The source network at full size, names and shapes only."""
    with torch.device('meta'):
        if arch == 'dino_vits8':
            return TimmViT()
        return SOURCES[arch](num_classes=classes)


class TimmLite(nn.Module):
    """EfficientNet-Lite0 with the names of timm's ``tf_efficientnet_lite0``."""

    # Kernel, channels, stride, expansion and number of blocks of a stage.
    STAGES = (
        (3, 16, 1, 1, 1),
        (3, 24, 2, 6, 2),
        (5, 40, 2, 6, 2),
        (3, 80, 2, 6, 3),
        (5, 112, 1, 6, 3),
        (5, 192, 2, 6, 4),
        (3, 320, 1, 6, 1),
    )

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.conv_stem, self.bn1 = SameConv(3, 32, 3, 2), _norm(32)
        stages, before = [], 32
        for kernel, channels, stride, expansion, number in self.STAGES:
            blocks = []
            for place in range(number):
                blocks.append(
                    TimmLiteBlock(
                        before, channels, kernel, 1 if place else stride, expansion
                    )
                )
                before = channels
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages)
        self.conv_head, self.bn2 = SameConv(320, 1280, 1), _norm(1280)
        self.classifier = nn.Linear(1280, num_classes)

    def features(self, images: Tensor) -> Tensor:
        stem = nn.functional.relu6(self.bn1(self.conv_stem(images)))
        return nn.functional.relu6(self.bn2(self.conv_head(self.blocks(stem))))


class TimmLiteBlock(nn.Module):
    def __init__(
        self, before: int, channels: int, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        inside = before * expansion
        wide = expansion > 1
        self.residual = stride == 1 and before == channels
        if wide:
            self.conv_pw, self.bn1 = SameConv(before, inside, 1), _norm(inside)
        self.conv_dw = SameConv(inside, inside, kernel, stride, groups=inside)
        setattr(self, 'bn2' if wide else 'bn1', _norm(inside))
        last = SameConv(inside, channels, 1)
        setattr(self, 'conv_pwl' if wide else 'conv_pw', last)
        setattr(self, 'bn3' if wide else 'bn2', _norm(channels))

    def forward(self, x: Tensor) -> Tensor:
        *inner, (last, norm) = zip(
            *(
                [m for name, m in self.named_children() if name.startswith(kind)]
                for kind in ('conv', 'bn')
            ),
            strict=True,
        )
        made = x
        for conv, normed in inner:
            made = nn.functional.relu6(normed(conv(made)))
        made = norm(last(made))
        return x + made if self.residual else made


class SameConv(nn.Conv2d):
    """TensorFlow's padding: what is odd goes to the right and below."""

    def __init__(
        self, before: int, after: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(before, after, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        pads = []
        for size in (x.shape[-1], x.shape[-2]):
            stride, kernel = self.stride[0], self.kernel_size[0]
            lacking = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [lacking // 2, lacking - lacking // 2]
        return super().forward(nn.functional.pad(x, pads))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)
