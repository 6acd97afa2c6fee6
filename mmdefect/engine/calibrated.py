"""After training: which checkpoint is calibrated, and where the calibrated one goes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import barrier, is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mmdefect.utils.checkpoint import load_weights
from mmdefect.utils.files import file_sha256, in_one_piece
from mmdefect.utils.modules import unwrapped

#: Of a work dir, or of the folder of a stream's step. No pointer of a training names
#: it, so nothing continues from it, and no step of a stream starts from it.
CALIBRATED = 'calibrated.pth'


def check_costs(costs: Sequence[float]) -> tuple[float, float]:
    """Return what a miss costs and what a false alarm costs.

    Raises:
        ValueError: They are not two positive numbers.
    """
    if len(costs) != 2 or not all(0 < cost < math.inf for cost in costs):
        raise ValueError(
            f'costs={tuple(costs)}: expected two positive numbers, the cost of a '
            'miss and of a false alarm'
        )
    return float(costs[0]), float(costs[1])


def chosen_checkpoint(
    runner: Runner, *, metainfo: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Name and content of the best checkpoint, else of the last, else of now.

    Args:
        runner: Whose training is over.
        metainfo: What a checkpoint of the weights in memory says of its data.
    """
    hook = _checkpoint_hook(runner)
    bests = getattr(hook, 'best_ckpt_path_dict', None) or {}
    best, last = (getattr(hook, n, None) for n in ('best_ckpt_path', 'last_ckpt'))
    barrier()  # rank 0 may still be writing
    known = list(filter(None, (best, *bests.values(), last)))
    for candidate in known:
        if path := _existing(runner, candidate):
            if candidate != known[0]:
                runner.logger.warning(
                    f'{Path(known[0]).name} is gone, the checkpoint to be '
                    f'calibrated: {path.name} is instead'
                )
            return path.name, load_weights(path)
    runner.logger.warning(
        'there is no checkpoint in the work dir: the weights in memory are calibrated'
    )
    state = unwrapped(runner).state_dict()
    meta = {'dataset_meta': dict(metainfo)}
    return 'the weights in memory', {'meta': meta, 'state_dict': state}


def last_checkpoint(runner: Runner) -> Path | None:
    """Return the last checkpoint of a training, if it is still there."""
    return _existing(runner, getattr(_checkpoint_hook(runner), 'last_ckpt', None))


def calibrated_checkpoint(
    checkpoint: Mapping[str, Any],
    state: Mapping[str, torch.Tensor],
    note: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what is written: weights on the CPU, and what was calibrated.

    Args:
        checkpoint: The one that is calibrated; its ``meta`` is kept.
        state: Its weights, with what the calibration has set.
        note: Becomes ``meta['calibration']``; plain data.
    """
    return {
        'meta': {**(checkpoint.get('meta') or {}), 'calibration': dict(note)},
        'state_dict': {name: value.cpu() for name, value in state.items()},
    }


def refuse_other_files(path: Path) -> None:
    """Refuse to replace what :func:`write_calibrated` has not written.

    Weights of a training are such a file, too: what else is in them would be lost.

    Raises:
        FileExistsError: There is a file, and it is no calibrated checkpoint.
    """
    if not path.exists():
        return
    try:
        held = load_weights(path)
    except ValueError:
        held = {}
    note = (held.get('meta') or {}).get('calibration')
    if held.keys() != {'meta', 'state_dict'} or not isinstance(note, dict):
        raise FileExistsError(
            f'{path} is there and no calibrated checkpoint: expected a new file, or '
            f'such as {CALIBRATED}; give another with --out, or remove it'
        )


def write_calibrated(path: Path, checkpoint: Mapping[str, Any]) -> None:
    """Write on rank 0, beside the final name first."""
    if is_main_process():
        with in_one_piece(path, lasting=True) as draft:
            torch.save(dict(checkpoint), draft)
    barrier()


def leave_calibrated(runner: Runner, checkpoint: dict[str, Any]) -> None:
    """Write ``calibrated.pth`` into the work dir of a training that is over.

    The runner's model must hold these weights already.
    """
    write_calibrated(Path(runner.work_dir) / CALIBRATED, checkpoint)
    # Averaged weights follow: a test in this process would swap them in.
    runner.call_hook('after_load_checkpoint', checkpoint=checkpoint)


def refuse_test_files(files: Sequence[Path], loader: Any) -> None:
    """Refuse validation images that are those of the test.

    Args:
        files: Annotation files of the validation images.
        loader: The test loader, or its config; None without one.

    Raises:
        ValueError: The test reads one of them, or a file of equal content.
    """
    if loader is None:
        return
    tested = loader['dataset'] if isinstance(loader, Mapping) else loader.dataset
    for path in annotation_files(tested):
        if any(_same(path, other) for other in files):
            raise ValueError(
                f'{path} is the annotation file of the test: expected validation '
                'images of their own, or thresholds are chosen on what they are judged '
                'by; set aside some training images, and give their file '
                '(dataloader=dict(...) of BoxCalibrationHook)'
            )


def annotation_files(dataset: Any) -> list[Path]:
    """Annotation files that a dataset, or the config of one, reads."""
    config = dataset if isinstance(dataset, Mapping) else None

    def part(name: str) -> Any:
        return getattr(dataset, name, None) if config is None else config.get(name)

    if (inner := part('dataset')) is not None:
        return annotation_files(inner)
    if (parts := part('datasets')) is not None:
        return [file for each in parts for file in annotation_files(each)]
    if not (file := part('ann_file')):
        return []
    # A dataset that was built has joined them already.
    root = config.get('data_root') if config is not None else None
    return [Path(root or '', file)]


def _same(one: Path, other: Path) -> bool:
    if one.resolve() == other.resolve():
        return True
    there = one.is_file() and other.is_file()
    return there and file_sha256(one) == file_sha256(other)


def _checkpoint_hook(runner: Runner) -> CheckpointHook | None:
    return next((h for h in runner.hooks if isinstance(h, CheckpointHook)), None)


def _existing(runner: Runner, candidate: str | None) -> Path | None:
    """The checkpoint; a work dir that was moved and resumed knows the old folder."""
    if not candidate:
        return None
    paths = (Path(candidate), Path(runner.work_dir) / Path(candidate).name)
    return next((path for path in paths if path.is_file()), None)
