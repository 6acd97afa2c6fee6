"""The images on which a package is compared with its model."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from mmdefect.apis import load_config
from mmdefect.deploy.inputs import InputSpec
from mmdefect.export.samples import MOST, samples
from mmdefect.testing import make_toy_products
from tests.conftest import toy_options
from tests.helpers.configs import ROOT
from tests.helpers.exported_toys import pictures


def test_feature_of_a_test_set(toy_neu_det: Path) -> None:
    """Spread over the set: all kinds, not the first alone."""
    path = ROOT / 'configs/gfl/gfl_r18_fpn_toy_neu-det.py'
    cfg = load_config(path, cfg_options=toy_options(toy_neu_det))
    before = cfg.pretty_text
    images, source = samples(cfg, InputSpec())
    assert source == '8 images of the test set'
    assert {image.shape for image in images} == {(96, 96, 3)}
    assert len({image.tobytes() for image in images}) == MOST
    assert cfg.pretty_text == before


def test_feature_of_products(tmp_path: Path) -> None:
    make_toy_products(tmp_path, products=1, size=32, train=2, test=10)
    cfg = load_config(ROOT / 'configs/coreset/coreset_toy_3-1x2.py')
    dataset = cfg.test_dataloader.dataset
    dataset.data_root = str(tmp_path)
    dataset.metainfo.classes = ('cloth',)
    images, source = samples(cfg, InputSpec())
    assert source == '8 images of the test set'
    assert images[0].shape == (32, 32, 3)


def test_feature_drawn() -> None:
    cfg = load_config(ROOT / 'configs/gfl/gfl_r18_fpn_toy_neu-det.py')
    cfg.test_dataloader.dataset.data_root = 'no/such/folder/'
    resize = {'op': 'resize', 'size': [96, 80], 'keep_ratio': True}
    resize |= {'backend': 'cv2', 'interpolation': 'bilinear'}
    images, source = samples(cfg, InputSpec(steps=(resize,)))
    assert source.startswith('8 drawn images, without the test set (')
    assert images[0].shape == (80, 96, 3)
    assert samples(Config(), InputSpec())[0][0].shape == (224, 224, 3)
    assert samples(Config(), InputSpec(size=(30, 20)))[0][0].shape == (20, 30, 3)


def test_feature_given(tmp_path: Path) -> None:
    drawn = pictures(12, (20, 30))
    for number, image in enumerate(drawn):
        assert cv2.imwrite(str(tmp_path / f'{number:02d}.png'), image)
    images, source = samples(Config(), InputSpec(), tmp_path)
    assert source == '8 images that were given'
    for image, expected in zip(images, drawn, strict=False):
        np.testing.assert_array_equal(image, expected)
    (tmp_path / '00.png').write_bytes(b'broken')
    with pytest.raises(ValueError, match=r'00\.png'):
        samples(Config(), InputSpec(), tmp_path)
    with pytest.raises(FileNotFoundError):
        samples(Config(), InputSpec(), tmp_path / 'none')
    with pytest.raises(ValueError, match=r'^images=<.*: expected at least one picture'):
        samples(Config(), InputSpec(), iter(()))
