"""One pruning run: what its stages share, each part built when first asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import TASK_UTILS, DefaultScope
from torch import Tensor, nn

from mmdefect.pruning.channels.cost import plan_cost
from mmdefect.pruning.channels.groups import ChannelGroup, trace_groups
from mmdefect.pruning.channels.plan import ChannelPlan, read_plan
from mmdefect.pruning.channels.rebuild import rebuild
from mmdefect.pruning.scoring.activations import filter_layers
from mmdefect.pruning.scoring.score import (
    MaskedBatch,
    Scores,
    score_filters,
    selected_scores,
)
from mmdefect.pruning.scoring.scorers import FilterScorer
from mmdefect.pruning.sweep.candidates import DENSE, PLAN, TEST, Candidate
from mmdefect.pruning.sweep.dense import (
    build_parent,
    check_two_classes,
    seed_of,
    segmented_batches,
    split_images,
)
from mmdefect.pruning.sweep.features import ImageSet
from mmdefect.pruning.sweep.probe import sources_of
from mmdefect.pruning.sweep.settings import PruneSettings, prune_settings
from mmdefect.pruning.sweep.workdir import claim
from mmdefect.utils.checkpoint import load_exactly

WHOLE = ChannelPlan(layers={})  # cuts nothing
Progress = Callable[[str], None]
Trainer = Callable[[Path, Path], Path]


def no_trainer(*_: Path) -> Path:
    """Refuse ``prune.recovery.finetune``.

    Raises:
        ValueError: A run was made without a trainer.
    """
    raise ValueError(
        'prune.recovery.finetune=True: expected a trainer, a function that trains a '
        'config as tools/prune.py has; none was given'
    )


class PruneRun:
    """A config, its work dir, and what is read or built of both.

    Args:
        cfg: Config of a classifier with ``prune``.
        trainer: Trains a config file in a work dir, resuming what is there, and returns
            the checkpoint to take; needed for ``recovery.finetune`` only.
        processes: How many the trainer has, each with batches of its own.
        progress: Called with a line for the reader.

    Raises:
        FileNotFoundError: A folder of ``test_roots`` does not exist.
        ValueError: ``prune`` says something impossible, the work dir is of another
            config, or there is no trainer and one is needed.
    """

    def __init__(
        self,
        cfg: Config,
        *,
        trainer: Trainer = no_trainer,
        processes: int = 1,
        progress: Progress = print,
    ) -> None:
        self.cfg = cfg
        self.settings: PruneSettings = prune_settings(cfg.get('prune'))
        self.work_dir = Path(cfg.work_dir)
        self.progress = progress
        self.trainer = trainer
        self.seed = seed_of(cfg)
        if self.settings.recovery.finetune and trainer is no_trainer:
            no_trainer()
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            self.scorer: FilterScorer = TASK_UTILS.build(dict(self.settings.scorer))
        self.worked = False
        self._check()
        claim(self.work_dir, cfg, processes=processes)

    def _check(self) -> None:
        """Refuse now what would end a stage after hours."""
        check_two_classes(self.cfg)
        kind = type(self.scorer).__name__
        if self.settings.select != 'object' and not self.scorer.needs_mask:
            raise ValueError(
                f"prune.select={self.settings.select!r}: expected 'object', as {kind} "
                'does not look at masks'
            )
        if self.scorer.signed and self.settings.keep.type == 'global':
            raise ValueError(
                f"prune.keep.type='global': expected 'uniform', as {kind} gives "
                'negative scores and there is one threshold for all layers'
            )
        for name, root in (self.cfg.get('test_roots') or {}).items():
            if name == TEST:
                raise ValueError(
                    f"test_roots.{TEST}: expected another name, as test_dataloader's "
                    'set has this one'
                )
            if not Path(root).is_dir():
                raise FileNotFoundError(
                    f'test_roots.{name}={root}: expected a folder of patches; make it, '
                    'or set test_roots=None'
                )

    def done(self, line: str) -> None:
        """Say what has been finished and written."""
        self.worked = True
        self.progress(line)

    @cached_property
    def candidates(self) -> list[Candidate]:
        """The whole network, then the smaller ones."""
        sizes: dict[str, float | None] = {DENSE: None, **self.settings.grid.candidates}
        return [
            Candidate(name=name, size=size, folder=self.work_dir / name)
            for name, size in sizes.items()
        ]

    @cached_property
    def parent(self) -> Any:
        """The whole classifier."""
        return build_parent(self.cfg)

    @cached_property
    def images(self) -> dict[str, ImageSet]:
        """Training and validation images."""
        found = {}
        self.progress('images are read')
        for split in ('train', 'val'):
            found[split] = split_images(self.cfg, split)
            self.progress(f'{len(found[split])} {split} images read')
        # The last stage but one needs them; it is hours away.
        sources_of(found['train'].paths, self.settings.probe.source)
        return found

    @property
    def example(self) -> Tensor:
        """An input for tracing and timing, shape ``(1, 3, H, W)``."""
        return torch.zeros(1, *self.images['val'].images.shape[1:])

    @cached_property
    def batches(self) -> list[MaskedBatch]:
        """Segmented images; none if the score looks at none."""
        if not self.scorer.needs_maps:
            return []
        return segmented_batches(self.cfg, self.parent, raw=self.settings.raw)

    @cached_property
    def groups(self) -> list[ChannelGroup]:
        """What is pruned together, in the order in which it runs."""
        names = filter_layers(self.parent, self.example, below='backbone')
        whole: set[str] = set()
        for start in self.settings.protect:
            within = [name for name in names if is_within(name, start)]
            if not within:
                raise ValueError(
                    f'prune.protect={start}: expected layers, or modules with layers, '
                    f'of {", ".join(names)}'
                )
            whole.update(within)
        groups = trace_groups(
            self.parent,
            self.example,
            layers=[name for name in names if name not in whole],
            forward=forward_classifier,
        )
        # What is added to a protected layer's maps has to stay, too.
        found = [group for group in groups if not group.makers() & whole]
        if not found:
            raise ValueError(
                f'prune.protect={list(self.settings.protect)}: expected some of the '
                f'{len(names)} layers of filters outside'
            )
        return found

    def score(self, model: nn.Module, layers: list[str]) -> list[Scores]:
        """Score layers; a single one computed no further than it."""
        ends = len(layers) == 1 and not self.scorer.needs_gradient
        return selected_scores(
            self.settings.select,
            lambda background: score_filters(
                model,
                self.batches,
                self.scorer,
                layers,
                background=background,
                stop_after=layers[0] if ends else None,
                seed=self.seed,
            ),
        )

    def cost(self, kind: str) -> Callable[[ChannelPlan], float]:
        """Tell what a plan's network costs, as a share of the whole one's cost."""
        absolute = plan_cost(self.parent, self.example, kind)
        whole = absolute(WHOLE)
        return lambda plan: absolute(plan) / whole

    def build(self, candidate: Candidate, file: str) -> Any:
        """Build a candidate's classifier with the weights of one of its files."""
        plan = WHOLE if candidate.dense else read_plan(candidate.path(PLAN))
        model = rebuild(self.parent, plan)
        load_exactly(model, candidate.path(file))
        return model.eval()


def is_within(name: str, start: str) -> bool:
    """Tell whether a layer is a module or in it, ``layer1.0.conv1`` in ``layer1``."""
    return name == start or name.startswith(f'{start}.')


def forward_classifier(model: Any, images: Tensor) -> Tensor:
    """Call a classifier as Torch-Pruning does."""
    return model(images, mode='tensor')
