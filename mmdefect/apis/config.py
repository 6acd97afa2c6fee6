"""From a config file and command-line flags to the config that runs."""

from __future__ import annotations

import argparse
import copy
import os
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict, DictAction

from mmdefect.apis.config_files import read_config
from mmdefect.engine.run_config import add_evaluator, is_anomaly_hook
from mmdefect.utils.config import as_list, innermost

DETECTION_TTA = {
    'type': 'DetTTAModel',
    'tta_cfg': {'nms': {'type': 'nms', 'iou_threshold': 0.6}, 'max_per_img': 100},
}


def load_config(
    path: str | Path,
    *,
    cfg_options: dict[str, Any] | None = None,
    work_dir: str | None = None,
    launcher: str = 'none',
) -> Config:
    """Load a config as OpenMMLab's tools do.

    Args:
        path: Config file.
        cfg_options: Overrides by dotted key. They come last: a stream merges them once
            more into every step that it resolves.
        work_dir: Folder of the run; by default the config's own, else
            ``work_dirs/<config name>``.
        launcher: How the processes were started.

    Raises:
        FileNotFoundError: There is no such file.
        ImportError: It imports what is not installed.
        ValueError: It is no config.

    Example:
        >>> cfg = load_config('my_config.py', work_dir='here')  # doctest: +SKIP
        >>> cfg.work_dir  # doctest: +SKIP
        'here'
    """
    cfg = read_config(path)
    cfg.launcher = launcher
    if cfg_options:
        cfg.merge_from_dict(copy.deepcopy(cfg_options))
        if 'stream' in cfg:
            cfg.cfg_options = cfg_options
    if work_dir is not None:
        cfg.work_dir = work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(path).stem)
    return cfg


def parse_run(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Add what training and test have in common, and read the command line."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override config entries, key=value; lists as key="[a,b]"',
    )
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none'
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def only_step(step: int | None, cfg: Config) -> tuple[int, ...]:
    """Arguments of a stream's ``train`` and ``test`` for ``--step``.

    Raises:
        ValueError: A step was given, and the config has no stream.
    """
    if step is not None and 'stream' not in cfg:
        raise ValueError(f'--step {step}: expected a config with a stream; drop it')
    return () if step is None else (step,)


def use_amp(cfg: Config) -> None:
    """Train in mixed precision: float16 on a GPU, bfloat16 without one.

    Example:
        >>> cfg = Config({'optim_wrapper': {'optimizer': {'type': 'SGD'}}})
        >>> use_amp(cfg)
        >>> cfg.optim_wrapper.type.endswith('AmpOptimWrapper')
        True
    """
    from mmengine.device import get_device

    options = {'optim_wrapper.type': 'mmdefect.CPUAmpOptimWrapper'}
    if get_device() != 'cpu':
        options = {
            'optim_wrapper.type': 'AmpOptimWrapper',
            'optim_wrapper.loss_scale': 'dynamic',
        }
    cfg.merge_from_dict(options)
    if 'stream' in cfg:  # a step may bring its own optim_wrapper
        cfg.cfg_options = {**(cfg.get('cfg_options') or {}), **options}


def show_predictions(
    cfg: Config, *, show: bool, out_dir: str | None, wait_time: float
) -> None:
    """Draw predictions while testing, into ``out_dir``, ``out_dir/step_1`` of a stream.

    A relative folder starts where the command was given. Anomaly maps share one scale,
    so they are drawn when the test is over: into a folder only,
    ``compound/<product>/<defect>/<file>.png``.

    Raises:
        ValueError: The config has no visualization hook to draw with, or its anomaly
            maps were to be shown in a window.

    Example:
        >>> hooks = {'visualization': {'type': 'DetVisualizationHook'}}
        >>> cfg = Config({'default_hooks': hooks})
        >>> show_predictions(cfg, show=False, out_dir='/drawn', wait_time=0)
        >>> cfg.default_hooks.visualization.test_out_dir
        '/drawn'
    """
    hook = (cfg.get('default_hooks') or {}).get('visualization')
    # The hooks' own relative folders start at different places.
    folder = None if out_dir is None else str(Path(out_dir).absolute())
    anomaly = is_anomaly(cfg)
    if hook is None:
        kind = 'mmdefect.AnomalyMapHook' if anomaly else 'DetVisualizationHook'
        kind = 'VisualizationHook' if is_classifier(cfg) else kind
        raise ValueError(
            'default_hooks.visualization=None: expected a hook that draws; add '
            f"visualization=dict(type='{kind}') to default_hooks"
        )
    if is_anomaly_hook(hook):
        if show or folder is None:
            raise ValueError(
                f'show={show}: expected a folder with a config of anomaly maps, which '
                'share one scale and are drawn when the test is over; use --show-dir'
            )
        hook.update(compound=True, out_dir=folder)
        return
    if is_classifier(cfg):
        # Every image; mmpretrain's hook draws one of 5,000 by default.
        hook.update(enable=True, interval=1, show=show, out_dir=folder)
        if hook['type'] == 'VisualizationHook':  # one's own stays
            hook['type'] = 'mmdefect.ClsVisualizationHook'
        return
    hook.update(draw=True, show=show, wait_time=wait_time)
    if hook['type'] in ('DetVisualizationHook', 'mmdet.DetVisualizationHook'):
        hook['type'] = 'mmdefect.BoxVisualizationHook'
    if folder is not None:
        hook['test_out_dir'] = folder


def pictures_in(out_dir: str | Path, *, since: float) -> str:
    """Say how many pictures a test has drawn, and where.

    Args:
        out_dir: As it was given to :func:`show_predictions`.
        since: When the test began, as :func:`time.time` has it; older files are of
            another test.

    Example:
        >>> pictures_in('no/such/folder', since=0)
        '0 pictures in no/such/folder'
    """
    files = (path for path in Path(out_dir).rglob('*') if path.is_file())
    count = sum(path.stat().st_mtime >= since for path in files)
    return f'{count} pictures in {out_dir}'


def dump_predictions(cfg: Config, path: str) -> None:
    """Add the metric that writes all predictions to a pickle file.

    Boxes by mmdet's, anomaly maps and scores of classifiers by MMEngine's: a list of
    dicts with what a sample holds, an anomaly map of 224 x 224 some 250 kB an image.

    Raises:
        ValueError: The file name does not end in ``.pkl``.

    Example:
        >>> cfg = Config({'test_evaluator': {'type': 'mmdefect.AnomalyMetric'}})
        >>> dump_predictions(cfg, 'predictions.pkl')
        >>> [metric['type'] for metric in cfg.test_evaluator]
        ['mmdefect.AnomalyMetric', 'DumpResults']
    """
    if Path(path).suffix not in ('.pkl', '.pickle'):
        raise ValueError(f'out={path!r}: expected a .pkl file; rename it')
    plain = is_anomaly(cfg) or is_classifier(cfg)
    kind = 'DumpResults' if plain else 'mmdet.DumpDetResults'
    dump = ConfigDict(type=kind, out_file_path=path)
    if 'stream' in cfg:
        cfg.predictions = dump  # added to the evaluators of each step when it is tested
    else:
        add_evaluator(cfg, dump)


def is_anomaly(cfg: Config) -> bool:
    """Whether a config is scored by anomaly maps and not by boxes."""
    types = [str(metric['type']) for metric in as_list(cfg.get('test_evaluator'))]
    return any(kind.removeprefix('mmdefect.') == 'AnomalyMetric' for kind in types)


def is_classifier(cfg: Config) -> bool:
    """Whether a config is one of mmpretrain's classifiers."""
    return cfg.get('default_scope') == 'mmpretrain'


def use_tta(cfg: Config) -> None:
    """Average over horizontal flips, or as ``tta_model`` and ``tta_pipeline`` say.

    Raises:
        ValueError: The config is one of anomaly maps.

    Example:
        >>> dataset = {'pipeline': [{'type': 'PackDetInputs'}]}
        >>> test = {'test_dataloader': {'dataset': dataset}}
        >>> cfg = Config({'model': {'type': 'GFL'}, **test})
        >>> use_tta(cfg)
        >>> cfg.model.type, cfg.model.module.type
        ('DetTTAModel', 'GFL')
    """
    if is_anomaly(cfg):
        raise ValueError(
            'tta=True: expected none for a config of anomaly maps, only boxes and '
            'scores are averaged over flips; leave it out'
        )
    dataset = innermost(cfg.test_dataloader.dataset)
    if 'tta_pipeline' not in cfg:
        pipeline = copy.deepcopy(dataset.pipeline)
        pack = copy.deepcopy(pipeline[-1])
        if not is_classifier(cfg):  # whose scores need not be turned back
            keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')
            pack['meta_keys'] = (*keys, 'flip', 'flip_direction')
        flips = [dict(type='RandomFlip', prob=p) for p in (1.0, 0.0)]
        pipeline[-1] = dict(type='TestTimeAug', transforms=[flips, [pack]])
        cfg.tta_pipeline = pipeline
    own = {'type': 'mmdefect.AverageDefectScoreTTA'}
    tta_model = cfg.get('tta_model') or (own if is_classifier(cfg) else DETECTION_TTA)
    dataset.pipeline = cfg.tta_pipeline
    if 'stream' in cfg:
        cfg.tta = tta_model  # wrapped around the model of each step when it is tested
    else:
        cfg.model = ConfigDict(**tta_model, module=cfg.model)
