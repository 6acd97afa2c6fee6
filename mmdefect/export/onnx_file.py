"""Writing a network as one ONNX file, by torch's current exporter."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmdefect.export.graphs import Exportable

OPSET = 18


def write_onnx(
    network: Exportable, example: Tensor, path: Path, *, any_size: bool
) -> None:
    """Trace a network and write it.

    The number of images is free, and with ``any_size`` so are height and width.

    Args:
        network: What to write.
        example: A batch as it takes it, ``(B, C, H, W)``, of at least two images.
        path: File to be written, all weights in it.
        any_size: Whether images of other heights and widths will come.

    Raises:
        OSError: It cannot be written.
        ValueError: torch cannot trace it.
    """
    free = torch.export.Dim.DYNAMIC
    more = example_products(network, example)
    axes: dict[int, Any] = {0: free, **({2: free, 3: free} if any_size else {})}
    try:
        with torch.no_grad(), _quietly(), whole_windows(network.module):
            program: Any = torch.onnx.export(
                network.module,
                (example, *more),
                dynamo=True,
                external_data=False,
                dynamic_shapes=(axes, *({0: free} for _ in more)),
                input_names=list(network.inputs),
                output_names=list(network.outputs),
                opset_version=OPSET,
                verbose=False,
            )
            program.save(str(path), external_data=False)
    except Exception as error:  # of torch's many kinds
        if isinstance(failed := error.__cause__ or error, OSError):
            raise failed from None  # a full disk, not the model
        reason = str(error).strip().partition('\n')[0]
        raise ValueError(
            f'torch cannot export this model ({type(error).__name__}: {reason}): '
            'expected layers that ONNX has; predict with the checkpoint instead'
        ) from error


def example_products(network: Exportable, images: Tensor) -> list[Tensor]:
    """What a network takes beside images: a product to recognise, and one told."""
    return [torch.arange(len(images)) - 1 for _ in network.inputs[1:]]


@contextlib.contextmanager
def whole_windows(module: nn.Module) -> Iterator[None]:
    """Let Swin transformers put their windows together for any number of images.

    mmpretrain counts the images by a division of floats, which a trace gets wrong: for
    another number the graph would mix them up.
    """
    swins: list[Any] = [
        part for part in module.modules() if hasattr(part, 'window_reverse')
    ]
    for part in swins:
        part.window_reverse = _window_reverse
    try:
        yield
    finally:
        for part in swins:
            del part.window_reverse


def _window_reverse(windows: Tensor, height: int, width: int, size: int) -> Tensor:
    """From windows ``(N, size, size, C)`` to maps ``(B, height, width, C)``."""
    channels = windows.shape[-1]
    rows, columns = height // size, width // size
    tiles = windows.reshape(-1, rows, columns, size, size, channels)
    return tiles.transpose(2, 3).reshape(-1, height, width, channels)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """The exporter prints its steps and warns of its own dependencies."""
    logger = logging.getLogger('torch.onnx')
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            warnings.simplefilter('ignore')
            yield
    finally:
        logger.setLevel(before)
