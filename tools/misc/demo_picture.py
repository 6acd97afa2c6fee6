"""Draw what a run of the demo has shown, and write its numbers as a results file.

Example:
    make demo
    python tools/misc/demo_picture.py --out docs/results/demo
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

import mmdefect  # noqa: F401  registers the scope and the mmcv stand-in
from mmdefect.datasets.images import read_info
from mmdefect.streams.report.comparison import read_streams
from mmdefect.streams.report.record import StreamRecord
from mmdefect.visualization.boxes import class_colours, draw_boxes
from mmdefect.visualization.plots import GROUP_COLOURS, INK, save_figure

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # for lab/
from lab.results import write_results
from lab.stream_results import collect

PRESETS = ('finetune', 'sd_idd', 'joint')
COMMAND = 'make demo'
DATASET = 'toy NEU-DET (generated, 540 images of 96 px)'
TITLES = {
    'teacher': 'before: knows 3 kinds',
    'finetune': 'fine-tuned on 3 more',
    'sd_idd': 'SD-IDD, the same images',
    'joint': 'all images, old and new',
}
ROWS = ('old kinds', 'a new kind')
# Predictions below it are not shown.
CONFIDENT = 0.3


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--work-dir', type=Path, default=Path('work_dirs/demo'), help='of make demo'
    )
    parser.add_argument(
        '--out', type=Path, required=True, help='writes OUT.png and OUT.json'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    folders = {name: args.work_dir / name for name in PRESETS}
    found = collect({name: [path] for name, path in folders.items()}, command=COMMAND)
    write_results(
        args.out.with_suffix('.json'),
        name=args.out.name,
        command=COMMAND,
        dataset=DATASET,
        seeds=found.seeds,
        metrics=found.metrics,
        duration_s=found.duration_s,
        environment=found.environment,
        runs=found.runs,
    )
    records = read_streams(folders)
    png = save_figure(draw(records), args.out.with_suffix('.png'))
    print(f'written: {png} and {args.out.with_suffix(".json")}')


def draw(records: Mapping[str, StreamRecord]) -> Figure:
    """Draw two sample images with what each model says, and its AP50 beside them."""
    first = records['finetune']
    colours = class_colours(first.state['classes'])
    said = {
        'teacher': first.samples[0],
        'finetune': first.samples[1],
        'sd_idd': records['sd_idd'].samples[1],
    }
    images = chosen(first.samples[1], first.state['steps'][0]['classes'])
    figure = Figure(figsize=(11, 4.7))
    grid = figure.add_gridspec(2, 4, width_ratios=(1, 1, 1, 1.35), wspace=0.07)
    for column, (name, samples) in enumerate(said.items()):
        for row, image in enumerate(images):
            axes = figure.add_subplot(grid[row, column])
            _image(axes, image, samples, colours)
            if row == 0:
                axes.set_title(TITLES[name], fontsize=10.5, color=INK, pad=6)
            if column == 0:
                axes.set_ylabel(ROWS[row], fontsize=10.5, color=INK)
    _bars(figure.add_subplot(grid[:, 3]), records)
    return figure


def chosen(samples: Sequence[Mapping[str, Any]], old: Sequence[str]) -> list[str]:
    """Take the first sample that shows old kinds only, and the first of a new kind."""
    kinds = {s['img_path']: {box['label'] for box in s['gt']} for s in samples}
    known = [path for path, labels in kinds.items() if labels and labels <= set(old)]
    new = [path for path, labels in kinds.items() if labels and not labels & set(old)]
    return [known[0], new[0]]


def _image(
    axes: Axes,
    image: str,
    samples: Sequence[Mapping[str, Any]],
    colours: Mapping[str, str],
) -> None:
    sample = next(s for s in samples if s['img_path'] == image)
    pixels = read_info({**sample.get('read', {}), 'img_path': image})[..., ::-1]
    axes.imshow(pixels, interpolation='nearest')
    axes.set_xticks([])
    axes.set_yticks([])
    boxes = [box for box in sample['pred'] if box['score'] >= CONFIDENT]
    draw_boxes(axes, boxes, colours=colours)


def _bars(axes: Axes, records: Mapping[str, StreamRecord]) -> None:
    """AP50 of old and new kinds, a pair a model, from top to bottom."""
    before = records['finetune'].group(0, 'all')
    values = {'teacher': {'old': before, 'new': None}}
    for name, record in records.items():
        values[name] = {group: record.group(1, group) for group in ('old', 'new')}
    for place, (name, groups) in enumerate(values.items()):
        axes.text(0, place - 0.34, TITLES[name], color=INK, va='bottom', fontsize=9.5)
        for group, shift in (('old', -0.15), ('new', 0.19)):
            if (value := groups[group]) is None:
                continue
            axes.barh(place + shift, value, 0.32, color=GROUP_COLOURS[group])
            text = f' {100 * value:.0f}  {group} kinds'
            axes.text(value, place + shift, text, color=INK, va='center', fontsize=9)
    axes.set_xlim(0, 1.6)
    axes.set_ylim(len(values) - 0.55, -0.6)
    axes.set_title('AP50 in percent', fontsize=10.5, color=INK, pad=6)
    axes.set_axis_off()


if __name__ == '__main__':
    main()
