"""Training and test read 16-bit images alike, or stop."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from torch.utils.data import DataLoader

from mmdefect.registry import HOOKS


class Images(list):
    """A data set that knows the bits of its images."""

    def __init__(self, bits: int | None) -> None:
        super().__init__([0])
        self.metainfo = {} if bits is None else {'bits': bits}


def runner_of(**bits: int | None) -> Any:
    loaders = {f'_{k}_dataloader': DataLoader(Images(v)) for k, v in bits.items()}
    train = loaders.get('_train_dataloader')
    return SimpleNamespace(train_dataloader=train, **loaders)


HOOK = HOOKS.build({'type': 'mmdefect.SameBitsHook'})


@pytest.mark.parametrize(
    ('train', 'val', 'learnt', 'test'),
    [(12, 12, 12, 12), (None, 12, None, 16), (16, None, 16, None), (16, 16, 16, 16)],
)
def test_smoke(train: Any, val: Any, learnt: Any, test: Any) -> None:
    HOOK.before_train(runner_of(train=train, val=val))
    meta = {} if learnt is None else {'dataset_meta': {'bits': learnt}}
    HOOK.after_load_checkpoint(runner_of(test=test), {'meta': meta})


def test_exception_validation() -> None:
    message = 'as 12 bits in the training set and as 16 bits in the set of val;'
    with pytest.raises(ValueError, match=message):
        HOOK.before_train(runner_of(train=12, val=16))


def test_exception_checkpoint() -> None:
    checkpoint = {'meta': {'dataset_meta': {'bits': 16}}}
    with pytest.raises(
        ValueError, match=r'16 bits in the checkpoint and as 12 .*bits='
    ):
        HOOK.after_load_checkpoint(runner_of(test=12), checkpoint)
    runner = runner_of()
    runner._test_dataloader = {'type': 'a loader that is not built'}
    HOOK.after_load_checkpoint(runner, checkpoint)
    HOOK.after_load_checkpoint(runner_of(test=12), {})
