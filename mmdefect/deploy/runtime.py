"""A package at work: ONNX Runtime or OpenVINO, NumPy and OpenCV, nothing else."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mmdefect.deploy.backend import equal_shapes
from mmdefect.deploy.inputs import Prepared
from mmdefect.deploy.outputs import LabelOutput, MapOutput, Output, recognised
from mmdefect.deploy.package import FILE, Graph, Package, read_package
from mmdefect.deploy.postprocess import finish_boxes, finish_map
from mmdefect.utils.checks import check_choice, check_number, check_type, some_of

BACKENDS = ('auto', 'onnxruntime', 'openvino')
Shape = tuple[int | None, ...]


class Session(Protocol):
    """A graph that is ready to run."""

    def __call__(self, *inputs: np.ndarray) -> Sequence[np.ndarray]:
        """Outputs, as the package orders them.

        Args:
            inputs: As the package orders them: a batch ``(B, C, H, W)`` float32; where
                a product can be told, its index or -1, ``(B,)`` int64.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A session, and what its graph says of itself.

    Attributes:
        session: Runs the graph.
        inputs: Shape by name; None for a length that varies.
        outputs: The same.
    """

    session: Session
    inputs: Mapping[str, Shape]
    outputs: Mapping[str, Shape]


class PackageBackend:
    """A package as a :class:`~mmdefect.deploy.backend.Backend`.

    Images whose inputs have one size are looked at together, others in turn: none is
    padded to the size of another, so an answer does not depend on its neighbours.

    Args:
        package: What ``package.json`` says.
        session: Its graph.
        name: What computes it: ``'onnxruntime'`` or ``'openvino'``.
    """

    def __init__(self, *, package: Package, session: Session, name: str) -> None:
        self.package = package
        self.spec = package.spec
        self.session = session
        self.name = name
        self._told = -1

    def __call__(self, images: Sequence[np.ndarray]) -> list[Output]:
        """Look at a batch; see :class:`~mmdefect.deploy.backend.Backend`."""
        prepared = [self.package.input.prepare(image) for image in images]
        found: dict[int, Output] = {}
        for numbers in equal_shapes(item.pixels.shape for item in prepared):
            raw = self.raw(np.stack([prepared[number].pixels for number in numbers]))
            for place, number in enumerate(numbers):
                shape = images[number].shape
                own = {name: values[place] for name, values in raw.items()}
                found[number] = self._output(own, prepared[number], shape)
        return [found[number] for number in range(len(images))]

    def told(self, product: str) -> PackageBackend:
        """The same model, which need not recognise the product."""
        other = copy.copy(self)
        other._told = self.spec.classes.index(product)
        return other

    def raw(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """What the graph puts out, by name.

        Args:
            batch: Prepared images of one size, ``(B, C, H, W)`` float32.
        """
        inputs = [batch]
        if self.spec.routes:
            inputs.append(np.full(len(batch), self._told, np.int64))
        outputs = self.session(*inputs)
        return dict(zip(self.package.graph.outputs, outputs, strict=True))

    def _output(
        self,
        raw: Mapping[str, np.ndarray],
        prepared: Prepared,
        shape: tuple[int, ...],
    ) -> Output:
        # Here, where nothing is left out yet: no score of NaN reaches a threshold.
        wrong = [name for name, values in raw.items() if not np.isfinite(values).all()]
        if wrong:
            raise ValueError(
                f'the graph gives NaN or infinite numbers ({some_of(wrong)}): expected '
                'finite ones; check its weights, mean and std'
            )
        if self.spec.task == 'labels':
            return LabelOutput(probabilities=raw['probabilities'])
        if self.spec.task == 'maps':
            return MapOutput(
                anomaly_map=finish_map(
                    raw['maps'],
                    (shape[1], shape[0]),
                    self.package.postprocess.get('sigma'),
                ),
                score=float(raw['scores']),
                **self._product(raw),
            )
        levels = range(len(raw) // 2)
        return finish_boxes(
            [raw[f'scores_{level}'] for level in levels],
            [raw[f'boxes_{level}'] for level in levels],
            size=prepared.size,
            scale=prepared.scale,
            settings=self.package.postprocess,
        )

    def _product(self, raw: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Which product it is: recognised, or the only one."""
        if not self.spec.routes:
            return {'product': self.spec.only_class}
        return recognised(int(raw['products']), self.spec)


def open_package(
    folder: str | Path,
    *,
    backend: str = 'auto',
    device: str = 'auto',
    threads: int | None = None,
) -> PackageBackend:
    """Open a folder that an export has written.

    Args:
        folder: With its ``package.json``.
        backend: ``'onnxruntime'``, ``'openvino'``, or ``'auto'``: what is installed
            and reads the graph, ONNX Runtime before OpenVINO.
        device: ``'cpu'``, ``'cuda'`` (ONNX Runtime with its CUDA provider; a number as
            in ``'cuda:1'`` chooses the GPU), or ``'auto'``: a GPU if the runtime has
            one.
        threads: How many compute an image; by default what the runtime takes.

    Raises:
        FileNotFoundError: The folder, its ``package.json`` or its graph is not there.
        ImportError: No runtime for it is installed.
        ValueError: The package is none, is of a newer version or has changed; or there
            is no such device.

    Example:
        >>> backend = open_package('my_package')  # doctest: +SKIP
        >>> backend([image])[0].boxes  # doctest: +SKIP
    """
    check_choice('backend', backend, BACKENDS)
    check_type('device', device, str, expected='a name')
    if not re.fullmatch(r'auto|cpu|cuda(:\d+)?', device, re.ASCII):
        raise ValueError(f'device={device!r}: expected one of auto, cpu, cuda, cuda:1')
    if threads is not None:
        check_number('threads', threads, 1, whole=True)
    package = read_package(folder)
    name = _chosen(backend, package)
    opened = {'onnxruntime': _onnxruntime, 'openvino': _openvino}[name]
    ready = opened(package.folder / package.graph.file, package.graph, device, threads)
    _check_graph(package, ready)
    return PackageBackend(package=package, session=ready.session, name=name)


def _check_graph(package: Package, ready: Ready) -> None:
    """Compare what the package says of its graph with the graph itself."""
    graph, given = package.graph, package.input
    path = package.folder / FILE
    _check_same(f'{path}: graph.inputs', {*graph.inputs}, {*ready.inputs})
    _check_same(f'{path}: graph.outputs', {*graph.outputs}, {*ready.outputs})
    width, height = given.size or (None, None)
    said = {'channels': given.channels, 'height': height, 'width': width}
    own = ready.inputs[graph.inputs[0]][1:]
    for (name, length), theirs in zip(said.items(), own, strict=False):
        _check_same(f'{path}: {name} of the input', length, theirs)
    for name, shape in ready.outputs.items():
        if shape and (name == 'probabilities' or name.startswith('scores_')):
            classes = len(package.spec.classes)
            _check_same(f'{path}: number of classes', classes, shape[-1])


def _check_same(what: str, said: Any, own: Any) -> None:
    """Refuse what differs; None is a length that varies."""
    if own is not None and said != own:
        said, own = (sorted(v) if isinstance(v, set) else v for v in (said, own))
        raise ValueError(
            f'{what} is {said}: expected {own} as in its graph; export again'
        )


def _chosen(backend: str, package: Package) -> str:
    """The runtime that is asked for, or is installed."""
    readers = {'onnx': ('onnxruntime', 'openvino'), 'openvino': ('openvino',)}
    able = readers[package.graph.format]
    if backend not in ('auto', *able):
        raise ValueError(
            f'backend={backend!r}: expected {" or ".join(able)} for {package.folder}, '
            f'whose graph is one of {package.graph.format}; or export it as onnx'
        )
    wanted = able if backend == 'auto' else (backend,)
    for name in wanted:
        if find_spec(name) is not None:
            return name
    raise ImportError(
        f'{" or ".join(wanted)} is not installed: expected it to run '
        f'{package.folder}; run `pip install {wanted[0]}`'
    )


class _OnnxRuntime:
    def __init__(self, session: Any, graph: Graph) -> None:
        self.session = session
        self.names = list(graph.outputs)
        self.given = graph.inputs

    def __call__(self, *inputs: np.ndarray) -> Sequence[np.ndarray]:
        given = dict(zip(self.given, inputs, strict=True))
        found: Sequence[np.ndarray] = self.session.run(self.names, given)
        return found


def _onnxruntime(path: Path, graph: Graph, device: str, threads: int | None) -> Ready:
    import onnxruntime

    # Where it was imported before mmdefect, which switches it off, too.
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
    providers: list[Any] = ['CPUExecutionProvider']
    has_gpu = 'CUDAExecutionProvider' in onnxruntime.get_available_providers()
    kind, _, number = device.partition(':')
    if kind == 'cuda' and not has_gpu:
        raise ValueError(
            f'device={device!r}: expected cpu, this onnxruntime has no CUDA provider; '
            'install onnxruntime-gpu'
        )
    if has_gpu and kind != 'cpu':
        # In full precision: by default it would round what it multiplies to ten bits.
        settings = {'device_id': int(number or 0), 'use_tf32': 0}
        cuda = ('CUDAExecutionProvider', settings)
        providers.insert(0, cuda)
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # of its own kinds
        raise _unreadable(path, 'ONNX Runtime', error) from error
    ready = _OnnxRuntime(session, graph)
    return Ready(
        session=ready,
        inputs={value.name: _shape(value.shape) for value in session.get_inputs()},
        outputs={value.name: _shape(value.shape) for value in session.get_outputs()},
    )


def _shape(lengths: Sequence[Any]) -> Shape:
    return tuple(length if isinstance(length, int) else None for length in lengths)


class _OpenVino:
    def __init__(self, compiled: Any, graph: Graph) -> None:
        self.compiled = compiled
        self.names = list(graph.outputs)
        self.given = graph.inputs

    def __call__(self, *inputs: np.ndarray) -> Sequence[np.ndarray]:
        # A request of its own: one that is shared would be busy in another thread.
        given = dict(zip(self.given, inputs, strict=True))
        result = self.compiled.create_infer_request().infer(given)
        return [np.array(result[name]) for name in self.names]


@cache
def _core() -> Any:
    """OpenVINO itself, once a process.

    Its CPU plugin gives the thread a stack for signals and takes it away with the last
    core, in whatever thread that is collected: the next signal would end the process.
    """
    import openvino

    return openvino.Core()


def _openvino(path: Path, graph: Graph, device: str, threads: int | None) -> Ready:
    if device.partition(':')[0] == 'cuda':
        raise ValueError(
            f'device={device!r}: expected cpu with openvino; use onnxruntime for a GPU'
        )
    # What it would do by itself on some processors: compute in half precision.
    settings: dict[str, Any] = {'INFERENCE_PRECISION_HINT': 'f32'}
    if threads is not None:
        settings['INFERENCE_NUM_THREADS'] = threads
    try:
        compiled = _core().compile_model(str(path), 'CPU', settings)
    except Exception as error:  # of its own kinds
        raise _unreadable(path, 'OpenVINO', error) from error
    ready = _OpenVino(compiled, graph)
    return Ready(
        session=ready,
        inputs=_ports(compiled.inputs, graph.inputs),
        outputs=_ports(compiled.outputs, graph.outputs),
    )


def _ports(ports: Sequence[Any], known: Sequence[str]) -> dict[str, Shape]:
    """Shapes by name; of several names of one tensor, by that of the package."""
    return {
        next((name for name in known if name in port.names), port.get_any_name()): (
            tuple(n.get_length() if n.is_static else None for n in port.partial_shape)
        )
        for port in ports
    }


def _unreadable(path: Path, runtime: str, error: Exception) -> ValueError:
    reason = str(error).strip().partition('\n')[0]
    return ValueError(
        f'{runtime} cannot read {path} ({reason}): expected a graph that an export has '
        'written; update the runtime, or export again'
    )
