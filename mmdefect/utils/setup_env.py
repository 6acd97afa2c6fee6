"""Registering everything at once, for scripts that build by hand."""

from __future__ import annotations

from importlib import import_module

from mmengine.registry import init_default_scope as set_default_scope

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
    for own in vars(registry).values():
        if isinstance(own, registry.LazyRegistry):
            for module in own.modules.values():
                import_module(module)
    if init_default_scope:
        set_default_scope(HOST_SCOPE)
