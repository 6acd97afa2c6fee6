"""Boxes are drawn on the pixels that were tested, each image in a file of its own."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from PIL import Image

from mmdefect.registry import HOOKS


class Drawn:
    """Keeps what it is told to draw."""

    def __init__(self) -> None:
        self.calls: list[dict] = []

    def add_datasample(self, name: str, image: np.ndarray, **kwargs) -> None:
        self.calls.append({'image': image, **kwargs})


class Images(list):
    """Data infos, as a dataset gives them."""

    data_prefix: dict[str, str]
    get_data_info = list.__getitem__


def sample_of(path: Path) -> DetDataSample:
    boxes = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0).long())
    return DetDataSample(metainfo={'img_path': str(path)}, pred_instances=boxes)


@pytest.fixture
def hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The hook after a batch of two images of one name, one with an orientation."""
    monkeypatch.setattr(
        'mmengine.visualization.Visualizer.get_current_instance', lambda: Drawn()
    )
    kind = {'type': 'mmdefect.BoxVisualizationHook', 'draw': True}
    made = HOOKS.build({**kind, 'test_out_dir': str(tmp_path / 'out')})
    exif = Image.Exif()
    exif[0x0112] = 6
    infos = []
    for folder in ('left', 'right'):
        path = tmp_path / 'images' / folder / 'a.jpg'
        path.parent.mkdir(parents=True)
        Image.new('RGB', (20, 10), (255, 0, 0)).save(path, exif=exif)
        infos.append({'img_path': str(path), 'width': 20, 'height': 10})
    dataset = Images(infos)
    dataset.data_prefix = {'img': str(tmp_path / 'images')}
    runner = SimpleNamespace(test_dataloader=SimpleNamespace(dataset=dataset))
    made.before_test_epoch(runner)
    samples = [sample_of(Path(info['img_path'])) for info in infos]
    made.after_test_iter(runner, 0, {}, samples)
    return made


def test_feature_folders_are_kept(hook, tmp_path: Path) -> None:
    files = [call['out_file'] for call in hook._visualizer.calls]
    assert files == [str(tmp_path / f'out/{side}/a.jpg') for side in ('left', 'right')]
    assert hook._file('/elsewhere/b.png') == str(tmp_path / 'out/b.png')


def test_feature_pixels_are_those_of_the_test(hook) -> None:
    """As annotated, 20 wide: not turned by the tag; and red, in RGB."""
    image = hook._visualizer.calls[0]['image']
    assert image.shape == (10, 20, 3)
    assert image[..., 0].min() > 250
    assert image[..., 2].max() < 5


def test_smoke_nothing_is_drawn_unasked(hook) -> None:
    hook.draw = False
    hook.after_test_iter(None, 0, {}, [sample_of(Path('a.png'))])
    assert len(hook._visualizer.calls) == 2
