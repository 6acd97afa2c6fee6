"""How images are normalised, as weights were made for it and as a model does it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

# What weights may see otherwise without being another network: a factor of their
# contrast, and a shift of their brightness in deviations. Statistics of one's own
# images lie within it (those of grey castings do), other scales far outside.
MOST_CONTRAST = 1.5
MOST_SHIFT = 1.0
_NUMBERS = ('mean', 'std')


class Normalisation(NamedTuple):
    """What is done to an image before the first layer.

    Attributes:
        mean: Of each channel, in grey levels, in the order of ``rgb``.
        std: Of each channel.
        rgb: Whether the channels are red, green, blue; else they are as OpenCV reads
            them.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    rgb: bool

    def __str__(self) -> str:
        means, deviations = (
            ', '.join(f'{value:.4g}' for value in values)
            for values in (self.mean, self.std)
        )
        order = 'RGB' if self.rgb else 'BGR'
        return f'{order} images of mean ({means}) and deviation ({deviations})'


IMAGENET = Normalisation((123.675, 116.28, 103.53), (58.395, 57.12, 57.375), True)
# Of Caffe and Keras.
CAFFE = Normalisation((103.939, 116.779, 123.68), (1.0, 1.0, 1.0), False)


def normalisation_of(model: Any) -> Normalisation | None:
    """Return what a model's ``data_preprocessor`` does; ``None`` if it does nothing."""
    made = getattr(model, 'data_preprocessor', None)
    # Ours for anomalies normalises always.
    if not getattr(made, '_enable_normalize', hasattr(made, 'normalise')):
        return None
    swaps = getattr(made, '_channel_conversion', getattr(made, 'to_rgb', True))
    mean, std = (tuple(getattr(made, name).flatten().tolist()) for name in _NUMBERS)
    return Normalisation(mean, std, bool(swaps))


def written_normalisation(
    meta: Mapping[str, Any], path: str | Path
) -> Normalisation | None:
    """Return what a converter wrote into the ``meta`` of a file, ``None`` if nothing.

    Raises:
        ValueError: It is something else.
    """
    given = meta.get('normalisation')
    if given is None:
        return None
    try:
        mean, std = (tuple(map(float, given[name])) for name in _NUMBERS)
        if len(mean) != len(std) or min(std) <= 0:
            raise ValueError('positive deviations')
        return Normalisation(mean, std, bool(given['rgb']))
    except (TypeError, ValueError, KeyError):
        raise ValueError(
            f"{path} has meta['normalisation']={given!r:.80}: expected mean, std and "
            'rgb; make the file anew with tools/model_converters'
        ) from None


def see_alike(weights: Normalisation, model: Normalisation) -> bool:
    """Whether weights see, in a model, images much as those that they were made with.

    The order of the channels is the same, and the contrast and brightness of every
    channel differ by no more than :data:`MOST_CONTRAST` and :data:`MOST_SHIFT`.
    """
    channels = len(weights.mean)
    mean, std = (
        values * channels if len(values) == 1 else values for values in model[:2]
    )
    if weights.rgb is not model.rgb or len(mean) != channels:
        return False
    contrast = [ours / theirs for ours, theirs in zip(weights.std, std, strict=True)]
    shift = [
        abs(ours - theirs) / deviation
        for ours, theirs, deviation in zip(weights.mean, mean, weights.std, strict=True)
    ]
    low, high = min(contrast), max(contrast)
    return 1 / MOST_CONTRAST <= low <= high <= MOST_CONTRAST and (
        max(shift) <= MOST_SHIFT
    )
