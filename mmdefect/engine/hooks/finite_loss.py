"""Stop a training whose loss is no number, and name its images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_gather_object, all_reduce, get_rank, is_main_process
from mmengine.hooks import Hook
from mmengine.optim import AmpOptimWrapper
from mmengine.runner import Runner
from torch import Tensor

from mmdefect.registry import HOOKS
from mmdefect.utils.checks import some_of
from mmdefect.utils.files import write_json

NON_FINITE_FILE = 'non_finite_loss.json'


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stops every process at the first loss that is NaN or infinite.

    The weights that such a loss makes are lost for good, and every later score would be
    that of a model that sees nothing. It stops before a checkpoint is written, so
    ``--resume`` continues at the last good one. The images of the batch are listed in
    ``non_finite_loss.json`` in the work dir, with the terms of the loss and the
    learning rate.

    The same holds in mixed precision: the loss is looked at before it is scaled, so
    lowering the scale would not mend it. Gradients that overflow while the loss is
    finite are the scaler's business, which passes over that update.

    What a model returns without an entry ``loss`` is not looked at. tools/train.py adds
    this hook to every training.
    """

    # After the logger, before any checkpoint.
    priority = 'LOW'

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Mapping[str, Any] | None = None,
    ) -> None:
        """Look at the loss of this iteration on all ranks.

        Raises:
            ValueError: It is not finite on one of them; naming work dir, iteration,
                terms and images.
        """
        loss = (outputs or {}).get('loss')
        if outputs is None or not isinstance(loss, Tensor):
            return
        finite = loss.detach().isfinite().all().to(torch.uint8)
        all_reduce(finite, op='min')
        if not finite:
            raise self.stopped(runner, outputs, image_names(data_batch))

    def stopped(
        self, runner: Runner, outputs: Mapping[str, Any], images: list[str]
    ) -> ValueError:
        """Write the file, and say what happened, the same on all ranks."""
        terms = {name: float(outputs[name]) for name in outputs if 'loss' in name}
        wrong = [name for name, value in terms.items() if not math.isfinite(value)]
        mine = {
            'rank': get_rank(),
            # JSON knows neither NaN nor infinity.
            'losses': {name: str(value) for name, value in terms.items()},
            'not_finite': [name for name in wrong if name != 'loss'] or wrong,
            'images': images,
        }
        found = [part for part in all_gather_object(mine) if part['not_finite']]
        rates = set(chain.from_iterable(runner.optim_wrapper.get_lr().values()))
        epoch, iteration = runner.epoch + 1, runner.iter + 1
        noted = {
            'epoch': epoch,
            'iteration': iteration,
            'learning_rates': sorted(rates),
        }
        path = Path(runner.work_dir) / NON_FINITE_FILE
        if is_main_process():
            noted |= {'learning_rates': sorted(rates), 'batches': found}
            write_json(path, noted)
        names = [Path(name).name for part in found for name in part['images']]
        limit = getattr(runner.optim_wrapper, 'clip_grad_kwargs', None)
        amp = isinstance(runner.optim_wrapper, AmpOptimWrapper)
        return ValueError(
            f'training stopped in {runner.work_dir}, epoch {epoch}, iteration '
            f'{iteration}: {", ".join(found[0]["not_finite"])} is not finite '
            f'on a batch of {some_of(names, 4) or "unnamed images"} (see '
            f'{path.name}); lower the learning rate (now {max(rates):g}), limit the '
            f'gradients (optim_wrapper.clip_grad=dict(max_norm=10), now {limit}), '
            f'{"train without --amp, " if amp else ""}or look at these images and what '
            'is annotated on them. The last checkpoint is from before'
        )


def image_names(batch: Any) -> list[str]:
    """Paths of a batch's images, as far as its samples name them."""
    samples = batch.get('data_samples') if isinstance(batch, Mapping) else None
    if isinstance(samples, Mapping):  # several branches, as in semi-supervised training
        samples = [sample for branch in samples.values() for sample in branch]
    paths = (getattr(sample, 'img_path', None) for sample in samples or ())
    return [str(path) for path in paths if path]
