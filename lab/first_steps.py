r"""What the first iterations of a classifier's recipe do to it.

Example:
    python -m lab.first_steps configs/casting/luna_legacy_casting.py \
        configs/casting/luna_casting.py --iterations 100 \
        --out docs/results/luna_first-steps.json --dataset casting

Only training images are looked at.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from mmengine.config import DictAction
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn

import mmdefect  # noqa: F401  registers the scope and the mmcv stand-in
from lab.results import write_results
from mmdefect.apis import build_runner, load_config

Row = dict[str, float]


class Enough(Exception):  # noqa: N818  no error: the training has done its work
    """The iterations that were asked for are over."""


class FirstStepsHook(Hook):
    """Notes what every iteration sees, before its weights change.

    - ``loss``: the batch's.
    - ``spread``: deviation over the batch of the difference of the two logits. Near
      zero, all images get one answer.
    - ``signal``: gradient of the loss at the logits of an image, sum of both, mean over
      the batch. A wrong answer with plain cross-entropy has 1 to 2, behind a second
      softmax it fades with the confidence.
    - ``penalty``: norm of the L2 penalty's gradient over that of the loss, of all
      convolutions; 0 where the decay is decoupled.
    - ``alive``: share of the features behind the backbone that are not zero.

    Args:
        iterations: After so many the training is stopped by :class:`Enough`.
    """

    def __init__(self, iterations: int) -> None:
        self.iterations = iterations
        self.rows: list[Row] = []
        self._row: Row = {}

    def before_train(self, runner: Runner) -> None:
        """Listen to the head and to the optimizer."""
        model: Any = runner.model
        self._convolutions = [
            module.weight for module in model.modules() if isinstance(module, nn.Conv2d)
        ]
        model.head.fc.register_forward_hook(self._see)
        optimizer: Any = runner.optim_wrapper
        optimizer.optimizer.register_step_pre_hook(self._note)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        """Keep the row of the iteration."""
        self.rows.append({'loss': float((outputs or {})['loss'].detach()), **self._row})
        if len(self.rows) >= self.iterations:
            raise Enough

    def _see(
        self, layer: nn.Module, inputs: tuple[Tensor, ...], logits: Tensor
    ) -> None:
        if not logits.requires_grad:
            return
        difference = (logits[:, 0] - logits[:, 1]).detach()
        self._row = {
            'spread': float(difference.std()),
            'alive': float((inputs[0] != 0).float().mean()),
        }

        def received(gradient: Tensor) -> None:
            # The loss is a mean over the batch.
            self._row['signal'] = float(gradient.abs().sum())

        logits.register_hook(received)

    @torch.no_grad()
    def _note(self, optimizer: Any, *_: Any) -> None:
        decays = {
            id(weight): group['weight_decay']
            for group in optimizer.param_groups
            for weight in group['params']
        }
        coupled = type(optimizer).__name__ == 'Adam'
        gradients = [weight.grad for weight in self._convolutions]
        penalties = [decays[id(weight)] * weight for weight in self._convolutions]
        loss, penalty = (
            float(
                torch.stack(
                    [value.norm() for value in values if value is not None]
                ).norm()
            )
            for values in (gradients, penalties)
        )
        self._row['penalty'] = coupled * penalty / max(loss, 1e-12)


def first_steps(
    config: str | Path, *, iterations: int, options: dict[str, Any] | None = None
) -> list[Row]:
    """Train a config for a few iterations; return what each of them saw."""
    hook = FirstStepsHook(iterations)
    with tempfile.TemporaryDirectory() as folder:
        cfg = load_config(config, cfg_options=options or {}, work_dir=folder)
        runner: Any = build_runner(cfg)
        runner.register_hook(hook)
        with suppress(Enough):
            runner.train()
    return hook.rows


def metrics_of(rows: Sequence[Row], window: int = 10) -> Row:
    """Of the first iteration and, averaged, of the last ones: ``<measure>/first``."""
    last = rows[-min(window, len(rows)) :]
    return {
        f'{name}/{when}': sum(row[name] for row in taken) / len(taken)
        for name in rows[0]
        for when, taken in (('first', rows[:1]), ('last', last))
    }


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('configs', nargs='+', help='classifiers of two classes')
    parser.add_argument('--iterations', type=int, default=100)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0])
    parser.add_argument('--dataset', required=True, help='name of the images')
    parser.add_argument('--out', type=Path, required=True, help='results file to write')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={})
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure every config with every seed, and write one results file."""
    args = parse_args(argv)
    begin = time.monotonic()
    metrics: Row = {}
    for config in args.configs:
        for seed in args.seeds:
            options = {**args.cfg_options, 'randomness.seed': seed}
            rows = first_steps(config, iterations=args.iterations, options=options)
            name = Path(config).stem.removesuffix('_casting')
            found = {f'{name}/{seed}/{k}': v for k, v in metrics_of(rows).items()}
            metrics |= found
            print('\n'.join(f'{key:45s} {value:.4g}' for key, value in found.items()))
    words = [
        'python',
        '-m',
        'lab.first_steps',
        *(sys.argv[1:] if argv is None else argv),
    ]
    write_results(
        args.out,
        name=args.out.stem,
        command=shlex.join(words),
        dataset=args.dataset,
        seeds=args.seeds,
        metrics=metrics,
        duration_s=time.monotonic() - begin,
        notes=f'{args.iterations} iterations; last: mean of the last ten',
    )


if __name__ == '__main__':
    main()
