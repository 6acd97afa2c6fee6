"""Trained models in miniature, as files: random weights, and what a training leaves."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmdefect.deploy.outputs import BoxOutput, LabelOutput, MapOutput, Output
from mmdefect.deploy.spec import ModelSpec
from mmdefect.utils.checkpoint import load_weights
from mmdefect.utils.config import described_model
from tests.helpers.old_work_dir import ARCHIVE

CLASSIFIER: dict[str, Any] = {
    'default_scope': 'mmpretrain',
    'model': {
        'type': 'ImageClassifier',
        'backbone': {'type': 'mmdefect.LunaNet', 'base_channels': 4, 'num_blocks': 2},
        'neck': {'type': 'GlobalAveragePooling'},
        'head': {'type': 'mmdefect.DefectClsHead', 'in_channels': 8},
    },
    'data_preprocessor': {'mean': [100] * 3, 'std': [50] * 3, 'to_rgb': True},
    'test_dataloader': {
        'dataset': {
            'type': 'CustomDataset',
            'data_root': 'nowhere',
            'classes': ['broken', 'good'],
            'pipeline': [{'type': 'LoadImageFromFile'}, {'type': 'PackInputs'}],
        }
    },
}
MAPS: dict[str, Any] = {
    'default_scope': 'mmdefect',
    'model': {
        'type': 'mmdefect.IncrementalCoreset',
        'backbone': {
            'type': 'mmpretrain.ResNet',
            'depth': 18,
            'base_channels': 4,
            'stem_channels': 4,
            'out_indices': (0, 1),
        },
        'in_channels': 12,
        'num_classes': 2,
        'grid': 4,
        'per_class': 6,
    },
    'test_dataloader': {
        'dataset': {
            'type': 'mmdefect.AnomalyDataset',
            'data_root': 'nowhere',
            'metainfo': {'classes': ['cloth', 'metal']},
            'seen_classes': ['cloth', 'metal'],
            'pipeline': [
                {'type': 'mmdefect.LoadAnomalyImage'},
                {'type': 'Resize', 'scale': (32, 32), 'backend': 'pillow'},
                {'type': 'mmdefect.LoadAnomalyMask'},
                {'type': 'mmdefect.PackAnomalyInputs'},
            ],
        }
    },
    # How a config says that it is one of anomaly maps.
    'test_evaluator': {'type': 'mmdefect.AnomalyMetric'},
}


def built_from(cfg: Mapping[str, Any], *, seed: int = 0) -> Any:
    """The model of a config, with random weights that tell images apart."""
    torch.manual_seed(seed)
    whole = Config(copy.deepcopy(dict(cfg)))
    with DefaultScope.overwrite_default_scope(whole.get('default_scope')):
        model = MODELS.build(described_model(whole))
    if hasattr(model, 'filled'):
        model.memory.normal_().abs_()
        model.filled.fill_(model.memory.shape[1])
    return model.eval()


def saved_model(
    cfg: Mapping[str, Any], folder: Path, *, meta: Mapping[str, Any] | None = None
) -> tuple[Path, Path]:
    """Config and checkpoint of a model, as files, as a training writes them."""
    folder.mkdir(parents=True, exist_ok=True)
    Config(copy.deepcopy(dict(cfg))).dump(folder / 'config.py')
    state = {'state_dict': built_from(cfg).state_dict(), 'meta': dict(meta or {})}
    torch.save(state, folder / 'epoch_1.pth')
    return folder / 'config.py', folder / 'epoch_1.pth'


def stream_of_boxes(folder: Path) -> Path:
    """Work dir of a detector's stream with one trained step, which finds something."""
    shutil.unpack_archive(ARCHIVE, folder, filter='data')
    path = folder / 'work/step_0/epoch_1.pth'
    checkpoint = load_weights(path)
    torch.manual_seed(0)
    state = checkpoint['state_dict']
    state['bbox_head.gfl_cls.weight'].normal_(std=0.5)
    state['bbox_head.gfl_cls.bias'].fill_(-2.0)
    # Small boxes, that do not suppress each other: distances of about two strides.
    state['bbox_head.gfl_reg.weight'].normal_(std=0.02)
    state['bbox_head.gfl_reg.bias'].view(4, -1)[:, 2] = 8.0
    torch.save(checkpoint, path)
    return folder / 'work'


class FakeBackend:
    """A backend without a network: what it says of an image is the image's mean.

    Args:
        task: Of the three.
        fails_on: Mean of the images that it cannot look at.
    """

    name = 'fake'

    def __init__(self, task: str = 'boxes', *, fails_on: Sequence[int] = ()) -> None:
        classes = {
            'boxes': ('dent', 'scratch'),
            'maps': ('cloth', 'metal'),
            'labels': ('broken', 'good'),
        }
        self.spec = ModelSpec(
            task=task,
            classes=classes[task],
            defective='broken' if task == 'labels' else None,
            default_threshold=None if task == 'maps' else 0.3,
        )
        self.fails_on = set(fails_on)
        self.batches: list[int] = []

    def __call__(self, images: Sequence[np.ndarray]) -> list[Output]:
        self.batches.append(len(images))
        return [self._say(image) for image in images]

    def _say(self, image: np.ndarray) -> Output:
        mean = int(image[0, 0, 0])
        if mean in self.fails_on:
            raise RuntimeError(f'no picture of {mean}\nand more lines')
        score = np.float32(mean / 255)
        height, width = image.shape[:2]
        if self.spec.task == 'labels':
            return LabelOutput(probabilities=np.array([score, 1 - score], np.float32))
        if self.spec.task == 'maps':
            found = np.zeros((height, width), np.float32)
            found[1:4, 2:7] = score
            return MapOutput(anomaly_map=found, score=float(score))
        return BoxOutput(
            boxes=np.array([[1, 2, width - 2, height - 1]], np.float32),
            scores=np.array([score], np.float32),
            labels=np.array([1]),
        )
