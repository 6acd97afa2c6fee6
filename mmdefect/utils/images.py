"""Image files, read one way by checks, converters, training and test.

A file is accepted by its header (:mod:`mmdefect.utils.image_header`). Decoding keeps
the pixels as they are stored; :func:`read_bgr` turns them if the annotation lies on the
picture that viewers show, and scales them to eight bits.
"""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mmdefect.utils.image_header import (
    FORMATS,
    Header,
    ImageError,
    header_of,
    own_limit,
    read_bytes,
)

EXIF = ('stored', 'turned')
"""What an EXIF orientation leaves open: stored pixels, or what viewers show."""

_UNDO = {6: 8, 8: 6}  # all other orientations undo themselves


def decode(
    data: bytes, header: Header, *, flag: int = cv2.IMREAD_UNCHANGED
) -> np.ndarray:
    """Pixels as they are stored, channels in BGR order, the orientation ignored.

    Args:
        flag: OpenCV's, for an ordinary file; as stored by default.

    Returns:
        Shape (H, W) or (H, W, C), uint8 or uint16.

    Raises:
        ImageError: If the content is damaged, or of another depth.
    """
    # The end mark is in no other place behind the start of the pixels; some builds of
    # OpenCV fill what is missing with grey.
    cut = header.kind == 'JPEG' and data.rfind(b'\xff\xd9') < data.find(b'\xff\xda')
    try:
        found = None if cut else cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error:
        found = None
    if found is None:
        raise ImageError('truncated or damaged')
    if found.dtype not in (np.uint8, np.uint16):
        raise ImageError(f'{found.dtype} values: save it with 8 or 16 bits')
    if header.kind == 'TIFF':  # turned by OpenCV, whatever its flags say
        found = turn(found, _UNDO.get(header.orientation, header.orientation))
    if found.shape[:2] != (header.height, header.width):
        raise ImageError('truncated or damaged')
    return found


def turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn stored pixels of shape (H, W, ...) as an EXIF orientation (1 to 8) says."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def is_turned(
    header: Header, size: tuple[int, int] | None, exif: str | None = None
) -> bool:
    """Whether the turned picture is meant, by the size that is annotated.

    Args:
        header: Of the image.
        size: Width and height that the annotation (or the mask) has; None if nobody
            says.
        exif: ``'stored'`` or ``'turned'`` if the user says which.

    Raises:
        ImageError: If the size is neither, or fits both and ``exif`` does not say.
    """
    if exif is None and header.orientation > 1:
        fits = [header.size(turned=turned) == size for turned in (False, True)]
        if size is None or all(fits):
            raise ImageError(
                f'EXIF orientation {header.orientation}, and its size does not say '
                'whether stored or turned pixels are annotated',
                cure="give exif='stored' or 'turned'",
            )
        turned = fits[1]
    else:
        turned = exif == 'turned'
    found = header.size(turned=turned)
    if size is not None and found != size:
        how = ''
        if header.orientation > 1:
            how = f' {exif or "stored"} (EXIF orientation {header.orientation})'
        raise ImageError(f'{found[0]}x{found[1]}{how}, annotated {size[0]}x{size[1]}')
    return turned


def read_bgr(
    path: str | Path,
    *,
    data: bytes | None = None,
    size: tuple[int, int] | None = None,
    exif: str | None = None,
    bits: int | None = None,
) -> np.ndarray:
    """Read an image as models take it.

    Args:
        data: Its content, if it is read already.
        size: Width and height that are annotated; None to compare nothing.

    Returns:
        Shape (H, W, 3), BGR, uint8, contiguous.

    Raises:
        ValueError: Naming the file, if it cannot be accepted.
    """
    try:
        data = read_bytes(path) if data is None else data
        header = header_of(data)
        is_turned(header, size, exif)  # refuses another size before it is decoded
        return as_annotated(
            header, decode(data, header), size=size, exif=exif, bits=bits
        )
    except ImageError as error:
        raise ValueError(
            f'cannot load the image {path} ({error.why}): '
            f'{error.cure or "correct or restore the file"}; a dataset that verifies '
            'its files finds all of them at its start'
        ) from None


def as_annotated(
    header: Header,
    pixels: np.ndarray,
    *,
    size: tuple[int, int] | None = None,
    exif: str | None = None,
    bits: int | None = None,
) -> np.ndarray:
    """Turn and scale decoded pixels as models take them; see :func:`read_bgr`.

    Raises:
        ImageError: In a few words, if they are not what is annotated.
    """
    turned = is_turned(header, size, exif)
    pixels = to_bgr(pixels, bits=bits)
    return turn(pixels, header.orientation) if turned else pixels


def to_bgr(image: np.ndarray, *, bits: int | None = None) -> np.ndarray:
    """Make any decoded image uint8 with three channels.

    Args:
        image: Shape (H, W) or (H, W, C), C 1, 3 or 4; uint8 or uint16. Grey becomes
            three equal channels, an alpha channel is dropped.
        bits: How many of its 16 bits a uint16 image uses, 8 to 16: 0 to
            ``2**bits - 1`` becomes 0 to 255, rounded. None if nobody says: 16 then, but
            an image that stays below 4096 is refused, as it would become black.

    Returns:
        Shape (H, W, 3), uint8.

    Raises:
        ImageError: If the image has another depth, number of channels, or larger values
            than ``bits`` can hold.
    """
    channels = 1 if image.ndim == 2 else image.shape[2]
    if image.dtype not in (np.uint8, np.uint16) or channels not in (1, 3, 4):
        raise ImageError(
            f'{channels} channels of {image.dtype}: expected 1, 3 or 4 of 8 or 16 bits'
        )
    if image.dtype == np.uint16:
        image = _eight_bits(image if channels < 4 else image[..., :3], bits)
    if channels == 1:
        return cv2.merge([image.reshape(image.shape[:2])] * 3)
    return np.ascontiguousarray(image[..., :3])


def _eight_bits(image: np.ndarray, bits: int | None) -> np.ndarray:
    top = int(image.max(initial=0))
    if bits is None and 0 < top < 4096:
        raise ImageError(
            f'16 bits of which values up to {top} are used',
            cure='give bits=12 (or what your camera has) to the datasets of training '
            'and test, or bits=16',
        )
    largest = 2 ** (bits or 16) - 1
    if top > largest:
        raise ImageError(
            f'values up to {top}, and bits={bits} ends at {largest}',
            cure='give more bits to the datasets of training and test',
        )
    scaled = image.astype(np.uint32)
    scaled *= 255
    scaled += largest // 2
    scaled //= largest
    return scaled.astype(np.uint8)


def read_mask(path: str | Path) -> tuple[np.ndarray, Header]:
    """Values of a mask file as they are stored; a palette's indices are its values.

    Returns:
        Shape (H, W) or (H, W, C) in BGR order, uint8 or uint16; and the header.

    Raises:
        ValueError: Naming the file, if it cannot be accepted.
    """
    try:
        return mask_of(read_bytes(path))
    except ImageError as error:
        raise ValueError(
            f'cannot read the mask {path} ({error}): correct or restore the file'
        ) from None


def mask_of(data: bytes) -> tuple[np.ndarray, Header]:
    """Values of a mask's content; see :func:`read_mask`.

    Raises:
        ImageError: In a few words.
    """
    header = header_of(data)
    if header.mode not in ('1', 'P'):
        return decode(data, header), header
    if (header.mode, header.kind) == ('1', 'BMP'):  # of bytes: bits to Pillow 13
        black = decode(data, header).reshape(header.height, header.width, -1) == 0
        return 1 - black[..., 0].astype(np.uint8), header
    try:
        with own_limit(), Image.open(io.BytesIO(data), formats=FORMATS) as image:
            pixels = np.asarray(image).astype(np.uint8)
    except Exception as error:  # whatever a decoder raises on damaged content
        raise ImageError(f'truncated or damaged: {error}') from error
    if header.kind == 'TIFF':
        pixels = turn(pixels, _UNDO.get(header.orientation, header.orientation))
    return pixels, header


def read_palette(path: str | Path) -> np.ndarray:
    """Colours of a mask of mode ``'P'`` that :func:`read_mask` accepted.

    Returns:
        Shape (256, 3), RGB, uint8: one row an index, black where the file has none.
    """
    with own_limit(), Image.open(path, formats=FORMATS) as image:
        image.load()
        colours = np.array(image.getpalette('RGB') or [], np.uint8).reshape(-1, 3)
    return np.pad(colours, ((0, 256 - len(colours)), (0, 0)))


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write a PNG without loss, creating its folder.

    Raises:
        OSError: If the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), pixels):
        raise OSError(f'cannot write {path}: check that its folder is writable')
