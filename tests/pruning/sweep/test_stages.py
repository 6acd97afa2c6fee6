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


def silent(_: str) -> None:
    """A reader who wants to hear nothing."""


def begun(cfg: Config, **changes: Any) -> PruneRun:
    cfg.prune.update(changes)
    return PruneRun(cfg, progress=silent)


def test_smoke_a_sweep_from_end_to_end(line_config: Config) -> None:
    run = begun(line_config, grid={'values': [0.25, 0.5]})
    sweep = run_all(run)
    assert [one.name for one in sweep.outcomes] == [
        'dense',
        'fraction-0.25',
        'fraction-0.50',
    ]
    sizes = [one.cost.parameters for one in sweep.outcomes]
    assert sizes[1] < sizes[2] < sizes[0]
    # Dark lines on grey: even random filters see them.
    assert sweep.outcomes[0].val.balanced_accuracy > 0.9
    assert sweep.outcomes[2].test['test'].balanced_accuracy > 0.8
    plan = read_plan(run.candidates[2].path('plan.json'))
    assert set(plan.widths().values()) == {4, 8}
    assert plan.origin['size'] == 0.5


def test_feature_stages_alone_are_the_same_as_together(
    line_config: Config, tmp_path: Path
) -> None:
    together = run_all(begun(line_config))
    line_config.work_dir = str(tmp_path / 'apart')
    apart = None
    for stage in STAGES.values():  # a process each
        apart = stage(begun(line_config))
    assert apart is not None
    for one, two in zip(together.outcomes, apart.outcomes, strict=True):
        assert (one.val, one.test, one.probe) == (two.val, two.test, two.probe)
        assert one.cost.parameters == two.cost.parameters


@pytest.mark.parametrize('stage', ['extract', 'train', 'test'])
def test_exception_stage_before_its_turn(line_config: Config, stage: str) -> None:
    with pytest.raises(FileNotFoundError, match=r'run --stage \w+ first'):
        STAGES[stage](begun(line_config))


def test_feature_what_is_finished_is_not_done_again(line_config: Config) -> None:
    run = begun(line_config)
    run_all(run)
    files = sorted(run.work_dir.rglob('*'))
    times = {path: path.stat().st_mtime_ns for path in files}
    again = PruneRun(line_config, progress=pytest.fail)
    run_all(again)
    assert sorted(run.work_dir.rglob('*')) == files
    assert {path: path.stat().st_mtime_ns for path in files} == times


def test_exception_work_dir_of_another_config(line_config: Config) -> None:
    STAGES['score'](begun(line_config))
    with pytest.raises(ValueError, match='begun with another config'):
        begun(line_config, select='background')


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
    run = begun(line_config, scorer=scorer)
    STAGES['score'](run)
    plan = read_plan(run.candidates[1].path('plan.json'))
    assert plan.widths() == {
        'backbone.blocks.0.conv1': 4,
        'backbone.blocks.0.conv2': 4,
        'backbone.blocks.1.conv1': 8,
        'backbone.blocks.1.conv2': 8,
    }


def test_feature_scores_without_images_need_no_masks(line_config: Config) -> None:
    line_config.pop('mask_dataloader')
    STAGES['score'](begun(line_config, scorer={'type': 'mmdefect.L1Norm'}))
    line_config.work_dir += '2'
    with pytest.raises(ValueError, match='no mask_dataloader'):
        STAGES['score'](begun(line_config, scorer={'type': 'mmdefect.SegIoU'}))


@pytest.mark.parametrize('kind', ['parameters', 'macs'])
def test_feature_budget_of_the_whole_classifier_is_met(
    line_config: Config, kind: str
) -> None:
    run = begun(
        line_config, grid={'kind': kind, 'values': [0.4]}, keep={'type': 'global'}
    )
    sweep = run_all(run)
    whole, small = (getattr(one.cost, kind) for one in sweep.outcomes)
    assert 0.2 * whole < small <= 0.4 * whole


def test_exception_budget_that_no_network_meets(line_config: Config) -> None:
    keep = {'type': 'global', 'min_channels': 4}
    grid = {'kind': 'parameters', 'values': [0.001]}
    with pytest.raises(ValueError, match='what the smallest network'):
        STAGES['score'](begun(line_config, grid=grid, keep=keep))


def test_feature_protected_layers_stay_whole(line_config: Config) -> None:
    run = begun(line_config, protect=['backbone.blocks.0'])
    STAGES['score'](run)
    widths = read_plan(run.candidates[1].path('plan.json')).widths()
    assert set(widths) == {'backbone.blocks.1.conv1', 'backbone.blocks.1.conv2'}


def test_exception_protected_layer_that_does_not_exist(line_config: Config) -> None:
    with pytest.raises(ValueError, match=r'names backbone\.conv9'):
        STAGES['score'](begun(line_config, protect=['backbone.conv9']))


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
    widths = read_plan(run.candidates[1].path('plan.json')).widths()
    # Between K and 2 K with K = round((C - 1) / 2).
    assert 4 <= widths['backbone.blocks.0.conv1'] <= 8
    assert 8 <= widths['backbone.blocks.1.conv2'] <= 16
    assert sweep.chosen in (0, 1)


def test_feature_parent_of_a_checkpoint(line_config: Config, tmp_path: Path) -> None:
    first = begun(line_config)
    state = first.parent.state_dict()
    weights = {k: v + 1 for k, v in state.items()}
    save_weights(weights, tmp_path / 'parent.pth')
    line_config.load_from = str(tmp_path / 'parent.pth')
    line_config.work_dir += '2'
    found = begun(line_config).parent.state_dict()
    assert all(torch.equal(found[name], value) for name, value in weights.items())
    weights.pop('head.fc.bias')
    save_weights(weights, tmp_path / 'parent.pth')
    line_config.work_dir += '3'
    with pytest.raises(
        ValueError, match=r'does not fit ImageClassifier.*head\.fc\.bias'
    ):
        _ = begun(line_config).parent


def test_feature_parent_is_measured_as_it_was_trained(
    line_config: Config, tmp_path: Path
) -> None:
    """Its own head, which calls everything the first class here; not a probe."""
    weights = begun(line_config).parent.state_dict()
    weights['head.fc.weight'] = torch.zeros_like(weights['head.fc.weight'])
    weights['head.fc.bias'] = torch.tensor([1.0, -1.0])
    save_weights(weights, tmp_path / 'parent.pth')
    line_config.load_from = str(tmp_path / 'parent.pth')
    line_config.work_dir += '2'
    sweep = run_all(begun(line_config))
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
    line_config.work_dir += '2'
    for noted in (given, {**given, name: value}):
        meta = {'data_preprocessor': noted}
        torch.save({'state_dict': weights, 'meta': meta}, tmp_path / 'parent.pth')
        run = begun(line_config)
        if noted == given:
            assert run.parent is not None
    with pytest.raises(ValueError, match=rf'data_preprocessor\.{name}=.*same one'):
        _ = run.parent


def test_exception_finetuning_without_a_trainer(line_config: Config) -> None:
    with pytest.raises(ValueError, match='no trainer was given'):
        begun(line_config, recovery={'finetune': True})


def test_feature_trainer_gets_a_config_and_gives_the_weights(
    line_config: Config, tmp_path: Path
) -> None:
    seen = []

    def trainer(config: Path, work_dir: Path) -> Path:
        cfg = Config.fromfile(config)
        seen.append((config.parent.name, cfg.model.type, work_dir.name))
        state = state_dict_of(load_weights(cfg.load_from))
        state['head.fc.bias'] = state['head.fc.bias'] + 1  # learnt something
        save_weights(state, work_dir / 'epoch_1.pth')
        return work_dir / 'epoch_1.pth'

    recovery = {'finetune': True, 'distill': {'weight': 1.0, 'temperature': 2.0}}
    line_config.prune.update(recovery=recovery)
    run = PruneRun(line_config, trainer=trainer, progress=silent)
    run_all(run)
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
    line_config: Config,
) -> None:
    run = begun(line_config)
    run_all(run)
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


def test_feature_features_are_what_the_head_takes(line_config: Config) -> None:
    run = begun(line_config)
    images = run.images['val']
    features = extract_features(run.parent, images, batch_size=5)
    said = predict(run.parent, images, batch_size=7)
    logits = features @ run.parent.head.fc.weight.detach().numpy().T
    logits = logits + run.parent.head.fc.bias.detach().numpy()
    assert features.shape == (24, 16 * 64)
    assert [row.pred for row in said.values()] == logits.argmax(axis=1).tolist()


def test_exception_images_of_two_sizes(line_config: Config) -> None:
    batches = list(build_loader(line_config, line_config.val_dataloader))
    batches[0]['inputs'][0] = batches[0]['inputs'][0][:, :16]
    with pytest.raises(ValueError, match='one size'):
        load_images(batches)


def test_feature_recalibration_takes_the_mean_of_the_batches(
    line_config: Config,
) -> None:
    run = begun(line_config)
    model = run.parent
    norm = model.backbone.input_norm
    norm.running_mean.fill_(9)
    images = run.images['train']
    recalibrate(model, images, 48, batch_size=8)
    inputs = (images.images.flip(1).float() - 127) / 60
    expected = inputs.mean(dim=(0, 2, 3))
    torch.testing.assert_close(norm.running_mean, expected, atol=1e-4, rtol=1e-4)
    assert norm.momentum == 0.1
    assert not model.training


def test_feature_changed_data_is_noticed(line_config: Config) -> None:
    run = begun(line_config)
    for stage in ('score', 'extract'):
        STAGES[stage](run)
    path = run.candidates[0].path('features_train.npy')
    np.save(path, np.load(path)[:-1])
    with pytest.raises(ValueError, match='47 rows and there are 48'):
        STAGES['train'](run)


def test_feature_more_test_sets(
    line_config: Config, lines: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / 'elsewhere'
    shutil.copytree(lines / 'val', elsewhere / 'test')
    shutil.copy(lines / 'val.txt', elsewhere / 'test.txt')
    line_config.test_roots = {'elsewhere': str(elsewhere)}
    sweep = run_all(begun(line_config))
    small = sweep.outcomes[1]
    assert small.test['elsewhere'] == small.val
    assert set(small.test) == {'test', 'elsewhere'}


def test_feature_dense_config_is_whole(line_config: Config, tmp_path: Path) -> None:
    candidate = Candidate(name='dense', size=None, folder=tmp_path)
    cfg = candidate_config(line_config, candidate, tmp_path / 'probed.pth')
    assert cfg.model.backbone.type == 'mmdefect.LunaNet'


def test_feature_outcomes_on_disk(line_config: Config) -> None:
    run = begun(line_config)
    sweep = run_all(run)
    assert [read_outcome(one) for one in run.candidates] == sweep.outcomes


def test_feature_sizes_are_added_and_the_decision_changed_later(
    line_config: Config,
) -> None:
    first = run_all(begun(line_config))
    grid = {'values': [0.25, 0.5]}
    decide = {'rule': 'weighted', 'weights': {'parameters': 1.0}}
    later = run_all(begun(line_config, grid=grid, decide=decide))
    assert [one.name for one in later.outcomes] == [
        'dense',
        'fraction-0.25',
        'fraction-0.50',
    ]
    assert later.outcomes[2] == first.outcomes[1]
    assert later.chosen == 1


def test_feature_another_test_set_is_tested(line_config: Config) -> None:
    first = run_all(begun(line_config))
    line_config.test_dataloader.dataset.update(ann_file='val.txt', data_prefix='val')
    second = run_all(begun(line_config))
    assert second.outcomes[1].test['test'] == second.outcomes[1].val
    assert second.outcomes[1].tested_on != first.outcomes[1].tested_on


def test_feature_config_of_a_network_follows_the_test_set(line_config: Config) -> None:
    run_all(begun(line_config))
    line_config.test_dataloader.batch_size = 3
    run = begun(line_config)
    run_all(run)
    written = Config.fromfile(run.candidates[1].path('classifier.py'))
    assert written.test_dataloader.batch_size == 3


def test_feature_a_mistyped_path_leaves_nothing_behind(line_config: Config) -> None:
    right = line_config.mask_dataloader.dataset.data_root
    line_config.mask_dataloader.dataset.data_root = '/nowhere'
    with pytest.raises(FileNotFoundError):
        STAGES['score'](begun(line_config, grid={'values': [0.5]}))
    shutil.rmtree(Path(line_config.work_dir) / 'dense', ignore_errors=True)
    line_config.mask_dataloader.dataset.data_root = right
    STAGES['score'](begun(line_config))


def test_exception_another_parent_in_the_same_file(
    line_config: Config, tmp_path: Path
) -> None:
    parent = begun(line_config).parent
    line_config.load_from = str(tmp_path / 'parent.pth')
    save_weights(parent.state_dict(), tmp_path / 'parent.pth')
    STAGES['score'](begun(line_config))
    torch.nn.init.ones_(parent.head.fc.bias)
    save_weights(parent.state_dict(), tmp_path / 'parent.pth')
    with pytest.raises(ValueError, match='other files of weights'):
        begun(line_config)


def test_exception_parent_without_weights(line_config: Config) -> None:
    with pytest.raises(ValueError, match='LunaNet has pretrained weights'):
        _ = begun(line_config, untrained=False).parent


def test_feature_parent_of_a_seed_is_always_the_same(line_config: Config) -> None:
    line_config.model.backbone = {'type': 'mmdefect.FTLAlexNet'}  # draws when built
    line_config.model.head.in_channels = 256
    first, second = (
        PruneRun(line_config, progress=silent).parent.state_dict() for _ in range(2)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ('changes', 'said'),
    [
        (
            {'scorer': {'type': 'mmdefect.L1Norm'}, 'select': 'contrast'},
            'does not look at masks',
        ),
        (
            {
                'scorer': {'type': 'mmdefect.SegContrast'},
                'keep': {'type': 'global'},
                'grid': {'kind': 'macs'},
            },
            'gives negative scores',
        ),
    ],
)
def test_exception_what_would_fail_after_hours(
    line_config: Config, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        begun(line_config, **changes)


@pytest.mark.parametrize(
    ('entry', 'value', 'said'),
    [
        ('model.head.num_classes', 3, 'num_classes is 3: pruning compares'),
        ('test_roots', {'test': '.'}, 'a set called test'),
        ('load_from', 'https://x.org/a.pth', 'download it first'),
    ],
)
def test_exception_config(
    line_config: Config, entry: str, value: Any, said: str
) -> None:
    line_config.merge_from_dict({entry: value})
    with pytest.raises(ValueError, match=said):
        _ = begun(line_config).parent


def test_exception_photograph_that_names_do_not_tell(line_config: Config) -> None:
    """Before anything is scored, and not when heads are fitted."""
    run = begun(line_config, probe={'folds': 2, 'source': r'(CRACK\d+)'})
    with pytest.raises(ValueError, match='does not have in its name'):
        STAGES['score'](run)
    assert not list(Path(line_config.work_dir).glob('*/plan.json'))


def test_smoke_config_without_a_seed(line_config: Config) -> None:
    line_config.pop('randomness')
    assert begun(line_config).seed == 0


@pytest.mark.parametrize(
    ('entry', 'value'),
    [
        ('custom_hooks', [{'type': 'EMAHook'}]),
        ('default_hooks', {'ema': {'type': 'EMAHook'}}),
        ('auto_scale_lr', {'enable': True, 'base_batch_size': 2}),
        ('train_dataloader.batch_size', 3),
    ],
)
def test_exception_another_training_in_the_same_work_dir(
    line_config: Config, entry: str, value: Any
) -> None:
    STAGES['score'](begun(line_config))
    line_config.default_hooks = {'logger': {'interval': 1}}  # only watches
    begun(line_config)
    line_config.merge_from_dict({entry: value})
    with pytest.raises(ValueError, match='begun with another config'):
        begun(line_config)


def test_exception_other_pretrained_weights_in_the_same_file(
    line_config: Config, tmp_path: Path
) -> None:
    path = tmp_path / 'pretrained.pth'
    save_weights(begun(line_config).parent.backbone.state_dict(), path)
    line_config.model.backbone.init_cfg = {
        'type': 'Pretrained',
        'checkpoint': str(path),
    }
    STAGES['score'](begun(line_config))
    save_weights({'other': torch.ones(1)}, path)
    with pytest.raises(ValueError, match='other files of weights'):
        begun(line_config)


def test_exception_networks_of_nobody_knows_which(line_config: Config) -> None:
    run = begun(line_config)
    STAGES['score'](run)
    (run.work_dir / 'prune.json').unlink()
    with pytest.raises(ValueError, match='begun with another config'):
        begun(line_config)


class TestDenseFrom:
    def test_feature_taken_and_measured_anew(
        self, line_config: Config, tmp_path: Path
    ) -> None:
        first = begun(line_config)
        run_all(first)
        line_config.work_dir = str(tmp_path / 'other')
        second = begun(line_config, scorer={'type': 'mmdefect.RandomScore'})
        take_dense(second.work_dir, first.work_dir)
        dense = second.candidates[0]
        assert dense.has('classifier.pth', 'probe.json')
        assert not dense.has('result.json')
        before = dense.path('classifier.pth').stat().st_mtime_ns
        run_all(second)
        assert dense.has('result.json')
        assert dense.path('classifier.pth').stat().st_mtime_ns == before
        take_dense(second.work_dir, first.work_dir)  # the same command again
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
        self, line_config: Config, tmp_path: Path, entry: str, value: Any
    ) -> None:
        first = begun(line_config)
        run_all(first)
        line_config.merge_from_dict({entry: value})
        line_config.work_dir = str(tmp_path / 'other')
        second = begun(line_config)
        with pytest.raises(ValueError, match='another parent, seed, head or training'):
            take_dense(second.work_dir, first.work_dir)
        assert not (second.work_dir / 'dense').exists()

    def test_exception_none_there(self, line_config: Config, tmp_path: Path) -> None:
        run = begun(line_config)
        with pytest.raises(FileNotFoundError, match='whole network is trained'):
            take_dense(run.work_dir, tmp_path)


def test_exception_missing_test_root(line_config: Config) -> None:
    line_config.test_roots = {'elsewhere': '/nowhere'}
    with pytest.raises(FileNotFoundError, match='test_roots names /nowhere'):
        begun(line_config)


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


def test_feature_killed_before_the_classifier_is_written(line_config: Config) -> None:
    """Weights are there, the config is not; or the other way round."""
    run = begun(line_config)
    run_all(run)
    small = run.candidates[1]
    before = load_weights(small.path('classifier.pth'))
    small.path('classifier.py').unlink()
    STAGES['train'](begun(line_config))
    assert Config.fromfile(small.path('classifier.py')).load_from == str(
        small.path('classifier.pth')
    )
    small.path('classifier.pth').unlink()
    STAGES['train'](begun(line_config))
    again = load_weights(small.path('classifier.pth'))
    assert torch.equal(
        again['state_dict']['head.fc.weight'], before['state_dict']['head.fc.weight']
    )


def test_feature_work_dir_that_was_moved(line_config: Config, tmp_path: Path) -> None:
    run_all(begun(line_config))
    moved = shutil.move(line_config.work_dir, tmp_path / 'moved')
    line_config.work_dir = str(moved)
    STAGES['train'](begun(line_config))
    cfg = Config.fromfile(Path(moved) / 'fraction-0.50/classifier.py')
    assert Path(cfg.load_from).is_file()
    assert Path(cfg.model.backbone.plan).is_file()


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
    groups = begun(line_config).groups
    assert all(
        'conv3' in name or 'downsample' in name or name == 'backbone.conv1'
        for group in groups
        for name in group.filters
    )


def test_feature_protect_names_whole_modules() -> None:
    assert is_within('backbone.features.1', 'backbone.features.1')
    assert is_within('backbone.layer1.0.conv1', 'backbone.layer1')
    assert not is_within('backbone.features.10', 'backbone.features.1')


def test_feature_every_stage_says_what_it_does(line_config: Config) -> None:
    said: list[str] = []
    line_config.prune.update(grid={'values': [0.25, 0.5]})
    run_all(PruneRun(line_config, progress=said.append))
    stages = [line for line in said if line.startswith('stage')]
    assert stages[0] == (
        'stage 1 of 4, score: filters are scored, networks cut; 3 of 3 networks to go'
    )
    assert said[0] == stages[0]  # from the start
    begun, done = stages[::2], stages[1::2]
    assert [line.split()[4].strip(':') for line in begun] == list(STAGES)
    assert all('done in' in line for line in done)
    assert len(done) == 4
