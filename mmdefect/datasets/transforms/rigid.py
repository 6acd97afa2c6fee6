"""Turn, shift and scale an image a little, in one warp."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmdefect.registry import TRANSFORMS
from mmdefect.utils.checks import check_choice, check_range

BORDERS = {
    'reflect': cv2.BORDER_REFLECT_101,
    'edge': cv2.BORDER_REPLICATE,
    'constant': cv2.BORDER_CONSTANT,
}
INTERPOLATIONS = {
    'nearest': cv2.INTER_NEAREST,
    'bilinear': cv2.INTER_LINEAR,
    'bicubic': cv2.INTER_CUBIC,
}


@TRANSFORMS.register_module()
class RandomRigid(BaseTransform):
    """Rotate, translate and scale at random, about the middle of the image.

    All three are one affine map and one pass over the uint8 pixels; five numbers are
    drawn from NumPy's global state in every call, so an image gets the same change
    whatever the other arguments are.

    Args:
        rotate: Largest angle in degrees, 0 to 180; 180 is any rotation.
        translate: Largest shift as a share of width and of height, 0 to below 1.
        scale: Smallest and largest factor, above 0.
        border: What comes in from outside: ``'reflect'``, ``'edge'`` (the last pixel
            repeated) or ``'constant'`` (black).
        interpolation: ``'nearest'``, ``'bilinear'`` or ``'bicubic'``.
        prob: How often the image is changed at all.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        *,
        rotate: float = 0.0,
        translate: float = 0.0,
        scale: tuple[float, float] = (1.0, 1.0),
        border: str = 'reflect',
        interpolation: str = 'bilinear',
        prob: float = 1.0,
    ) -> None:
        check_choice('border', border, list(BORDERS))
        check_choice('interpolation', interpolation, list(INTERPOLATIONS))
        check_range('rotate', rotate, 0, 180)
        check_range('translate', translate, 0, 1, open_high=True)
        check_range('prob', prob, 0, 1)
        if len(scale) != 2 or not 0 < scale[0] <= scale[1]:
            raise ValueError(f'scale={scale}: expected (smallest, largest), above 0')
        self.rotate = rotate
        self.translate = translate
        self.scale = (scale[0], scale[1])
        self.border = border
        self.interpolation = interpolation
        self.prob = prob

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change ``img``, uint8, shape (H, W) or (H, W, C); its shape stays.

        Raises:
            ValueError: If ``img`` has another type: floats belong behind the model's
                preprocessor.
        """
        image = results['img']
        if image.dtype != np.uint8:
            raise ValueError(
                f'RandomRigid got {image.dtype}: expected uint8; load without '
                'to_float32'
            )
        draws = np.random.random(5)
        if draws[0] < self.prob:
            height, width = image.shape[:2]
            results['img'] = cv2.warpAffine(
                image,
                self._matrix(draws[1:], width, height),
                (width, height),
                flags=INTERPOLATIONS[self.interpolation],
                borderMode=BORDERS[self.border],
            )
        return results

    def _matrix(self, draws: np.ndarray, width: int, height: int) -> np.ndarray:
        """The affine map of four numbers in [0, 1), shape (2, 3)."""
        middle = ((width - 1) / 2, (height - 1) / 2)
        angle = (2 * draws[0] - 1) * self.rotate
        low, high = self.scale
        factor = low + (high - low) * draws[1]
        matrix = cv2.getRotationMatrix2D(middle, angle, factor)
        matrix[:, 2] += (2 * draws[2:] - 1) * self.translate * (width, height)
        return matrix

    def __repr__(self) -> str:
        values = ', '.join(f'{key}={value!r}' for key, value in vars(self).items())
        return f'{type(self).__name__}({values})'
