"""From a config with a stream to the ordinary config of one of its steps."""

from __future__ import annotations

from mmengine.config import Config

from mmdefect.engine.run_config import (
    count_each_image_once,
    drop_absent_hooks,
    drop_validation,
    make_reproducible,
    save_safely,
)
from mmdefect.registry import TASK_UTILS
from mmdefect.streams.stream import Stream


def build_stream(cfg: Config) -> Stream:
    """Build the stream that ``cfg.stream`` describes.

    Raises:
        ValueError: The config has no ``stream``.
    """
    if not cfg.get('stream'):
        raise ValueError(
            f'config {cfg.filename or ""!r} has no stream: expected '
            "stream=dict(type='mmdefect.DetectionStream', protocol='3+3')"
        )
    return TASK_UTILS.build(cfg.stream, default_args={'cfg': cfg})


def resolve_step_config(cfg: Config, step: int, stream: Stream | None = None) -> Config:
    """Return the ordinary config of one step, without paths of a particular run."""
    stream = stream or build_stream(cfg)
    resolved = stream.resolve(cfg, step)
    drop_absent_hooks(resolved)
    make_reproducible(resolved, step=step)
    count_each_image_once(resolved)
    drop_validation(resolved)
    save_safely(
        resolved,
        stream={
            'step': step,
            'classes': stream.seen_classes(step),
            'old_classes': stream.old_classes(step),
        },
    )
    return resolved
