"""The folder that is handed to an edge box: a graph, and ``package.json`` about it."""

from __future__ import annotations

import mmap
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mmdefect.deploy.inputs import InputSpec
from mmdefect.deploy.package_fields import (
    FIELDS,
    SMOOTHING,
    SUPPRESSION,
    SUPPRESSION_OPTIONS,
    WEIGHTS,
    check_fields,
)
from mmdefect.deploy.spec import ModelSpec, Task
from mmdefect.deploy.tiling import spec_in_tiles
from mmdefect.utils.checks import brief, check_choice, check_number, some_of
from mmdefect.utils.files import file_sha256, write_json
from mmdefect.utils.text_files import read_json

#: How ONNX says that a tensor lies in another file, whose hash nobody keeps: entry 13
#: of a tensor, of the key `location` and a path. A name of a value would have a type
#: behind it.
_ELSEWHERE = re.compile(
    rb'\x6a[\x80-\xff]{0,2}[\x00-\x7f]\x0a\x08location'
    rb'\x12[\x80-\xff]{0,2}[\x00-\x7f][^\x0a]'
)
FILE = 'package.json'
FORMAT_VERSION = 1
FORMATS = {'onnx': '.onnx', 'openvino': '.xml'}
PRECISIONS = ('float32', 'int8')
# Of each task: outputs that its graph has at least.
OUTPUTS: dict[Task, tuple[str, ...]] = {
    'boxes': ('scores_0', 'boxes_0'),
    'maps': ('maps', 'scores'),
    'labels': ('probabilities',),
}
KEYS = (
    'task', 'classes', 'defective', 'thresholds', 'default_threshold', 'calibrated',
    'input', 'graph', 'postprocess', 'about', 'parity',
)  # fmt: skip
_OF_A_LINE = (
    '; if it is a version of a line, restore it, or go on with another by `mmdefect '
    'line rollback`'
)
# Entries that packages of earlier versions do not have, and what holds for these.
LATER: dict[str, Any] = {'routes': False, 'alarms': {}}


@dataclass(frozen=True, kw_only=True)
class Graph:
    """The network's file.

    Args:
        format: ``'onnx'`` or ``'openvino'``.
        file: Its name in the folder.
        sha256: Of its content.
        weights: OpenVINO only: ``file`` and ``sha256`` of the second file.
        precision: ``'float32'`` or ``'int8'``.
        inputs: Names: the images; with ``routes`` which product each shows, int64, -1
            where it is to be recognised.
        outputs: Names, in order.
    """

    format: str
    file: str
    sha256: str = ''
    weights: Mapping[str, str] | None = None
    precision: str = 'float32'
    inputs: tuple[str, ...] = ('images',)
    outputs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_choice('graph.format', self.format, FORMATS)
        check_choice('graph.precision', self.precision, PRECISIONS)

    def files(self) -> dict[str, str]:
        """File in the folder -> its SHA-256."""
        found = {self.file: self.sha256}
        if self.weights:
            found[self.weights['file']] = self.weights['sha256']
        return found


@dataclass(frozen=True, kw_only=True)
class Package:
    """What a package says of itself.

    Args:
        folder: Where it lies.
        spec: What its users see; ``spec.about`` is where it comes from.
        input: How an image becomes an input.
        graph: The network.
        postprocess: From the outputs of a detector to boxes; of maps ``sigma``, where
            they are smoothed at the size of the image; else empty.
        parity: What the export measured against the model that it was made of.
    """

    folder: Path
    spec: ModelSpec
    input: InputSpec
    graph: Graph
    postprocess: Mapping[str, Any] = field(default_factory=dict)
    parity: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """What ``package.json`` holds."""
        return {
            'format_version': FORMAT_VERSION,
            'task': self.spec.task,
            'classes': list(self.spec.classes),
            'defective': self.spec.defective,
            'thresholds': dict(self.spec.thresholds),
            'default_threshold': self.spec.default_threshold,
            'calibrated': self.spec.calibrated,
            'routes': self.spec.routes,
            'alarms': {name: dict(told) for name, told in self.spec.alarms.items()},
            'input': self.input.to_dict(),
            'graph': asdict(self.graph),
            'postprocess': dict(self.postprocess),
            'about': dict(self.spec.about),
            'parity': dict(self.parity),
        }

    def save(self, folder: str | Path) -> Package:
        """Write ``package.json`` in one piece, with the graph's files hashed anew.

        Returns:
            The package in that folder.
        """
        folder = Path(folder)
        weights = self.graph.weights
        if weights is not None:
            name = weights['file']
            weights = {'file': name, 'sha256': file_sha256(folder / name)}
        sha256 = file_sha256(folder / self.graph.file)
        graph = replace(self.graph, sha256=sha256, weights=weights)
        saved = replace(self, folder=folder, graph=graph)
        write_json(folder / FILE, saved.to_dict())
        return saved


def is_package(path: str | Path) -> bool:
    """Whether a folder holds a ``package.json``."""
    return (Path(path) / FILE).is_file()


def read_package(folder: str | Path) -> Package:
    """Read a package and check that it is whole and unchanged.

    Raises:
        FileNotFoundError: The folder, its ``package.json`` or its graph is not there.
        ValueError: It is none of ours, of a newer version, or has changed since it was
            exported.
    """
    folder = Path(folder)
    if not is_package(folder):
        raise FileNotFoundError(
            f'{folder} holds no {FILE}: expected the folder that an export has '
            'written; check the path'
        )
    content = read_json(folder / FILE, 'description of a package')
    _check_version(content, folder)
    try:
        package = _package_of(content, folder)
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise ValueError(
            f'{folder / FILE} is not as an export wrote it ({error}); export again'
        ) from None
    for name, sha256 in package.graph.files().items():
        _check_file(folder / name, sha256)
    if package.graph.format == 'onnx':
        _check_inside(folder / package.graph.file)
    return package


def _check_version(content: Mapping[str, Any], folder: Path) -> None:
    version = content.get('format_version')
    if type(version) is not int or version < 1:
        raise ValueError(
            f'{folder / FILE} has format_version={brief(version)}: expected a package '
            'that mmdefect has exported; check where it comes from'
        )
    if version > FORMAT_VERSION:
        raise ValueError(
            f'{folder / FILE} has format_version={version}: expected at most '
            f'{FORMAT_VERSION}, it is of a newer mmdefect; update mmdefect, or export '
            'again with this one'
        )
    if missing := [key for key in KEYS if key not in content]:
        raise ValueError(
            f'{folder / FILE} lacks {some_of(missing)}: expected all that an export '
            'writes; export again'
        )


def _package_of(content: Mapping[str, Any], folder: Path) -> Package:
    content = {**LATER, **content}
    check_fields(content, FIELDS)
    if content['graph'].get('weights') is not None:
        check_fields(content, WEIGHTS)
    if content['task'] == 'boxes':
        given = {f'postprocess.{key}' for key in content['postprocess']}
        more = {key: SUPPRESSION_OPTIONS[key] for key in given & {*SUPPRESSION_OPTIONS}}
        check_fields(content, SUPPRESSION | more)
    if 'sigma' in content['postprocess']:
        check_fields(content, SMOOTHING)
    graph = dict(content['graph'])
    for key in ('inputs', 'outputs'):
        graph[key] = tuple(graph[key])
    spec = ModelSpec(
        task=content['task'],
        classes=tuple(content['classes']),
        defective=content['defective'],
        thresholds=dict(content['thresholds']),
        default_threshold=content['default_threshold'],
        calibrated=content['calibrated'],
        routes=content['routes'],
        alarms=dict(content['alarms']),
        about=dict(content['about']),
    )
    package = Package(
        folder=folder,
        spec=spec,
        input=InputSpec.from_dict(content['input']),
        graph=Graph(**graph),
        postprocess=dict(content['postprocess']),
        parity=dict(content['parity']),
    )
    _check(package)
    return package


def _check(package: Package) -> None:
    """Whether the entries belong together."""
    spec, graph, given = package.spec, package.graph, package.input
    if spec.defective is not None:
        check_choice('defective', spec.defective, spec.classes)
    spec_in_tiles(spec, None)  # reads what the calibration says
    if (bits := spec.about.get('bits')) is not None:
        check_number('about.bits', bits, 8, 16, whole=True)
    if Path(graph.file).suffix != FORMATS[graph.format]:
        raise ValueError(
            f'graph.file={graph.file!r}: expected one of {FORMATS[graph.format]} for '
            f'{graph.format}'
        )
    count = 'two' if spec.routes else 'one'  # the image, and which product it shows
    if len(graph.inputs) != 1 + spec.routes:
        names = brief([*graph.inputs])
        raise ValueError(f'graph.inputs={names}: expected {count}')
    levels = range(len(graph.outputs) // 2 if spec.task == 'boxes' else 0)
    more = {f'{what}_{level}' for level in levels for what in ('scores', 'boxes')}
    wanted = more.union(OUTPUTS[spec.task], ['products'] * spec.routes)
    if missing := sorted(wanted - {*graph.outputs}):
        raise ValueError(f'graph.outputs lack {some_of(missing)} of {spec.task}')
    fixed = given.fixed_size()
    if given.size is not None and fixed not in (None, tuple(given.size)):
        raise ValueError(f'input.size={given.size}: expected {fixed}, as by its steps')


def _check_file(path: Path, sha256: str) -> None:
    if not path.is_file():
        raise FileNotFoundError(
            f'{path} does not exist: expected the graph that {FILE} names; copy the '
            f'whole package again{_OF_A_LINE}'
        )
    if file_sha256(path) != sha256:
        raise ValueError(
            f'{path} has changed since it was exported: expected SHA-256 '
            f'{sha256[:12]}...; copy the package again, or export anew{_OF_A_LINE}'
        )


def _check_inside(path: Path) -> None:
    """Refuse weights that lie beside the graph, where a change would not show."""
    with path.open('rb') as file:
        if not path.stat().st_size:
            return  # no graph; whoever opens it says so
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            found = _ELSEWHERE.search(content)
    if found:
        raise ValueError(
            f'{path} keeps weights in a file beside it: expected all of them in the '
            'graph, as an export writes it; save it without external data'
        )
