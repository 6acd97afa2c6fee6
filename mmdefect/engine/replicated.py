"""Several processes with one model each and no gradients to average."""

from __future__ import annotations

from typing import Any

from mmengine.model import BaseModel
from torch import nn

from mmdefect.registry import MODEL_WRAPPERS


@MODEL_WRAPPERS.register_module()
class ReplicatedModel(nn.Module):
    """Stands where DDP stands for a model that has nothing to train.

    DDP refuses a model without gradients. The model itself brings together what its
    processes have seen.

    Args:
        module: The model.
        kwargs: DDP's settings, which do not matter here.
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
