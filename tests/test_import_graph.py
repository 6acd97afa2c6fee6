"""Who may import whom, read from the sources without importing any of them."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# From the ground up. A room imports rooms of lower floors, none beside or above it.
FLOORS = [
    {'compat', 'functional', 'mmcv_ext_standin', 'structures', 'version'},
    {'registry'},
    {'utils'},
    {'datasets', 'visualization'},
    {'deploy'},
    {'converters', 'evaluation'},
    {'engine', 'pruning', 'testing'},
    {'models.anomaly', 'models.classification', 'models.detection'},
    {'streams'},
    {'apis'},
    {'line'},
    {'comparison', 'export', 'serving'},
    {'app'},
    {'cli'},
    {'__main__'},
    {'lab'},
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


@lru_cache
def modules() -> dict[str, Path]:
    """Dotted names of all modules of the package and of the laboratory."""
    found = {}
    for top in ('mmdefect', 'lab'):
        for path in (ROOT / top).rglob('*.py'):
            if '.mim' not in path.parts:
                name = '.'.join(path.relative_to(ROOT).with_suffix('').parts)
                found[name.removesuffix('.__init__')] = path
    return found


def room_of(module: str) -> str | None:
    """``None`` for the packages that only hold rooms."""
    top, *parts = module.split('.')
    if top == 'lab':
        return top
    if parts[:1] == ['models']:
        return '.'.join(parts[:2]) if len(parts) > 1 else None
    return parts[0] if parts else None


def imports(module: str, *, when_loaded: bool = False) -> Iterator[str]:
    """Dotted names that a module imports: all, or those that loading it imports."""
    todo: list[ast.AST] = [ast.parse(modules()[module].read_text(encoding='utf-8'))]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{module}: imports are written in full'
            for alias in node.names:
                name = f'{node.module}.{alias.name}'
                yield name if name in modules() else str(node.module)
        later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        typing = isinstance(node, ast.If) and 'TYPE_CHECKING' in ast.unparse(node.test)
        if not (when_loaded and (later or typing)):
            todo.extend(ast.iter_child_nodes(node))


def in_room(room: str) -> list[str]:
    return [module for module in modules() if room_of(module) == room]


def loaded_with(room: str) -> Iterator[tuple[str, str]]:
    """All that importing a room imports, with the module of ours that says so."""
    todo, seen = in_room(room), set()
    while todo:
        module = todo.pop()
        if module in seen:
            continue
        seen.add(module)
        for name in imports(module, when_loaded=True):
            yield module, name
            parts = name.split('.')
            parents = {'.'.join(parts[:k]) for k in range(1, len(parts) + 1)}
            todo.extend(parents & modules().keys())


def test_smoke_every_room_has_a_floor() -> None:
    assert {room_of(module) for module in modules()} - {None} == FLOOR_OF.keys()


@pytest.mark.parametrize('room', sorted(FLOOR_OF))
def test_feature_no_import_runs_upward(room: str) -> None:
    upward = [
        f'{module} imports {name}'
        for module in in_room(room)
        for name in imports(module)
        if name.partition('.')[0] in ('mmdefect', 'lab')
        and (other := room_of(name)) not in (None, room)
        and FLOOR_OF[other] >= FLOOR_OF[room]
    ]
    assert not upward


@pytest.mark.parametrize('room', ['models.anomaly', 'models.classification'])
def test_feature_without_mmdet(room: str) -> None:
    """Neither anywhere in them nor in what is loaded with them."""
    found = [(module, name) for module in in_room(room) for name in imports(module)]
    found += loaded_with(room)
    assert not [pair for pair in found if pair[1].partition('.')[0] == 'mmdet']


def test_feature_functional_needs_only_torch() -> None:
    allowed = {'torch', *sys.stdlib_module_names}
    for module in in_room('functional'):
        for name in imports(module):
            assert (
                room_of(name) == 'functional'
                if name.startswith('mmdefect.')
                else name.partition('.')[0] in allowed
            ), f'{module} imports {name}'


def test_feature_the_package_loads_only_its_ground() -> None:
    """`import mmdefect` finds the prefix of its types and the stand-in, no more."""
    ours = {name for name in imports('mmdefect') if name.startswith('mmdefect')}
    assert {room_of(name) for name in ours} == {'compat', 'registry', 'version'}


@pytest.mark.parametrize('room', ['deploy', 'line'])
def test_feature_a_deployed_model_needs_no_torch(room: str) -> None:
    """Loading it loads NumPy, OpenCV and Pillow, and no framework."""
    allowed = {'mmdefect', 'numpy', 'cv2', 'PIL', *sys.stdlib_module_names}
    found = {
        f'{module} imports {name}'
        for module, name in loaded_with(room)
        # Loaded with the package itself, and only where there is an MMEngine.
        if room_of(module) != 'registry' and name.partition('.')[0] not in allowed
    }
    assert not found
