"""One pruning run: what its stages share, each part built when first asked for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import TASK_UTILS
from torch import Tensor, nn

from mmdefect.pruning.activations import filter_layers
from mmdefect.pruning.candidates import DENSE, Candidate, write_json
from mmdefect.pruning.cost import plan_cost
from mmdefect.pruning.features import ImageSet
from mmdefect.pruning.groups import ChannelGroup, trace_groups
from mmdefect.pruning.parent import (
    build_parent,
    cut_classifier,
    example_image,
    fill,
    segmented_batches,
    split_images,
)
from mmdefect.pruning.plan import ChannelPlan, read_plan
from mmdefect.pruning.score import MaskedBatch, Scores, score_filters, selected_scores
from mmdefect.pruning.scorers import FilterScorer
from mmdefect.pruning.settings import PruneSettings, prune_settings

STATE = 'prune.json'
# Entries of a config that decide what a stage computes.
_COMPUTED = (
    'model',
    'data_preprocessor',
    'prune',
    'train_dataloader',
    'val_dataloader',
    'mask_dataloader',
)
_ALSO = ('load_from', 'randomness', 'optim_wrapper', 'param_scheduler', 'train_cfg')
Progress = Callable[[str], None]
Trainer = Callable[[Path, Path], Path]


class PruneRun:
    """A config, its work dir, and what is read or built of both.

    Args:
        cfg: Config of a classifier with ``prune``.
        trainer: Trains a config file in a work dir, resuming what is there, and returns
            the checkpoint to take; needed for ``recovery.finetune`` only.
        progress: Called with a line for the reader.

    Raises:
        ValueError: ``prune`` says something impossible, the work dir is of another
            config, or there is no trainer and one is needed.
    """

    def __init__(
        self, cfg: Config, *, trainer: Trainer | None = None, progress: Progress = print
    ) -> None:
        self.cfg = cfg
        self.settings: PruneSettings = prune_settings(cfg.get('prune'))
        self.work_dir = Path(cfg.work_dir)
        self.progress = progress
        self.trainer = trainer
        self.seed = int(cfg.randomness.get('seed') or 0)
        if self.settings.recovery.finetune and trainer is None:
            raise ValueError(
                'prune.recovery.finetune is True and no trainer was given: expected a '
                'function that trains a config, as tools/prune.py has'
            )
        self._claim()

    def _claim(self) -> None:
        """Note what the work dir is for; networks of two configs never mix in it."""
        entries = {key: self.cfg.get(key) for key in (*_COMPUTED, *_ALSO)}
        text = json.dumps(entries, sort_keys=True, default=str)
        digest = hashlib.sha256(text.encode()).hexdigest()
        state = self.work_dir / STATE
        if not state.is_file():
            write_json({'config_hash': digest}, state)
            self.cfg.dump(str(self.work_dir / 'config.py'))
        elif json.loads(state.read_text())['config_hash'] != digest:
            raise ValueError(
                f'{self.work_dir} was begun with another config (see its config.py): '
                'expected the same one; give another --work-dir, or delete this one'
            )

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
        for split in ('train', 'val'):
            found[split] = split_images(self.cfg, split)
            self.progress(f'{len(found[split])} {split} images read')
        return found

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.parent.head.fc.out_features)

    @cached_property
    def scorer(self) -> FilterScorer:
        """How filters are scored."""
        return TASK_UTILS.build(dict(self.settings.scorer))

    @cached_property
    def batches(self) -> list[MaskedBatch]:
        """Segmented images; none if the score looks at none."""
        if not self.scorer.needs_maps:
            return []
        return segmented_batches(self.cfg, self.parent, raw=self.settings.raw)

    @cached_property
    def groups(self) -> list[ChannelGroup]:
        """What is pruned together, in the order in which it runs."""
        example = example_image(self.images['val'])
        names = filter_layers(self.parent, example, below='backbone')
        for start in self.settings.protect:
            if not any(name.startswith(start) for name in names):
                raise ValueError(
                    f'prune.protect names {start}, with which no layer begins: '
                    'expected '
                    f'some of {", ".join(names)}'
                )
        groups = trace_groups(
            self.parent, example, layers=names, forward=forward_classifier
        )
        return [group for group in groups if not self._protected(group)]

    def _protected(self, group: ChannelGroup) -> bool:
        starts = tuple(self.settings.protect)
        return bool(starts) and any(name.startswith(starts) for name in group.filters)

    def score(self, model: nn.Module, layers: list[str]) -> list[Scores]:
        """Scores of layers; of a single one, computed no further than it."""
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
        """What a plan's network costs, as a share of what the whole one costs."""
        absolute = plan_cost(self.parent, example_image(self.images['val']), kind)
        whole = absolute(ChannelPlan(layers={}))
        return lambda plan: absolute(plan) / whole

    def build(self, candidate: Candidate, file: str) -> Any:
        """A candidate's classifier with the weights of one of its files."""
        plan = None if candidate.dense else read_plan(candidate.path('plan.json'))
        model = cut_classifier(self.parent, plan)
        fill(model, str(candidate.path(file)))
        return model.eval()


def forward_classifier(model: Any, images: Tensor) -> Tensor:
    """How Torch-Pruning calls a classifier."""
    return model(images, mode='tensor')
