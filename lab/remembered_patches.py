"""An attempt to keep features, not images: patches that enter GFL's classifier.

At the end of a step some 3x3 patches of the tensor that enters ``gfl_cls`` are kept, at
priors of old objects and at the background that looked most like one, each with the
quality it was trained to. In the next step some of them pass through the classifier in
every iteration: old channels to their quality, new channels to zero. The features of
the student drift meanwhile; a linear map from the teacher's to the student's, fitted to
the images at hand, takes the patches along.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import conv2d, unfold

from mmdefect.models.detection.incremental_gfl import IncrementalGFL
from mmdefect.registry import MODELS
from mmdefect.utils.checkpoint import load_weights, state_dict_of

# Of a pixel of float16 in a patch of 3 x 3.
BYTES, PIXELS = 2, 9


@contextmanager
def inputs_of(layer: nn.Module) -> Iterator[list[Tensor]]:
    """Collect what enters a layer, call after call, without gradients."""
    found: list[Tensor] = []
    handle = layer.register_forward_pre_hook(
        lambda module, args: found.append(args[0].detach())
    )
    try:
        yield found
    finally:
        handle.remove()


class Drift:
    """A linear map from the teacher's features to the student's, of recent batches.

    Args:
        channels: Of the features.
        forget: Share of the past that a batch leaves.
        ridge: Added to the diagonal, as a share of its mean.
    """

    def __init__(
        self, channels: int, *, forget: float = 0.9, ridge: float = 1e-3
    ) -> None:
        self.forget, self.ridge = forget, ridge
        self.past = torch.zeros(channels + 1, channels + 1)
        self.cross = torch.zeros(channels + 1, channels)

    def see(self, teacher: Tensor, student: Tensor, weights: Tensor) -> None:
        """Take in features ``(P, C)`` of both at the same places, weighted ``(P,)``."""
        ones = torch.ones_like(teacher[:, :1])
        given = torch.cat([teacher, ones], dim=1)
        scaled = given * (weights / weights.sum())[:, None]
        self.past = self.forget * self.past + scaled.T @ given
        self.cross = self.forget * self.cross + scaled.T @ student

    def __call__(self, patches: Tensor) -> Tensor:
        """Map patches ``(M, C, 3, 3)``; they come out of a ReLU and stay so."""
        ridge = self.ridge * self.past.diagonal().mean()
        # Towards the identity: where nothing was seen, nothing has drifted.
        start = torch.eye(len(self.past))[:, :-1] * ridge
        matrix = torch.linalg.solve(
            self.past + torch.eye(len(self.past)) * ridge, self.cross + start
        )
        mapped = torch.einsum('mchw,cd->mdhw', patches, matrix[:-1])
        return (mapped + matrix[-1][:, None, None]).clamp(min=0)


@MODELS.register_module()
class PatchGFL(IncrementalGFL):
    """GFL whose classifier rehearses remembered patches.

    Args:
        patches: File that this module has written.
        per_iteration: Patches in an iteration.
        weight: Of their loss.
        drift: Whether the drift is compensated.
        kwargs: As for :class:`IncrementalGFL`.
    """

    def __init__(
        self,
        *,
        patches: str | None = None,
        per_iteration: int = 64,
        weight: float = 1.0,
        drift: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.kept = load_file(patches) if patches else {}
        self.per_iteration, self.weight = per_iteration, weight
        self.drift = Drift(self.bbox_head.feat_channels) if drift else None
        self.draw = torch.Generator().manual_seed(0)

    def loss(self, batch_inputs: Tensor, batch_data_samples: list) -> dict[str, Any]:
        """Return the losses of :class:`IncrementalGFL` and that of the patches."""
        if not self.kept or self.teacher is None:
            return super().loss(batch_inputs, batch_data_samples)
        with (
            inputs_of(self.bbox_head.gfl_cls) as student,
            inputs_of(self.teacher.bbox_head.gfl_cls) as teacher,
        ):
            losses = super().loss(batch_inputs, batch_data_samples)
        rehearsed = self._rehearsed(self.teacher.bbox_head, teacher, student)
        losses['loss_patches'] = self.weight * rehearsed
        return losses

    def _rehearsed(
        self, old: Any, teacher: list[Tensor], student: list[Tensor]
    ) -> Tensor:
        head = self.bbox_head
        count = len(self.kept['labels'])
        chosen = torch.randint(count, (self.per_iteration,), generator=self.draw)
        patches = self.kept['patches'][chosen].float()
        if self.drift is not None:
            with torch.no_grad():
                before, now = _rows(teacher), _rows(student)
                scores = _best_scores(old.gfl_cls, teacher)
                self.drift.see(before, now, 0.1 + scores)
                patches = self.drift(patches)
        logits = conv2d(patches, head.gfl_cls.weight, head.gfl_cls.bias).flatten(1)
        labels = self.kept['labels'][chosen].long()
        background = labels < 0
        labels = torch.where(background, head.num_classes, labels)
        quality = self.kept['quality'][chosen].float()
        positives = float((~background).sum().clamp(min=1))
        return head.loss_cls(
            logits,
            (labels, quality),
            weight=torch.ones_like(quality),
            avg_factor=positives,
        )


def _best_scores(layer: nn.Conv2d, levels: Sequence[Tensor]) -> Tensor:
    best = [
        conv2d(level, layer.weight, layer.bias, padding=1).amax(dim=1, keepdim=True)
        for level in levels
    ]
    return _rows(best)[:, 0].sigmoid()


def _rows(levels: Sequence[Tensor]) -> Tensor:
    """``(N, C, H, W)`` of each level to ``(P, C)``."""
    return torch.cat([level.permute(0, 2, 3, 1).flatten(0, 2) for level in levels])


class _Targets(nn.Module):
    """Stands for the classification loss and notes what it is given."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss
        self.seen: list[tuple[Tensor, ...]] = []

    def forward(self, scores: Tensor, target: Any, *args: Any, **kwargs: Any) -> Tensor:
        self.seen.append((scores.detach(), *target))
        return self.loss(scores, target, *args, **kwargs)


@torch.no_grad()
def candidates_of(model: Any, sample: dict[str, Any]) -> Iterator[tuple[Tensor, ...]]:
    """Yield patches ``(M, C, 3, 3)``, labels, qualities, scores of a level of an image.

    All positives, and the five background priors of the highest score.
    """
    data = model.data_preprocessor(sample, True)
    head = model.bbox_head
    head.loss_cls.seen.clear()
    with inputs_of(head.gfl_cls) as levels:
        model.loss(data['inputs'], data['data_samples'])
    for level, seen in zip(levels, head.loss_cls.seen, strict=True):
        scores, labels, quality = seen
        best = scores.sigmoid().amax(dim=1)
        columns = unfold(level, 3, padding=1)[0].T
        old = labels < head.num_classes
        hard = torch.where(old, -1.0, best).topk(min(5, len(best))).indices
        hard = hard[~old[hard]]
        for where, name in ((old.nonzero()[:, 0], labels), (hard, None)):
            patches = columns[where].view(-1, level.shape[1], 3, 3)
            kind = torch.full_like(where, -1) if name is None else name[where]
            yield patches, kind, quality[where], best[where]


def keep_patches(model: Any, loader: Any, *, megabytes: float) -> dict[str, Tensor]:
    """Choose patches: a third background, the rest shared by the classes at random."""
    model.eval()
    model.bbox_head.loss_cls = _Targets(model.bbox_head.loss_cls)
    parts = [found for sample in loader for found in candidates_of(model, sample)]
    patches, labels, quality, scores = map(torch.cat, zip(*parts, strict=True))
    room = int(megabytes * 1e6 / (patches.shape[1] * PIXELS * BYTES))
    draw = torch.Generator().manual_seed(0)
    names = labels.unique().tolist()
    kept = []
    for name in names:
        of_it = (labels == name).nonzero()[:, 0]
        share = room // 3 if name < 0 else room * 2 // 3 // (len(names) - 1)
        if name < 0:
            # From the harder half of it.
            of_it = of_it[scores[of_it].argsort(descending=True)[: len(of_it) // 2]]
        kept.append(of_it[torch.randperm(len(of_it), generator=draw)[:share]])
    chosen = torch.cat(kept)
    return {
        'patches': patches[chosen].half().contiguous(),
        'labels': labels[chosen].to(torch.int16),
        'quality': quality[chosen].half(),
    }


def main(args: Sequence[str] | None = None) -> None:
    """Keep the patches of a step that has been trained."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('step', type=Path, help='folder of a step that is finished')
    parser.add_argument('out', type=Path, help='file to write, .safetensors')
    parser.add_argument('--mb', type=float, default=1.0, help='megabytes (10^6)')
    given = parser.parse_args(args)
    (config,) = given.step.glob('*.py')
    cfg = Config.fromfile(config)
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    model = MODELS.build(cfg.model)
    checkpoint = (given.step / 'last_checkpoint').read_text().strip()
    path = given.step / Path(checkpoint).name
    model.load_state_dict(state_dict_of(load_weights(str(path)), str(path)))
    loader_cfg = {**cfg.train_dataloader, 'batch_size': 1, 'num_workers': 0}
    loader_cfg.update(persistent_workers=False, batch_sampler=None)
    loader = Runner.build_dataloader(loader_cfg, seed=0)
    kept = keep_patches(model, loader, megabytes=given.mb)
    save_file(kept, str(given.out))
    counts = {int(k): int((kept['labels'] == k).sum()) for k in kept['labels'].unique()}
    print(f'{given.out}: {counts} patches by class, {given.out.stat().st_size} bytes')


if __name__ == '__main__':
    main()
