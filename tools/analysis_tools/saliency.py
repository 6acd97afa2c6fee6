"""Draw where a classifier sees its evidence, and measure whether that is the defect.

Writes a picture an image (image, mask if there is one, map) and saliency.json with the
numbers. Images without a mask are drawn and not scored.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mmdefect  # noqa: F401  first: it says what is not installed

# isort: split
import cv2
from mmengine.config import DictAction
from mmengine.registry import DATASETS, init_default_scope

from mmdefect.apis import load_config
from mmdefect.apis.saliency import (
    METHODS,
    Explained,
    check_target,
    explained,
    load_classifier,
    make_explainer,
    prepared,
    spread,
)
from mmdefect.evaluation.saliency_metric import MEASURES, SaliencyMetric
from mmdefect.utils.files import write_json
from mmdefect.visualization.anomaly import side_by_side
from mmdefect.visualization.saliency import saliency_panels


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config of a classifier')
    parser.add_argument('checkpoint', help='its checkpoint')
    parser.add_argument('--method', choices=METHODS, default='grad_cam')
    parser.add_argument(
        '--layer',
        help='for grad_cam, such as backbone.layer4; by default the last one whose '
        'output is a map',
    )
    parser.add_argument(
        '--block',
        type=int,
        nargs='+',
        help='for attention: block of a ViT (default -1), stage and block of a Swin '
        'transformer (default 2 2)',
    )
    parser.add_argument('--head', type=int, help='for attention; default: mean of all')
    parser.add_argument(
        '--query', type=int, help='for attention of Swin; default: mean of all'
    )
    parser.add_argument(
        '--target', default='predicted', help='name of the class to explain'
    )
    parser.add_argument('--label', help='only images of this class')
    parser.add_argument(
        '--max-images', type=int, default=50, help='evenly spaced; 0 for all'
    )
    parser.add_argument(
        '--threshold', type=float, default=0.4, help='share of the largest value'
    )
    parser.add_argument(
        '--tolerance', type=float, default=0.0, help='of the pointing game, in pixels'
    )
    parser.add_argument('--out', type=Path, default=Path('work_dirs/saliency'))
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    return parser.parse_args(argv)


def choose(dataset: Any, label: str | None, most: int) -> list[int]:
    """Return the indices of the images to look at."""
    indices = list(range(len(dataset)))
    classes = list(dataset.metainfo['classes'])
    if label is not None:
        if label not in classes:
            raise SystemExit(f'--label {label}: expected one of {", ".join(classes)}')
        wanted = classes.index(label)
        indices = [k for k in indices if dataset.get_data_info(k)['gt_label'] == wanted]
    if not indices:
        raise SystemExit(f'--label {label}: expected images of it in the test set')
    return [indices[k] for k in spread(len(indices), most or len(indices))]


def write(
    entry: Explained, number: int, folder: Path, scores: dict[str, float] | None
) -> dict:
    """Write one picture; return its entry of saliency.json."""
    name = f'{number:04d}_{Path(entry.path).stem}.png'
    mask = None if entry.mask is None else entry.mask.numpy()
    panels = saliency_panels(entry.image, entry.saliency.numpy(), mask)
    if not cv2.imwrite(str(folder / name), side_by_side(list(panels.values()))):
        raise SystemExit(f'{folder / name}: expected to write it; free some space')
    return {
        'picture': name,
        'img_path': entry.path,
        'label': entry.label,
        'pred': entry.pred,
        'score': round(entry.score, 6),
        'target': entry.target,
        'localisation': scores,
    }


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    cfg = load_config(args.config, cfg_options=args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    metric = SaliencyMetric(threshold=args.threshold, tolerance=args.tolerance)
    model = load_classifier(cfg, args.checkpoint)
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    target = check_target(args.target, dataset.metainfo['classes'])
    indices = choose(dataset, args.label, args.max_images)
    _, data = prepared(model, dataset, indices[0])
    explain, place = make_explainer(
        model,
        data['inputs'],
        method=args.method,
        layer=args.layer,
        block=args.block,
        head=args.head,
        query=args.query,
    )
    print(f'{args.method} of {place}, {len(indices)} images')
    args.out.mkdir(parents=True, exist_ok=True)
    images = []
    entries = explained(model, dataset, indices, explain, target=target)
    for number, entry in enumerate(entries):
        sample = {
            'img_path': entry.path,
            'saliency': entry.saliency,
            'gt_mask': entry.mask,
        }
        metric.process({}, [sample])
        images.append(write(entry, number, args.out, metric.results[-1].values))
    found = metric.evaluate(len(images))
    summary = {name.removeprefix('saliency/'): value for name, value in found.items()}
    report(args, place, summary, images)
    return 0


def report(
    args: argparse.Namespace, place: str, summary: dict, images: list[dict]
) -> None:
    """Write saliency.json, and say what is in it."""
    scored, unmasked = summary['scored'], summary['unmasked']
    measures = {name: summary[name] for name in MEASURES} if scored else None
    content = {
        'method': args.method,
        'place': place,
        'target': args.target,
        'threshold': args.threshold,
        'tolerance': args.tolerance,
        'scored': scored,
        'unmasked': unmasked,
        'localisation': measures,
        'images': images,
    }
    path = args.out / 'saliency.json'
    write_json(path, content)
    if measures:
        values = ', '.join(f'{name} {value:.3f}' for name, value in measures.items())
        print(f'{values}: mean over {scored} images with a mask')
    if unmasked:
        print(f'{unmasked} images without a mask are drawn and not scored')
    print(f'{len(images)} pictures and {path.name} in {args.out}')


if __name__ == '__main__':
    raise SystemExit(main())
