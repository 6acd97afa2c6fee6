r"""Prune a classifier: many sizes of it, and which one to take.

Example:
    prune.py configs/ftl/mobilenet-v2_pruned_cracks.py --work-dir work_dirs/cracks

Filters are scored (score), the features of every smaller network taken (extract), heads
fitted and, if the config says so, the networks trained (train), all measured (test).
--stage runs one of the four. Interrupted, the same command goes on.

WORK_DIR/index.html compares the networks. Each has a folder with plan.json,
classifier.pth and classifier.py, an ordinary config for dist_train.sh and dist_test.sh.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path

import mmdefect  # noqa: F401  first: it says what is not installed

# isort: split
from mmengine.config import DictAction

from mmdefect.apis import load_config, recorded
from mmdefect.comparison.run import train_only
from mmdefect.compat import check_provider
from mmdefect.pruning.report import headline, write_sweep
from mmdefect.pruning.sweep.run import PruneRun
from mmdefect.pruning.sweep.stages import STAGES, run_all
from mmdefect.pruning.sweep.workdir import add_work, take_dense
from mmdefect.utils.checkpoint import use_safe_loading
from mmdefect.utils.console import quiet_console
from mmdefect.utils.environment import describe_environment

TOOLS = Path(__file__).resolve().parent


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config of a classifier with prune')
    parser.add_argument(
        '--work-dir', help="by default the config's, else work_dirs/<config name>"
    )
    parser.add_argument(
        '--stage', choices=list(STAGES), help='run this stage only; by default all four'
    )
    parser.add_argument(
        '--dense-from',
        type=Path,
        metavar='WORK_DIR',
        help='take the whole network of this run, which differs in the score only',
    )
    parser.add_argument(
        '--gpus', type=int, default=1, help='GPUs or CPU processes of fine-tuning'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override config entries, key=value; lists as key="[a,b]"',
    )
    return parser.parse_args()


@recorded('the same command goes on')
def main() -> None:
    args = parse_args()
    cfg = load_config(args.config, cfg_options=args.cfg_options, work_dir=args.work_dir)
    check_provider(('mmengine', 'mmcv'))
    quiet_console()
    use_safe_loading()
    begin, environment = time.monotonic(), describe_environment()

    def say(line: str) -> None:
        print(f'[{time.monotonic() - begin:.0f} s] {line}', flush=True)

    command = shlex.join(['python', 'tools/prune.py', *sys.argv[1:]])
    run = PruneRun(
        cfg,
        trainer=lambda config, work_dir: train_only(
            config, work_dir, tools=TOOLS, processes=args.gpus
        ),
        processes=args.gpus,
        progress=say,
    )
    say(f'{len(run.candidates)} networks in {run.work_dir}, the whole one first')
    if args.dense_from:
        take_dense(run.work_dir, args.dense_from)
    try:
        sweep = STAGES[args.stage](run) if args.stage else run_all(run)
    finally:  # also of a part that was interrupted
        if run.worked:
            add_work(
                run.work_dir,
                time.monotonic() - begin,
                environment,
                None if args.stage else command,
            )
    if sweep is None:
        return
    page = write_sweep(run, sweep, command=command)
    print(f'{headline(sweep)}\npage: {page}')


if __name__ == '__main__':
    main()
