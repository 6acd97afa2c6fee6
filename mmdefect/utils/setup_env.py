"""Registering everything at once, for scripts that build by hand."""

from __future__ import annotations

from datetime import datetime
from importlib import import_module

from mmengine.registry import DefaultScope

from mmdefect import registry
from mmdefect.compat import check_provider
from mmdefect.registry import HOST_SCOPE

HOST_MODULES = ('datasets', 'engine', 'evaluation', 'models', 'visualization')


def register_all_modules(init_default_scope: bool = True) -> None:
    """Import every module that registers a type, ours and mmdet's.

    Args:
        init_default_scope: Whether to make ``mmdet`` the default scope. It is not
            ``mmdefect``, because mmdet's own defaults (``BboxOverlaps2D``, the box
            coders) carry no prefix and would not be found; our types always do.

    Raises:
        ImportError: If no OpenMMLab build is installed, or two are.
    """
    check_provider()
    for module in HOST_MODULES:
        import_module(f'{HOST_SCOPE}.{module}')
    for module in sorted(_own_modules()):
        import_module(module)
    if init_default_scope:
        _set_default_scope()


def _own_modules() -> set[str]:
    tables = (
        node.modules
        for node in vars(registry).values()
        if isinstance(node, registry.LazyRegistry)
    )
    return {module for table in tables for module in table.values()}


def _set_default_scope() -> None:
    current = DefaultScope.get_current_instance()
    if current is None or current.scope_name != HOST_SCOPE:
        # The name must be new: an instance of a known name would not become current.
        name = f'{HOST_SCOPE}-{datetime.now().isoformat()}'
        DefaultScope.get_instance(name, scope_name=HOST_SCOPE)
