"""Reading checkpoints without running anything they contain.

A ``.pth`` file is a pickle, hence a program. Only tensors, plain containers and what
MMEngine's own log history consists of are accepted here (see
:mod:`mmdefect.utils.plain_data`), and there is no way around it.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import Tensor, nn

from mmdefect.utils.checks import some_of
from mmdefect.utils.plain_data import NotPlainError, allowed_globals, plain_value
from mmdefect.utils.text_files import parse_json
from mmdefect.utils.weights import download, how_to_make

MapLocation = str | torch.device | Callable[..., Any] | None

# torch stores weights as they are; an archive that grows more is no checkpoint.
MOST_GROWTH = 4
# Where releases of ERD and SD-IDD keep a teacher inside the student's checkpoint.
NESTED_TEACHERS = ('ori_model.', 'teacher.')


def load_weights(
    path: str | Path, *, map_location: MapLocation = 'cpu'
) -> dict[str, Any]:
    """Read a whole checkpoint, ``.pth`` or ``.safetensors``, as data only.

    Of a safetensors file it holds ``state_dict`` and the class names.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is a folder or no regular file, cannot be read, holds no dict
            or a ``meta`` that is none, or names anything beyond the allow-list (nothing
            is executed then).
    """
    path = Path(path).expanduser()
    if not path.exists():
        cure = how_to_make(path) or 'check the path'
        raise FileNotFoundError(f'there is no checkpoint at {path}: {cure}')
    if not path.is_file():
        kind = 'a folder' if path.is_dir() else 'a pipe or a device'
        raise ValueError(
            f'{path} is {kind}: expected a checkpoint; give a .pth or .safetensors file'
        )
    if path.suffix == '.safetensors':
        return _read_safetensors(path, map_location)
    checkpoint = _read_pickle(path, map_location)
    if not isinstance(checkpoint, dict):
        raise ValueError(
            f'{path} holds a {type(checkpoint).__name__}: expected a dict of weights; '
            'save the state_dict of the model instead'
        )
    if not isinstance(meta := checkpoint.get('meta'), dict | None):
        raise ValueError(
            f"{path} holds a {type(meta).__name__} as 'meta': expected a dict; save "
            'the weights anew, with a dict or without it'
        )
    return checkpoint


def pointed_checkpoint(work_dir: str | Path) -> Path | None:
    """Return what ``last_checkpoint`` names, in this folder wherever it has moved."""
    pointer = Path(work_dir) / 'last_checkpoint'
    if not pointer.is_file():
        return None
    text = pointer.read_text(encoding='utf-8', errors='replace')
    name = Path(text.strip()).name
    return pointer.parent / name if name else None  # a disk may lose what it says


def state_dict_of(
    checkpoint: Mapping[str, Any], path: str | Path = 'The checkpoint'
) -> dict[str, Tensor]:
    """Return the weights of a checkpoint, without the ``module.`` of DDP.

    Raises:
        ValueError: If the checkpoint neither has a ``state_dict`` nor is one, or its
            weights are not finite.
    """
    state = checkpoint.get('state_dict', checkpoint)
    if not isinstance(state, Mapping):
        found = f'a {type(state).__name__} as state_dict'
    elif wrong := [key for key in state if not isinstance(key, str)]:
        found = f'a state_dict with the key {wrong[0]!r}'
    elif not state or not all(isinstance(value, Tensor) for value in state.values()):
        found = f'only {sorted(map(str, checkpoint))}'
    else:
        check_finite(state, path)
        return {key.removeprefix('module.'): value for key, value in state.items()}
    raise ValueError(
        f"{path} holds no weights, {found}: expected a 'state_dict' of tensors by "
        'name; save the state_dict of the model'
    )


def student_of(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights without those of a teacher that was saved beside the student."""
    return {k: v for k, v in state.items() if not k.startswith(NESTED_TEACHERS)}


def load_exactly(
    model: nn.Module, path: str | Path, *, name: str | None = None
) -> dict[str, Any]:
    """Fill a model from a checkpoint that has each of its weights and no others.

    Returns the whole checkpoint.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It cannot be read (:func:`load_weights`), or a weight is missing,
            left over or of another shape.
    """
    checkpoint = load_weights(path)
    load_all(model, state_dict_of(checkpoint, path), path, name=name)
    return checkpoint


def load_all(
    model: nn.Module,
    state: Mapping[str, Tensor],
    path: str | Path,
    *,
    name: str | None = None,
    others: tuple[str, ...] = (),
    cure: str = 'use the config that it was trained with',
) -> None:
    """Fill a model from weights of which none is missing or left over.

    What a model itself adapts while it loads, such as the position embedding of a
    transformer for another image size, fits.

    Args:
        name: What the error calls the model; by default its type.
        others: Beginnings of names that may be left over; ``('',)`` for any.
        cure: What to do about an error.

    Raises:
        ValueError: Naming the file and the first weights that do not fit.
    """
    kind = type(model).__name__
    try:
        missing, unknown = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        reason = _first_mismatch(error)
    except AssertionError:  # mmpretrain's, of positions that are not those of a square
        reason = 'its position embedding cannot be resized'
    else:
        total = len(model.state_dict())
        unknown = [key for key in unknown if not key.startswith(others)]
        if missing:
            reason = f'it lacks {len(missing)} of the {total} weights of {kind}'
        elif unknown:
            reason = f'it holds {len(unknown)} weights that {kind} does not have'
        else:
            return
        reason += f', such as {", ".join((missing or unknown)[:3])}'
    raise ValueError(f'{path} does not fit {name or kind}: {reason}; {cure}')


def _first_mismatch(error: RuntimeError) -> str:
    """The first weight of another shape, as ``load_state_dict`` names it."""
    return str(error).partition('\n')[2].strip().partition('\n')[0].rstrip(' .')


def checkpoint_classes(
    checkpoint: Mapping[str, Any], path: str | Path = 'The checkpoint'
) -> list[str] | None:
    """Return the class names a checkpoint was trained on, None when it says none.

    Raises:
        ValueError: If what it says are no names.
    """
    meta = checkpoint.get('meta')
    dataset_meta = (meta.get('dataset_meta') or meta) if isinstance(meta, dict) else {}
    classes: Any = dataset_meta
    if isinstance(dataset_meta, dict):
        # mmdet 2 wrote capitals, and directly into `meta`.
        given = (dataset_meta.get(name) for name in ('classes', 'CLASSES'))
        classes = next((names for names in given if names is not None), [])
    if isinstance(classes, str):
        return [classes]
    names = isinstance(classes, list | tuple)
    if not names or not all(isinstance(name, str) for name in classes):
        raise ValueError(
            f'{path} has {classes!r:.80} as the names of its classes: expected a list '
            'of texts; write meta.dataset_meta.classes anew'
        )
    return list(classes) or None


def check_finite(state: Mapping[str, Tensor], path: str | Path) -> None:
    """Refuse weights among which is NaN or infinity: the training diverged.

    Raises:
        ValueError: Naming the file and the first three such tensors.
    """
    wrong = [name for name, value in state.items() if not _is_finite(value)]
    if wrong:
        raise ValueError(
            f'{path} holds NaN or infinity in {len(wrong)} of {len(state)} tensors, '
            f'{some_of(wrong, 3)}: the training diverged; use an earlier '
            'checkpoint, or train anew with a lower learning rate'
        )


def _is_finite(value: Tensor) -> bool:
    if not (value.is_floating_point() or value.is_complex()):
        return True
    # One pass without a tensor of truth values; only a sum that overflows needs both.
    value = torch.view_as_real(value) if value.is_complex() else value
    value = value.detach()
    total = value.sum(dtype=torch.float32 if value.element_size() < 4 else None)
    return bool(total.isfinite()) or bool(value.to(total.dtype).isfinite().all())


def use_safe_loading() -> None:
    """Make MMEngine read every checkpoint, local or downloaded, by this module.

    Its own loader runs any pickle after a warning, and ``Runner.resume`` executes the
    text in ``meta['config']`` as Python; that entry is dropped.
    """
    from mmengine.runner import checkpoint as mmengine_checkpoint

    mmengine_checkpoint.CheckpointLoader.register_scheme(
        prefixes='', loader=load_from_local_safely, force=True
    )
    # All schemes that download (http, torchvision, open-mmlab, mmcls) end here.
    mmengine_checkpoint.load_url = load_url_safely


def load_from_local_safely(
    filename: str, map_location: MapLocation = None
) -> dict[str, Any]:
    """Stand in for MMEngine's ``load_from_local``; see :func:`use_safe_loading`."""
    checkpoint = load_weights(filename, map_location=map_location)
    if checkpoint.get('meta'):  # a dict and nothing else
        checkpoint['meta'].pop('config', None)
    return checkpoint


def load_url_safely(
    filename: str,
    model_dir: str | None = None,
    map_location: MapLocation = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Stand in for :func:`torch.hub.load_state_dict_from_url`, same cache folder.

    Raises:
        ConnectionError: The server cannot be reached, or has no such file.
    """
    folder = Path(model_dir or Path(torch.hub.get_dir()) / 'checkpoints')
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / Path(urlparse(filename).path).name
    if not target.exists():
        # A published name ends with the first digits of its hash: `-0123abcd.pth`.
        digits = re.search(r'-([a-f0-9]+)\.', target.name)
        prefix = digits.group(1) if digits else None
        download(filename, target, prefix, progress=progress)
    return load_from_local_safely(str(target), map_location)


def _read_pickle(path: Path, map_location: MapLocation) -> Any:
    check_archive(path)
    try:
        with torch.serialization.safe_globals(allowed_globals()):
            read = torch.load(path, map_location=map_location, weights_only=True)
        return plain_value(read, file_bytes=path.stat().st_size)
    except NotPlainError as error:
        raise _more_than_weights(path, error.name, f' in {error.place}') from None
    except Exception as error:
        # torch's readers raise whatever they stumble over in a broken file.
        named = re.search(r'GLOBAL (\S+)', str(error))
        if isinstance(error, pickle.UnpicklingError) and named:
            raise _more_than_weights(path, named.group(1)) from None
        raise _unreadable(path, error) from None


def _more_than_weights(path: Path, name: str, place: str = '') -> ValueError:
    return ValueError(
        f"{path} holds more than weights: it names '{name}'{place}, which was refused "
        'and not run; use a checkpoint of tensors and plain containers'
    )


def check_archive(path: Path) -> None:
    """Refuse an archive of a few bytes that would fill the memory, or one that changed.

    torch compares no checksums: a bit that a disk has lost would be another weight.

    Raises:
        ValueError: Naming the file.
    """
    with path.open('rb') as file:
        if file.read(4) != b'PK\x03\x04':
            return  # torch's format before 1.6
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            unpacked = sum(entry.file_size for entry in entries)
            if small := unpacked <= MOST_GROWTH * size:
                for entry in entries:
                    if entry.CRC:  # none after torch.serialization.set_crc32_options
                        _read_through(archive, entry)
    except Exception as error:  # whatever a broken archive leads to
        raise _unreadable(path, error) from None
    if not small:
        raise ValueError(
            f'{path} has {size:,} bytes and would unpack to {unpacked:,}: expected '
            'weights as they are; save it anew with torch.save'
        )


def _read_through(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """Read to the end, where Python compares the checksum."""
    with archive.open(entry) as file:
        while file.read(1 << 20):
            pass


def _read_safetensors(path: Path, map_location: MapLocation) -> dict[str, Any]:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise ImportError(
            f'{path}: expected the package safetensors; run `pip install safetensors`'
        ) from None
    if callable(map_location):
        raise TypeError(
            f'{path}, map_location={map_location}: expected one device for a '
            "safetensors file; give one such as 'cpu'"
        )
    device = 'cpu' if map_location is None else str(map_location)
    try:
        with safe_open(str(path), framework='pt', device=device) as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise _unreadable(path, error) from error
    checkpoint: dict[str, Any] = {'state_dict': state, 'meta': {}}
    if 'classes' in metadata:
        what = 'list of class names'
        classes = parse_json(metadata['classes'], f'{path}: its metadata', what, list)
        checkpoint['meta']['dataset_meta'] = {'classes': classes}
    return checkpoint


def _unreadable(path: Path, error: Exception) -> ValueError:
    # torch wraps its own in advice to read the file as a program instead.
    told = str(error).rpartition('WeightsUnpickler error: ')[2].strip()
    reason = (told.splitlines() or [type(error).__name__])[0]
    if 'weights_only' in reason:
        reason = 'not what torch.save writes'
    return ValueError(
        f'{path} cannot be read as a checkpoint ({reason}): expected a whole file; '
        'copy or download it again'
    )
