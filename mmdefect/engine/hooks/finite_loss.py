"""Stop a training whose loss is no number; name its images, keep its batch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_gather_object, all_reduce, get_rank, is_main_process
from mmengine.hooks import Hook
from mmengine.optim import AmpOptimWrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from mmdefect.registry import HOOKS
from mmdefect.utils.checks import some_of
from mmdefect.utils.files import in_one_piece, write_json
from mmdefect.utils.modules import unwrapped

NON_FINITE_FILE = 'non_finite_loss.json'
BATCH_FILE = 'non_finite_batch_rank_{}.pth'


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stops every process at the first loss that is NaN or infinite.

    The weights that such a loss makes are lost for good, and every later score would be
    that of a model that sees nothing. It stops before a checkpoint is written, so
    ``--resume`` continues at the last good one. The images of the batch are listed in
    ``non_finite_loss.json`` in the work dir, with the terms of the loss and the
    learning rate; what the model was given is in ``non_finite_batch_rank_0.pth``, which
    :func:`mmdefect.utils.checkpoint.load_weights` reads.

    With torch's anomaly detection on (``tools/train.py --detect-anomaly``) it stops at
    the first module that makes NaN or infinity of finite numbers, and names it.

    The same holds in mixed precision: the loss is looked at before it is scaled, so
    lowering the scale would not mend it. Gradients that overflow while the loss is
    finite are the scaler's business, which passes over that update.

    What a model returns without an entry ``loss`` is not looked at. tools/train.py adds
    this hook to every training.
    """

    # After the logger, before any checkpoint.
    priority = 'LOW'

    def __init__(self) -> None:
        self._batch: Any = None

    def before_train(self, runner: Runner) -> None:
        """Look at every module, if that is asked for."""
        if torch.is_anomaly_enabled():
            for name, module in unwrapped(runner).named_modules():
                module.register_forward_hook(partial(self._look, runner, name))

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Remember the batch, for an error in the middle of the model."""
        self._batch = data_batch

    def _look(
        self, runner: Runner, name: str, module: nn.Module, given: Any, made: Any
    ) -> None:
        if not module.training or _all_finite(made) or not _all_finite(given):
            return
        images = image_names(self._batch)
        path = save_batch(runner, self._batch, images)
        raise ValueError(
            f'training stopped in {runner.work_dir}, epoch {runner.epoch + 1}, '
            f'iteration {runner.iter + 1}: {name or "the model"} '
            f'({type(module).__name__}) makes NaN or infinity of finite numbers on a '
            f'batch of '
            f'{some_of(base_names(images), 4) or "unnamed images"}, saved in '
            f'{path.name}; lower the learning rate, or look at these images and what '
            'is annotated on them'
        )

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
            images = image_names(data_batch)
            save_batch(runner, data_batch, images)
            raise self.stopped(runner, outputs, images)

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
        names = base_names(chain.from_iterable(part['images'] for part in found))
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


def base_names(paths: Iterable[str]) -> list[str]:
    """File names without their folders."""
    return [Path(path).name for path in paths]


def save_batch(runner: Runner, batch: Any, images: list[str]) -> Path:
    """Write what the model of this process was given; return the file."""
    path = Path(runner.work_dir) / BATCH_FILE.format(get_rank())
    with in_one_piece(path) as draft:
        torch.save({'images': images, 'batch': _plain(batch)}, draft)
    return path


def _plain(value: Any) -> Any:
    """Tensors, numbers and texts of a batch; anything else as text."""
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if hasattr(value, 'all_items'):  # MMEngine's data elements
        return {name: _plain(part) for name, part in value.all_items()}
    if hasattr(value, 'tensor'):  # boxes
        return _plain(value.tensor)
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return repr(value)


def _all_finite(value: Any) -> bool:
    """Whether no tensor in it is NaN or infinite."""
    if isinstance(value, Tensor):
        return not value.is_floating_point() or bool(value.isfinite().all())
    if isinstance(value, Mapping):
        return _all_finite(list(value.values()))
    return not isinstance(value, list | tuple) or all(map(_all_finite, value))
