"""Competition of steps and suppression across classes, in mmdet's predictions."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict

from mmdefect.deploy.postprocess import finish_boxes
from mmdefect.export.graphs import exportable
from tests.models.detection.conftest import make_head

TEST_CFG = {
    'score_thr': 0.05,
    'nms_pre': 100,
    'min_bbox_size': 0,
    'max_per_img': 50,
    'nms': {'type': 'nms', 'iou_threshold': 0.6},
}
META = {'img_shape': (96, 96), 'scale_factor': (1.0, 1.0)}
COMPETITION = {'competition': {'power': 1.0}}
ACROSS = {'suppress_across': {'iou': 0.8}}


def head_of(kind='mmdefect.IncrementalGFLHead', **options):
    more = {} if kind.startswith('mmdet.') else {'step_sizes': (2, 1, 1)}
    if more:
        more['num_old_classes'] = 3
    test_cfg = ConfigDict({**TEST_CFG, **options})
    return make_head(kind, num_classes=4, test_cfg=test_cfg, **more)


def maps_of(places):
    """Scores at single priors of the finest level, boxes the same everywhere.

    Args:
        places: (row, column) -> the four scores there.
    """
    sizes = (12, 6, 3)
    classes = [torch.full((1, 4, size, size), -9.0) for size in sizes]
    boxes = [torch.zeros(1, 68, size, size) for size in sizes]  # eight strides a side
    for (row, column), scores in places.items():
        classes[0][0, :, row, column] = torch.tensor(scores).logit()
    return classes, boxes


def predicted(head, places):
    (found,) = head.predict_by_feat(*maps_of(places), batch_img_metas=[META])
    rows = zip(found.labels.tolist(), found.scores.tolist(), strict=True)
    return sorted((label, round(score, 4)) for label, score in rows)


ONE = {(5, 5): (0.5, 0.2, 0.6, 0.8)}


def test_feature_classes_of_later_steps_yield():
    """0.6 (1 - 0.5), and 0.8 (1 - 0.5)(1 - 0.6); the first step keeps its scores."""
    assert predicted(head_of(**COMPETITION), ONE) == [
        (0, 0.5), (1, 0.2), (2, 0.3), (3, 0.16)
    ]  # fmt: skip


def test_feature_power_of_the_competition():
    found = predicted(head_of(competition={'power': 2.0}), ONE)
    assert found == [(0, 0.5), (1, 0.2), (2, 0.15)]  # 0.8 / 4 * 0.16 is below 0.05


@pytest.mark.parametrize('options', [{}, {'competition': None}])
def test_feature_off_it_is_mmdets(options):
    """To the last bit."""
    ours, theirs = head_of(**options), head_of('mmdet.GFLHead')
    generator = torch.Generator().manual_seed(0)
    maps = [[torch.randn(m.shape, generator=generator) for m in p] for p in maps_of({})]
    found = [
        head.predict_by_feat(*copy.deepcopy(maps), batch_img_metas=[META])[0]
        for head in (ours, theirs)
    ]
    assert len(found[0]) > 10
    for name in ('bboxes', 'scores', 'labels'):
        assert torch.equal(found[0][name], found[1][name])


def test_feature_mmdets_own_head_ignores_the_options():
    options = {**COMPETITION, **ACROSS}
    found = predicted(head_of('mmdet.GFLHead', **options), ONE)
    assert found == [(0, 0.5), (1, 0.2), (2, 0.6), (3, 0.8)]


def test_feature_contradicting_classes_at_one_place():
    """The best of those that overlap by more than 0.8; further away two may stay.

    Boxes are 128 px wide and clipped to the image of 96: five columns of 8 px apart
    they overlap by two thirds.
    """
    places = {**ONE, (5, 0): (0.0, 0.3, 0.0, 0.0)}
    assert predicted(head_of(**ACROSS), places) == [(1, 0.3), (3, 0.8)]
    found = predicted(head_of(), places)  # 0.2 lies below 0.3 of its own class
    assert found == [(0, 0.5), (1, 0.3), (2, 0.6), (3, 0.8)]


def test_feature_scores_are_as_they_are_before_the_suppression():
    """Competition first: what has yielded suppresses nothing."""
    assert predicted(head_of(**COMPETITION, **ACROSS), ONE) == [(0, 0.5)]


@pytest.mark.parametrize('options', [COMPETITION, ACROSS, {**COMPETITION, **ACROSS}])
def test_feature_an_exported_package_says_the_same(options):
    """The graph holds the competition, its settings the suppression."""
    head = head_of(**options)
    generator = torch.Generator().manual_seed(1)
    maps = [
        [2 * torch.randn(m.shape, generator=generator) - 1 for m in part]
        for part in maps_of({})
    ]
    (expected,) = head.predict_by_feat(*maps, batch_img_metas=[META])
    head.forward = lambda features: maps
    model = torch.nn.Module()
    model.bbox_head = head
    model.extract_feat = lambda images: images
    network = exportable(model, 'boxes')
    raw = dict(zip(network.outputs, network.module(torch.zeros(1)), strict=True))
    found = finish_boxes(
        [raw[f'scores_{k}'][0].numpy() for k in range(3)],
        [raw[f'boxes_{k}'][0].numpy() for k in range(3)],
        size=(96, 96),
        scale=(1.0, 1.0),
        settings=network.postprocess,
    )
    assert len(found.labels) > 5
    assert found.labels.tolist() == expected.labels.tolist()
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)
    np.testing.assert_allclose(found.boxes, expected.bboxes, atol=1e-4)
    assert network.postprocess.get('suppress_across') == (
        0.8 if 'suppress_across' in options else None
    )


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'competition': True}, r'test_cfg\.competition=True: expected dict\(power=1'),
        ({'competition': {'gamma': 2}}, r'expected dict\(power=1\.0\), or None'),
        ({'competition': {'power': -1}}, r'competition\.power=-1: expected at least 0'),
        ({'suppress_across': {'iou': 1.2}}, r'suppress_across\.iou=1\.2: expected'),
        ({'suppress_across': 0.8}, r'suppress_across=0\.8: expected dict\(iou=0\.8\)'),
    ],
)
def test_exception_option(options, message):
    with pytest.raises(ValueError, match=message):
        head_of(**options)
