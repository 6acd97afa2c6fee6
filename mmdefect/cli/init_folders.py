"""Folders that are classes, and which of them holds good parts."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from mmdefect.converters.image_folder import subset_name
from mmdefect.utils.checks import check_choice, name_some

GOOD_WORDS = {'good', 'ok', 'okay', 'pass', 'passed', 'normal', 'io', 'gut', 'fine'}
"""Names of folders that hold good parts, as plants write them."""
NO_WORDS = {'not', 'no', 'non', 'un'}


@dataclass(frozen=True)
class Labelled:
    """An image in the folder of its class.

    Args:
        name: File relative to the folder of data, with slashes.
        folder: Name of the class's folder.
        subset: ``'train'``, ``'val'`` or ``'test'`` if a folder above says so.
    """

    name: str
    folder: str
    subset: str = ''


def class_folders(names: Iterable[str]) -> tuple[list[Labelled], list[str]]:
    """Classes of images by their folders, below folders of subsets if there are any.

    Args:
        names: Images relative to the folder of data.

    Returns:
        The images, and those that stand in no folder of a class.
    """
    found, loose = [], []
    for name in names:
        folders = list(PurePosixPath(name).parent.parts)
        subset = subset_name(folders[0]) if folders else ''
        own = folders[1:] if subset else folders
        if own:
            found.append(Labelled(name, own[0], subset))
        else:
            loose.append(name)
    return found, loose


def good_folder(folders: Sequence[str], good: str | None) -> str:
    """Which of the folders holds good parts.

    Args:
        folders: Names of all folders.
        good: As the user says; otherwise the only one whose name says it.

    Raises:
        ValueError: If there is no such folder, or no name or several say it.
    """
    if good is not None:
        check_choice('good', good, folders)
        return good
    named = [name for name in folders if _says_good(name)]
    if len(named) != 1:
        raise ValueError(
            f'the folders {", ".join(folders)} do not say which of them holds good '
            f'parts: expected one such as good or ok, found {name_some(named)}; say '
            'it with --good FOLDER'
        )
    return named[0]


def _says_good(name: str) -> bool:
    words = set(re.split(r'[\W_\d]+', name.lower()))
    return bool(words & GOOD_WORDS) and not words & NO_WORDS


def draw_subsets(
    images: Sequence[Labelled],
    shares: dict[str, float],
    *,
    seed: int,
    train_only: Iterable[str] = (),
) -> dict[str, str]:
    """Draw which images are for training, validation and test, folder by folder.

    Args:
        images: All images.
        shares: Subset -> share of each folder; the rest is for training.
        seed: Seed of the draw.
        train_only: Names that stay in training, such as identical twins.

    Returns:
        Name -> subset.
    """
    fixed = set(train_only)
    of_folder: dict[str, list[str]] = defaultdict(list)
    for image in images:
        of_folder[image.folder].append(image.name)
    generator = random.Random(seed)  # noqa: S311  a seeded draw
    drawn = {image.name: 'train' for image in images}
    for folder in sorted(of_folder):
        names = sorted(set(of_folder[folder]) - fixed)
        generator.shuffle(names)
        for subset, share in shares.items():
            number = max(round(share * len(of_folder[folder])), 1)
            number = min(number, max(len(names) - 1, 0))
            drawn.update(dict.fromkeys(names[:number], subset))
            names = names[number:]
    return drawn
