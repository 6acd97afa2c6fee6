"""A stream of a head that is not GFL's. Slow: two streams are trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from mmdefect.functional.class_rows import ATSS_CLASS_KEYS
from mmdefect.utils.checkpoint import load_weights
from tests.conftest import REPO
from tests.helpers.configs import scope
from tests.helpers.synthetic_stream import steps_of
from tests.streams.conftest import draw_nothing, stream_runner

pytestmark = pytest.mark.slow
METHODS = ('finetune', 'lwf')
each = pytest.mark.parametrize('method', METHODS)


@pytest.fixture(scope='module')
def finished(tmp_path_factory, toy_neu_det) -> dict[str, Path]:
    """Work dirs of both streams, of one epoch a step; they share step 0."""
    found: dict[str, Path] = {}
    with pytest.MonkeyPatch.context() as patch:
        draw_nothing(patch)
        for method in METHODS:
            work_dir = tmp_path_factory.mktemp(method) / 'work'
            config = REPO / f'configs/atss/{method}_atss-r18_fpn_toy_neu-det_3+3.py'
            more = {'stream.start_from': str(found['finetune'])} if found else {}
            stream_runner(toy_neu_det, work_dir, config, **more).train()
            found[method] = work_dir
    return found


def weights(work_dir: Path, step: int) -> dict[str, torch.Tensor]:
    return load_weights(work_dir / f'step_{step}/epoch_1.pth')['state_dict']


@each
def test_feature_steps_are_trained_and_scored(finished, method) -> None:
    rows = steps_of(finished[method])
    assert [len(row['old']) for row in rows] == [0, 3]
    assert [len(row['new']) for row in rows] == [3, 3]
    (path,) = (finished[method] / 'step_1').glob('*.py')
    model = Config.fromfile(path).model
    assert model.bbox_head.num_classes == 6
    if method == 'lwf':
        assert model.type == 'mmdefect.IncrementalATSS'
        assert model.bbox_head.num_old_classes == 3
        assert model.teacher.checkpoint.endswith('epoch_1.pth')
    else:
        assert model.type == 'ATSS'
        assert model.bbox_head.type == 'mmdefect.ATSSHead'


@each
def test_feature_class_rows_follow_by_name(finished, method) -> None:
    """What is trained on is the model of step 0: weights moved, and did not restart."""
    before, after = (weights(finished[method], step) for step in (0, 1))
    assert before.keys() == after.keys()
    for key in ATSS_CLASS_KEYS:
        assert [len(state[key]) for state in (before, after)] == [3, 6]
    key = ATSS_CLASS_KEYS[0]
    theirs, ours = before[key].flatten(1), after[key].flatten(1)
    for rows, known in ((ours[:3], True), (ours[3:], False)):
        alike = torch.cosine_similarity(theirs, rows, dim=1)
        assert ((alike > 0.5) == known).all()
    assert not torch.equal(theirs, ours[:3])


@each
def test_feature_a_student_loads_into_mmdets_atss(finished, method) -> None:
    (path,) = (finished[method] / 'step_1').glob('*.py')
    model = Config.fromfile(path).model
    model.type, model.bbox_head.type = 'mmdet.ATSS', 'mmdet.ATSSHead'
    for part, key in (
        (model, 'distill'),
        (model, 'teacher'),
        (model.bbox_head, 'num_old_classes'),
        (model.bbox_head, 'step_sizes'),
    ):
        part.pop(key, None)
    with scope('mmdet'):
        built = MODELS.build(model)
    built.load_state_dict(weights(finished[method], 1), strict=True)


def test_feature_the_teacher_holds_the_old_rows(finished) -> None:
    """Without it, images of the new kinds call all old ones background."""
    before = weights(finished['finetune'], 0)
    for key in ATSS_CLASS_KEYS:
        moved = {
            method: (weights(finished[method], 1)[key][:3] - before[key]).abs().mean()
            for method in METHODS
        }
        assert moved['lwf'] < moved['finetune']
