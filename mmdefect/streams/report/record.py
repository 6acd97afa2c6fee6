"""What a stream's work dir tells: read for the report, gaps named."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mmdefect.streams.matrix import MATRIX_FILE, StreamMatrix
from mmdefect.streams.report.summary import without_defects
from mmdefect.streams.state import StreamState, inside
from mmdefect.utils.text_files import read_json
from mmdefect.visualization.logs import Series, loss_series, read_scalars
from mmdefect.visualization.page import in_words, percent

SAMPLES_FILE, MAPS_FILE = 'samples.json', 'maps.json'
# What their entries hold at least; how a sample is to be read came later.
_SAMPLE = {'img_path', 'gt', 'pred'}
_MAP = {'picture', 'panels', 'product', 'defect', 'defective', 'score', 'img_path'}


@dataclass(frozen=True)
class StreamRecord:
    """A work dir as it was read.

    Attributes:
        work_dir: The work dir.
        state: Content of ``stream.json``.
        matrix: Scores of the steps so far, or ``None`` before the first test.
        losses: Step -> name -> curve over iterations, for steps that have them.
        samples: Step -> content of ``samples.json``, for steps that have it.
        maps: Step -> :func:`read_maps`, for steps that have some.
        missing: What is not there, one sentence each.
    """

    work_dir: Path
    state: dict[str, Any]
    matrix: StreamMatrix | None
    losses: dict[int, dict[str, Series]] = field(default_factory=dict)
    samples: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    maps: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Name of the stream."""
        return str(self.state['name'])

    @property
    def metric(self) -> str:
        """The main metric, empty before the first test."""
        return self.matrix.metrics[0] if self.matrix else ''

    @property
    def valued(self) -> list[str]:
        """Metrics that have any value, empty before the first test."""
        return self.matrix.valued if self.matrix else []

    @property
    def of_products(self) -> bool:
        """Whether the classes are products, told by how they are scored."""
        return self.metric.startswith(('image_', 'pixel_'))

    def say(self, text: str) -> str:
        """Return a text of the page, which speaks of products where classes are."""
        if self.of_products:
            for word, ours in (('class', 'product'), ('Class', 'Product')):
                text = text.replace(f'{word}es', f'{ours}s').replace(word, ours)
        return text

    @property
    def scored(self) -> list[int]:
        """Numbers of the steps that have scores."""
        return [entry.step for entry in self.matrix.steps] if self.matrix else []

    def group(self, step: int, name: str, metric: str | None = None) -> float | None:
        """Mean of a group after a step; ``None`` where there is none."""
        if self.matrix is None or step not in self.scored:
            return None
        value = self.matrix.group(metric=metric or self.metric, step=step, name=name)
        return None if value is None or math.isnan(value) else value

    def kept(self, step: int) -> float | None:
        """Share of the old classes' score that is left after a step.

        Each old class is compared with its score right after the step that brought it;
        one whose score is undefined is left out.

        Returns:
            A fraction; ``None`` without old classes or without their first scores.
        """
        if self.matrix is None or step not in self.scored:
            return None
        matrix = self.matrix
        learned = {
            name: value
            for entry in matrix.steps
            for name, value in matrix.scores(entry.step, self.metric).items()
            if name in entry.new
        }
        now = matrix.scores(step, self.metric)
        old = next(entry.old for entry in matrix.steps if entry.step == step)
        if any(name not in learned for name in old):  # that step was not tested
            return None
        pairs = [(now[name], learned[name]) for name in old]
        pairs = [pair for pair in pairs if not any(map(math.isnan, pair))]
        before = sum(value for _, value in pairs)
        return sum(value for value, _ in pairs) / before if before > 0 else None


def said(value: float | None) -> str:
    """Return a fraction for a sentence, ``undefined`` for none."""
    return 'undefined' if value is None else percent(value, 0)


def kept_said(share: float, of: str = '') -> str:
    """Return in words how much is kept, such as ``keeps 4 %``.

    Args:
        share: What is left of the earlier score; above one it has grown.
        of: What follows the amount.
    """
    if share < 1.005:
        return f'keeps {percent(share, 0)}{of}'
    return f'keeps all{of} (and improves, to {percent(share, 0)})'


def duration(seconds: float | None) -> str:
    """Return seconds as ``1 h 02 min``, ``3 min 20 s`` or ``12 s``."""
    if seconds is None:
        return '–'
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f'{hours} h {minutes:02d} min'
    return f'{minutes} min {rest:02d} s' if minutes else f'{rest} s'


def listed(names: Sequence[str], limit: int = 6) -> str:
    """Return names as text; long lists are cut, with their length."""
    if len(names) <= limit:
        return ', '.join(names)
    return f'{", ".join(names[:limit])} and {len(names) - limit} more'


def read_stream(work_dir: str | Path, *, curves: bool = True) -> StreamRecord:
    """Read all that a report shows.

    Args:
        work_dir: Work dir of a stream.
        curves: Whether loss curves are read, or missed.

    Raises:
        FileNotFoundError: If it holds no ``stream.json``.
        ValueError: If one of its files is damaged.
    """
    work_dir = Path(work_dir)
    state = asdict(StreamState.load(work_dir))
    path = work_dir / MATRIX_FILE
    record = StreamRecord(
        work_dir, state, StreamMatrix.load(path) if path.is_file() else None
    )
    if record.matrix is None:
        record.missing.append('Scores: no step has been tested yet (no matrix.json).')
    for entry in state['steps']:
        _read_step(record, entry, curves=curves)
    _name_undefined(record)
    return record


def read_maps(folder: Path) -> list[dict[str, Any]]:
    """Return the entries of a step's ``maps.json``, their pictures as full paths.

    Raises:
        ValueError: It is damaged, or names a picture outside of the folder, which may
            have come from anywhere.
    """
    path = folder / MAPS_FILE
    maps = _entries(path, read_json(path, 'list of anomaly maps').get('maps'), _MAP)
    return [
        {**entry, 'picture': str(inside(folder, entry['picture'], MAPS_FILE))}
        for entry in maps
    ]


def _entries(path: Path, found: Any, keys: set[str]) -> list[dict[str, Any]]:
    """Refuse a list whose entries are not what a test writes."""
    if not isinstance(found, list) or not all(
        isinstance(entry, dict) and keys <= entry.keys() for entry in found
    ):
        raise ValueError(
            f'{path}: expected entries with {", ".join(sorted(keys))}; remove the file '
            'and score the step again'
        )
    return found


def _name_undefined(record: StreamRecord) -> None:
    """Add the scores of the last tested step that do not exist."""
    if record.matrix is None or not record.scored:
        return
    step = record.scored[-1]
    by_classes: dict[tuple[str, ...], list[str]] = {}
    for metric in record.matrix.metrics:
        if names := tuple(record.matrix.undefined(metric=metric, step=step)):
            by_classes.setdefault(names, []).append(in_words(metric))
    for names, metrics in by_classes.items():
        why = 'the test set has not what they need, such as good and defective images, '
        why += 'or masks'
        if without_defects(record.matrix.steps[-1], names):
            why = 'no defective test images'
        record.missing.append(
            f'{", ".join(metrics)} of {listed(names)}: undefined, left out of means '
            f'({why}).'
        )


def _read_step(record: StreamRecord, entry: dict[str, Any], *, curves: bool) -> None:
    """Add losses and pictures of a step, or the reason why there are none."""
    step = entry['step']
    name, folder = f'Step {step}', record.work_dir / f'step_{step}'
    if entry['state'] == 'pending':
        record.missing.append(f'{name}: not started yet.')
        return
    if entry['state'] != 'finished':
        record.missing.append(
            f'{name}: not finished ({entry["state"]}); what is there is shown.'
        )
    if record.matrix is not None and step not in record.scored:
        record.missing.append(f'{name}: no scores in matrix.json.')
    if curves and (losses := loss_series(read_scalars(folder))):
        record.losses[step] = losses
    elif curves:
        why = f'there is no vis_data/scalars.json in {folder.name}'
        if source := entry['reused_from']:
            why = f'it was taken over from {source} and trained there'
        record.missing.append(f'{name}: no loss curves, {why}.')
    if (path := folder / SAMPLES_FILE).is_file():
        samples = read_json(path, 'list of sample predictions', list)
        record.samples[step] = _entries(path, samples, _SAMPLE)
    if (folder / MAPS_FILE).is_file():
        record.maps[step] = read_maps(folder)
    if step not in record.samples and step not in record.maps:
        record.missing.append(
            f'{name}: no sample predictions (no samples.json in {folder.name}, which '
            'SamplePredictionsHook writes at the test, and no maps.json, which '
            'AnomalyMapHook writes).'
        )
