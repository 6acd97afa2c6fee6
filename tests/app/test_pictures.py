"""Pictures that a browser may be fetching while they are shown anew."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from mmdefect.app.pictures import as_file


@pytest.fixture
def picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    monkeypatch.setenv('GRADIO_TEMP_DIR', str(tmp_path))
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


def test_feature_every_pixel_in_the_pages_own_folder(
    picture: np.ndarray, tmp_path: Path
) -> None:
    path = as_file(picture)
    assert Path(path).parent.parent == tmp_path
    read = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(read, picture)


def test_feature_shown_again_is_not_written_again(picture: np.ndarray) -> None:
    """A browser in the middle of it would get half a picture."""
    first = Path(as_file(picture))
    before = first.stat()
    assert as_file(picture.copy()) == str(first)
    assert (first.stat().st_ino, first.stat().st_mtime_ns) == (
        before.st_ino,
        before.st_mtime_ns,
    )
    assert as_file(picture // 2) != str(first)
    assert len(list(first.parent.iterdir())) == 2
