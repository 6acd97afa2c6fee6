"""The commands that users of the original release know, on a toy COCO of 80 classes.

Slow, since it trains a teacher and a student; test_train_test.py has the shell scripts.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mmdefect.apis import load_config
from mmdefect.streams.stream import resolve_step_config
from mmdefect.utils.checkpoint import load_weights
from tests.conftest import REPO
from tests.helpers.tool_runs import flags, run_here, scores_in
from tests.helpers.toy_coco import CLASSES, SIZE, draw_coco

FOLDER = REPO / 'configs/gfl_increment'
FIRST = FOLDER / 'gfl_r50_fpn_1x_coco_first_40_cats.py'
INCREMENT = FOLDER / 'gfl_r50_fpn_1x_coco_first_40_incre_last_40_cats.py'
OLD, NEW = CLASSES[:40], CLASSES[40:]
TINY = {
    'model.backbone.init_cfg': None,  # else torchvision's weights, from the network
    'model.backbone.depth': 18,
    'model.backbone.base_channels': 8,
    'model.neck.in_channels': '[8,16,32,64]',
    'model.neck.out_channels': 32,
    'model.bbox_head.in_channels': 32,
    'model.bbox_head.feat_channels': 32,
    'model.bbox_head.stacked_convs': 1,
    'model.test_cfg.score_thr': 0.0,
}


@pytest.fixture(scope='module')
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_coco(tmp_path_factory.mktemp('coco') / 'coco')


def small(coco: Path, **more: object) -> list[str]:
    """Everything that shrinks a run, as ``--cfg-options``."""
    options = {
        **TINY,
        'train_dataloader.dataset.data_root': f'{coco}/',
        'train_dataloader.dataset.pipeline.2.scale': f'({SIZE},{SIZE})',
        'train_dataloader.batch_size': 5,
        'train_dataloader.num_workers': 0,
        'test_dataloader.dataset.data_root': f'{coco}/',
        'test_dataloader.dataset.pipeline.1.scale': f'({SIZE},{SIZE})',
        'test_dataloader.batch_size': 5,
        'test_dataloader.num_workers': 0,
        'test_evaluator.ann_file': f'{coco}/annotations/instances_val2017.json',
        'train_cfg.max_epochs': 1,
        'param_scheduler.0.start_factor': 1.0,
        'default_hooks.logger.interval': 1,
        'val_cfg': None,
        'val_dataloader': None,
        'val_evaluator': None,
        **more,
    }
    return flags(options)


@pytest.fixture(scope='module')
def teacher(coco: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    work_dir = tmp_path_factory.mktemp('first')
    run_here('tools/train.py', FIRST, '--work-dir', work_dir, *small(coco))
    return work_dir / 'epoch_1.pth'


@pytest.fixture(scope='module')
def student(
    coco: Path, teacher: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """The checkpoint of the increment and what its training printed."""
    work_dir = tmp_path_factory.mktemp('increment')
    more = {
        'model.teacher.checkpoint': teacher,
        'randomness.seed': 1,
        # So that one iteration takes the student away from its teacher.
        'optim_wrapper.optimizer.lr': 0.1,
    }
    args = (INCREMENT, '--work-dir', work_dir, *small(coco, **more))
    return work_dir / 'epoch_1.pth', run_here('tools/train.py', *args)


@pytest.fixture(scope='module')
def tested(
    coco: Path, student: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, float], str]:
    """Scores and output of a test; the teacher's file is not needed."""
    work_dir = tmp_path_factory.mktemp('tested')
    args = (INCREMENT, student[0], '--work-dir', work_dir, *small(coco))
    printed = run_here('tools/test.py', *args)
    return scores_in(work_dir), printed


@pytest.mark.slow
class TestCommands:
    def test_feature_first_40(self, coco: Path, teacher: Path, tmp_path: Path) -> None:
        """Only the first 40 classes are trained and scored."""
        loaded = load_weights(teacher)
        assert len(loaded['state_dict']['bbox_head.gfl_cls.bias']) == 40
        assert tuple(loaded['meta']['dataset_meta']['classes']) == OLD
        args = ('--work-dir', tmp_path, *small(coco))
        run_here('tools/test.py', FIRST, teacher, *args)
        scores = scores_in(tmp_path)
        assert {f'coco/AP50/{name}' for name in OLD} <= scores.keys()
        assert f'coco/AP50/{NEW[0]}' not in scores
        assert 'coco/AP50_all' in scores
        assert not {'coco/AP50_old', 'coco/AP50_new'} & scores.keys()

    def test_feature_teacher(self, teacher: Path, student: tuple[Path, str]) -> None:
        """It starts the student, is compared with it, and is not saved with it."""
        path, printed = student
        assert 'Started from the teacher' in printed
        (log,) = path.parent.glob('2*/vis_data/scalars.json')
        rows = [
            json.loads(line) for line in log.read_text(encoding='utf-8').splitlines()
        ]
        for name in ('cls', 'box', 'feat'):
            values = [row[f'loss_dist_{name}'] for row in rows if 'loss' in row]
            assert values[0] == pytest.approx(0, abs=1e-6), name  # still the teacher
            assert values[-1] > 1e-9, name
        old = load_weights(teacher)['state_dict']
        new = load_weights(path)['state_dict']
        assert old.keys() == new.keys()
        # Another seed would have drawn other weights for the frozen stages.
        assert torch.equal(new['backbone.conv1.weight'], old['backbone.conv1.weight'])
        assert not torch.equal(
            new['bbox_head.gfl_reg.weight'], old['bbox_head.gfl_reg.weight']
        )

    def test_feature_groups(self, tested: tuple[dict[str, float], str]) -> None:
        scores, printed = tested
        for group, names in (('old', OLD), ('new', NEW), ('all', CLASSES)):
            values = [scores[f'coco/AP50/{name}'] for name in names]
            mean = pytest.approx(sum(values) / len(values))
            assert scores[f'coco/AP50_{group}'] == mean
            assert f'coco/AP50_{group}: ' in printed
        assert not any(name.endswith('_precision') for name in scores)

    def test_feature_classwise(
        self,
        coco: Path,
        student: tuple[Path, str],
        tested: tuple[dict[str, float], str],
        tmp_path: Path,
    ) -> None:
        """mmdet's table, and its keys with the AP of a class; the rest stays."""
        more = {'test_evaluator.classwise': True}
        args = ('--work-dir', tmp_path, *small(coco, **more))
        printed = run_here('tools/test.py', INCREMENT, student[0], *args)
        scores = scores_in(tmp_path)
        for name in CLASSES:
            assert scores.pop(f'coco/{name}_precision') == scores[f'coco/AP/{name}']
        assert '| category' in printed
        assert all(f'| {name} ' in printed for name in CLASSES)
        timeless = [key for key in scores if key.startswith('coco/')]
        assert [tested[0][key] for key in timeless] == [scores[key] for key in timeless]
        assert len(timeless) == sum(key.startswith('coco/') for key in tested[0])


def test_feature_same_as_the_stream() -> None:
    """Both are the method of the stream 40+40, and the teacher is its step 0."""
    stream = load_config(REPO / 'configs/sd_idd/sd-idd_r50_fpn_1x_coco_40+40.py')
    for step, path in enumerate((FIRST, INCREMENT)):
        plain, resolved = load_config(path), resolve_step_config(stream, step)
        teacher = plain.model.pop('teacher', None)
        assert plain.model == resolved.model
        for key in ('optim_wrapper', 'param_scheduler', 'train_cfg'):
            assert plain[key] == resolved[key], key
        for split in ('train', 'test'):
            ours = plain[f'{split}_dataloader'].dataset
            theirs = resolved[f'{split}_dataloader'].dataset
            keep = theirs.pop('keep_classes', None)
            assert ours.pop('keep_classes', ours.seen_classes) == (
                keep or ours.seen_classes
            )
            assert tuple(theirs.pop('metainfo').classes) == CLASSES
            assert ours == theirs, split
        assert plain.test_evaluator.get('old_classes', []) == (
            resolved.test_evaluator.old_classes
        )
    assert tuple(teacher.classes) == OLD
    assert Path(teacher.checkpoint).parent.name == FIRST.stem
    assert Path(teacher.checkpoint).stem == 'epoch_12'


def test_exception_method_has_no_effect() -> None:
    """Without a stream nobody merges `method`: overriding it is refused."""
    options = {'method.model.distill.features': False}
    with pytest.raises(TypeError, match='method'):
        load_config(INCREMENT, cfg_options=options)
    cfg = load_config(INCREMENT, cfg_options={'model.distill.features': False})
    assert cfg.model.distill.features is False
