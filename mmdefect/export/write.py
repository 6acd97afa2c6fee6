"""Exporting: a trained model in, a package out that was shown to say the same."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from mmdefect.deploy.inputs import InputSpec
from mmdefect.deploy.package import FORMATS, Graph, Package
from mmdefect.deploy.runtime import open_package
from mmdefect.deploy.sources import Inputs
from mmdefect.export.card import model_card
from mmdefect.export.graphs import Exportable, exportable
from mmdefect.export.input_specs import input_spec
from mmdefect.export.onnx_file import example_products, write_onnx
from mmdefect.export.provenance import provenance
from mmdefect.export.samples import samples
from mmdefect.export.verify import Tolerance, compare
from mmdefect.utils.checks import check_choice
from mmdefect.utils.files import new_folder, write_text

if TYPE_CHECKING:
    from mmengine.config import Config

ONNX_FILE = 'model.onnx'
OPENVINO_FILE = 'model.xml'
CARD = 'README.md'


def export(
    model: Config | str | Path,
    out: str | Path,
    *,
    weights: str | Path | None = None,
    step: int | None = None,
    format: str = 'onnx',  # noqa: A002  as the command line has it
    images: Inputs | None = None,
    threshold: float | Mapping[str, float] | None = None,
) -> Path:
    """Write a package: a graph, ``package.json`` and a model card.

    The model and the package look at the same images, alone and in a batch, and nothing
    is written if they disagree.

    Args:
        model: The work dir of a stream, of a plain training or of a pruning; or a
            config with ``weights``. As for
            :class:`~mmdefect.apis.inferencer.DefectInferencer`.
        out: New or empty folder.
        weights: File of the weights; by default what the work dir has left, calibrated
            where it is.
        step: Of a stream; by default the last that is trained.
        format: ``'onnx'`` (ONNX Runtime and OpenVINO read it) or ``'openvino'``.
        images: On which both are compared; by default images of the test set, or drawn
            ones where there is none.
        threshold: From which score on a defect is called one, in place of what was
            calibrated: one number, or a number a class (or product).

    Returns:
        The folder.

    Raises:
        FileExistsError: ``out`` holds something already.
        FileNotFoundError: There is no such model or file of weights, or image.
        ImportError: The exporter or a runtime is not installed.
        ValueError: The model, or its test pipeline, is none that an export knows; or
            model and package disagree.

    Example:
        >>> export('work_dirs/my_stream', 'my_package')  # doctest: +SKIP
        PosixPath('my_package')
    """
    from mmdefect.apis.torch_backend import TorchBackend

    check_choice('format', format, FORMATS)
    _check_installed(format)
    backend = TorchBackend(model, weights=weights, step=step, device='cpu')
    if threshold is not None:
        backend.spec = replace(backend.spec.with_threshold(threshold), calibrated=False)
    with new_folder(Path(out)) as draft:
        _write(backend, draft, format, images)
    return Path(out)


def _check_installed(kind: str) -> None:
    from importlib.util import find_spec

    needed = ['onnx', 'onnxscript', *(['openvino'] if kind == 'openvino' else [])]
    missing = [name for name in needed if find_spec(name) is None]
    if not missing and kind == 'onnx':
        able = [name for name in ('onnxruntime', 'openvino') if find_spec(name)]
        missing = [] if able else ['onnxruntime']
    if missing:
        raise ImportError(
            f'{", ".join(missing)}: expected to be installed for an export; run '
            f'`pip install {" ".join(missing)}`'
        )


def _write(backend: Any, draft: Path, kind: str, images: Inputs | None) -> None:
    spec = backend.spec
    about = provenance(backend.cfg, spec)
    network = exportable(backend.model, spec.task)
    network.module.eval()
    given = input_spec(backend.cfg, backend.model, spec.task)
    shown, source = samples(backend.cfg, given, images, bits=spec.about.get('bits'))
    given = _traced(network, given, shown[0], draft / ONNX_FILE)
    package = Package(
        folder=draft,
        spec=replace(spec, about=about),
        input=given,
        graph=written_graph(kind, draft, network.inputs, network.outputs),
        postprocess=network.postprocess,
    )
    package = package.save(draft)
    parity = compare(backend, open_package(draft), shown, tolerance=Tolerance())
    package = replace(package, parity={'source': source, **parity}).save(draft)
    write_text(draft / CARD, model_card(package))


def _traced(
    network: Exportable, given: InputSpec, image: np.ndarray, path: Path
) -> InputSpec:
    """Write the graph; say what it takes.

    A classifier that is made for one size, such as one with a flattening neck, is
    traced at the size of the image where its pipeline leaves the size open.
    """
    pixels = given.prepare(image).pixels
    # Two images: the number 1 would be taken for a constant.
    example = torch.from_numpy(np.stack([pixels, pixels]))
    if given.size is not None:
        write_onnx(network, example, path, any_size=False)
        return given
    boxes = 'boxes_0' in network.outputs
    if boxes or _takes_any_size(network, example, given.pad_divisor):
        try:
            write_onnx(network, example, path, any_size=True)
        except ValueError:
            # Padding that is computed from the size, as TensorFlow's networks have it.
            if boxes:
                raise
        else:
            return given
    write_onnx(network, example, path, any_size=False)
    return replace(given, size=(pixels.shape[2], pixels.shape[1]))


@torch.no_grad()
def _takes_any_size(network: Exportable, example: Tensor, divisor: int) -> bool:
    """Whether a network takes images that are a step wider and two steps higher."""
    larger = nn.functional.pad(example, (0, divisor * 8, 0, divisor * 16))
    try:
        network.module(larger, *example_products(network, larger))
    except (RuntimeError, ValueError, AssertionError):
        return False
    return True


def written_graph(
    kind: str, draft: Path, inputs: tuple[str, ...], outputs: tuple[str, ...]
) -> Graph:
    """Turn the ONNX file of a draft into its format; it is hashed when it is saved.

    Raises:
        OSError: It cannot be written.
    """
    if kind == 'onnx':
        return Graph(format=kind, file=ONNX_FILE, inputs=inputs, outputs=outputs)
    import openvino

    converted = openvino.convert_model(draft / ONNX_FILE)
    # In full precision: halves would not keep what was promised.
    try:
        openvino.save_model(converted, draft / OPENVINO_FILE, compress_to_fp16=False)
    except RuntimeError as error:  # of a C++ stream, which knows neither file nor cause
        reason = f'OpenVINO cannot write it ({error})'
        raise OSError(errno.EIO, reason, str(draft / OPENVINO_FILE)) from error
    (draft / ONNX_FILE).unlink()
    weights = {'file': Path(OPENVINO_FILE).with_suffix('.bin').name, 'sha256': ''}
    return Graph(
        format=kind,
        file=OPENVINO_FILE,
        weights=weights,
        inputs=inputs,
        outputs=outputs,
    )
