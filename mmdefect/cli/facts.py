"""What ``mmdefect doctor`` asks the machine; torch is loaded by another process."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any

#: Modules whose import fails in ways that only importing them shows.
IMPORTED = ('numpy', 'cv2', 'onnxruntime', 'openvino', 'torch')
# In a process of its own: one of them may end it, and torch is large.
_TRY = """
import contextlib, importlib, io, json, sys
said = {}
for name in sys.argv[1:]:
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            importlib.import_module(name)
        said[name] = None
    except BaseException as error:
        said[name] = f'{type(error).__name__}: {error}'.splitlines()[0]
torch = sys.modules.get('torch')
said['torch sees a GPU'] = None if torch is None else torch.cuda.is_available()
print(json.dumps(said))
"""
_QUERY = 'name,driver_version,memory.total'


def installed() -> dict[str, str]:
    """Versions of all distributions, by their names in small letters with dashes."""
    found: dict[str, str] = {}
    for one in distributions():
        about = one.metadata  # read anew whenever it is asked for
        if about and about['Name']:  # the first on the path is the one that is imported
            name = re.sub(r'[-_.]+', '-', about['Name']).lower()
            found.setdefault(name, about['Version'])
    return found


def tried_imports(names: Sequence[str] = IMPORTED) -> dict[str, Any]:
    """Import modules in another process.

    Returns:
        Why each that is installed fails, None if it does not; and by ``'torch sees a
        GPU'`` whether it does, None without torch.
    """
    present = [name for name in names if _is_there(name)]
    command = [sys.executable, '-c', _TRY, *present]
    try:
        done = subprocess.run(  # noqa: S603  this Python; names of packages that are ours
            command, capture_output=True, text=True, timeout=300, check=False
        )
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        if len(present) > 1:  # one of them has ended the process: which?
            apart = [tried_imports([name]) for name in present]
            return {key: value for one in apart for key, value in one.items()}
        ended = f'its import ends the process with status {done.returncode}'
        return dict.fromkeys(present, ended) | {'torch sees a GPU': None}
    except subprocess.TimeoutExpired:
        return dict.fromkeys(present, 'its import takes more than 300 s')
    return found


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def compiled_operators() -> str | None:
    """File of mmcv's compiled operators, found without importing mmcv."""
    spec = find_spec('mmcv') if _is_there('mmcv') else None
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for pattern in ('_ext.*.so', '_ext.so', '_ext.*.pyd'):
            if found := next(Path(folder).glob(pattern), None):
                return str(found)
    return None


def gpus() -> tuple[list[str] | None, str | None]:
    """Cards as the driver names them, and what it has said if it does not answer."""
    if shutil.which('nvidia-smi') is None:
        return None, None
    command = ['nvidia-smi', f'--query-gpu={_QUERY}', '--format=csv,noheader']
    try:
        done = subprocess.run(  # noqa: S603  fixed words, no shell
            command, capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, str(error)
    lines = done.stdout.strip().splitlines()
    if done.returncode:
        return None, (lines or [f'status {done.returncode}'])[0]
    return [_card(line) for line in lines], None


def _card(line: str) -> str:
    name, driver, memory = (part.strip() for part in line.split(','))
    return f'{name}, {memory}, driver {driver}'


def cores() -> int:
    """Cores that this process may use, a container's limit among what limits them."""
    given = (
        len(os.sched_getaffinity(0))
        if hasattr(os, 'sched_getaffinity')
        else os.cpu_count() or 1
    )
    try:
        limit, period = Path('/sys/fs/cgroup/cpu.max').read_text().split()
        return max(1, min(given, int(limit) // int(period)))
    except (OSError, ValueError):
        return given


def shared_memory() -> int | None:
    """Bytes of ``/dev/shm``."""
    folder = Path('/dev/shm')  # noqa: S108  its size is asked, nothing is written
    return shutil.disk_usage(folder).total if folder.is_dir() else None


def write_error(folder: Path) -> str | None:
    """Why nothing can be written in a folder; None if it can."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b'0')
    except OSError as error:
        return error.strerror or str(error)
    return None
