"""What a checkpoint has to hold to stand for a step."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmdefect.streams.checkpoints import check_keys

HEAD = {'head.w': torch.zeros(2, 3)}


def test_feature_fits() -> None:
    check_keys(HEAD, {'head.w': torch.ones(2, 3)}, Path('a.pth'), 0)


def test_exception_other_shape() -> None:
    message = r'such as head\.w; use the checkpoint of that step$'
    with pytest.raises(ValueError, match=message):
        check_keys(HEAD, {'head.w': torch.zeros(4, 3)}, Path('a.pth'), 1)


@pytest.mark.parametrize('prefix', ['ori_model.', 'teacher.'])
def test_exception_a_teacher_inside_has_a_way_out(prefix: str) -> None:
    found = HEAD | {f'{prefix}{key}': value for key, value in HEAD.items()}
    message = (
        rf'such as {prefix}head\.w; it holds a teacher beside the student: take the '
        r'student out with tools/model_converters/publish_model\.py erd\.pth '
        r'student\.pth, and use what that writes'
    )
    with pytest.raises(ValueError, match=message):
        check_keys(found, HEAD, Path('erd.pth'), 0)
