"""Process groups on machines with and without a GPU, and what the ranks agree on."""

from __future__ import annotations

import logging
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from typing import Any, TypeVar

import torch
import torch.distributed as torch_dist
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import (
    barrier,
    broadcast_object_list,
    init_dist,
    is_distributed,
    is_main_process,
)
from torch.distributed.distributed_c10d import _get_default_store

T = TypeVar('T')


def prepare_distributed(cfg: Config) -> None:
    """Start the process group of ``cfg.launcher``, with or without a GPU.

    It starts before the first Runner, because a stream's ranks talk before that.
    Without a GPU MMEngine cannot start it: its launcher calls ``torch.cuda.set_device``
    even with gloo, and its model wrapper insists on a device id. So there the group is
    started here and the wrapper is told to use none. Models are wrapped in
    ``mmdefect.DistributedModel``, unless the config names another type.

    Raises:
        ValueError: The launcher needs a GPU and there is none.
    """
    launcher = cfg.get('launcher', 'none')
    if launcher == 'none':
        return
    settings = dict((cfg.get('env_cfg') or {}).get('dist_cfg') or {})
    wrapper: dict[str, Any] = {
        'type': 'mmdefect.DistributedModel',
        'broadcast_buffers': False,
        'find_unused_parameters': cfg.get('find_unused_parameters', False),
        **(cfg.get('model_wrapper_cfg') or {}),
    }
    if get_device() != 'cpu':
        _check_gpus()
        if not is_distributed():
            init_dist(launcher, **settings)
        cfg['model_wrapper_cfg'] = wrapper
        return
    if launcher != 'pytorch':
        raise ValueError(
            f'launcher={launcher!r}: expected a GPU on this machine; start CPU '
            'processes with tools/dist_train.sh (launcher pytorch)'
        )
    if not is_distributed():
        # torchrun has set MASTER_ADDR, RANK and the rest.
        timeout = timedelta(seconds=settings.get('timeout', 1800))
        torch_dist.init_process_group('gloo', timeout=timeout)
    cfg['model_wrapper_cfg'] = {**wrapper, 'device_ids': None}


def _check_gpus() -> None:
    rank, gpus = int(os.environ.get('LOCAL_RANK', '0')), torch.cuda.device_count()
    if torch.cuda.is_available() and rank >= gpus:
        raise ValueError(
            f'process {rank} of this machine has no GPU of its own: expected at most '
            f'one process for each of {gpus}; start fewer'
        )


_ALONE: list[Callable[[], Any]] = []
"""What rank 0 is running at the moment while the others wait for its outcome."""
_TURNS = count()
"""Numbers the times that they have waited, alike on all ranks."""


def on_main_process(function: Callable[[], T]) -> T:
    """Run ``function`` on rank 0 and return its result, or raise its error, everywhere.

    Without this, ranks that look at a file system at different moments may decide
    differently, and an error on rank 0 leaves the others waiting. Called by such a
    function in turn, it runs on rank 0 only: the others wait for the outer one.
    """
    if _ALONE:
        return function()
    outcome: list[Any] = [None, None]
    if is_main_process():
        _ALONE.append(function)
        try:
            outcome[0] = function()
        except Exception as error:  # re-raised below, on every rank
            outcome[1] = error
        finally:
            _ALONE.clear()
    if is_distributed():
        _wait_for_rank_0()
        outcome[1] = _portable(outcome[1])
        broadcast_object_list(outcome, src=0)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


@contextmanager
def alone() -> Iterator[None]:
    """Have this process take itself for the only one, while the others wait for it.

    mmdet's losses are reduced over all processes; these would not answer.
    """
    asked = torch_dist.is_initialized
    torch_dist.is_initialized = lambda: False
    try:
        yield
    finally:
        torch_dist.is_initialized = asked


def _wait_for_rank_0() -> None:
    """Wait as long as it takes: a collective would give up after its timeout."""
    key, store = f'mmdefect/turn_{next(_TURNS)}', _get_default_store()
    if is_main_process():
        store.set(key, 'done')
    else:
        store.wait([key], timedelta(days=365))


def _portable(error: Exception | None) -> Exception | None:
    """The error, or its words if it cannot be sent: then nothing would be."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301
    except Exception:  # whatever its class raises
        return RuntimeError(f'{type(error).__name__}: {error}')
    return error


def leave_process_group() -> None:
    """End this process, if it belongs to a group without GPUs; the last call of a tool.

    The threads of gloo now and then abort a process that ends the usual way, whether
    or not the group was destroyed before ("terminate called without an active
    exception"), and torchrun then reports a finished run as failed. So the ranks wait
    for each other, write what they hold, and end without tearing anything down.
    """
    if not is_distributed() or get_device() != 'cpu':
        return
    barrier()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
