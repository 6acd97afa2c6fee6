"""Which data sets are below a folder ``data``, and whether their files can be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from mmdefect.cli.findings import Finding


class DataSet(NamedTuple):
    """Where a data set lies, as its config in ``configs/_base_/datasets`` has it.

    Attributes:
        name: Of the set.
        folder: Below ``data``.
        annotations: COCO files in it, which a converter writes.
        parts: Globs, of which each has to find something.
        cure: What makes what is missing.
    """

    name: str
    folder: str
    annotations: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    cure: str = 'see data/README.md'


_CONVERT = 'python tools/dataset_converters/{}'
_COCO = ('coco/train.json', 'coco/test.json')
_GOOD = ('*/train/good', '*/test')
KNOWN = (
    DataSet(
        'NEU-DET', 'NEU-DET', _COCO, cure=_CONVERT.format('neu_det.py data/NEU-DET')
    ),
    DataSet(
        'DeepPCB', 'DeepPCB', _COCO, cure=_CONVERT.format('deeppcb.py data/DeepPCB')
    ),
    DataSet(
        'COCO',
        'coco',
        tuple(f'annotations/instances_{part}2017.json' for part in ('train', 'val')),
        ('train2017', 'val2017'),
    ),
    DataSet('MVTec AD', 'MVTec-AD', parts=_GOOD),
    DataSet('VisA', 'VisA/mvtec', parts=_GOOD),
    DataSet('products', 'products', parts=_GOOD),
    DataSet('casting', 'casting_data', parts=('train/*', 'test/*')),
    DataSet('CRACK500', 'crack_patches/crack500', parts=('*',)),
)


def look(root: Path, known: tuple[DataSet, ...] = KNOWN) -> list[Finding]:
    """A line for each data set that is there, or one that says there is none."""
    there = [one for one in known if (root / one.folder).is_dir()]
    if not there:
        return [Finding('data sets', 'ok', f'none of the public ones in {root}')]
    return [_checked(root, one) for one in there]


def _checked(root: Path, one: DataSet) -> Finding:
    name, folder = f'data set {one.name}', root / one.folder
    missing = [part for part in one.parts if next(folder.glob(part), None) is None]
    missing += [file for file in one.annotations if not (folder / file).is_file()]
    if missing:
        text = f'{folder}: without {", ".join(missing)}'
        return Finding(name, 'warning', text, one.cure)
    try:
        counts = [f'{file} {_images(folder / file)} images' for file in one.annotations]
    except (OSError, ValueError) as error:
        return Finding(name, 'broken', str(error), one.cure)
    return Finding(name, 'ok', ', '.join([str(folder), *counts]))


def _images(path: Path) -> int:
    from mmdefect.utils.text_files import read_json

    content: Any = read_json(path, 'annotation file')
    images = content.get('images') if isinstance(content, dict) else None
    if not isinstance(images, list) or not images:
        raise ValueError(f'{path}: expected a COCO file with images')
    return len(images)
