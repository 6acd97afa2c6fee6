r"""Test a checkpoint with the mmcv stand-in and with compiled mmcv ops, and compare.

Compiled ops are taken from a folder that holds an mmcv built with them:

    MMCV_WITH_OPS=1 pip wheel --no-build-isolation --no-deps --no-cache-dir \
        --no-binary onedl-mmcv onedl-mmcv==2.3.6 -w build/
    pip install --no-deps --target build/mmcv_ops build/onedl_mmcv-*.whl
    python tools/analysis_tools/compare_ops.py CONFIG CHECKPOINT --ops build/mmcv_ops
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from mmdefect.utils.checkpoint import load_weights

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # for lab/
from lab.detections import compare_detections
from lab.results import write_results

WHICH = 'import mmdefect, mmcv._ext as e; print(e.__file__)'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config')
    parser.add_argument('checkpoint')
    parser.add_argument('--ops', required=True, help='folder of an mmcv with ops')
    parser.add_argument('--step', type=int, help='test as this step of the stream')
    parser.add_argument('--work-dir', default='work_dirs/compare_ops')
    parser.add_argument('--dataset', default='NEU-DET')
    parser.add_argument('--out', help='results file to write')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    begin = time.monotonic()
    standin = detections(args, 'standin', dict(os.environ))
    path = os.pathsep.join([args.ops, os.environ.get('PYTHONPATH', '')])
    compiled = detections(args, 'compiled', {**os.environ, 'PYTHONPATH': path})
    found = compare_detections(compiled, standin)
    for key, value in found.items():
        print(f'{key:22s} {value:g}')
    if args.out:
        write_results(
            args.out,
            name=Path(args.out).stem,
            command=f'python {" ".join(sys.argv)}',
            dataset=args.dataset,
            seeds=[load_weights(args.checkpoint)['meta']['seed']],
            metrics=found,
            duration_s=time.monotonic() - begin,
            notes='compiled mmcv ops against the stand-in; boxes in pixels',
        )
    return int(found['unpaired'] > 0 or found['detections'] == 0)


def detections(args: argparse.Namespace, name: str, env: dict[str, str]) -> list[dict]:
    """Test in a process of its own; return its detections in COCO's format."""
    python = [sys.executable, '-c', WHICH]
    which = subprocess.run(python, env=env, capture_output=True, text=True, check=True)  # noqa: S603  fixed words
    ops = which.stdout.strip()
    print(f'{name}: mmcv ops from {ops}', flush=True)
    if ('standin' in Path(ops).name) != (name == 'standin'):
        raise SystemExit(
            f'{ops}: expected the {name} version of mmcv ops; check --ops and what is '
            'installed'
        )
    prefix = Path(args.work_dir) / name
    prefix.parent.mkdir(parents=True, exist_ok=True)
    test = Path(__file__).resolve().parents[1] / 'test.py'
    command = [sys.executable, str(test), args.config, args.checkpoint]
    command += ['--work-dir', args.work_dir]
    command += [] if args.step is None else ['--step', str(args.step)]
    command += ['--cfg-options', f'test_evaluator.outfile_prefix={prefix}']
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)  # noqa: S603  test.py, no shell
    return json.loads(prefix.with_suffix('.bbox.json').read_text(encoding='utf-8'))


if __name__ == '__main__':
    raise SystemExit(main())
