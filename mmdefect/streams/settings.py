"""Which settings of a step decide its weights, and which its scores.

Everything that is not known to leave the weights alone counts as training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from mmdefect.streams.state import canonical, digest

# How a data loader fetches its samples, not which. With another number of workers an
# augmentation draws other random numbers, as good as those before.
FETCHING = frozenset({
    'num_workers', 'persistent_workers', 'prefetch_factor', 'pin_memory',
    'pin_memory_device', 'timeout', 'multiprocessing_context',
    'disable_subprocess_warning',
})  # fmt: skip
# How a dataset holds what it has read.
HOLDING = frozenset({'cache_gb', 'serialize_data'})
# What a dataset looks at first: no training goes on with an image that it refuses.
LOOKING = frozenset({'verify_images'})
# Hooks that look on, or come when the weights are written.
WATCHING = frozenset({
    'AnomalyMapHook', 'BoxCalibrationHook', 'BoxVisualizationHook',
    'ClsVisualizationHook',
    'DetVisualizationHook', 'IterTimerHook', 'LoggerHook', 'MemoryProfilerHook',
    'ProfilerHook', 'SamplePredictionsHook', 'VisualizationHook',
})  # fmt: skip
_SCORING = ('model', 'test_dataloader', 'test_cfg', 'test_evaluator', 'tta')
# Entries of a config that only serve scoring; others of these names are variables.
_AFTERWARDS = ('test_', 'val_', 'tta', 'predictions')
_CLASSES = frozenset({'seen_classes', 'old_classes', 'step_sizes'})


def training_part(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides the weights, of :func:`canonical` settings."""
    plain = {k: v for k, v in settings.items() if not k.startswith(_AFTERWARDS)}
    plain.pop('find_unused_parameters', None)
    plain['train_dataloader'] = _loader(plain.get('train_dataloader'))
    # Which steps compete at inference.
    plain['model'] = _without(plain.get('model'), frozenset({'step_sizes'}))
    loop = plain.get('train_cfg') or {}
    # A stream has no validation.
    plain['train_cfg'] = {k: v for k, v in loop.items() if not k.startswith('val_')}
    plain['custom_hooks'] = [h for h in plain.get('custom_hooks') or [] if _acts(h)]
    named = dict(plain.get('default_hooks') or {})
    if saver := named.get('checkpoint'):
        named['checkpoint'] = _saver(saver)
    plain['default_hooks'] = {
        name: hook
        for name, hook in named.items()
        if name not in ('timer', 'logger') and (hook is None or _acts(hook))
    }
    return plain


def scoring_part(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides the scores of given weights, of canonical settings."""
    found = {key: settings[key] for key in _SCORING if settings.get(key) is not None}
    if 'test_dataloader' in found:
        found['test_dataloader'] = _loader(found['test_dataloader'])
    return found


def scoring_hash(cfg: Config) -> str:
    """Return the SHA-256 of what decides the scores of a step's weights."""
    return digest(scoring_part(canonical(cfg)))


def shared_scoring_hash(cfg: Config) -> str:
    """Return the same, with steps that differ by their classes alone made equal."""
    shared = {k: v for k, v in scoring_part(canonical(cfg)).items() if k != 'model'}
    return digest(_without(shared, _CLASSES))


def _loader(loader: Mapping[str, Any] | None) -> dict[str, Any]:
    kept = {k: v for k, v in (loader or {}).items() if k not in FETCHING}
    return {**kept, 'dataset': _without(kept.get('dataset'), HOLDING | LOOKING)}


def _acts(hook: Mapping[str, Any]) -> bool:
    return str(hook.get('type')).rpartition('.')[2] not in WATCHING


def _saver(hook: Mapping[str, Any]) -> dict[str, Any]:
    """What decides which weights a step leaves; the last epoch is saved by default."""
    free = {'max_keep_ckpts'}
    if hook.get('save_last', True):
        free.add('interval')
    return {k: v for k, v in hook.items() if k not in free}


def _without(value: Any, names: frozenset[str]) -> Any:
    """Leave out entries of these names, however deep."""
    if isinstance(value, dict):
        return {k: _without(v, names) for k, v in value.items() if k not in names}
    return [_without(v, names) for v in value] if isinstance(value, list) else value
