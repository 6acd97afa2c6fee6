from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import torch
from mmengine.visualization import Visualizer
from mmpretrain.structures import DataSample

from mmdefect.engine.hooks.pictures import draw_classes
from mmdefect.engine.hooks.pictures.draw_classes import ClsVisualizationHook


class Canvas(Visualizer):
    def visualize_cls(self, *, image, data_sample, name, out_file, **kwargs) -> None:
        Path(out_file).touch()


def test_feature_images_of_one_name_in_two_folders(tmp_path: Path) -> None:
    Canvas.get_instance(tmp_path.name)
    hook = ClsVisualizationHook(enable=True, interval=1, out_dir=str(tmp_path))
    paths = ['/data/test/def_front/a.png', '/data/test/ok_front/a.png', 'b.png']
    samples = [DataSample(metainfo={'img_path': path}) for path in paths]
    samples.append(DataSample())  # has no file
    for sample in samples:
        sample.set_gt_label(1)
    data = {'inputs': torch.zeros(4, 3, 2, 2)}
    hook.after_test_iter(SimpleNamespace(), 0, data, samples)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        '3_0.png',
        'b.png_0.png',
        'test_def_front_a.png_0.png',
        'test_ok_front_a.png_0.png',
    ]
    assert samples[0].img_path == paths[0]
    assert int(draw_classes._renamed(samples[0]).gt_label) == 1
