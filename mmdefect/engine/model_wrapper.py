"""Models in several processes: with gradients to average, and without any."""

from __future__ import annotations

import re
from typing import Any

from mmengine.dist import get_world_size
from mmengine.model import BaseModel, MMDistributedDataParallel
from torch import nn

from mmdefect.registry import MODEL_WRAPPERS
from mmdefect.utils.checks import some_of


@MODEL_WRAPPERS.register_module()
class ReplicatedModel(nn.Module):
    """Stands where DDP stands for a model that has no gradients to average.

    There are none of a model with nothing to train, which DDP refuses (it brings
    together itself what its processes have seen), and none in a single process. DDP's
    settings do not matter here.
    """

    def __init__(self, module: BaseModel, **kwargs: Any) -> None:
        super().__init__()
        self.module = module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the model."""
        return self.module(*args, **kwargs)

    def train_step(self, data: Any, optim_wrapper: Any) -> Any:
        """Train the model on a batch of this process."""
        return self.module.train_step(data, optim_wrapper)

    def val_step(self, data: Any) -> Any:
        """Predict a batch."""
        return self.module.val_step(data)

    def test_step(self, data: Any) -> Any:
        """Predict a batch."""
        return self.module.test_step(data)


@MODEL_WRAPPERS.register_module()
class DistributedModel(MMDistributedDataParallel):
    """DDP that says which parameters no gradient reached; in one process, no DDP.

    DDP looks at what trains when it is made, and some backbones freeze only when they
    are set to train: what they freeze then is left out.

    Args:
        module: The model.
        kwargs: As for MMEngine's ``MMDistributedDataParallel``.

    Raises:
        ValueError: In the second iteration, naming parameters that train and take no
            part in the loss; unless ``find_unused_parameters`` is on.
    """

    def __new__(cls, module: BaseModel, **kwargs: Any) -> Any:
        """Return a wrapper without DDP in a group of one process."""
        if get_world_size() == 1:
            return ReplicatedModel(module)
        return super().__new__(cls)

    def __init__(self, module: BaseModel, **kwargs: Any) -> None:
        frozen = _frozen_by_train(module)
        self._set_params_and_buffers_to_ignore_for_model(module, list(frozen))
        super().__init__(module=module, **kwargs)
        self._shared = [name for name, _ in _training(module)]
        # An optimizer holds the same parameters however many processes there are.
        for parameter in frozen.values():
            parameter.requires_grad_(True)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the model."""
        try:
            return super().forward(*args, **kwargs)
        except RuntimeError as error:
            if not (names := self._without_gradient(str(error))):
                raise
            raise ValueError(
                f'no gradient reached {some_of(names)}: expected every parameter that '
                'trains to take part in the loss in several processes; remove layers '
                'whose output nothing uses, freeze them (requires_grad=False), or set '
                'find_unused_parameters=True in the config, which takes longer'
            ) from error

    def _without_gradient(self, message: str) -> list[str]:
        """Names of the parameters whose numbers stand in a message of torch's."""
        found = re.search(r'did not receive grad for rank \d+: ([\d ]+)', message)
        return [self._shared[int(n)] for n in found[1].split()] if found else []


def _training(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, p) for name, p in module.named_parameters() if p.requires_grad]


def _frozen_by_train(module: nn.Module) -> dict[str, nn.Parameter]:
    """Set a module to train; what no longer trains then, by name."""
    before = _training(module)
    module.train()
    return {name: p for name, p in before if not p.requires_grad}
