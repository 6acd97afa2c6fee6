"""Score a small test set of odd size with a classifier's metric; run by torchrun.

Writes ``<out>/rank<r>.pth``: every scalar. Each rank sees every n-th image.
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
        samples.append(
            {
                'img_path': f'{k}.png',
                'saliency': saliency,
                'gt_mask': None if k in (3, 8) else mask,
            }
        )
    return samples


KINDS = {
    'class': ({'type': 'mmdefect.DefectClassMetric'}, make_results),
    'saliency': ({'type': 'mmdefect.SaliencyMetric'}, make_maps),
}


def score(kind: str, samples: list[dict], size: int, **options: Any) -> dict:
    """Every scalar of a test set, of which this process has ``samples``."""
    metric = METRICS.build({**KINDS[kind][0], **options})
    metric.dataset_meta = {'classes': CLASSES}
    for start in range(0, len(samples), 2):
        metric.process({}, samples[start : start + 2])
    return metric.evaluate(size)


def two_processes_of(kind: str, out: Path) -> list[dict]:
    """Scalars of each of two gloo processes that share the images."""
    from tests.helpers.ranks import run_ranks

    run_ranks(__file__, out, kind)
    return [torch.load(out / f'rank{rank}.pth') for rank in range(2)]


if __name__ == '__main__':
    out, kind = sys.argv[1:]
    prepare_distributed(Config({'launcher': 'pytorch'}))
    rank, world = get_dist_info()
    everything = KINDS[kind][1]()
    options = {'out_file': f'{out}/images.jsonl'} if kind == 'class' else {}
    found = score(kind, everything[rank::world], len(everything), **options)
    torch.save(found, Path(out) / f'rank{rank}.pth')
    leave_process_group()
