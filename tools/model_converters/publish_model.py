"""Write what inference needs of a checkpoint, with its SHA-256 in the file name.

Kept are the weights (of the student, where a teacher is stored too), the class names
and the step of the stream. Dropped are optimizer, logs and the config text, which
other tools would execute.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmdefect.utils.checkpoint import (
    checkpoint_classes,
    load_weights,
    state_dict_of,
    student_of,
)
from mmdefect.utils.files import file_sha256

DIGITS = 8  # as in OpenMMLab's model zoos; torch.hub checks them after a download


def publish(source: Path, target: Path) -> Path:
    """Write ``<target>-<digits>.pth`` or ``.safetensors`` and return its path.

    Raises:
        ValueError: If the name ends otherwise, or the checkpoint cannot be read.
        FileNotFoundError: If there is no checkpoint.
    """
    if target.suffix not in ('.pth', '.safetensors'):
        raise ValueError(
            f'{target}: expected a name that ends with .pth or .safetensors'
        )
    checkpoint = load_weights(source)
    state = student_of(state_dict_of(checkpoint, source))
    state = {name: value.contiguous() for name, value in state.items()}
    target.parent.mkdir(parents=True, exist_ok=True)
    unnamed = target.with_name(f'.{target.name}')
    classes = checkpoint_classes(checkpoint, source)
    if target.suffix == '.pth':
        meta = _published_meta(checkpoint, classes)
        torch.save({'meta': meta, 'state_dict': state}, unnamed)
    else:
        _save_safetensors(state, classes, unnamed)
    digits = file_sha256(unnamed)[:DIGITS]
    return unnamed.replace(target.with_name(f'{target.stem}-{digits}{target.suffix}'))


def _published_meta(
    checkpoint: Mapping[str, Any], classes: list[str] | None
) -> dict[str, Any]:
    meta = checkpoint.get('meta') or {}
    kept = {key: meta[key] for key in ('dataset_meta', 'stream') if key in meta}
    if classes and 'dataset_meta' not in kept:
        kept['dataset_meta'] = {'classes': tuple(classes)}
    return kept


def _save_safetensors(
    state: Mapping[str, Tensor], classes: list[str] | None, target: Path
) -> None:
    try:
        from safetensors.torch import save_file
    except ImportError:
        raise ImportError(
            f'{target}: expected the package safetensors; run `pip install safetensors`'
        ) from None
    # Two names of one tensor (a shared head) are written twice.
    tensors = {name: value.clone() for name, value in state.items()}
    save_file(tensors, target, {'classes': json.dumps(classes)} if classes else None)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', type=Path, metavar='IN', help='checkpoint')
    parser.add_argument(
        'target',
        type=Path,
        metavar='OUT',
        help='.pth or .safetensors, without the hash',
    )
    args = parser.parse_args(argv)
    print(publish(args.source, args.target))


if __name__ == '__main__':
    main()
