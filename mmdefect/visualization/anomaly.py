"""Anomaly maps on images: colours, outlines, strips of panels.

Images are uint8 arrays of shape ``(H, W, 3)`` in BGR, in and out.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mmdefect.utils.checks import check_range

GAP = 4
# White with a dark rim: seen on every colour of the map.
LINE, RIM = (255, 255, 255), (40, 40, 40)


def _image_validation(image: np.ndarray) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(
            f'image.shape={image.shape}, image.dtype={image.dtype}: expected (height, '
            'width, 3) of uint8; read it in colour'
        )


def _plane_validation(name: str, plane: np.ndarray) -> None:
    if plane.ndim != 2 or not plane.size:
        raise ValueError(
            f'{name}.shape={plane.shape}: expected (height, width); take one out of '
            'the batch'
        )


def map_range(anomaly_map: np.ndarray) -> tuple[float, float]:
    """Smallest and largest finite value of a map.

    Returns:
        ``(low, high)``; ``(inf, -inf)``, which widens no other range, when no value is
        finite.
    """
    finite = anomaly_map[np.isfinite(anomaly_map)]
    if not finite.size:
        return float('inf'), float('-inf')
    return float(finite.min()), float(finite.max())


def heat_overlay(
    image: np.ndarray,
    anomaly_map: np.ndarray,
    *,
    low: float,
    high: float,
    alpha: float = 0.5,
) -> np.ndarray:
    """Lay an anomaly map in JET colours over its image.

    The map is resized bilinearly to the image, clipped to ``[low, high]`` and scaled so
    that ``low`` is blue and ``high`` red. With ``low`` equal to ``high`` there is no
    contrast to show: all is blue. NaN counts as ``low``.

    Args:
        image: ``(H, W, 3)``.
        anomaly_map: ``(h, w)``, any float type, any size.
        low: Value drawn blue.
        high: Value drawn red.
        alpha: Weight of the colours; the image has the rest.

    Returns:
        A new image of the same shape.

    Raises:
        ValueError: If a shape is wrong, ``low`` or ``high`` is not finite or ``low`` is
            above ``high``, or ``alpha`` is not in [0, 1].
    """
    _image_validation(image)
    _plane_validation('anomaly_map', anomaly_map)
    if not np.isfinite([low, high]).all() or low > high:
        raise ValueError(f'low={low}, high={high}: expected finite ones, low <= high')
    check_range('alpha', alpha, 0, 1)
    values = np.nan_to_num(
        anomaly_map.astype(np.float32), nan=low, posinf=high, neginf=low
    )
    height, width = image.shape[:2]
    values = cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR)
    # A constant map has no range to divide by.
    scaled = (np.clip(values, low, high) - low) / ((high - low) or 1.0)
    colours = cv2.applyColorMap(
        np.rint(255 * scaled).astype(np.uint8), cv2.COLORMAP_JET
    )
    return cv2.addWeighted(colours, alpha, image, 1 - alpha, 0)


def fit_mask(mask: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Resize a mask; a defect of a single pixel survives shrinking.

    Args:
        mask: ``(h, w)``, non-zero where the defect is.
        shape: Height and width to reach.

    Returns:
        Bool, of that shape.

    Raises:
        ValueError: If the mask is not two-dimensional.
    """
    _plane_validation('mask', mask)
    height, width = shape[:2]
    values = (mask > 0).astype(np.float32)
    if values.shape == (height, width):
        return values > 0
    shrinks = height < values.shape[0] or width < values.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST
    return cv2.resize(values, (width, height), interpolation=how) > 0


def outline(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Draw the border of a mask onto its image, white with a dark rim.

    Args:
        image: ``(H, W, 3)``.
        mask: ``(h, w)``, non-zero where the defect is, any size.

    Returns:
        A new image; a plain copy when the mask is empty.

    Raises:
        ValueError: If a shape is wrong.
    """
    _image_validation(image)
    inside = fit_mask(mask, image.shape).astype(np.uint8)
    found, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    drawn = image.copy()
    thick = max(1, round(max(image.shape[:2]) / 300))
    cv2.drawContours(drawn, found, -1, RIM, thick + 2)
    cv2.drawContours(drawn, found, -1, LINE, thick)
    return drawn


def compound_panels(
    image: np.ndarray,
    mask: np.ndarray | None,
    anomaly_map: np.ndarray,
    *,
    low: float,
    high: float,
    defective: bool | None = None,
) -> dict[str, np.ndarray]:
    """Return an image, its mask and its anomaly map as panels, by name.

    Args:
        image: ``(H, W, 3)``.
        mask: ``(h, w)``, non-zero where the defect is; ``None`` when unknown. Without
            a defect pixel it is left out.
        anomaly_map: ``(h, w)``, any size.
        low: Smallest value of the dataset's scale.
        high: Largest value of the dataset's scale.
        defective: Whether the image is; ``None`` asks the mask.

    Returns:
        ``image``; ``mask`` unless empty or unknown; ``dataset``, the overlay from
        ``low`` to ``high``; for defective images ``own``, the overlay with the map's
        own range and the mask's outline, which shows where the map peaks even when
        others peak higher. All have the image's shape.

    Raises:
        ValueError: If a shape or the scale is wrong, see :func:`heat_overlay`.
    """
    _image_validation(image)
    panels = {'image': image}
    outlined = mask is not None and bool(np.any(mask))
    if mask is not None and outlined:
        inside = fit_mask(mask, image.shape).astype(np.uint8)
        panels['mask'] = cv2.cvtColor(255 * inside, cv2.COLOR_GRAY2BGR)
    panels['dataset'] = heat_overlay(image, anomaly_map, low=low, high=high)
    if outlined if defective is None else defective:
        least, most = map_range(anomaly_map)
        if least > most:  # nothing finite
            least = most = 0.0
        own = heat_overlay(image, anomaly_map, low=least, high=most)
        panels['own'] = own if mask is None else outline(own, mask)
    return panels


def side_by_side(panels: Sequence[np.ndarray]) -> np.ndarray:
    """Join panels of one shape, :data:`GAP` white pixels between them."""
    gap = np.full((panels[0].shape[0], GAP, 3), 255, dtype=np.uint8)
    parts = [part for panel in panels for part in (gap, panel)]
    return np.concatenate(parts[1:], axis=1)


def captioned(picture: np.ndarray, text: str) -> np.ndarray:
    """Add a white line of text below a picture, which stays as it is."""
    height, width = picture.shape[:2]
    line = np.full((max(16, height // 14), width, 3), 255, dtype=np.uint8)
    font = cv2.FONT_HERSHEY_SIMPLEX
    (wide, _), _ = cv2.getTextSize(text, font, 1.0, 1)
    scale = min(len(line) / 34, 0.95 * width / wide)
    place = (2, len(line) - len(line) // 4)
    cv2.putText(line, text, place, font, scale, RIM, 1, cv2.LINE_AA)
    return np.vstack([picture, line])


def split_panels(strip: np.ndarray, count: int) -> list[np.ndarray]:
    """Cut what :func:`side_by_side` joined.

    Raises:
        ValueError: If the width does not fit that many panels.
    """
    width, rest = divmod(strip.shape[1] - (count - 1) * GAP, count)
    if rest or width < 1:
        raise ValueError(
            f'strip.shape={strip.shape}: expected {count} panels of one width with '
            f'{GAP} pixels between them'
        )
    starts = [k * (width + GAP) for k in range(count)]
    return [strip[:, start : start + width] for start in starts]
