"""From a config's test pipeline and preprocessor to what a package does to an image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mmdefect.apis.trained import dataset_of
from mmdefect.deploy.inputs import INTERPOLATIONS, InputSpec
from mmdefect.deploy.spec import Task

Step = dict[str, Any]
#: Of the results of a pipeline: nothing that they do reaches the pixels.
_LABELS = ('LoadAnnotations', 'LoadAnomalyMask', 'LoadIndexMask', 'LoadMask')
_PACKS = ('PackInputs', 'PackDetInputs', 'PackAnomalyInputs')
_LOADERS = ('LoadImageFromFile', 'LoadCachedImage', 'LoadAnomalyImage', 'LoadImage')


def input_spec(cfg: Any, model: Any, task: Task) -> InputSpec:
    """What happens to an image before a model sees it.

    Args:
        cfg: Config, whose test pipeline is read.
        model: The model, of which the preprocessor is read.
        task: Crops are for labels alone: boxes and maps would be displaced.

    Raises:
        ValueError: A transform, or a setting of one, has no counterpart in NumPy.
    """
    dataset = dataset_of(cfg) or {}
    steps: list[Step] = []
    for transform in dataset.get('pipeline') or []:
        steps += _translated(transform, task)
    spec = InputSpec(steps=tuple(steps), **_preprocessor(model.data_preprocessor))
    return replace(spec, size=spec.fixed_size())


def _translated(transform: Mapping[str, Any], task: Task) -> list[Step]:
    kind = transform['type']
    name = kind if isinstance(kind, str) else kind.__name__
    name = name.rpartition('.')[2]
    if name in _LABELS or name in _PACKS:
        return []
    translate = _TRANSLATIONS.get(name)
    if translate is None or (name in ('CenterCrop', 'ResizeEdge') and task != 'labels'):
        places = 'of labels ' if translate else ''
        raise ValueError(
            f'test_dataloader.dataset.pipeline: expected transforms {places}that an '
            f'export knows ({", ".join(_TRANSLATIONS)}), not {kind}; take it out, or '
            'predict with the checkpoint instead'
        )
    settings = {key: value for key, value in transform.items() if key != 'type'}
    return translate(name, settings)


def _refused(name: str, key: str, value: Any, expected: str) -> ValueError:
    return ValueError(
        f'test_dataloader.dataset.pipeline.{name}.{key}={value!r}: expected {expected} '
        'to export; change it, or predict with the checkpoint instead'
    )


def _load(name: str, settings: Mapping[str, Any]) -> list[Step]:
    if settings.get('to_float32'):
        raise _refused(name, 'to_float32', True, 'False')
    colour = settings.get('color_type', 'color')
    if colour == 'grayscale':
        return [{'op': 'grey'}]
    if colour != 'color':
        raise _refused(name, 'color_type', colour, "'color' or 'grayscale'")
    return []


def _how(name: str, settings: Mapping[str, Any]) -> Step:
    backend = settings.get('backend', 'cv2')
    interpolation = settings.get('interpolation', 'bilinear')
    if backend not in INTERPOLATIONS:
        raise _refused(name, 'backend', backend, ' or '.join(INTERPOLATIONS))
    if interpolation not in INTERPOLATIONS[backend]:
        known = ', '.join(INTERPOLATIONS[backend])
        raise _refused(name, 'interpolation', interpolation, f'one of {known}')
    return {'backend': backend, 'interpolation': interpolation}


def _resize(name: str, settings: Mapping[str, Any]) -> list[Step]:
    scale = settings.get('scale')
    if scale is None:
        factor = settings.get('scale_factor')
        raise _refused(name, 'scale_factor', factor, 'scale in its place')
    if len(size := _pair(scale)) != 2:
        raise _refused(name, 'scale', scale, 'width and height')
    keep_ratio = bool(settings.get('keep_ratio', False))
    how = _how(name, settings)
    return [{'op': 'resize', 'size': size, 'keep_ratio': keep_ratio, **how}]


def _resize_edge(name: str, settings: Mapping[str, Any]) -> list[Step]:
    scale, edge = settings['scale'], settings.get('edge', 'short')
    how = _how(name, settings)
    return [{'op': 'resize_edge', 'scale': int(scale), 'edge': edge, **how}]


def _center_crop(name: str, settings: Mapping[str, Any]) -> list[Step]:
    if settings.get('auto_pad'):
        raise _refused(name, 'auto_pad', True, 'False')
    return [{'op': 'center_crop', 'size': _pair(settings['crop_size'])}]


def _pair(value: Any) -> list[int]:
    both: Sequence[int] = (value, value) if isinstance(value, int) else value
    return [int(length) for length in both]


_TRANSLATIONS: dict[str, Callable[[str, Mapping[str, Any]], list[Step]]] = {
    **dict.fromkeys(_LOADERS, _load),
    'Resize': _resize,
    'ResizeEdge': _resize_edge,
    'CenterCrop': _center_crop,
}


def _preprocessor(made: Any) -> dict[str, Any]:
    """Colour order, mean, standard deviation and padding of a preprocessor."""
    kinds = {kind.__name__ for kind in type(made).__mro__}
    known = {'ImgDataPreprocessor', 'ClsDataPreprocessor', 'AnomalyDataPreprocessor'}
    if not kinds & known:
        raise ValueError(
            f'data_preprocessor.type={type(made).__name__!r}: expected one of '
            f'{", ".join(sorted(known))} to export; use one of them'
        )
    has_mean = getattr(made, 'mean', None) is not None
    swapped = getattr(made, '_channel_conversion', getattr(made, 'to_rgb', True))
    return {
        'colour': 'rgb' if swapped else 'bgr',
        'mean': tuple(made.mean.flatten().tolist()) if has_mean else None,
        'std': tuple(made.std.flatten().tolist()) if has_mean else None,
        'pad_divisor': int(getattr(made, 'pad_size_divisor', 1)),
        'pad_value': float(getattr(made, 'pad_value', 0)),
    }
