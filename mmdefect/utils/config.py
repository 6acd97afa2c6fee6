"""What configs say: classes of datasets, the whole model, our dataset for mmdet's."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import DATASETS

from mmdefect.registry import HOST_SCOPE

# Ours takes the same arguments and more. Written in full by configs of Python imports.
_COCO = {
    f'{place}CocoDataset'
    for place in ('', 'mmdet.', 'mmdet.datasets.', 'mmdet.datasets.coco.')
}


def dataset_classes(dataset: Mapping[str, Any]) -> list[str]:
    """Return all classes of a dataset config: from ``metainfo``, else from its type.

    Raises:
        ValueError: Neither says which classes there are.
    """
    classes = (dataset.get('metainfo') or {}).get('classes')
    if classes is None:
        # A default scope changes what `build` finds, not what `get` finds.
        # Ours carry their prefix; asking mmdet's scope for them would import mmdet.
        own = str(dataset['type']).startswith('mmdefect.')
        scope = 'mmdefect' if own else HOST_SCOPE
        with DATASETS.switch_scope_and_registry(scope) as registry:
            cls = registry.get(dataset['type'])
        if cls is None:
            raise ValueError(
                f'dataset type {dataset["type"]!r} is not registered: expected a known '
                'name with its prefix (ours are written mmdefect.X); correct it'
            )
        classes = getattr(cls, 'METAINFO', {}).get('classes')
    if classes is None:
        raise ValueError(
            f'dataset {dataset["type"]!r} does not say its classes: expected '
            "metainfo=dict(classes=(...)) in it, or classes=[...] in 'stream'; add one"
        )
    return list(classes)


def innermost(dataset: ConfigDict) -> ConfigDict:
    """Step through wrappers such as RepeatDataset."""
    while 'dataset' in dataset:
        dataset = dataset.dataset
    return dataset


def every_innermost(dataset: ConfigDict) -> Iterator[ConfigDict]:
    """Step through wrappers, and into each part of a ConcatDataset."""
    dataset = innermost(dataset)
    if 'datasets' not in dataset:
        yield dataset
        return
    for part in dataset.datasets:
        yield from every_innermost(part)


def is_coco(dataset: Mapping[str, Any], scope: str | None) -> bool:
    """Whether a dataset config names mmdet's ``CocoDataset``, and no subclass of it.

    Args:
        scope: Where a name without a prefix is looked up.
    """
    kind = dataset['type']
    name = kind if isinstance(kind, str) else f'{kind.__module__}.{kind.__qualname__}'
    if '.' not in name and scope not in (HOST_SCOPE, 'mmdefect'):
        return False  # mmpose has one, too
    return name in _COCO


def use_our_dataset(dataset: ConfigDict) -> None:
    """Turn mmdet's ``CocoDataset`` into ``mmdefect.DefectDetDataset``.

    The classes stay: the user's, else those of COCO.
    """
    metainfo = dict(dataset.get('metainfo') or {})
    if metainfo.get('classes') is None:
        metainfo['classes'] = tuple(dataset_classes({'type': 'mmdet.CocoDataset'}))
    dataset.metainfo = metainfo
    dataset.type = 'mmdefect.DefectDetDataset'
    # As mmdet: a set as large as COCO is not decoded once more to check it.
    dataset.setdefault('verify_images', None)


def as_list(value: Any) -> list:
    """A config entry that may be one thing or a list of them."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def described_model(cfg: Config) -> ConfigDict:
    """Config of a model with the preprocessor that MMEngine's Runner would give it."""
    model: ConfigDict = copy.deepcopy(cfg.model)
    if cfg.get('data_preprocessor') is not None:
        model.setdefault('data_preprocessor', copy.deepcopy(cfg.data_preprocessor))
    return model
