"""Pascal VOC with any class names, in any folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmdefect.converters.annotated import Found, class_name, read_each
from mmdefect.converters.image_folder import ImageFolder
from mmdefect.converters.voc import MAX_XML_BYTES, WHAT, record_of
from mmdefect.converters.xml_file import read_xml


def read_voc(folder: ImageFolder, paths: Sequence[Path]) -> Found:
    """Read VOC's files: a file belongs to the image of its name, or that it names.

    Args:
        folder: The images.
        paths: The XML files.
    """
    found = Found()

    def read(path: Path, found: Found) -> None:
        root = read_xml(path, WHAT, max_bytes=MAX_XML_BYTES)
        record = record_of(root, path, file_name='')
        objects = [(class_name(name, str(path)), box) for name, box in record.objects]
        name = (root.findtext('filename') or '').strip() or path.stem
        image = folder.find_stem(path.stem, path) or folder.find(name, path)
        found.add(image, name, path, objects, size=(record.width, record.height))

    read_each(paths, read, found)
    return found
