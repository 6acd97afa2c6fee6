"""Which classes a dataset config has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import ConfigDict
from mmengine.registry import DATASETS

from mmdefect.registry import HOST_SCOPE


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
                f'dataset type {dataset["type"]!r} is not registered: check the name '
                'and its prefix (ours are written mmdefect.X)'
            )
        classes = getattr(cls, 'METAINFO', {}).get('classes')
    if classes is None:
        raise ValueError(
            f'dataset {dataset["type"]!r} does not say its classes: add '
            "metainfo=dict(classes=(...)) to the dataset or classes=[...] to 'stream'"
        )
    return list(classes)


def innermost(dataset: ConfigDict) -> ConfigDict:
    """Step through wrappers such as RepeatDataset."""
    while 'dataset' in dataset:
        dataset = dataset.dataset
    return dataset


def as_list(value: Any) -> list:
    """A config entry that may be one thing or a list of them."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]
