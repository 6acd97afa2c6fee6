"""Drawn stand-ins for the data and weights that a reader of the documents has.

On disk like the real sets, a few small images each.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
import torch
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from PIL import Image

from mmdefect.datasets.anomaly.classes import MVTEC_AD_CLASSES
from mmdefect.testing import (
    make_toy_casting,
    make_toy_cracks,
    make_toy_deeppcb,
    make_toy_neu_det,
    make_toy_products,
    make_toy_visa,
)
from tests.conftest import load_tool
from tests.helpers.annotation_files import labelme
from tests.helpers.toy_coco import draw_coco


def convert(script: str, *arguments: object) -> None:
    """Run a converter.

    Raises:
        RuntimeError: It failed.
    """
    tool = load_tool(f'tools/dataset_converters/{script}')
    if tool.main([str(argument) for argument in arguments]):
        raise RuntimeError(f'{script} failed')


def neu_det(root: Path) -> None:
    """Draw steel; not converted yet."""
    make_toy_neu_det(root, per_class=4, size=64)


def converted_neu_det(root: Path) -> None:
    neu_det(root)
    convert('neu_det.py', root)


def deeppcb(root: Path) -> None:
    make_toy_deeppcb(root, train=6, test=4, size=128)


def products(root: Path, names: Sequence[str]) -> None:
    """Draw products, named as the reader's; after six of them they repeat."""
    drawn = root.with_name('drawn')
    make_toy_products(drawn, size=64, train=4, test=5)
    for folder, name in zip(cycle(sorted(drawn.iterdir())), names, strict=False):
        shutil.copytree(folder, root / name)
    shutil.rmtree(drawn)


def mvtec_ad(root: Path) -> None:
    products(root, MVTEC_AD_CLASSES)


def own_products(root: Path) -> None:
    """The products of the CPU presets."""
    products(root, ('bottle', 'magnetic_tile', 'transistor', 'pcb', 'casting'))


def my_line(root: Path) -> None:
    products(root, ('gear', 'lid', 'seal'))


def new_part(root: Path) -> None:
    """One that looks like none of :func:`my_line`."""
    products(root, ('gear', 'lid', 'seal', 'cap'))
    for name in ('gear', 'lid', 'seal'):
        shutil.rmtree(root / name)


def good_parts(root: Path) -> None:
    """More good parts of :func:`my_line`, a folder a product."""
    drawn = root.with_name('more')
    make_toy_products(drawn, seed=1, size=64, products=1, train=6, test=2)
    shutil.copytree(drawn / 'cloth/train/good', root / 'gear')
    shutil.rmtree(drawn)


def casting(root: Path) -> None:
    """Draw castings with outlined defects and split them by part."""
    make_toy_casting(root, parts=8, copies=2, size=64, masks=True)
    convert('casting.py', root)


def casting_originals(root: Path) -> None:
    drawn = root.with_name('drawn')
    make_toy_casting(drawn, parts=4, copies=2, size=64, originals=True)
    shutil.move(drawn / 'casting_512x512', root)
    shutil.rmtree(drawn)


def cracks(root: Path) -> None:
    """Draw CRACK500 and CrackForest, masks of 0 and 255."""
    make_toy_cracks(root / 'crack500', train=6, val=3, test=3)
    for path in sorted(root.glob('crack500/*/*/*.*')):  # named by its place in a photo
        path.rename(path.with_stem(f'{path.stem}_0_0'))
    shutil.copytree(root / 'crack500/test', root / 'crackforest')
    for path in root.glob('*/**/masks/*.png'):
        mask = np.asarray(Image.open(path)) == 1
        Image.fromarray(mask.astype(np.uint8) * 255).save(path)


def crack_patches(root: Path) -> None:
    """Patches of ``data/cracks``, which are drawn before."""
    for name, more in (('crack500', ()), ('crackforest', ('--split', 'test'))):
        images = root.parent / 'cracks' / name
        convert('crack_patches.py', images, '--out', root / name, *more)


def shapes(root: Path) -> None:
    """Images, and outlines of them from three programs."""
    (root / 'IMAGES').mkdir(parents=True)
    (root / 'LABELME').mkdir()
    (root / 'PNG').mkdir()
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for number in (1, 2):
        pixels = rng.integers(150, 170, (64, 64)).astype(np.uint8)
        pixels[20:30, 10:40] = 20
        Image.fromarray(pixels).save(root / f'IMAGES/{number}.png')
        mask = np.zeros((64, 64), np.uint8)
        mask[20:30, 10:40] = 255
        mask[40:50, 10:20] = 128
        Image.fromarray(mask).save(root / f'PNG/{number}.png')
        corners = [[10, 20], [40, 20], [40, 30], [10, 30]]
        shape = dict(label='crack', shape_type='polygon', points=corners)
        size = dict(imageHeight=64, imageWidth=64)
        _write(
            root / f'LABELME/{number}.json',
            dict(size, imagePath=f'{number}.png', shapes=[shape]),
        )
        images.append(dict(id=number, file_name=f'{number}.png', width=64, height=64))
        outline = dict(
            id=number,
            image_id=number,
            category_id=1,
            bbox=[10, 20, 30, 10],
            area=300,
            iscrowd=0,
            segmentation=[[v for corner in corners for v in corner]],
        )
        annotations.append(outline)
    _write(
        root / 'coco.json',
        dict(
            images=images,
            annotations=annotations,
            categories=[dict(id=1, name='crack')],
        ),
    )


def boxes(root: Path) -> None:
    """A COCO file of three classes, listed in another order than they are learned."""
    (root / 'images').mkdir(parents=True)
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(root / 'images/1.png')
    names = ['third', 'first', 'second']
    annotations = [
        dict(id=k, image_id=1, category_id=k, bbox=[9 * k, 5, 8, 8], area=64, iscrowd=0)
        for k in (1, 2, 3)
    ]
    _write(
        root / 'source.json',
        dict(
            images=[dict(id=1, file_name='1.png', width=64, height=64)],
            annotations=annotations,
            categories=[dict(id=k, name=name) for k, name in enumerate(names, 1)],
        ),
    )


def _write(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content), encoding='utf-8')


def torchvision_file(root: Path) -> None:
    """MobileNetV2 as torchvision has it, from random numbers."""
    from torchvision.models import mobilenet_v2

    root.mkdir(parents=True)
    torch.save(mobilenet_v2().state_dict(), root / 'mobilenet_v2-b0353104.pth')


def converted_weights(root: Path) -> None:
    """What the presets read from ``data/weights``, from random numbers."""
    from mmdet.models.backbones import MobileNetV2

    root.mkdir(parents=True)
    _save(MobileNetV2().state_dict(), root / 'mobilenet_v2-in1k-mmdet.pth')
    for name, backbone, prefix in (
        ('mobilenet_v2-in1k-mmpretrain', dict(type='MobileNetV2'), ''),
        ('resnet18-mmpretrain', dict(type='ResNet', depth=18), 'backbone.'),
    ):
        _save(_random(backbone, prefix), root / f'{name}.pth')


def _random(backbone: dict, prefix: str) -> dict:
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        state = MODELS.build(backbone).state_dict()
    return {f'{prefix}{name}': value for name, value in state.items()}


def _save(state: dict, path: Path) -> None:
    torch.save({'meta': {}, 'state_dict': state}, path)


# As the tables name them; each draws into a new folder.
DATA: dict[str, Callable[[Path], object]] = {
    'boards': deeppcb,
    'castings': casting,
    'coco': draw_coco,
    'cracks': cracks,
    'crack patches': crack_patches,
    'mvtec-ad': mvtec_ad,
    'original castings': casting_originals,
    'presets weights': converted_weights,
    'products': own_products,
    "reader's boxes": boxes,
    "reader's LabelMe": labelme,
    "reader's good parts": good_parts,
    "reader's new part": new_part,
    "reader's products": my_line,
    "reader's shapes": shapes,
    'steel': neu_det,
    'steel, converted': converted_neu_det,
    'torchvision weights': torchvision_file,
    'visa': make_toy_visa,
}
