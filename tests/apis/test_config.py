from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.registry import HOOKS, MODELS, TRANSFORMS, DefaultScope
from mmengine.visualization import Visualizer

from mmdefect.apis import (
    dump_predictions,
    load_config,
    pictures_in,
    show_predictions,
    use_amp,
    use_tta,
)
from mmdefect.engine.run_config import apply_test_flags, draw_apart, write_apart
from mmdefect.streams.stream import resolve_step_config
from mmdefect.structures import AnomalySample

REPO = Path(__file__).parents[2]
PLAIN = REPO / 'configs/gfl/gfl_r18_fpn_toy_neu-det.py'
STREAM = REPO / 'configs/gfl_stream/finetune_r18_fpn_toy_neu-det_3+3.py'
ANOMALY = REPO / 'configs/iuf/iuf_toy_3-1x2.py'
CLASSIFIER = REPO / 'configs/casting/luna-gap_casting.py'


def test_smoke_work_dir() -> None:
    """The command line's, else the config's own, else one named after the config."""
    cfg = load_config(PLAIN)
    assert (cfg.work_dir, cfg.launcher) == (f'work_dirs/{PLAIN.stem}', 'none')
    assert load_config(PLAIN, launcher='pytorch').launcher == 'pytorch'
    options = {'work_dir': 'there'}
    assert load_config(PLAIN, cfg_options=options).work_dir == 'there'
    assert load_config(PLAIN, cfg_options=options, work_dir='here').work_dir == 'here'


def test_feature_cfg_options() -> None:
    """Merged once here; a stream keeps them, to merge them into every step."""
    options = {'train_cfg.max_epochs': 2, 'param_scheduler.1.end': 2}
    plain = load_config(PLAIN, cfg_options=options)
    assert plain.train_cfg.max_epochs == plain.param_scheduler[1].end == 2
    assert 'cfg_options' not in plain
    stream = load_config(STREAM, cfg_options=options)
    assert stream.cfg_options == options
    assert options == {'train_cfg.max_epochs': 2, 'param_scheduler.1.end': 2}


def test_exception_missing_config() -> None:
    with pytest.raises(FileNotFoundError, match=r"config 'none\.py' does not exist"):
        load_config('none.py')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('a = 1\nmodel = (\n', r"mine\.py, line 2: '\(' was never closed: expected Py"),
        ('', r'mine\.py is empty: expected settings'),
        ('model = 5', r'mine\.py has model=5: expected model=dict'),
        ('model = name', r"mine\.py cannot be read .*NameError: name 'name' is not"),
        ("_base_ = './mine.py'", r'mine\.py inherits from itself'),
        ("_base_ = './other.py'", r'other\.py inherits from itself, .* leads to mine'),
        ("_base_ = './none.py'", r'mine\.py cannot be read .*none\.py'),
        ("_base_ = './broken.py'", r'broken\.py, line 1: '),
        ('with read_base():\n    from .mine import *', 'RecursionError'),
        ('a = "\0"', r'mine\.py holds zero bytes'),
    ],
)
def test_exception_broken_config(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / 'other.py').write_text("_base_ = ['./mine.py']", encoding='utf-8')
    (tmp_path / 'broken.py').write_text('a = = 1', encoding='utf-8')
    (tmp_path / 'mine.py').write_text(text, encoding='utf-8')
    with pytest.raises(ValueError, match=message) as caught:
        load_config(tmp_path / 'mine.py')
    assert '\n' not in str(caught.value)


def test_exception_import_in_a_config(tmp_path: Path) -> None:
    path = tmp_path / 'mine.py'
    path.write_text("custom_imports = dict(imports=['no_such_module'])")
    with pytest.raises(ImportError, match=r'mine\.py cannot be read as a config'):
        load_config(path)


def test_feature_bases_that_meet_again(tmp_path: Path) -> None:
    """Two that share one, and values that MMEngine fills in."""
    (tmp_path / 'root.py').write_text("root = '{{$MMDEFECT_NONE:7}}'")
    for name in 'ab':
        (tmp_path / f'{name}.py').write_text(f"_base_ = './root.py'\n{name} = 1\n")
    path = tmp_path / 'top.py'
    path.write_text("_base_ = './a.py'\nx = 1\n")
    assert load_config(path).root == '7'
    path.write_text("_base_ = ['./a.py', './c.py']\nx = 1\n")
    (tmp_path / 'c.py').write_text("where = '{{ fileDirname }}'\n")
    assert load_config(path).where == str(tmp_path)


@pytest.mark.parametrize(
    ('device', 'kind', 'scale'),
    [
        ('cpu', 'mmdefect.CPUAmpOptimWrapper', None),
        ('cuda', 'AmpOptimWrapper', 'dynamic'),
    ],
)
def test_feature_amp(device: str, kind: str, scale, monkeypatch) -> None:
    monkeypatch.setattr('mmengine.device.get_device', lambda: device)
    cfg = load_config(PLAIN)
    optimizer = cfg.optim_wrapper.optimizer.copy()
    use_amp(cfg)
    assert cfg.optim_wrapper.type == kind
    assert cfg.optim_wrapper.optimizer == optimizer
    assert cfg.optim_wrapper.get('loss_scale') == scale


def test_feature_other_backend_for_curves() -> None:
    """As docs/reference/streams.md has it; each step's visualizer writes there."""
    options = {'visualizer.vis_backends.0.type': 'TensorboardVisBackend'}
    cfg = load_config(STREAM, cfg_options=options)
    for step in (0, 1):
        (backend,) = resolve_step_config(cfg, step).visualizer.vis_backends
        assert backend == {'type': 'TensorboardVisBackend'}


class TestShow:
    def test_feature_draws(self) -> None:
        cfg = load_config(PLAIN)
        show_predictions(cfg, show=False, out_dir='drawn', wait_time=1.5)
        assert cfg.default_hooks.visualization == {
            'type': 'mmdefect.BoxVisualizationHook',
            'draw': True,
            'show': False,
            'wait_time': 1.5,
            'test_out_dir': str(Path.cwd() / 'drawn'),
        }
        cfg = load_config(PLAIN)
        show_predictions(cfg, show=True, out_dir=None, wait_time=2)
        assert 'test_out_dir' not in cfg.default_hooks.visualization

    @pytest.mark.parametrize(
        ('config', 'kind'),
        [
            (None, 'DetVisualizationHook'),
            (PLAIN, 'DetVisualizationHook'),
            (ANOMALY, 'mmdefect.AnomalyMapHook'),
            (CLASSIFIER, 'VisualizationHook'),
        ],
    )
    def test_exception_no_hook(self, config: Path | None, kind: str) -> None:
        cfg = Config({}) if config is None else load_config(config)
        if config is not None:
            cfg.default_hooks.visualization = None
        message = rf"^default_hooks\.visualization=None: .*\(type='{kind}'\)"
        with pytest.raises(ValueError, match=message):
            show_predictions(cfg, show=True, out_dir=None, wait_time=0)

    def test_feature_pictures_are_counted(self, tmp_path: Path) -> None:
        """Those of this test; what an earlier one left does not count."""
        for name in ('old.png', 'step_1/a.png', 'step_1/compound/tile/good/b.png'):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        os.utime(tmp_path / 'old.png', (10, 10))
        assert pictures_in(tmp_path, since=100) == f'2 pictures in {tmp_path}'
        assert pictures_in('none', since=100) == '0 pictures in none'


class TestDump:
    @pytest.mark.parametrize('several', [False, True])
    def test_feature_metric_is_added(self, several: bool) -> None:
        cfg = load_config(PLAIN)
        metric = cfg.test_evaluator
        if several:
            cfg.test_evaluator = [metric]
        dump_predictions(cfg, 'out.pkl')
        dump = {'type': 'mmdet.DumpDetResults', 'out_file_path': 'out.pkl'}
        assert cfg.test_evaluator == [metric, dump]

    def test_feature_stream_adds_it_later(self) -> None:
        """Or `--cfg-options test_evaluator.ann_file=...` would meet a list."""
        options = {'test_evaluator.ann_file': 'mine.json'}
        cfg = load_config(STREAM, cfg_options=options)
        dump_predictions(cfg, 'out.pkl')
        resolved = resolve_step_config(cfg, 1)
        apply_test_flags(resolved)
        metric, dump = resolved.test_evaluator
        assert metric.ann_file == 'mine.json'
        assert len(metric.old_classes) == 3
        assert dump == {'type': 'mmdet.DumpDetResults', 'out_file_path': 'out.pkl'}

    def test_exception_suffix(self) -> None:
        with pytest.raises(ValueError, match=r"out='out\.json': expected a \.pkl file"):
            dump_predictions(load_config(PLAIN), 'out.json')


class TestTta:
    def test_feature_flips(self) -> None:
        """Loading and resizing once, then both flips, packed with their direction."""
        cfg = load_config(PLAIN)
        own = cfg.test_dataloader.dataset.pipeline
        use_tta(cfg)
        pipeline = cfg.test_dataloader.dataset.pipeline
        assert pipeline[:-1] == own[:-1]
        flips, packs = pipeline[-1].transforms
        assert [flip.prob for flip in flips] == [1.0, 0.0]
        assert {'flip', 'flip_direction'} < set(packs[0].meta_keys)
        with DefaultScope.overwrite_default_scope('mmdet'):
            TRANSFORMS.build(pipeline[-1])
            model = MODELS.build(cfg.model)
        assert type(model).__name__ == 'DetTTAModel'
        assert model.module.bbox_head.num_classes == 6

    def test_feature_stream_wraps_later(self) -> None:
        """The model of a step is not known yet: its runner wraps it when it tests."""
        cfg = load_config(STREAM)
        use_tta(cfg)
        assert cfg.model.type == 'GFL'
        resolved = resolve_step_config(cfg, 0)
        apply_test_flags(resolved)
        assert resolved.model.type == 'DetTTAModel'
        assert resolved.model.module.bbox_head.num_classes == 3

    def test_feature_own_settings(self) -> None:
        cfg = load_config(PLAIN)
        cfg.tta_model = {'type': 'DetTTAModel', 'tta_cfg': {'max_per_img': 7}}
        cfg.tta_pipeline = [{'type': 'Mine'}]
        use_tta(cfg)
        assert cfg.model.tta_cfg == {'max_per_img': 7}
        assert cfg.test_dataloader.dataset.pipeline == [{'type': 'Mine'}]

    def test_feature_wrapped_dataset(self) -> None:
        cfg = load_config(PLAIN)
        inner = cfg.test_dataloader.dataset
        cfg.test_dataloader.dataset = {'type': 'RepeatDataset', 'dataset': inner}
        use_tta(cfg)
        pipeline = cfg.test_dataloader.dataset.dataset.pipeline
        assert pipeline[-1].type == 'TestTimeAug'
        assert 'pipeline' not in cfg.test_dataloader.dataset


class TestAnomaly:
    """What `--show-dir`, `--out` and the others do where maps are drawn, not boxes."""

    def sample(self, **values: object) -> AnomalySample:
        return AnomalySample(
            metainfo=dict(img_path='a.png', class_name='cloth', defect='good'),
            gt_label=torch.tensor(values['label']),
            gt_mask=torch.zeros(4, 4, dtype=torch.bool),
            pred_score=torch.tensor(values['score']),
            pred_map=torch.full((4, 4), values['score']),
        )

    def test_feature_show_dir(self) -> None:
        """Relative to where the command is given, not to the work dir of a step."""
        cfg = load_config(ANOMALY)
        show_predictions(cfg, show=False, out_dir='drawn', wait_time=1)
        assert cfg.default_hooks.visualization == {
            'type': 'mmdefect.AnomalyMapHook',
            'compound': True,
            'out_dir': str(Path.cwd() / 'drawn'),
        }
        resolved = resolve_step_config(cfg, 1)
        draw_apart(resolved, 1)
        found = resolved.default_hooks.visualization.out_dir
        assert found == str(Path.cwd() / 'drawn/step_1')
        with DefaultScope.overwrite_default_scope('mmdefect'):
            hook = HOOKS.build(resolved.default_hooks.visualization)
        assert (hook.compound, str(hook.out_dir)) == (True, found)

    def test_feature_own_relative_folder_is_apart_already(self) -> None:
        """It starts at the work dir of each step."""
        options = {'default_hooks.visualization.out_dir': 'pictures'}
        resolved = resolve_step_config(load_config(ANOMALY, cfg_options=options), 1)
        draw_apart(resolved, 1)
        assert resolved.default_hooks.visualization.out_dir == 'pictures'

    @pytest.mark.parametrize('out_dir', [None, 'drawn'])
    def test_exception_show(self, out_dir: str | None) -> None:
        cfg = load_config(ANOMALY)
        with pytest.raises(ValueError, match=r'^show=True: .* over; use --show-dir'):
            show_predictions(cfg, show=True, out_dir=out_dir, wait_time=1)

    def test_feature_dump(self, tmp_path: Path) -> None:
        """MMEngine's metric beside ours, whose scores stay the same."""
        cfg = load_config(ANOMALY)
        dump_predictions(cfg, str(tmp_path / 'out.pkl'))
        resolved = resolve_step_config(cfg, 1)
        write_apart(resolved, 1)
        apply_test_flags(resolved)
        metric, dump = resolved.test_evaluator
        assert metric.type == 'mmdefect.AnomalyMetric'
        path = tmp_path / 'out_step_1.pkl'
        assert dump == {'type': 'DumpResults', 'out_file_path': str(path)}
        samples = [self.sample(label=0, score=0.5), self.sample(label=1, score=0.75)]
        with DefaultScope.overwrite_default_scope('mmdefect'):
            evaluator = Evaluator([dict(metric, old_classes=[]), dump])
        evaluator.dataset_meta = {'classes': ['cloth']}
        evaluator.process(samples)
        assert evaluator.evaluate(2)['anomaly/image_auroc/cloth'] == 1
        found = pickle.loads(path.read_bytes())
        assert [float(sample['pred_score']) for sample in found] == [0.5, 0.75]
        assert found[1]['pred_map'].shape == (4, 4)
        assert found[1]['class_name'] == 'cloth'

    def test_feature_dump_of_one_resolved_step(self) -> None:
        """Such a config has no stream any more."""
        cfg = resolve_step_config(load_config(ANOMALY), 1)
        dump_predictions(cfg, 'out.pkl')
        assert cfg.test_evaluator[1].type == 'DumpResults'

    def test_exception_tta(self) -> None:
        cfg = load_config(ANOMALY)
        with pytest.raises(ValueError, match=r'^tta=True: .* anomaly maps'):
            use_tta(cfg)


class TestClassifier:
    def test_feature_show(self) -> None:
        """A hook of one's own is kept."""
        cfg = load_config(CLASSIFIER)
        show_predictions(cfg, show=False, out_dir='pictures', wait_time=0)
        hook = cfg.default_hooks.visualization
        folder = str(Path.cwd() / 'pictures')
        assert (hook.enable, hook.interval, hook.out_dir) == (True, 1, folder)
        assert hook.type == 'mmdefect.ClsVisualizationHook'
        Visualizer.get_instance('test_config')  # which the hook asks for
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            HOOKS.build(dict(hook))
        hook.type = 'Mine'
        show_predictions(cfg, show=False, out_dir='pictures', wait_time=0)
        assert hook.type == 'Mine'

    def test_feature_dump(self) -> None:
        cfg = load_config(CLASSIFIER)
        dump_predictions(cfg, 'out.pkl')
        assert [dict(metric) for metric in cfg.test_evaluator] == [
            {'type': 'mmdefect.DefectClassMetric'},
            {'type': 'DumpResults', 'out_file_path': 'out.pkl'},
        ]

    def test_feature_tta_averages_scores_over_flips(self) -> None:
        cfg = load_config(CLASSIFIER)
        use_tta(cfg)
        image = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            model = MODELS.build(cfg.model)
            steps = [TRANSFORMS.build(t) for t in cfg.tta_pipeline[2:]]
        results = {'img': image, 'img_shape': (3, 3), 'gt_label': 0}
        for step in steps:
            results = step(results)
        mirrored, plain = results['inputs']
        assert torch.equal(mirrored, plain.flip(-1))
        samples = results['data_samples']
        for sample, score in zip(samples, ([0.2, 0.8], [0.6, 0.4]), strict=True):
            sample.set_pred_score(torch.tensor(score))
        (merged,) = model.merge_preds([samples])
        torch.testing.assert_close(merged.pred_score, torch.tensor([0.4, 0.6]))
        assert int(merged.pred_label) == 1
