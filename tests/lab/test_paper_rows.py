"""Rows of the papers' tables: shared bases, visits that end early, one results file.

The training itself, in a process of its own, is slow.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab import paper_rows
from lab.paper_rows import command_of, main, train, train_rows
from lab.paper_tables import TABLES
from mmdefect.apis import load_config
from mmdefect.comparison.options import parsed
from mmdefect.streams.state import config_hash
from mmdefect.streams.stream import build_stream, resolve_step_config
from tests.conftest import REPO, toy_options
from tests.helpers.synthetic_stream import make_stream

TOY = TABLES['toy']


def finish(root: Path, name: str) -> None:
    folder = make_stream(root, name)
    config = folder / 'step_1' / f'{name}.py'
    config.write_text('randomness = dict(seed=0)\n', encoding='utf-8')


def work_dir_of(command: list[str]) -> Path:
    return Path(command[command.index('--work-dir') + 1])


@pytest.mark.parametrize('table', TABLES)
def test_smoke_rows_resolve_and_share_their_base(table: str, tmp_path: Path) -> None:
    """Else a row would be refused on the machine, its minutes spent."""
    rows = TABLES[table].rows
    hashes = {}
    for name, row in rows.items():
        command = command_of(TABLES[table], name, tmp_path)
        given = command[command.index('--cfg-options') + 1 :]
        options = [o for o in given if not o.startswith('stream.start_from')]
        assert (len(given) > len(options)) is (name != 'finetune' and not row.own_base)
        cfg = load_config(REPO / command[1], cfg_options=parsed(options))
        stream = build_stream(cfg)
        steps = [resolve_step_config(cfg, s, stream) for s in range(len(stream))]
        if not row.own_base:
            hashes[name] = config_hash(steps[0])
        if table in ('neu-det', 'deeppcb'):
            rates = [step.optim_wrapper.optimizer.lr for step in steps]
            ends = [step.param_scheduler[0].end for step in steps]
            same = name == 'joint'
            assert (rates, ends) == ([8e-3, [1e-3, 8e-3][same]], [62, [500, 62][same]])
            assert steps[0].train_dataloader.batch_size == 16
            assert steps[1].model.backbone.style == 'caffe'
        if table == 'mvtec':
            assert [len(names) for names in stream.steps] == [3, 1, 1, 1]
            assert steps[0].train_dataloader.dataset.data_root == 'data/ten_products/'
    assert len(set(hashes.values())) == 1


def test_feature_the_first_row_comes_first(tmp_path: Path) -> None:
    commands: list[list[str]] = []

    def fake(command: list[str], seconds: float) -> bool:
        commands.append(command)
        finish(tmp_path, work_dir_of(command).name)
        return True

    done = train_rows(TOY, ['sd_idd'], tmp_path, seconds=60, train=fake)
    assert done == ['finetune', 'sd_idd']
    assert [work_dir_of(c).name for c in commands] == done
    assert commands[1][-1] == f'stream.start_from={tmp_path / "finetune"}'
    # Another visit: nothing is trained again.
    assert train_rows(TOY, ['sd_idd'], tmp_path, seconds=60, train=fake) == done
    assert len(commands) == 2


def test_feature_a_visit_ends_early_and_goes_on(
    tmp_path: Path, repository: Path, monkeypatch, capsys
) -> None:
    """The results file has what is finished; the next visit takes up the rest."""
    work, out = tmp_path / 'work', repository / 'toy.json'
    stopped = {'sd_idd'}

    def fake(command: list[str], seconds: float) -> bool:
        name = work_dir_of(command).name
        if name not in stopped:
            finish(work, name)
        return name not in stopped

    monkeypatch.setattr(paper_rows, 'train', fake)
    argv = ['toy', '--work-dir', str(work), '--out', str(out)]
    assert main(argv) == 1
    assert list(json.loads(out.read_text(encoding='utf-8'))['runs']) == ['finetune']
    assert 'left for the next visit: sd_idd' in capsys.readouterr().out
    stopped.clear()
    assert main(argv) == 0
    content = json.loads(out.read_text(encoding='utf-8'))
    assert list(content['runs']) == ['finetune', 'sd_idd']
    assert round(content['metrics']['sd_idd/all'], 3) == 0.375
    assert content['dataset'] == 'toy NEU-DET (generated)'


def test_feature_time_is_over_before_a_row(tmp_path: Path) -> None:
    def never(command: list[str], seconds: float) -> bool:
        raise AssertionError(command)

    assert train_rows(TOY, ['finetune'], tmp_path, seconds=0, train=never) == []


def test_feature_a_tool_is_stopped(tmp_path: Path, monkeypatch) -> None:
    """As by a scheduler: it can save what it has."""
    script = tmp_path / 'tool.py'
    script.write_text(
        'import signal, sys, time\n'
        'def stop(*_):\n    open("saved", "w").close()\n    sys.exit(1)\n'
        'signal.signal(signal.SIGTERM, stop)\n'
        'open("begun", "w").close()\ntime.sleep(60)\n',
        encoding='utf-8',
    )
    monkeypatch.setattr(paper_rows, 'ROOT', tmp_path)
    assert not train([str(script)], 1.0)
    assert (tmp_path / 'begun').exists() == (tmp_path / 'saved').exists()


def test_exception_unknown_row(capsys) -> None:
    with pytest.raises(SystemExit):
        main(['toy', '--rows', 'lwf', '--work-dir', 'w', '--out', 'o.json'])
    assert '--rows lwf: expected some of finetune, sd_idd' in capsys.readouterr().err


@pytest.mark.slow
def test_smoke_on_toys(tmp_path: Path, toy_neu_det: Path) -> None:
    """A row in a process of its own, as the tables give it."""
    short = {
        **toy_options(toy_neu_det),
        'stream.base.train_cfg.max_epochs': 1,
        'stream.increment.train_cfg.max_epochs': 1,
    }
    command = command_of(TOY, 'finetune', tmp_path)
    assert train([*command, *(f'{key}={value}' for key, value in short.items())], 600)
    assert paper_rows.is_finished(tmp_path / 'finetune')
