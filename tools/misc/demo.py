"""Learn three defect kinds, then three more without the old images, in three ways.

Generates toy steel images laid out as NEU-DET, converts them with the real converter,
trains the toy stream with plain fine-tuning, with SD-IDD and with all images (the upper
bound), and writes a page that compares them. Needs no download; a few minutes on two
cores.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

from mmdefect.streams.report.comparison import (
    LEGEND,
    comparison_table,
    read_streams,
    write_comparison,
)
from mmdefect.testing import make_toy_neu_det
from mmdefect.visualization.page import markdown_table

REPO = Path(__file__).resolve().parents[2]
DATA = Path('data/toy/NEU-DET')
WORK = Path('work_dirs/demo')
CONFIGS = 'configs/{}_r18_fpn_toy_neu-det_3+3.py'
EPOCH = re.compile(r'Epoch\(train\) +\[ *(\d+)\].*? loss: ([\d.]+)')
STREAM = re.compile(r' - INFO - \[[^\]]*_toy_')  # its own lines

# What the page has to show, or the demo has failed: a teacher worth keeping, that
# fine-tuning forgets and SD-IDD keeps, learning nearly as much.
TEACHER_AT_LEAST = 0.60
FINE_TUNE_KEEPS_AT_MOST = 0.40
SD_IDD_KEEPS_AT_LEAST = 0.80
SD_IDD_LEARNS_AT_LEAST = 0.85


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seed', type=int, default=0)
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    begin = time.monotonic()
    shutil.rmtree(WORK, ignore_errors=True)  # the demo's own folder, made anew
    WORK.mkdir(parents=True)

    say('Generating toy steel images')
    shutil.rmtree(DATA, ignore_errors=True)
    make_toy_neu_det(DATA, seed=0)
    run('convert', 'tools/dataset_converters/neu_det.py', DATA, '--protocol', '3+3')

    seed = f'randomness.seed={args.seed}'
    teacher = f'stream.start_from={WORK / "finetune"}'
    say('Step 0 learns crazing, inclusion, patches; step 1 fine-tunes on three more')
    train('finetune', 'gfl_stream/finetune', seed)
    say('The same teacher, the same three new kinds, with SD-IDD')
    train('sd_idd', 'sd_idd/sd-idd', seed, teacher)
    say('The upper bound: the same teacher, then all six kinds with all images')
    train('joint', 'gfl_stream/joint', seed, teacher)

    work_dirs = {preset: WORK / preset for preset in ('finetune', 'sd_idd', 'joint')}
    page = write_comparison(work_dirs, WORK / 'report')
    records = read_streams(work_dirs)
    print(f'\n{textwrap.fill(LEGEND, 88)}\n')
    print(f'{markdown_table(comparison_table(records))}\n')
    print(f'Report: {page.resolve()}')
    print(f'Total: {time.monotonic() - begin:.0f} s')
    return verdict(
        teacher=records['finetune'].group(0, 'all'),
        finetune_keeps=records['finetune'].kept(1),
        finetune_new=records['finetune'].group(1, 'new'),
        sd_idd_keeps=records['sd_idd'].kept(1),
        sd_idd_new=records['sd_idd'].group(1, 'new'),
    )


def verdict(
    *,
    teacher: float | None,
    finetune_keeps: float | None,
    finetune_new: float | None,
    sd_idd_keeps: float | None,
    sd_idd_new: float | None,
) -> int:
    """Check what the page claims; say what does not hold and return the exit code."""
    if None in (teacher, finetune_keeps, finetune_new, sd_idd_keeps, sd_idd_new):
        print('FAILED: a stream has no scores', file=sys.stderr)
        return 1
    learns = sd_idd_new / finetune_new
    claims = {
        f'teacher AP50 {teacher:.3f}, at least {TEACHER_AT_LEAST} expected': teacher
        >= TEACHER_AT_LEAST,
        f'fine-tuning keeps {finetune_keeps:.0%}, at most '
        f'{FINE_TUNE_KEEPS_AT_MOST:.0%} expected': finetune_keeps
        <= FINE_TUNE_KEEPS_AT_MOST,
        f'SD-IDD keeps {sd_idd_keeps:.0%}, at least {SD_IDD_KEEPS_AT_LEAST:.0%} '
        'expected': sd_idd_keeps >= SD_IDD_KEEPS_AT_LEAST,
        f'SD-IDD learns {learns:.0%} of what fine-tuning does, at least '
        f'{SD_IDD_LEARNS_AT_LEAST:.0%} expected': learns >= SD_IDD_LEARNS_AT_LEAST,
    }
    for claim, holds in claims.items():
        if not holds:
            print(f'FAILED: {claim}', file=sys.stderr)
    return 0 if all(claims.values()) else 1


def train(preset: str, config: str, *options: str) -> None:
    path, work_dir = CONFIGS.format(config), str(WORK / preset)
    command = ['bash', 'tools/dist_train.sh', path, '1', '--work-dir', work_dir]
    follow(preset, [*command, '--cfg-options', *options])


def run(name: str, script: str, *args: object) -> None:
    follow(name, [sys.executable, script, *map(str, args)])


def follow(
    name: str,
    command: list[str],
    *,
    work: Path | None = None,
    shown: re.Pattern[str] = STREAM,
) -> None:
    """Run a command; keep its log, show what matters of it."""
    log = (work or WORK) / f'{name}.log'
    # A model this small gains little from a second thread, and two threads that wait
    # for each other stall on cores that others use too.
    env = {'OMP_NUM_THREADS': '1', **os.environ}
    env['PATH'] = f'{Path(sys.executable).parent}{os.pathsep}{env["PATH"]}'
    epoch = ''
    with (
        log.open('w', encoding='utf-8') as file,
        subprocess.Popen(  # noqa: S603  our tools, no shell
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=env,
        ) as process,
    ):
        for line in process.stdout or ():
            file.write(line)
            file.flush()
            match = EPOCH.search(line)
            if match and match[1] != epoch:  # the first line of each epoch
                epoch = match[1]
                print(f'  epoch {epoch:>2}  loss {match[2]}', flush=True)
            elif shown.search(line):
                print(' ', line.split(' - INFO - ')[1].strip(), flush=True)
            elif name == 'convert':
                print(' ', line.rstrip(), flush=True)
    if process.returncode:
        tail = '\n'.join(log.read_text(encoding='utf-8').splitlines()[-15:])
        raise SystemExit(f'{name} failed, see {log}:\n{tail}')


def say(text: str) -> None:
    print(f'\n== {text}', flush=True)


if __name__ == '__main__':
    raise SystemExit(main())
