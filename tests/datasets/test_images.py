from __future__ import annotations

from pathlib import Path

import mmcv
import numpy as np
import pytest

from mmdefect.datasets.images import decode_error, fill_cache


def test_smoke(toy_root: Path) -> None:
    assert decode_error(toy_root / 'IMAGES/crazing_1.jpg') is None


@pytest.mark.parametrize('share', [0.1, 0.5, 0.99])
def test_feature_truncation_is_noticed(
    toy_root: Path, tmp_path: Path, share: float
) -> None:
    whole = (toy_root / 'IMAGES/crazing_1.jpg').read_bytes()
    path = tmp_path / 'cut.jpg'
    path.write_bytes(whole[: int(len(whole) * share)])
    assert 'truncated' in str(decode_error(path)).lower()


def test_feature_missing_and_no_image(tmp_path: Path) -> None:
    (tmp_path / 'text.jpg').write_text('no image', encoding='utf-8')
    assert decode_error(tmp_path / 'none.jpg') == 'missing file'
    assert decode_error(tmp_path / 'text.jpg') == 'no image'


def test_feature_cache_is_bounded_and_in_order(toy_root: Path) -> None:
    paths = [str(toy_root / f'IMAGES/patches_{i}.jpg') for i in range(1, 6)]
    infos = [{'img_path': path} for path in paths]
    one = 64 * 64 * 3
    assert list(fill_cache(infos, max_bytes=3 * one)) == paths[:3]
    cache = fill_cache(infos, max_bytes=10 * one)
    np.testing.assert_array_equal(cache[paths[4]], mmcv.imread(paths[4]))


def test_exception_cached_images_are_read_only(toy_root: Path) -> None:
    path = str(toy_root / 'IMAGES/patches_1.jpg')
    image = fill_cache([{'img_path': path}], max_bytes=10**6)[path]
    with pytest.raises(ValueError, match='read-only'):
        image[0] = 0
