"""Pascal VOC with any class names, in any folders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from mmdefect.converters.annotated import Found, class_name, read_each
from mmdefect.converters.image_folder import ImageFolder
from mmdefect.converters.voc import MAX_XML_BYTES, WHAT, record_of
from mmdefect.converters.xml_file import read_xml
from mmdefect.utils.text_files import read_text_file

SUBSETS = ('train', 'val', 'test')
LISTS = 'ImageSets/Main'


def read_voc(folder: ImageFolder, paths: Sequence[Path]) -> Found:
    """Read VOC's files: a file belongs to the image of its name, or that it names.

    Lists of subsets are taken from ``ImageSets/Main`` beside the folder of annotations.

    Args:
        folder: The images.
        paths: The XML files.
    """
    found = Found()
    subsets = _subsets({path.parent.parent / LISTS for path in paths})

    def read(path: Path, found: Found) -> None:
        root = read_xml(path, WHAT, max_bytes=MAX_XML_BYTES)
        record = record_of(root, path, file_name='')
        objects = [(class_name(name, str(path)), box) for name, box in record.objects]
        name = (root.findtext('filename') or '').strip() or path.stem
        image = folder.find_stem(path.stem, path) or folder.find(name, path)
        size = (record.width, record.height)
        subset = subsets.get((path.parent.parent / LISTS, path.stem), '')
        found.add(image, name, path, objects, size=size, subset=subset)

    read_each(paths, read, found)
    return found


def _subsets(folders: Iterable[Path]) -> dict[tuple[Path, str], str]:
    """Folder of lists and stem of an image -> its subset, where lists say it."""
    found: dict[tuple[Path, str], str] = {}
    for folder in folders:
        for subset in SUBSETS:
            path = folder / f'{subset}.txt'
            if path.is_file():
                stems = read_text_file(path, 'list of images').split('\n')
                found |= {(folder, stem.strip()): subset for stem in stems}
    return found
