"""OpenMMLab's own inferencers give what our test loop gives, on configs of ours."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmdefect.apis import build_runner, load_config
from mmdefect.streams.resolve import build_stream, resolve_step_config
from mmdefect.testing import make_toy_casting
from tests.conftest import toy_options
from tests.helpers.configs import ROOT
from tests.helpers.distributed_models import drawn_teacher, without_files

DETECTORS = {
    'plain': 'gfl/gfl_r18_fpn_toy_neu-det.py',
    'stream': 'sd_idd/sd-idd_r18_fpn_toy_neu-det_3+3.py',
    'mobilenet': 'gfl/gfl_mobilenet-v2_fpn_cpu_neu-det.py',
}
CLASSIFIERS = ['luna-gap_casting.py', 'resnet18_casting.py']


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


@pytest.fixture(params=DETECTORS)
def detector(
    request: pytest.FixtureRequest, toy_neu_det: Path, tmp_path: Path
) -> tuple[str, str, list[Any]]:
    options = {**toy_options(toy_neu_det), 'test_dataloader.batch_size': 1}
    cfg = load_config(ROOT / 'configs' / DETECTORS[request.param], cfg_options=options)
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


@pytest.mark.parametrize('name', CLASSIFIERS)
def test_feature_classifiers(name: str, tmp_path: Path) -> None:
    from mmpretrain.apis import ImageClassificationInferencer, get_model

    root = make_toy_casting(tmp_path / 'casting', parts=3, copies=4, size=64)
    options: dict[str, Any] = {'test_dataloader.num_workers': 0}
    options['test_dataloader.batch_size'] = 1
    options['test_dataloader.dataset.data_root'] = str(root)
    options['test_dataloader.dataset.protocol'] = 'legacy'
    cfg = load_config(ROOT / 'configs/casting' / name, cfg_options=options)
    config, checkpoint, samples = saved(cfg, tmp_path)
    paths = [sample.img_path for sample in samples]
    inferencer = ImageClassificationInferencer(config, checkpoint, device='cpu')
    for found, sample in zip(inferencer(paths), samples, strict=True):
        expected = sample.pred_score.numpy()
        np.testing.assert_allclose(found['pred_scores'], expected, atol=1e-5)
        assert found['pred_class'] == ('def_front', 'ok_front')[expected.argmax()]
    model = get_model(config, pretrained=checkpoint)
    (single,) = ImageClassificationInferencer(model)(_pixels(paths[0]))
    assert single['pred_label'] == int(samples[0].pred_score.argmax())
    assert single['pred_score'] == pytest.approx(float(samples[0].pred_score.max()))
