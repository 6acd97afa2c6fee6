"""Labelled images in the layouts that are trained on."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdefect.line.exam import Truth
from mmdefect.line.exam_sources import read_labelled
from tests.helpers.exam_toys import box_exam, colour, label_exam, map_exam


def test_feature_boxes(tmp_path: Path) -> None:
    task, classes, found = read_labelled(box_exam(tmp_path, dents=1, cracks=0, good=1))
    assert (task, classes) == ('boxes', ('dent', 'crack'))
    assert [path.name for path, _ in found] == ['dent01.png', 'good02.png']
    assert found[0][1].truths == (Truth(kind='dent', box=(2, 4, 10, 12)),)


def test_feature_maps(tmp_path: Path) -> None:
    task, classes, found = read_labelled(folder=map_exam(tmp_path, good=1, cracks=1))
    assert (task, classes) == ('maps', ('bottle',))
    assert [(image.file, image.product) for _, image in found] == [
        ('bottle/test/crack/0.png', 'bottle'),
        ('bottle/test/good/0.png', 'bottle'),
    ]
    assert [image.truths for _, image in found] == [(Truth(kind='crack'),), ()]


def test_feature_labels(tmp_path: Path) -> None:
    task, classes, found = read_labelled(folder=label_exam(tmp_path, 1))
    assert (task, classes) == ('labels', ('blue', 'green', 'red'))
    assert found[2][1].file == 'red/0.png'
    assert found[2][1].truths == (Truth(kind='red'),)


def test_exception_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='an exam of nothing'):
        read_labelled()
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match='holds no labelled image'):
        read_labelled(folder=tmp_path)


def test_exception_files(tmp_path: Path) -> None:
    annotations = box_exam(tmp_path, dents=1, cracks=0, good=0)
    (tmp_path / 'dent01.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'missing are 1: dent01.png'):
        read_labelled(annotations)
    colour(tmp_path / 'elsewhere/dent01.png')
    assert read_labelled(annotations, tmp_path / 'elsewhere')[2]
    colour(tmp_path / 'maps/bottle/test/loose.png')
    with pytest.raises(ValueError, match='images directly in test'):
        read_labelled(folder=tmp_path / 'maps')


def test_exception_what_file_managers_leave(tmp_path: Path) -> None:
    """An exam would call it missing at each promotion."""
    annotations = box_exam(tmp_path, dents=1, cracks=0, good=1)
    (tmp_path / 'good02.png').rename(tmp_path / '._x.png')
    text = annotations.read_text(encoding='utf-8').replace('good02', '._x')
    annotations.write_text(text, encoding='utf-8')
    with pytest.raises(ValueError, match=r'names 1: \._x\.png: expected images'):
        read_labelled(annotations)
