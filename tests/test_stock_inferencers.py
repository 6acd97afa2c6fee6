"""OpenMMLab's own inferencers give what our test loop gives, on configs of ours.

Every network is built several times, by us and by them: one of each kind is in the fast
tier, the others are slow.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmdefect.apis import build_runner, load_config
from mmdefect.streams.stream import build_stream, resolve_step_config
from mmdefect.testing import make_toy_casting
from tests.conftest import toy_options
from tests.helpers.configs import ROOT
from tests.helpers.distributed_models import drawn_teacher, without_files

DETECTORS = {
    'plain': 'gfl/gfl_r18_fpn_toy_neu-det.py',
    'stream': 'sd_idd/sd-idd_r18_fpn_toy_neu-det_3+3.py',
    'mobilenet': 'gfl/gfl_mobilenet-v2_fpn_cpu_neu-det.py',
}
CLASSIFIERS = [
    'luna-gap_casting.py',
    pytest.param('resnet18_casting.py', marks=pytest.mark.slow),
]


@pytest.fixture(autouse=True)
def no_scope_left() -> Iterator[None]:
    yield
    DefaultScope._instance_dict.clear()


def saved(cfg: Config, folder: Path) -> tuple[str, str, list[Any]]:
    """Config and checkpoint of a network with random weights, and what a test predicts.

    Returns:
        Path of the config, as a run dumps it, and of the checkpoint; predictions on the
        test set, by image path.
    """
    without_files(cfg.model)
    cfg.work_dir = str(folder)
    torch.manual_seed(0)
    runner = build_runner(copy.deepcopy(cfg))
    runner.model.init_weights()
    head = getattr(runner.model, 'bbox_head', None)
    if head is not None:  # scores that differ, some above the threshold
        torch.nn.init.normal_(head.gfl_cls.weight, std=0.5)
        torch.nn.init.constant_(head.gfl_cls.bias, -2.0)
    runner.model.eval()
    loader = runner.build_dataloader(cfg.test_dataloader)
    with torch.no_grad():
        predictions = [runner.model.test_step(batch) for batch in loader]
    path = folder / 'dumped.py'
    cfg.dump(path)
    meta = {'dataset_meta': loader.dataset.metainfo}
    state = {'state_dict': runner.model.state_dict(), 'meta': meta}
    torch.save(state, folder / 'drawn.pth')
    DefaultScope._instance_dict.clear()
    return str(path), str(folder / 'drawn.pth'), [s for p in predictions for s in p]


@pytest.fixture(
    params=[
        pytest.param(name, marks=() if name == 'plain' else pytest.mark.slow)
        for name in (*DETECTORS, 'base')
    ]
)
def detector(
    request: pytest.FixtureRequest, toy_neu_det: Path, tmp_path: Path
) -> tuple[str, str, list[Any]]:
    options = {**toy_options(toy_neu_det), 'test_dataloader.batch_size': 1}
    path = ROOT / 'configs' / DETECTORS.get(request.param, '')
    if request.param == 'base':
        path = tmp_path / 'mine.py'
        base = f"_base_ = 'mmdefect::{DETECTORS['plain']}'\n"
        path.write_text(base, encoding='utf-8')
    cfg = load_config(path, cfg_options=options)
    if 'stream' in cfg:
        stream = build_stream(cfg)
        cfg = resolve_step_config(cfg, 1, stream)
        stream.chain(cfg, 1, 'work_dirs/no/such/teacher.pth')
    with drawn_teacher(cfg):
        return saved(cfg, tmp_path)


def test_feature_detectors(detector: tuple[str, str, list[Any]]) -> None:
    """Boxes, labels and scores of the first image, and names of the classes."""
    from mmdet.apis import DetInferencer, inference_detector, init_detector

    config, checkpoint, samples = detector
    expected = samples[0].pred_instances
    assert len(expected) > 5
    inferencer = DetInferencer(config, checkpoint, device='cpu', show_progress=False)
    answer = inferencer(samples[0].img_path, pred_score_thr=0.0)
    (found,) = answer['predictions']
    assert found['labels'] == expected.labels.tolist()
    np.testing.assert_allclose(found['bboxes'], expected.bboxes.numpy(), atol=1e-3)
    np.testing.assert_allclose(found['scores'], expected.scores.numpy(), atol=1e-5)
    model = init_detector(config, checkpoint, device='cpu')
    assert model.dataset_meta['classes'][0] == 'crazing'
    for image in (samples[0].img_path, _pixels(samples[0].img_path)):
        again = inference_detector(model, image).pred_instances
        assert torch.equal(again.labels, expected.labels)
        torch.testing.assert_close(again.bboxes, expected.bboxes)
        torch.testing.assert_close(again.scores, expected.scores)


def _pixels(path: str) -> np.ndarray:
    import mmcv

    return mmcv.imread(path)


def toy_classifier(
    path: Path, tmp_path: Path, **options: Any
) -> tuple[str, str, list[Any]]:
    options |= {'test_dataloader.num_workers': 0, 'test_dataloader.batch_size': 1}
    return saved(load_config(path, cfg_options=options), tmp_path)


def check_classifier(config: Any, checkpoint: str, samples: list[Any]) -> None:
    """The inferencer's probabilities and classes are those of the test."""
    from mmpretrain.apis import ImageClassificationInferencer

    inferencer = ImageClassificationInferencer(config, checkpoint, device='cpu')
    paths = [sample.img_path for sample in samples]
    assert len({float(sample.pred_score[0]) for sample in samples}) > 1
    for found, sample in zip(inferencer(paths), samples, strict=True):
        expected = sample.pred_score.numpy()
        np.testing.assert_allclose(found['pred_scores'], expected, atol=1e-5)
        classes = inferencer.classes
        assert found['pred_class'] == classes[expected.argmax()]
        assert found['pred_label'] == int(sample.pred_label)


@pytest.mark.parametrize('name', CLASSIFIERS)
def test_feature_classifiers(name: str, tmp_path: Path) -> None:
    from mmpretrain.apis import ImageClassificationInferencer, get_model

    root = make_toy_casting(tmp_path / 'casting', parts=3, copies=4, size=64)
    data = {'data_root': str(root), 'protocol': 'legacy'}
    options = {f'test_dataloader.dataset.{key}': value for key, value in data.items()}
    path = ROOT / 'configs/casting' / name
    config, checkpoint, samples = toy_classifier(path, tmp_path, **options)
    check_classifier(config, checkpoint, samples)
    model = get_model(config, pretrained=checkpoint)
    assert model._dataset_meta['classes'] == ('def_front', 'ok_front')
    (single,) = ImageClassificationInferencer(model)(_pixels(samples[0].img_path))
    assert single['pred_label'] == int(samples[0].pred_score.argmax())
    assert single['pred_score'] == pytest.approx(float(samples[0].pred_score.max()))


@pytest.mark.slow
def test_feature_a_classifier_on_a_base_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """The guide's own images and its example, on the file, and on the dumped one."""
    guide = (ROOT / 'docs/guides/casting.md').read_text(encoding='utf-8')
    guide = guide.partition('## Your own images')[2].partition('\n## ')[0]
    code, example = (
        part.partition('```')[0] for part in guide.split('```python\n')[1:]
    )
    monkeypatch.chdir(tmp_path)
    folder = Path('data/parts/test')
    random = np.random.default_rng(0)
    for name in ('broken', 'good'):
        (folder / name).mkdir(parents=True)
        pixels = random.integers(0, 255, (40, 60, 3), np.uint8)
        assert cv2.imwrite(str(folder / name / '0.png'), pixels)
    mine = tmp_path / 'cast.py'
    # Its scores differ with random weights, too.
    code = code.replace('mobilenet-v2_casting', 'luna-gap_casting')
    mine.write_text(code, encoding='utf-8')
    dumped, checkpoint, samples = toy_classifier(mine, tmp_path)
    assert "_scope_='mmdefect'" in Path(dumped).read_text(encoding='utf-8')
    for config in (str(mine), dumped):
        check_classifier(config, checkpoint, samples)
    names = {
        'CONFIG': str(mine),
        'CHECKPOINT': checkpoint,
        'IMAGE': samples[1].img_path,
    }
    for name, value in names.items():
        assert example.count(f"'{name}'") == 1
        example = example.replace(f"'{name}'", repr(value))
    exec(example, found := {})
    expected = samples[1].pred_score.numpy()
    np.testing.assert_allclose(found['found']['pred_scores'], expected, atol=1e-5)
    assert found['found']['pred_class'] in capsys.readouterr().out
