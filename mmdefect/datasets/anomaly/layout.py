"""Products in the folders of MVTec-AD: which images there are, and their masks.

::

    root/bottle/train/good/000.png
    root/bottle/test/good/000.png
    root/bottle/test/crack/000.png
    root/bottle/ground_truth/crack/000_mask.png     also 000.png, 000_mask_1.png, ...

Problems are collected as sentences, so that a checker can print all of them and a data
set can refuse the first.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmdefect.utils.checks import name_some
from mmdefect.utils.image_header import OTHER_PICTURES, SUFFIXES

GOOD = 'good'
"""The name of what has no defect, as a folder and as a kind."""
SPLITS = ('train', 'test')

_MASK = re.compile(r'(?P<stem>.+)_mask(_\d+)?')


@dataclass(frozen=True)
class AnomalyImage:
    """One image of a product.

    Args:
        path: The image file.
        product: Name of the product.
        defect: :data:`GOOD` or the kind of the defect.
        masks: Files that outline the defect together; empty for a good image, and for
            a defective one whose defect is not outlined (image-level data).
    """

    path: Path
    product: str
    defect: str = GOOD
    masks: tuple[Path, ...] = ()

    @property
    def label(self) -> int:
        """0 good, 1 defective."""
        return int(self.defect != GOOD)

    @property
    def has_mask(self) -> bool:
        """Whether the defect pixels are known: a good image has none, by definition."""
        return self.label == 0 or bool(self.masks)


@dataclass
class Scan:
    """What a folder or a list holds.

    Args:
        images: In a fixed order.
        errors: One sentence for each thing that must not be.
        image_level: Products without outlined defects.
        untested: Products without a test image.
        all_defective: Products with test images, none of them good.
    """

    images: list[AnomalyImage] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    image_level: list[str] = field(default_factory=list)
    untested: list[str] = field(default_factory=list)
    all_defective: list[str] = field(default_factory=list)

    def add(self, other: Scan) -> None:
        """Append what another scan found."""
        self.images += other.images
        self.errors += other.errors
        self.image_level += other.image_level
        self.untested += other.untested
        self.all_defective += other.all_defective


def image_files(folder: Path) -> list[Path]:
    """Image files directly in a folder, by name; none when there is no folder."""
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        # macOS leaves `._000.png` beside `000.png`.
        if path.suffix.lower() in SUFFIXES and not path.name.startswith('.')
    )


def list_products(root: Path) -> list[str]:
    """Names of the folders that look like a product, in alphabetical order.

    Raises:
        FileNotFoundError: If there is no such folder.
    """
    if not root.is_dir():
        raise FileNotFoundError(
            f'there is no folder {root}: expected train/good and test/<kind> below a '
            'folder a product; check data_root, see data/README.md'
        )
    folders = (path for path in root.iterdir() if path.is_dir())
    return sorted(
        folder.name
        for folder in folders
        if any((folder / split).is_dir() for split in SPLITS)
    )


def scan_products(root: Path, products: Sequence[str], split: str) -> Scan:
    """Find the images of several products, for ``'train'`` or ``'test'``.

    Returns:
        Images in the order of the products, then of kind and file name.
    """
    scan = Scan()
    for product in products:
        find = _scan_train if split == 'train' else _scan_test
        scan.add(find(root / product))
    return scan


def _scan_train(folder: Path) -> Scan:
    product, good = folder.name, folder / 'train' / GOOD
    images = image_files(good)
    errors = []
    if not images:
        found = 'no image in' if good.is_dir() else 'no folder'
        errors.append(
            f'the product {product!r} has {found} {good}: expected its good training '
            f'images ({", ".join(SUFFIXES)}); add them, or leave it out of the classes'
        )
    if strange := _not_learned(folder / 'train', images):
        errors.append(
            f'the product {product!r} has files that are not learned '
            f'({name_some(strange)}): expected images ({", ".join(SUFFIXES)}) '
            'directly in train/good and nothing else in train; move them'
        )
    return Scan([AnomalyImage(path, product) for path in images], errors)


def _not_learned(train: Path, learned: Sequence[Path]) -> list[str]:
    """Images beside or below ``train/good``, and pictures of another kind in it."""
    known = set(learned)
    found = [*image_files(train)]
    for folder in _folders(train):
        found += [
            path
            for path in sorted(folder.rglob('*'))
            if path not in known
            and path.suffix.lower() in (*SUFFIXES, *OTHER_PICTURES)
            and not path.name.startswith('.')
        ]
    return [str(path) for path in found]


def _scan_test(folder: Path) -> Scan:
    product, test, truth = folder.name, folder / 'test', folder / 'ground_truth'
    scan = Scan()
    kinds = sorted(path.name for path in _folders(test))
    outlined = truth.is_dir()
    for kind in kinds:
        images = image_files(test / kind)
        if kind == GOOD:
            scan.images += [AnomalyImage(path, product) for path in images]
            continue
        masks: dict[Path, list[Path]] = defaultdict(list)
        if outlined:
            masks, errors = _match_masks(images, truth / kind)
            scan.errors += errors
        scan.images += [
            AnomalyImage(path, product, kind, tuple(masks[path])) for path in images
        ]
    if loose := [str(path) for path in image_files(test)]:
        scan.errors.append(
            f'images directly in test ({name_some(loose)}): expected them in '
            'test/good or a folder of their defect kind; move them'
        )
    elif not scan.images:
        scan.untested.append(product)
    elif all(image.label for image in scan.images):
        scan.all_defective.append(product)
    if outlined:
        scan.errors += _stray_mask_errors(truth, kinds)
    elif any(image.label for image in scan.images):
        scan.image_level.append(product)
    return scan


def draw_images(
    images: Sequence[AnomalyImage], number: int, *, seed: int | str, root: Path
) -> list[AnomalyImage]:
    """Draw ``number`` images of one product, such as those that a replay memory keeps.

    Every image gets a random key from the seed and its own name relative to ``root``,
    and the smallest keys win: the draw is the same in whatever order files are listed
    and wherever they are, and a smaller one is part of a larger one. Returned in the
    order given.
    """

    def key(image: AnomalyImage) -> bytes:
        path = image.path
        name = path.relative_to(root) if path.is_relative_to(root) else path
        return hashlib.sha256(f'{seed}/{name.as_posix()}'.encode()).digest()

    drawn = set(sorted(images, key=key)[:number])
    return [image for image in images if image in drawn]


def untested_error(product: str, root: Path) -> str:
    """What is wrong with a product without test images, where it needs them."""
    return (
        f'the product {product!r} has no test image in {root / product / "test"}: '
        'expected test/good and one folder a defect kind; check the folder'
    )


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [p for p in folder.iterdir() if p.is_dir() and not p.name.startswith('.')]


def _match_masks(
    images: Sequence[Path], folder: Path
) -> tuple[dict[Path, list[Path]], list[str]]:
    """Give every image of a kind its masks, and every mask its image."""
    by_stem = {path.stem: path for path in images}
    masks: dict[Path, list[Path]] = defaultdict(list)
    strays, errors = [], []
    for path in image_files(folder):
        match = _MASK.fullmatch(path.stem)
        image = by_stem.get(path.stem) or by_stem.get(match['stem'] if match else '')
        if image is None:
            strays.append(str(path))
        else:
            masks[image].append(path)
    if len(by_stem) < len(images):
        twice = sorted({str(path) for path in images} - set(map(str, by_stem.values())))
        errors.append(
            f'images share a name with another one ({name_some(twice)}): expected one '
            'extension a name, or a mask belongs to both; rename one'
        )
    if bare := [path for path in images if path not in masks]:
        wanted = folder / f'{bare[0].stem}_mask.png'
        errors.append(
            f'defective images without a mask ({name_some(list(map(str, bare)))}): '
            f'expected {wanted} (or {bare[0].stem}.png) for the first; add them, or '
            'remove ground_truth for a product known by image only'
        )
    return masks, errors + _stray_error(strays)


def _stray_mask_errors(truth: Path, kinds: Sequence[str]) -> list[str]:
    """Masks of kinds that have no folder in ``test``, or of good images."""
    strays = [
        str(path)
        for folder in [truth, *sorted(_folders(truth))]
        if folder.name == GOOD or folder.name not in kinds
        for path in image_files(folder)
    ]
    return _stray_error(strays)


def _stray_error(strays: list[str]) -> list[str]:
    if not strays:
        return []
    return [
        f'masks without a defective image ({name_some(strays)}): expected '
        'test/crack/000.* for ground_truth/crack/000_mask.png; add the image or '
        'remove the mask'
    ]
