"""Repeated streams as flat metrics."""

from __future__ import annotations

import json

import pytest

from mmdefect.streams.collect import collect
from tests.helpers.synthetic_stream import make_stream


def stream(root, name, *, seed, **kwargs):
    work_dir = make_stream(root, name, **kwargs)
    (work_dir / 'step_1' / f'{name}.py').write_text(f'randomness = dict(seed={seed})\n')
    return work_dir


def test_smoke(tmp_path) -> None:
    found = collect(
        {
            'finetune': [
                stream(tmp_path, 'f0', seed=3, last=[0.1, 0.1, 0.1, 0.5, 0.5, 0.5]),
                stream(tmp_path, 'f1', seed=4, last=[0.3, 0.3, 0.3, 0.7, 0.7, 0.7]),
            ]
        }
    )
    assert found.seeds == [3, 4]
    assert found.duration_s == pytest.approx(4 * 83.4)
    assert found.environment['commit'] == '0123456789'
    assert found.metrics == pytest.approx(
        {
            'teacher/old': 0.71,
            'teacher/old_std': 0.0,
            'finetune/old': 0.2,
            'finetune/old_std': 0.02**0.5,
            'finetune/new': 0.6,
            'finetune/new_std': 0.02**0.5,
            'finetune/all': 0.4,
            'finetune/all_std': 0.02**0.5,
        }
    )


def test_exception_unfinished(tmp_path) -> None:
    work_dir = stream(tmp_path, 'f0', seed=0)
    state = json.loads((work_dir / 'stream.json').read_text())
    state['steps'][1]['state'] = 'running'
    (work_dir / 'stream.json').write_text(json.dumps(state))
    with pytest.raises(ValueError, match='has steps finished, running'):
        collect({'finetune': [work_dir]})


def test_exception_other_seeds(tmp_path) -> None:
    one, other = stream(tmp_path, 'f', seed=0), stream(tmp_path, 'j', seed=1)
    with pytest.raises(ValueError, match=r'seeds joint \[1\] were found, \[0\] as in'):
        collect({'finetune': [one], 'joint': [other]})


def test_exception_no_seed(tmp_path) -> None:
    work_dir = stream(tmp_path, 'f0', seed=None)
    with pytest.raises(ValueError, match=r'has no randomness\.seed'):
        collect({'finetune': [work_dir]})


def test_exception_several_commits(tmp_path) -> None:
    work_dir = stream(tmp_path, 'f0', seed=0)
    state = json.loads((work_dir / 'stream.json').read_text())
    state['steps'][1]['environment']['commit'] = 'fedcba9876'
    (work_dir / 'stream.json').write_text(json.dumps(state))
    with pytest.raises(
        ValueError, match='came from the commits 0123456789, fedcba9876'
    ):
        collect({'finetune': [work_dir]})
