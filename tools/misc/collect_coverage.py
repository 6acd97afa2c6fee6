"""Write what the tests cover, as measured in a clone, into a results file.

Example:
    python -m pytest -m 'not slow' --cov=mmdefect --cov-branch \
        --cov-report=json:coverage.json
    collect_coverage.py coverage.json docs/results/coverage.json --clone . --seconds 300
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # for lab/
from lab.coverage import coverage_metrics
from lab.results import write_results
from mmdefect.utils.environment import describe_environment, git_commit

COMMAND = (
    "python -m pytest -n 2 -m 'not slow' --cov=mmdefect --cov-branch "
    '--cov-report=json:coverage.json'
)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('report', type=Path, help='JSON of coverage.py')
    parser.add_argument('out', type=Path, help='results file')
    parser.add_argument('--clone', type=Path, required=True, help='what was measured')
    parser.add_argument('--seconds', type=float, required=True, help='of the tests')
    args = parser.parse_args(argv)
    report = json.loads(args.report.read_text(encoding='utf-8'))
    write_results(
        args.out,
        name=args.out.stem,
        command=COMMAND,
        dataset='tests of the fast tier',
        seeds=[0],
        metrics=coverage_metrics(report),
        duration_s=args.seconds,
        environment={**describe_environment(), 'commit': git_commit(args.clone)},
        notes='the slow tier and what runs in processes of its own are not counted',
    )


if __name__ == '__main__':
    main()
