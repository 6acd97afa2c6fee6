"""Every config of a detector loads, resolves and builds, without its data.

A test takes the configs of a method in turn and says which one fails. Metafiles and
names of all configs are looked at in ``test_config_names.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
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
    build_head,
    configs_in,
    evaluators,
    families,
    loaded,
    named,
    resolved,
    runs,
    scope,
    without,
)

CONFIGS = configs_in(DETECTION)
FAMILIES = families(CONFIGS)
CPU_SIZED = families(
    path
    for path in CONFIGS
    if re.search(r'_(cpu|toy)_', path.stem) and not path.stem.startswith('gfl_')
)
# mmdet's own types stand in configs without a prefix.
HOST = 'mmdet'
each_family = pytest.mark.parametrize('family', FAMILIES)


def test_smoke_something_is_tested() -> None:
    assert len(CONFIGS) >= 100
    assert sum(map(len, CPU_SIZED.values())) >= 40


def test_smoke_every_folder_is_tested() -> None:
    """Here or in test_{anomaly,casting,ftl}_configs.py."""
    assert sorted(DETECTION + ANOMALY + CLASSIFICATION + PRUNING) == [
        folder.name for folder in FOLDERS
    ]


@each_family
def test_smoke_models_build(family: str) -> None:
    """Without pretrained files; one score a class on every level."""
    for path, step, cfg in runs(FAMILIES[family]):
        with named(path, step):
            head = build_head(cfg.model)
            classes = len(expected_classes(path, step))
            rows = head.atss_cls if hasattr(head, 'atss_cls') else head.gfl_cls
            assert head.num_classes == rows.out_channels == classes


@pytest.mark.parametrize('name', ['mmdet', 'mmpretrain', None])
def test_feature_model_builds_in_any_scope(name: str | None) -> None:
    """Inside another library's scope a model says `_scope_`; our types need nothing."""
    toy = next(path for path in CONFIGS if '_toy_' in path.stem)
    model = dict(load_config(toy).model, _scope_=HOST)
    with scope(name):
        assert type(MODELS.build(model).bbox_head).__module__.startswith('mmdefect.')


@each_family
def test_smoke_data_and_metric_build_without_data(family: str, tmp_path: Path) -> None:
    for path, step, cfg in runs(FAMILIES[family]):
        metrics = [dict(e, ann_file=str(tmp_path / 'none')) for e in evaluators(cfg)]
        with named(path, step), scope(HOST):
            for split in ('train', 'test'):
                dataset = dict(cfg[f'{split}_dataloader'].dataset, lazy_init=True)
                dataset['data_root'] = str(tmp_path)
                built = DATASETS.build(dataset)
                # Without metainfo.classes it reads them, and their order, from a file.
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


@each_family
def test_feature_class_counts(family: str) -> None:
    """Head, datasets and metric agree with the numbers in the protocol."""
    for path, step, cfg in runs(FAMILIES[family]):
        with named(path, step):
            if step is None:
                expected = len(expected_classes(path, step))
                assert cfg.model.bbox_head.num_classes == expected
                continue
            protocol = path.stem.rsplit('_', 1)[1].replace('1-1x5', '1+1+1+1+1+1')
            sizes = [int(size) for size in protocol.split('+')]
            assert cfg.model.bbox_head.num_classes == sum(sizes[: step + 1])
            train = cfg.train_dataloader.dataset
            assert len(train.seen_classes) == sum(sizes[: step + 1])
            kept = sizes[0 if family == 'joint' else step : step + 1]
            assert len(train.keep_classes) == sum(kept)
            for evaluator in evaluators(cfg):
                assert len(evaluator.old_classes) == sum(sizes[:step])
            if cfg.model.type.startswith('mmdefect.Incremental'):
                assert cfg.model.bbox_head.num_old_classes == sum(sizes[:step])


@each_family
def test_feature_nothing_is_selected_on_the_test_set(family: str) -> None:
    for path, step, cfg in runs(FAMILIES[family]):
        with named(path, step):
            assert 'save_best' not in cfg.default_hooks.checkpoint
            # Padded images count twice.
            assert cfg.test_dataloader.sampler.round_up is False
            if step is not None:
                assert cfg.val_dataloader is None
                assert 'stream' not in cfg
                assert 'runner_type' not in cfg


@each_family
def test_feature_epochs(family: str) -> None:
    """As published; a toy's joint training is as long as its base in every step."""
    for path, step, cfg in runs(FAMILIES[family]):
        if '_toy_' in path.stem:
            epochs = 25 if not step or family == 'joint' else 15
        elif '_cpu_deeppcb' in path.stem:
            epochs = 8
        elif '_r50-caffe_fpn_cpu_' in path.stem:
            epochs = 12  # each takes several times as long
        else:
            epochs = 12 if '_1x_' in path.stem else 24
        with named(path, step):
            assert cfg.train_cfg.max_epochs == epochs


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


@pytest.mark.parametrize('family', CPU_SIZED)
def test_feature_cpu_sized_keep_the_method(family: str) -> None:
    """They change sizes and schedules; stream, losses and assigner are the parent's."""
    for path in CPU_SIZED[family]:
        (parent,) = path.parent.glob(
            re.sub(r'_(atss-)?[^_]+_fpn_(cpu|toy)_(.+)', r'_\1r50_fpn_*_\3', path.stem)
            + '.py'
        )
        small, full = loaded(path), loaded(parent)
        sizes = {'base', 'increment', 'steps', 'start_from'}
        with named(path):
            assert without(small.stream, sizes) == without(full.stream, sizes)
            assert small.get('method') == full.get('method')
            assert _method_of(small) == _method_of(full)


def _method_of(cfg: Config) -> dict[str, Any]:
    """The parts of a config that make the method, not its size."""
    head = cfg.model.bbox_head
    return {
        'detector': cfg.model.type,
        'head': head.type,
        'reg_max': head.get('reg_max'),  # of GFL
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
