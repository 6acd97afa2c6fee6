"""Where a classifier sees the evidence for a class: Grad-CAM and others of captum.

Maps come as ``(B, H, W)`` at the size of the images, float32, from 0 to 1: each was
divided by its largest value. A map without any evidence is zero throughout. For the
attention of transformers see :mod:`mmdefect.visualization.attention`.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from mmdefect.utils.modules import evaluating
from mmdefect.visualization.anomaly import fit_mask, heat_overlay, outline

Target = int | Tensor | None
# Modules with outputs of four dimensions that are no maps to explain.
_OF_TRANSFORMERS = {'patch_embed', 'attn', 'attention', 'w_msa'}


def grad_cam(
    model: nn.Module, layer: str | nn.Module, images: Tensor, target: Target = None
) -> Tensor:
    """Grad-CAM: feature maps weighted by the mean of their gradients.

    Selvaraju et al. (ICCV 2017, eq. 1 and 2), ``ReLU(sum_k w_k A_k)`` with ``w_k`` the
    spatial mean of the gradient of the logit, by ``captum.attr.LayerGradCam``; resized
    bilinearly.

    Args:
        model: Classifier that gives logits in ``mode='tensor'``.
        layer: A module whose output is a map ``(B, C, h, w)``, or its name, such as
            ``backbone.layer4``; see :func:`default_layer`.
        images: After the data preprocessor, shape ``(B, C, H, W)``.
        target: Class to explain, one for all or ``(B,)``; the predicted by default.

    Raises:
        ImportError: If captum is not installed.
        ValueError: If there is no such layer, or its output is no map.
    """
    module = find_layer(model, layer) if isinstance(layer, str) else layer
    with evaluating(model), torch.enable_grad():
        found = _captum('LayerGradCam')(_Logits(model), module).attribute(
            images, target=_target(model, images, target), relu_attributions=True
        )
    last = found[-1] if isinstance(found, tuple) else found
    if last.ndim != 4:
        raise ValueError(
            f'layer={layer if isinstance(layer, str) else type(module).__name__!r} '
            'gives no map: expected an output (batch, channels, height, width); name a '
            'layer before the pooling, or use the attention of a transformer'
        )
    return scaled_maps(last[:, 0], images.shape[-2:])


def integrated_gradients(
    model: nn.Module,
    images: Tensor,
    target: Target = None,
    *,
    steps: int = 200,
    batch: int = 16,
) -> Tensor:
    """Integrated gradients from an image of the mean colour (normalised zeros).

    Sundararajan et al. (ICML 2017, eq. 1), by ``captum.attr.IntegratedGradients``;
    summed over the channels, what speaks against the class is cut off.

    Args:
        model: Classifier that gives logits in ``mode='tensor'``.
        images: After the data preprocessor, shape ``(B, C, H, W)``.
        target: Class to explain, one for all or ``(B,)``; the predicted by default.
        steps: Points of the integral.
        batch: Images at once.

    Raises:
        ImportError: If captum is not installed.
    """
    with evaluating(model), torch.enable_grad():
        found = _captum('IntegratedGradients')(_Logits(model)).attribute(
            images,
            target=_target(model, images, target),
            n_steps=steps,
            internal_batch_size=max(batch, len(images)),
        )
    return scaled_maps(found.sum(dim=1).relu(), images.shape[-2:])


def occlusion(
    model: nn.Module,
    images: Tensor,
    target: Target = None,
    *,
    window: int = 15,
    stride: int = 15,
) -> Tensor:
    """How much the logit falls when a window is painted over in the mean colour.

    Zeiler and Fergus (ECCV 2014), by ``captum.attr.Occlusion``; where the logit rises,
    the map is 0.

    Args:
        model: Classifier that gives logits in ``mode='tensor'``.
        images: After the data preprocessor, shape ``(B, C, H, W)``.
        target: Class to explain, one for all or ``(B,)``; the predicted by default.
        window: Side of the window in pixels.
        stride: Steps of the window in pixels.

    Raises:
        ImportError: If captum is not installed.
        ValueError: If ``1 <= stride <= window <= side of the images`` does not hold.
    """
    channels, height, width = images.shape[1:]
    if not 1 <= stride <= window <= min(height, width):
        raise ValueError(
            f'window={window}, stride={stride}: expected 1 <= stride <= window <= '
            f'{min(height, width)} for images of {height} x {width} pixels'
        )
    with evaluating(model), torch.no_grad():
        found = _captum('Occlusion')(_Logits(model)).attribute(
            images,
            sliding_window_shapes=(channels, window, window),
            strides=(channels, stride, stride),
            target=_target(model, images, target),
            perturbations_per_eval=8,
        )
    return scaled_maps(found.mean(dim=1).relu(), (height, width))


def scaled_maps(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Resize maps bilinearly and divide each by its largest value.

    Args:
        maps: Not negative, shape ``(B, h, w)``.
        size: Height and width to reach.

    Returns:
        float32, shape ``(B, H, W)``; zeros stay zeros.
    """
    maps = maps.detach().float()
    height, width = size
    if maps.shape[-2:] != (height, width):
        maps = F.interpolate(maps[:, None], (height, width), mode='bilinear')[:, 0]
    top = maps.amax(dim=(1, 2), keepdim=True)
    return maps / torch.where(top > 0, top, torch.ones_like(top))


def find_layer(model: nn.Module, name: str) -> nn.Module:
    """Return the module of that name.

    Raises:
        ValueError: If there is none; names the nearest.
    """
    modules = dict(model.named_modules())
    if name and name in modules:
        return modules[name]
    near = difflib.get_close_matches(name, filter(None, modules), n=5, cutoff=0.5)
    near = near or [child for child, _ in model.named_children()]
    raise ValueError(
        f'layer={name!r}: expected the name of a module of {type(model).__name__}; '
        f'near are {", ".join(near)}'
    )


def default_layer(model: nn.Module, images: Tensor) -> str:
    """Name the last module whose output is a map ``(B, C, h, w)`` above 1 x 1.

    Found by a forward. Where the backbone itself returns a map it is the last module
    with an output of that shape, or the backbone if none has (as Swin, which reshapes
    at its end). A transformer's embedding of patches and its matrices of attention are
    no maps.

    Args:
        model: Classifier.
        images: After the data preprocessor, shape ``(B, C, H, W)``; one is enough.

    Raises:
        ValueError: If there is no such module.
    """
    shapes: dict[str, torch.Size] = {}
    handles = []

    def note(name: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            last = output[-1] if name == 'backbone' and output else output
            if isinstance(last, Tensor) and last.ndim == 4 and last[0, 0].numel() > 1:
                shapes.pop(name, None)  # the last call counts
                shapes[name] = last.shape

        return hook

    for name, module in model.named_modules():
        if name and not _OF_TRANSFORMERS.intersection(name.split('.')):
            handles.append(module.register_forward_hook(note(name)))
    try:
        with evaluating(model), torch.no_grad():
            model(images[:1], mode='tensor')
    finally:
        for handle in handles:
            handle.remove()
    if not shapes:
        raise ValueError(
            f'{type(model).__name__} has no layer whose output is a map: expected one '
            'of (batch, channels, height, width) for Grad-CAM; use the attention of a '
            'transformer, or name a layer'
        )
    whole = shapes.pop('backbone', None)
    fitting = [name for name, shape in shapes.items() if whole in (None, shape)]
    return fitting[-1] if fitting else 'backbone'


def saliency_panels(
    image: np.ndarray, saliency: np.ndarray, mask: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Return what is put side by side for one image, by name.

    Args:
        image: ``(H, W, 3)``, uint8, BGR.
        saliency: ``(h, w)``, from 0 to 1.
        mask: ``(h, w)``, not 0 where the defect is; None when it is unknown.

    Returns:
        ``image``, ``mask`` if it is known, and ``saliency``: the map in colours on the
        image, with the outline of the mask.

    Raises:
        ValueError: If a shape is wrong.
    """
    overlay = heat_overlay(image, saliency, low=0.0, high=1.0)
    if mask is None:
        return {'image': image, 'saliency': overlay}
    inside = 255 * fit_mask(mask, image.shape).astype(np.uint8)
    return {
        'image': image,
        'mask': cv2.cvtColor(inside, cv2.COLOR_GRAY2BGR),
        'saliency': outline(overlay, mask),
    }


class _Logits(nn.Module):
    """The classifier as a function of images alone, which captum calls."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images, mode='tensor')


def _target(model: nn.Module, images: Tensor, target: Target) -> int | Tensor:
    if target is not None:
        return target
    with torch.no_grad():
        return model(images, mode='tensor').argmax(dim=1)


def _captum(name: str) -> Any:
    try:
        from captum import attr
    except ImportError:
        raise ImportError(
            f'{name}: expected the package captum; run `pip install captum`'
        ) from None
    return getattr(attr, name)
