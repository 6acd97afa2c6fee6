"""Where the config and the weights of a trained model are, whatever left them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmdefect.apis.config import load_config
from mmdefect.apis.config_files import check_model
from mmdefect.engine.calibrated import CALIBRATED
from mmdefect.utils.checks import brief
from mmdefect.utils.config import every_innermost
from mmdefect.utils.dumped_config import SCOPES, check_types, read_dumped_config
from mmdefect.utils.text_files import read_text_file


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A config, and the weights that belong to it.

    Attributes:
        cfg: Of one step, where it is one of a stream.
        checkpoint: File of the weights.
        config: File of the config; None if it was given as an object.
        step: Of a stream.
    """

    cfg: Config
    checkpoint: Path
    config: Path | None = None
    step: int | None = None


def find_trained(
    model: Config | str | Path,
    checkpoint: str | Path | None = None,
    *,
    step: int | None = None,
    calibrated: bool = False,
) -> Trained:
    """Find what a training has left.

    Args:
        model: A config, the file of one, or a work dir: of a stream, of a plain
            training, of ``tools/prune.py`` (its chosen network), or the folder of one
            pruned network. Configs of work dirs are read and not run.
        checkpoint: File of the weights. By default ``load_from`` of the config; of a
            work dir what its training has left: the best checkpoint where there is one,
            else the last.
        step: Of a stream; by default the one that the checkpoint names, of a work dir
            the last that is trained.
        calibrated: Whether ``calibrated.pth`` beside the checkpoint is taken instead of
            it, unless it is older.

    Raises:
        FileNotFoundError: There is no such config, work dir or checkpoint.
        ValueError: No checkpoint is known, the step is none of the stream or is not
            trained, or the config of a work dir holds more than a training writes.

    Example:
        >>> found = find_trained('work_dirs/my_stream')  # doctest: +SKIP
        >>> found.checkpoint  # doctest: +SKIP
        PosixPath('work_dirs/my_stream/step_1/epoch_12.pth')
    """
    if not isinstance(model, Config) and Path(model).is_dir():
        found = _of_folder(Path(model), step)
        if checkpoint is not None:
            return _with_checkpoint(found, checkpoint)
    else:
        found = _of_config(model, checkpoint, step)
    if checkpoint is None and calibrated:
        newer = _newer(found.checkpoint.with_name(CALIBRATED), found.checkpoint)
        return _with_checkpoint(found, newer)
    return found


def _with_checkpoint(found: Trained, checkpoint: str | Path) -> Trained:
    return Trained(
        cfg=found.cfg,
        checkpoint=Path(checkpoint),
        config=found.config,
        step=found.step,
    )


def _newer(one: Path, other: Path) -> Path:
    if not (one.is_file() and other.is_file()):
        return one if one.is_file() else other
    return one if one.stat().st_mtime >= other.stat().st_mtime else other


def _of_config(
    model: Config | str | Path, checkpoint: str | Path | None, step: int | None
) -> Trained:
    cfg = model if isinstance(model, Config) else load_config(model)
    path = checkpoint or cfg.get('load_from')
    if path is None:
        raise ValueError(
            'checkpoint=None: expected a file of weights; name one, or set load_from'
        )
    cfg, step = _of_step(cfg, Path(path), step)
    config = None if isinstance(model, Config) else Path(model)
    return Trained(cfg=cfg, checkpoint=Path(path), config=config, step=step)


def _of_step(
    cfg: Config, checkpoint: Path, step: int | None
) -> tuple[Config, int | None]:
    """The ordinary config of a stream's step; a config without a stream is one."""
    if 'stream' not in cfg:
        if step is not None:
            raise ValueError(f'step={step}: expected a config with a stream')
        return cfg, None
    from mmdefect.streams.checkpoints import step_of
    from mmdefect.streams.stream import build_stream, resolve_step_config

    stream = build_stream(cfg)
    step = step_of(checkpoint, len(stream)) if step is None else step
    stream.check_step(step)
    return resolve_step_config(cfg, step, stream), step


def _of_folder(folder: Path, step: int | None) -> Trained:
    from mmdefect.pruning.sweep.candidates import CLASSIFIER, CONFIG, SUMMARY
    from mmdefect.pruning.sweep.workdir import STATE

    pruned = (folder / STATE).is_file()
    one_pruned = (folder / CONFIG).is_file() and (folder / CLASSIFIER).is_file()
    plain = pruned or one_pruned or (folder / 'last_checkpoint').is_file()
    if not plain:
        found = _of_stream(folder, step)
    elif step is not None:
        raise ValueError(
            f'step={step}: expected none, {folder} is no work dir of a stream; leave '
            'it out'
        )
    elif pruned:
        found = _of_candidate(_chosen(folder, SUMMARY))
    elif one_pruned:
        found = _of_candidate(folder)
    else:
        found = _of_plain(folder)
    check_parts(found.cfg, found.config)
    return found


def check_parts(cfg: Config, path: Path | None) -> None:
    """Refuse what a work dir's config would build besides types of the registries."""
    check_model(cfg, path)
    built = [cfg.model, cfg.get('data_preprocessor')]
    if (dataset := dataset_of(cfg)) is not None:
        built.append(dataset.get('pipeline'))
    check_types(built, path or 'the config', (*SCOPES, 'mmcv', 'mmengine'))


def dataset_of(cfg: Config) -> Any:
    """Config of the innermost test dataset, else of validation; None without any."""
    for split in ('test', 'val'):
        loader = cfg.get(f'{split}_dataloader')
        if loader is not None:
            data = loader.get('dataset') if isinstance(loader, Mapping) else None
            if not isinstance(data, Mapping):
                raise ValueError(
                    f'{split}_dataloader={brief(loader)}: expected dict(dataset='
                    'dict(...), ...); correct it'
                )
            return next(every_innermost(loader.dataset))
    return None


def _of_stream(work_dir: Path, step: int | None) -> Trained:
    """Config and checkpoint of a step, as the stream has recorded them."""
    from mmdefect.streams.resume import recorded_config
    from mmdefect.streams.state import StreamState, inside

    steps = StreamState.load(work_dir).steps
    trained = {state.step: state for state in steps if state.checkpoint is not None}
    state = trained.get(max(trained, default=0) if step is None else step)
    if not trained:
        raise ValueError(
            f'{work_dir} has no trained step yet: expected one at least; wait until '
            'its first step is trained, or start the training again'
        )
    if state is None:
        raise ValueError(
            f'step={step}: expected one of the trained steps {sorted(trained)} of '
            f'{work_dir}; train it first'
        )
    cfg = recorded_config(work_dir, state)
    if cfg is None:
        raise FileNotFoundError(
            f'{work_dir / str(state.config)} does not exist: expected the config of '
            f'step {state.step}; put it back'
        )
    return Trained(
        cfg=cfg,
        checkpoint=inside(work_dir, str(state.checkpoint)),
        config=inside(work_dir, str(state.config)),
        step=state.step,
    )


def untrained_steps(work_dir: Path) -> list[int]:
    """Steps of a stream that have no checkpoint yet; none of any other training."""
    from mmdefect.streams.state import STATE_FILE, StreamState

    if not (work_dir / STATE_FILE).is_file():
        return []
    steps = StreamState.load(work_dir).steps
    return [state.step for state in steps if state.checkpoint is None]


def _chosen(folder: Path, summary: str) -> Path:
    """Folder of the network that a sweep has chosen."""
    from mmdefect.streams.state import inside
    from mmdefect.utils.text_files import read_json

    path = folder / summary
    if not path.is_file():
        raise FileNotFoundError(
            f'{path} does not exist: expected a sweep that is finished; run '
            'tools/prune.py to its end, or give the folder of one of its networks'
        )
    chosen = read_json(path, 'summary of a sweep').get('chosen')
    return inside(folder, str(chosen), named_by=summary)


def _of_candidate(folder: Path) -> Trained:
    from mmdefect.pruning.sweep.candidates import CLASSIFIER, CONFIG, PLAN

    path = folder / CONFIG
    cfg = read_dumped_config(path)
    backbone = cfg.model.get('backbone') or {}
    named = backbone.get('plan')
    # It names the folder where it was pruned.
    if isinstance(named, str) and not Path(named).is_file():
        backbone['plan'] = str(folder / PLAN)
    return Trained(cfg=cfg, checkpoint=folder / CLASSIFIER, config=path)


def _of_plain(folder: Path) -> Trained:
    configs = sorted(folder.glob('*.py'))
    if len(configs) != 1:
        raise ValueError(
            f'{folder} holds {len(configs)} configs: expected the one that a training '
            'has written; give the config and its weights instead'
        )
    return Trained(
        cfg=read_dumped_config(configs[0]),
        checkpoint=_best_or_last(folder),
        config=configs[0],
    )


def _best_or_last(folder: Path) -> Path:
    best = sorted(folder.glob('best_*.pth'))
    if len(best) > 1:
        names = ', '.join(path.name for path in best)
        raise ValueError(
            f'{folder} holds {len(best)} best checkpoints ({names}): expected one; '
            'name the one that is meant as the weights'
        )
    if best:
        return best[0]
    # Whole paths are in it, of where the folder was.
    pointer = folder / 'last_checkpoint'
    said = read_text_file(pointer, 'name of a checkpoint').strip()
    if not said.isprintable() or not said:
        raise ValueError(
            f'{pointer} holds {brief(said)}: expected the path of a checkpoint; write '
            'it anew, or name the weights'
        )
    return folder / said.replace('\\', '/').rpartition('/')[2]
