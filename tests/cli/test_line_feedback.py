"""``mmdefect line export-feedback`` from the shell, and the command that it names."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from mmengine.config import Config

from mmdefect.cli.main import main
from mmdefect.line.verdicts import give
from mmdefect.streams.state import StepState, StreamState
from tests.helpers.dataset_files import tool
from tests.helpers.reviewed_line import DENT, decide, draw, make_line

Out = pytest.CaptureFixture[str]
mvtec_ad = tool('mvtec_ad')


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_smoke_boxes(capsys: Out) -> None:
    """The command that is named makes a detector with the new kind at the end."""
    line = make_line(Path('l'))
    for seed in range(10):
        path = draw(Path(f'{seed}.png'), seed)
        decide(line, path, *[DENT] * (seed < 5))
        if seed < 5:
            give(line, path, 'confirmed')
        else:
            box = (1, 2, 12, 12)
            give(line, path, 'missed', kind='a hole', box=box, new_kind=True)
    assert main(['line', 'export-feedback', 'l', 'out']) == 0
    *said, end = capsys.readouterr().out.splitlines()
    assert said == ['out: 10 images, 0 of them good; dent 5, a hole 5']
    command = end.removeprefix('next: ')
    assert command == (
        "mmdefect init boxes out --classes dent crack 'a hole' --out out.py"
    )
    Path('my_line.py').touch()  # of another data set, as the guides call it
    assert main(shlex.split(command)[1:]) == 0
    config = Config.fromfile('out.py')
    assert [*config.classes] == ['dent', 'crack', 'a hole']
    assert config.model.bbox_head.num_classes == 3


def test_smoke_maps(capsys: Out) -> None:
    """A product that is new to a work dir is learned after those it knows."""
    line = make_line(Path('l'), 'routed')
    for seed, product in enumerate(['bottle', None, None, None]):
        path = draw(Path(f'{seed}.png'), seed)
        decision = 'defective' if product else 'unknown product'
        decide(line, path, decision=decision, product=product)
        given = {} if product else {'product': 'nut', 'new_kind': True}
        verdict = 'missed' if seed == 3 else 'false alarm'
        give(line, path, verdict, **given)
    assert main(['line', 'export-feedback', 'l', 'out', '--form', 'mvtec']) == 0
    said = capsys.readouterr().out
    assert 'out: 4 images, 3 of them good; anomaly 1\n' in said
    assert 'note: known products, bottle: ' in said
    assert mvtec_ad(Path('out'), '--full') == 0
    assert 'nut: 2 train, 0 good and 1 defective test images (anomaly 1)' in (
        capsys.readouterr().out
    )
    steps = [StepState(0, ['bottle', 'cable'], 'finished', checkpoint='step_0/a.pth')]
    Path('work').mkdir()
    state = StreamState(name='l', classes=['bottle', 'cable'], steps=steps)
    state.save(Path('work'))
    command = said.splitlines()[-1].removeprefix('next: ')
    assert command == 'mmdefect init maps out --out out.py'
    assert main([*shlex.split(command)[1:], '--after', 'work']) == 0
    config = Config.fromfile('out.py')
    assert config.stream.protocol == [['bottle', 'cable'], ['nut']]


def test_smoke_labels(capsys: Out) -> None:
    line = make_line(Path('l'), 'labels', keep_images='none')
    for seed, kinds in enumerate([[], ['red'], []]):
        decision = 'defective' if kinds else 'ok'
        path = draw(Path(f'{seed}.png'), seed)
        decide(line, path, decision=decision, kinds=kinds, body={'name': 'blue'})
        give(line, path, 'confirmed')
    Path('2.png').unlink()
    assert main(['line', 'export-feedback', 'l', 'out']) == 1
    assert '2.png' in (error := capsys.readouterr().err)
    assert "(gone, keep_images is 'none')" in error
    assert main(['line', 'export-feedback', 'l', 'out', '--leave-out']) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == 'out: 2 images, 1 of them good; red 1'
    assert said[1].startswith('left out: 2.png ')
    command = said[-1].removeprefix('next: ')
    assert command == 'mmdefect init labels out --good blue --out out.py'
    assert main(shlex.split(command)[1:]) == 0


@pytest.mark.parametrize(
    ('out', 'config'),
    [
        ('of 30.11.2026', 'of_30_11_2026.py'),
        ('sub/fb.py', 'fb_py.py'),
        ('häufig', 'häufig.py'),
    ],
)
def test_feature_any_folder_gives_a_config(out: str, config: str, capsys: Out) -> None:
    line = make_line(Path('l'), 'labels')
    for seed, kinds in enumerate([[], ['red']]):
        decision = 'defective' if kinds else 'ok'
        path = draw(Path(f'{seed}.png'), seed)
        decide(line, path, decision=decision, kinds=kinds, body={'name': 'blue'})
        give(line, path, 'confirmed')
    assert main(['line', 'export-feedback', 'l', out]) == 0
    command = capsys.readouterr().out.splitlines()[-1].removeprefix('next: ')
    assert main(shlex.split(command)[1:]) == 0
    assert out in str(Config.fromfile(config).train_dataloader.dataset)
