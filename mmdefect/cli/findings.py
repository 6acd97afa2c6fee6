"""What ``mmdefect doctor`` finds: facts in, a line each out. Nothing is measured here.

Every function takes facts and returns what they mean; :mod:`mmdefect.cli.facts` gathers
them, and a test makes them up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mmdefect.compat import DISTRIBUTIONS

State = Literal['ok', 'warning', 'broken']
OPENCV = (
    'opencv-python',
    'opencv-python-headless',
    'opencv-contrib-python',
    'opencv-contrib-python-headless',
)
ONNXRUNTIME = (
    'onnxruntime',
    'onnxruntime-gpu',
    'onnxruntime-openvino',
    'onnxruntime-directml',
)
GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """One line.

    Attributes:
        name: What was looked at.
        state: ``'ok'``, ``'warning'`` or ``'broken'``.
        text: What there is.
        cure: What to do about it; empty if ok.
    """

    name: str
    state: State
    text: str
    cure: str = ''


def python(version: Sequence[int]) -> Finding:
    """The Python that runs this."""
    text = '.'.join(map(str, version[:3]))
    if (3, 10) <= tuple(version[:2]) <= (3, 12):
        return Finding('Python', 'ok', text)
    cure = 'use Python 3.10, 3.11 or 3.12; the pinned packages have no others'
    return Finding('Python', 'warning', text, cure)


def provider(versions: Mapping[str, str]) -> Finding:
    """The OpenMMLab build.

    Args:
        versions: Of all distributions that are installed, by name.
    """
    found = _providers(versions)
    name = 'OpenMMLab'
    if not found:
        cure = 'pip install "mmdefect[onedl]"'
        if _installed(versions, ('openvino', *ONNXRUNTIME)):
            text = 'not installed: only packages of `mmdefect export` can be run'
            return Finding(name, 'warning', text, f'to train as well: {cure}')
        text = 'not installed, and no ONNX Runtime either: no model can be run'
        return Finding(
            name, 'broken', text, f'{cure}; for packages only: "mmdefect[edge]"'
        )
    listed = ', '.join(f'{n} {versions[n]}' for names in found.values() for n in names)
    if len(found) > 1:
        both = ' '.join(n for names in found.values() for n in names)
        cure = f'pip uninstall -y {both}, then pip install "mmdefect[onedl]"'
        return Finding(
            name, 'broken', f'two builds, one over the other: {listed}', cure
        )
    kind, names = next(iter(found.items()))
    missing = [
        module
        for module, others in DISTRIBUTIONS[kind].items()
        if not set(others) & set(names)
    ]
    if missing:
        text = f'{listed}, without {", ".join(missing)}'
        state: State = 'warning' if missing == ['mmpretrain'] else 'broken'
        return Finding(name, state, text, f'pip install "mmdefect[{kind}]"')
    return Finding(name, 'ok', listed)


def torch(versions: Mapping[str, str], *, error: str | None = None) -> Finding:
    """Torch itself.

    Args:
        error: Why it cannot be imported, if it cannot.
    """
    version = versions.get('torch')
    cure = 'pip install "mmdefect[torch]"'
    if version is None:
        if _providers(versions):
            text = 'not installed, but OpenMMLab is: nothing of it works without torch'
            return Finding('torch', 'broken', text, cure)
        return Finding('torch', 'ok', 'not installed: packages need none')
    if error is not None:
        return Finding(
            'torch', 'broken', f'{version} cannot be imported: {error}', cure
        )
    if 'torchvision' not in versions:
        return Finding('torch', 'broken', f'{version} without torchvision', cure)
    return Finding('torch', 'ok', f'{version}, torchvision {versions["torchvision"]}')


def operators(versions: Mapping[str, str], compiled: str | None) -> Finding:
    """The operators of mmcv.

    Args:
        compiled: File that holds them, if there is one.
    """
    name = 'operators of mmcv'
    if not _installed(versions, DISTRIBUTIONS['onedl']['mmcv'] + ('mmcv', 'mmcv-lite')):
        return Finding(name, 'ok', 'no mmcv')
    if compiled is not None:
        return Finding(name, 'ok', f'compiled, {compiled}')
    text = 'stand-in: NMS by torchvision, all that our models need'
    return Finding(name, 'ok', text)


def gpu(
    devices: Sequence[str] | None,
    *,
    torch_sees: bool | None,
    problem: str | None = None,
) -> Finding:
    """The graphics card.

    Args:
        devices: What the driver names, None without a driver.
        torch_sees: Whether torch can use it, None without torch.
        problem: What the driver's tool has said instead.
    """
    if problem is not None:
        cure = 'install the driver anew, or restart the machine after an update of it'
        return Finding('GPU', 'warning', f'the driver does not answer: {problem}', cure)
    if not devices:
        return Finding('GPU', 'ok', 'none of NVIDIA: everything runs on the CPU')
    listed = '; '.join(devices)
    if torch_sees is False:
        cure = 'install a build of torch for the CUDA of the driver, see pytorch.org'
        return Finding('GPU', 'warning', f'{listed}; torch cannot use it', cure)
    return Finding('GPU', 'ok', listed)


def opencv(versions: Mapping[str, str], *, error: str | None = None) -> Finding:
    """OpenCV, of which several distributions install one module.

    Args:
        error: Why it cannot be imported, if it cannot.
    """
    found = _installed(versions, OPENCV)
    if not found:
        cure = 'pip install opencv-python-headless'
        return Finding('OpenCV', 'broken', 'not installed', cure)
    if len({versions[name] for name in found}) > 1:
        keep = f'{found[0]}=={versions[found[0]]}'
        cure = f'pip uninstall -y {" ".join(found)}, then pip install {keep}'
        text = f'{_listed(versions, found)}: one module cv2, written by two versions'
        return Finding('OpenCV', 'broken', text, cure)
    if error is not None and 'libGL' in error:
        cure = 'apt-get install libgl1 (Debian, Ubuntu), or mesa-libGL (Fedora)'
        return Finding('OpenCV', 'broken', error, cure)
    return _imported('OpenCV', versions, found, error)


def numpy(versions: Mapping[str, str], *, error: str | None = None) -> Finding:
    """NumPy, whose major version compiled packages are built for."""
    version = versions.get('numpy')
    if version is None:
        return Finding('NumPy', 'broken', 'not installed', 'pip install numpy')
    if error is None and version.partition('.')[0] != '2':
        text = f'{version}: the compiled packages of our pins are built for 2'
        return Finding('NumPy', 'warning', text, 'pip install "numpy>=2,<3"')
    return _imported('NumPy', versions, ['numpy'], error)


def runtimes(
    versions: Mapping[str, str], errors: Mapping[str, str | None]
) -> list[Finding]:
    """What computes packages.

    Args:
        errors: Module -> why it cannot be imported, None if it can.
    """
    return [
        _onnxruntime(versions, errors.get('onnxruntime')),
        _openvino(versions, errors.get('openvino')),
    ]


def _onnxruntime(versions: Mapping[str, str], error: str | None) -> Finding:
    name = 'ONNX Runtime'
    found = _installed(versions, ONNXRUNTIME)
    if not found:
        return Finding(name, 'ok', 'not installed; packages: "mmdefect[edge]"')
    if len(found) > 1:
        text = f'{_listed(versions, found)}: one module, written twice'
        cure = f'pip uninstall -y {" ".join(found)}, then install the one you need'
        return Finding(name, 'broken', text, cure)
    return _imported(name, versions, found, error)


def _openvino(versions: Mapping[str, str], error: str | None) -> Finding:
    if 'openvino' in versions:
        return _imported('OpenVINO', versions, ['openvino'], error)
    text = 'not installed; optional: "mmdefect[openvino]"'
    return Finding('OpenVINO', 'ok', text)


def disk(free: int, folder: str) -> Finding:
    """Space for checkpoints.

    Args:
        free: Bytes.
    """
    text = f'{_gib(free)} free in {folder}'
    cure = 'free some space, or work in a folder on another disk'
    if free < GIB // 2:
        return Finding('disk', 'broken', text, cure)
    return Finding('disk', 'warning' if free < 5 * GIB else 'ok', text, cure)


def shared_memory(size: int | None) -> Finding:
    """What data workers hand images over by.

    Args:
        size: Bytes of ``/dev/shm``; None where there is none.
    """
    name = 'shared memory'
    if size is None:
        return Finding(name, 'ok', 'no /dev/shm on this system')
    if size < GIB:
        text = f'{_gib(size)} in /dev/shm for data workers'
        cure = 'start the container with --shm-size=2g, or set num_workers=0'
        return Finding(name, 'warning', text, cure)
    return Finding(name, 'ok', f'{_gib(size)} in /dev/shm')


def threads(given: str | None, cores: int) -> Finding:
    """How many threads compute.

    Args:
        given: ``OMP_NUM_THREADS``.
        cores: That this process may use.
    """
    text = f'OMP_NUM_THREADS={given or ""}, {cores} cores'
    if given and not re.fullmatch(r'[1-9][0-9]*(,[1-9][0-9]*)*', given):
        cure = f'export OMP_NUM_THREADS={cores}'
        return Finding('threads', 'broken', f'{text}: no number', cure)
    if given and int(given.partition(',')[0]) > cores:
        cure = f'export OMP_NUM_THREADS={cores}'
        return Finding('threads', 'warning', f'{text}: they wait for each other', cure)
    return Finding('threads', 'ok', text)


def writing(folder: str, error: str | None) -> Finding:
    """Whether results can be written where one works.

    Args:
        error: Why not.
    """
    if error is None:
        return Finding('working folder', 'ok', f'{folder} can be written')
    cure = 'work in a folder of your own, or give --work-dir and --out elsewhere'
    return Finding('working folder', 'broken', f'{folder}: {error}', cure)


def _providers(versions: Mapping[str, str]) -> dict[str, list[str]]:
    found = {
        kind: [n for names in modules.values() for n in names if n in versions]
        for kind, modules in DISTRIBUTIONS.items()
    }
    return {kind: names for kind, names in found.items() if names}


def _installed(versions: Mapping[str, str], names: Sequence[str]) -> list[str]:
    return [name for name in names if name in versions]


def _listed(versions: Mapping[str, str], names: Sequence[str]) -> str:
    return ' and '.join(f'{name} {versions[name]}' for name in names)


def _imported(
    name: str, versions: Mapping[str, str], found: Sequence[str], error: str | None
) -> Finding:
    """What is installed, or how to install it again where it cannot be imported."""
    text = _listed(versions, found)
    if error is None:
        return Finding(name, 'ok', text)
    again = ' '.join(f'{one}=={versions[one]}' for one in found)
    cure = f'pip install --force-reinstall --no-deps {again}'
    return Finding(name, 'broken', f'{text}: {error}', cure)


def _gib(size: int) -> str:
    return f'{size / GIB:.1f} GiB'
