"""From a photograph to what a network takes: the test pipeline of a config, in NumPy.

Every rule gives the same bits as the transforms and the preprocessor of OpenMMLab that
it stands for, so that a package and the model that it was made of see the same image.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from PIL import Image

from mmdefect.utils.checks import (
    brief,
    check_choice,
    check_number,
    check_range,
    check_type,
)

OPS = ('resize', 'resize_edge', 'center_crop', 'grey')
EDGES = ('short', 'long', 'width', 'height')
COLOURS = ('rgb', 'bgr')
_CV2 = {
    'nearest': cv2.INTER_NEAREST,
    'bilinear': cv2.INTER_LINEAR,
    'bicubic': cv2.INTER_CUBIC,
    'area': cv2.INTER_AREA,
    'lanczos': cv2.INTER_LANCZOS4,
}
_PILLOW = {
    'nearest': Image.Resampling.NEAREST,
    'bilinear': Image.Resampling.BILINEAR,
    'bicubic': Image.Resampling.BICUBIC,
    'box': Image.Resampling.BOX,
    'lanczos': Image.Resampling.LANCZOS,
    'hamming': Image.Resampling.HAMMING,
}
INTERPOLATIONS: dict[str, Mapping[str, Any]] = {'cv2': _CV2, 'pillow': _PILLOW}


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """An image as the network takes it.

    Attributes:
        pixels: ``(C, H, W)`` float32, normalised and padded.
        scale: By which width and height were multiplied.
        size: Width and height before padding.
    """

    pixels: np.ndarray
    scale: tuple[float, float]
    size: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """How an image becomes an input.

    Args:
        steps: What happens to its pixels, in order; each with its ``op``:
            ``resize`` (``size`` (width, height), ``keep_ratio``), ``resize_edge``
            (``scale``, ``edge``), both with ``backend`` and ``interpolation``;
            ``center_crop`` (``size``); ``grey``.
        colour: Order of the channels that the network takes.
        mean: To be subtracted, one a channel of the network; None for nothing.
        std: To be divided by.
        pad_divisor: Height and width are padded to a multiple of it, below and right.
        pad_value: With which value, after normalisation.
        size: Width and height that every image has in the network, None if it varies.
    """

    steps: tuple[Mapping[str, Any], ...] = ()
    colour: str = 'rgb'
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    pad_divisor: int = 1
    pad_value: float = 0.0
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        check_choice('input.colour', self.colour, COLOURS)
        check_number('input.pad_divisor', self.pad_divisor, 1, whole=True)
        check_number('input.pad_value', self.pad_value)
        if (self.mean is None) != (self.std is None):
            raise ValueError(
                f'input.mean={self.mean}, input.std={self.std}: expected both or none'
            )
        for step in self.steps:
            _check_step(step)
        self._check_channels('mean', self.mean)
        self._check_channels('std', self.std)
        for value in self.std or ():
            check_range('input.std', value, 0, open_low=True)
        if self.size is not None:
            _check_size('input.size', self.size)

    def _check_channels(self, name: str, values: Sequence[float] | None) -> None:
        for value in values or ():
            check_number(f'input.{name}', value)
        if values is not None and len(values) not in (1, self.channels):
            raise ValueError(
                f'input.{name}={values}: expected {self.channels}, one a channel'
            )

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> InputSpec:
        """What :meth:`to_dict` gave, e.g. read from JSON.

        Raises:
            ValueError: A key is unknown or a value is none that it can have.
        """
        try:
            made: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else value
                for key, value in given.items()
            }
            return cls(**made)
        except (TypeError, KeyError) as error:
            raise ValueError(
                f'input: expected what an export writes ({error}); export again'
            ) from None

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), 'steps': [dict(step) for step in self.steps]}

    @property
    def channels(self) -> int:
        """How many an input has."""
        return 1 if any(step['op'] == 'grey' for step in self.steps) else 3

    def prepare(self, image: np.ndarray) -> Prepared:
        """Prepare one image ``(H, W, 3)``, BGR, uint8.

        Raises:
            ValueError: It is something else, or comes out in another size than the
                network takes.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(
                f'an image of {image.dtype} and shape {image.shape}: expected uint8 '
                'and (height, width, 3) in BGR order'
            )
        if not image.size:
            raise ValueError(
                f'an image of shape {image.shape}: expected at least one pixel'
            )
        before = image.shape[:2]
        for step in self.steps:
            image = _STEPS[step['op']](image, step)
        height, width = image.shape[:2]
        padded = self._padded(self._normalised(image))
        found = padded.shape[2], padded.shape[1]
        if self.size is not None and found != tuple(self.size):
            raise ValueError(
                f'an image of {before[1]} x {before[0]} pixels comes out as '
                f'{found[0]} x {found[1]}: expected {self.size[0]} x {self.size[1]}, '
                'which is all that this graph takes; resize the image'
            )
        scale = width / before[1], height / before[0]
        return Prepared(pixels=padded, scale=scale, size=(width, height))

    def fixed_size(self) -> tuple[int, int] | None:
        """Width and height that the steps give to any image, None if it varies."""
        size: tuple[int, int] | None = None
        for step in self.steps:
            if step['op'] == 'resize':
                width, height = step['size']
                size = None if step['keep_ratio'] else (width, height)
            elif step['op'] == 'resize_edge':
                size = None if size is None else _edge_size(*size, step)
            elif step['op'] == 'center_crop':
                size = self._cropped(size, step)
        if size is None:
            return None
        return _up(size[0], self.pad_divisor), _up(size[1], self.pad_divisor)

    def _cropped(
        self, size: tuple[int, int] | None, step: Mapping[str, Any]
    ) -> tuple[int, int] | None:
        """A crop of an unknown size is smaller where the image is."""
        width, height = step['size']
        if size is not None:
            return min(width, size[0]), min(height, size[1])
        edges = [s for s in self.steps if s['op'] == 'resize_edge']
        sure = edges and edges[-1]['edge'] == 'short'
        enough = sure and edges[-1]['scale'] >= max(width, height)
        return (width, height) if enough else None

    def _normalised(self, image: np.ndarray) -> np.ndarray:
        if image.ndim == 2:
            image = image[..., None]
        elif self.colour == 'rgb':
            image = image[..., ::-1]
        planes = np.ascontiguousarray(image.transpose(2, 0, 1), np.float32)
        if self.mean is not None and self.std is not None:
            # In float32 and in this order, as torch does it.
            planes -= np.array(self.mean, np.float32).reshape(-1, 1, 1)
            planes /= np.array(self.std, np.float32).reshape(-1, 1, 1)
        return planes

    def _padded(self, planes: np.ndarray) -> np.ndarray:
        height, width = planes.shape[1:]
        below = _up(height, self.pad_divisor) - height
        right = _up(width, self.pad_divisor) - width
        if not below and not right:
            return planes
        around = ((0, 0), (0, below), (0, right))
        return np.pad(planes, around, constant_values=self.pad_value)


def _up(length: int, divisor: int) -> int:
    return math.ceil(length / divisor) * divisor


def _check_step(step: Mapping[str, Any]) -> None:
    check_choice('input.steps.op', step.get('op'), OPS)
    if step['op'] in ('resize', 'resize_edge'):
        check_choice('input.steps.backend', step['backend'], INTERPOLATIONS)
        known = INTERPOLATIONS[step['backend']]
        check_choice('input.steps.interpolation', step['interpolation'], known)
    if step['op'] == 'resize_edge':
        check_choice('input.steps.edge', step['edge'], EDGES)
        check_number('input.steps.scale', step['scale'], 1, whole=True)
    if step['op'] in ('resize', 'center_crop'):
        _check_size('input.steps.size', step['size'])
    if step['op'] == 'resize':
        kept = step['keep_ratio']
        check_type('input.steps.keep_ratio', kept, bool, expected='true or false')


def _check_size(name: str, size: Sequence[Any]) -> None:
    if len(size) != 2:
        raise ValueError(f'{name}={brief(size)}: expected width and height')
    for length in size:
        check_number(name, length, 1, whole=True)


def _to_size(
    image: np.ndarray, size: Sequence[int], step: Mapping[str, Any]
) -> np.ndarray:
    how = INTERPOLATIONS[step['backend']][step['interpolation']]
    width, height = size
    if width < 1 or height < 1:  # training fails on such an image as well
        raise ValueError(
            f'an image of {image.shape[1]} x {image.shape[0]} pixels comes out as '
            f'{width} x {height}: expected at least one pixel a side; cut it'
        )
    if step['backend'] == 'pillow':
        resized = Image.fromarray(image).resize((width, height), how)
        return np.array(resized)
    return cv2.resize(image, (width, height), interpolation=how)


def _resize(image: np.ndarray, step: Mapping[str, Any]) -> np.ndarray:
    if not step['keep_ratio']:
        return _to_size(image, step['size'], step)
    height, width = image.shape[:2]
    most = max(step['size']) / max(height, width)
    factor = min(most, min(step['size']) / min(height, width))
    # Rounded half up, as mmcv does.
    size = int(width * factor + 0.5), int(height * factor + 0.5)
    return _to_size(image, size, step)


def _edge_size(width: int, height: int, step: Mapping[str, Any]) -> tuple[int, int]:
    edge, scale = step['edge'], step['scale']
    by_width = (
        edge == 'width'
        or (edge == 'short' and width < height)
        or (edge == 'long' and width > height)
    )
    if by_width:
        return scale, int(scale * height / width)
    return int(scale * width / height), scale


def _resize_edge(image: np.ndarray, step: Mapping[str, Any]) -> np.ndarray:
    height, width = image.shape[:2]
    return _to_size(image, _edge_size(width, height, step), step)


def _center_crop(image: np.ndarray, step: Mapping[str, Any]) -> np.ndarray:
    height, width = image.shape[:2]
    wide, high = min(step['size'][0], width), min(step['size'][1], height)
    top, left = round((height - high) / 2), round((width - wide) / 2)
    return image[top : top + high, left : left + wide]


def _grey(image: np.ndarray, step: Mapping[str, Any]) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


_STEPS = {
    'resize': _resize,
    'resize_edge': _resize_edge,
    'center_crop': _center_crop,
    'grey': _grey,
}
