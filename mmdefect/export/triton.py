"""A model repository of NVIDIA Triton from a package, for more than one machine.

Triton runs the graph alone: its client prepares images and suppresses boxes as
``package.json`` says, which lies beside the graph.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdefect.deploy.package import FILE, read_package
from mmdefect.utils.files import new_folder, write_text

CONFIG = 'config.pbtxt'
VERSION = '1'
# Images that Triton looks at together at most; microseconds that one waits for others.
MAX_BATCH, DELAY = 32, 1000
_NAME = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.-]*')
# https://github.com/triton-inference-server/onnxruntime_backend
_TYPES = {
    'FLOAT': 'TYPE_FP32',
    'FLOAT16': 'TYPE_FP16',
    'DOUBLE': 'TYPE_FP64',
    'UINT8': 'TYPE_UINT8',
    'INT8': 'TYPE_INT8',
    'INT32': 'TYPE_INT32',
    'INT64': 'TYPE_INT64',
    'BOOL': 'TYPE_BOOL',
}


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """Input or output of a graph as Triton names it.

    Attributes:
        name: In the graph.
        kind: Of its numbers, ``'TYPE_FP32'`` and so on.
        dims: Its shape without the batch, -1 where it varies.
    """

    name: str
    kind: str
    dims: tuple[int, ...]


def write_triton(
    package: str | Path,
    out: str | Path,
    *,
    name: str | None = None,
) -> Path:
    """Write ``<out>/<name>``: ``config.pbtxt``, ``1/model.onnx``, ``1/package.json``.

    Args:
        package: Folder of an ONNX package.
        out: Model repository, new or with other models.
        name: Of the model; by default that of the package's folder.

    Returns:
        The folder of the model. Its ``1`` is the package as it was, for clients.

    Raises:
        FileExistsError: There is a model of this name.
        FileNotFoundError: There is no such package.
        ValueError: It is no ONNX package or has changed, its graph has no batch of any
            size, or the name is none.
    """
    package, out = Path(package).absolute(), Path(out)
    name = package.name if name is None else name
    if not _NAME.fullmatch(name):
        raise ValueError(
            f'name={name!r}: expected letters, digits, dots, dashes and underscores; '
            'give such a name'
        )
    graph = read_package(package).graph.file
    inputs, outputs = graph_tensors(package / graph)
    config = triton_config(name, graph, inputs, outputs)
    with new_folder(out / name) as folder:
        (folder / VERSION).mkdir()
        for file in (graph, FILE):
            shutil.copyfile(package / file, folder / VERSION / file)
        write_text(folder / CONFIG, config)
    return out / name


def graph_tensors(graph: Path) -> tuple[list[Tensor], list[Tensor]]:
    """Inputs and outputs of an ONNX graph, weights left out.

    Raises:
        ValueError: It is no ONNX file, a batch is not of any size, or Triton has no
            such numbers.
    """
    if graph.suffix != '.onnx':
        raise ValueError(f'{graph}: expected an ONNX graph; export with format=onnx')
    import onnx

    found = onnx.load(graph, load_external_data=False).graph
    weights = {weight.name for weight in found.initializer}
    inputs = [value for value in found.input if value.name not in weights]
    return _tensors(inputs, graph), _tensors(found.output, graph)


def _tensors(values: Iterable[Any], graph: Path) -> list[Tensor]:
    from onnx import TensorProto

    found = []
    for value in values:
        tensor = value.type.tensor_type
        kind = TensorProto.DataType.Name(tensor.elem_type)
        batch, *dims = tensor.shape.dim or (None,)
        if batch is None or batch.HasField('dim_value'):
            raise ValueError(
                f'{graph}: {value.name!r} has no batch of any size first; export the '
                'model again'
            )
        if kind not in _TYPES:
            raise ValueError(
                f'{graph}: {value.name!r} holds {kind}, expected one of '
                f'{", ".join(_TYPES)}; export the model again'
            )
        sizes = tuple(
            dim.dim_value if dim.HasField('dim_value') else -1 for dim in dims
        )
        found.append(Tensor(name=value.name, kind=_TYPES[kind], dims=sizes))
    return found


def triton_config(
    name: str, graph: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor]
) -> str:
    """Text of ``config.pbtxt``: onnxruntime, batches gathered from single images."""
    parts = [
        f'name: {json.dumps(name)}',
        'backend: "onnxruntime"',
        f'default_model_filename: {json.dumps(graph)}',
        f'max_batch_size: {MAX_BATCH}',
        *(f'input {_text(tensor)}' for tensor in inputs),
        *(f'output {_text(tensor)}' for tensor in outputs),
        f'dynamic_batching {{\n  max_queue_delay_microseconds: {DELAY}\n}}',
    ]
    return '\n'.join(parts) + '\n'


def _text(tensor: Tensor) -> str:
    dims = ', '.join(map(str, tensor.dims or (1,)))
    lines = [
        f'name: {json.dumps(tensor.name)}',
        f'data_type: {tensor.kind}',
        f'dims: [ {dims} ]',
    ]
    if not tensor.dims:  # Triton knows no number without a dimension
        lines.append('reshape { shape: [ ] }')
    return '{\n' + ''.join(f'  {line}\n' for line in lines) + '}'
