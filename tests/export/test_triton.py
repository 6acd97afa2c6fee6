"""A Triton model repository: its configuration against the graph as onnx reads it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
)
from onnx import TensorProto, helper

from mmdefect.deploy.inputs import InputSpec
from mmdefect.deploy.package import Graph, Package, read_package
from mmdefect.deploy.spec import ModelSpec
from mmdefect.export.triton import write_triton

FIELD = descriptor_pb2.FieldDescriptorProto
# What is used of https://github.com/triton-inference-server/common model_config.proto.
# Text knows no field numbers.
SCHEMA = {
    'Shape': {'shape': '*int'},
    'Tensor': {'name': 'str', 'data_type': 'kind', 'dims': '*int', 'reshape': 'Shape'},
    'Batching': {
        'preferred_batch_size': '*int',
        'max_queue_delay_microseconds': 'int',
    },
    'ModelConfig': {
        'name': 'str',
        'platform': 'str',
        'backend': 'str',
        'default_model_filename': 'str',
        'max_batch_size': 'int',
        'input': '*Tensor',
        'output': '*Tensor',
        'dynamic_batching': 'Batching',
    },
}
KINDS = ['INVALID', 'BOOL', 'UINT8', 'INT8', 'INT32', 'INT64', 'FP16', 'FP32', 'FP64']
TRITON = {
    'TYPE_BOOL': TensorProto.BOOL,
    'TYPE_UINT8': TensorProto.UINT8,
    'TYPE_INT64': TensorProto.INT64,
    'TYPE_FP32': TensorProto.FLOAT,
}


def parsed(path: Path) -> Any:
    """``config.pbtxt`` by protobuf's own reader of text."""
    file = descriptor_pb2.FileDescriptorProto(name='config.proto', package='triton')
    kinds = file.enum_type.add(name='DataType')
    for number, kind in enumerate(KINDS):
        kinds.value.add(name=f'TYPE_{kind}', number=number)
    simple = {'int': FIELD.TYPE_INT64, 'str': FIELD.TYPE_STRING}
    for name, fields in SCHEMA.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), 1):
            many = FIELD.LABEL_REPEATED if '*' in kind else FIELD.LABEL_OPTIONAL
            kind = kind.lstrip('*')
            added = message.field.add(name=field, number=number, label=many)
            if kind == 'kind':
                added.type, added.type_name = FIELD.TYPE_ENUM, '.triton.DataType'
            elif kind in simple:
                added.type = simple[kind]
            else:
                added.type, added.type_name = FIELD.TYPE_MESSAGE, f'.triton.{kind}'
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    config = pool.FindMessageTypeByName('triton.ModelConfig')
    text = path.read_text(encoding='utf-8')
    return text_format.Parse(text, message_factory.GetMessageClass(config)())


def write_package(
    folder: Path, shapes: dict[str, list[Any]], *, kind: int = TensorProto.FLOAT
) -> Path:
    """A package of a graph whose outputs all are its input, by name and shape."""
    shapes = {**shapes, 'probabilities': ['batch', 2]}
    image = helper.make_tensor_value_info('image', kind, ['batch', 3, 'h', 'w'])
    nodes, outputs = [], []
    for name, shape in shapes.items():
        nodes.append(helper.make_node('Identity', ['image'], [name]))
        outputs.append(helper.make_tensor_value_info(name, kind, shape))
    graph = helper.make_graph(nodes, 'drawn', [image], outputs)
    folder.mkdir()
    onnx.save(helper.make_model(graph), folder / 'model.onnx')
    return (
        Package(
            folder=folder,
            spec=ModelSpec(task='labels', classes=('broken', 'ok')),
            input=InputSpec(),
            graph=Graph(format='onnx', file='model.onnx', outputs=tuple(shapes)),
        )
        .save(folder)
        .folder
    )


def test_smoke_config_says_what_the_graph_has(tmp_path: Path) -> None:
    shapes = {'boxes': ['batch', 'n', 4], 'scores': ['batch', 'n', 6], 'one': ['batch']}
    package = write_package(tmp_path / 'line-3', shapes, kind=TensorProto.UINT8)
    folder = write_triton(package, tmp_path / 'repository')
    assert folder == tmp_path / 'repository/line-3'
    config = parsed(folder / 'config.pbtxt')
    assert (config.name, config.backend) == ('line-3', 'onnxruntime')
    assert config.max_batch_size == 32
    assert config.dynamic_batching.max_queue_delay_microseconds == 1000
    graph = onnx.load(folder / '1/model.onnx').graph
    for said, values in ((config.input, graph.input), (config.output, graph.output)):
        assert [tensor.name for tensor in said] == [value.name for value in values]
        for tensor, value in zip(said, values, strict=True):
            kind = config.DESCRIPTOR.file.enum_types_by_name['DataType']
            name = kind.values_by_number[tensor.data_type].name
            assert TRITON[name] == value.type.tensor_type.elem_type
            _, *dims = value.type.tensor_type.shape.dim
            sizes = [dim.dim_value or -1 for dim in dims]
            assert list(tensor.dims) == (sizes or [1])
            assert tensor.HasField('reshape') == (not sizes)
            assert not tensor.reshape.shape


def test_feature_beside_other_models(tmp_path: Path) -> None:
    """Each model in its own folder, and the package as it was in its version."""
    package = write_package(tmp_path / 'a', {'map': ['batch', 1, 'h', 'w']})
    out = tmp_path / 'repository'
    for name in ('first', 'second'):
        folder = write_triton(package, out, name=name)
        kept = read_package(folder / '1')
        assert kept.to_dict() == read_package(package).to_dict()
        config = parsed(folder / 'config.pbtxt')
        assert (config.name, config.default_model_filename) == (name, 'model.onnx')
    assert sorted(path.name for path in out.iterdir()) == ['first', 'second']
    with pytest.raises(FileExistsError, match=r'first holds something already'):
        write_triton(package, out, name='first')


@pytest.mark.parametrize(
    ('shape', 'kind', 'said'),
    [
        ([1, 4], TensorProto.FLOAT, "'x' has no batch of any size first"),
        ([], TensorProto.FLOAT, "'x' has no batch of any size first"),
        (['b', 4], TensorProto.BFLOAT16, "'image' holds BFLOAT16, expected one of"),
    ],
)
def test_exception_graph(tmp_path: Path, shape: list, kind: int, said: str) -> None:
    package = write_package(tmp_path / 'a', {'x': shape}, kind=kind)
    with pytest.raises(ValueError, match=said):
        write_triton(package, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_exception_settings(tmp_path: Path) -> None:
    package = write_package(tmp_path / 'a', {'x': ['batch', 4]})
    with pytest.raises(ValueError, match=r"name='../a': expected letters"):
        write_triton(package, tmp_path / 'out', name='../a')
    found = read_package(package)
    (package / 'model.onnx').rename(package / 'model.xml')
    changed = replace(found.graph, format='openvino', file='model.xml')
    replace(found, graph=changed).save(package)
    with pytest.raises(ValueError, match=r'model\.xml: expected an ONNX graph'):
        write_triton(package, tmp_path / 'out')
    (package / 'model.xml').write_bytes(b'another')
    with pytest.raises(ValueError, match='has changed since it was exported'):
        write_triton(package, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()
