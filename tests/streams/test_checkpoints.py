"""What a checkpoint has to hold to stand for a step, and what it says of its step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mmdefect.streams.checkpoints import check_keys, step_of

HEAD = {'head.w': torch.zeros(2, 3)}


def test_feature_fits() -> None:
    check_keys(HEAD, {'head.w': torch.ones(2, 3)}, Path('a.pth'), 0)


@pytest.mark.parametrize('prefix', [None, 'ori_model.', 'teacher.'])
def test_exception_keys(prefix: str | None) -> None:
    """A teacher inside has a way out."""
    found, expected = HEAD, {'head.w': torch.zeros(4, 3)}
    message = r'such as head\.w; use the checkpoint of that step$'
    if prefix:
        found = HEAD | {f'{prefix}{key}': value for key, value in HEAD.items()}
        expected = HEAD
        message = (
            rf'such as {prefix}head\.w; it holds a teacher beside the student: take '
            r'the student out with tools/model_converters/publish_model\.py erd\.pth '
            r'student\.pth, and use what that writes'
        )
    with pytest.raises(ValueError, match=message):
        check_keys(found, expected, Path('erd.pth'), 1)


def saved(folder: Path, meta: Any) -> Path:
    torch.save({'state_dict': {'w': torch.ones(1)}, 'meta': meta}, folder / 'x.pth')
    return folder / 'x.pth'


def test_feature_step_of(tmp_path: Path) -> None:
    assert step_of(saved(tmp_path, {'stream': {'step': 1}}), steps=2) == 1


@pytest.mark.parametrize(
    ('meta', 'message'),
    [
        *(
            (meta, r'x\.pth: expected a checkpoint that names its step; say it with')
            for meta in (None, {}, {'stream': [1]}, {'stream': {'step': '1'}})
        ),
        ({'stream': {'step': -1}}, r'of a step from 0 to 1, it is of step -1; use'),
        ({'stream': {'step': 2}}, r'of a step from 0 to 1, it is of step 2; use the'),
    ],
)
def test_exception_step_of(meta: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        step_of(saved(tmp_path, meta), steps=2)
