"""Write anomaly maps as pictures at the test."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.dist import all_gather_object, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdefect.datasets.images import read_info
from mmdefect.registry import HOOKS
from mmdefect.utils.files import write_json
from mmdefect.visualization.anomaly import (
    captioned,
    compound_panels,
    heat_overlay,
    map_range,
    side_by_side,
)

MAPS_FILE, MAPS_FOLDER = 'maps.json', 'maps'
# Pictures of the report are shown small; this is the longer side of one panel.
REPORT_SIDE = 256
_HALF = np.finfo(np.float16).max


@dataclass(frozen=True)
class _Kept:
    """What is kept of a test image until the scale is known."""

    img_path: str
    product: str
    defect: str
    defective: bool
    score: float
    anomaly_map: np.ndarray
    png_mask: np.ndarray | None

    @classmethod
    def of(cls, sample: Any, anomaly_map: np.ndarray) -> _Kept:
        """Shrink a sample: half floats for the map, PNG for the mask."""
        mask = sample.get('gt_mask')
        packed = None
        if mask is not None and mask.any():
            _, packed = cv2.imencode('.png', 255 * mask.cpu().numpy().astype(np.uint8))
        return cls(
            img_path=str(sample.img_path),
            product=str(sample.class_name),
            defect=str(sample.defect),
            defective=bool(sample.gt_label),
            score=float(sample.pred_score),
            anomaly_map=np.clip(anomaly_map, -_HALF, _HALF).astype(np.float16),
            png_mask=packed,
        )

    @property
    def mask(self) -> np.ndarray | None:
        """The mask again; ``None`` when it is empty or unknown."""
        if self.png_mask is None:
            return None
        return cv2.imdecode(self.png_mask, cv2.IMREAD_GRAYSCALE)


@HOOKS.register_module()
class AnomalyMapHook(Hook):
    """Keep anomaly maps of a few test images, or draw those of all.

    For the report, ``maps/*.png`` and ``maps.json`` are written into the step's work
    dir: of each product ``per_class`` defective images, of different kinds as far as
    there are, and one good one. The choice hangs on the test set alone, so every step
    and every model shows the same images. Each picture has the image, its mask, the map
    on the scale of the whole test set and, when defective, on its own scale; see
    :func:`mmdefect.visualization.anomaly.compound_panels`.

    ``maps.json`` holds ``low`` and ``high``, the ends of the scale, and ``maps``, each
    with ``picture`` (path relative to the step's work dir), ``panels`` (their names
    from the left), ``product``, ``defect``, ``defective``, ``score`` and ``img_path``.

    The scale runs from the smallest to the largest value of all maps of the test, so
    pictures are written when the test is over. Until then the maps to be drawn are kept
    as float16 at their own resolution: 100 kB an image at 224 x 224, with ``single`` or
    ``compound`` 170 MB for MVTec-AD's 1725 test images. With several processes each
    writes its own images, on one scale.

    Args:
        per_class: Defective images of each product in the report.
        min_score: Lower end of the scale instead of the smallest value of the maps.
        max_score: Upper end of the scale instead of the largest value of the maps.
        single: Write an overlay of every test image, on the scale of the test set and
            with the image score below, to
            ``<out_dir>/single/<product>/<defect>/<file>.png``. Where several images
            would have one name, all but the first get a number.
        compound: Write the panels of every test image side by side, in full size, to
            ``<out_dir>/compound/<product>/<defect>/<file>.png``.
        out_dir: Where those go. A relative path starts at the step's work dir, ``None``
            is the work dir itself; steps that share an absolute path overwrite each
            other's pictures.
        backend: Show the report's pictures to the visualizer's backends as well, for
            example TensorBoard.

    Raises:
        ValueError: If ``per_class`` is below 1, an end of the scale is not finite, or
            ``min_score`` not below ``max_score``.
    """

    def __init__(
        self,
        *,
        per_class: int = 2,
        min_score: float | None = None,
        max_score: float | None = None,
        single: bool = False,
        compound: bool = False,
        out_dir: str | Path | None = None,
        backend: bool = False,
    ) -> None:
        if per_class < 1:
            raise ValueError(
                f'per_class {per_class} was given, at least 1 was expected; remove the '
                'hook to keep no maps.'
            )
        given = [end for end in (min_score, max_score) if end is not None]
        if not all(map(math.isfinite, given)):
            raise ValueError(
                f'min_score {min_score} and max_score {max_score} were given, finite '
                "numbers were expected; leave one out to use the maps' own."
            )
        if len(given) == 2 and given[0] >= given[1]:
            raise ValueError(
                f'min_score {min_score} and max_score {max_score} were given, the '
                "first was expected to be smaller; leave one out to use the maps' own."
            )
        self.per_class = per_class
        self.min_score = min_score
        self.max_score = max_score
        self.single = single
        self.compound = compound
        self.out_dir = Path(out_dir or '')
        self.backend = backend
        self._wanted: dict[str, str] = {}
        self._files: dict[str, Path] = {}
        self._infos: dict[str, dict[str, Any]] = {}
        self._kept: dict[str, _Kept] = {}
        self._range = (math.inf, -math.inf)

    def before_test_epoch(self, runner: Runner) -> None:
        """Choose the images of the report from the data set."""
        dataset = runner.test_dataloader.dataset
        infos = [dataset.get_data_info(index) for index in range(len(dataset))]
        self._wanted = choose(infos, per_class=self.per_class)
        self._files = picture_files(infos)
        self._infos = {i['img_path']: {'exif': 'stored', **i} for i in infos}
        self._kept, self._range = {}, (math.inf, -math.inf)

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[Any] | None = None,
    ) -> None:
        """Widen the range by every map, keep those that will be drawn."""
        for sample in outputs or ():
            anomaly_map = sample.pred_map.detach().float().cpu().numpy()
            low, high = map_range(anomaly_map)
            self._range = min(self._range[0], low), max(self._range[1], high)
            path = str(sample.img_path)
            if self.single or self.compound or path in self._wanted:
                self._kept[path] = _Kept.of(sample, anomaly_map)

    def after_test_epoch(
        self, runner: Runner, metrics: dict[str, float] | None = None
    ) -> None:
        """Agree on the scale, write the pictures, list those of the report."""
        low, high = self._scale()
        folder = Path(runner.work_dir)
        entries: dict[str, dict[str, Any]] = {}
        for kept in self._kept.values():
            try:
                # As the pipeline reads it: mask and map lie on its pixels.
                image = read_info(self._infos[kept.img_path])
            except ValueError as error:
                # The scores of a long test are worth more than its pictures.
                runner.logger.warning(f'An anomaly map is not drawn: {error}')
                continue
            self._write_all(kept, image, folder / self.out_dir, low, high)
            if name := self._wanted.get(kept.img_path):
                entries[kept.img_path] = _report_entry(
                    kept, image, folder, name, low, high
                )
        self._kept = {}
        self._list(runner, entries, low, high)

    def _scale(self) -> tuple[float, float]:
        """Ends of the scale: as given, else of the maps of all ranks."""
        ranges = all_gather_object(self._range)
        low = min(entry[0] for entry in ranges)
        high = max(entry[1] for entry in ranges)
        if low > high:  # no map, or none with a finite value
            low = high = 0.0
        low = low if self.min_score is None else float(self.min_score)
        high = high if self.max_score is None else float(self.max_score)
        # One given end may lie beyond all maps.
        return (
            (low, max(low, high)) if self.max_score is None else (min(low, high), high)
        )

    def _write_all(
        self, kept: _Kept, image: np.ndarray, folder: Path, low: float, high: float
    ) -> None:
        file, score = self._files[kept.img_path], f'image score {kept.score:.4g}'
        if self.single:
            overlay = heat_overlay(image, kept.anomaly_map, low=low, high=high)
            _write(folder / 'single' / file, captioned(overlay, score))
        if self.compound:
            strip = side_by_side(list(_panels(kept, image, low, high).values()))
            _write(folder / 'compound' / file, captioned(strip, score))

    def _list(
        self,
        runner: Runner,
        entries: dict[str, dict[str, Any]],
        low: float,
        high: float,
    ) -> None:
        """Gather what the ranks wrote; rank 0 lists it and shows it to the backends."""
        found: dict[str, dict[str, Any]] = {}
        for part in all_gather_object(entries):
            found.update(part)
        if not is_main_process():
            return
        maps = [found[path] for path in self._wanted if path in found]
        folder = Path(runner.work_dir)
        content = {'low': low, 'high': high, 'maps': maps}
        write_json(folder / MAPS_FILE, content)
        for entry in maps if self.backend else ():
            picture = cv2.imread(str(folder / entry['picture']), cv2.IMREAD_COLOR)
            name = f'map_{Path(entry["picture"]).stem}'
            runner.visualizer.add_image(name, cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))


def choose(infos: Iterable[dict[str, Any]], *, per_class: int) -> dict[str, str]:
    """Choose images of a test set for the report.

    Args:
        infos: ``img_path``, ``class_name``, ``defect`` and ``gt_label`` of each image,
            in the order of the data set.
        per_class: Defective images of each product. Every kind has its first image
            before any has a second.

    Returns:
        Image path -> name of its picture, ``<product>_<number>``; products in their
        order of appearance, the good image of each last.
    """
    good: dict[str, str] = {}
    defective: dict[str, list[tuple[int, str]]] = defaultdict(list)
    turn: Counter[tuple[str, str]] = Counter()
    for info in infos:
        product, path = str(info['class_name']), str(info['img_path'])
        images = defective[product]
        if info['gt_label']:
            kind = product, str(info['defect'])
            images.append((turn[kind], path))
            turn[kind] += 1
        else:
            good.setdefault(product, path)
    wanted: dict[str, str] = {}
    for product, images in defective.items():
        # Sorting is stable: within a turn the order of the data set stays.
        paths = [path for _, path in sorted(images, key=lambda entry: entry[0])]
        paths = paths[:per_class] + ([good[product]] if product in good else [])
        wanted |= {path: f'{_plain(product)}_{k}' for k, path in enumerate(paths)}
    return wanted


def picture_files(infos: Iterable[dict[str, Any]]) -> dict[str, Path]:
    """Name the pictures of a whole test set, each once.

    Args:
        infos: As in :func:`choose`.

    Returns:
        Image path -> ``<product>/<defect>/<stem>.png``, or ``<stem>_2.png`` and so on
        where ``000.png`` and ``000.jpg``, or images of two folders, would share it.
    """
    files: dict[str, Path] = {}
    taken: set[Path] = set()
    for info in infos:
        path = str(info['img_path'])
        if path in files:
            continue
        folder = Path(_plain(str(info['class_name'])), _plain(str(info['defect'])))
        stem = Path(path).stem
        file, number = folder / f'{stem}.png', 2
        while file in taken:
            file, number = folder / f'{stem}_{number}.png', number + 1
        taken.add(file)
        files[path] = file
    return files


def _plain(name: str) -> str:
    """Return a name that stays one part of a path."""
    return name.replace('/', '_').replace('\\', '_').lstrip('.') or '_'


def _panels(
    kept: _Kept, image: np.ndarray, low: float, high: float
) -> dict[str, np.ndarray]:
    return compound_panels(
        image, kept.mask, kept.anomaly_map, low=low, high=high, defective=kept.defective
    )


def _report_entry(
    kept: _Kept, image: np.ndarray, folder: Path, name: str, low: float, high: float
) -> dict[str, Any]:
    """Write the picture of an image and return its entry of ``maps.json``."""
    shrink = min(1.0, REPORT_SIDE / max(image.shape[:2]))
    if shrink < 1:
        image = cv2.resize(
            image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA
        )
    panels = _panels(kept, image, low, high)
    picture = Path(MAPS_FOLDER, f'{name}.png')
    _write(folder / picture, side_by_side(list(panels.values())))
    return {
        'picture': picture.as_posix(),
        'panels': list(panels),
        'product': kept.product,
        'defect': kept.defect,
        'defective': kept.defective,
        # JSON has no NaN.
        'score': round(kept.score, 6) if math.isfinite(kept.score) else None,
        'img_path': kept.img_path,
    }


def _write(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), picture):
        raise OSError(f"the picture '{path}' could not be written; free some space.")
