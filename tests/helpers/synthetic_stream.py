"""Work dirs of streams without any training, as the reports read them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmdefect.streams.matrix import StreamMatrix

OLD = ['crazing', 'inclusion', 'patches']
NEW = ['pitted_surface', 'rolled-in_scale', 'scratches']
TEACHER = [0.61, 0.72, 0.80]
FORGETFUL = [0.02, 0.06, 0.0, 0.70, 0.66, 0.81]


@contextmanager
def edited(path: Path) -> Iterator[Any]:
    """The content of a JSON file, to be changed in place."""
    content = json.loads(path.read_text(encoding='utf-8'))
    yield content
    path.write_text(json.dumps(content), encoding='utf-8')


def steps_of(work_dir: Path) -> list[dict[str, Any]]:
    """The steps of a stream's ``matrix.json``."""
    return json.loads((work_dir / 'matrix.json').read_text(encoding='utf-8'))['steps']


def _image(path: Path, seed: int) -> None:
    """A grey, slightly noisy plate of 160 x 160 pixels."""
    rng = np.random.default_rng(seed)
    plate = np.clip(rng.normal(128, 12, (160, 160)), 0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(plate).save(path)


def _scalars(folder: Path) -> None:
    """Forty logged iterations, in the layout of MMEngine's LocalVisBackend."""
    rows = [
        {
            'lr': 0.01,
            'loss': 2.0 / (1 + k / 8) + 0.05 * (k % 3),
            'loss_cls': 1.1 / (1 + k / 8),
            'loss_bbox': 0.9 / (1 + k / 8) + 0.05 * (k % 3),
            'time': 0.5 + 0.01 * (k % 4),
            'epoch': k // 10 + 1,
            'step': 5 * (k + 1),
        }
        for k in range(40)
    ]
    path = folder / '20260101_000000' / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text(''.join(json.dumps(row) + '\n' for row in rows), encoding='utf-8')


def _samples(folder: Path, images: list[Path], seen: list[str], shift: float) -> None:
    samples = []
    for number, image in enumerate(images):
        name = seen[number % len(seen)]
        box = [20.0 + 10 * number, 30.0, 95.0 + 10 * number, 100.0]
        gt = [{'bbox': box, 'label': name}]
        pred = [{'bbox': [v + shift for v in box], 'label': name, 'score': 0.87}]
        samples.append({'img_path': str(image), 'gt': gt, 'pred': pred})
    (folder / 'samples.json').write_text(json.dumps(samples), encoding='utf-8')


def _matrix(work_dir: Path, last: list[float]) -> None:
    matrix = StreamMatrix(classes=OLD + NEW, metrics=['AP50', 'AP'])
    for step, values in enumerate((TEACHER, last)):
        old = OLD if step else []
        names = OLD + NEW if step else OLD
        scalars = dict(zip((f'coco/AP50/{n}' for n in names), values, strict=True))
        scalars |= {key.replace('AP50', 'AP'): v / 2 for key, v in scalars.items()}
        matrix.add_step(step=step, old=old, new=NEW if step else OLD, scalars=scalars)
    matrix.save(work_dir / 'matrix.json')


def _state(name: str) -> dict[str, Any]:
    steps = [
        {
            'step': step,
            'classes': NEW if step else OLD,
            'state': 'finished',
            'reused_from': None,
            'config': f'step_{step}/{name}.py',
            'config_hash': f'{step}0123456789abcdef',
            'checkpoint': f'step_{step}/epoch_2.pth',
            'checkpoint_sha256': f'{step}fedcba9876543210',
            'started_from': 'step_0/epoch_2.pth' if step else None,
            'duration_s': 83.4,
            'environment': {
                'commit': '0123456789',
                'hardware': 'a CPU',
                'software': 'torch 2',
            },
        }
        for step in (0, 1)
    ]
    return {'name': name, 'classes': OLD + NEW, 'steps': steps}


def make_stream(
    root: Path, name: str = 'finetune', *, last: list[float] = FORGETFUL
) -> Path:
    """Write a finished stream of two steps into ``root / name``."""
    work_dir = root / name
    images = [root / 'images' / f'plate_{k}.png' for k in range(3)]
    for seed, image in enumerate(images):
        _image(image, seed)
    for step in (0, 1):
        folder = work_dir / f'step_{step}'
        folder.mkdir(parents=True)
        _scalars(folder)
        _samples(folder, images, OLD + NEW if step else OLD, shift=4.0 * step)
    _matrix(work_dir, last)
    (work_dir / 'stream.json').write_text(json.dumps(_state(name)), encoding='utf-8')
    return work_dir
