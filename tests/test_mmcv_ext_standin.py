"""Tests of the stand-in for mmcv's compiled operators, through mmcv.ops."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from mmdefect import mmcv_ext_standin

# After mmdefect, without which mmcv may find no extension.
mmcv_ops = import_module('mmcv.ops')
batched_nms, nms, soft_nms = mmcv_ops.batched_nms, mmcv_ops.nms, mmcv_ops.soft_nms


def _ops_of_mmcv() -> list[str]:
    """Return the name of every operator that mmcv loads from its extension."""
    names: set[str] = set()
    for source in Path(mmcv_ops.__file__).parent.glob('*.py'):
        for call in re.findall(
            r"load_ext\(\s*'_ext',\s*\[(.*?)\]",
            source.read_text(encoding='utf-8'),
            re.S,
        ):
            names.update(re.findall(r"'(\w+)'", call))
    return sorted(names - {'nms'})


MISSING_OPS = _ops_of_mmcv()


@pytest.fixture(autouse=True)
def _standin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where mmcv has its compiled operators, test the stand-in all the same."""
    module = import_module('mmcv.ops.nms')
    monkeypatch.setattr(module, 'ext_module', mmcv_ext_standin)


def _reference_nms(
    boxes: np.ndarray, scores: np.ndarray, threshold: float, offset: int
) -> list[int]:
    """Greedy NMS, one pair at a time; among equal scores the lower index first."""
    order = sorted(range(len(boxes)), key=lambda i: (-scores[i], i))
    kept: list[int] = []
    for i in order:
        if all(_iou(boxes[i], boxes[j], offset) <= threshold for j in kept):
            kept.append(i)
    return kept


def _iou(a: np.ndarray, b: np.ndarray, offset: int) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + offset)
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + offset)
    area_a = (a[2] - a[0] + offset) * (a[3] - a[1] + offset)
    area_b = (b[2] - b[0] + offset) * (b[3] - b[1] + offset)
    return width * height / (area_a + area_b - width * height)


def _random_boxes(seed: int, count: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Boxes on whole pixels, exact in float16, and scores that often tie."""
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 40, (count, 2))
    size = rng.integers(1, 30, (count, 2))
    boxes = np.concatenate((corner, corner + size), axis=1).astype(np.float32)
    scores = rng.integers(1, 9, count).astype(np.float32) / 8
    return boxes, scores


@pytest.mark.parametrize('seed', range(5))
@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('dtype', [torch.float16, torch.float32, torch.float64])
def test_feature_equals_brute_force(seed: int, offset: int, dtype: torch.dtype) -> None:
    boxes, scores = _random_boxes(seed)
    # 0.43 is no ratio of two small areas, so no pair sits exactly on the threshold.
    expected = _reference_nms(boxes, scores, 0.43, offset)
    dets, kept = nms(
        torch.tensor(boxes, dtype=dtype),
        torch.tensor(scores, dtype=dtype),
        0.43,
        offset,
    )
    assert kept.tolist() == expected
    assert len(expected) < len(boxes)
    assert dets.dtype == dtype
    np.testing.assert_array_equal(dets[:, :4].numpy(), boxes[expected])
    np.testing.assert_array_equal(dets[:, 4].numpy(), scores[expected])


def test_feature_offset_changes_the_result() -> None:
    # One pixel gap: IoU 0 without the offset, 0 < IoU with boxes one pixel larger.
    boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 1.0, 4.0, 4.0]])
    scores = torch.tensor([0.9, 0.8])
    # IoU is 12/16 = 0.75 with offset 0 and 20/25 = 0.8 with offset 1.
    assert nms(boxes, scores, 0.77, 0)[1].tolist() == [0, 1]
    assert nms(boxes, scores, 0.77, 1)[1].tolist() == [0]


def test_feature_threshold_is_exclusive() -> None:
    boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 2.0]])
    assert nms(boxes, torch.tensor([0.9, 0.8]), 0.5)[1].tolist() == [0, 1]


def test_feature_ties_keep_the_lower_index() -> None:
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0]]).repeat(40, 1)
    boxes[20:] += 50
    assert nms(boxes, torch.full((40,), 0.5), 0.5)[1].tolist() == [0, 20]


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('dtype', [torch.float16, torch.float32])
def test_shape_empty_input(offset: int, dtype: torch.dtype) -> None:
    dets, kept = nms(
        torch.empty((0, 4), dtype=dtype), torch.empty((0,), dtype=dtype), 0.5, offset
    )
    assert dets.shape == (0, 5)
    assert dets.dtype == dtype
    assert kept.shape == (0,)
    assert kept.dtype == torch.int64


def test_feature_mixed_dtypes() -> None:
    boxes, scores = _random_boxes(0)
    kept = mmcv_ext_standin.nms(
        torch.tensor(boxes), torch.tensor(scores, dtype=torch.float16), 0.43, 0
    )
    assert kept.tolist() == _reference_nms(boxes, scores, 0.43, 0)


def test_feature_max_num_and_score_threshold() -> None:
    boxes, scores = _random_boxes(7)
    above = np.flatnonzero(scores > 0.5)
    expected = above[_reference_nms(boxes[above], scores[above], 0.43, 0)][:3]
    _, kept = nms(boxes, scores, 0.43, 0, score_threshold=0.5, max_num=3)
    assert kept.tolist() == expected.tolist()
    assert len(kept) == 3


@pytest.mark.parametrize('split_thr', [10000, 10])
@pytest.mark.parametrize('offset', [0, 1])
def test_feature_class_wise(split_thr: int, offset: int) -> None:
    """Boxes of different classes never suppress each other, in one go or split."""
    boxes, _ = _random_boxes(11)
    # Distinct scores: mmcv's split path orders equal scores by no stated rule.
    scores = np.random.default_rng(11).permutation(len(boxes)).astype(np.float32) + 1
    labels = np.arange(len(boxes)) % 3
    expected: list[int] = []
    for label in range(3):
        own = np.flatnonzero(labels == label)
        kept = _reference_nms(boxes[own], scores[own], 0.43, offset)
        expected.extend(own[kept].tolist())
    expected.sort(key=lambda i: -scores[i])
    dets, kept = batched_nms(
        torch.tensor(boxes),
        torch.tensor(scores),
        torch.tensor(labels),
        {
            'type': 'nms',
            'iou_threshold': 0.43,
            'offset': offset,
            'split_thr': split_thr,
        },
    )
    assert kept.tolist() == expected
    np.testing.assert_array_equal(dets[:, 4].numpy(), scores[expected])


def test_exception_other_ops() -> None:
    for name in MISSING_OPS:
        with pytest.raises(RuntimeError) as error:
            getattr(mmcv_ext_standin, name)(torch.zeros(1), anything=2)
        assert str(error.value) == (
            f"mmcv's operator '{name}' is not compiled in this environment: build it "
            'with `MMCV_WITH_OPS=1 pip install --no-build-isolation --no-cache-dir '
            '--force-reinstall --no-deps --no-binary onedl-mmcv onedl-mmcv==2.3.6`'
        )
    assert {'softnms', 'roi_align_forward', 'deform_conv_forward'} <= set(MISSING_OPS)
    assert len(MISSING_OPS) > 100


def test_exception_op_called_through_mmcv() -> None:
    with pytest.raises(RuntimeError, match="operator 'softnms' is not compiled"):
        soft_nms(torch.zeros((1, 4)), torch.ones(1))


def test_exception_dunder_attribute() -> None:
    """Python's own probes of a module must see an ordinary one."""
    assert not hasattr(mmcv_ext_standin, '__wrapped__')
