"""Packages around graphs that are written by hand: no torch, a few milliseconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mmdefect.deploy.inputs import InputSpec
from mmdefect.deploy.package import Graph, Package
from mmdefect.deploy.spec import ModelSpec

SUPPRESSION = {
    'score_threshold': 0.05,
    'nms_pre': 100,
    'iou_threshold': 0.5,
    'nms_offset': 0,
    'class_agnostic': False,
    'max_per_image': 10,
    'min_box_size': 0.0,
}


def _model(
    nodes: list[Any],
    outputs: dict[str, list[Any]],
    constants: dict,
    *,
    routes: bool = False,
) -> Any:
    images = helper.make_tensor_value_info(
        'images', TensorProto.FLOAT, ['batch', 3, 'height', 'width']
    )
    given = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    made = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in outputs.items()
    ]
    inputs = [images]
    if routes:
        told = helper.make_tensor_value_info('told', TensorProto.INT64, ['batch'])
        inputs.append(told)
        made[-1] = helper.make_tensor_value_info(
            'products', TensorProto.INT64, ['batch']
        )
    graph = helper.make_graph(nodes, 'hand', inputs, made, given)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=9
    )


def labels_graph() -> Any:
    """Softmax of the mean of each channel: three classes, of blue, green and red."""
    nodes = [
        helper.make_node('ReduceMean', ['images', 'axes'], ['means'], keepdims=0),
        helper.make_node('Softmax', ['means'], ['probabilities'], axis=1),
    ]
    constants = {'axes': np.array([2, 3])}
    return _model(nodes, {'probabilities': ['batch', 3]}, constants)


def maps_graph() -> Any:
    """The mean of the channels is the map, its maximum the score."""
    nodes = [
        helper.make_node('ReduceMean', ['images', 'channel'], ['maps'], keepdims=0),
        helper.make_node('ReduceMax', ['maps', 'place'], ['scores'], keepdims=0),
    ]
    constants = {'channel': np.array([1]), 'place': np.array([1, 2])}
    outputs = {'maps': ['batch', 'height', 'width'], 'scores': ['batch']}
    return _model(nodes, outputs, constants)


def routed_graph() -> Any:
    """The same maps; the product is told, or unknown where the image is not black."""
    nodes = [
        helper.make_node('ReduceMean', ['images', 'channel'], ['maps'], keepdims=0),
        helper.make_node('ReduceMax', ['maps', 'place'], ['scores'], keepdims=0),
        helper.make_node('Ceil', ['scores'], ['bright']),
        helper.make_node('Cast', ['bright'], ['whole'], to=TensorProto.INT64),
        helper.make_node('Neg', ['whole'], ['seen']),
        helper.make_node('Max', ['seen', 'told'], ['products']),
    ]
    constants = {'channel': np.array([1]), 'place': np.array([1, 2])}
    outputs: dict[str, list[Any]] = {'maps': ['batch', 'height', 'width']}
    outputs |= {'scores': ['batch'], 'products': ['batch']}
    return _model(nodes, outputs, constants, routes=True)


def boxes_graph(classes: int = 2) -> Any:
    """Two boxes whose scores of up to three classes are means of channels.

    Of the first box blue, green, red in turn; of the second green, red, blue.
    """
    nodes = [
        helper.make_node('ReduceMean', ['images', 'place'], ['means'], keepdims=0),
        helper.make_node('Gather', ['means', 'pairs'], ['scores_0'], axis=1),
        helper.make_node('Shape', ['images'], ['batch'], start=0, end=1),
        helper.make_node('Concat', ['batch', 'rest'], ['shape'], axis=0),
        helper.make_node('Expand', ['corners', 'shape'], ['boxes_0']),
    ]
    corners = np.array([[[2, 4, 10, 12], [20, 4, 40, 44]]], np.float32)
    constants = {
        'place': np.array([2, 3]),
        'pairs': np.array([[0, 1, 2][:classes], [1, 2, 0][:classes]]),
        'rest': np.array([2, 4]),
        'corners': corners,
    }
    outputs = {'scores_0': ['batch', 2, classes], 'boxes_0': ['batch', 2, 4]}
    return _model(nodes, outputs, constants)


GRAPHS = {
    'labels': labels_graph,
    'maps': maps_graph,
    'routed': routed_graph,
    'boxes': boxes_graph,
}
CLASSES = {
    'labels': ('blue', 'green', 'red'),
    'maps': ('bottle',),
    'routed': ('bottle', 'cable'),
    'boxes': ('dent', 'crack'),
}


def hand_package(folder: Path, task: Any, **spec: Any) -> Package:
    """Write a package of a task; its images are scaled to 0 to 1, twice as wide.

    ``routed`` are maps of a model that recognises products. Boxes may have up to three
    ``classes``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    classes = tuple(spec.pop('classes', CLASSES[task]))
    model = boxes_graph(len(classes)) if task == 'boxes' else GRAPHS[task]()
    if task == 'routed':
        task, spec['routes'] = 'maps', True
    onnx.save(model, folder / 'model.onnx')
    inputs = tuple(given.name for given in model.graph.input)
    outputs = tuple(output.name for output in model.graph.output)
    resize = {
        'op': 'resize',
        'size': [32, 16],
        'keep_ratio': False,
        'backend': 'cv2',
        'interpolation': 'nearest',
    }
    given = InputSpec(
        steps=(resize,),
        colour='bgr',
        mean=(0.0, 0.0, 0.0),
        std=(255.0, 255.0, 255.0),
        size=(32, 16),
    )
    package = Package(
        folder=folder,
        spec=ModelSpec(task=task, classes=classes, **spec),
        input=given,
        graph=Graph(format='onnx', file='model.onnx', inputs=inputs, outputs=outputs),
        postprocess=SUPPRESSION if task == 'boxes' else {},
    )
    return package.save(folder)
