"""The casting set as its vendor delivers it: which images there are, and their class.

::

    root/train/def_front/cast_def_0_0.jpeg      root/test/def_front/...
    root/train/ok_front/cast_ok_0_1.jpeg        root/test/ok_front/...

The archive nests ``casting_data/casting_data``, which is found too; so are the
512x512 originals in ``casting_512x512`` (class folders without train and test). Image
files may end in ``.jpeg``, ``.jpg`` or ``.png``, in any case; any other file in a class
folder is an error, never passed over. Hidden files are no images.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmdefect.datasets.images import broken_error, decode_error
from mmdefect.utils.checks import name_some

CASTING_CLASSES = ('def_front', 'ok_front')
"""Defective and ok, in label order."""
DEFECTIVE = 0
"""Label of defective parts."""
EXTENSIONS = ('.jpeg', '.jpg', '.png')
"""Image files, in any case."""
VENDOR_SPLITS = ('train', 'test')
VENDOR, ORIGINALS = 'casting_data', 'casting_512x512'
"""Names of the archive's folders, each of which may be there twice."""


@dataclass(frozen=True)
class CastingImage:
    """One image.

    Args:
        name: Path relative to the folder of the set, with slashes.
        label: Index into :data:`CASTING_CLASSES`.
        vendor_split: ``'train'``, ``'test'``, or ``''`` for originals.
    """

    name: str
    label: int
    vendor_split: str = ''


@dataclass
class CastingScan:
    """What a folder holds.

    Args:
        folder: The folder that names are relative to.
        images: The vendor's train first, then by class and name.
        errors: One sentence for each thing that must not be.
    """

    folder: Path
    images: list[CastingImage] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def path(self, image: CastingImage) -> Path:
        """Where an image is."""
        return self.folder / image.name


def scan_vendor(root: Path) -> CastingScan:
    """Find the vendor's augmented 300x300 images, up to two folders below the root."""
    folder = _find(root, VENDOR, VENDOR_SPLITS)
    scan = CastingScan(folder)
    for split in VENDOR_SPLITS:
        _scan_classes(scan, split)
    return scan


def scan_originals(root: Path) -> CastingScan:
    """Find the 512x512 originals, which are not augmented, likewise."""
    scan = CastingScan(_find(root, ORIGINALS, CASTING_CLASSES))
    _scan_classes(scan, '')
    return scan


def _find(root: Path, name: str, children: Sequence[str]) -> Path:
    """The first folder, from the root down the archive, with one of the children."""
    for folder in (root, root / name, root / name / name):
        if any((folder / child).is_dir() for child in children):
            return folder
    what = 'no folder' if not root.is_dir() else f'no {" or ".join(children)} in'
    raise FileNotFoundError(
        f'there is {what} {root}: expected {name} as its archive unpacks it, with '
        f'{" and ".join(children)} below; check the path, see data/README.md'
    )


def _scan_classes(scan: CastingScan, split: str) -> None:
    """Add the images of both class folders below ``split``."""
    parent = scan.folder / split
    for label, kind in enumerate(CASTING_CLASSES):
        place = parent / kind
        files, wrong = _sort_out(place)
        if wrong:
            scan.errors.append(
                f'{place} holds something else than images ({name_some(wrong)}): '
                f'expected files ending in {", ".join(EXTENSIONS)} (any case) only; '
                'rename or move them'
            )
        if not files:
            found = 'holds no image' if place.is_dir() else 'is not there'
            scan.errors.append(
                f'the class folder {place} {found}: expected {kind} images in '
                f'{" and ".join(CASTING_CLASSES)} each; unpack the archive again'
            )
        inside = place.relative_to(scan.folder).as_posix()
        scan.images += [
            CastingImage(f'{inside}/{name}', label, split) for name in files
        ]
    _refuse_strangers(scan, parent)


def _sort_out(folder: Path) -> tuple[list[str], list[str]]:
    """Names of images, and of what else is in a folder; hidden files are neither."""
    files: list[str] = []
    wrong: list[str] = []
    if folder.is_dir():
        # Thousands of files: a Path for each would take longer than all the rest.
        with os.scandir(folder) as entries:
            for entry in entries:
                image = entry.name.lower().endswith(EXTENSIONS) and entry.is_file()
                if not entry.name.startswith('.'):
                    (files if image else wrong).append(entry.name)
    return sorted(files), sorted(wrong)


def _refuse_strangers(scan: CastingScan, parent: Path) -> None:
    """Class folders of another name would be left out in silence."""
    if not parent.is_dir() or parent == scan.folder:
        return
    strange = sorted(
        str(path)
        for path in parent.iterdir()
        if path.is_dir()
        and path.name not in CASTING_CLASSES
        and not path.name.startswith('.')
    )
    if strange:
        scan.errors.append(
            f'unknown class folders ({name_some(strange)}): expected '
            f'{" and ".join(CASTING_CLASSES)} only; rename or move them'
        )


def broken_images(folder: Path, names: Iterable[str]) -> list[str]:
    """Decode images; return one error that names those that are broken, or none."""
    reasons = {name: decode_error(folder / name) for name in names}
    return broken_error([f'{name} ({why})' for name, why in reasons.items() if why])
