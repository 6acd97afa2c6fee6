"""EfficientNet-Lite, whose features cost a tenth of a ResNet's."""

from __future__ import annotations

from typing import Any, ClassVar

from mmpretrain.models.backbones import EfficientNet

from mmdefect.registry import MODELS


@MODELS.register_module()
class EfficientNetLite(EfficientNet):
    """EfficientNet-Lite0 of TensorFlow: B0 without squeeze-and-excitation, ReLU6.

    Stages are numbered as in mmpretrain's ``EfficientNet``: 1 to 5 have the strides 2,
    4, 8, 16 and 32 and 16, 24, 40, 112 and 320 channels. Lite1 to Lite4 scale neither
    stem nor head, which mmpretrain's scaling would: they are not here.

    Args:
        arch: ``'lite0'``.
        act_cfg: The activation of every layer.
        kwargs: As for mmpretrain's ``EfficientNet``.
    """

    # mmpretrain takes the first letter of ``arch``; a block is kernel, channels,
    # squeeze ratio, stride, expansion and kind.
    layer_settings: ClassVar[dict[str, Any]] = {
        'l': [
            [[kernel, channels, 0, *others] for kernel, channels, _, *others in stage]
            for stage in EfficientNet.layer_settings['b']
        ]
    }
    arch_settings: ClassVar[dict[str, Any]] = {'lite0': (1.0, 1.0, 224)}

    def __init__(
        self, arch: str = 'lite0', *, act_cfg: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(arch, act_cfg=act_cfg or {'type': 'ReLU6'}, **kwargs)
