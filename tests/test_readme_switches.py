"""Every switch and class that the READMEs of the methods name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config, DictAction
from mmengine.registry import MODELS, DefaultScope

from mmdefect.apis import load_config
from mmdefect.models.detection import incremental_gfl, incremental_gfl_head
from mmdefect.models.detection.distill import terms
from mmdefect.streams.resolve import resolve_step_config

ROOT = Path(__file__).parents[1]
CONFIGS = {
    'sd_idd': ROOT / 'configs/sd_idd/sd-idd_r18_fpn_toy_neu-det_3+3.py',
    'erd': ROOT / 'configs/erd/erd_r18_fpn_toy_neu-det_3+3.py',
}
RELEASE = ROOT / 'configs/sd_idd/sd-idd-release_r18_fpn_toy_neu-det_3+3.py'


def rows(method: str, title: str) -> list[list[str]]:
    """Cells of the table in a section, without its head."""
    text = (ROOT / f'configs/{method}/README.md').read_text()
    section = text.split(f'## {title}\n')[1].split('\n## ')[0]
    lines = [line for line in section.splitlines() if line.startswith('| ')]
    return [line.strip('| ').split(' | ') for line in lines[2:]]


def switches(method: str) -> list[tuple[str, str]]:
    """Names and values in the first column of the table of switches."""
    cells = ' '.join(row[0] for row in rows(method, 'Switches'))
    return re.findall(r'`([\w.]+)=([^`]+)`', cells)


ALL = [(method, *switch) for method in CONFIGS for switch in switches(method)]


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
    before = distill_of(step_1(CONFIGS[method]))
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
    ours, theirs = (step_1(p).model.distill for p in (CONFIGS['sd_idd'], RELEASE))
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
