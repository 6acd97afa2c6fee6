"""What the names of configs promise: one thing differs; metafiles and READMEs agree."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.helpers.configs import (
    ANOMALY,
    DETECTION,
    FOLDERS,
    ROOT,
    configs_in,
    loaded,
    metafile,
    named,
    resolved,
    steps_of,
    without,
)

# What a field of the name may change, a key with all below it. Epochs and batches of a
# protocol are its paper's.
LENGTH = ('train_cfg.max_epochs', 'train_dataloader.batch_size')
CHANGES = {
    'method': {'method'},
    'method=joint': {f'stream.{key}' for key in ('train_on', 'init', 'steps')}
    | {'stream.increment'},
    'method=uniad': {
        'model.conditioner',
        'model.compression',
        'model.transformer.neighbours',
    },
    **{
        f'method=keep-{n}': {'method', 'stream.memory'}
        for n in ('1mb', 10, 30, 'drawn')
    },
    'protocol': {'stream.protocol', 'stream.steps'}
    | {f'stream.{part}.{key}' for part in ('base', 'increment') for key in LENGTH},
    # Which of its terms need as many new classes as old ones.
    'protocol of sd-idd-release': {'method.model.distill.released_classes'},
    # Where the images are, and what depends on their size.
    'dataset': {
        *('dataset_type', 'data_root', 'train_pipeline', 'test_pipeline'),
        *(f'{s}_dataloader.dataset' for s in ('train', 'val', 'test')),
        *('val_evaluator.ann_file', 'test_evaluator.ann_file', 'param_scheduler'),
        *('model.neck', 'model.bbox_head.anchor_generator', 'train_cfg.max_epochs'),
        'model.data_preprocessor.pad_size_divisor',
        *(f'stream.{part}.train_dataloader' for part in ('base', 'increment')),
    },
}
# Another model, whose other presets are only compared with each other.
MEMORIES = ('memory', 'memory-gaussian', 'memory-subspace')
ALONE = ('coreset', *MEMORIES)


class Name(NamedTuple):
    """Fields of the name of a stream."""

    method: str
    size: str
    dataset: str
    protocol: str


def fields(path: Path) -> Name:
    method, *size, dataset, protocol = path.stem.split('_')
    return Name(method, '_'.join(size), dataset, protocol)


STREAMS = {
    fields(path): path
    for path in configs_in(DETECTION + ANOMALY)
    if not path.parent.name.startswith('gfl') or path.parent.name == 'gfl_stream'
}


def changed(one: Any, other: Any, key: str = '') -> set[str]:
    """Keys whose values differ; of what one lacks, all below it."""
    if not (isinstance(one, dict) or isinstance(other, dict)):
        return set() if one == other else {key}
    one, other = ({} if part is None else part for part in (one, other))
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return {key}
    return {
        found
        for name in one.keys() | other.keys()
        for found in changed(one.get(name), other.get(name), f'{key}.{name}'.strip('.'))
    }


@lru_cache
def plain(path: Path) -> dict[str, Any]:
    """What a config says, but for the folder that its file gives it."""
    return without(loaded(path).to_dict(), {'work_dir'})


def not_allowed(keys: Iterable[str], allowed: Iterable[str]) -> list[str]:
    prefixes = tuple(allowed)
    return sorted(
        key
        for key in keys
        if not any(f'{key}.'.startswith(f'{prefix}.') for prefix in prefixes)
    )


def parent_of(name: Name, field: str) -> Name | None:
    """The preset that a name differs from in one field, the plain one where it can."""
    if field == 'method':
        parent = name._replace(method='finetune')
        return None if name.method in ALONE or parent == name else parent
    others = [
        other
        for other in STREAMS
        if other._replace(**{field: getattr(name, field)}) == name
    ]
    return min(others) if min(others) != name else None


@pytest.mark.parametrize(
    'method', sorted({name.method for name in STREAMS} - {*MEMORIES})
)
def test_feature_a_preset_differs_where_its_name_says(method: str) -> None:
    compared = 0
    for name, path in STREAMS.items():
        for field in ('method', 'protocol', 'dataset'):
            parent = parent_of(name, field)
            if name.method != method or not parent:
                continue
            allowed = CHANGES.get(f'{field}={method}', CHANGES[field])
            allowed = allowed | CHANGES.get(f'{field} of {method}', set())
            keys = changed(plain(STREAMS[parent]), plain(path))
            with named(path):
                assert keys, f'is what {STREAMS[parent].stem} is'
                assert not not_allowed(keys, allowed), f'beside {STREAMS[parent].stem}'
            compared += 1
    assert compared >= 3


def test_feature_changes_are_seen() -> None:
    one = {'a': {'b': 1, 'c': [1]}, 'd': 2}
    assert changed(one, {'a': {'b': 1, 'c': [2]}}) == {'a.c', 'd'}
    assert not_allowed({'a.c', 'ab'}, ['a']) == ['ab']


each_folder = pytest.mark.parametrize('folder', FOLDERS, ids=lambda f: f.name)


@each_folder
def test_feature_readme_and_folder_agree(folder: Path) -> None:
    """A preset is linked in its README; a model of a metafile is a preset of it."""
    files = sorted(path.name for path in folder.glob('*.py'))
    readme = (folder / 'README.md').read_text(encoding='utf-8')
    assert sorted(re.findall(r'\]\(([^)/]+\.py)\)', readme)) == files
    meta = metafile(folder)
    (collection,) = meta['Collections']
    assert (ROOT / collection['README']) == folder / 'README.md'
    for model in meta['Models']:
        assert model['Results']
        assert model['In Collection'] == collection['Name']
        path = ROOT / model['Config']
        assert (path.parent, path.stem) == (folder, model['Name'])
        epochs = [resolved(path, s).train_cfg.max_epochs for s in steps_of(path)]
        assert str(model['Metadata']['Epochs']) == ' + '.join(map(str, epochs))


def test_feature_names_are_unique() -> None:
    names = [path.stem for folder in FOLDERS for path in folder.glob('*.py')]
    assert len(set(names)) == len(names)
    collections = [
        entry['Name'] for folder in FOLDERS for entry in metafile(folder)['Collections']
    ]
    assert len(set(collections)) == len(collections)
