"""Which OpenMMLab build is installed, and operators when mmcv's are not compiled.

Two families of distributions install the same modules ``mmengine``, ``mmcv``, ``mmdet``
and ``mmpretrain``: OpenMMLab's own and the maintained fork ``onedl-*``. Only package
metadata is read here; none of the modules is imported, because that loads torch.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

MMCV_EXT = 'mmcv._ext'
MMENGINE_REGISTRY = 'mmengine.registry'

# provider -> module -> distributions that install it
DISTRIBUTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    'onedl': {
        'mmengine': ('onedl-mmengine',),
        'mmcv': ('onedl-mmcv',),
        'mmdet': ('onedl-mmdetection',),
        'mmpretrain': ('onedl-mmpretrain',),
    },
    'openmmlab': {
        'mmengine': ('mmengine', 'mmengine-lite'),
        'mmcv': ('mmcv', 'mmcv-lite'),
        'mmdet': ('mmdet',),
        'mmpretrain': ('mmpretrain',),
    },
}


def installed_distributions() -> dict[str, dict[str, str]]:
    """Return ``{provider: {distribution: version}}`` of what is installed."""
    found: dict[str, dict[str, str]] = {}
    for provider, modules in DISTRIBUTIONS.items():
        for name in (name for names in modules.values() for name in names):
            with suppress(PackageNotFoundError):
                found.setdefault(provider, {})[name] = version(name)
    return found


def check_provider(
    required: Sequence[str] = ('mmengine', 'mmcv', 'mmdet'),
) -> str:
    """Return the installed provider, ``'onedl'`` or ``'openmmlab'``.

    Raises:
        ImportError: If no provider is installed, two are, or one lacks a required
            module; the message holds the pip command that cures it.
    """
    found = installed_distributions()
    if not found:
        raise ImportError(
            f'mmdefect needs {_listed(required)}, and no OpenMMLab build is '
            f'installed: run `{_install_command("onedl")}`'
        )
    if len(found) > 1:
        both = [name for names in found.values() for name in names]
        raise ImportError(
            f'two OpenMMLab builds are installed over each other ({_listed(both)}): '
            f'expected one; run `pip uninstall -y {" ".join(both)}`, then '
            f'`{_install_command("onedl")}`'
        )
    provider, installed = next(iter(found.items()))
    missing = [
        module
        for module in required
        if not installed.keys() & set(DISTRIBUTIONS[provider][module])
    ]
    if missing:
        raise ImportError(
            f'mmdefect needs {_listed(required)}, and the installed OpenMMLab build '
            f"'{provider}' lacks {_listed(missing)}: run "
            f'`{_install_command(provider, missing)}`'
        )
    return provider


class MMCVExtFinder:
    """Serves :mod:`mmdefect.mmcv_ext_standin` as ``mmcv._ext``.

    It stands last in :data:`sys.meta_path`, so a compiled ``mmcv._ext`` is found
    before it is asked. Probing for one instead would import mmcv, hence torch.
    """

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Return the spec of the stand-in for ``mmcv._ext``, None for all others."""
        if fullname != MMCV_EXT:
            return None
        source = Path(__file__).with_name('mmcv_ext_standin.py')
        return spec_from_file_location(fullname, source)


class MissingProviderFinder(Loader):
    """Makes ``import mmengine`` say what to install, where nothing else finds it.

    And so of mmcv, mmdet and mmpretrain, which are of no use without it.
    """

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Return a spec whose loader raises for these, None for all others."""
        known = fullname in DISTRIBUTIONS['onedl']
        return ModuleSpec(fullname, self) if known else None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Raise what :func:`check_provider` says."""
        check_provider()
        raise ModuleNotFoundError(f'No module named {spec.name!r}', name=spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing gets this far."""


class RegistryFinder:
    """Has :mod:`mmdefect.registry` loaded right after MMEngine's own registries.

    So a program that never asks for MMEngine does not pay for it, and one that does
    finds the ``mmdefect`` scope and its ``mmdefect::`` bases. It stands first in
    :data:`sys.meta_path` and leaves the finding to the others.
    """

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Return the spec of MMEngine's registries, None for all others."""
        if fullname != MMENGINE_REGISTRY:
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        specs = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next(filter(None, specs), None)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_both(module: ModuleType) -> None:
            execute(module)
            import_module('mmdefect.registry')

        # Its own, of this one module: whatever else is asked of it stays as it is.
        spec.loader.exec_module = execute_both  # type: ignore[method-assign]
        return spec


def check_torch() -> None:
    """Refuse to go on without torch.

    Raises:
        ImportError: It is not installed; the message says what does without it.
    """
    if find_spec('torch') is None:
        raise ImportError(
            'torch is not installed: expected it for training, and for models that are '
            'not exported; run `pip install "mmdefect[onedl]"`, or use a package that '
            '`mmdefect export` has written'
        )


def install_mmcv_ext_finder() -> None:
    """Append the finder to :data:`sys.meta_path`, once."""
    if not any(isinstance(finder, MMCVExtFinder) for finder in sys.meta_path):
        sys.meta_path.append(MMCVExtFinder())


def install_registry_finder() -> None:
    """Put the finder first in :data:`sys.meta_path`, once."""
    if not any(isinstance(finder, RegistryFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, RegistryFinder())


def _install_command(provider: str, modules: Sequence[str] | None = None) -> str:
    chosen = DISTRIBUTIONS[provider] if modules is None else modules
    names = (DISTRIBUTIONS[provider][module][0] for module in chosen)
    return f'pip install {" ".join(names)}'


def _listed(names: Sequence[str]) -> str:
    head, last = list(names[:-1]), names[-1]
    return f'{", ".join(head)} and {last}' if head else last
