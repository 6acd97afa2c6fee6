"""Suppression in NumPy keeps what mmcv's and mmdet's heads keep."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmcv.ops import batched_nms as theirs
from mmdet.models.dense_heads import GFLHead
from mmengine.config import ConfigDict

from mmdefect.deploy.postprocess import batched_nms, finish_boxes, finish_map
from mmdefect.export.graphs import BoxGraph, exportable


def crowded(number: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes of which many overlap, scores and labels."""
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 60, (number, 2)).astype(np.float32)
    sides = random.uniform(1, 30, (number, 2)).astype(np.float32)
    scores = random.uniform(0.05, 1, number).astype(np.float32)
    labels = random.integers(0, 3, number)
    return np.concatenate([corners, corners + sides], 1), scores, labels


@pytest.mark.parametrize('agnostic', [False, True])
@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('number', [1, 40, 700])
def test_feature_equal_to_mmcv(number: int, offset: int, agnostic: bool) -> None:
    boxes, scores, labels = crowded(number)
    settings = {'type': 'nms', 'iou_threshold': 0.5, 'offset': offset}
    tensors = (torch.from_numpy(values) for values in (boxes, scores, labels))
    _, expected = theirs(*tensors, settings, class_agnostic=agnostic)
    found = batched_nms(
        boxes, scores, labels,
        iou_threshold=0.5, offset=offset, class_agnostic=agnostic,
    )  # fmt: skip
    assert found.tolist() == expected.tolist()
    first = batched_nms(
        boxes, scores, labels,
        iou_threshold=0.5, offset=offset, class_agnostic=agnostic, most=7,
    )  # fmt: skip
    assert first.tolist() == expected[:7].tolist()


def test_feature_empty_and_degenerate() -> None:
    none = np.zeros((0, 4), np.float32)
    empty = batched_nms(none, none[:, 0], none[:, 0], iou_threshold=0.5)
    assert empty.shape == (0,)
    points = np.zeros((3, 4), np.float32)
    scores = np.array([0.1, 0.3, 0.2], np.float32)
    kept = batched_nms(points, scores, np.zeros(3, int), iou_threshold=0.5)
    assert kept.tolist() == [1, 2, 0]  # 0 / 0 is above nothing


class Network(torch.nn.Module):
    """A GFL head whose maps are drawn instead of computed."""

    def __init__(self, **settings) -> None:
        super().__init__()
        test_cfg = {
            'score_thr': 0.3,
            'nms_pre': 50,
            'min_bbox_size': 0,
            'max_per_img': 20,
            'nms': {'type': 'nms', 'iou_threshold': 0.6},
        }
        self.bbox_head = GFLHead(
            num_classes=3,
            in_channels=4,
            feat_channels=4,
            stacked_convs=1,
            norm_cfg=None,
            anchor_generator={
                'type': 'AnchorGenerator',
                'ratios': [1.0],
                'octave_base_scale': 8,
                'scales_per_octave': 1,
                'strides': [8, 16],
            },
            loss_cls={'type': 'QualityFocalLoss', 'use_sigmoid': True},
            loss_bbox={'type': 'GIoULoss'},
            test_cfg=ConfigDict({**test_cfg, **settings}),
        )
        torch.manual_seed(0)
        sizes = [(9, 12), (5, 6)]
        logits = [torch.randn(2, 3, *size) * 2 for size in sizes]
        self.maps = logits, [torch.randn(2, 68, *size) * 2 for size in sizes]
        self.bbox_head.forward = lambda features: self.maps

    def extract_feat(self, images: torch.Tensor) -> torch.Tensor:
        return images


@pytest.mark.parametrize(
    'settings',
    [{}, {'min_bbox_size': 12}, {'nms_pre': 5}, {'max_per_img': 3}, {'score_thr': 2.0}],
)
def test_feature_equal_to_mmdet(settings: dict) -> None:
    """Decoded in the graph, the rest in NumPy; boxes in pixels of the original."""
    model = Network(**settings)
    network = exportable(model, 'boxes')
    assert isinstance(network.module, BoxGraph)
    outputs = network.module(torch.zeros(2, 3, 72, 96))
    raw = dict(zip(network.outputs, outputs, strict=True))
    scale, shape = (0.75, 0.8), (70, 90)
    metas = [{'img_shape': shape, 'scale_factor': scale}] * 2
    expected = model.bbox_head.predict_by_feat(
        *model.maps, batch_img_metas=metas, rescale=True
    )
    for number, instances in enumerate(expected):
        found = finish_boxes(
            [raw[f'scores_{k}'][number].numpy() for k in range(2)],
            [raw[f'boxes_{k}'][number].numpy() for k in range(2)],
            size=shape[::-1],
            scale=scale,
            settings=network.postprocess,
        )
        assert found.labels.tolist() == instances.labels.tolist()
        np.testing.assert_allclose(found.boxes, instances.bboxes, atol=1e-4)
        np.testing.assert_allclose(found.scores, instances.scores, atol=1e-6)
        assert found.labels.dtype == np.int64
        assert found.boxes.dtype == found.scores.dtype == np.float32
        assert len(found.boxes) > 2 or settings.get('score_thr') == 2.0


def test_shape_maps() -> None:
    small = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert finish_map(small, (3, 2)) is small
    large = finish_map(small, (9, 4))
    assert large.shape == (4, 9)
    assert (large.min(), large.max()) == (0, 5)


def test_exception_heads() -> None:
    model = Network(nms={'type': 'soft_nms'})
    with pytest.raises(
        ValueError, match=r'^model\.test_cfg\.nms=.*expected one of type'
    ):
        exportable(model, 'boxes')
    model.bbox_head = torch.nn.Identity()
    with pytest.raises(ValueError, match="bbox_head='Identity': expected a GFL head"):
        exportable(model, 'boxes')
    model.head = torch.nn.Identity()
    with pytest.raises(ValueError, match="head='Identity': expected one of a single"):
        exportable(model, 'labels')
    with pytest.raises(ValueError, match=r"model\.type='Network': expected IUF"):
        exportable(model, 'maps')
