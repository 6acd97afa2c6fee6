"""The tables say where every class is, and asking for one imports nothing else.

Slow are processes that have imported nothing.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from mmengine.registry import DefaultScope

import mmdefect
from mmdefect import registry
from mmdefect.registry import LazyRegistry
from tests.conftest import tool_env

PACKAGE = Path(mmdefect.__file__).parent
# Registry and name of every type that a release or a commit before has registered.
NAMES = Path(__file__).with_name('fixtures') / 'registered_names.txt'
REGISTRIES = {
    name: value
    for name, value in vars(registry).items()
    if isinstance(value, LazyRegistry)
}
ROWS = [
    (registry_name, name, module)
    for registry_name, value in REGISTRIES.items()
    for name, module in value.modules.items()
]


def registered_in_source() -> set[tuple[str, str, str]]:
    """All ``@REGISTRY.register_module()`` below mmdefect/, read without importing."""
    found = set()
    for path in PACKAGE.rglob('*.py'):
        if '.mim' in path.parts:
            continue
        module = '.'.join(path.relative_to(PACKAGE.parent).with_suffix('').parts)
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if not isinstance(node, ast.ClassDef | ast.FunctionDef):
                continue
            for decorator in node.decorator_list:
                text = ast.unparse(decorator)
                if '.register_module(' in text:
                    found.add((text.partition('.')[0], node.name, module))
    return found


def run(code: str) -> str:
    """Run code in a process of its own and return the last line that it prints."""
    done = subprocess.run(
        [sys.executable, '-c', code],
        env=tool_env(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()[-1]  # mmpretrain greets first


def test_smoke_rows() -> None:
    for registry_name, name, module in ROWS:
        found = REGISTRIES[registry_name].get(name)
        assert found is getattr(import_module(module), name), name
        assert REGISTRIES[registry_name].get(f'mmdefect.{name}') is found, name


def test_feature_names_of_before_are_found() -> None:
    """Configs, checkpoints and work dirs of others hold them: none may go."""
    lines = NAMES.read_text(encoding='utf-8').splitlines()
    assert len(lines) >= 79
    for registry_name, name in map(str.split, lines):
        found = REGISTRIES[registry_name].get(f'mmdefect.{name}')
        assert getattr(found, '__name__', None) == name, f'{registry_name}: {name}'


def test_feature_tables_hold_every_class() -> None:
    """A class without a row would be found only by those who import its module."""
    assert registered_in_source() == set(ROWS)


def test_feature_registered_is_what_the_tables_say() -> None:
    for _, _, module in ROWS:
        import_module(module)
    for registry_name, value in REGISTRIES.items():
        ours = {
            key
            for key, found in value.module_dict.items()
            if found.__module__.startswith('mmdefect.')
        }
        assert ours == set(value.modules), registry_name


def test_feature_children_of_mmengines() -> None:
    from mmengine import registry as roots

    for registry_name, value in REGISTRIES.items():
        assert value.parent is getattr(roots, registry_name)
        assert value.scope == 'mmdefect'


def test_feature_unknown_name() -> None:
    assert registry.HOOKS.get('NoSuchHook') is None
    # What MMEngine has is still found, through the parent.
    assert registry.HOOKS.get('CheckpointHook').__module__.startswith('mmengine.')


def test_feature_own_scope_falls_back_on_mmdet() -> None:
    """Only there: a prefix of ours names nothing of mmdet's elsewhere."""
    assert registry.MODELS.get('GFL') is None
    with DefaultScope.overwrite_default_scope('mmdefect'):
        assert registry.MODELS.get('GFL').__module__.startswith('mmdet.')
        assert registry.MODELS.get('GFLHead').__module__.startswith('mmdefect.')
        assert registry.MODELS.get('NoSuchModel') is None


def test_feature_in_a_classifier_it_falls_back_on_mmpretrain() -> None:
    """Both have a ResNet; which is meant, the default scope says."""
    own = DefaultScope.overwrite_default_scope
    with own('mmpretrain'), own('mmdefect'):
        assert registry.MODELS.get('ImageClassifier').__module__.startswith(
            'mmpretrain.'
        )
        assert registry.MODELS.get('ResNet').__module__.startswith('mmpretrain.')
        assert registry.MODELS.get('LunaNet').__module__.startswith('mmdefect.')
    with own('mmdet'), own('mmdefect'):
        assert registry.MODELS.get('ResNet').__module__.startswith('mmdet.')


def test_feature_without_a_default_scope_the_asking_registry_says() -> None:
    """mmpretrain's inferencers set none; names of both hosts and of mmcv, too."""
    from mmdet import registry as detection
    from mmpretrain import registry as classification

    def modules(host: Any, *kinds: str) -> set[str]:
        made = [
            host.TRANSFORMS.build(dict(type=kind, _scope_='mmdefect')) for kind in kinds
        ]
        return {type(one).__module__.partition('.')[0] for one in made}

    assert modules(classification, 'PackInputs', 'Equalize', 'AutoContrast') == {
        'mmpretrain'
    }
    assert modules(detection, 'PackDetInputs', 'Equalize', 'LoadAnnotations') == {
        'mmdet'
    }


def test_feature_where_nothing_says_a_name_of_either_host_is_found() -> None:
    with DefaultScope.overwrite_default_scope('mmdefect'):
        found = [registry.TRANSFORMS.get(f'Pack{kind}Inputs') for kind in ('', 'Det')]
        assert [one.__module__.partition('.')[0] for one in found] == [
            'mmpretrain',
            'mmdet',
        ]
        assert registry.MODELS.get('ResNet').__module__.startswith('mmdet.')


@pytest.mark.slow
def test_feature_one_name_imports_no_host() -> None:
    """With only mmengine imported: the prefix finds this package by itself."""
    code = (
        'import sys, mmengine\n'
        'from mmengine.registry import HOOKS, OPTIM_WRAPPERS\n'
        "assert 'mmdefect' not in sys.modules\n"
        "hook = HOOKS.build(dict(type='mmdefect.EpochSeedHook', step=1))\n"
        "assert OPTIM_WRAPPERS.get('mmdefect.CPUAmpOptimWrapper') is not None\n"
        "heavy = {'mmdet', 'mmcv', 'mmpretrain'} & set(sys.modules)\n"
        'print(type(hook).__module__, sorted(heavy))'
    )
    assert run(code) == 'mmdefect.engine.hooks.epoch_seed []'


@pytest.mark.slow
def test_feature_prefix_from_the_root_registries() -> None:
    """A classifier's pipeline, which needs no mmdet, then every row."""
    code = (
        'import sys, mmdefect\n'
        'import mmengine.registry as roots\n'
        'from mmpretrain.registry import TRANSFORMS\n'
        "made = TRANSFORMS.build(dict(type='PackInputs', _scope_='mmdefect'))\n"
        "assert type(made).__module__ == 'mmpretrain.datasets.transforms.formatting'\n"
        "assert 'mmdet' not in sys.modules\n"
        f'for registry, name, module in {ROWS!r}:\n'
        "    found = getattr(roots, registry).get('mmdefect.' + name)\n"
        '    assert found.__module__ == module, (registry, name, found)\n'
        "print('all found')"
    )
    assert run(code) == 'all found'
