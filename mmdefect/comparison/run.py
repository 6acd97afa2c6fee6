"""Train and test one classifier with the ordinary tools, and note what it took."""

from __future__ import annotations

import math
import os
import re
import shlex
import signal
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmdefect.comparison.options import freezing_of, parsed
from mmdefect.comparison.record import (
    PREDICTIONS,
    RECORD,
    RunRecord,
    begin_run,
    check_same,
    read_record,
    write_record,
)
from mmdefect.engine.hooks.calibration import CALIBRATED
from mmdefect.utils.checkpoint import pointed_checkpoint
from mmdefect.utils.config import innermost
from mmdefect.utils.files import is_stale
from mmdefect.utils.interrupts import LAUNCHER, Interrupted
from mmdefect.utils.pretrained import without_weights
from mmdefect.visualization.logs import is_training, read_scalars

# Of a config's name: luna_legacy_casting, resnet18_casting.
NAME = re.compile(r'(?P<model>[^_]+)(_(?P<recipe>.+))?_casting')


def checkpoint_to_test(work_dir: str | Path) -> Path:
    """Return the calibrated checkpoint, else the best one, else the last.

    Raises:
        FileNotFoundError: There is none.
    """
    folder = Path(work_dir)
    if (calibrated := folder / CALIBRATED).is_file():
        return calibrated
    if best := sorted(folder.glob('best_*.pth'), key=lambda path: path.stat().st_mtime):
        return best[-1]
    if last := pointed_checkpoint(folder):
        return last
    raise FileNotFoundError(
        f'{folder}: expected a work dir of a training, with a checkpoint'
    )


def train_and_test(
    config: str | Path,
    work_dir: str | Path,
    *,
    tools: Path,
    processes: int = 1,
    options: Sequence[str] = (),
) -> RunRecord:
    """Train, test, and write ``run.json``; what is finished is not done again.

    It is tested again if its predictions are gone, or its weights newer than they.

    Raises:
        subprocess.CalledProcessError: One of the tools failed; it said why.
        ValueError: Another config or other options were begun or finished here.
    """
    folder = Path(work_dir)
    train = [
        str(tools / 'dist_train.sh'), str(config), str(processes),
        '--work-dir', str(folder), '--resume',
        *(['--cfg-options', *options] if options else []),
    ]  # fmt: skip
    root = f'{tools.parent}/'
    command = shlex.join(word.removeprefix(root) for word in train)
    if (folder / RECORD).is_file():
        record = read_record(folder)
        check_same(record.command, command, folder)
        if not _is_outdated(folder):
            return record
    environment = begin_run(folder, command)
    # Trained, and calibrated at its end: nothing is left to do.
    if not (folder / CALIBRATED).is_file():
        _run(train)
    checkpoint = checkpoint_to_test(folder)
    predictions = f'test_evaluator.out_file={(folder / PREDICTIONS).absolute()}'
    given = [str(config), str(checkpoint), str(processes), '--work-dir', str(folder)]
    more = ['--cfg-options', *options, predictions]
    _run([str(tools / 'dist_test.sh'), *given, *more])
    record = describe(
        config,
        folder,
        processes=processes,
        options=options,
        command=command,
        environment=environment,
    )
    write_record(folder, record)
    return record


def _is_outdated(folder: Path) -> bool:
    """Whether ``run.json`` is of other weights, or what it was made from is gone."""
    try:
        weights = [checkpoint_to_test(folder)]
    except FileNotFoundError:  # removed to save space: the record stands
        weights = []
    return is_stale(folder / RECORD, *weights) or not (folder / PREDICTIONS).is_file()


def train_only(
    config: str | Path, work_dir: str | Path, *, tools: Path, processes: int = 1
) -> Path:
    """Train a config that loads weights itself; return the checkpoint to take.

    ``load_from`` is read by the first try only, a killed training is resumed.

    Raises:
        subprocess.CalledProcessError: The tool failed; it said why.
    """
    folder = Path(work_dir)
    begun = (folder / 'last_checkpoint').is_file()
    given = [str(config), str(processes), '--work-dir', str(folder)]
    _run([str(tools / 'dist_train.sh'), *given, *['--resume'] * begun])
    return checkpoint_to_test(folder)


def describe(
    config: str | Path,
    folder: Path,
    *,
    processes: int,
    options: Sequence[str],
    command: str,
    environment: Mapping[str, str],
) -> RunRecord:
    """Describe all of a finished run that is not a prediction.

    The latency is that of the CPU, whatever the network was trained on.
    """
    from mmengine.registry import DATASETS, MODELS, DefaultScope

    from mmdefect.apis import load_config
    from mmdefect.engine.freezing import (
        count_trainable,
        freeze_parameters,
        plan_freezing,
    )
    from mmdefect.pruning.channels.cost import measure_cost

    cfg = load_config(config, cfg_options=parsed(options), work_dir=str(folder))
    scope = cfg.get('default_scope', 'mmpretrain')
    with DefaultScope.overwrite_default_scope(scope):
        # Built, not loaded: time and counts do not depend on the weights.
        model = MODELS.build(without_weights(cfg.model))
        dataset = {**cfg.train_dataloader.dataset, 'pipeline': []}
        dataset.pop('cache_gb', None)  # not every dataset has one
        images = len(DATASETS.build(dataset))
    freeze, share = freezing_of(cfg)
    plan = plan_freezing(model, share, (3, *image_size(cfg)))
    freeze_parameters(model, plan)
    cost = measure_cost(model, image_size(cfg))
    trainable, total = count_trainable(model)
    found = NAME.match(Path(config).stem)
    batch = cfg.train_dataloader.batch_size * processes
    epochs, seconds = epoch_times(folder, math.ceil(images / batch))
    return RunRecord(
        model=found['model'] if found else Path(config).stem,
        recipe=(found and found['recipe']) or 'default',
        protocol=cfg.test_dataloader.dataset.get('protocol', 'as given'),
        freeze=freeze,
        seed=int(cfg.randomness.get('seed') or 0),
        parameters=total,
        trainable=trainable,
        epochs=epochs,
        seconds_per_epoch=seconds,
        latency_ms_p50=cost.latency_ms_p50,
        latency_ms_p95=cost.latency_ms_p95,
        checkpoint=checkpoint_to_test(folder).name,
        train_images=images,
        command=command,
        **environment,
    )


def image_size(cfg: Config) -> tuple[int, int]:
    """Find the height and width that the test pipeline resizes or crops to.

    Raises:
        ValueError: It has no ``Resize`` to a fixed size, and no ``CenterCrop``.
    """
    found: Any = None
    for transform in innermost(cfg.test_dataloader.dataset).get('pipeline', ()):
        name = str(transform['type']).rpartition('.')[-1]
        key = {'Resize': 'scale', 'CenterCrop': 'crop_size'}.get(name)
        found = transform.get(key, found) if key else found
    if found is None:
        raise ValueError(
            'test_dataloader.dataset.pipeline: expected a Resize, without it the size '
            'of the images is unknown'
        )
    width, height = (found, found) if isinstance(found, int) else found
    return height, width


def epoch_times(work_dir: str | Path, iterations: int) -> tuple[int, float]:
    """Count trained epochs, and mean seconds of one, from the training's log.

    Raises:
        ValueError: There is no log.
    """
    rows = [row for row in read_scalars(work_dir) if is_training(row)]
    if not rows:
        raise ValueError(f'{work_dir}: expected a work dir with a logged training')
    seconds = statistics.fmean(row['time'] for row in rows) * iterations
    return rows[-1]['epoch'], seconds


def _run(command: list[str]) -> None:
    """Run a tool; what interrupts this process waits for its end, too."""
    with subprocess.Popen(command, env=_environment()) as process:  # noqa: S603  our tools, no shell
        try:
            status = process.wait()
        except KeyboardInterrupt as stop:
            if not isinstance(stop, Interrupted) or stop.status == 128 + signal.SIGINT:
                process.wait()  # Ctrl-C has reached it already
            process.terminate()
            raise
    if status:
        raise subprocess.CalledProcessError(status, command)


def _environment() -> dict[str, str]:
    """This process's, in which the tools find the torchrun beside this Python.

    They end when this process is gone.
    """
    here = str(Path(sys.executable).parent)
    path = f'{here}{os.pathsep}{os.environ.get("PATH", "")}'
    return {**os.environ, 'PATH': path, LAUNCHER: str(os.getpid())}
