"""From the content of a file to a prediction; runs in a thread of its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mmdefect.deploy.decision import decide
from mmdefect.deploy.result import Prediction
from mmdefect.deploy.spec import ModelSpec
from mmdefect.deploy.tiling import TooManyTilesError
from mmdefect.serving.models import Model
from mmdefect.serving.reading import Asked, Upload
from mmdefect.serving.refusal import Refused, sentence_of
from mmdefect.serving.settings import ServerSettings
from mmdefect.utils.image_header import Header, ImageError, header_of
from mmdefect.utils.images import decode, to_bgr, turn


def spec_for(model: Model, asked: Asked) -> ModelSpec:
    """What a request decides by: the model's thresholds, or its own.

    Raises:
        Refused: It names a class or product that the model does not know.
    """
    spec = model.spec
    try:
        if asked.product is not None:
            spec.check_product(asked.product)
        if asked.threshold is not None:
            if model.recorder is not None:
                raise ValueError(
                    'threshold: expected none of the version of a line, whose exams '
                    'have seen its own; calibrate, export and promote what has others'
                )
            spec = spec.with_threshold(asked.threshold)
    except ValueError as error:
        raise Refused(422, 'request', sentence_of(error)) from error
    return spec


def look(
    model: Model,
    spec: ModelSpec,
    upload: Upload,
    *,
    product: str | None,
    settings: ServerSettings,
) -> Prediction:
    """Decode an image, look at it, decide.

    Returns:
        What was decided, with the picture.

    Raises:
        Refused: The image cannot be read.
        ValueError: The model says what cannot be decided on, such as NaN.
    """
    said = spec.about.get('bits')  # as the model was taught
    bits, of_line = settings.bits or said, model.recorder is not None
    image = read_image(upload, settings, bits=bits, of_line=of_line)
    height, width = image.shape[:2]
    try:
        output = model.look(image, product)
    except TooManyTilesError as error:
        raise Refused(422, 'image', f'{upload.name}: {error}') from error
    found = decide(
        output, spec, source=upload.name, size=(width, height), product=product
    )
    if found.error is not None:  # of the model: all images that are refused are above
        raise ValueError(found.error)
    return replace(found, image=image)


def read_image(
    upload: Upload, settings: ServerSettings, *, bits: int | None, of_line: bool
) -> np.ndarray:
    """Pixels as viewers show them; refused by its header before it is decoded.

    Args:
        upload: The file.
        settings: Its limits.
        bits: How many of its 16 bits a 16-bit image uses; None if nobody says.
        of_line: Whether a line's version looks at it.

    Returns:
        ``(H, W, 3)``, BGR, uint8.

    Raises:
        Refused: It is no image, damaged, or too large.
    """
    try:
        header = header_of(upload.data, limited=False) if upload.data else None
        if header is None:
            raise ImageError('zero bytes')
        _check_pixels(header, settings.max_pixels)
        pixels = to_bgr(decode(upload.data, header), bits=bits)
    except ImageError as error:
        # The only cures that are named there are those of 12-bit cameras.
        number = 16 if bits else 12
        cure = (
            f'train with bits={number} in the datasets, or what your camera has, and '
            'promote that'
            if of_line
            else f'start the server with --bits {number}, or what your camera has'
        )
        raise Refused(
            422,
            'image',
            f'cannot read the image {upload.name} ({error.why}): '
            f'{cure if error.cure else "send another"}',
        ) from error
    return turn(pixels, header.orientation)


def _check_pixels(header: Header, most: int) -> None:
    pixels = header.width * header.height
    if pixels > most:
        raise ImageError(
            f'{header.width}x{header.height} is {pixels} pixels, above the limit of '
            f'{most}, max_pixels of the server'
        )
