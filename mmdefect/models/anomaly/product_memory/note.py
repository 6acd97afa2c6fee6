"""What a memory was learned with, kept beside it as a line of text in a tensor."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mmdefect.models.anomaly.product_memory.recipe import Recipe
from mmdefect.utils.modules import weights_digest

NOTE_BYTES = 1024


def settings_of(model: Any, size: Sequence[int] | None) -> dict[str, Any]:
    """Settings that all products of a memory share.

    Args:
        model: With ``features``, ``recipe`` and ``data_preprocessor``.
        size: Height and width of its images, where known.
    """
    recipe: Recipe = model.recipe
    rows = [
        getattr(model.data_preprocessor, name, torch.zeros(0)).flatten().tolist()
        for name in ('mean', 'std')
    ]
    return {
        'encoder': weights_digest(model.features),
        'normalisation': [[round(value, 3) for value in row] for row in rows],
        'grid': model.features.grid,
        'pool': model.features.pool,
        'search': recipe.search,
        'score': recipe.score,
        'top': recipe.top,
        'even': recipe.even,
        'size': None if size is None else list(size),
    }


def write_note(note: Tensor, settings: dict[str, Any]) -> None:
    """Write settings into a tensor of bytes."""
    text = json.dumps(settings).encode()
    note.zero_()
    note[: len(text)] = torch.tensor(list(text), dtype=torch.uint8)


def read_note(note: Tensor) -> dict[str, Any] | None:
    """Settings that were written; ``None`` where there are none yet."""
    text = bytes(note.tolist()).rstrip(b'\0')
    return json.loads(text) if text else None


def check_note(known: dict[str, Any], mine: dict[str, Any]) -> None:
    """Refuse a model that looks at images in another way than its memory did.

    Raises:
        ValueError: Naming the setting.
    """
    for name, value in known.items():
        if name == 'encoder' and mine[name] != value:
            raise ValueError(
                'the memory was learned with another encoder (SHA-256 of its weights '
                f'{value[:12]}..., here {mine[name][:12]}...): expected the same '
                'weights; load the whole checkpoint, or learn the products anew'
            )
        if mine.get(name) != value:
            raise ValueError(
                f'model.{name}={mine.get(name)!r}: expected {value!r}, as the memory '
                'was learned with; set it, or learn the products anew'
            )


def check_size(known: dict[str, Any], size: Sequence[int] | None) -> None:
    """Refuse images of another size than those that were learned.

    Raises:
        ValueError: Naming both sizes.
    """
    learned = known['size']
    if size is not None and learned is not None and list(size) != learned:
        raise ValueError(
            f'images of {size[0]} x {size[1]} pixels: expected '
            f'{learned[0]} x {learned[1]} (height x width), as the memory was learned '
            'with; resize them'
        )
