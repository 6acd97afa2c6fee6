"""A process group within the test's own process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from torch import distributed


@pytest.fixture(scope='module')
def group_of_one() -> Iterator[None]:
    """A process group of this process alone, without sockets."""
    store = distributed.HashStore()
    distributed.init_process_group('gloo', store=store, rank=0, world_size=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('LOCAL_RANK', '0')
        yield
    distributed.destroy_process_group()


@pytest.fixture
def ddp(group_of_one: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """DDP in it, although there is nobody to share with."""
    monkeypatch.setattr('mmdefect.engine.model_wrapper.get_world_size', lambda: 2)
