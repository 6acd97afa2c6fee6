"""Every config of an anomaly model loads, resolves and builds without data or weights.

A test takes a config and looks at all its steps. Metafiles and READMEs are compared
with the folders in ``test_configs.py``.
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
from mmdefect.streams.resolve import resolve_step_config
from mmdefect.streams.state import config_hash
from tests.conftest import tool_env
from tests.helpers.configs import (
    ANOMALY,
    ROOT,
    build_anomaly_model,
    configs_in,
    evaluators,
    loaded,
    resolved,
    run_id,
    scope,
    steps_of,
    stream_of,
    without,
)

CONFIGS = configs_in(ANOMALY)
PAPER_SCALE = [path for path in CONFIGS if '_b4_' in path.stem]
CPU_SIZED = [path for path in CONFIGS if path not in PAPER_SCALE]
BASELINES = ('ewc', 'finetune', 'joint', 'mas', 'replay', 'si')
FOLDER = dict.fromkeys(BASELINES, 'anomaly_stream')
FOLDER |= {name: name for name in ('coreset', 'iuf', 'uniad')}
SCOPE = 'mmdefect'
each_config = pytest.mark.parametrize('path', CONFIGS, ids=run_id)

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


def method_of(path: Path) -> str:
    return path.stem.partition('_')[0]


def tail_of(path: Path) -> str:
    """Backbone, data and protocol."""
    return path.stem.removeprefix(method_of(path))


CONFIGS_OF = {name: [p for p in CONFIGS if method_of(p) == name] for name in FOLDER}


def test_smoke_something_is_tested() -> None:
    assert len(PAPER_SCALE) >= 80
    assert len(CPU_SIZED) >= 16


@pytest.mark.parametrize('method', FOLDER)
@pytest.mark.parametrize('protocol', PUBLISHED)
def test_feature_published_protocols(method: str, protocol: str) -> None:
    path = ROOT / f'configs/{FOLDER[method]}/{method}_b4_{protocol}.py'
    products, epochs = PUBLISHED[protocol]
    assert stream_of(path).steps == products
    if method == 'coreset':
        epochs = [1] * len(products)
    elif method == 'joint':
        epochs = [epochs[0]] * len(products)
    found = [resolved(path, step).train_cfg.max_epochs for step in steps_of(path)]
    assert found == epochs


@each_config
def test_smoke_models_build(path: Path) -> None:
    """One place or one score a product seen so far, on the features of the backbone."""
    for step in steps_of(path):
        model = build_anomaly_model(resolved(path, step).model)
        seen = len(stream_of(path).seen_classes(step))
        if method_of(path) == 'coreset':
            assert model.memory.shape[0] == len(model.filled) == seen
        elif model.conditioner is not None:
            assert model.conditioner.classifier.out_features == seen


@pytest.mark.parametrize(
    ('name', 'side'),
    [
        ('iuf/iuf_b4_mvtec-ad_14-1', 224),
        ('coreset/coreset_b4_mvtec-ad_14-1', 224),
        ('iuf/iuf_mobilenet-v2_cpu_products_3-1x2', 224),
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
    # The last tap sets the grid: nothing is made up between its points.
    assert maps[-1].shape[-1] == grid


@each_config
def test_smoke_data_metric_and_hooks_build_without_data(
    path: Path, tmp_path: Path
) -> None:
    stream = stream_of(path)
    for step in steps_of(path):
        cfg = copy.deepcopy(resolved(path, step))
        if stream.starts_from_previous(step):
            stream.chain(cfg, step, 'before.pth')
        with scope(SCOPE):
            for split in ('train', 'test'):
                dataset = dict(cfg[f'{split}_dataloader'].dataset, lazy_init=True)
                found = DATASETS.build(dict(dataset, data_root=str(tmp_path)))
                assert list(found.metainfo['classes']) == stream.seen_classes(step)
                assert found.test_mode is (split == 'test')
                assert len(found.pipeline.transforms) == 4
            Evaluator([dict(metric) for metric in evaluators(cfg)])
            for hook in [*cfg.default_hooks.values(), *cfg.custom_hooks]:
                HOOKS.build(dict(hook))


@each_config
def test_feature_classes_of_a_step(path: Path) -> None:
    """Model, data and metric agree with the protocol in the name."""
    stream = stream_of(path)
    first, _, rest = path.stem.rsplit('_', 1)[1].partition('-')
    size, _, times = rest.partition('x')
    sizes = [int(first), *[int(size)] * int(times or 1)]
    assert [len(names) for names in stream.steps] == sizes
    for step in steps_of(path):
        cfg = resolved(path, step)
        old, seen = sum(sizes[:step]), sum(sizes[: step + 1])
        assert cfg.model.num_classes == seen
        train = cfg.train_dataloader.dataset
        assert train.seen_classes == cfg.test_dataloader.dataset.seen_classes
        assert train.seen_classes == stream.classes[:seen]
        joint = method_of(path) == 'joint'
        assert train.keep_classes == stream.classes[0 if joint else old : seen]
        assert 'keep_classes' not in cfg.test_dataloader.dataset
        for metric in evaluators(cfg):
            assert metric.old_classes == stream.classes[:old]


@each_config
def test_feature_nothing_is_selected_on_the_test_set(path: Path) -> None:
    for step in steps_of(path):
        cfg = resolved(path, step)
        assert cfg.default_scope == SCOPE
        assert 'save_best' not in cfg.default_hooks.checkpoint
        assert cfg.test_dataloader.sampler.round_up is False
        assert cfg.val_dataloader is None
        assert None not in cfg.default_hooks.values()  # MMEngine's Runner refuses it
        assert not {'stream', 'method', 'runner_type'} & cfg.keys()


@each_config
def test_feature_what_a_method_adds(path: Path) -> None:
    """To the steps that start from the one before, and to no other."""
    method = method_of(path)
    own = {'anchor', 'projection', 'penalty', 'coreset'}
    for step in steps_of(path):
        cfg = resolved(path, step)
        added: set[str] = set()
        if method == 'coreset':
            added = {'coreset'}
        elif step and method == 'iuf':
            added = {'anchor', 'projection'}
        elif step and method in ('ewc', 'si', 'mas'):
            added = {'penalty'}
            assert cfg.default_hooks.penalty.method == method
        assert own & cfg.default_hooks.keys() == added
        # What the next step may need is collected whatever the method is.
        collects = {'feature_statistics', 'weight_importance'} <= (
            cfg.default_hooks.keys()
        )
        assert collects is (method != 'coreset')
        train = cfg.train_dataloader.dataset
        replayed = stream_of(path).old_classes(step) if method == 'replay' else []
        assert train.get('replay_classes', []) == replayed
        assert train.get('replay', 0) == (10 if replayed else 0)


@pytest.mark.parametrize('path', CONFIGS_OF['iuf'], ids=run_id)
def test_feature_update_of_iuf(path: Path) -> None:
    """Base: AdamW with compression. Later: plain SGD, clipped, anchored."""
    base = resolved(path, 0)
    assert base.optim_wrapper.optimizer.type == 'AdamW'
    assert base.model.compression.type == 'mmdefect.SemanticCompressionLoss'
    for step in steps_of(path)[1:]:
        cfg = resolved(path, step)
        assert cfg.optim_wrapper.optimizer == {
            'type': 'SGD',
            'lr': 1.0 if path in PAPER_SCALE else 0.1,
            'momentum': 0,
            'weight_decay': 0,
        }
        assert cfg.optim_wrapper.clip_grad == {'max_norm': 0.1}
        assert cfg.default_hooks.anchor.beta == 0.05
        assert cfg.model.compression is None


@pytest.mark.parametrize('path', CONFIGS_OF['finetune'], ids=run_id)
def test_feature_methods_share_one_base(path: Path) -> None:
    """What `stream.start_from` needs: their first steps are equal."""
    base = config_hash(resolved(path, 0))
    for method in ('joint', 'ewc', 'si', 'mas', 'replay', 'iuf'):
        (other,) = (p for p in CONFIGS_OF[method] if p.stem.endswith(tail_of(path)))
        assert config_hash(resolved(other, 0)) == base, other.stem


@pytest.mark.parametrize('path', CPU_SIZED, ids=run_id)
def test_feature_cpu_sized_keep_the_method(path: Path) -> None:
    """They change sizes and schedules; the method section is the parent's."""
    parent = path.with_name(f'{method_of(path)}_b4_mvtec-ad_10-1x5.py')
    small, full = loaded(path), loaded(parent)
    free = {'protocol', 'base', 'increment', 'steps'}
    assert without(small.stream, free) == without(full.stream, free)
    later = [cfg.stream.get('increment', {}).get('model') for cfg in (small, full)]
    assert later[0] == later[1]
    assert method_section(small) == method_section(full)
    sizes = {'backbone', 'in_channels', 'num_classes', 'transformer', 'grid'}
    sizes |= {'per_class'}
    assert without(small.model, sizes) == without(full.model, sizes)
    assert small.test_evaluator == full.test_evaluator
    if method_of(path) != 'coreset':
        # UniAD's window shrinks with the grid, but whoever has none gets none.
        windows = [bool(cfg.model.transformer.neighbours) for cfg in (small, full)]
        assert windows == [method_of(path) == 'uniad'] * 2


def method_section(cfg: Config) -> dict:
    """``method`` but for the learning rate, which depends on the number of weights."""
    found = cfg.get('method', ConfigDict()).to_dict()
    found.get('optim_wrapper', {}).get('optimizer', {}).pop('lr', None)
    return found


@pytest.mark.parametrize('path', PAPER_SCALE, ids=run_id)
def test_feature_pixels_are_scored_as_published(path: Path) -> None:
    """At 224 x 224; our own products at the resolution of their files."""
    load = loaded(path).test_dataloader.dataset.pipeline[2]
    assert load.type == 'mmdefect.LoadAnomalyMask'
    assert load.size == (224, 224)


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
from mmdefect.streams.resolve import build_stream, resolve_step_config

for name in sys.argv[1:]:
    cfg = load_config(name)
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
    """All parts of a later step are found in the scope of this package."""
    names = [
        'coreset/coreset_b4_visa_8-4',
        'uniad/uniad_toy_3-1x2',
        'anomaly_stream/ewc_mobilenet-v2_cpu_products_3-1x2',
        'iuf/iuf_b4_mvtec-ad_10-5',
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
    assert done.stdout.splitlines().count(SCOPE) == len(names)  # between log lines
