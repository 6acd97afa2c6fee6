"""The samples that a test leaves for the report."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from mmengine.structures import InstanceData

from mmdefect.engine.hooks.pictures import sample_predictions
from mmdefect.engine.hooks.pictures.sample_predictions import SamplePredictionsHook
from mmdefect.registry import HOOKS


class Plates:
    """Twelve images; image ``k`` shows one box of class ``k % 2`` and a crowd."""

    metainfo: ClassVar = {'classes': ('crazing', 'patches')}

    def __len__(self) -> int:
        return 12

    def get_data_info(self, index: int) -> dict:
        box = {'bbox': [1, 2, 30 + index, 40], 'bbox_label': index % 2}
        crowd = {'bbox': [0, 0, 5, 5], 'bbox_label': 0, 'ignore_flag': 1}
        names = {'img_id': 100 + index, 'img_path': f'IMAGES/{index}.jpg'}
        return {**names, 'instances': [{**box, 'ignore_flag': 0}, crowd]}


def prediction(image: int) -> SimpleNamespace:
    boxes = InstanceData(
        bboxes=torch.tensor([[1.0, 2.0, 3.004, 4.0], [5, 6, 7, 8], [9, 9, 10, 10]]),
        scores=torch.tensor([0.4, 0.9, 0.29]),
        labels=torch.tensor([0, 1, 0]),
    )
    return SimpleNamespace(img_id=image, pred_instances=boxes)


def run(tmp_path, hook, images=range(100, 112)) -> list[dict]:
    runner = SimpleNamespace(
        test_dataloader=SimpleNamespace(dataset=Plates()), work_dir=str(tmp_path)
    )
    hook.before_test_epoch(runner)
    for number, image in enumerate(images):
        hook.after_test_iter(runner, number, None, [prediction(image)])
    hook.after_test_epoch(runner)
    return json.loads((tmp_path / 'samples.json').read_text(encoding='utf-8'))


def test_smoke(tmp_path) -> None:
    hook = HOOKS.build({'type': 'mmdefect.SamplePredictionsHook', 'max_samples': 3})
    samples = run(tmp_path, hook)
    # Evenly spaced over 12: linspace(0, 11, 3) = 0, 5.5, 11; 5.5 rounds to 6.
    paths = [sample['img_path'] for sample in samples]
    assert paths == ['IMAGES/0.jpg', 'IMAGES/6.jpg', 'IMAGES/11.jpg']
    assert samples[2]['gt'] == [{'bbox': [1.0, 2.0, 41.0, 40.0], 'label': 'patches'}]
    assert samples[0]['pred'] == [
        {'bbox': [5.0, 6.0, 7.0, 8.0], 'label': 'patches', 'score': 0.9},
        {'bbox': [1.0, 2.0, 3.0, 4.0], 'label': 'crazing', 'score': 0.4},
    ]


def test_feature_small_test_set_is_kept_whole(tmp_path) -> None:
    hook = SamplePredictionsHook(max_samples=50, score_thr=0.95)
    samples = run(tmp_path, hook)
    assert len(samples) == 12
    assert all(sample['pred'] == [] for sample in samples)
    # A second test starts afresh.
    assert len(run(tmp_path, hook, images=[100, 103])) == 2


def test_feature_ranks_are_gathered(tmp_path, monkeypatch) -> None:
    other = {101: [{'bbox': [0, 0, 1, 1], 'label': 'patches', 'score': 0.5}]}
    monkeypatch.setattr(
        sample_predictions, 'all_gather_object', lambda mine: [mine, other]
    )
    hook = SamplePredictionsHook(max_samples=12)
    samples = run(tmp_path, hook, images=range(100, 112, 2))
    names = [sample['img_path'] for sample in samples]
    assert names[:3] == ['IMAGES/0.jpg', 'IMAGES/1.jpg', 'IMAGES/2.jpg']
    assert samples[1]['pred'] == other[101]
    monkeypatch.setattr(sample_predictions, 'is_main_process', lambda: False)
    (tmp_path / 'samples.json').write_text('[]', encoding='utf-8')
    assert run(tmp_path, hook) == []


def test_exception_no_samples() -> None:
    with pytest.raises(ValueError, match='max_samples=0: expected at least 1'):
        SamplePredictionsHook(max_samples=0)
