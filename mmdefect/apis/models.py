"""From a config, or the work dir of a stream, to a model that predicts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.config import Config

from mmdefect.apis.config_files import build_part, check_model
from mmdefect.apis.trained import Trained, find_trained

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
        config: A config, the file of one, or a work dir, as
            :func:`mmdefect.apis.trained.find_trained` takes them.
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
    model, _ = built(find_trained(config, checkpoint, step=step))
    return model.to(device).eval()


def built(found: Trained) -> tuple[Any, dict[str, Any]]:
    """The model of a training, with its weights, and its whole checkpoint.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: There is no such model, or a weight is missing, left over or of
            another shape.

    Example:
        >>> model, saved = built(find_trained('work_dirs/x'))  # doctest: +SKIP
        >>> saved['meta']['dataset_meta']['classes']  # doctest: +SKIP
        ('scratch', 'dent')
    """
    from mmengine.registry import MODELS, DefaultScope

    from mmdefect.utils.checkpoint import load_exactly
    from mmdefect.utils.config import described_model

    check_model(found.cfg, found.config)
    with DefaultScope.overwrite_default_scope(found.cfg.get('default_scope')):
        described = described_model(found.cfg)
        model = build_part(MODELS, described, name='model', path=found.config)
    return model, load_exactly(model, found.checkpoint, name='the config')
