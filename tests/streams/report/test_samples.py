"""Sample predictions are drawn on the pixels that the boxes lie on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmdefect.streams.report import samples as report_samples
from tests.helpers.image_files import HEIGHT, RGB, WIDTH, packed, with_exif, written


def drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sample: dict[str, Any]
) -> tuple[list[np.ndarray], list[str]]:
    """Pictures that were drawn, and what was missing."""
    pixels, missing = [], []

    def draw(image: np.ndarray, *_: Any, **__: Any) -> Any:
        pixels.append(image)
        return report_samples.class_colours(['dent'])

    monkeypatch.setattr(report_samples, 'draw_panels', draw)
    monkeypatch.setattr(report_samples, 'save_figure', lambda _, path: path)
    report_samples.samples_section(
        {'after step 0': [{'gt': [], 'pred': [], **sample}]},
        classes=['dent'],
        folder=tmp_path,
        root=tmp_path,
        missing=missing,
    )
    return pixels, missing


def test_feature_read_as_in_the_test(tmp_path, monkeypatch) -> None:
    files = written(
        tmp_path,
        {
            'tagged.png': with_exif('PNG', 6, RGB),
            'deep.png': packed(np.uint16(16) * RGB[..., 0], 'PNG'),
        },
    )
    size = {'width': WIDTH, 'height': HEIGHT}
    sample = {'img_path': str(files['tagged.png']), 'read': size}
    pixels, missing = drawn(tmp_path, monkeypatch, sample)
    np.testing.assert_array_equal(pixels[0], RGB)
    assert missing == []
    sample = {'img_path': str(files['deep.png']), 'read': {**size, 'bits': 12}}
    pixels, _ = drawn(tmp_path, monkeypatch, sample)
    assert np.abs(pixels[0][..., 0].astype(int) - RGB[..., 0]).max() <= 1
    # A report of an older run says nothing: as viewers show it.
    pixels, _ = drawn(tmp_path, monkeypatch, {'img_path': str(files['tagged.png'])})
    assert pixels[0].shape == (WIDTH, HEIGHT, 3)


def test_exception_another_file_by_now(tmp_path, monkeypatch) -> None:
    files = written(tmp_path, {'a.png': packed(RGB, 'PNG')})
    sample = {'img_path': str(files['a.png']), 'read': {'width': 3, 'height': 4}}
    pixels, missing = drawn(tmp_path, monkeypatch, sample)
    assert pixels == []
    assert 'a.png (8x6, annotated 3x4)' in missing[0]
