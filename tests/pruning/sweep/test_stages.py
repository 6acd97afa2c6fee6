"""Score, extract, train, test: on small networks, without fine-tuning."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmdefect.pruning.channels.cost import count_macs, parameter_count
from mmdefect.pruning.channels.plan import read_plan
from mmdefect.pruning.sweep.candidates import Candidate, save_weights
from mmdefect.pruning.sweep.dense import build_loader, split_images
from mmdefect.pruning.sweep.features import extract_features, load_images, predict
from mmdefect.pruning.sweep.outcome import read_outcome
from mmdefect.pruning.sweep.recovery import candidate_config, recalibrate
from mmdefect.pruning.sweep.run import PruneRun, is_within
from mmdefect.pruning.sweep.stages import STAGES, run_all
from mmdefect.pruning.sweep.workdir import take_dense
from mmdefect.utils.checkpoint import load_weights, state_dict_of
from tests.helpers.lines import Finished

CONV = 'backbone.blocks.{}.conv{}'


def silent(_: str) -> None:
    """A reader who wants to hear nothing."""


def begun(cfg: Config, **changes: Any) -> PruneRun:
    cfg.prune.update(changes)
    return PruneRun(cfg, progress=silent)


def widths_of(run: PruneRun) -> dict[str, int]:
    """What is left of the only small network."""
    STAGES['score'](run)
    return read_plan(run.candidates[1].path('plan.json')).widths()


def with_parent(cfg: Config, path: Path, **changes: torch.Tensor) -> Config:
    """Load a parent from a file, some of its weights changed."""
    weights = begun(cfg).parent.state_dict() | changes
    save_weights(weights, path)
    cfg.load_from = str(path)
    cfg.work_dir += '_again'
    return cfg


def test_smoke_a_sweep_from_end_to_end(finished: Finished) -> None:
    run, sweep, said = finished
    names = ['dense', 'fraction-0.25', 'fraction-0.50']
    assert [one.name for one in sweep.outcomes] == names
    sizes = [one.cost.parameters for one in sweep.outcomes]
    assert sizes[1] < sizes[2] < sizes[0]
    # Dark lines on grey: even random filters see them.
    assert sweep.outcomes[0].val.balanced_accuracy > 0.9
    assert sweep.outcomes[2].test['test'].balanced_accuracy > 0.8
    plan = read_plan(run.candidates[2].path('plan.json'))
    assert set(plan.widths().values()) == {4, 8}
    assert plan.origin['size'] == 0.5
    assert [read_outcome(one) for one in run.candidates] == sweep.outcomes
    stages = [line for line in said if line.startswith('stage')]
    about = 'stage 1 of 4, score: filters are scored, networks cut; 3 of 3 networks'
    assert said[0] == stages[0] == f'{about} to go'
    begun, done = stages[::2], stages[1::2]
    assert [line.split()[4].strip(':') for line in begun] == list(STAGES)
    assert len(done) == sum('done in' in line for line in done) == 4


def test_feature_stages_alone_are_the_same_as_together(
    line_config: Config, finished: Finished
) -> None:
    for name in ('extract', 'train', 'test'):
        with pytest.raises(FileNotFoundError, match=r'run --stage \w+ first'):
            STAGES[name](begun(line_config))
    apart = None
    for stage in STAGES.values():  # a process each
        apart = stage(begun(line_config))
    assert apart is not None
    for one, two in zip(finished.sweep.outcomes[::2], apart.outcomes, strict=True):
        assert (one.val, one.test, one.probe) == (two.val, two.test, two.probe)
        assert one.cost.parameters == two.cost.parameters


def test_feature_what_is_finished_is_not_done_again(finished: Finished) -> None:
    work_dir = finished.run.work_dir
    times = {path: path.stat().st_mtime_ns for path in work_dir.rglob('*')}
    run_all(PruneRun(finished.run.cfg, progress=pytest.fail))
    assert {path: path.stat().st_mtime_ns for path in work_dir.rglob('*')} == times


def test_feature_an_older_result_is_measured_again(
    done_config: Config,
) -> None:
    """Of the network whose weights are newer, and of no other."""
    run = begun(done_config)
    small = run.candidates[1]
    small.path('classifier.pth').touch()
    said: list[str] = []
    STAGES['test'](PruneRun(run.cfg, progress=said.append))
    measured = [line.partition(':')[0] for line in said if 'parameters, ' in line]
    assert measured == [small.name]


@pytest.mark.parametrize(
    ('entry', 'value'),
    [
        ('prune.select', 'background'),
        ('custom_hooks', [{'type': 'EMAHook'}]),
        ('default_hooks', {'ema': {'type': 'EMAHook'}}),
        ('auto_scale_lr', {'enable': True, 'base_batch_size': 2}),
        ('train_dataloader.batch_size', 3),
    ],
)
def test_exception_another_run_in_the_same_work_dir(
    done_config: Config, entry: str, value: Any
) -> None:
    done_config.default_hooks = {'logger': {'interval': 1}}  # only watches
    begun(done_config)
    done_config.merge_from_dict({entry: value})
    with pytest.raises(ValueError, match='expected the config, files of weights'):
        begun(done_config)


def test_exception_other_weights_in_the_same_file(
    line_config: Config, tmp_path: Path
) -> None:
    """Of the parent, or pretrained ones; and networks of unknown origin."""
    path = tmp_path / 'parent.pth'
    pretrained = {'type': 'Pretrained', 'checkpoint': str(path)}
    for entry in ({'load_from': str(path)}, {'model.backbone.init_cfg': pretrained}):
        save_weights({'one': torch.ones(1)}, path)
        line_config.merge_from_dict({'load_from': None, **entry})
        line_config.work_dir += '_again'
        run = begun(line_config)
        run.candidates[0].folder.mkdir()
        run.candidates[0].path('weights.pth').touch()
        begun(line_config)
        save_weights({'other': torch.ones(1)}, path)
        with pytest.raises(ValueError, match='expected the config, files of weights'):
            begun(line_config)
    (run.work_dir / 'prune.json').unlink()
    with pytest.raises(ValueError, match='expected the config, files of weights'):
        begun(line_config)


@pytest.mark.parametrize(
    'scorer',
    [
        {'type': 'mmdefect.SegIoU', 'active': 'soft'},
        {'type': 'mmdefect.SegContrast'},
        {'type': 'mmdefect.MaskedTaylor'},
        {'type': 'mmdefect.Taylor'},
        {'type': 'mmdefect.L1Norm'},
        {'type': 'mmdefect.RandomScore'},
    ],
    ids=lambda scorer: scorer['type'],
)
def test_feature_every_score_cuts_to_the_same_size(
    line_config: Config, scorer: dict[str, Any]
) -> None:
    expected = {
        CONV.format(block, n): 4 + 4 * block for block in (0, 1) for n in (1, 2)
    }
    if scorer['type'] == 'mmdefect.L1Norm':  # looks at no images
        line_config.pop('mask_dataloader')
    assert widths_of(begun(line_config, scorer=scorer)) == expected


def test_exception_nothing_to_score_or_to_plan(line_config: Config) -> None:
    keep = {'type': 'global', 'min_channels': 4}
    grid = {'kind': 'parameters', 'values': [0.001]}
    with pytest.raises(ValueError, match='smallest network costs'):
        STAGES['score'](begun(line_config, grid=grid, keep=keep))
    line_config.work_dir += '_again'
    line_config.pop('mask_dataloader')
    with pytest.raises(ValueError, match=r'expected one of mmdefect\.PairedMask'):
        STAGES['score'](begun(line_config, scorer={'type': 'mmdefect.SegIoU'}))


@pytest.mark.parametrize('kind', ['parameters', 'macs'])
def test_feature_budget_of_the_whole_classifier_is_met(
    line_config: Config, kind: str
) -> None:
    run = begun(
        line_config, grid={'kind': kind, 'values': [0.4]}, keep={'type': 'global'}
    )
    STAGES['score'](run)
    whole, small = (
        parameter_count(model)
        if kind == 'parameters'
        else count_macs(model, run.example)
        for model in (run.build(one, 'weights.pth') for one in run.candidates)
    )
    assert 0.2 * whole < small <= 0.4 * whole


def test_feature_protected_layers_stay_whole(line_config: Config) -> None:
    with pytest.raises(ValueError, match=r'prune\.protect=backbone\.conv9: expected'):
        STAGES['score'](begun(line_config, protect=['backbone.conv9']))
    line_config.work_dir += '_again'
    widths = widths_of(begun(line_config, protect=['backbone.blocks.0']))
    assert set(widths) == {CONV.format(1, 1), CONV.format(1, 2)}
    assert is_within('backbone.features.1', 'backbone.features.1')
    assert not is_within('backbone.features.10', 'backbone.features.1')


def test_feature_protected_grouped_convolutions(line_config: Config) -> None:
    line_config.model.backbone = {
        'type': 'ResNeXt',
        'depth': 50,
        'groups': 4,
        'width_per_group': 2,
        'stem_channels': 8,
        'base_channels': 8,
    }
    line_config.model.neck = {'type': 'GlobalAveragePooling'}
    line_config.model.head.in_channels = 256
    with pytest.raises(ValueError, match='in 4 groups'):
        _ = begun(line_config).groups
    line_config.prune.protect = [
        f'backbone.layer{stage}.{block}.{layer}'
        for stage, blocks in enumerate((3, 4, 6, 3), start=1)
        for block in range(blocks)
        for layer in ('conv1', 'conv2')
    ]
    names = [name for group in begun(line_config).groups for name in group.filters]
    assert all(
        'conv3' in name or 'downsample' in name or name == 'backbone.conv1'
        for name in names
    )


def test_feature_release_mode(line_config: Config) -> None:
    run = begun(
        line_config,
        scorer={'type': 'mmdefect.SegIoU', 'active': 'legacy'},
        keep={'type': 'uniform_legacy'},
        greedy=True,
        raw=True,
        reset_norms=True,
        select='union',
        decide={'rule': 'ftl_published'},
    )
    sweep = run_all(run)
    widths = widths_of(run)
    # Between K and 2 K with K = round((C - 1) / 2).
    assert 4 <= widths[CONV.format(0, 1)] <= 8
    assert 8 <= widths[CONV.format(1, 2)] <= 16
    assert sweep.chosen in (0, 1)


def test_feature_parent_of_a_checkpoint(line_config: Config, tmp_path: Path) -> None:
    before = begun(line_config).parent.state_dict()
    weights = {name: value + 1 for name, value in before.items()}
    found = begun(with_parent(line_config, tmp_path / 'p.pth', **weights)).parent
    assert all(
        torch.equal(found.state_dict()[n], value) for n, value in weights.items()
    )
    weights.pop('head.fc.bias')
    save_weights(weights, tmp_path / 'p.pth')
    with pytest.raises(
        ValueError, match=r'does not fit ImageClassifier.*head\.fc\.bias'
    ):
        _ = begun(line_config).parent


def test_feature_parent_is_measured_as_it_was_trained(
    line_config: Config, tmp_path: Path
) -> None:
    """Its own head, which calls everything the first class here; not a probe."""
    weight = torch.zeros(2, 16 * 64)
    head = {'head.fc.weight': weight, 'head.fc.bias': torch.tensor([1.0, -1.0])}
    sweep = run_all(begun(with_parent(line_config, tmp_path / 'p.pth', **head)))
    assert sweep.parent is not None
    assert sweep.parent.name == 'parent'
    found = sweep.parent.test['test']
    assert (found.misses, found.balanced_accuracy) == (0, 0.5)
    assert sweep.outcomes[0].test['test'].balanced_accuracy > 0.8
    assert sweep.parent.cost.parameters == sweep.outcomes[0].cost.parameters


@pytest.mark.parametrize(
    ('name', 'value'), [('mean', [1.0, 2.0, 3.0]), ('to_rgb', 'neither')]
)
def test_exception_parent_of_images_normalised_in_another_way(
    line_config: Config, tmp_path: Path, name: str, value: Any
) -> None:
    weights = begun(line_config).parent.state_dict()
    given = line_config.data_preprocessor.to_dict()
    line_config.load_from = str(tmp_path / 'parent.pth')
    for noted in (given, {**given, name: value}):
        meta = {'data_preprocessor': noted}
        torch.save({'state_dict': weights, 'meta': meta}, tmp_path / 'parent.pth')
        run = begun(line_config)
        if noted == given:
            assert run.parent is not None
    with pytest.raises(ValueError, match=rf'data_preprocessor\.{name}=.*trained with'):
        _ = run.parent


def test_feature_parent_of_a_seed_is_always_the_same(line_config: Config) -> None:
    line_config.model.backbone = {'type': 'mmdefect.FTLAlexNet'}  # draws when built
    line_config.model.head.in_channels = 256
    first, second = (begun(line_config).parent.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_feature_trainer_gets_a_config_and_gives_the_weights(
    line_config: Config,
) -> None:
    seen = []

    def trainer(config: Path, work_dir: Path) -> Path:
        cfg = Config.fromfile(config)
        seen.append((config.parent.name, cfg.model.type, work_dir.name))
        state = state_dict_of(load_weights(cfg.load_from))
        state['head.fc.bias'] = state['head.fc.bias'] + 1  # learned something
        save_weights(state, work_dir / 'epoch_1.pth')
        return work_dir / 'epoch_1.pth'

    recovery = {'finetune': True, 'distill': {'weight': 1.0, 'temperature': 2.0}}
    line_config.prune.update(recovery=recovery)
    with pytest.raises(ValueError, match='expected a trainer'):
        begun(line_config)
    run = PruneRun(line_config, trainer=trainer, progress=silent)
    for stage in ('score', 'extract', 'train'):
        STAGES[stage](run)
    assert seen == [
        ('dense', 'ImageClassifier', 'recovery'),
        ('fraction-0.50', 'mmdefect.DistilledClassifier', 'recovery'),
    ]
    small = run.candidates[1]
    before, after = (
        state_dict_of(load_weights(small.path(file)))['head.fc.bias']
        for file in ('probed.pth', 'classifier.pth')
    )
    assert torch.equal(after, before + 1)


def test_feature_config_of_a_network_computes_what_the_sweep_measured(
    finished: Finished, tmp_path: Path
) -> None:
    run = finished.run
    small = run.candidates[1]
    cfg = Config.fromfile(small.path('classifier.py'))
    assert 'prune' not in cfg
    # As a runner does it.
    described = {**cfg.model, 'data_preprocessor': cfg.data_preprocessor}
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(described)
    model.load_state_dict(state_dict_of(load_weights(cfg.load_from)))
    images = split_images(run.cfg, 'test')
    assert predict(model, images) == predict(run.build(small, 'classifier.pth'), images)
    dense = Candidate(name='dense', size=None, folder=tmp_path)
    cfg = candidate_config(run.cfg, dense, tmp_path / 'probed.pth')
    assert cfg.model.backbone.type == 'mmdefect.LunaNet'


def test_feature_features_are_what_the_head_takes(finished: Finished) -> None:
    run = finished.run
    images = run.images['val']
    features = extract_features(run.parent, images, batch_size=5)
    said = predict(run.parent, images, batch_size=7)
    logits = features @ run.parent.head.fc.weight.detach().numpy().T
    logits = logits + run.parent.head.fc.bias.detach().numpy()
    assert features.shape == (24, 16 * 64)
    assert [row.pred for row in said.values()] == logits.argmax(axis=1).tolist()
    batches = list(build_loader(run.cfg, run.cfg.val_dataloader))
    batches[0]['inputs'][0] = batches[0]['inputs'][0][:, :16]
    with pytest.raises(ValueError, match='one size'):
        load_images(batches)


def test_feature_recalibration_takes_the_mean_of_the_batches(
    line_config: Config, finished: Finished
) -> None:
    model = begun(line_config).parent
    norm = model.backbone.input_norm
    norm.running_mean.fill_(9)
    images = finished.run.images['train']
    recalibrate(model, images, 48, batch_size=8)
    inputs = (images.images.flip(1).float() - 127) / 60
    expected = inputs.mean(dim=(0, 2, 3))
    torch.testing.assert_close(norm.running_mean, expected, atol=1e-4, rtol=1e-4)
    assert norm.momentum == 0.1
    assert not any(module.training for module in model.modules())


def test_feature_changed_data_is_noticed(done_config: Config) -> None:
    run = begun(done_config)
    for file in ('probe.json', 'classifier.pth'):
        run.candidates[0].path(file).unlink()
    np.save(run.candidates[0].path('features_train.npy'), np.zeros((47, 1024)))
    with pytest.raises(ValueError, match='each of 48 training images, there are 47'):
        STAGES['train'](run)


def test_feature_more_and_other_test_sets(
    done_config: Config, finished: Finished, lines: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / 'elsewhere'
    shutil.copytree(lines / 'val', elsewhere / 'val')
    shutil.copy(lines / 'val.txt', elsewhere / 'val.txt')
    done_config.test_roots = {'elsewhere': str(elsewhere)}
    done_config.test_dataloader.batch_size = 3
    done_config.test_dataloader.dataset.update(ann_file='val.txt', data_prefix='val')
    run = begun(done_config)
    small = run_all(run).outcomes[1]
    assert small.test == dict.fromkeys(('test', 'elsewhere'), small.val)
    assert small.tested_on != finished.sweep.outcomes[1].tested_on
    written = Config.fromfile(run.candidates[1].path('classifier.py'))
    assert written.test_dataloader.batch_size == 3


def test_feature_sizes_are_added_and_the_decision_changed_later(
    done_config: Config, finished: Finished
) -> None:
    shutil.rmtree(Path(done_config.work_dir) / 'fraction-0.25')
    decide = {'rule': 'weighted', 'weights': {'parameters': 1.0}}
    later = run_all(begun(done_config, decide=decide))
    assert later.outcomes[::2] == finished.sweep.outcomes[::2]
    assert later.outcomes[1].val == finished.sweep.outcomes[1].val
    assert later.chosen == 1


def test_feature_a_mistyped_path_leaves_nothing_behind(line_config: Config) -> None:
    right = line_config.mask_dataloader.dataset.data_root
    line_config.mask_dataloader.dataset.data_root = '/nowhere'
    with pytest.raises(FileNotFoundError):
        STAGES['score'](begun(line_config))
    shutil.rmtree(Path(line_config.work_dir) / 'dense', ignore_errors=True)
    line_config.mask_dataloader.dataset.data_root = right
    STAGES['score'](begun(line_config))


@pytest.mark.parametrize(
    ('changes', 'said'),
    [
        (
            {'prune.scorer.type': 'mmdefect.L1Norm', 'prune.select': 'contrast'},
            'does not look at masks',
        ),
        (
            {
                'prune.scorer': {'type': 'mmdefect.SegContrast'},
                'prune.keep': {'type': 'global'},
                'prune.grid.kind': 'macs',
            },
            'gives negative scores',
        ),
        ({'model.head.num_classes': 3}, 'num_classes=3: expected 2 classes'),
        ({'test_roots': {'test': '.'}}, r'test_roots\.test: expected another name'),
        ({'test_roots': {'a': '/nowhere'}}, 'test_roots.a=/nowhere: expected a folder'),
        ({'load_from': 'https://x.org/a.pth'}, 'download it first'),
        ({'prune.untrained': False}, 'LunaNet has pretrained weights'),
    ],
)
def test_exception_what_would_fail_after_hours(
    line_config: Config, changes: dict[str, Any], said: str
) -> None:
    line_config.merge_from_dict(changes)
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        _ = begun(line_config).parent


def test_exception_photograph_that_names_do_not_tell(line_config: Config) -> None:
    """Before anything is scored, and not when heads are fitted."""
    line_config.pop('randomness')
    run = begun(line_config, probe={'folds': 2, 'source': r'(CRACK\d+)'})
    assert run.seed == 0
    with pytest.raises(ValueError, match='expected a pattern that the names of all'):
        STAGES['score'](run)
    assert not list(Path(line_config.work_dir).glob('*/plan.json'))


class TestDenseFrom:
    def test_feature_taken_and_measured_anew(
        self, line_config: Config, finished: Finished
    ) -> None:
        second = begun(line_config, scorer={'type': 'mmdefect.RandomScore'})
        take_dense(second.work_dir, finished.run.work_dir)
        dense = second.candidates[0]
        assert dense.has('classifier.pth', 'probe.json')
        assert not dense.has('result.json')
        before = dense.path('classifier.pth').stat().st_mtime_ns
        run_all(second)
        assert dense.has('result.json')
        assert dense.path('classifier.pth').stat().st_mtime_ns == before
        take_dense(second.work_dir, finished.run.work_dir)  # the same command again
        assert dense.has('result.json')

    @pytest.mark.parametrize(
        ('entry', 'value'),
        [
            ('randomness.seed', 1),
            ('prune.probe.folds', 3),
            ('train_dataloader.batch_size', 3),
        ],
    )
    def test_exception_of_another_training(
        self, line_config: Config, finished: Finished, entry: str, value: Any
    ) -> None:
        line_config.merge_from_dict({entry: value})
        run = begun(line_config)
        with pytest.raises(ValueError, match='expected a whole network of the parent'):
            take_dense(run.work_dir, finished.run.work_dir)
        assert not (run.work_dir / 'dense').exists()
        with pytest.raises(FileNotFoundError, match='whole network is trained'):
            take_dense(run.work_dir, run.work_dir.parent)


def test_feature_one_impossible_size_does_not_stop_the_others(
    line_config: Config,
) -> None:
    run = begun(
        line_config, grid={'values': [0.01, 0.5]}, keep={'type': 'uniform_legacy'}
    )
    with pytest.raises(
        ValueError, match=r'1 of 2 sizes are impossible.*fraction-0\.01'
    ):
        STAGES['score'](run)
    assert [one.has('weights.pth') for one in run.candidates] == [True, False, True]


def test_feature_moved_or_killed_before_the_classifier_is_written(
    done_config: Config,
) -> None:
    """Weights are there, the config is not or names files elsewhere; or the reverse."""
    small = begun(done_config).candidates[1]
    before = load_weights(small.path('classifier.pth'))['state_dict']
    for unlink in (None, 'classifier.py', 'classifier.pth'):
        if unlink:
            small.path(unlink).unlink()
        STAGES['train'](begun(done_config))
        cfg = Config.fromfile(small.path('classifier.py'))
        assert cfg.load_from == str(small.path('classifier.pth'))
        assert cfg.model.backbone.plan == str(small.path('plan.json'))
        after = load_weights(cfg.load_from)['state_dict']
        assert torch.equal(after['head.fc.weight'], before['head.fc.weight'])
