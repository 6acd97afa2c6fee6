"""Networks whose inference is measured, with random weights, as users would have them.

Each is a config and a checkpoint on disk, which is what an export starts from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from lab.benchmarks.inference_engines import CONFIG, PACKAGE, WEIGHTS, photographs
from mmdefect.apis.config import load_config

PLAN = 'ftl/plans/ftl-alexnet_ftl-0.15.json'
# Untrained scores are below the threshold, and suppression would have nothing to do.
_BIAS = -4.0


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network.

    Attributes:
        config: File below ``configs``.
        side: Of its images in pixels.
        step: Of a stream.
        change: Made of its config.
        fill: Made of its weights, after they are initialised.
    """

    config: str
    side: int
    step: int | None = None
    change: Callable[[Config, Path], None] = lambda cfg, configs: None
    fill: Callable[[Any], None] = lambda model: None


def _pruned(cfg: Config, configs: Path) -> None:
    """FTL's AlexNet with the widths that its paper ends at."""
    from mmdefect.models.classification.pruned import pruned_widths

    plan = str(configs / PLAN)
    whole = cfg.model.backbone
    (width,) = pruned_widths({**whole, 'type': 'mmdefect.FTLAlexNet'}, plan)[-1:]
    cfg.model.backbone = {
        'type': 'mmdefect.PrunedBackbone',
        'backbone': whole,
        'plan': plan,
    }
    cfg.model.head.in_channels = cfg.model.head.in_channels // 256 * width


def _some_scores(model: Any) -> None:
    torch.nn.init.normal_(model.bbox_head.gfl_cls.weight, std=0.05)
    torch.nn.init.constant_(model.bbox_head.gfl_cls.bias, _BIAS)


def _full_memory(model: Any) -> None:
    model.memory.normal_()
    model.filled.fill_(model.memory.shape[1])


CASES = {
    'gfl': Case(
        config='gfl/gfl_mobilenet-v2_fpn_cpu_neu-det.py', side=200, fill=_some_scores
    ),
    'coreset': Case(
        config='coreset/coreset_mobilenet-v2_cpu_products_3-1x2.py',
        side=256,
        step=2,
        fill=_full_memory,
    ),
    'iuf': Case(config='iuf/iuf_mobilenet-v2_cpu_products_3-1x2.py', side=256, step=2),
    'casting': Case(config='casting/mobilenet-v2_casting.py', side=300),
    'pruned': Case(config='ftl/ftl-alexnet_cracks.py', side=112, change=_pruned),
}


def make_case(case: Case, configs: Path, folder: Path) -> Path:
    """Write ``config.py``, ``weights.pth`` and ``package`` of a network."""
    from mmdefect.export.write import export

    write_case(case, configs, folder)
    export(
        folder / CONFIG,
        folder / PACKAGE,
        weights=folder / WEIGHTS,
        images=photographs(4, case.side),
    )
    return folder


def write_case(case: Case, configs: Path, folder: Path) -> None:
    """Write ``config.py`` and ``weights.pth`` of a network into a folder."""
    cfg = load_config(configs / case.config)
    if case.step is not None:
        from mmdefect.streams.stream import build_stream, resolve_step_config

        cfg = resolve_step_config(cfg, case.step, build_stream(cfg))
    case.change(cfg, configs)
    write_model(cfg, folder, fill=case.fill)


def write_model(
    cfg: Config, folder: Path, *, fill: Callable[[Any], None] = lambda model: None
) -> None:
    """Write a config and random weights for it, no file of weights is read."""
    from mmengine.registry import MODELS

    from mmdefect.utils.config import described_model

    _without_files(cfg.model)
    cfg.load_from = None
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        model: Any = MODELS.build(described_model(cfg))
        model.init_weights()
    with torch.no_grad():
        fill(model)
    folder.mkdir(parents=True, exist_ok=True)
    cfg.dump(folder / CONFIG)
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, folder / WEIGHTS)


def _without_files(part: Any) -> None:
    """Take weights that are read from files out of a config."""
    for key, value in list(part.items()):
        if key == 'init_cfg' and (value or {}).get('type') == 'Pretrained':
            part[key] = None
        elif isinstance(value, dict):
            _without_files(value)
