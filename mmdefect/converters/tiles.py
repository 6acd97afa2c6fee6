"""Cut the images of a COCO set into tiles, with the boxes that are seen in each."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from mmdefect.converters.coco import Report, check_coco
from mmdefect.datasets.boxes.coco_file import (
    boxes_in_frame,
    clip_box,
    has_area,
    normalise_coco,
    save_json,
)
from mmdefect.deploy.tile_boxes import Tile
from mmdefect.deploy.tiling import Tiling
from mmdefect.utils.checks import check_range, name_some, repeated
from mmdefect.utils.files import new_folder
from mmdefect.utils.images import read_bgr, write_png

IMAGES = 'images'
Progress = Callable[[Sequence[Any]], Iterable[Any]]


@dataclass(frozen=True, kw_only=True)
class TileRule:
    """What is cut, and what of it is kept.

    Args:
        tiling: How an image is cut.
        min_visible: Share of a box that a tile has to show to learn from it.
        drop: Whether boxes below are left out; they become ``iscrowd`` otherwise, which
            means: not learned, and detections on them are not counted.
        keep_empty: Share of the tiles without any box that are kept.
        val_share: Share of the images whose tiles are for validation.
        seed: Of what is drawn: empty tiles, images for validation.

    Raises:
        ValueError: If a share is outside of [0, 1], or ``min_visible`` is 0.
    """

    tiling: Tiling
    min_visible: float = 0.5
    drop: bool = False
    keep_empty: float = 0.1
    val_share: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_range('min_visible', self.min_visible, 0, 1, open_low=True)
        check_range('keep_empty', self.keep_empty, 0, 1)
        check_range('val_share', self.val_share, 0, 1, open_high=True)


@dataclass
class Counts:
    """What became of tiles and boxes; ``notes`` says it.

    Args:
        tiles: Kept ones.
        empty: Tiles without a box that were left out.
        only_cut: Tiles that show nothing but cut-off boxes, which were left out.
        boxes: Seen boxes that are kept; one may be in several tiles.
        cut: Boxes that a tile shows too little of.
        slivers: Boxes of which a tile shows less than a pixel, always left out.
        unseen: Boxes that no tile shows enough of.
    """

    tiles: int = 0
    empty: int = 0
    only_cut: int = 0
    boxes: int = 0
    cut: int = 0
    slivers: int = 0
    unseen: list[str] = field(default_factory=list)

    def notes(self, rule: TileRule) -> list[str]:
        """One sentence each."""
        fate = 'left out' if rule.drop else 'marked iscrowd'
        found = [
            f'{self.empty} tiles without a box were left out '
            f'(--keep-empty {rule.keep_empty:g})',
            f'{self.cut} boxes of which a tile shows less than {rule.min_visible:g} '
            f'were {fate}, {self.slivers} of less than a pixel left out',
            f'{self.only_cut} tiles that show nothing but such boxes were left out',
        ]
        if self.unseen:
            found.append(
                f'no tile shows {rule.min_visible:g} of some boxes, which nothing is '
                f'learned from ({name_some(self.unseen)}): larger tiles, or more '
                'overlap, would'
            )
        return found


def cut_into_tiles(
    coco: Mapping[str, Any],
    root: Path,
    out: Path,
    *,
    rule: TileRule,
    name: str = 'tiles',
    exif: str | None = None,
    bits: int | None = None,
    progress: Progress = iter,
) -> dict[str, Report]:
    """Write tiles as PNG files and their annotations.

    ::

        out/images/<folder>/<stem>_<suffix>_x800_y1600.png
        out/<name>.json, or out/train.json and out/val.json with a val_share

    All tiles of an image are in the same file. Entries of images say where they come
    from, in ``source`` and ``tile`` (x, y, width, height). Outlines are not cut: only
    boxes are written.

    Args:
        coco: As :func:`~mmdefect.datasets.boxes.coco_file.read_coco` returns it.
        root: Folder the file names are relative to.
        out: New or empty folder; nothing is there after an error.
        rule: What is cut and kept.
        name: Of the file without ``val_share``.
        exif: See :func:`mmdefect.utils.images.is_turned`.
        bits: See :func:`mmdefect.utils.images.to_bgr`; tiles have eight.
        progress: Steps through the images, and may show it.

    Returns:
        Name of the file -> its verification summary.

    Raises:
        FileExistsError: If ``out`` holds anything.
        ValueError: If an image cannot be read or is not what is annotated, nothing is
            left of a file, or too few images are there for ``val_share``.
    """
    # The summary of each file names what of its own images was put right.
    annotations, _ = boxes_in_frame(coco)
    boxes: dict[int, list[dict[str, Any]]] = {i['id']: [] for i in coco['images']}
    for annotation in annotations:
        boxes[annotation['image_id']].append(annotation)
    _refuse_one_name(coco['images'])
    reports: dict[str, Report] = {}
    with new_folder(out) as part:
        for split, images in _splits(coco['images'], rule, name).items():
            counts = Counts()
            entries: list[dict[str, Any]] = []
            shown: list[dict[str, Any]] = []
            for image in progress(images):
                tiles = list(_kept(image, boxes[image['id']], rule, counts))
                if tiles:
                    size = (image['width'], image['height'])
                    path = root / image['file_name']
                    pixels = read_bgr(path, size=size, exif=exif, bits=bits)
                for tile, seen in tiles:
                    entry = _entry(image, tile, number=len(entries) + 1)
                    x1, y1, x2, y2 = tile
                    write_png(part / entry['file_name'], pixels[y1:y2, x1:x2])
                    entries.append(entry)
                    shown += [{**box, 'image_id': entry['id']} for box in seen]
            found = _coco(coco, entries, shown)
            reports[split] = _checked(found, part, split, counts, rule)
            save_json(found, part / f'{split}.json')
    return reports


def _kept(
    image: Mapping[str, Any],
    boxes: Sequence[Mapping[str, Any]],
    rule: TileRule,
    counts: Counts,
) -> Iterator[tuple[Tile, list[dict[str, Any]]]]:
    """Tiles of an image that are kept, with the boxes in them."""
    learned: Counter[int] = Counter()
    for tile in rule.tiling.tiles(image['width'], image['height']):
        seen = []
        cut = 0
        for box in boxes:
            part, share = _visible(box, tile)
            if part is None:
                counts.slivers += share > 0
                continue
            whole = share >= rule.min_visible or bool(box['iscrowd'])
            learned[box['id']] += whole
            cut += not whole
            if whole or not rule.drop:
                seen.append(part if whole else {**part, 'iscrowd': 1})
        counts.cut += cut
        real = sum(not box['iscrowd'] for box in seen)
        counts.boxes += real
        if not real and (cut or seen):
            counts.only_cut += 1
        elif not real and not _drawn(image, tile, rule):
            counts.empty += 1
        else:
            counts.tiles += 1
            yield tile, seen
    counts.unseen += [
        f'{image["file_name"]} {box["bbox"]}' for box in boxes if not learned[box['id']]
    ]


def _visible(
    box: Mapping[str, Any], tile: Tile
) -> tuple[dict[str, Any] | None, float]:
    """What a tile shows of a box, in pixels of the tile, and the share of its area."""
    x, y, w, h = box['bbox']
    left, top, right, bottom = tile
    inside = clip_box(
        (x - left, y - top, x + w - left, y + h - top),
        width=right - left,
        height=bottom - top,
    )
    x1, y1, x2, y2 = inside
    share = max(x2 - x1, 0) * max(y2 - y1, 0) / (w * h)
    if not has_area(inside):
        return None, share
    # An outline is not cut, and would be of the whole image.
    kept = {key: value for key, value in box.items() if key != 'segmentation'}
    kept |= {'bbox': [x1, y1, x2 - x1, y2 - y1], 'area': (x2 - x1) * (y2 - y1)}
    return kept, share


def _drawn(image: Mapping[str, Any], tile: Tile, rule: TileRule) -> bool:
    """Whether an empty tile is kept: by its name, so that no other one changes it."""
    text = f'{rule.seed} {image["file_name"]} {tile}'.encode()
    number = int.from_bytes(hashlib.sha256(text).digest()[:8], 'big')
    return number < rule.keep_empty * 2**64


def _splits(
    images: Sequence[Mapping[str, Any]], rule: TileRule, name: str
) -> dict[str, list[Mapping[str, Any]]]:
    """Images of each file; those for validation are drawn."""
    if not rule.val_share:
        return {name: list(images)}
    number = max(1, round(rule.val_share * len(images)))
    if number >= len(images):
        raise ValueError(
            f'val_share={rule.val_share:g} of {len(images)} images: expected some to be '
            'left for training; give more images, or a smaller share'
        )
    order = np.random.default_rng(rule.seed).permutation(len(images))
    chosen = set(order[:number].tolist())
    return {
        'train': [image for k, image in enumerate(images) if k not in chosen],
        'val': [image for k, image in enumerate(images) if k in chosen],
    }


def _stem(file_name: str) -> PurePosixPath:
    path = PurePosixPath(file_name)
    return path.with_name(f'{path.stem}_{path.suffix[1:]}')


def _refuse_one_name(images: Iterable[Mapping[str, Any]]) -> None:
    """Tiles of two images must not overwrite each other, on no file system."""
    names = [_stem(image['file_name']).as_posix().lower() for image in images]
    if twice := repeated(names):
        raise ValueError(
            f'images have names that differ by case alone ({name_some(twice)}): '
            'expected names whose tiles can stand beside each other; rename them'
        )


def _entry(image: Mapping[str, Any], tile: Tile, *, number: int) -> dict[str, Any]:
    x1, y1, x2, y2 = tile
    stem = _stem(image['file_name'])
    path = PurePosixPath(IMAGES) / stem.with_name(f'{stem.name}_x{x1}_y{y1}.png')
    return {
        'id': number,
        'file_name': path.as_posix(),
        'width': x2 - x1,
        'height': y2 - y1,
        'source': image['file_name'],
        'tile': [x1, y1, x2 - x1, y2 - y1],
    }


def _coco(
    coco: Mapping[str, Any], images: list[dict[str, Any]], boxes: list[dict[str, Any]]
) -> dict[str, Any]:
    numbered = [{**box, 'id': number} for number, box in enumerate(boxes, 1)]
    return {
        'info': coco.get('info') or {'description': 'tiles', 'version': '1.0'},
        'licenses': coco.get('licenses') or [],
        'categories': coco['categories'],
        'images': images,
        'annotations': numbered,
    }


def _checked(
    coco: dict[str, Any], part: Path, split: str, counts: Counts, rule: TileRule
) -> Report:
    """The summary of a file as its readers will see it."""
    if not coco['images']:
        raise ValueError(
            f'{split}.json would hold no tile: expected images with boxes, or '
            'keep_empty above 0; give others, or raise it'
        )
    report = check_coco(normalise_coco(coco, split), title=split, root=part)
    report.notes += counts.notes(rule)
    return report
