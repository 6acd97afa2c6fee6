from __future__ import annotations

from pathlib import Path

import mmcv
import numpy as np
import pytest

from mmdefect.datasets.images import decode_error, fill_cache


@pytest.mark.parametrize('share', [0.1, 0.5, 0.99])
def test_feature_truncation_is_noticed(
    toy_root: Path, tmp_path: Path, share: float
) -> None:
    whole = (toy_root / 'IMAGES/crazing_1.jpg').read_bytes()
    path = tmp_path / 'cut.jpg'
    path.write_bytes(whole[: int(len(whole) * share)])
    assert decode_error(path) == 'truncated or damaged'


def test_feature_missing_file(tmp_path: Path) -> None:
    assert decode_error(tmp_path / 'none.jpg') == 'missing file'


def test_feature_cache_is_bounded_in_order_and_read_only(toy_root: Path) -> None:
    paths = [str(toy_root / f'IMAGES/patches_{i}.jpg') for i in range(1, 6)]
    infos = [{'img_path': path} for path in paths]
    one = 64 * 64 * 3
    assert list(fill_cache(infos, max_bytes=3 * one)) == paths[:3]
    image = fill_cache(infos, max_bytes=10 * one)[paths[4]]
    np.testing.assert_array_equal(image, mmcv.imread(paths[4]))
    with pytest.raises(ValueError, match='read-only'):
        image[0] = 0
