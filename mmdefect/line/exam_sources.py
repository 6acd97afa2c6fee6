"""Labelled images from which an exam is made, in the layouts that are trained on."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from mmdefect.datasets.anomaly.layout import (
    GOOD,
    image_files,
    list_products,
    scan_products,
)
from mmdefect.datasets.boxes.coco_file import boxes_in_frame, read_coco
from mmdefect.deploy.spec import Task
from mmdefect.line.exam import ExamImage, Truth, is_left
from mmdefect.utils.checks import name_some

Labelled = tuple[Task, tuple[str, ...], list[tuple[Path, ExamImage]]]
"""Task, classes, and of each image its file and what is on it."""


def read_labelled(
    annotations: str | Path | None = None, folder: str | Path | None = None
) -> Labelled:
    """Find labelled images.

    Args:
        annotations: Boxes: a COCO file.
        folder: Boxes: where its file names start, by default the folder of the file.
            Maps: a folder of products as MVTec-AD has them, of which ``test`` is taken.
            Labels: a folder that has one of images a class.

    Raises:
        FileNotFoundError: There is no such file or folder, or an image is missing.
        ValueError: It holds no labelled image.
    """
    if annotations is not None:
        found = _boxes(Path(annotations), None if folder is None else Path(folder))
    elif folder is None:
        raise ValueError(
            'an exam of nothing: expected a COCO file (--annotations) or a folder '
            '(--folder); give one'
        )
    elif list_products(Path(folder)):
        found = _maps(Path(folder))
    else:
        found = _labels(Path(folder))
    if not found[2]:
        raise ValueError(
            f'{annotations or folder} holds no labelled image: expected a COCO file, '
            'products as MVTec-AD has them, or a folder of images a class'
        )
    if left := [image.file for path, image in found[2] if is_left(path.name)]:
        raise ValueError(
            f'{annotations or folder} names {name_some(left)}: expected images, not '
            'what file managers leave beside them; take them out of the file, or '
            'rename them'
        )
    return found


def _boxes(source: Path, root: Path | None) -> Labelled:
    root = root or source.parent
    coco = read_coco(source)
    files = [image['file_name'] for image in coco['images']]
    if missing := [name for name in files if not (root / name).is_file()]:
        raise FileNotFoundError(
            f'{source}: expected its images in {root}, missing are '
            f'{name_some(missing)}; say where its file names start (--folder)'
        )
    names = {one['id']: one['name'] for one in coco['categories']}
    truths: dict[int, list[Truth]] = defaultdict(list)
    for one in boxes_in_frame(coco)[0]:
        x, y, width, height = map(float, one['bbox'])
        truth = Truth(
            kind=names[one['category_id']],
            box=(x, y, x + width, y + height),
            ignored=bool(one['iscrowd']),
        )
        truths[one['image_id']].append(truth)
    found = [
        (root / name, ExamImage(file=name, truths=tuple(truths[image['id']])))
        for name, image in zip(files, coco['images'], strict=True)
    ]
    return 'boxes', tuple(names.values()), found


def _maps(root: Path) -> Labelled:
    products = list_products(root)
    scan = scan_products(root, products, 'test')
    if scan.errors:
        raise ValueError(scan.errors[0])
    found = []
    for one in scan.images:
        truths = () if one.defect == GOOD else (Truth(kind=one.defect),)
        name = one.path.relative_to(root).as_posix()
        image = ExamImage(file=name, product=one.product, truths=truths)
        found.append((one.path, image))
    return 'maps', tuple(products), found


def _labels(root: Path) -> Labelled:
    folders = sorted(
        path
        for path in root.iterdir()
        if path.is_dir() and not path.name.startswith('.')
    )
    found = [
        (path, ExamImage(file=f'{name}/{path.name}', truths=(Truth(kind=name),)))
        for name in (one.name for one in folders)
        for path in image_files(root / name)
    ]
    return 'labels', tuple(one.name for one in folders), found
