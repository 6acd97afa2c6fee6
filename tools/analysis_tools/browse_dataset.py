"""Draw what the model of a config, or of a step of its stream, is trained on."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mmdefect  # noqa: F401  first: it says what is not installed

# isort: split
from mmdet.utils import register_all_modules
from mmengine.config import Config, DictAction
from mmengine.registry import DATASETS, VISUALIZERS

from mmdefect.streams.resolve import resolve_step_config


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='a config, with or without a stream')
    parser.add_argument('--output-dir', type=Path, required=True)
    parser.add_argument('--step', type=int, default=0, help='of the stream, from 0')
    parser.add_argument('--max-images', type=int, default=50)
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    return parser.parse_args(argv)


def draw(item: dict[str, Any], visualizer: Any, out_file: Path) -> None:
    """Write one image with its ground truth, after the pipeline of the config."""
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
    cfg = Config.fromfile(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    if 'stream' in cfg:
        cfg = resolve_step_config(cfg, args.step)
    register_all_modules(init_default_scope=True)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    visualizer = VISUALIZERS.build({'type': 'DetLocalVisualizer', 'name': 'browse'})
    visualizer.dataset_meta = dataset.metainfo
    args.output_dir.mkdir(parents=True, exist_ok=True)
    number = min(len(dataset), args.max_images)
    for index in range(number):
        # Evenly spaced, so that every class is likely to be seen.
        item = dataset[index * len(dataset) // number]
        name = Path(item['data_samples'].img_path).stem
        draw(item, visualizer, args.output_dir / f'{name}.png')
    print(f'{number} of {len(dataset)} images in {args.output_dir}')
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
