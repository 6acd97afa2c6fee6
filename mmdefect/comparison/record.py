"""What a trained and tested classifier leaves in its work dir: ``run.json``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from mmdefect.utils.files import write_json
from mmdefect.utils.work_dir import add_environment, begin, read_state

BEGUN = 'begun.json'
RECORD = 'run.json'
PREDICTIONS = 'test.jsonl'


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One trained and tested classifier.

    Attributes:
        model: ``luna``, ``resnet18`` and so on: the config's name up to the first
            underscore.
        recipe: The rest of the name without the data: ``default``, ``legacy`` and so
            on.
        protocol: Split that it was trained and tested on.
        freeze: ``none``, ``head``, ``fraction-0.33`` or ``quadrant-Q3``.
        seed: Seed of the run.
        parameters: All parameters.
        trainable: Those that were trained.
        epochs: Epochs that were trained.
        seconds_per_epoch: Mean training time of an epoch, without validation.
        latency_ms_p50: Median time of one image through the model, without loading it.
        latency_ms_p95: 95th percentile of it.
        checkpoint: What was tested, relative to the work dir.
        train_images: Number of training images.
        command: What trained it, as a reader would type it.
        commit: Of the code that trained it, when it was begun; ``'a; b'`` if it was
            resumed at another one.
        hardware: Where.
        software: Versions.
    """

    model: str
    recipe: str
    protocol: str
    freeze: str
    seed: int
    parameters: int
    trainable: int
    epochs: int
    seconds_per_epoch: float
    latency_ms_p50: float
    latency_ms_p95: float
    checkpoint: str
    train_images: int
    command: str
    commit: str
    hardware: str
    software: str

    @property
    def label(self) -> str:
        """Name of a row; what is ordinary is left out."""
        parts = [self.model]
        parts += [self.recipe] if self.recipe != 'default' else []
        parts += [self.freeze] if self.freeze != 'none' else []
        return ' '.join(parts)

    @property
    def key(self) -> str:
        """Name in a results file: ``<model>/<recipe>/<split>``."""
        frozen = f'+{self.freeze}' if self.freeze != 'none' else ''
        return f'{self.model}/{self.recipe}{frozen}/{self.protocol}'


def begin_run(work_dir: str | Path, command: str) -> dict[str, str]:
    """Note in ``begun.json`` what is trained here; return its environment so far.

    Raises:
        ValueError: Something else was begun in this folder: it would be resumed under
            options that it was not trained with.
    """
    path = Path(work_dir) / BEGUN
    known = read_state(path).get('command', 'unknown')
    begin(
        path,
        'command',
        command,
        occupied=path.is_file() or path.with_name('last_checkpoint').is_file(),
        expected=f'the command that began it ({BEGUN}: {known}), not {command}',
    )
    return add_environment(path)['environment']


def check_same(known: str, command: str, work_dir: str | Path) -> None:
    """Refuse to go on with one command in the folder of another.

    Raises:
        ValueError: They differ.
    """
    if known != command:
        raise ValueError(
            f'{work_dir}: expected the command that trained it, {known}, not '
            f'{command}; give another --work-dir, or delete this one'
        )


def write_record(work_dir: str | Path, record: RunRecord) -> Path:
    """Write ``run.json`` and return its path."""
    path = Path(work_dir) / RECORD
    write_json(path, asdict(record), lasting=True)
    return path


def read_record(work_dir: str | Path) -> RunRecord:
    """Read ``run.json``.

    Raises:
        FileNotFoundError: The run is not finished, or this is no work dir.
        ValueError: The file holds something else.
    """
    path = Path(work_dir) / RECORD
    if not path.is_file():
        raise FileNotFoundError(
            f'{path}: expected a work dir that compare_classifiers.py has trained and '
            'tested'
        )
    names = {field.name for field in fields(RunRecord)}
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        given = set(content)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f'{path}: expected a run record ({error}); test the run again'
        ) from error
    if given != names:
        odd = ', '.join(sorted(given ^ names))
        raise ValueError(
            f'{path}: expected the entries of a run record, not more or fewer ({odd}); '
            'delete it and test the run again'
        )
    return RunRecord(**content)
