"""The step before: its weights, and what hooks have collected in it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from mmdefect.utils.checkpoint import checkpoint_classes, load_weights, state_dict_of
from mmdefect.utils.modules import class_keys_of, unwrapped


class PreviousStepHook(Hook):
    """A hook of a later step that looks at the checkpoint of the step before.

    The file is read anew whenever training starts, so a step that was killed and is
    resumed compares with the same old weights.

    Args:
        checkpoint: Checkpoint of the step before; a stream sets it. ``None`` in a step
            that has no predecessor.
    """

    def __init__(self, *, checkpoint: str | None = None) -> None:
        self.checkpoint = checkpoint

    def load_previous(self) -> dict[str, Any]:
        """Read the checkpoint of the step before.

        Raises:
            ValueError: No step before is known.
        """
        if self.checkpoint is None:
            raise ValueError(
                f'checkpoint=None of {type(self).__name__}: expected that of the step '
                'before, which a stream sets in every step but its first'
            )
        return load_weights(self.checkpoint)

    def collected(self, loaded: Mapping[str, Any], key: str, by: str) -> dict[str, Any]:
        """Return what ``by`` left under ``key`` in a checkpoint.

        Raises:
            ValueError: It left nothing there.
        """
        found = loaded.get(key)
        if not found:
            raise ValueError(
                f'{self.checkpoint} holds no {key}: expected that of a step whose '
                f'hooks had mmdefect.{by}; train that step anew with it'
            )
        return dict(found)


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters that learn, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def running_statistics(model: nn.Module) -> dict[str, Tensor]:
    """Running means and variances of the batch norms that learn, by name."""
    learning = {name.rpartition('.')[0] for name in trainable(model)}
    return {
        name: buffer
        for name, buffer in model.named_buffers()
        if name.rpartition('.')[0] in learning and buffer.is_floating_point()
        if name.endswith(('running_mean', 'running_var'))
    }


def learned(model: nn.Module) -> dict[str, Tensor]:
    """All that a step changes: what learns, and its running statistics."""
    return {**trainable(model), **running_statistics(model)}


def old_rows(runner: Runner, loaded: Mapping[str, Any]) -> Tensor:
    """Rows of today's class layers that belong to the classes of a checkpoint.

    Raises:
        ValueError: The checkpoint does not name its classes, or one is gone.
    """
    before = checkpoint_classes(loaded, 'the checkpoint of the step before')
    now = list(runner.train_dataloader.dataset.metainfo['classes'])
    if before is None or not set(before) <= set(now):
        raise ValueError(
            f'classes={now}: expected all of the step before, {before}, among them'
        )
    return torch.tensor([now.index(name) for name in before])


def aligned(
    old: Mapping[str, Tensor],
    now: Mapping[str, Tensor],
    rows: Tensor,
    class_keys: Collection[str],
) -> dict[str, Tensor]:
    """Old tensors in today's shapes; rows of new classes as they are in ``now``.

    Names that ``now`` lacks are left out; ``rows`` are those of :func:`old_rows`, of
    the tensors named in ``class_keys``.

    Raises:
        ValueError: A tensor is missing in ``old`` or has another shape.
    """
    found = {}
    for name, tensor in now.items():
        before = old.get(name)
        by_class = name in class_keys
        if before is None or before.shape[by_class:] != tensor.shape[by_class:]:
            then = None if before is None else tuple(before.shape)
            raise ValueError(
                f'{name} of shape {tuple(tensor.shape)}: expected {then}, as in the '
                'step before; keep the architecture'
            )
        found[name] = tensor.detach().clone()
        found[name][rows if by_class else slice(None)] = before.to(tensor)
    return found


def old_weights(runner: Runner, loaded: Mapping[str, Any]) -> dict[str, Tensor]:
    """Weights of the step before for everything that learns, in today's shapes."""
    model = unwrapped(runner)
    rows = old_rows(runner, loaded)
    return aligned(state_dict_of(loaded), learned(model), rows, class_keys_of(model))


def own_images(dataset: Any) -> list[int]:
    """Places of a training set's images, each file once.

    ``rebalance`` repeats the images of small products, which counts in training only.
    """
    if not hasattr(dataset, 'get_data_info'):
        return list(range(len(dataset)))
    places: dict[str, int] = {}
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        places.setdefault(str(info.get('img_path', index)), index)
    return list(places.values())


def own_batches(runner: Runner, batch_size: int | None = None) -> DataLoader:
    """This rank's share of the step's training images, once each and in order."""
    loader = runner.train_dataloader
    mine = own_images(loader.dataset)[get_rank() :: get_world_size()]
    return DataLoader(
        Subset(loader.dataset, mine),
        batch_size=batch_size or loader.batch_size,
        collate_fn=loader.collate_fn,
    )


def refuse_iterations(runner: Runner, hook: Hook) -> None:
    """Refuse a loop whose last checkpoint comes before the end of its last epoch.

    Raises:
        ValueError: It counts iterations.
    """
    if isinstance(getattr(runner, 'train_loop', None), IterBasedTrainLoop):
        raise ValueError(
            f'train_cfg.by_epoch=False with {type(hook).__name__}: expected epochs, at '
            'whose end it collects; set by_epoch=True and max_epochs'
        )
