"""Score a small test set of odd size with ``AnomalyMetric``; run by torchrun or alone.

Writes ``<out>/rank<r>.pth``: mode -> every scalar. Each rank sees every n-th image.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import get_dist_info

from mmdefect.evaluation.anomaly_metric import AnomalyMetric
from mmdefect.utils.distributed import leave_process_group, prepare_distributed

CLASSES = ('bottle', 'cable', 'screw')


def make_samples(count: int = 13) -> list[dict]:
    """Images of all products but the last, of two sizes, with ties in their scores."""
    generator = torch.Generator().manual_seed(0)
    samples = []
    for k in range(count):
        size = (24, 20) if k % 2 else (16, 32)
        mask = torch.zeros(size, dtype=torch.bool)
        if label := int(k % 3 > 0):
            mask[3 : 5 + k % 5, 2:9] = True
            mask[12:14, 12 : 14 + k % 4] = True
        pixels = torch.rand(12, 10, generator=generator) + 0.3 * label
        samples.append(
            {
                'img_path': f'{k}.png',
                'class_name': CLASSES[k % 5 > 1],
                'gt_label': torch.tensor(label),
                'gt_mask': mask,
                'pred_score': (4 * pixels.max()).round() / 4 + 0.05 * label,
                'pred_map': pixels,
            }
        )
    return samples


def score(mode: str, samples: list[dict], size: int, batch: int = 2) -> dict:
    """Every scalar of a test set, of which this process has ``samples``."""
    metric = AnomalyMetric(mode=mode, old_classes=CLASSES[:1])
    metric.dataset_meta = {'classes': CLASSES}
    for start in range(0, len(samples), batch):
        metric.process({}, samples[start : start + batch])
    return metric.evaluate(size)


if __name__ == '__main__':
    out, launcher = sys.argv[1:]
    prepare_distributed(Config({'launcher': launcher}))
    rank, world = get_dist_info()
    everything = make_samples()
    found = {
        mode: score(mode, everything[rank::world], len(everything))
        for mode in ('streaming', 'exact')
    }
    torch.save(found, Path(out) / f'rank{rank}.pth')
    leave_process_group()
