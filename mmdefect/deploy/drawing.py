"""A result as a picture: boxes, heat map, and the decision above it. OpenCV alone."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

import cv2
import numpy as np

from mmdefect.deploy.formats import Shape, shapes_of, summary
from mmdefect.deploy.spec import BOX_THRESHOLD
from mmdefect.utils.checks import visible
from mmdefect.visualization.anomaly import heat_overlay, map_range, outline

if TYPE_CHECKING:
    from mmdefect.deploy.result import Prediction

#: Longer side, in pixels, up to which a picture is enlarged.
SMALL = 600
Colour = tuple[int, int, int]
INK: Colour = (30, 30, 30)
DECISIONS: dict[str, Colour] = {
    'ok': (90, 170, 60),
    'defective': (60, 60, 220),
    'unknown product': (60, 160, 240),
    'undecided': (150, 150, 150),
}
# BGR; bright enough for grey metal, apart for colour-blind readers (Paul Tol, 'bright'
# and 'light').
COLOURS: tuple[Colour, ...] = (
    (238, 204, 102),
    (102, 136, 255),
    (68, 187, 204),
    (153, 221, 68),
    (204, 136, 238),
    (255, 255, 255),
    (68, 170, 255),
    (255, 170, 170),
)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
# Height of a capital letter in pixels at scale 1.
_LETTER = 22


def draw(prediction: Prediction, image: np.ndarray) -> np.ndarray:
    """A picture of the result.

    Args:
        prediction: Of that image.
        image: ``(H, W, 3)``, BGR, uint8.

    Returns:
        ``(h, w, 3)``, BGR, uint8: a line of text on top, the image below it. Small
        images are enlarged by a whole factor, so that text can be read.

    Raises:
        ValueError: The image has another size than the one that was looked at.
    """
    height, width = image.shape[:2]
    if prediction.error is None and (width, height) != tuple(prediction.size):
        raise ValueError(
            f'image of {width}x{height} pixels: expected the {prediction.size[0]}x'
            f'{prediction.size[1]} of {visible(prediction.source)}; give that one'
        )
    factor = max(1, SMALL // max(height, width))
    if factor > 1:
        size = (factor * width, factor * height)
        drawn = cv2.resize(image, size, interpolation=cv2.INTER_NEAREST)
    else:
        drawn = image.copy()
    if prediction.anomaly_map is not None:
        drawn = _with_map(prediction, drawn)
    _draw_boxes(drawn, _shown(prediction), factor)
    return np.vstack([_banner(prediction, drawn.shape[1], _letters(drawn)), drawn])


def _letters(image: np.ndarray) -> float:
    """Height of a capital letter, in pixels."""
    return max(9.0, max(image.shape[:2]) / 55)


def _with_map(prediction: Prediction, image: np.ndarray) -> np.ndarray:
    anomaly_map = np.asarray(prediction.anomaly_map)
    low, high = map_range(anomaly_map)
    if low > high:  # nothing finite
        low = high = 0.0
    threshold = prediction.threshold
    if threshold is None:
        return heat_overlay(image, anomaly_map, low=low, high=high)
    # The threshold is in the middle of the colours: a good part is no red one.
    low = min(low, threshold)
    high = max(high, 2 * threshold - low)
    drawn = heat_overlay(image, anomaly_map, low=low, high=high)
    return outline(drawn, anomaly_map >= threshold)


def _shown(prediction: Prediction) -> list[Shape]:
    """Boxes that are drawn: defects; without thresholds those that are likely."""
    if prediction.task != 'boxes':
        return []
    if np.isnan(prediction.thresholds).any():
        every = shapes_of(prediction, everything=True)
        return [shape for shape in every if shape.score >= BOX_THRESHOLD]
    return shapes_of(prediction)


def _draw_boxes(image: np.ndarray, shapes: list[Shape], factor: int) -> None:
    letters = _letters(image)
    thick = max(1, round(letters / 6))
    taken: list[tuple[int, int, int, int]] = []
    corners = [[round(factor * value) for value in shape.box] for shape in shapes]
    # Worst first, so that the best lies on top.
    for (x1, y1, x2, y2), shape in reversed([*zip(corners, shapes, strict=True)]):
        cv2.rectangle(image, (x1, y1), (x2, y2), INK, thick + 2)
        cv2.rectangle(image, (x1, y1), (x2, y2), colour_of(shape.label), thick)
    for (x1, y1, _, y2), shape in zip(corners, shapes, strict=True):
        text = f'{shape.name} {100 * shape.score:.0f}'
        _draw_label(image, text, (x1, y1, y2), colour_of(shape.label), letters, taken)


def colour_of(label: int) -> Colour:
    """Colour of a class, BGR; they repeat."""
    return COLOURS[label % len(COLOURS)]


def _draw_label(
    image: np.ndarray,
    text: str,
    box: tuple[int, int, int],
    colour: Colour,
    letters: float,
    taken: list[tuple[int, int, int, int]],
) -> None:
    """Write above a box, or below or in it where there is room and no other text."""
    x1, y1, y2 = box
    text, scale, wide = fitted(text, letters, image.shape[1])
    pad = max(2, round(letters / 4))
    wide, high = wide + 2 * pad, round(letters) + 2 * pad
    left = min(max(x1, 0), image.shape[1] - wide)
    tops = [top for top in (y1 - high, y2, y1) if 0 <= top <= image.shape[0] - high]
    tops = tops or [max(0, min(y1, image.shape[0] - high))]
    place = next(
        (top for top in tops if not _meets((left, top, wide, high), taken)), tops[0]
    )
    taken.append((left, place, wide, high))
    corner = (left + wide - 1, place + high - 1)
    cv2.rectangle(image, (left, place), corner, colour, cv2.FILLED)
    write(image, text, (left + pad, place + high - pad), scale)


def _meets(
    one: tuple[int, int, int, int], others: list[tuple[int, int, int, int]]
) -> bool:
    x, y, wide, high = one
    return any(
        x < left + w and left < x + wide and y < top + h and top < y + high
        for left, top, w, h in others
    )


def _banner(prediction: Prediction, width: int, letters: float) -> np.ndarray:
    """A line above the picture that says what was decided, in its colour."""
    text = prediction.error or summary(prediction)
    colour = DECISIONS[prediction.decision]
    high = round(2.2 * letters)
    banner = np.full((high, width, 3), colour, np.uint8)
    text, scale, _ = fitted(text, letters, width)
    write(banner, text, (round(letters / 2), round(high - 0.6 * letters)), scale)
    return banner


def fitted(text: str, letters: float, width: int) -> tuple[str, float, int]:
    """Text that OpenCV can write into a width, its scale and its width in pixels.

    It is made smaller down to two thirds, then cut.

    Args:
        letters: Height of a capital letter in pixels.
        width: Of the place, in pixels.
    """
    text = plain_letters(text)
    room = 0.96 * width - letters
    scale = letters / _LETTER
    wide = _width(text, scale)
    if wide > room:
        scale *= max(2 / 3, room / wide)
    cut = len(text)
    while cut > 1 and _width(text, scale) > room:
        cut -= 1
        text = f'{text[:cut].rstrip(".")}..'
    return text, scale, _width(text, scale)


def _width(text: str, scale: float) -> int:
    (wide, _), _ = cv2.getTextSize(text, _FONT, scale, _thickness(scale))
    return int(wide)


def _thickness(scale: float) -> int:
    return max(1, round(2 * scale))


def write(image: np.ndarray, text: str, place: tuple[int, int], scale: float) -> None:
    """Write dark letters; ``place`` is the lower left corner."""
    cv2.putText(image, text, place, _FONT, scale, INK, _thickness(scale), cv2.LINE_AA)


def plain_letters(text: str) -> str:
    """Letters that OpenCV's font has: accents are left out, others become ``?``."""
    apart = unicodedata.normalize('NFKD', text.replace('ß', 'ss'))
    kept = ''.join(char for char in apart if not unicodedata.combining(char))
    return kept.encode('ascii', 'replace').decode()
