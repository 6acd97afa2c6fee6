"""What every run of ours adds to a config: seeds, safe checkpoints, its own names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.visualization import Visualizer

from mmdefect.utils.config import as_list

# Keys of the default hooks of MMEngine's Runner, which it does not tell; `None` is how
# it is told to leave one out.
OWN_HOOKS = (
    'runtime_info',
    'timer',
    'sampler_seed',
    'logger',
    'param_scheduler',
    'checkpoint',
)


def make_reproducible(cfg: Config, *, step: int = 0) -> None:
    """Make all random numbers of a run a function of (seed, step, epoch, rank, worker).

    MMEngine's persistent workers depend on their history and its non-persistent ones
    repeat themselves every epoch, so both are replaced.
    """
    randomness = dict(cfg.get('randomness') or {})
    if randomness.get('seed') is None:
        randomness['seed'] = 0
    cfg['randomness'] = randomness
    loader = cfg.get('train_dataloader')
    if loader is not None:
        loader['persistent_workers'] = False
        loader['worker_init_fn'] = {'type': 'mmdefect.seed_worker'}
    set_hook(cfg, {'type': 'mmdefect.EpochSeedHook', 'step': step})
    # Batch norm learns on each rank alone; without this, ranks test different models.
    set_hook(cfg, {'type': 'SyncBuffersHook'})


def count_each_image_once(cfg: Config) -> None:
    """Keep several processes from testing padded images twice."""
    for key in ('val_dataloader', 'test_dataloader'):
        sampler = (cfg.get(key) or {}).get('sampler') or {}
        if sampler.get('type') in ('DefaultSampler', 'mmengine.DefaultSampler'):
            sampler['round_up'] = False


def drop_validation(cfg: Config) -> None:
    """Score a step once, at its end: nothing can be selected on the test set."""
    for key in ('val_dataloader', 'val_cfg', 'val_evaluator'):
        cfg[key] = None


def save_safely(cfg: Config, *, stream: dict[str, Any]) -> None:
    """Write checkpoints atomically, with what ``stream`` says about them."""
    hooks = dict(cfg.get('default_hooks') or {})
    ours = {'type': 'mmdefect.SafeCheckpointHook', 'stream': stream}
    hooks['checkpoint'] = {**(hooks.get('checkpoint') or {'interval': 1}), **ours}
    cfg['default_hooks'] = hooks


def name_apart(cfg: Config, name: str) -> None:
    """Give the run names of its own.

    With mmdet's usual ``name='visualizer'`` the second Runner of a process would write
    its curves into the folder of the first.
    """
    cfg['experiment_name'] = name
    visualizer = cfg.get('visualizer')
    if visualizer is not None:
        visualizer['name'] = name


def forget_visualizer(cfg: Config) -> None:
    """Let the run have a visualizer of its own, where an earlier one has its name.

    MMEngine hands out one visualizer a name and process: a second Runner would write to
    the folder of the first, which may be gone.
    """
    name = (cfg.get('visualizer') or {}).get('name', cfg.get('experiment_name'))
    for kind in (Visualizer, *Visualizer.__subclasses__()):
        kind._instance_dict.pop(name, None)


def add_evaluator(cfg: Config, metric: dict[str, Any]) -> None:
    """Score the test set by one more metric."""
    cfg['test_evaluator'] = [*as_list(cfg['test_evaluator']), metric]


def apply_test_flags(cfg: Config) -> None:
    """Apply ``--tta`` and ``--out``, which wait until a step is resolved."""
    if tta := cfg.pop('tta', None):
        cfg['model'] = dict(tta, module=cfg['model'])
    if dump := cfg.pop('predictions', None):
        add_evaluator(cfg, dump)


def write_apart(cfg: Config, step: int) -> None:
    """Keep what ``--out`` writes for several steps apart."""
    if dump := cfg.get('predictions'):
        path = Path(dump['out_file_path'])
        dump['out_file_path'] = str(path.with_stem(f'{path.stem}_step_{step}'))


def draw_apart(cfg: Config, step: int) -> None:
    """Keep what ``--show-dir`` draws of a step in a folder of its own."""
    hook = (cfg.get('default_hooks') or {}).get('visualization') or {}
    key = 'out_dir' if is_anomaly_hook(hook) else 'test_out_dir'
    # A relative one lies in the work dir of each step.
    if Path(hook.get(key) or '').is_absolute():
        hook[key] = str(Path(hook[key]) / f'step_{step}')


def is_anomaly_hook(hook: Mapping[str, Any]) -> bool:
    """Whether a hook of a config draws anomaly maps."""
    return str(hook.get('type')).removeprefix('mmdefect.') == 'AnomalyMapHook'


def set_hook(cfg: Config, hook: dict[str, Any]) -> None:
    """Add ``hook`` to ``custom_hooks`` in place of one of the same type."""
    others = [h for h in cfg.get('custom_hooks') or [] if h.get('type') != hook['type']]
    cfg['custom_hooks'] = [*others, hook]


def drop_absent_hooks(cfg: Config) -> None:
    """Remove hooks that a config or the command line has set to ``None``.

    MMEngine takes ``None`` for its own default hooks only, and fails on any other name.
    """
    hooks = cfg.get('default_hooks') or {}
    for name in [n for n, hook in hooks.items() if hook is None]:
        if name not in OWN_HOOKS:
            hooks.pop(name)
