"""Learn three products of good images alone, then two more, and decide on each.

Draws toy products laid out as MVTec-AD, trains the toy stream of the product memory,
and shows its page: what every product scores, whether it is recognised, and how its
alarm does on images that were never learned. Then it looks at a product that it does
not know. Needs no download and no pretrained weights; two minutes on two cores.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # for demo

from demo import follow, say
from mmdefect.streams.closing import summary_text
from mmdefect.streams.matrix import StreamMatrix
from mmdefect.streams.report.maps import alarm_table
from mmdefect.testing import make_toy_products
from mmdefect.visualization.page import markdown_table

DATA = Path('data/toy/demo_maps')
WORK = Path('work_dirs/demo_maps')
STREAM = WORK / 'memory'
CONFIG = 'configs/memory/memory_toy_3-1x2.py'
SHOWN = re.compile(r' - INFO - (\[[^\]]*_toy_.*step \d|product .* alarm at)')
# The toy stream never learns this one.
UNKNOWN = 'dots'
TRAIN, TEST = 150, 40

# What the page has to show, or the demo has failed.
AUROC_AT_LEAST = 0.85
RECOGNISED_AT_LEAST = 0.99
# Certified are 5 %; sixteen good images a product cannot tell that from a little more.
FALSE_ALARMS_AT_MOST = 0.08
UNKNOWN_AT_LEAST = 0.90


def main() -> int:
    begin = time.monotonic()
    for folder in (WORK, DATA):  # the demo's own, made anew
        shutil.rmtree(folder, ignore_errors=True)
    WORK.mkdir(parents=True)
    say('Drawing six products')
    make_toy_products(DATA, train=TRAIN, test=TEST)
    say('Cloth, marble and wood are learned; then metal; then tiles')
    follow('train', train_command(), work=WORK, shown=SHOWN)
    say(f'What is {UNKNOWN}, which nobody has shown it?')
    photos = DATA / UNKNOWN / 'test/good'
    follow('unknown', predict_command(photos), work=WORK)

    matrix = StreamMatrix.load(STREAM / 'matrix.json')
    counts = decisions(WORK / 'unknown')
    said = ', '.join(f'{number} {name}' for name, number in counts.items())
    print(f'  {counts.total()} images: {said}')
    print(f'\n{summary_text(matrix)}\n\n{markdown_table(alarm_table(matrix))}\n')
    print(f'Report: {(STREAM / "report/index.html").resolve()}')
    print(f'Total: {time.monotonic() - begin:.0f} s')
    return verdict(**measured(matrix), unknown=share(counts, 'unknown product'))


def train_command() -> list[str]:
    data = [
        f'{split}_dataloader.dataset.data_root={DATA}/' for split in ('train', 'test')
    ]
    command = ['bash', 'tools/dist_train.sh', CONFIG, '1', '--work-dir', str(STREAM)]
    return [*command, '--cfg-options', *data]


def predict_command(photos: Path) -> list[str]:
    words = ['predict', str(STREAM), str(photos), '--out', str(WORK / 'unknown')]
    return [sys.executable, '-m', 'mmdefect', *words]


def decisions(folder: Path) -> Counter[str]:
    """How many results there are of each decision."""
    lines = (folder / 'results.jsonl').read_text(encoding='utf-8').splitlines()
    return Counter(json.loads(line)['decision'] for line in lines)


def share(counts: Counter[str], name: str) -> float:
    return counts[name] / max(counts.total(), 1)


def measured(matrix: StreamMatrix) -> dict[str, float | None]:
    """What the page shows of all products after the last step."""
    last = matrix.steps[-1].step
    means = {
        name: matrix.group(metric=name, step=last, name='all')
        for name in ('image_auroc', 'routing', 'false_alarm')
    }
    lost = matrix.forgetting(metric='image_auroc', step=last)
    return {**means, 'lost': max(lost.values(), default=0.0)}


def verdict(
    *,
    image_auroc: float | None,
    routing: float | None,
    false_alarm: float | None,
    lost: float | None,
    unknown: float,
) -> int:
    """Check what the page claims; say what does not hold and return the exit code."""
    if None in (image_auroc, routing, false_alarm, lost):
        print('FAILED: the stream has no scores', file=sys.stderr)
        return 1
    claims = {
        f'image AUROC {image_auroc:.3f}, at least {AUROC_AT_LEAST}': image_auroc
        >= AUROC_AT_LEAST,
        f'{routing:.1%} recognised, at least {RECOGNISED_AT_LEAST:.0%}': routing
        >= RECOGNISED_AT_LEAST,
        f'{false_alarm:.1%} false alarms, at most {FALSE_ALARMS_AT_MOST:.0%}': (
            false_alarm <= FALSE_ALARMS_AT_MOST
        ),
        f'{lost:.4f} of an old product is lost, 0': lost <= 0,
        f'{unknown:.0%} of {UNKNOWN} are unknown, at least {UNKNOWN_AT_LEAST:.0%}': (
            unknown >= UNKNOWN_AT_LEAST
        ),
    }
    for claim, holds in claims.items():
        if not holds:
            print(f'FAILED: {claim} expected', file=sys.stderr)
    return 0 if all(claims.values()) else 1


if __name__ == '__main__':
    raise SystemExit(main())
