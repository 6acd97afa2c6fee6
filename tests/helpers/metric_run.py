"""Score small test sets of odd size with our metrics; run by torchrun, or imported.

Writes ``<out>/rank<r>.pth``: kind -> every scalar. Each rank sees every n-th image.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import get_dist_info

from mmdefect.registry import METRICS
from mmdefect.utils.distributed import leave_process_group, prepare_distributed

CLASSES = ('def_front', 'ok_front')
PRODUCTS = ('bottle', 'cable', 'screw')


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
                'class_name': PRODUCTS[k % 5 > 1],
                'gt_label': torch.tensor(label),
                'gt_mask': mask,
                'pred_score': (4 * pixels.max()).round() / 4 + 0.05 * label,
                'pred_map': pixels,
            }
        )
    return samples


def make_results(count: int = 13) -> list[dict]:
    """Classified images with errors of both kinds."""
    generator = torch.Generator().manual_seed(0)
    samples = []
    for k in range(count):
        label = int(k % 3 > 0)
        score = 0.5 * torch.rand((), generator=generator) + 0.35 * (1 - label)
        scores = torch.stack([score, 1 - score])
        samples.append(
            {
                'img_path': f'{k}.png',
                'gt_label': torch.tensor([label]),
                'pred_label': scores.argmax()[None],
                'pred_score': scores,
            }
        )
    return samples


def make_maps(count: int = 13) -> list[dict]:
    """Saliency maps, two of them without a mask."""
    generator = torch.Generator().manual_seed(0)
    samples = []
    for k in range(count):
        mask = torch.zeros(12, 10)
        mask[2 : 4 + k % 5, 3:8] = 1
        saliency = torch.rand(6, 5, generator=generator)
        saliency[1:4, 1:4] += 1
        mask = None if k in (3, 8) else mask
        samples.append({'img_path': f'{k}.png', 'saliency': saliency, 'gt_mask': mask})
    return samples


ANOMALY = {'type': 'mmdefect.AnomalyMetric', 'old_classes': PRODUCTS[:1]}
KINDS: dict[str, tuple[dict, Any, tuple]] = {
    'exact': ({**ANOMALY, 'mode': 'exact'}, make_samples, PRODUCTS),
    'streaming': ({**ANOMALY, 'mode': 'streaming'}, make_samples, PRODUCTS),
    'class': ({'type': 'mmdefect.DefectClassMetric'}, make_results, CLASSES),
    'saliency': ({'type': 'mmdefect.SaliencyMetric'}, make_maps, CLASSES),
}


def score(
    kind: str, samples: list[dict], size: int, batch: int = 2, **options: Any
) -> dict:
    """Every scalar of a test set, of which this process has ``samples``."""
    cfg, _, classes = KINDS[kind]
    metric = METRICS.build({**cfg, **options})
    metric.dataset_meta = {'classes': classes}
    for start in range(0, len(samples), batch):
        metric.process({}, samples[start : start + batch])
    return metric.evaluate(size)


if __name__ == '__main__':
    (out,) = sys.argv[1:]
    prepare_distributed(Config({'launcher': 'pytorch'}))
    rank, world = get_dist_info()
    found = {}
    for kind, (_, make, _) in KINDS.items():
        everything = make()
        options = {'out_file': f'{out}/images.jsonl'} if kind == 'class' else {}
        found[kind] = score(kind, everything[rank::world], len(everything), **options)
    torch.save(found, Path(out) / f'rank{rank}.pth')
    leave_process_group()
