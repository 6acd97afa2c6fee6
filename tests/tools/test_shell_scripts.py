"""Tests of the launchers in tools/: their arguments reach the launcher untouched."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / 'tools'
SCRIPTS = sorted(TOOLS.glob('*.sh'))
# Prints every argument it got on a line of its own, and the threads of a process.
SAY = 'printf "%s\\n" "$@" "threads=${OMP_NUM_THREADS:-}"'
# The Python that starts torchrun; asked for a free port, it is a real one.
FAKE = f"""#!/usr/bin/env bash
if [[ $1 == -c ]]; then exec {sys.executable} "$@"; fi
if [[ $1 == -m && $2 == mmdefect.utils.launch ]]; then shift 2; fi
"""
EXTRA = ['--cfg-options', 'name=two words', 'glob=*']


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return an environment with a fake Python and srun, and nothing else set."""
    for name in ('torchrun', 'python3', 'srun'):
        (tmp_path / name).write_text(f'{FAKE}{SAY}\n', encoding='utf-8')
        (tmp_path / name).chmod(0o755)
    return {'PATH': f'{tmp_path}{os.pathsep}{os.environ["PATH"]}'}


def _run(
    script: str, *args: str, env: dict[str, str], cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(TOOLS / script), *args],
        env=env,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def _launched(*args: str, env: dict[str, str], cwd: Path | None = None) -> list[str]:
    result = _run(*args, env=env, cwd=cwd)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_smoke_shellcheck() -> None:
    shellcheck = Path(sys.executable).with_name('shellcheck')
    if not shellcheck.is_file():
        pytest.skip('shellcheck is not installed in this environment')
    result = subprocess.run(
        [shellcheck, *SCRIPTS, ROOT / '.ci/run'],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda path: path.name)
def test_smoke_strict_and_executable(script: Path) -> None:
    assert os.access(script, os.X_OK)
    assert 'set -euo pipefail\n' in script.read_text(encoding='utf-8')


@pytest.mark.parametrize(
    ('script', 'usage', 'arguments'),
    [
        ('dist_train.sh', 'CONFIG GPUS', 2),
        ('dist_test.sh', 'CONFIG CHECKPOINT|WORK_DIR GPUS', 3),
        ('dist_predict.sh', 'MODEL GPUS INPUT... --out DIR', 3),
        ('dist_launch.sh', 'GPUS SCRIPT', 2),
        ('slurm_train.sh', 'PARTITION JOB CONFIG WORK_DIR', 4),
        ('slurm_test.sh', 'PARTITION JOB CONFIG CHECKPOINT|WORK_DIR', 4),
        ('slurm_predict.sh', 'PARTITION JOB MODEL INPUT... --out DIR', 4),
        ('slurm_launch.sh', 'PARTITION JOB SCRIPT', 3),
    ],
)
def test_exception_usage(
    script: str, usage: str, arguments: int, environment: dict[str, str]
) -> None:
    result = _run(script, *['1'] * (arguments - 1), env=environment)
    assert result.returncode == 2
    assert re.fullmatch(
        rf'Usage: \S*{script} {re.escape(usage)} \[.*\]\n', result.stderr
    )


NUMBERS = {
    ('dist_train.sh', 'GPUS'): 'a number of processes, 1 or more',
    ('dist_test.sh', 'GPUS'): 'a number of processes, 1 or more',
    ('dist_train.sh', 'NNODES'): 'a number of nodes, 1 or more',
    ('dist_train.sh', 'NODE_RANK'): 'the number of this node, 0 or more',
    ('dist_train.sh', 'PORT'): 'a free port, 1 or more',
    ('slurm_train.sh', 'GPUS'): 'a number of processes, 1 or more',
    ('slurm_train.sh', 'GPUS_PER_NODE'): 'a number of processes on each node, 1',
    ('slurm_train.sh', 'CPUS_PER_TASK'): 'a number of cores for each process, 1',
}
VALUES = ('0', '', '-1', 'two', '1.5', '08', '9' * 20)


@pytest.mark.parametrize(
    ('script', 'name', 'value'),
    [
        *((*key, 'PATH[$(touch ran)]') for key in NUMBERS),
        *(('dist_train.sh', 'GPUS', value) for value in VALUES),
    ],
)
def test_exception_numbers(
    script: str, name: str, value: str, environment: dict[str, str], tmp_path: Path
) -> None:
    """Nothing that stands in a number is run."""
    arguments = {
        'dist_train.sh': ['c.py', '1'],
        'dist_test.sh': ['c.py', 'dir', '1'],
        'slurm_train.sh': ['p', 'j', 'c.py', 'd'],
    }[script]
    if name == 'GPUS' and script != 'slurm_train.sh':
        arguments[-1] = value
    env = environment | {name: value}
    result = _run(script, *arguments, env=env, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith(f'{name}={value}: expected {NUMBERS[script, name]}')
    assert result.stdout == ''
    assert not (tmp_path / 'ran').exists()


def test_exception_nodes_without_port(environment: dict[str, str]) -> None:
    """A port that each node picked for itself would never connect them."""
    result = _run('dist_train.sh', 'c.py', '1', env=environment | {'NNODES': '2'})
    assert result.returncode == 2
    assert (
        result.stderr == 'NNODES=2: expected a port that all nodes agree on; set PORT\n'
    )
    environment |= {'NNODES': '2', 'PORT': '29600'}
    result = _run('dist_train.sh', 'c.py', '1', env=environment)
    assert result.returncode == 2
    assert 'expected the address of the first node; set MASTER_ADDR' in result.stderr


def test_feature_dist_train(environment: dict[str, str], tmp_path: Path) -> None:
    """From any folder, on a free port, arguments with blanks and stars unharmed."""
    lines = _launched(
        'dist_train.sh', 'my config.py', '2', *EXTRA, env=environment, cwd=tmp_path
    )
    port = lines.pop(9)
    assert 1024 <= int(port) <= 65535
    assert lines == [
        *('--nnodes', '1', '--node_rank', '0', '--nproc_per_node', '2'),
        *('--master_addr', '127.0.0.1', '--master_port'),
        *(f'{TOOLS}/train.py', 'my config.py', '--launcher', 'pytorch', *EXTRA),
        f'threads={max(1, len(os.sched_getaffinity(0)) // 2)}',
    ]


def test_feature_dist_test(environment: dict[str, str]) -> None:
    lines = _launched('dist_test.sh', 'c.py', 'a dir', '999', *EXTRA, env=environment)
    assert lines[5] == '999'
    assert lines[10:] == [
        *(f'{TOOLS}/test.py', 'c.py', 'a dir', '--launcher', 'pytorch', *EXTRA),
        'threads=1',  # more processes than cores
    ]


def test_feature_predict(environment: dict[str, str]) -> None:
    """Both start the command itself, as a module."""
    given = ['a model', 'photos', '--out', 'my results']
    lines = _launched('dist_predict.sh', given[0], '2', *given[1:], env=environment)
    expected = ['mmdefect', 'predict', given[0], '--launcher', 'pytorch', *given[1:]]
    assert lines[10:-1] == ['--module', *expected]
    lines = _launched('slurm_predict.sh', 'part', 'job', *given, env=environment)
    expected[4] = 'slurm'
    assert lines[lines.index('-u') + 1 : -1] == ['-m', *expected]


def test_feature_environment(environment: dict[str, str]) -> None:
    """Several nodes, as documented; a number of threads that was set stays."""
    settings = {
        'NNODES': '3',
        'NODE_RANK': '2',
        'MASTER_ADDR': '10.0.0.7',
        'PORT': '29555',
        'OMP_NUM_THREADS': '7',
    }
    lines = _launched('dist_train.sh', 'c.py', '4', env=environment | settings)
    assert lines[:10] == [
        *('--nnodes', '3', '--node_rank', '2', '--nproc_per_node', '4'),
        *('--master_addr', '10.0.0.7', '--master_port', '29555'),
    ]
    assert lines[-1] == 'threads=7'


def test_feature_memory_is_kept(environment: dict[str, str], tmp_path: Path) -> None:
    """Unless the user says otherwise."""
    python = tmp_path / 'python3'
    python.write_text(f'{FAKE}echo "$MALLOC_MMAP_MAX_"\n', encoding='utf-8')
    assert _launched('dist_train.sh', 'c.py', '1', env=environment) == ['0']
    own = environment | {'MALLOC_MMAP_MAX_': '65536'}
    assert _launched('dist_train.sh', 'c.py', '1', env=own) == ['65536']


def test_feature_exit_status(environment: dict[str, str], tmp_path: Path) -> None:
    """A failed run must not look like a good one."""
    (tmp_path / 'python3').write_text(f'{FAKE}exit 7\n', encoding='utf-8')
    assert _run('dist_train.sh', 'c.py', '1', env=environment).returncode == 7


@pytest.mark.parametrize(
    ('script', 'target'),
    [
        ('slurm_train.sh', ['train.py', 'c.py', '--work-dir', 'a dir']),
        ('slurm_test.sh', ['test.py', 'c.py', 'a dir']),
    ],
)
def test_feature_slurm(
    script: str, target: list[str], environment: dict[str, str]
) -> None:
    settings = environment | {'GPUS': '4', 'SRUN_ARGS': '--quotatype spot'}
    lines = _launched(script, 'part', 'a job', 'c.py', 'a dir', *EXTRA, env=settings)
    assert lines[:-1] == [
        *('--partition', 'part', '--job-name', 'a job', '--gres', 'gpu:4'),
        *('--ntasks', '4', '--ntasks-per-node', '4', '--cpus-per-task', '5'),
        *('--kill-on-bad-exit=1', '--quotatype', 'spot', 'python', '-u'),
        *(f'{TOOLS}/{target[0]}', *target[1:], '--launcher', 'slurm', *EXTRA),
    ]


def test_feature_slurm_defaults(environment: dict[str, str]) -> None:
    lines = _launched('slurm_train.sh', 'p', 'j', 'c.py', 'd', env=environment)
    assert lines[5:12] == [
        *('gpu:8', '--ntasks', '8', '--ntasks-per-node', '8', '--cpus-per-task', '5'),
    ]


HOSTILE = ('$(touch x)', '`touch x`', 'a; touch x', "it's", 'a  b', '*', '-n', '\\', '')


def test_exception_no_argument_is_run(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Whatever stands in a path or an option arrives as it is."""
    args = ('some.py', '1', *HOSTILE)
    launched = _launched('dist_train.sh', *args, env=environment, cwd=tmp_path)
    assert launched[-len(HOSTILE) - 1 : -1] == list(HOSTILE)
    slurm = ('part', 'a job; touch x', 'c.py', 'work $(touch x)', *HOSTILE)
    launched = _launched('slurm_train.sh', *slurm, env=environment, cwd=tmp_path)
    assert launched[-len(HOSTILE) - 1 : -1] == list(HOSTILE)
    assert {'a job; touch x', 'work $(touch x)'} <= set(launched)
    hostile = {**environment, 'SRUN_ARGS': '--comment=$(touch${IFS}x)', 'PORT': '1'}
    launched = _launched('slurm_train.sh', *slurm, env=hostile, cwd=tmp_path)
    assert '--comment=$(touch${IFS}x)' in launched
    assert not (tmp_path / 'x').exists()
