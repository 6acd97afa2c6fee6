"""Memory that an anomaly model holds: for the backward pass, and in its checkpoints."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import torch
from mmengine.dataset import pseudo_collate
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader

from mmdefect.engine.hooks.continual.feature_statistics import (
    KEY,
    FeatureStatisticsHook,
)
from mmdefect.models.anomaly.conditioner import ObjectConditioner


def saved_bytes(run: Callable[[], Any], *, spared: Iterable[Tensor] = ()) -> int:
    """Count the bytes that autograd keeps for the backward pass, each storage once.

    ``run`` returns the output or puts it somewhere: with the last output what is kept
    would go too. ``spared`` are in memory anyway, such as weights.
    """
    known = {tensor.untyped_storage().data_ptr() for tensor in spared}
    found: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        held = run()
    # A storage that was freed before could have lent its address to another.
    del held
    return sum(found.values())


def conditioner_memory(
    images: Tensor, **settings: Any
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Train the released conditioner by one batch and look at what it keeps.

    ``model`` and ``block`` are GiB an image: of all after a forward pass, and of one
    block that is not recomputed. With them come outputs and gradients by name.

    Args:
        images: Preprocessed, shape ``(B, 3, H, W)``.
        settings: ``fused`` and ``recompute`` of :class:`ObjectConditioner`.
    """
    torch.manual_seed(0)
    model = ObjectConditioner(num_classes=15, in_channels=3, source='image', **settings)
    graph = []
    spared = [images, *model.parameters(), *model.buffers()]
    size = saved_bytes(lambda: graph.append(model(images)), spared=spared)
    (conditions,) = graph
    targets = torch.zeros(len(images), dtype=torch.long)
    F.cross_entropy(conditions.logits, targets).backward()
    made = {f'map {i}': maps for i, maps in enumerate(conditions.maps)}
    made['logits'] = conditions.logits.detach()
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            made[f'gradient {name}'] = parameter.grad
    inside = images.new_zeros(len(images), *images.shape[2:], model.neck.in_features)
    inside.requires_grad_()
    block = saved_bytes(lambda: model.blocks[0](inside), spared=[*spared, inside])
    gib = len(images) * 2**30
    return {'model': size / gib, 'block': block / gib}, made


def max_difference(ours: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Largest difference between tensors of the same names.

    Raises:
        RuntimeError: If one has other names, so that nothing can be compared.
    """
    if ours.keys() != other.keys():
        raise RuntimeError(
            f'{", ".join(sorted(ours.keys() ^ other.keys()))}: expected on both sides; '
            'the two conditioners differ in more than how they compute'
        )
    return max(float((ours[name] - other[name]).abs().max()) for name in ours)


def statistics_megabytes(model: nn.Module, items: list[Any], steps: int) -> list[float]:
    """Measure what :class:`FeatureStatisticsHook` adds to each checkpoint, in MB."""
    data: Any = items  # a list is a dataset
    loader: Any = DataLoader(data, batch_size=4, collate_fn=pseudo_collate)
    runner: Any = SimpleNamespace(model=model, train_dataloader=loader)
    sizes = []
    with TemporaryDirectory() as folder:
        path = Path(folder) / 'before.pth'
        for step in range(steps):
            hook = FeatureStatisticsHook(checkpoint=str(path) if step else None)
            hook.before_train(runner)
            hook.collect(runner)
            checkpoint: dict[str, Any] = {}
            hook.before_save_checkpoint(runner, checkpoint)
            file = io.BytesIO()
            torch.save(checkpoint[KEY], file)
            sizes.append(len(file.getvalue()) / 1e6)
            torch.save(checkpoint, path)
    return sizes
