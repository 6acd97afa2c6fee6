"""One network in torch, compiled, in ONNX Runtime and in OpenVINO: the same outputs.

Run as a module, it measures what a process needs that does nothing else:
``engine NAME FOLDER SIDE BATCH THREADS`` or ``folder PACKAGE IMAGES``; it prints bytes.
So nothing here imports torch where it is not needed.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lab.benchmarks.peak import peak_bytes
from mmdefect.deploy.package import read_package
from mmdefect.deploy.runtime import open_package

ROOT = Path(__file__).resolve().parents[2]
RUNTIMES = {'ort': 'onnxruntime', 'openvino': 'openvino'}
TORCH = ('eager', 'compiled')
ROUNDS = 5
# What a network leaves in its folder.
CONFIG, WEIGHTS, PACKAGE = 'config.py', 'weights.pth', 'package'
Engine = Callable[[np.ndarray], Any]


def photographs(number: int, side: int) -> list[np.ndarray]:
    """Random images, ``(side, side, 3)``, uint8."""
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (side, side, 3), np.uint8) for _ in range(number)]


def batch_of(folder: Path, number: int, side: int) -> np.ndarray:
    """Photographs as a package prepares them, ``(B, C, H, W)`` float32."""
    prepare = read_package(folder / PACKAGE).input.prepare
    return np.stack([prepare(image).pixels for image in photographs(number, side)])


def open_engine(name: str, folder: Path, threads: int) -> Engine:
    """What computes a network whose config, weights and package are in a folder."""
    if name in TORCH:
        return _torch(folder, compiled=name == 'compiled')
    package = folder / PACKAGE
    opened = open_package(
        package, backend=RUNTIMES[name], device='cpu', threads=threads
    )
    return opened.raw


def _torch(folder: Path, *, compiled: bool) -> Engine:
    import torch

    from mmdefect.apis.torch_backend import TorchBackend
    from mmdefect.export.graphs import exportable

    backend = TorchBackend(folder / CONFIG, weights=folder / WEIGHTS, device='cpu')
    network: Any = exportable(backend.model, backend.spec.task).module.eval()
    if compiled:
        network = torch.compile(network, dynamic=False)

    def run(batch: np.ndarray) -> Any:
        with torch.inference_mode():
            return network(torch.from_numpy(batch))

    return run


def peak_elsewhere(*args: object) -> int:
    """Peak memory of a process of its own; see the module."""
    done = subprocess.run(  # noqa: S603  this module, no shell
        [sys.executable, '-m', __name__, *map(str, args)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(
            f'{" ".join(map(str, args))} failed: {done.stderr.strip()[-500:]}'
        )
    return int(done.stdout.split()[-1])


def main(what: str, *args: str) -> None:
    """Do what the module says, and print the peak."""
    if what == 'engine':
        name, folder, side, batch, threads = args
        if name in TORCH:
            import torch

            torch.set_num_threads(int(threads))
        engine = open_engine(name, Path(folder), int(threads))
        images = batch_of(Path(folder), int(batch), int(side))
        for _ in range(ROUNDS):
            engine(images)
    else:
        from mmdefect.apis import DefectInferencer

        for result in DefectInferencer(args[0], batch_size=8)(args[1]):
            if result.error:
                raise RuntimeError(result.error)
    print(peak_bytes())


if __name__ == '__main__':
    main(*sys.argv[1:])
