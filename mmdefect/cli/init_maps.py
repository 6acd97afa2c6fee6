"""``mmdefect init maps``: what looks unusual, learned of good images alone."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

from mmdefect.cli.init_after import Before, find_before, stream_text
from mmdefect.cli.init_folders import class_folders, good_folder
from mmdefect.cli.init_images import Looked, look
from mmdefect.cli.init_plan import (
    MOBILENET,
    Plan,
    data_folder,
    literal,
    names_literal,
    noted,
    random_backbone,
    relative,
    weights_note,
)
from mmdefect.converters.box_split import twins
from mmdefect.converters.image_folder import ImageFolder
from mmdefect.converters.mvtec_ad import check_folder
from mmdefect.converters.product_checks import ProductReport, report_on
from mmdefect.datasets.anomaly.held_out import SHARE, held_out
from mmdefect.datasets.anomaly.layout import (
    GOOD,
    AnomalyImage,
    list_products,
    scan_products,
)
from mmdefect.datasets.anomaly.meta_file import meta_lines
from mmdefect.utils.checks import name_some, some_of

BASE = 'mmdefect::memory/memory_mobilenet-v2_cpu_products_3-1x2.py'
SIDE = 224
"""Pixels of a side that images are brought to."""
FEW = 20
"""Good images of a product below which there is a warning."""
CERTIFIED = 118
"""Good images from which on the preset certifies the rate of a product's alarm."""


@dataclass
class Products:
    """Products and where their images are.

    Args:
        root: Folder that is given to the datasets.
        reports: One a product.
        names: Images, relative to ``root``.
        files: Lists of images, of a folder that is none of MVTec-AD's.
        errors: Why they cannot be used.
        notes: Anything worth knowing.
    """

    root: Path
    reports: list[ProductReport] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def plan(args: argparse.Namespace) -> Plan:
    """Find the products of a folder and write the config's text.

    Args:
        args: As :func:`mmdefect.cli.init.add_arguments` describes them.
    """
    result = Plan(args.out, args.force)
    before = None if args.after is None else find_before(args.after)
    products = find_products(args.data, args.good)
    looked = look(products.root, products.names)
    result.found = [*map(str, products.reports), *products.notes]
    result.errors = [*products.errors, *looked.errors]
    if result.errors or any(report.errors for report in products.reports):
        result.errors = result.errors or ['the products above cannot be used']
        return result
    if before is not None and not before.news([r.product for r in products.reports]):
        result.errors = [
            f'{args.after} knows {some_of(before.products)} already: expected another '
            'product; put the folder of its good images beside them'
        ]
        return result
    result.found += looked.found()
    result.warnings = [*_warnings(products, looked), *looked.warnings()]
    absent = weights_note(MOBILENET, ', and what they see says little')
    result.warnings += [absent] if absent else []
    result.files = products.files
    result.config = config_text(
        args, products, pretrained=absent is None, before=before
    )
    return result


def find_products(data: Path, good: str | None) -> Products:
    """Look for products in MVTec-AD's folders, else for folders of images.

    Args:
        data: A folder of products, one product with ``train/good``, a folder of good
            images beside folders of defective ones, or of good images alone.
        good: Name of the folder of good images, if its name does not say so.

    Raises:
        FileNotFoundError: If there is no such folder, or no image in it.
        ValueError: If no folder, or several, may hold the good images.
    """
    folder = ImageFolder(data)
    if not folder.names:
        raise FileNotFoundError(
            f'{data} holds no image: expected good ones; check the path'
        )
    root, chosen = data, list_products(data)
    if (data / 'train' / GOOD).is_dir():
        root, chosen = data.absolute().parent, [data.absolute().name]
        root = data.parent if data.name not in ('', '.', '..') else root
    if not chosen:
        return _listed(folder, good)
    reports, errors = check_folder(root, chosen)
    scans = [scan_products(root, chosen, split) for split in ('train', 'test')]
    images = [image for scan in scans for image in scan.images]
    names = [image.path.relative_to(root).as_posix() for image in images]
    return Products(root, reports, names, errors=errors)


def _listed(folder: ImageFolder, good: str | None) -> Products:
    """One product of images in other folders, named by lists.

    A fifth of the good images is tested, not learned; defective ones are tested.
    """
    product = folder.root.absolute().name
    images, loose = class_folders(folder.names)
    folders = sorted({image.folder for image in images})
    result = Products(folder.root, notes=folder.passed_over())
    found: list[AnomalyImage] = []
    if folders and not (loose and good is None):
        chosen = good_folder(folders, good)
        for image in images:
            kind = GOOD if image.folder == chosen else image.folder
            found.append(AnomalyImage(folder.root / image.name, product, kind))
        if loose:
            result.notes.append(f'in no folder, left out: {name_some(loose)}')
    else:
        found = [AnomalyImage(folder.root / name, product) for name in loose]
        if images:
            some = name_some([image.name for image in images])
            result.notes.append(f'in folders below, left out: {some}')
        result.notes.append('all images are taken for good ones')
    fine = [image for image in found if image.defect == GOOD]
    tested = held_out(fine, SHARE, root=folder.root)
    left = set(tested)
    train = [image for image in fine if image not in left]
    test = [*tested, *(image for image in found if image.defect != GOOD)]
    result.reports = [report_on(product, train, test)]
    result.notes.append(f'{len(tested)} good images are tested, not learned')
    result.names = [i.path.relative_to(folder.root).as_posix() for i in found]
    result.files = {
        'train.jsonl': ''.join(f'{x}\n' for x in meta_lines(train, folder.root)),
        'test.jsonl': ''.join(f'{x}\n' for x in meta_lines(test, folder.root)),
    }
    return result


def _warnings(products: Products, looked: Looked) -> list[str]:
    found = []
    few = [f'{r.product} {r.train}' for r in products.reports if r.train < FEW]
    if few:
        found.append(
            f'products with fewer than {FEW} good images for training '
            f'({name_some(few)}): what is not shown is unusual; take more'
        )
    if rare := [
        f'{r.product} {r.train}' for r in products.reports if r.train < CERTIFIED
    ]:
        found.append(
            f'products with fewer than {CERTIFIED} good images for training '
            f'({name_some(rare)}): their alarms are estimates that nothing certifies; '
            'take more'
        )
    if bare := [r.product for r in products.reports if not r.defective]:
        found.append(
            f'products without defective test images ({name_some(bare)}): nothing says '
            'how well defects are found; add some to test/<kind>'
        )
    longer = looked.typical[0]
    if longer > 4 * SIDE:
        found.append(
            f'images of {longer} px are brought to {SIDE}: what is narrower than '
            f'{longer // SIDE * 4} px may vanish; cut out the part, or raise size and '
            'grid in the config'
        )
    if same := twins(products.root, products.names):
        groups = [' = '.join(group) for group in same]
        found.append(f'identical files ({name_some(groups)}): remove the copies')
    return found


_CONFIG = f"""\
{{about}}
_base_ = {BASE!r}

products = {{products}}{{model}}

# Images are brought to {SIDE} x {SIDE} and a map has 28 x 28 places. For finer defects
# scale=(448, 448) and model=dict(grid=56), at four times the time.
size = dict(
    type='Resize', scale=({SIDE}, {SIDE}), keep_ratio=False, backend='pillow')
train_pipeline = [_base_.train_pipeline[0], size, *_base_.train_pipeline[2:]]
test_pipeline = [_base_.test_pipeline[0], size, *_base_.test_pipeline[2:]]
images = dict(data_root={{root}}, metainfo=dict(classes=products))
train_dataloader = dict(
    dataset=dict(images, {{train}}pipeline=train_pipeline))
test_dataloader = dict(
    dataset=dict(images, {{test}}pipeline=test_pipeline))
del size, images

{{stream}}
"""


def config_text(
    args: argparse.Namespace,
    products: Products,
    *,
    pretrained: bool,
    before: Before | None = None,
) -> str:
    """The config.

    Args:
        args: Of the command.
        products: What was found.
        pretrained: Whether weights of the backbone are there.
        before: What the model knows already.
    """
    names = [report.product for report in products.reports]
    if before is not None:
        names = [*before.products, *before.news(names)]
    data = data_folder(args.out)
    train, test = (
        f'meta_file={relative(data / name, products.root)!r}, '
        if name in products.files
        else ''
        for name in ('train.jsonl', 'test.jsonl')
    )
    return _CONFIG.format(
        about=noted(
            f'What looks unusual on {len(names)} product{"s"[: len(names) - 1]} of '
            f'{args.data.as_posix()}, by mmdefect init: patches of good images are '
            'remembered, in one pass and without a GPU, and each product has an alarm. '
            'Paths are relative to the folder where training is started.'
        ),
        products=names_literal(names),
        model=''
        if pretrained
        else random_backbone('Random features, which say little'),
        root=literal(products.root),
        train=train,
        test=test,
        stream=stream_text(names, before),
    )
