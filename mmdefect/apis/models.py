"""From a config, or the work dir of a stream, to a model that predicts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.config import Config

from mmdefect.apis.config import load_config

if TYPE_CHECKING:
    from torch import nn


def build_model(
    config: Config | str | Path,
    checkpoint: str | Path | None = None,
    *,
    step: int | None = None,
    device: str = 'cpu',
) -> nn.Module:
    """Build a model in evaluation mode, with all of its weights loaded strictly.

    Args:
        config: A config, the file of one, or the work dir of a stream, whose own
            configs are read and not run.
        checkpoint: File of the weights, read as data only. By default ``load_from`` of
            the config; of a work dir what its step has left.
        step: Of a stream; by default the one that the checkpoint names, of a work dir
            the last that is trained.
        device: Where the model goes.

    Raises:
        FileNotFoundError: There is no such config, work dir or checkpoint.
        ValueError: No checkpoint is known, the step is none of the stream or is not
            trained, or a weight is missing, left over or of another shape.

    Example:
        >>> model = build_model('work_dirs/my_stream', step=1)  # doctest: +SKIP
        >>> model = build_model('my_config.py', 'epoch_12.pth')  # doctest: +SKIP
    """
    from mmengine.registry import MODELS, DefaultScope

    from mmdefect.utils.checkpoint import load_exactly
    from mmdefect.utils.config import described_model

    if not isinstance(config, Config) and Path(config).is_dir():
        cfg, left = _of_work_dir(Path(config), step)
        path = checkpoint or left
    else:
        cfg = config if isinstance(config, Config) else load_config(config)
        path = checkpoint or cfg.get('load_from')
        if path is None:
            raise ValueError(
                'checkpoint=None: expected a file; name one, or set load_from'
            )
        cfg = _of_step(cfg, Path(path), step)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        model: Any = MODELS.build(described_model(cfg))
    load_exactly(model, path, name='the config')
    return model.to(device).eval()


def _of_work_dir(work_dir: Path, step: int | None) -> tuple[Config, Path]:
    """Config and checkpoint of a step, as the stream has recorded them."""
    from mmdefect.streams.resume import recorded_config
    from mmdefect.streams.state import StreamState, inside
    from mmdefect.utils.dumped_config import check_types

    steps = StreamState.load(work_dir).steps
    trained = {state.step: state for state in steps if state.checkpoint is not None}
    state = trained.get(max(trained, default=0) if step is None else step)
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
    check_types([cfg.model, cfg.get('data_preprocessor')], work_dir / str(state.config))
    return cfg, inside(work_dir, str(state.checkpoint))


def _of_step(cfg: Config, checkpoint: Path, step: int | None) -> Config:
    """The ordinary config of a stream's step; a config without a stream is one."""
    if 'stream' not in cfg:
        if step is not None:
            raise ValueError(f'step={step}: expected a config with a stream')
        return cfg
    from mmdefect.streams.checkpoints import step_of
    from mmdefect.streams.stream import build_stream, resolve_step_config

    stream = build_stream(cfg)
    step = step_of(checkpoint, len(stream)) if step is None else step
    stream.check_step(step)
    return resolve_step_config(cfg, step, stream)
