"""How the files of one result are called, in the folder of all of them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

from mmdefect.utils.text_files import read_json

PICTURES, LABELME = 'pictures', 'labelme'
#: Folder and suffix, by the key of the line of a result that names the file.
FILES = {'picture': (PICTURES, '.jpg'), 'labelme': (LABELME, '.json')}


def picture_of(source: str) -> str:
    """Where in the folder the picture of a result is."""
    from mmdefect.deploy.saving import file_stem

    return f'{PICTURES}/{file_stem(source)}.jpg'


def shared_stems(sources: Iterable[str]) -> set[str]:
    """Names without suffix that several images have, on no matter which system."""
    from mmdefect.deploy.saving import plain_stem

    found = Counter((plain_stem(source) or '').casefold() for source in sources)
    return {stem for stem, number in found.items() if number > 1}


def labelme_file(folder: Path, source: str, shared: Collection[str]) -> str:
    """Where in the folder the LabelMe file of a result is.

    LabelMe looks for the name of the image. Where that is not enough, or a file that
    is there belongs to another image, digits of the whole path follow it.

    Args:
        folder: Of the results.
        source: Full name of the image.
        shared: See :func:`shared_stems`.
    """
    from mmdefect.deploy.saving import file_stem, plain_stem

    stem = plain_stem(source)
    own = folder / LABELME / f'{stem}.json'
    if stem is None or stem.casefold() in shared or not _is_free(own, source):
        stem = file_stem(source)
    return f'{LABELME}/{stem}.json'


def _is_free(path: Path, source: str) -> bool:
    """Whether a LabelMe file is not there, or is that of an image."""
    if not path.exists():
        return True
    try:
        image = Path(path.parent.resolve(), str(read_json(path, 'file')['imagePath']))
    except (KeyError, TypeError, ValueError):  # somebody else's
        return False
    return os.path.normpath(image) == source
