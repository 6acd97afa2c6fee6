"""Where a run happened: commit, hardware, software. Goes into every result file."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = {
    'torch': ('torch',),
    'mmengine': ('onedl-mmengine', 'mmengine'),
    'mmcv': ('onedl-mmcv', 'mmcv', 'mmcv-lite'),
    'mmdet': ('onedl-mmdetection', 'mmdet'),
}


def describe_environment() -> dict[str, str]:
    """Return ``commit``, ``hardware`` and ``software`` as one line of text each."""
    hardware, software = describe_hardware(), describe_software()
    return {'commit': git_commit(), 'hardware': hardware, 'software': software}


def joined(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """Return where a run happened that was resumed elsewhere: ``'a; b'``."""
    return {
        key: '; '.join(dict.fromkeys([*before.get(key, value).split('; '), value]))
        for key, value in now.items()
    }


def git_commit(root: str | Path | None = None) -> str:
    """Return the commit of a checkout, marked ``-dirty`` if files differ from it.

    Outside a checkout the environment variable ``GIT_COMMIT`` stands in; without it the
    answer is ``unknown``.
    """
    folder = Path(root) if root is not None else Path(__file__).parent
    commit = _git(folder, 'rev-parse', 'HEAD')
    if commit is None:
        return os.environ.get('GIT_COMMIT', 'unknown')
    return f'{commit}-dirty' if _git(folder, 'status', '--porcelain') else commit


def describe_hardware() -> str:
    """Return the processor, its cores and threads, and the GPU if there is one."""
    import torch

    cpu = f'{_cpu_model()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads'
    if torch.cuda.is_available():
        return f'{torch.cuda.get_device_name()}; {cpu}'
    return cpu


def describe_software() -> str:
    """Return the versions of Python and of the packages that decide a result."""
    found = {'Python': platform.python_version()}
    for name, distributions in _PACKAGES.items():
        for distribution in reversed(distributions):
            with suppress(PackageNotFoundError):
                found[name] = version(distribution)
    return ', '.join(f'{name} {number}' for name, number in found.items())


def _cpu_model() -> str:
    path = Path('/proc/cpuinfo')
    if path.is_file():
        for line in path.read_text(encoding='utf-8').splitlines():
            if line.startswith('model name'):
                return line.split(':', 1)[1].strip()
    return platform.processor() or platform.machine()


def _git(folder: Path, *args: str) -> str | None:
    command = ['git', '-C', str(folder), *args]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  git, no shell
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
