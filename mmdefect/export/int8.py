"""From a package of float32 to one of int8, if that is faster and as right.

Static quantisation by ONNX Runtime (https://onnxruntime.ai/docs/performance/
model-optimizations/quantization.html): weights of each channel in 7 bits, activations
in 8 bits by their range on calibration images. Both ONNX Runtime and OpenVINO compute
such a graph in integers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from mmdefect.deploy.package import FORMATS, Package, read_package
from mmdefect.deploy.runtime import PackageBackend, open_package
from mmdefect.deploy.sources import Inputs, count_frames, open_frames, read_image
from mmdefect.export.accuracy import LabelledSet, read_labelled
from mmdefect.export.card import model_card
from mmdefect.export.write import CARD, ONNX_FILE, written_graph
from mmdefect.utils.checks import check_choice
from mmdefect.utils.files import new_folder, write_text
from mmdefect.utils.timing import interleaved

#: Layers with weights, which are what costs.
WEIGHTED = ('Conv', 'ConvTranspose', 'Gemm', 'MatMul')
#: What stands between them and has no need of float32.
BETWEEN = ('Add', 'Clip', 'Concat', 'GlobalAveragePool', 'MaxPool', 'Relu')
LEAST_GAIN, MOST_LOSS = 1.1, 0.005
#: As many calibration looks at, spread over those that are given.
MOST_IMAGES = 200


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Float32 and int8 on the same images and the same machine.

    Attributes:
        measure: What accuracy is.
        images: On how many it was measured.
        float32: Accuracy, a fraction.
        int8: The same, of the new graph.
        float32_ms: Median milliseconds of one image, preparing and deciding included.
        int8_ms: The same, of the new graph.
        gain: Median of the ratios of interleaved pairs, float32 over int8.
        runtime: What computed both.
        calibrated_on: Images that gave the ranges of activations.
    """

    measure: str
    images: int
    float32: float
    int8: float
    float32_ms: float
    int8_ms: float
    gain: float
    runtime: str
    calibrated_on: int

    @property
    def loss(self) -> float:
        """What int8 loses of the accuracy, a fraction."""
        return self.float32 - self.int8

    def __str__(self) -> str:
        moves = 'rises' if self.loss < 0 else 'falls'
        return (
            f'{self.gain:.2f}x as fast as float32 ({self.int8_ms:.2f} against '
            f'{self.float32_ms:.2f} ms an image, {self.runtime}), and {self.measure} '
            f'on {self.images} images {moves} by {100 * abs(self.loss):.2f} points '
            f'({100 * self.int8:.2f} against {100 * self.float32:.2f} %)'
        )


def quantise(
    package: str | Path,
    out: str | Path,
    *,
    calibration: Inputs,
    labelled: str | Path,
    labelled_images: str | Path | None = None,
    format: str = 'onnx',  # noqa: A002  as of an export
    least_gain: float = LEAST_GAIN,
    most_loss: float = MOST_LOSS,
    rounds: int = 50,
) -> Path:
    """Write an int8 package, unless it is hardly faster or less right than the float.

    Both are measured here: how right on the labelled images, how fast in turn, one
    image at a time, on this machine.

    Args:
        package: Folder of an ONNX package of float32.
        out: New or empty folder.
        calibration: Typical images, good and defective: they say which values
            activations take. Inputs as those of an inferencer.
        labelled: Images that the accuracy is measured on, others than those of the
            training. Boxes: a COCO file. Labels: a folder with one of images a class.
            Maps: a folder of products as MVTec-AD has them.
        labelled_images: Boxes only: the folder where the file names in ``labelled``
            start; its own by default.
        format: Of the new graph, ``'onnx'`` or ``'openvino'``.
        least_gain: How many times faster it has to be.
        most_loss: Which fraction of the accuracy it may lose: 0.005 is half a point.
        rounds: Pairs of runs that the speed is measured with.

    Returns:
        The folder. Its ``package.json`` and model card hold what was measured.

    Raises:
        FileExistsError: ``out`` holds something already.
        FileNotFoundError: A folder, a file or an image is not there.
        ImportError: ONNX Runtime, onnx or OpenVINO is not installed.
        ValueError: The package is none of float32 in ONNX, images are not labelled as
            the model needs it, or int8 is not worth it; nothing is written then.

    Example:
        >>> quantise(
        ...     'my_package', 'my_int8', calibration='photos', labelled='test'
        ... )  # doctest: +SKIP
        PosixPath('my_int8')
    """
    check_choice('format', format, FORMATS)
    given = read_package(package)
    if (given.graph.format, given.graph.precision) != ('onnx', 'float32'):
        raise ValueError(
            f'{package} holds {given.graph.precision} for {given.graph.format}: '
            "expected float32 for onnx to make int8 of; export it with format='onnx'"
        )
    folder = None if labelled_images is None else Path(labelled_images)
    known = read_labelled(Path(labelled), given.spec, images=folder)
    with new_folder(Path(out)) as draft:
        batches = Calibration(given, calibration, most=MOST_IMAGES)
        write_int8(given.folder / given.graph.file, draft / ONNX_FILE, batches)
        graph = written_graph(format, draft, given.graph.inputs, given.graph.outputs)
        made = replace(given, graph=replace(graph, precision='int8')).save(draft)
        runtime = 'auto' if format == 'onnx' else 'openvino'
        figures = measured(
            open_package(given.folder, backend=runtime, device='cpu'),
            open_package(draft, backend=runtime, device='cpu'),
            known,
            rounds=rounds,
            calibrated_on=batches.seen,
        )
        _refuse(figures, least_gain, most_loss)
        parity = {'int8': asdict(figures), 'float32': dict(given.parity)}
        made = replace(made, parity=parity).save(draft)
        write_text(draft / CARD, model_card(made))
    return Path(out)


def _refuse(figures: Figures, least_gain: float, most_loss: float) -> None:
    """Raise ValueError unless int8 is worth it; NaN is not."""
    if not (figures.gain >= least_gain and figures.loss <= most_loss):
        raise ValueError(
            f'int8 is {figures}: expected at least {least_gain:g}x and at most '
            f'{100 * most_loss:g} points; use the float32 package, or other images to '
            'calibrate on'
        )


class Calibration:
    """Inputs of the network that images become, one image at a time.

    Args:
        package: How they are prepared.
        images: Inputs as those of an inferencer.
        most: At most as many, spread over those that are there.

    Attributes:
        seen: How many there were so far.

    Raises:
        FileNotFoundError: There are none.
        ValueError: There are none, or, later, one cannot be read.
    """

    def __init__(self, package: Package, images: Inputs, *, most: int) -> None:
        self.seen = 0
        self._names = package.graph.inputs
        self._prepare = package.input.prepare
        frames = open_frames(images, bits=package.spec.about.get('bits'))
        every = math.ceil((count_frames(images) or 1) / most)
        self._frames: Iterator[Any] = islice(frames, 0, every * most, every)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """What the graph takes, None when all were seen: as ONNX Runtime asks for it.

        Raises:
            ValueError: An image cannot be read.
        """
        frame = next(self._frames, None)
        if frame is None:
            return None
        if frame.image is None:
            raise ValueError(frame.error)
        self.seen += 1
        pixels = self._prepare(frame.image).pixels[None]
        # No product is told: it is recognised.
        return dict(zip(self._names, (pixels, np.array([-1])), strict=False))


def write_int8(source: Path, target: Path, batches: Any) -> None:
    """Quantise a graph.

    Args:
        source: ONNX file of float32.
        target: File to be written.
        batches: A :class:`Calibration`.

    Raises:
        ValueError: There is nothing to quantise, or an image cannot be read.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with TemporaryDirectory(dir=target.parent) as folder:
        ready = Path(folder) / 'ready.onnx'
        # Batch norms become part of their convolutions. The sizes are known already.
        quant_pre_process(source, ready, skip_symbolic_shape=True)
        model = onnx.load(ready)
        chosen = in_integers(model.graph)
        if not chosen:  # to the quantiser that would mean all
            raise ValueError(
                f'{source}: expected a convolution, or linear layers in a row, to '
                'compute in integers; use the float32 package'
            )
        onnx.save(model, ready)
        quantize_static(
            ready,
            target,
            batches,
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            # Of both signs it takes ONNX Runtime twice as long.
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            # Seven bits of weights: sums of two products of eight overflow on
            # processors without VNNI, where the same package would be less right.
            reduce_range=True,
            op_types_to_quantize=[*WEIGHTED, *BETWEEN],
            nodes_to_quantize=chosen,
        )


def in_integers(graph: Any) -> list[str]:
    """Names of the nodes to quantise: those up to the last layer with weights.

    What follows makes boxes, probabilities and distances of numbers of which eight bits
    are not enough. So does the last linear layer; the last convolutions of a detector
    cost too much to be left out. Nodes without a name get one.
    """
    weights = {weight.name for weight in graph.initializer}
    # In the order of computing: from the end, whoever reads an output is known.
    leads: set[str] = set()
    chosen = []
    for number, node in reversed([*enumerate(graph.node)]):
        node.name = node.name or f'{node.op_type}_{number}'
        weighted = node.op_type in WEIGHTED and bool(weights & set(node.input))
        further = bool(leads & set(node.output))
        if weighted or further:
            leads |= set(node.input)
        known = weighted or node.op_type in BETWEEN
        if known and (further or node.op_type.startswith('Conv')):
            chosen.append(node.name)
    return chosen[::-1]


def measured(
    before: PackageBackend,
    after: PackageBackend,
    known: LabelledSet,
    *,
    rounds: int,
    calibrated_on: int,
) -> Figures:
    """Accuracy of both on labelled images, and their times in turn on one of them."""
    bits = before.spec.about.get('bits')
    image = [read_image(known.images[0], bits=bits)]
    times = interleaved(lambda: before(image), lambda: after(image), pairs=rounds)
    slow, fast = times.medians
    return Figures(
        measure=known.measure,
        images=len(known.images),
        float32=known.measured(before),
        int8=known.measured(after),
        float32_ms=1000 * slow,
        int8_ms=1000 * fast,
        gain=times.ratio,
        runtime=after.name,
        calibrated_on=calibrated_on,
    )
