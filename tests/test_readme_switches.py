"""Every switch and class that the READMEs of the methods name is there.

Detectors first, anomaly models in the second half.
"""

from __future__ import annotations

import argparse
import re
import shlex
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config, DictAction
from mmengine.evaluator import Evaluator
from mmengine.registry import DATASETS, HOOKS, MODELS, DefaultScope

from mmdefect.apis import load_config
from mmdefect.engine.hooks import coreset
from mmdefect.engine.hooks.continual import (
    feature_statistics,
    projected_update,
    weight_anchor,
)
from mmdefect.models.anomaly import (
    conditioner,
    features,
    iuf,
    losses,
    transformer,
)
from mmdefect.models.anomaly import coreset as coreset_model
from mmdefect.models.anomaly.product_memory import bank as memory_bank
from mmdefect.models.anomaly.product_memory import model as memory_model
from mmdefect.models.anomaly.product_memory import recipe as memory_recipe
from mmdefect.models.detection import incremental_gfl, incremental_gfl_head
from mmdefect.models.detection.distill import terms
from mmdefect.pruning.sweep.settings import prune_settings
from mmdefect.streams.state import canonical
from mmdefect.streams.stream import resolve_step_config
from tests.helpers.configs import ANOMALY, ROOT, build_anomaly_model, loaded

CONFIGS = {
    'sd_idd': ROOT / 'configs/sd_idd/sd-idd_r18_fpn_toy_neu-det_3+3.py',
    'erd': ROOT / 'configs/erd/erd_r18_fpn_toy_neu-det_3+3.py',
}
RELEASE = ROOT / 'configs/sd_idd/sd-idd-release_r18_fpn_toy_neu-det_3+3.py'


def rows(method: str, title: str) -> list[list[str]]:
    """Cells of the table in a section, without its head."""
    text = (ROOT / f'configs/{method}/README.md').read_text(encoding='utf-8')
    section = text.split(f'## {title}\n')[1].split('\n## ')[0]
    lines = [line for line in section.splitlines() if line.startswith('| ')]
    return [line.strip('| ').split(' | ') for line in lines[2:]]


def switches(method: str) -> list[tuple[str, str]]:
    """Names and values in the first column of the table of switches."""
    cells = ' '.join(row[0] for row in rows(method, 'Switches'))
    return re.findall(r'`([\w.]+)=([^`]+)`', cells)


ALL = [(method, *switch) for method in CONFIGS for switch in switches(method)]


@lru_cache
def plain(path: Path, step: int) -> Config:
    """A step without options, of which a test changes nothing."""
    return resolve_step_config(load_config(path), step)


def step_1(path: Path, **options: object) -> Config:
    named = {f'method.model.distill.{name}': value for name, value in options.items()}
    return resolve_step_config(load_config(path, cfg_options=named), 1)


def distill_of(cfg: Config) -> torch.nn.Module:
    with DefaultScope.overwrite_default_scope('mmdet'), torch.device('meta'):
        return MODELS.build(cfg.model).distill


def test_smoke_something_is_tested() -> None:
    assert len(switches('sd_idd')) >= 10
    assert len(switches('erd')) >= 6


@pytest.mark.parametrize(('method', 'name', 'text'), ALL)
def test_feature_switch(method: str, name: str, text: str) -> None:
    """On the command line it reaches the term, or puts it in, or takes it out."""
    value = DictAction._parse_iterable(text)
    before = distill_of(plain(CONFIGS[method], 1))
    after = distill_of(step_1(CONFIGS[method], **{name: value}))
    if '.' in name:
        setting = name.split('.')[1]
        old, new = (
            [getattr(term, setting, None) for term in strategy.terms.values()]
            for strategy in (before, after)
        )
        assert new.count(value) == old.count(value) + 1
    elif name == 'per_images':
        assert (before.per_images, after.per_images) == (2, None)
    else:
        assert len(after.terms) == len(before.terms) + (1 if value else -1)


def test_feature_release() -> None:
    """What the table says gives the release is what the preset of it sets."""
    cells = (row[2] for row in rows('sd_idd', 'What the release does differently'))
    named = {name for cell in cells for name in re.findall(r'`([a-z_.]+)', cell)}
    ours, theirs = (plain(p, 1).model.distill for p in (CONFIGS['sd_idd'], RELEASE))
    assert named == changed(ours, theirs)


def changed(ours: dict, theirs: dict, prefix: str = '') -> set[str]:
    """Dotted names of what ``theirs`` sets otherwise."""
    names: set[str] = set()
    for key, value in theirs.items():
        if isinstance(value, dict):
            names |= changed(ours.get(key) or {}, value, f'{prefix}{key}.')
        if key not in ours or (ours[key] != value and not isinstance(value, dict)):
            names.add(f'{prefix}{key}')
    return names


@pytest.mark.parametrize('method', CONFIGS)
def test_feature_classes_of_the_paper_table(method: str) -> None:
    modules = (incremental_gfl, incremental_gfl_head, terms)
    table = rows(method, 'From the paper to the code')
    assert len(table) >= 4
    for row in table:
        (name,) = re.findall(r'^`(\w+)', row[2])
        assert any(hasattr(module, name) for module in modules), name


# ------------------------------------------------------------------ anomaly models

PRESETS = {
    'coreset': 'coreset/coreset_b4_visa_8-4',
    'iuf': 'iuf/iuf_b4_mvtec-ad_10-5',
    'memory': 'memory/memory_resnet50_mvtec-ad_1-1x14',
    'uniad': 'uniad/uniad_b4_mvtec-ad_10-5',
    **{
        name: f'anomaly_stream/{name}_b4_mvtec-ad_10-5'
        for name in ('ewc', 'si', 'mas', 'replay', 'finetune')
    },
}
# Where a switch is merged, and the steps that it changes.
PLACES = {'method.': [1], 'stream.base.': [0], 'stream.increment.': [1]}


def named(folder: str, title: str, column: int) -> list[tuple[str, str, str]]:
    """Preset, name and value of every switch in a column of a table."""
    found = []
    for row in rows(folder, title):
        preset = row[1].strip('`') if folder == 'anomaly_stream' else folder
        switches = re.findall(r'`([\w.]+)=([^`]+)`', row[column])
        found += [(preset, name, text) for name, text in switches]
    return found


ANOMALY_SWITCHES = [
    *(entry for folder in ANOMALY for entry in named(folder, 'Switches', 0)),
    *named('iuf', 'What the release does differently', 2),
]


def steps_with(preset: str, **options: Any) -> list[Config]:
    """Both steps of a stream of two, with options of the command line."""
    path = ROOT / f'configs/{PRESETS[preset]}.py'
    if not options:
        return [plain(path, step) for step in (0, 1)]
    cfg = load_config(path, cfg_options=options)
    return [resolve_step_config(cfg, step) for step in (0, 1)]


def at(cfg: Any, path: str) -> Any:
    """What stands at a dotted path, ``None`` for nothing."""
    for key in path.split('.'):
        if cfg is None:
            return None
        cfg = cfg[int(key)] if isinstance(cfg, list) else cfg.get(key)
    return cfg


def build_parts(cfg: Config) -> None:
    """All that a switch may reach, without data."""
    build_anomaly_model(cfg.model)
    with DefaultScope.overwrite_default_scope('mmdefect'):
        for split in ('train', 'test'):
            DATASETS.build(dict(cfg[f'{split}_dataloader'].dataset, lazy_init=True))
        Evaluator([dict(cfg.test_evaluator)])
        for hook in cfg.default_hooks.values():
            HOOKS.build(dict(hook))


def test_smoke_anomaly_switches() -> None:
    assert {preset for preset, _, _ in ANOMALY_SWITCHES} == set(PRESETS)
    assert len(ANOMALY_SWITCHES) >= 40


@pytest.mark.parametrize(('preset', 'name', 'text'), ANOMALY_SWITCHES)
def test_feature_anomaly_switch(preset: str, name: str, text: str) -> None:
    """On the command line it reaches a step, which builds and is not as before."""
    value = DictAction._parse_iterable(text)
    before, after = steps_with(preset), steps_with(preset, **{name: value})
    prefix = next((place for place in PLACES if name.startswith(place)), '')
    changed = False
    for step in PLACES.get(prefix, [0, 1]):
        build_parts(after[step])
        if name != 'method':
            assert at(after[step], name.removeprefix(prefix)) == value
        changed |= canonical(before[step]) != canonical(after[step])
    assert changed


def test_feature_without_a_method_it_is_fine_tuning() -> None:
    """`method=None` leaves nothing of the update strategy."""
    found, expected = steps_with('iuf', method=None), steps_with('finetune')
    assert [canonical(cfg) for cfg in found] == [canonical(cfg) for cfg in expected]


def test_feature_method_by_one_more_base(tmp_path: Path) -> None:
    """UniAD + EWC, as its README writes it."""
    text = (ROOT / 'configs/uniad/README.md').read_text(encoding='utf-8')
    (bases,) = re.findall(r"^_base_ = \['./(.+)', '../(.+)'\]$", text, re.MULTILINE)
    uniad, ewc = ROOT / 'configs/uniad' / bases[0], ROOT / 'configs' / bases[1]
    mine = tmp_path / 'mine.py'
    mine.write_text(f'_base_ = [{str(uniad)!r}, {str(ewc)!r}]\n', encoding='utf-8')
    cfg = resolve_step_config(load_config(mine), 1)
    assert cfg.default_hooks.penalty.method == 'ewc'
    assert cfg.model.conditioner is None
    build_parts(cfg)


@pytest.mark.parametrize('folder', ['coreset', 'iuf', 'memory', 'uniad'])
def test_feature_classes_of_the_anomaly_paper_table(folder: str) -> None:
    modules = (
        *(conditioner, coreset_model, features, iuf, losses, transformer),
        *(memory_bank, memory_model, memory_recipe),
        *(coreset, feature_statistics, projected_update, weight_anchor),
    )
    table = rows(folder, 'From the paper to the code')
    assert len(table) >= 4
    for row in table:
        (name,) = re.findall(r'^`(\w+)', row[2])
        assert any(hasattr(module, name) for module in modules), name


# ------------------------------------------------------------------------- pruning

PRUNED = ROOT / 'configs/ftl/mobilenet-v2_pruned_cracks.py'


@pytest.mark.parametrize(
    'line', [re.findall('`(.+?)`', row[0])[0] for row in rows('ftl', 'Switches')]
)
def test_feature_pruning_switch(line: str) -> None:
    """As it stands there, after the default config, it says something and is taken."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    given = parser.parse_args(['--cfg-options', *shlex.split(line)]).cfg_options
    before, after = loaded(PRUNED), load_config(PRUNED, cfg_options=given)
    assert canonical(before) != canonical(after)
    prune_settings(after.prune)
