"""Speed and memory of prediction: every task in every engine, and all around it.

Weights are random where only times are told; accuracy in int8 is that of toy trainings.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import torch

from lab.benchmarks.edge_install import edge_python, first_result_seconds
from lab.benchmarks.inference_cases import CASES, make_case
from lab.benchmarks.inference_engines import (
    CONFIG,
    PACKAGE,
    WEIGHTS,
    batch_of,
    open_engine,
    peak_elsewhere,
    photographs,
)
from lab.benchmarks.inference_toys import Toy, train_casting, train_gfl
from mmdefect.apis.inferencer import DefectInferencer
from mmdefect.deploy.package import read_package
from mmdefect.export.int8 import quantise
from mmdefect.export.write import export
from mmdefect.utils.timing import PairTimes, Progress, in_turn, interleaved

Measurement = Callable[[Progress | None], dict[str, float]]
BATCHES = (1, 8)
ENGINES = ('eager', 'compiled', 'ort', 'openvino')
RUNTIMES = ('ort', 'openvino')
FILES = 32
# Of the drawn castings, in pixels.
SIDE = 128


class InferenceSuite:
    """Measurements of prediction, one by one.

    Args:
        configs: The folder ``configs`` of this repository.
        pairs: Rounds in which all engines take their turn.
        images: Images of the folder that is looked at in constant memory.
        toys: Castings of each class, and images of each class of steel, that the toy
            trainings see.
        epochs: Of the toy trainings; by default enough.

    Attributes:
        comparisons: Name -> what measures it, and what belongs to it.
    """

    dataset = 'random and drawn images'

    def __init__(
        self,
        *,
        configs: str | Path,
        pairs: int = 50,
        images: int = 10_000,
        toys: int = 60,
        epochs: int | None = None,
    ) -> None:
        self.configs = Path(configs).absolute()
        self.pairs = pairs
        self.images = images
        self.toys = toys
        self.epochs = epochs
        self._kept = TemporaryDirectory()
        self._folder = Path(self._kept.name)
        self._not_compiled: dict[str, str] = {}
        # What needs the network of this machine comes first.
        self.comparisons: dict[str, Measurement] = {
            'edge_install_mb': self._edge,
            **{
                f'{model}_b{batch}_best/eager': partial(self._engines, model, batch)
                for model in CASES
                for batch in BATCHES
            },
            'inferencer_torch/predict': partial(self._overhead, 'predict'),
            'inferencer_torch/network': partial(self._overhead, 'torch'),
            'inferencer_ort/network': partial(self._overhead, 'ort'),
            'folder_peak/peak_of_a_tenth': self._memory,
            'casting_int8_gain': partial(self._int8, 'casting'),
            'gfl_int8_gain': partial(self._int8, 'gfl'),
        }

    @property
    def notes(self) -> str:
        """What a reader of the numbers must know."""
        sides = ', '.join(f'{name} {case.side}' for name, case in CASES.items())
        said = (
            f'Networks with random weights, {self.pairs} rounds in which all engines '
            'take their turn in one process, from prepared images to the outputs of '
            'the graph: boxes of all priors, maps and scores, probabilities. '
            f'Photographs of {sides} px. Peak memory is that of a process of its own, '
            'imports included. Inferencer: the same GFL, batches of 8, '
            f'from {FILES} PNG files (or arrays) to decisions, decoding, preparing and '
            'suppression included, over the graph alone (network) or over the model '
            f'with its suppression (predict). Folder: {self.images} files, a tenth of '
            'them, the pruned network. Int8: toy trainings from scratch, '
            'MobileNetV2 on drawn castings and GFL with MobileNetV2 on drawn steel, '
            'whole predictions of one image. Edge: packages without mmdefect itself, '
            'start of a process until the first result of the classifier.'
        )
        for name, reason in self._not_compiled.items():
            said += f' torch.compile failed with {name}: {reason}.'
        return said

    def made(self, model: str) -> Path:
        """Folder of a network: config, weights and package, made when needed."""
        folder = self._folder / model
        if not (folder / PACKAGE).is_dir():
            make_case(CASES[model], self.configs, folder)
        return folder

    def _engines(
        self, model: str, batch: int, progress: Progress | None = None
    ) -> dict[str, float]:
        key, folder = f'{model}_b{batch}', self.made(model)
        images = batch_of(folder, batch, CASES[model].side)
        opened: dict[str, Callable[[], Any]] = {}
        for name in ENGINES:
            run = partial(open_engine(name, folder, torch.get_num_threads()), images)
            if name != 'compiled' or self._compiles(key, run):
                opened[name] = run
        taken = in_turn(opened, rounds=self.pairs, progress=progress)
        found = compared(key, taken)
        for name in ('eager', *RUNTIMES):
            found[f'{key}_{name}_peak_bytes'] = self._peak(name, folder, model, batch)
        return found

    def _compiles(self, key: str, run: Callable[[], Any]) -> bool:
        torch.compiler.reset()
        try:
            run()
        except Exception as error:  # whatever the compiler of this machine has to say
            reason = str(error).strip().splitlines() or [type(error).__name__]
            self._not_compiled[key] = reason[0].rstrip('.')
            return False
        return True

    def _peak(self, name: str, folder: Path, model: str, batch: int) -> int:
        side, threads = CASES[model].side, torch.get_num_threads()
        return peak_elsewhere('engine', name, folder, side, batch, threads)

    def _overhead(
        self, engine: str, progress: Progress | None = None
    ) -> dict[str, float]:
        """What the inferencer adds to the network alone, from files and from arrays."""
        side, folder, batch = CASES['gfl'].side, self.made('gfl'), BATCHES[-1]
        photos = self._photographs(FILES, side)
        arrays = [cv2.imread(str(path)) for path in sorted(photos.iterdir())]
        settings: dict[str, Any] = {'batch_size': batch, 'device': 'cpu'}
        if engine == 'ort':
            model = folder / PACKAGE
            settings['backend'] = 'onnxruntime'
        else:
            model = folder / CONFIG
            settings['weights'] = folder / WEIGHTS
        inferencer = DefectInferencer(model, **settings)
        # The same session, so as many threads.
        network: Any = getattr(inferencer.backend, 'raw', None)
        if engine == 'torch':
            network = open_engine('eager', folder, torch.get_num_threads())
        prepared: Any = batch_of(folder, batch, side)
        if engine == 'predict':
            prepared, network = ready(inferencer.backend, arrays[:batch])

        def alone() -> None:
            for _ in range(FILES // batch):
                network(prepared)

        def whole(inputs: Any) -> list[Any]:
            return [*inferencer(inputs, show_progress=False)]

        predict = engine == 'predict'
        whole_is, alone_is = ('torch', engine) if predict else (engine, 'network')
        found: dict[str, float] = {}
        for name, inputs in (('', photos), ('_arrays', arrays)):
            times = interleaved(
                partial(whole, inputs),
                alone,
                pairs=max(2, self.pairs // 5),
                warmup=1,
                progress=progress,
            )
            found |= times.metrics(f'inferencer_{whole_is}{name}/{alone_is}')
        return found

    def _photographs(self, number: int, side: int) -> Path:
        folder = self._folder / f'photographs_{number}_{side}'
        if not folder.is_dir():
            folder.mkdir()
            for place, image in enumerate(photographs(number, side)):
                cv2.imwrite(str(folder / f'{place:05d}.png'), image)
        return folder

    def _memory(self, progress: Progress | None = None) -> dict[str, float]:
        """Peak of processes that look at a folder, and at a tenth of it."""
        package = self.made('pruned') / PACKAGE
        image = photographs(1, CASES['pruned'].side)[0]
        data = cv2.imencode('.jpg', image)[1].tobytes()
        peaks = []
        for number in (self.images, self.images // 10):
            folder = self._folder / f'folder_{number}'
            folder.mkdir(exist_ok=True)
            for place in range(number):
                (folder / f'{place:06d}.jpg').write_bytes(data)
            peaks.append(peak_elsewhere('folder', package, folder))
        name = 'folder_peak/peak_of_a_tenth'
        return {
            name: peaks[0] / peaks[1],
            f'{name}_ours_bytes': peaks[0],
            f'{name}_other_bytes': peaks[1],
        }

    def _int8(self, toy: str, progress: Progress | None = None) -> dict[str, float]:
        """Gain and loss in ONNX Runtime and in OpenVINO; nothing is refused here."""
        trained = self._trained(toy)
        whole = export(trained.work_dir, self._folder / f'{toy}_float32')
        found: dict[str, float] = {}
        for format, name in (('onnx', toy), ('openvino', f'{toy}_openvino')):  # noqa: A001
            out = quantise(
                whole,
                self._folder / f'{name}_int8',
                calibration=trained.calibration,
                labelled=trained.labelled,
                labelled_images=trained.labelled_images,
                format=format,
                least_gain=0,
                most_loss=1,
                rounds=max(2, self.pairs),
            )
            figures = read_package(out).parity['int8']
            found |= {
                f'{name}_int8_gain': figures['gain'],
                f'{name}_int8_gain_ours_ms': figures['int8_ms'],
                f'{name}_int8_gain_other_ms': figures['float32_ms'],
                f'{name}_int8_lost_points': 100
                * (figures['float32'] - figures['int8']),
                f'{name}_int8_accuracy': figures['int8'],
                f'{name}_float32_accuracy': figures['float32'],
            }
        return found

    def _trained(self, toy: str) -> Toy:
        """Train on as many images as it takes minutes for."""
        folder, epochs = self._folder / 'toys', self.epochs
        if toy == 'gfl':
            return train_gfl(
                self.configs, folder, per_class=self.toys, epochs=epochs or 25
            )
        return train_casting(
            self.configs, folder, side=SIDE, parts=self.toys, epochs=epochs or 15
        )

    def _edge(self, progress: Progress | None = None) -> dict[str, float]:
        python, size = edge_python(self._folder / 'edge')
        photo = sorted(self._photographs(1, CASES['casting'].side).iterdir())[0]
        seconds = first_result_seconds(
            python, self.made('casting') / PACKAGE, photo, runs=5
        )
        return {'edge_install_mb': size, 'edge_start_seconds': seconds}


def ready(backend: Any, images: Sequence[Any]) -> tuple[Any, Callable[[Any], Any]]:
    """Images as the model itself takes them, and the model with its suppression."""
    items = [backend.pipeline(image) for image in images]
    batch = {key: [item[key] for item in items] for key in ('inputs', 'data_samples')}
    data = backend.model.data_preprocessor(batch, False)

    @torch.inference_mode()
    def predict(data: Any) -> Any:
        return backend.model(data['inputs'], data['data_samples'], mode='predict')

    return data, predict


def compared(key: str, taken: dict[str, list[float]]) -> dict[str, float]:
    """Medians, 95th percentiles and ratios of engines that took their turns."""
    found: dict[str, float] = {}
    for name, seconds in taken.items():
        high = statistics.quantiles(seconds, n=20, method='inclusive')[-1]
        found[f'{key}_{name}_p50_ms'] = 1000 * statistics.median(seconds)
        found[f'{key}_{name}_p95_ms'] = 1000 * high
        if name != 'eager':
            times = PairTimes(a=tuple(seconds), b=tuple(taken['eager']))
            low, upper = times.quartiles
            found[f'{key}_{name}/eager'] = times.ratio
            found[f'{key}_{name}/eager_q25'] = low
            found[f'{key}_{name}/eager_q75'] = upper
    best = min(found[f'{key}_{name}/eager'] for name in RUNTIMES)
    return {f'{key}_best/eager': best, **found}
