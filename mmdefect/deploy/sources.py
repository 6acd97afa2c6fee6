"""Pictures one after the other, from wherever they come.

What is asked for is looked at at once, the pictures are not: files are decoded when it
is their turn. :mod:`mmdefect.deploy.ahead` decodes them beside inference.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np

from mmdefect.deploy.paths import VIDEO_SUFFIXES, image_paths, images_below
from mmdefect.utils.checks import visible
from mmdefect.utils.image_header import ImageError, header_of, read_bytes
from mmdefect.utils.images import decode, to_bgr, turn

Inputs: TypeAlias = Any
"""A path, a folder, a glob, a video (str or Path), an image (array), the index of a
camera (int), or an iterable of these."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """One picture, or why there is none.

    Attributes:
        source: Path of the image, ``video.mp4#12``, ``camera 0#12`` or ``array 3``.
        image: ``(H, W, 3)``, BGR, uint8.
        error: In one sentence.
        data: The content of its file, of which the picture was decoded; None of frames
            and arrays, and of a file that cannot be read at all.
    """

    source: str
    image: np.ndarray | None = None
    error: str | None = None
    data: bytes | None = field(default=None, repr=False)


def open_frames(inputs: Inputs, *, bits: int | None = None) -> Iterator[Frame]:
    """Pictures of an input, in order: folders sorted, with the folders in them.

    A picture that cannot be read is a frame with an ``error``, and so is what cannot be
    opened among several inputs. Names that begin with a dot are passed over.

    Args:
        inputs: See :data:`Inputs`. An iterable is consumed as frames are asked for.
        bits: How many of its 16 bits a 16-bit image uses; see
            :func:`mmdefect.utils.images.to_bgr`.

    Raises:
        FileNotFoundError: There is no such path, or nothing matches the glob.
        OSError: A folder or camera cannot be opened.
        TypeError: It is nothing that holds pictures.
        ValueError: A folder without images, a video without frames, an empty list, an
            array that is no image. All of this when called, not when iterated.
    """
    if isinstance(inputs, str | os.PathLike):
        return _open_path(Path(inputs), bits)
    if isinstance(inputs, np.ndarray):
        return iter([Frame(source='array 0', image=checked_image(inputs))])
    if isinstance(inputs, int | np.integer) and not isinstance(inputs, bool):
        return _open_camera(int(inputs))
    # A tensor would be taken for a list of its rows.
    other = isinstance(inputs, Mapping | bytes) or hasattr(inputs, '__array__')
    if other or not isinstance(inputs, Iterable):
        raise TypeError(
            f'inputs of type {type(inputs).__name__}: expected a path, an array, the '
            'index of a camera, or several of these; convert them'
        )
    if isinstance(inputs, Sequence) and not inputs:
        raise ValueError('inputs=[]: expected one picture at least; add some')
    return _each(inputs, bits)


def count_frames(inputs: Inputs) -> int | None:
    """How many frames there will be, if that can be told without reading them."""
    if isinstance(inputs, np.ndarray):
        return 1
    if isinstance(inputs, list | tuple):
        counts = [count_frames(item) for item in inputs]
        return None if None in counts else sum(filter(None, counts))
    if not isinstance(inputs, str | os.PathLike):
        return None
    path = Path(inputs)
    if path.is_dir():
        return sum(1 for _ in images_below(path))
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return None
    return 1 if path.is_file() else None


def read_image(path: str | Path, *, bits: int | None = None) -> np.ndarray:
    """Read an image file as viewers show it, its EXIF orientation heeded.

    Returns:
        Shape (H, W, 3), BGR, uint8.

    Raises:
        ValueError: Naming the file, if it cannot be accepted.
    """
    return image_of(content_of(path), path, bits=bits)


def content_of(path: str | Path) -> bytes:
    """Read an image file without decoding it.

    Raises:
        ValueError: Naming the file, if it is missing, empty or cannot be read.
    """
    try:
        return read_bytes(path)
    except ImageError as error:
        raise _unreadable(path, error.why) from None
    except (OSError, MemoryError) as error:
        raise _unreadable(path, str(error) or type(error).__name__) from None


def image_of(data: bytes, path: str | Path, *, bits: int | None = None) -> np.ndarray:
    """Decode the content of an image file; see :func:`read_image`.

    Args:
        path: Of the file, for messages.
    """
    try:
        header = header_of(data)
        pixels = to_bgr(decode(data, header), bits=bits)
    except ImageError as error:
        # The only cures that are named here are those of 12-bit cameras.
        line = '; for a line, to the datasets of training'
        more = f'give more bits (--bits 16{line})'
        less = f'give bits=12 (--bits 12{line}), or what your camera has'
        cure = (more if bits else less) if error.cure else None
        raise _unreadable(path, error.why, cure) from None
    except (OSError, MemoryError, cv2.error) as error:
        raise _unreadable(path, str(error) or type(error).__name__) from None
    return turn(pixels, header.orientation) if header.orientation > 1 else pixels


def _unreadable(path: str | Path, why: str, cure: str | None = None) -> ValueError:
    cure = cure or 'correct or restore the file'
    return ValueError(f'cannot read the image {visible(str(path))} ({why}): {cure}')


def checked_image(image: np.ndarray) -> np.ndarray:
    """Make an array ``(H, W, 3)``: grey gets three equal channels, alpha is dropped.

    Raises:
        ValueError: It is no image of uint8.
    """
    sound = image.ndim in (2, 3) and image.size and image.dtype == np.uint8
    with suppress(ImageError):
        if sound:
            return to_bgr(image)
    raise ValueError(
        f'an array of shape {image.shape} and {image.dtype}: expected (height, width, '
        '3) in BGR order, or (height, width), of uint8; convert it'
    )


def _open_path(path: Path, bits: int | None) -> Iterator[Frame]:
    if path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES:
        return _open_video(path)
    return iter_images(image_paths(path), bits)


def iter_images(paths: Iterable[Path], bits: int | None = None) -> Iterator[Frame]:
    """Read image files one by one."""
    return (_frame_of(path, bits) for path in paths)


def _frame_of(path: Path, bits: int | None) -> Frame:
    data = None
    try:
        data = content_of(path)
        image = image_of(data, path, bits=bits)
    except ValueError as error:
        return Frame(source=str(path), error=str(error), data=data)
    return Frame(source=str(path), image=image, data=data)


def _each(inputs: Iterable[Any], bits: int | None) -> Iterator[Frame]:
    for number, item in enumerate(inputs):
        array = isinstance(item, np.ndarray)
        source = f'array {number}' if array else str(item)
        try:
            if array:
                frames = iter([Frame(source=source, image=checked_image(item))])
            else:
                frames = open_frames(item, bits=bits)
        except (OSError, ValueError) as error:
            frames = iter([Frame(source=source, error=str(error))])
        yield from frames


def _open_video(path: Path) -> Iterator[Frame]:
    capture = cv2.VideoCapture(str(path))
    found, image = capture.read()
    if not found:
        capture.release()
        raise ValueError(
            f'{visible(str(path))} has no frames that can be read: expected a video '
            'that OpenCV decodes; convert it, or check that it is whole'
        )
    return _captured(capture, image, str(path))


def _open_camera(index: int) -> Iterator[Frame]:
    name = f'camera {index}'
    there = 0 <= index < 2**31  # OpenCV takes no other number
    capture = cv2.VideoCapture(index) if there else None
    found, image = (False, None) if capture is None else capture.read()
    if capture is None or not found:
        if capture is not None:
            capture.release()
        raise OSError(
            f'{name} does not open: expected one that is connected and that no other '
            'program uses; check it'
        )
    gone = f'{name} gives no more pictures: connect it again'
    return _captured(capture, image, name, at_end=gone)


def _captured(
    capture: cv2.VideoCapture,
    image: np.ndarray | None,
    name: str,
    *,
    at_end: str | None = None,
) -> Iterator[Frame]:
    number = 0
    try:
        while image is not None:
            yield Frame(source=f'{name}#{number}', image=checked_image(image))
            number += 1
            _, image = capture.read()
        if at_end:
            yield Frame(source=f'{name}#{number}', error=at_end)
    finally:
        capture.release()
