"""What a network gets back after the cut: fresh batch norm statistics, and training."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from mmdefect.pruning.channels.plan import number_kept, read_plan
from mmdefect.pruning.sweep.candidates import (
    AGAIN,
    CLASSIFIER,
    CONFIG,
    PLAN,
    PROBED,
    RECOVERY,
    Candidate,
)
from mmdefect.pruning.sweep.features import ImageSet
from mmdefect.pruning.sweep.run import PruneRun
from mmdefect.utils.checkpoint import load_weights, state_dict_of
from mmdefect.utils.files import write_text
from mmdefect.utils.modules import evaluating
from mmdefect.utils.pretrained import without_weights

# Entries of the config that have done their work once a network is cut.
_DONE = ('prune', 'mask_dataloader')


def recalibrate(
    model: Any, images: ImageSet, count: int, *, seed: int = 0, batch_size: int = 32
) -> None:
    """Take all batch norms' statistics anew, from training images as they are tested.

    A filter less changes what all later layers see; the old statistics describe the
    whole network's maps. Every image counts once: mean of the batches' statistics.

    Args:
        model: A classifier of mmpretrain.
        images: Training images.
        count: How many of them; all if it has fewer.
        seed: Which ones, and in which batches: those of a set lie class by class.
        batch_size: Images at a time; the last, smaller batch is left out.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    norms = [norm for norm in norms if norm.track_running_stats]
    if not norms:
        return
    momentum = [norm.momentum for norm in norms]
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    chosen = images.pick(order[:count].tolist())
    size = min(batch_size, len(chosen))
    with evaluating(model), torch.no_grad():  # dropout stays off
        for norm in norms:
            norm.train()
            norm.reset_running_stats()
            norm.momentum = None  # the plain mean of all batches
        for inputs in chosen.inputs(model, size):
            if len(inputs) == size:
                model.extract_feat(inputs)
    for norm, before in zip(norms, momentum, strict=True):
        norm.momentum = before


def candidate_config(cfg: Config, candidate: Candidate, weights: Path) -> Config:
    """Make an ordinary config of a candidate, for the training and test tools.

    Args:
        cfg: The run's config.
        candidate: One of its networks; the config names its plan.
        weights: What the config loads.
    """
    small = copy.deepcopy(cfg)
    for name in _DONE:
        small.pop(name, None)
    small.model = without_weights(small.model)
    if not candidate.dense:
        plan = read_plan(candidate.path(PLAN))
        small.model.backbone = ConfigDict(
            type='mmdefect.PrunedBackbone',
            backbone=small.model.backbone,
            plan=str(candidate.path(PLAN).absolute()),
        )
        features = plan.layers.get('head.fc')
        if features is not None and features.into is not None:
            small.model.head.in_channels = number_kept(features.into)
    small.load_from = str(weights.absolute())
    small.resume = False
    # Not where the recovery went: that is resumed by its last checkpoint.
    small.work_dir = str(candidate.path(AGAIN).absolute())
    return small


def write_config(cfg: Config, candidate: Candidate) -> None:
    """Write ``classifier.py``, if it is not there or says anything else."""
    path = candidate.path(CONFIG)
    text = candidate_config(cfg, candidate, candidate.path(CLASSIFIER)).pretty_text
    if not path.is_file() or path.read_text(encoding='utf-8') != text:
        write_text(path, text)


def finetune(run: PruneRun, candidate: Candidate) -> dict[str, Tensor]:
    """Train a candidate by the config's schedule; return its best weights.

    The parent teaches by its soft labels if the settings say so. The whole network gets
    the same training without a teacher: it is the row that the others are held against.

    Args:
        run: Has a trainer.
        candidate: One of its networks, with a probed head.
    """
    cfg = candidate_config(run.cfg, candidate, candidate.path(PROBED))
    distill = run.settings.recovery.distill
    if distill is not None and not candidate.dense:
        dense = run.candidates[0]
        cfg.model.update(
            type='mmdefect.DistilledClassifier',
            teacher=without_weights(copy.deepcopy(run.cfg.model)),
            teacher_checkpoint=str(dense.path(CLASSIFIER).absolute()),
            **distill,
        )
    path = candidate.path('recovery.py')
    cfg.dump(str(path))
    checkpoint = run.trainer(path, candidate.path(RECOVERY))
    return state_dict_of(load_weights(checkpoint), checkpoint)
