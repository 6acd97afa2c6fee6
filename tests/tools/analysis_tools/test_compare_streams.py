"""compare_streams.py as a user runs it."""

from __future__ import annotations

from tests.conftest import run_tool
from tests.helpers.synthetic_stream import make_stream

TOOL = 'tools/analysis_tools/compare_streams.py'


def test_smoke(tmp_path) -> None:
    work_dir = make_stream(tmp_path)
    done = run_tool(TOOL, f'finetune={work_dir}', '--out', tmp_path / 'out')
    # What the numbers are, before the numbers.
    assert done.stdout.index('Old kept is the score') < done.stdout.index('| Model |')
    assert '| finetune | 2.7 % | 72.3 % | 37.5 % | 4 % |' in done.stdout
    assert done.stdout.endswith(f'report: {tmp_path / "out" / "index.html"}\n')
    assert (tmp_path / 'out' / 'index.html').is_file()


def test_exception_argument(tmp_path) -> None:
    done = run_tool(TOOL, tmp_path, '--out', tmp_path / 'out', check=False)
    assert done.returncode == 2
    assert 'NAME=WORK_DIR was expected' in done.stderr
