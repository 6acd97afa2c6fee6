"""What an iteration of the recommended way to add classes costs, beside plain GFL."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import torch

from lab.benchmarks.detection_models import (
    initialised,
    iteration,
    random_batch,
    step_config,
    taught,
)
from mmdefect.utils.timing import Progress, interleaved

KEEP = 'keep/keep-10_mobilenet-v2_fpn_cpu_neu-det_3+3.py'
PLAIN = 'gfl_stream/finetune_mobilenet-v2_fpn_cpu_neu-det_3+3.py'
SIZE = 200  # of the presets
# Beside a batch of eight new images.
NEW, KEPT = 8, 2


def keep_iteration(
    configs: Path, *, pairs: int, progress: Progress | None
) -> dict[str, float]:
    """An iteration of ``keep-10`` over one of GFL on the new images alone.

    Of ten images, the teacher has seen nine. In the preset, 24 epochs with flips in two
    directions, it meets three of 24 for the first time.

    Args:
        configs: The folder ``configs`` of this repository.
        pairs: Of iterations.
        progress: Told about each pair.
    """
    # Both begin from the same random weights.
    cfg, plain = step_config(configs / KEEP, 1), step_config(configs / PLAIN, 0)
    torch.manual_seed(0)
    gfl = initialised(plain.model).train()
    torch.manual_seed(0)
    model = taught(cfg.model, by=initialised(step_config(configs / KEEP, 0).model))
    batch = random_batch(NEW + KEPT, size=SIZE)
    for sample in batch['data_samples'][NEW:]:
        sample.set_metainfo({'replayed': True})
    train = iteration(model.train(), cfg.optim_wrapper, batch)
    turns = count(1)

    def keep() -> None:
        number = next(turns)
        fresh = random_batch(1, size=SIZE, seed=number)['inputs']
        batch['inputs'][number % (NEW + KEPT)] = fresh[0]
        train()

    other = iteration(gfl, plain.optim_wrapper, random_batch(NEW, size=SIZE))
    times = interleaved(keep, other, pairs=pairs, warmup=3, progress=progress)
    return times.metrics('keep_iter/gfl_iter')
