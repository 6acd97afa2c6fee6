"""A toy DeepPCB: binarised boards, six kinds of defects, on disk as the real set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator

from mmdefect.testing.textures import Box, boxes_touch, smooth_noise, write_picture
from mmdefect.utils.checks import check_range
from mmdefect.utils.files import write_text

GROUPS = ('00041', '12000', '13000')
PITCH = 26
"""Distance of neighbouring traces in pixels."""
MARGIN = 2
"""Boxes of the real set are a little loose; so are these, by this many pixels."""


@dataclass(frozen=True)
class Spot:
    """A place on the board that may get a defect.

    Args:
        x: Column of the defect, in pixels.
        y: Centre row of the trace.
        half: Half the width of the trace.
        gap: Free rows from the lower edge of the trace to the next trace.
    """

    x: int
    y: int
    half: int
    gap: int


def _blob(board: np.ndarray, centre: tuple[int, int], axes: tuple[int, int]) -> None:
    cv2.ellipse(board, centre, axes, 0, 0, 360, 1.0, -1)


def open_circuit(rng: Generator, board: np.ndarray, spot: Spot) -> None:
    """Cut the trace through, at a slant."""
    slant, width = int(rng.integers(-3, 4)), int(rng.integers(4, 7))
    top, bottom = spot.y - spot.half - 1, spot.y + spot.half + 1
    cv2.line(board, (spot.x - slant, top), (spot.x + slant, bottom), 0.0, width)


def short(rng: Generator, board: np.ndarray, spot: Spot) -> None:
    """Bridge the gap to the next trace."""
    start, stop = spot.y + spot.half - 1, spot.y + spot.half + spot.gap + 1
    bend = spot.x + int(rng.integers(-3, 4))
    points = np.array([[spot.x, start], [bend, (start + stop) // 2], [spot.x, stop]])
    cv2.polylines(board, [points.astype(np.int32)], False, 1.0, int(rng.integers(2, 5)))


def mousebite(rng: Generator, board: np.ndarray, spot: Spot) -> None:
    """Bite into the edge of the trace."""
    bite = np.zeros_like(board)
    _blob(bite, (spot.x, spot.y + spot.half + 1), (int(rng.integers(3, 6)), 4))
    board[bite > 0] = 0


def spur(rng: Generator, board: np.ndarray, spot: Spot) -> None:
    """Grow a thorn out of the edge of the trace."""
    length = min(int(rng.integers(5, 8)), spot.gap - 5)
    tip = (spot.x + int(rng.integers(-3, 4)), spot.y + spot.half + length)
    cv2.line(board, (spot.x, spot.y + spot.half - 1), tip, 1.0, int(rng.integers(3, 5)))


def copper(rng: Generator, board: np.ndarray, spot: Spot) -> None:
    """Leave a grain of copper between two traces."""
    centre = (spot.x, spot.y + spot.half + spot.gap // 2)
    _blob(board, centre, (int(rng.integers(2, 5)), int(rng.integers(2, 4))))


def pin_hole(rng: Generator, board: np.ndarray, spot: Spot) -> None:
    """Leave a hole inside the trace."""
    hole = np.zeros_like(board)
    _blob(hole, (spot.x, spot.y), (int(rng.integers(2, 4)), 2))
    board[hole > 0] = 0


KINDS: dict[str, Callable[[Generator, np.ndarray, Spot], None]] = {
    'open': open_circuit,
    'short': short,
    'mousebite': mousebite,
    'spur': spur,
    'copper': copper,
    'pin-hole': pin_hole,
}
"""Class name -> change of a board (1 copper, 0 none); order = type numbers from 1."""


def make_toy_deeppcb(
    root: str | Path,
    *,
    seed: int = 0,
    train: int = 120,
    test: int = 60,
    size: int = 192,
) -> Path:
    """Write ``PCBData`` with images, annotations, ``trainval.txt`` and ``test.txt``.

    Copper is dark on white, as in the real set. An image shows three to eight defects
    of mixed kinds, so nearly all images hold classes of both groups of 3+3.

    Args:
        root: Folder to write to, e.g. ``data/toy/DeepPCB``; it is returned.
        seed: Source of all randomness.
        train: Images in ``trainval.txt``.
        test: Images in ``test.txt``; at most 3000 in all.
        size: Height and width of the images in pixels, at least 128.
    """
    check_range('train', train, 1, 2999)
    check_range('test', test, 1, 3000 - train)
    check_range('size', size, 128)
    root = Path(root)
    lines = []
    for i in range(train + test):
        group, number = GROUPS[i % len(GROUPS)], i // len(GROUPS)
        board, defects = _board(np.random.default_rng([seed, i]), size)
        image = f'group{group}/{group}/{group}{number:03d}.jpg'
        text = f'group{group}/{group}_not/{group}{number:03d}.txt'
        # The lists leave out the `_test` that the file with defects carries.
        path = root / 'PCBData' / image.replace('.jpg', '_test.jpg')
        write_picture(path, board)
        types = {name: number for number, name in enumerate(KINDS, 1)}
        rows = [f'{" ".join(map(str, box))} {types[name]}' for name, box in defects]
        write_text(root / 'PCBData' / text, '\n'.join(rows))
        lines.append(f'{image} {text}')
    for name, part in (('trainval', lines[:train]), ('test', lines[train:])):
        (root / 'PCBData' / f'{name}.txt').write_text('\n'.join(part), encoding='utf-8')
    return root


def _board(rng: Generator, size: int) -> tuple[np.ndarray, list[tuple[str, Box]]]:
    board: np.ndarray = np.zeros((size, size), np.float32)
    spots, taken = _draw_traces(rng, board)
    kinds = list(KINDS)
    # Each kind once before any comes twice: boards mix kinds, as the real ones do.
    wanted = [kinds[i] for i in [*rng.permutation(6), *rng.permutation(6)]]
    wanted = wanted[: int(rng.integers(3, 9))]
    defects: list[tuple[str, Box]] = []
    for kind in wanted:
        for index in rng.permutation(len(spots)):
            changed = board.copy()
            KINDS[kind](rng, changed, spots[index])
            box = _loose_box(changed != board)
            if box and not any(boxes_touch(box, other, gap=3) for other in taken):
                board = changed
                taken.append(box)
                defects.append((kind, box))
                break
    if rng.random() < 0.5:
        board = np.ascontiguousarray(board.T)
        defects = [(kind, (y1, x1, y2, x2)) for kind, (x1, y1, x2, y2) in defects]
    edges = cv2.GaussianBlur(board, (0, 0), 0.7) + 0.12 * smooth_noise(
        rng, size, (1, 1)
    )
    return np.where(edges > 0.5, 0.0, 255.0), defects


def _draw_traces(rng: Generator, board: np.ndarray) -> tuple[list[Spot], list[Box]]:
    """Draw parallel traces with pads; return places for defects, and the pads."""
    size = board.shape[0]
    rows = np.arange(int(rng.integers(12, 20)), size - 10, PITCH)
    halves = rng.integers(4, 7, len(rows))
    pads: list[Box] = []
    for y, half in zip(rows.tolist(), halves.tolist(), strict=True):
        board[y - half : y + half + 1] = 1
        if rng.random() < 0.6:
            x, radius = int(rng.integers(12, size - 12)), half + 4
            if rng.random() < 0.5:
                _blob(board, (x, y), (radius, radius))
                cv2.circle(board, (x, y), 4, 0.0, -1)
            else:
                corner = (x + radius, y + radius)
                cv2.rectangle(board, (x - radius, y - radius), corner, 1.0, -1)
            pads.append((x - radius, y - radius, x + radius + 1, y + radius + 1))
    spots = [
        Spot(x=x, y=int(rows[i]), half=int(halves[i]), gap=int(gap))
        for i, gap in enumerate(np.diff(rows) - halves[1:] - halves[:-1] - 1)
        for x in range(12, size - 12, 4)
    ]
    return spots, pads


def _loose_box(changed: np.ndarray) -> Box | None:
    """Box of the changed pixels; None when a pad already was what was drawn."""
    if not changed.any():
        return None
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    height, width = changed.shape
    return (
        max(int(columns[0]) - MARGIN, 0),
        max(int(rows[0]) - MARGIN, 0),
        min(int(columns[-1]) + 1 + MARGIN, width),
        min(int(rows[-1]) + 1 + MARGIN, height),
    )
