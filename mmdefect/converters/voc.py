"""Read Pascal VOC annotation files safely, and split image names into two lists."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from mmdefect.converters.coco import ImageRecord
from mmdefect.converters.xml_file import number_in, read_xml, text_in
from mmdefect.datasets.boxes.coco_file import image_size_of
from mmdefect.utils import files
from mmdefect.utils.checks import check_range, name_some
from mmdefect.utils.image_header import ImageError, read_header
from mmdefect.utils.images import is_turned

MAX_XML_BYTES = 1_000_000
"""An annotation file of one image is a few kB; a megabyte is an attack or a mistake."""
WHAT = 'Pascal VOC annotations'


def read_voc_xml(path: Path, *, file_name: str) -> ImageRecord:
    """Read one annotation file; boxes are x1 y1 x2 y2, as they stand there.

    Args:
        path: The XML file.
        file_name: What to record as the path of its image.

    Raises:
        ValueError: If the file is too large, declares entities or an unknown encoding,
            is no XML, or a tag is missing or no number.
    """
    root = read_xml(path, WHAT, max_bytes=MAX_XML_BYTES)
    return record_of(root, path, file_name=file_name)


def record_of(root: Element, path: Path, *, file_name: str) -> ImageRecord:
    """Size and boxes of a file that is parsed already; see :func:`read_voc_xml`."""
    objects = []
    for item in root.iter('object'):
        corners = ('xmin', 'ymin', 'xmax', 'ymax')
        x1, y1, x2, y2 = (number_in(item, f'bndbox/{c}', path, WHAT) for c in corners)
        objects.append((text_in(item, 'name', path, WHAT), (x1, y1, x2, y2)))
    sides = ('width', 'height')
    sizes = {side: number_in(root, f'size/{side}', path, WHAT) for side in sides}
    width, height = image_size_of(sizes, str(path))
    return ImageRecord(file_name, width, height, objects)


def read_voc_folder(
    root: Path, *, exif: str | None = None
) -> tuple[list[ImageRecord], list[str]]:
    """Read ``IMAGES/*.jpg`` with ``ANNOTATIONS/*.xml`` of the same stems.

    Returns:
        Records sorted by file name, and one sentence an error: unpaired files,
        unreadable annotations or images, sizes that disagree.
    """
    images, annotations = 'IMAGES', 'ANNOTATIONS'
    for folder in (images, annotations):
        if not (root / folder).is_dir():
            raise FileNotFoundError(
                f'there is no folder {root / folder}: expected {images}/*.jpg and '
                f'{annotations}/*.xml below {root}; see data/README.md'
            )
    pictures = {p.stem: p for p in sorted((root / images).glob('*.jpg'))}
    labels = {p.stem: p for p in sorted((root / annotations).glob('*.xml'))}
    if not pictures:
        raise FileNotFoundError(
            f'{root / images} holds no *.jpg: expected the images; see data/README.md'
        )
    errors = _unpaired(pictures, labels, annotations)
    errors += _unpaired(labels, pictures, images)
    records = []
    for stem in sorted(pictures.keys() & labels.keys()):
        picture = pictures[stem]
        try:
            record = read_voc_xml(labels[stem], file_name=f'{images}/{picture.name}')
            check_size(record, picture, exif=exif)
        except ValueError as error:
            errors.append(str(error))
        else:
            records.append(record)
    return records, errors


def _unpaired(there: Iterable[str], other: Iterable[str], folder: str) -> list[str]:
    alone = sorted(set(there) - set(other))
    found = f'{name_some(alone)} have no partner in {folder}: expected pairs'
    return [found] if alone else []


def image_size(path: Path, *, exif: str | None = None) -> tuple[int, int]:
    """Read width and height of an image that nobody has noted from its header.

    Raises:
        ValueError: If the file is not accepted, or turned and ``exif`` does not say.
    """
    try:
        header = read_header(path)
        return header.size(turned=is_turned(header, None, exif))
    except ImageError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: ImageError) -> ValueError:
    return ValueError(
        f'{path} cannot be read as an image ({error}): expected one; get it again'
    )


def check_size(record: ImageRecord, path: Path, *, exif: str | None = None) -> None:
    """Compare the size of an image with the recorded one.

    Raises:
        ValueError: If they differ, or the file is not accepted.
    """
    header = None
    try:
        header = read_header(path)
        is_turned(header, (record.width, record.height), exif)
    except ImageError as error:
        if header is None:
            raise _unreadable(path, error) from None
        found = f'{header.width}x{header.height}'
        if header.orientation > 1:
            found = f'{found} ({error})'
        raise ValueError(
            f'{path} is {found}, its annotations say {record.width}x{record.height}: '
            'expected equal sizes; correct one'
        ) from None


def identical_files(paths: Iterable[Path]) -> list[list[str]]:
    """Stems of files with the same bytes, as sorted groups of two or more."""
    groups = files.identical_files(paths)
    return sorted(sorted(path.stem for path in group) for group in groups)


def name_prefix(name: str) -> str:
    """What comes before the number: ``'crazing_12'`` -> ``'crazing'``."""
    return name.rsplit('_', 1)[0]


def stratified_split(
    names: Sequence[str],
    *,
    test_ratio: float = 0.2,
    seed: int = 0,
    train_only: Iterable[str] = (),
) -> tuple[list[str], list[str]]:
    """Split names so that every file-name prefix has the same share in both lists.

    Args:
        names: Stems such as ``crazing_12``; their order does not matter.
        test_ratio: Share of each prefix that goes to the test list.
        seed: Seed of the draw.
        train_only: Names kept out of the test list, such as identical twins.

    Returns:
        Sorted train and test names.
    """
    check_range('test_ratio', test_ratio, 0, 1, open_low=True, open_high=True)
    groups: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        groups[name_prefix(name)].append(name)
    rng = np.random.default_rng(seed)
    fixed = set(train_only)
    test: list[str] = []
    for prefix in sorted(groups):
        free = [name for name in groups[prefix] if name not in fixed]
        number = round(test_ratio * len(groups[prefix]))
        test += [free[i] for i in rng.permutation(len(free))[:number]]
    return sorted(set(names) - set(test)), sorted(test)
