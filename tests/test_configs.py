"""Every config of a detector loads, resolves and builds, with and without its data.

Metafiles, READMEs and names are those of all configs; what is special about anomaly
models is in ``test_anomaly_configs.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.registry import (
    DATASETS,
    HOOKS,
    METRICS,
    MODELS,
    OPTIM_WRAPPERS,
    TRANSFORMS,
)
from mmengine.runner import Runner

from mmdefect.apis import load_config
from mmdefect.streams.stream import build_stream, resolve_step_config
from tests.helpers.configs import (
    ANOMALY,
    CLASSIFICATION,
    DETECTION,
    FOLDERS,
    PRUNING,
    ROOT,
    configs_in,
    evaluators,
    loaded,
    metafile,
    resolved,
    run_id,
    scope,
    steps_of,
    without,
)

CONFIGS = configs_in(DETECTION)
STREAMS = [path for path in CONFIGS if 'stream' in loaded(path)]
CPU_SIZED = [p for p in STREAMS if re.search(r'_(cpu|toy)_', p.stem)]
# mmdet's own types stand in configs without a prefix.
HOST = 'mmdet'

# (config, step), step None for a config without a stream
RUNS = [(path, step) for path in CONFIGS for step in steps_of(path)]


each_run = pytest.mark.parametrize(('path', 'step'), RUNS, ids=run_id)


def test_smoke_something_is_tested() -> None:
    assert len(CONFIGS) >= 100
    assert len(STREAMS) >= 100
    assert len(CPU_SIZED) >= 40


def test_smoke_every_folder_is_tested() -> None:
    """Here or in test_{anomaly,casting,ftl}_configs.py."""
    assert sorted(DETECTION + ANOMALY + CLASSIFICATION + PRUNING) == [
        folder.name for folder in FOLDERS
    ]


@each_run
def test_smoke_model_builds(path: Path, step: int | None) -> None:
    """Without pretrained files; one score a class on every level."""
    with scope(HOST), torch.device('meta'):
        model = MODELS.build(resolved(path, step).model)
    classes = expected_classes(path, step)
    assert model.bbox_head.num_classes == len(classes)
    assert model.bbox_head.gfl_cls.out_channels == len(classes)


@pytest.mark.parametrize('name', ['mmdet', 'mmpretrain', None])
def test_feature_model_builds_in_any_scope(name: str | None) -> None:
    """Inside another library's scope a model says `_scope_`; our types need nothing."""
    toy = next(path for path in CONFIGS if '_toy_' in path.stem)
    model = dict(load_config(toy).model, _scope_=HOST)
    with scope(name):
        assert type(MODELS.build(model).bbox_head).__module__.startswith('mmdefect.')


@each_run
def test_smoke_data_and_metric_build_without_data(
    path: Path, step: int | None, tmp_path: Path
) -> None:
    cfg = resolved(path, step)
    metrics = [dict(e, ann_file=str(tmp_path / 'none.json')) for e in evaluators(cfg)]
    with scope(HOST):
        for split in ('train', 'test'):
            dataset = dict(cfg[f'{split}_dataloader'].dataset, lazy_init=True)
            dataset['data_root'] = str(tmp_path)
            built = DATASETS.build(dataset)
            # Without metainfo.classes it reads them, and their order, from the file.
            classes = built.metainfo.get('classes') or built.seen_classes
            assert list(classes) == expected_classes(path, step)
            assert built.test_mode is (split == 'test')
        Evaluator(metrics)
        for hook in [cfg.default_hooks.checkpoint, *cfg.custom_hooks]:
            HOOKS.build(hook)


def expected_classes(path: Path, step: int | None) -> list[str]:
    """What the protocol, or without a stream the training set, says."""
    if step is not None:
        return build_stream(loaded(path)).seen_classes(step)
    dataset = resolved(path, None).train_dataloader.dataset
    if 'seen_classes' in dataset:
        return list(dataset.seen_classes)
    with DATASETS.switch_scope_and_registry(HOST) as registry:
        return list(registry.get(dataset.type).METAINFO['classes'])


@each_run
def test_feature_class_counts(path: Path, step: int | None) -> None:
    """Head, datasets and metric agree with the numbers in the protocol."""
    cfg = resolved(path, step)
    if step is None:
        assert cfg.model.bbox_head.num_classes == len(expected_classes(path, step))
        return
    protocol = path.stem.rsplit('_', 1)[1].replace('1-1x5', '1+1+1+1+1+1')
    sizes = [int(size) for size in protocol.split('+')]
    assert cfg.model.bbox_head.num_classes == sum(sizes[: step + 1])
    train = cfg.train_dataloader.dataset
    assert len(train.seen_classes) == sum(sizes[: step + 1])
    joint = path.stem.startswith('joint_')
    assert len(train.keep_classes) == sum(sizes[0 if joint else step : step + 1])
    for evaluator in evaluators(cfg):
        assert len(evaluator.old_classes) == sum(sizes[:step])
    if cfg.model.type == 'mmdefect.IncrementalGFL':
        assert cfg.model.bbox_head.num_old_classes == sum(sizes[:step])


@each_run
def test_feature_nothing_is_selected_on_the_test_set(
    path: Path, step: int | None
) -> None:
    cfg = resolved(path, step)
    assert 'save_best' not in cfg.default_hooks.checkpoint
    assert cfg.test_dataloader.sampler.round_up is False  # padded images count twice
    if step is not None:
        assert cfg.val_dataloader is None
        assert 'stream' not in cfg
        assert 'runner_type' not in cfg


def test_feature_cross_library_base(tmp_path: Path) -> None:
    """A stream of one's own on a `mmdefect::` base: every part is found.

    MMEngine marks such parts `_scope_='mmdefect'`, also those that are mmdet's types.
    """
    path = tmp_path / 'mine.py'
    base = 'mmdefect::gfl_stream/finetune_r18_fpn_toy_neu-det_3+3.py'
    path.write_text(
        f"_base_ = '{base}'\nstream = dict(protocol='5+1')\n", encoding='utf-8'
    )
    cfg = load_config(path, work_dir=str(tmp_path / 'work'))
    assert cfg.model['_scope_'] == 'mmdefect'
    step = resolve_step_config(cfg, 0)
    step.work_dir = cfg.work_dir
    with scope(HOST):
        dataset = dict(step.train_dataloader.dataset, lazy_init=True)
        assert len(DATASETS.build(dataset).metainfo['classes']) == 5
    runner = Runner.from_cfg(step)  # model, visualizer, log processor, hooks
    assert runner.model.bbox_head.num_classes == 5
    assert type(runner.visualizer).__name__ == 'DetLocalVisualizer'


class TestOurTypesInAnyScope:
    """`mmdefect.X` builds whatever library the user's default scope belongs to."""

    @pytest.fixture(params=['mmdet', 'mmpretrain', None], autouse=True)
    def any_scope(self, request: pytest.FixtureRequest) -> Iterator[None]:
        with scope(request.param):
            yield

    def test_smoke_head(self) -> None:
        head = dict(resolved(next(p for p in CONFIGS if '_coco' in p.stem), None).model)
        built = MODELS.build(
            dict(head['bbox_head'], train_cfg=head['train_cfg'], _scope_=HOST)
        )
        assert built.gfl_cls.out_channels == 80

    @pytest.mark.parametrize(
        'name', ['DefectDetDataset', 'NEUDETDataset', 'DeepPCBDataset']
    )
    def test_smoke_dataset(self, name: str) -> None:
        built = DATASETS.build(
            {
                'type': f'mmdefect.{name}',
                'ann_file': 'none.json',
                'pipeline': [],
                'lazy_init': True,
            }
        )
        assert type(built).__name__ == name

    @pytest.mark.parametrize(
        ('registry', 'cfg'),
        [
            (METRICS, {'type': 'mmdefect.GroupedCocoMetric', 'ann_file': 'none.json'}),
            (HOOKS, {'type': 'mmdefect.EpochSeedHook'}),
            (HOOKS, {'type': 'mmdefect.SafeCheckpointHook', 'interval': 1}),
            (HOOKS, {'type': 'mmdefect.SamplePredictionsHook'}),
            (
                HOOKS,
                {
                    'type': 'mmdefect.ChainCheckpointHook',
                    'checkpoint': 'x.pth',
                    'classes': ['a'],
                },
            ),
            (TRANSFORMS, {'type': 'mmdefect.LoadCachedImage'}),
        ],
        ids=lambda value: value['type'] if isinstance(value, dict) else value.name,
    )
    def test_smoke_small_parts(self, registry: Any, cfg: dict) -> None:
        built = registry.build(cfg)
        assert type(built).__name__ == cfg['type'].removeprefix('mmdefect.')

    def test_smoke_optim_wrapper(self) -> None:
        assert OPTIM_WRAPPERS.get('mmdefect.CPUAmpOptimWrapper') is not None


@pytest.mark.parametrize('path', CPU_SIZED, ids=run_id)
def test_feature_cpu_sized_keep_the_method(path: Path) -> None:
    """They change sizes and schedules; stream, losses and assigner are the parent's."""
    (parent,) = path.parent.glob(
        re.sub(r'_[^_]+_fpn_(cpu|toy)_(.+)', r'_r50_fpn_*_\2', path.stem) + '.py'
    )
    small, full = loaded(path), loaded(parent)
    sizes = {'base', 'increment', 'steps', 'start_from'}
    assert without(small.stream, sizes) == without(full.stream, sizes)
    assert small.get('method') == full.get('method')
    assert _method_of(small) == _method_of(full)


def _method_of(cfg: Config) -> dict[str, Any]:
    """The parts of a config that make the method, not its size."""
    head = cfg.model.bbox_head
    return {
        'detector': cfg.model.type,
        'head': head.type,
        'reg_max': head.reg_max,
        'losses': {key: head[key] for key in head if key.startswith('loss_')},
        'train_cfg': cfg.model.train_cfg,
        'distill': cfg.model.get('distill'),
        'nms': cfg.model.test_cfg.nms,
        'dataset': cfg.train_dataloader.dataset.type,
    }


def test_feature_coco_config_is_mmdets() -> None:
    """What gives the right to quote mmdet's 40.2 AP."""
    mim = Path(find_spec('mmdet').origin).parent / '.mim'
    theirs = Config.fromfile(mim / 'configs/gfl/gfl_r50_fpn_1x_coco.py')
    ours = load_config(ROOT / 'configs/gfl/gfl_r50_fpn_1x_coco.py')
    theirs.model.bbox_head.type = 'mmdefect.GFLHead'
    theirs.train_cfg.val_interval = 12
    for step in [*theirs.train_pipeline, *theirs.test_pipeline]:
        step.pop('backend_args', None)
    for key in (
        'model',
        'optim_wrapper',
        'param_scheduler',
        'auto_scale_lr',
        'train_cfg',
        'train_pipeline',
        'test_pipeline',
    ):
        assert ours[key] == theirs[key], key
    for key in ('batch_size', 'sampler', 'batch_sampler'):
        assert ours.train_dataloader[key] == theirs.train_dataloader[key], key
    for key in ('ann_file', 'data_root', 'data_prefix', 'filter_cfg'):
        assert (
            ours.train_dataloader.dataset[key] == (theirs.train_dataloader.dataset[key])
        ), key


each_folder = pytest.mark.parametrize('folder', FOLDERS, ids=lambda f: f.name)


@each_folder
def test_feature_metafile_readme_and_folder_agree(folder: Path) -> None:
    meta = metafile(folder)
    (collection,) = meta['Collections']
    assert (ROOT / collection['README']) == folder / 'README.md'
    models = meta['Models']
    files = sorted(path.relative_to(ROOT).as_posix() for path in folder.glob('*.py'))
    assert sorted(model['Config'] for model in models) == files
    assert [model['Name'] for model in models] == [
        Path(model['Config']).stem for model in models
    ]
    assert {model['In Collection'] for model in models} == {collection['Name']}
    linked = re.findall(
        r'\]\(([^)/]+\.py)\)', (folder / 'README.md').read_text(encoding='utf-8')
    )
    assert sorted(linked) == sorted(Path(name).name for name in files)


@each_folder
def test_feature_epochs_in_metafiles(folder: Path) -> None:
    """`Epochs: 12 + 8` is what the steps resolve to."""
    models = {model['Name']: model for model in metafile(folder)['Models']}
    for path in folder.glob('*.py'):
        epochs = [resolved(path, s).train_cfg.max_epochs for s in steps_of(path)]
        written = str(models[path.stem]['Metadata']['Epochs'])
        assert written == ' + '.join(map(str, epochs)), path.stem


def test_feature_names_are_unique() -> None:
    names = [path.stem for folder in FOLDERS for path in folder.glob('*.py')]
    assert len(set(names)) == len(names)
    collections = [
        entry['Name'] for folder in FOLDERS for entry in metafile(folder)['Collections']
    ]
    assert len(set(collections)) == len(collections)
