"""Images are prepared to the bit as the config's pipeline and preprocessor do it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmdefect.apis.array_pipeline import ArrayPipeline
from mmdefect.deploy.inputs import InputSpec
from mmdefect.export.input_specs import input_spec

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
DET = {'type': 'DetDataPreprocessor', 'mean': MEAN, 'std': STD, 'bgr_to_rgb': True}
CLS = {'type': 'ClsDataPreprocessor', 'mean': MEAN, 'std': STD, 'to_rgb': True}
ANOMALY = {'type': 'mmdefect.AnomalyDataPreprocessor'}
LOAD = {'type': 'LoadImageFromFile'}


def resize(**settings: Any) -> dict[str, Any]:
    return {'type': 'Resize', **settings}


CASES: dict[str, tuple[str, list[Any], dict[str, Any]]] = {
    'ratio kept, padded': (
        'mmdet',
        [resize(scale=(133, 80), keep_ratio=True)],
        {**DET, 'pad_size_divisor': 32},
    ),
    'padded with a value': (
        'mmdet', [], {**DET, 'pad_size_divisor': 64, 'pad_value': 7}
    ),
    'no normalisation': ('mmdet', [], {'type': 'DetDataPreprocessor'}),
    'fixed': ('mmpretrain', [resize(scale=(50, 40))], CLS),
    'bgr': ('mmpretrain', [resize(scale=48)], {**CLS, 'to_rgb': False}),
    'edge and crop': (
        'mmpretrain',
        [
            {'type': 'ResizeEdge', 'scale': 64, 'backend': 'pillow',
             'interpolation': 'bicubic'},
            {'type': 'CenterCrop', 'crop_size': 51},
        ],
        CLS,
    ),
    'long edge': (
        'mmpretrain', [{'type': 'ResizeEdge', 'scale': 30, 'edge': 'long'}], CLS
    ),
    'crop beyond': ('mmpretrain', [{'type': 'CenterCrop', 'crop_size': 90}], CLS),
    'anomaly': (
        'mmdet',
        [resize(scale=(56, 56), keep_ratio=False, backend='pillow')],
        ANOMALY,
    ),
    'nearest': ('mmpretrain', [resize(scale=(50, 40), interpolation='nearest')], CLS),
}  # fmt: skip
PACKS = {'mmdet': 'PackDetInputs', 'mmpretrain': 'PackInputs'}


def made(scope: str, steps: list[Any], preprocessor: dict[str, Any], load=LOAD):
    """The pipeline of OpenMMLab with its preprocessor, and ours."""
    pack: dict[str, Any] = {'type': PACKS[scope]}
    if preprocessor is ANOMALY:
        load, pack = (
            {'type': 'mmdefect.LoadAnomalyImage'},
            {'type': 'mmdefect.PackAnomalyInputs'},
        )
    elif scope == 'mmdet':
        pack['meta_keys'] = ('img_shape', 'ori_shape', 'scale_factor')
    dataset = {'type': 'X', 'pipeline': [load, *steps, pack]}
    cfg = Config({'default_scope': scope, 'test_dataloader': {'dataset': dataset}})
    with DefaultScope.overwrite_default_scope(scope):
        model = torch.nn.Module()
        model.data_preprocessor = MODELS.build(preprocessor)
    pipeline = ArrayPipeline(cfg)

    def theirs(image: np.ndarray) -> tuple[np.ndarray, Any]:
        item = pipeline(image)
        batch = {key: [value] for key, value in item.items()}
        data = model.data_preprocessor(batch, False)
        inputs = data['inputs']
        inputs = inputs['images'] if isinstance(inputs, dict) else inputs
        return inputs[0].numpy(), item['data_samples']

    task = 'labels' if scope == 'mmpretrain' else 'boxes'
    return theirs, input_spec(cfg, model, task)


@pytest.mark.parametrize('name', CASES)
@pytest.mark.parametrize('size', [(61, 83), (120, 47), (64, 64)])
def test_feature_equal_to_the_bit(name: str, size: tuple[int, int]) -> None:
    theirs, spec = made(*CASES[name])
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    before = image.copy()
    expected, sample = theirs(image)
    found = InputSpec.from_dict(spec.to_dict()).prepare(image)
    assert found.pixels.dtype == np.float32
    np.testing.assert_array_equal(found.pixels, expected)
    np.testing.assert_array_equal(image, before)
    assert found.size[::-1] == tuple(sample.img_shape[:2])
    if CASES[name][0] == 'mmdet' and CASES[name][1] and 'scale_factor' in sample:
        assert found.scale == tuple(sample.scale_factor)
    assert spec.size in (None, found.pixels.shape[:0:-1])


def test_feature_grey() -> None:
    cls = {'type': 'ClsDataPreprocessor', 'mean': [100.0], 'std': [50.0]}
    load = {'type': 'LoadImageFromFile', 'color_type': 'grayscale'}
    theirs, spec = made('mmpretrain', [resize(scale=(50, 40))], cls, load)
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    found = spec.prepare(image).pixels
    assert spec.channels == 1
    assert found.shape == (1, 40, 50)
    np.testing.assert_array_equal(found, theirs(image)[0])


def test_feature_known_sizes() -> None:
    _, spec = made(*CASES['edge and crop'])
    assert spec.size == (51, 51)
    assert made(*CASES['crop beyond'])[1].size is None
    assert made(*CASES['ratio kept, padded'])[1].size is None
    assert made(*CASES['anomaly'])[1].size == (56, 56)


@pytest.mark.parametrize(
    ('image', 'match'),
    [
        (
            np.zeros((4, 4), np.uint8),
            r'^an image of uint8 and shape \(4, 4\): expected',
        ),
        (np.zeros((4, 4, 3), np.float32), '^an image of float32'),
        (np.zeros((0, 4, 3), np.uint8), 'expected at least one pixel'),
    ],
)
def test_exception_images(image: np.ndarray, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        InputSpec().prepare(image)


def test_exception_too_narrow() -> None:
    """A side that rounds to 0: the pipeline of the training fails as well."""
    step = {'type': 'Resize', 'scale': (96, 96), 'keep_ratio': True}
    model = torch.nn.Module()
    model.data_preprocessor = MODELS.build(ANOMALY)
    pipeline = [LOAD, step, {'type': 'PackDetInputs', 'meta_keys': ()}]
    dataset = {'type': 'X', 'pipeline': pipeline}
    cfg = Config({'default_scope': 'mmdet', 'test_dataloader': {'dataset': dataset}})
    narrow = np.zeros((10, 20000, 3), np.uint8)
    with pytest.raises(ValueError, match=r'^an image of 20000 x 10 .* as 96 x 0: exp'):
        input_spec(cfg, model, 'boxes').prepare(narrow)
    with pytest.raises(cv2.error):
        ArrayPipeline(cfg)(narrow)


def test_exception_settings() -> None:
    for given, match in (
        ({'colour': 'grey'}, r"^input\.colour='grey': expected one of rgb, bgr"),
        ({'mean': [1.0]}, 'expected both or none'),
        ({'steps': [{'op': 'blur'}]}, r"^input\.steps\.op='blur': expected one of"),
        ({'side': 3}, 'expected what an export writes'),
        ({'steps': [{'op': 'resize', 'size': [3, 3]}]}, 'expected what an export'),
    ):
        with pytest.raises(ValueError, match=match):
            InputSpec.from_dict(given)
    spec = InputSpec(size=(8, 8))
    with pytest.raises(ValueError, match='comes out as 4 x 4: expected 8 x 8'):
        spec.prepare(np.zeros((4, 4, 3), np.uint8))


@pytest.mark.parametrize(
    ('step', 'match'),
    [
        ({'type': 'CLAHE'}, 'expected transforms that an export knows .* not CLAHE'),
        (resize(scale_factor=0.5), r'Resize\.scale_factor=0\.5: expected scale'),
        (resize(scale=3, backend='x'), r"Resize\.backend='x': expected cv2 or pillow"),
        (resize(scale=3, interpolation='box'), r"interpolation='box': expected one of"),
        ({'type': 'CenterCrop', 'crop_size': 3, 'auto_pad': True}, 'auto_pad=True'),
        ({**LOAD, 'to_float32': True}, 'to_float32=True: expected False'),
        ({**LOAD, 'color_type': 'unchanged'}, "color_type='unchanged': expected"),
    ],
)
def test_exception_transforms(step: dict[str, Any], match: str) -> None:
    model = torch.nn.Module()
    model.data_preprocessor = MODELS.build({'type': 'mmdefect.AnomalyDataPreprocessor'})
    dataset = {'type': 'X', 'pipeline': [step]}
    cfg = Config({'test_dataloader': {'dataset': dataset}})
    with pytest.raises(ValueError, match=match):
        input_spec(cfg, model, 'labels')


def test_exception_crops_of_boxes_and_other_preprocessors() -> None:
    model = torch.nn.Module()
    dataset = {'type': 'X', 'pipeline': [{'type': 'CenterCrop', 'crop_size': 3}]}
    cfg = Config({'test_dataloader': {'dataset': dataset}})
    with pytest.raises(ValueError, match='expected transforms of labels'):
        input_spec(cfg, model, 'boxes')
    model.data_preprocessor = MODELS.build({'type': 'BaseDataPreprocessor'})
    with pytest.raises(ValueError, match=r"data_preprocessor\.type='BaseDataPre"):
        input_spec(
            Config({'test_dataloader': {'dataset': {'type': 'X'}}}), model, 'maps'
        )
