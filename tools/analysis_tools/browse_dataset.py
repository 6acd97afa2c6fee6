"""Draw what the model of a config, or of a step of its stream, is trained on.

Boxes are drawn on the images; images of products and of classifiers keep their pixels
and have product or class in the file name. All are as the pipeline leaves them.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mmdefect  # noqa: F401  first: it says what is not installed

# isort: split
import cv2
import numpy as np
from mmengine.config import DictAction
from mmengine.registry import DATASETS, VISUALIZERS, init_default_scope

from mmdefect.apis import load_config
from mmdefect.streams.stream import resolve_step_config


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='a config, with or without a stream')
    parser.add_argument('--output-dir', type=Path, required=True)
    parser.add_argument('--step', type=int, default=0, help='of the stream, from 0')
    parser.add_argument('--max-images', type=int, default=50)
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    return parser.parse_args(argv)


def write_plain(item: dict[str, Any], out_file: Path) -> None:
    """Write an image without boxes."""
    image = np.ascontiguousarray(item['inputs'].permute(1, 2, 0).numpy())
    if not cv2.imwrite(str(out_file), image):
        raise OSError(f'{out_file}: expected to write it; free some space')


def label_of(sample: Any, classes: Sequence[str]) -> str:
    """Product or class of an image."""
    if 'class_name' in sample:
        return str(sample.class_name)
    return str(classes[int(sample.gt_label)])


def draw(item: dict[str, Any], visualizer: Any, out_file: Path) -> None:
    """Write one image with its boxes, after the pipeline of the config."""
    sample = item['data_samples'].cpu().numpy()
    boxes = sample.gt_instances.bboxes
    sample.gt_instances.bboxes = getattr(boxes, 'tensor', boxes)
    # The pipeline's images are BGR, channels first.
    image = item['inputs'].permute(1, 2, 0).numpy()[..., ::-1]
    visualizer.add_datasample(
        out_file.stem, image, sample, draw_pred=False, out_file=str(out_file)
    )


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    cfg = load_config(args.config, cfg_options=args.cfg_options)
    if 'stream' in cfg:
        cfg = resolve_step_config(cfg, args.step)
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    visualizer = None
    args.output_dir.mkdir(parents=True, exist_ok=True)
    names: Counter[str] = Counter()
    number = min(len(dataset), args.max_images)
    for index in range(number):
        # Evenly spaced, so that every class is likely to be seen.
        item = dataset[index * len(dataset) // number]
        sample = item['data_samples']
        boxes = 'gt_instances' in sample
        stem = Path(sample.img_path).stem
        if not boxes:
            label = label_of(sample, dataset.metainfo['classes'])
            stem = re.sub(r'[^\w.-]', '_', f'{label}_{stem}')
        names[stem] += 1  # in several folders
        again = f'_{names[stem]}' if names[stem] > 1 else ''
        path = args.output_dir / f'{stem}{again}.png'
        if not boxes:
            write_plain(item, path)
            continue
        if visualizer is None:
            kind = {'type': 'mmdet.DetLocalVisualizer', 'name': 'browse'}
            visualizer = VISUALIZERS.build(kind)
            visualizer.dataset_meta = dataset.metainfo
        draw(item, visualizer, path)
    print(f'{number} of {len(dataset)} images in {args.output_dir}')
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
