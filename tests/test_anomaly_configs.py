"""Every config of an anomaly model loads, resolves and builds without data or weights.

A test takes the configs of a method in turn and says which one fails. Metafiles and
names of all configs are looked at in ``test_config_names.py``. That no mmdet is needed
takes a process of its own: slow.
"""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.evaluator import Evaluator
from mmengine.registry import DATASETS, HOOKS

from mmdefect.apis import load_config
from mmdefect.streams.state import config_hash
from mmdefect.streams.stream import resolve_step_config
from tests.conftest import tool_env
from tests.helpers.configs import (
    ANOMALY,
    ROOT,
    build_anomaly_model,
    configs_in,
    evaluators,
    families,
    loaded,
    named,
    resolved,
    runs,
    scope,
    stream_of,
    without,
)

CONFIGS = configs_in(ANOMALY)
PAPER_SCALE = [path for path in CONFIGS if '_b4_' in path.stem]
CONFIGS_OF = families(CONFIGS)
BASELINES = ('ewc', 'finetune', 'joint', 'mas', 'replay', 'si')
# They train nothing; those with a bank for each product are of no paper's protocol.
BANKS = ('memory', 'memory-gaussian', 'memory-subspace')
MEMORIES = ('coreset', *BANKS)
# On these IUF is compared with fine-tuning, UniAD and a memory only.
OTHER_ENCODERS = ('_resnet50-caffe_cpu_', '_dinov2-small_cpu_')
SCOPE = 'mmdefect'
each_method = pytest.mark.parametrize('method', CONFIGS_OF)

# The published protocols: products of each step, and (base, then increments) how many
# epochs. Where the release runs 199 we run 200, where it runs none (pcb2) 600.
MVTEC = [
    *('bottle', 'cable', 'capsule', 'carpet', 'grid', 'hazelnut', 'leather'),
    *('metal_nut', 'pill', 'screw', 'tile', 'toothbrush', 'transistor', 'wood'),
    'zipper',
]
VISA = [
    *('candle', 'capsules', 'cashew', 'chewinggum', 'fryum', 'macaroni1'),
    *('macaroni2', 'pcb1', 'pcb2', 'pcb3', 'pcb4', 'pipe_fryum'),
]
PUBLISHED = {
    'mvtec-ad_14-1': ([MVTEC[:14], ['zipper']], [1601, 2899]),
    'mvtec-ad_10-5': (
        [MVTEC[:10], ['tile', 'toothbrush', 'transistor', 'wood', 'zipper']],
        [1901, 99],
    ),
    'mvtec-ad_3-3x4': (
        [
            ['bottle', 'cable', 'capsule'],
            ['carpet', 'grid', 'hazelnut'],
            ['leather', 'metal_nut', 'pill'],
            ['screw', 'tile', 'toothbrush'],
            ['transistor', 'wood', 'zipper'],
        ],
        [500, 501, 200, 200, 200],
    ),
    'mvtec-ad_10-1x5': (
        [
            MVTEC[:10],
            *(['tile'], ['toothbrush'], ['transistor'], ['wood'], ['zipper']),
        ],
        [1901, 200, 200, 200, 200, 200],
    ),
    'visa_11-1': ([VISA[:11], ['pipe_fryum']], [1701, 599]),
    'visa_8-4': ([VISA[:8], ['pcb2', 'pcb3', 'pcb4', 'pipe_fryum']], [2000, 1000]),
    'visa_8-1x4': (
        [VISA[:8], ['pcb2'], ['pcb3'], ['pcb4'], ['pipe_fryum']],
        [2000, 600, 600, 300, 201],
    ),
}


def test_smoke_something_is_tested() -> None:
    assert len(PAPER_SCALE) >= 80
    assert len(CONFIGS) - len(PAPER_SCALE) >= 16
    assert set(CONFIGS_OF) == {*BASELINES, *MEMORIES, 'iuf', 'uniad'}


@pytest.mark.parametrize('method', sorted(set(CONFIGS_OF) - {*BANKS}))
def test_feature_published_protocols(method: str) -> None:
    found = 0
    for path in CONFIGS_OF[method]:
        _, _, protocol = path.stem.partition('_b4_')
        if protocol not in PUBLISHED:
            continue
        products, epochs = PUBLISHED[protocol]
        if method == 'coreset':
            epochs = [1] * len(products)
        elif method == 'joint':
            epochs = [epochs[0]] * len(products)
        with named(path):
            assert stream_of(path).steps == products
            assert [cfg.train_cfg.max_epochs for _, _, cfg in runs([path])] == epochs
        found += 1
    assert found == len(PUBLISHED)


@each_method
def test_smoke_models_build(method: str) -> None:
    """One place or one score a product seen so far, on the features of the backbone."""
    for path, step, cfg in runs(CONFIGS_OF[method]):
        with named(path, step):
            model = build_anomaly_model(cfg.model)
            seen = len(stream_of(path).seen_classes(step))
            if method in BANKS:
                assert len(model.banks) == seen
            elif method == 'coreset':
                assert model.memory.shape[0] == len(model.filled) == seen
            elif model.conditioner is not None:
                assert model.conditioner.classifier.out_features == seen


@pytest.mark.parametrize(
    ('name', 'side'),
    [
        ('iuf/iuf_b4_mvtec-ad_14-1', 224),
        ('coreset/coreset_b4_mvtec-ad_14-1', 224),
        ('memory/memory_resnet50_mvtec-ad_1-1x14', 224),
        ('iuf/iuf_mobilenet-v2_cpu_products_3-1x2', 224),
        ('iuf/iuf_resnet50-caffe_cpu_products_3-1x2', 224),
        ('coreset/coreset_dinov2-small_cpu_products_3-1x2', 224),
        ('iuf/iuf_toy_3-1x2', 128),
    ],
)
def test_shape_in_channels_is_what_the_backbone_gives(name: str, side: int) -> None:
    cfg = resolved(ROOT / f'configs/{name}.py', 0)
    assert cfg.train_dataloader.dataset.pipeline[1].scale == (side, side)
    features = build_anomaly_model(cfg.model).features
    maps = features.backbone(torch.empty(1, 3, side, side))
    grid = (cfg.model.get('transformer') or cfg.model).grid
    assert sum(found.shape[1] for found in maps) == cfg.model.in_channels
    # The last tap sets the grid: nothing is made up between its points. A memory's is
    # finer: what the others see counts more.
    assert maps[-2 if 'memory' in name else -1].shape[-1] == grid


@each_method
def test_smoke_data_metric_and_hooks_build_without_data(
    method: str, tmp_path: Path
) -> None:
    for path, step, resolved_cfg in runs(CONFIGS_OF[method]):
        cfg, stream = copy.deepcopy(resolved_cfg), stream_of(path)
        if stream.starts_from_previous(step):
            stream.chain(cfg, step, 'before.pth')
        with named(path, step), scope(SCOPE):
            for split in ('train', 'test'):
                dataset = dict(cfg[f'{split}_dataloader'].dataset, lazy_init=True)
                found = DATASETS.build(dict(dataset, data_root=str(tmp_path)))
                assert list(found.metainfo['classes']) == stream.seen_classes(step)
                assert found.test_mode is (split == 'test')
                assert len(found.pipeline.transforms) == 4
            Evaluator([dict(metric) for metric in evaluators(cfg)])
            for hook in [*cfg.default_hooks.values(), *cfg.custom_hooks]:
                HOOKS.build(dict(hook))


@each_method
def test_feature_classes_of_a_step(method: str) -> None:
    """Model, data and metric agree with the protocol in the name."""
    for path, step, cfg in runs(CONFIGS_OF[method]):
        stream = stream_of(path)
        first, _, rest = path.stem.rsplit('_', 1)[1].partition('-')
        size, _, times = rest.partition('x')
        sizes = [int(first), *[int(size)] * int(times or 1)]
        old, seen = sum(sizes[:step]), sum(sizes[: step + 1])
        with named(path, step):
            assert [len(names) for names in stream.steps] == sizes
            assert cfg.model.num_classes == seen
            train = cfg.train_dataloader.dataset
            assert train.seen_classes == cfg.test_dataloader.dataset.seen_classes
            assert train.seen_classes == stream.classes[:seen]
            kept = stream.classes[0 if method == 'joint' else old : seen]
            assert train.keep_classes == kept
            assert 'keep_classes' not in cfg.test_dataloader.dataset
            for metric in evaluators(cfg):
                assert metric.old_classes == stream.classes[:old]


@each_method
def test_feature_nothing_is_selected_on_the_test_set(method: str) -> None:
    for path, step, cfg in runs(CONFIGS_OF[method]):
        with named(path, step):
            assert cfg.default_scope == SCOPE
            assert 'save_best' not in cfg.default_hooks.checkpoint
            assert cfg.test_dataloader.sampler.round_up is False
            assert cfg.val_dataloader is None
            assert (
                None not in cfg.default_hooks.values()
            )  # MMEngine's Runner refuses it
            assert not {'stream', 'method', 'runner_type'} & cfg.keys()


@each_method
def test_feature_what_a_method_adds(method: str) -> None:
    """To the steps that start from the one before, and to no other."""
    own = {'anchor', 'projection', 'penalty', 'coreset'}
    for path, step, cfg in runs(CONFIGS_OF[method]):
        added: set[str] = set()
        if method in MEMORIES:
            added = {'coreset'}
        elif step and method == 'iuf':
            added = {'anchor', 'projection'}
        elif step and method in ('ewc', 'si', 'mas'):
            added = {'penalty'}
        # What the next step may need is collected whatever the method is.
        collects = {'feature_statistics', 'weight_importance'} <= (
            cfg.default_hooks.keys()
        )
        train = cfg.train_dataloader.dataset
        replayed = stream_of(path).old_classes(step) if method == 'replay' else []
        with named(path, step):
            assert own & cfg.default_hooks.keys() == added
            if 'penalty' in added:
                assert cfg.default_hooks.penalty.method == method
            assert collects is (method not in MEMORIES)
            assert train.get('replay_classes', []) == replayed
            assert train.get('replay', 0) == (10 if replayed else 0)


def test_feature_update_of_iuf() -> None:
    """Base: AdamW with compression. Later: plain SGD, clipped, anchored."""
    for path, step, cfg in runs(CONFIGS_OF['iuf']):
        with named(path, step):
            if step == 0:
                assert cfg.optim_wrapper.optimizer.type == 'AdamW'
                compression = cfg.model.compression
                assert compression.type == 'mmdefect.SemanticCompressionLoss'
                continue
            assert cfg.optim_wrapper.optimizer == {
                'type': 'SGD',
                'lr': 1.0 if path in PAPER_SCALE else 0.1,
                'momentum': 0,
                'weight_decay': 0,
            }
            assert cfg.optim_wrapper.clip_grad == {'max_norm': 0.1}
            assert cfg.default_hooks.anchor.beta == 0.05
            assert cfg.model.compression is None


@pytest.mark.parametrize('method', ['joint', 'ewc', 'si', 'mas', 'replay', 'iuf'])
def test_feature_methods_share_one_base(method: str) -> None:
    """What `stream.start_from` needs: their first steps are equal."""
    for path in CONFIGS_OF['finetune']:
        tail = path.stem.removeprefix('finetune')
        if method != 'iuf' and any(name in tail for name in OTHER_ENCODERS):
            continue
        (other,) = (p for p in CONFIGS_OF[method] if p.stem.endswith(tail))
        with named(other):
            assert config_hash(resolved(other, 0)) == config_hash(resolved(path, 0))


@pytest.mark.parametrize('method', sorted(set(CONFIGS_OF) - {*BANKS}))
def test_feature_cpu_sized_keep_the_method(method: str) -> None:
    """They change sizes and schedules; the method section is the parent's."""
    free = {'protocol', 'base', 'increment', 'steps'}
    sizes = {'backbone', 'in_channels', 'num_classes', 'transformer', 'grid'}
    sizes |= {'per_class'}
    for path in set(CONFIGS_OF[method]) - set(PAPER_SCALE):
        parent = path.with_name(f'{method}_b4_mvtec-ad_10-1x5.py')
        small, full = loaded(path), loaded(parent)
        later = [cfg.stream.get('increment', {}).get('model') for cfg in (small, full)]
        with named(path):
            assert without(small.stream, free) == without(full.stream, free)
            assert later[0] == later[1]
            assert method_section(small) == method_section(full)
            assert without(small.model, sizes) == without(full.model, sizes)
            assert small.test_evaluator == full.test_evaluator
            if method != 'coreset':
                # UniAD's window shrinks with the grid, but whoever has none gets none.
                windows = [bool(c.model.transformer.neighbours) for c in (small, full)]
                assert windows == [method == 'uniad'] * 2


def method_section(cfg: Config) -> dict:
    """``method`` but for the learning rate, which depends on the number of weights."""
    found = cfg.get('method', ConfigDict()).to_dict()
    found.get('optim_wrapper', {}).get('optimizer', {}).pop('lr', None)
    return found


@each_method
def test_feature_pixels_are_scored_as_published(method: str) -> None:
    """At 224 x 224; our own products at the resolution of their files."""
    for path in CONFIGS_OF[method]:
        load = loaded(path).test_dataloader.dataset.pipeline[2]
        with named(path):
            assert load.type == 'mmdefect.LoadAnomalyMask'
            published = any(name in path.stem for name in ('_mvtec-ad_', '_visa_'))
            assert load.get('size') == ((224, 224) if published else None)


def test_feature_own_products(tmp_path: Path) -> None:
    """The config of docs/guides/anomaly.md, from an installed mmdefect."""
    (text,) = re.findall(
        r'```python\n# my_line/iuf.py\n(.*?)```',
        (ROOT / 'docs/guides/anomaly.md').read_text(encoding='utf-8'),
        re.DOTALL,
    )
    path = tmp_path / 'iuf.py'
    path.write_text(text, encoding='utf-8')
    step = resolve_step_config(load_config(path), 1)
    assert build_anomaly_model(step.model).conditioner.classifier.out_features == 3
    with scope(None):  # whose scope it is stands in the parts themselves
        for split in ('train', 'test'):
            dataset = dict(step[f'{split}_dataloader'].dataset, lazy_init=True)
            assert dataset['data_root'] == 'my_line/'
            assert DATASETS.build(dataset).metainfo['classes'] == (
                'gear',
                'lid',
                'seal',
            )
        Evaluator([dict(metric) for metric in evaluators(step)])
        for hook in [*step.default_hooks.values(), *step.custom_hooks]:
            HOOKS.build(dict(hook))
    assert step.train_dataloader.dataset.keep_classes == ['seal']
    assert {'anchor', 'projection', 'feature_cache'} <= step.default_hooks.keys()


# mmpretrain looks for mmdet by itself, so it is made impossible to import.
CODE = """
import sys
sys.modules['mmdet'] = None
from mmengine.evaluator import Evaluator
from mmengine.registry import (DATASETS, HOOKS, LOG_PROCESSORS, MODELS, VISUALIZERS,
                               DefaultScope)
from mmdefect.apis import load_config
from mmdefect.streams.stream import build_stream, resolve_step_config

for name in sys.argv[1:]:
    cfg = load_config(name)
    if 'stream' not in cfg:
        with DefaultScope.overwrite_default_scope(cfg.default_scope):
            MODELS.build(cfg.model)
        print(cfg.default_scope)
        continue
    stream = build_stream(cfg)
    step = resolve_step_config(cfg, 1, stream)
    if stream.starts_from_previous(1):
        stream.chain(step, 1, 'before.pth')
    step.visualizer.save_dir = None
    step.visualizer.vis_backends = []
    with DefaultScope.overwrite_default_scope(step.default_scope):
        MODELS.build(step.model)
        for split in ('train', 'test'):
            DATASETS.build(dict(step[f'{split}_dataloader'].dataset, lazy_init=True))
        Evaluator(step.test_evaluator)
        for hook in [*step.default_hooks.values(), *step.custom_hooks]:
            HOOKS.build(hook)
        VISUALIZERS.build(step.visualizer)
        LOG_PROCESSORS.build(step.log_processor)
    print(step.default_scope)
"""


@pytest.mark.slow
def test_feature_needs_no_mmdet() -> None:
    """All parts of a later step are found in the scope of this package.

    A classifier's model is found in mmpretrain's.
    """
    names = [
        'coreset/coreset_b4_visa_8-4',
        'uniad/uniad_toy_3-1x2',
        'anomaly_stream/ewc_mobilenet-v2_cpu_products_3-1x2',
        'iuf/iuf_b4_mvtec-ad_10-5',
        'casting/luna_casting',
        'casting/efficientnetv2-s_casting',
    ]
    done = subprocess.run(
        [sys.executable, '-c', CODE, *(f'configs/{name}.py' for name in names)],
        cwd=ROOT,
        env=tool_env(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = done.stdout.splitlines()  # between log lines
    assert (said.count(SCOPE), said.count('mmpretrain')) == (4, 2)
