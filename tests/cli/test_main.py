"""The command itself: what it loads, how it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from importlib import import_module
from json import JSONDecodeError
from pathlib import Path

import pytest

from mmdefect.cli import doctor, main, predict, tool
from mmdefect.utils.files import new_folder, write_text
from mmdefect.version import __version__
from tests.conftest import tool_env
from tests.helpers.tiers import cpu_seconds

#: Modules that take more than a moment, or that an edge box lacks.
HEAVY = {'torch', 'mmengine', 'mmcv', 'mmdet', 'numpy', 'cv2', 'onnxruntime', 'yaml'}


def python(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        env=tool_env(),
        capture_output=True,
        text=True,
        check=False,
    )


def test_smoke_help() -> None:
    """As a module, and it names every command."""
    done = python('-m', 'mmdefect', '--help')
    assert done.returncode == 0
    for name in main.COMMANDS:
        assert f'\n  {name} ' in done.stdout


def test_feature_help_loads_nothing_heavy() -> None:
    """Not even MMEngine; and of our own, two dozen modules at the most."""
    done = python(
        '-c',
        'import sys\n'
        'from mmdefect.cli.main import main\n'
        'try:\n'
        "    main(['--help'])\n"
        'except SystemExit:\n'
        "    print('loaded', *sys.modules)",
    )
    loaded = done.stdout.splitlines()[-1].split()
    assert loaded[0] == 'loaded'
    assert not HEAVY & set(loaded)
    ours = [name for name in loaded if name.startswith('mmdefect')]
    assert set(ours) == {
        'mmdefect',
        'mmdefect.cli',
        'mmdefect.cli.main',
        'mmdefect.compat',
        'mmdefect.version',
    }


def test_feature_help_is_quick() -> None:
    """Time of the processor, once in five tries: it takes about 0.1 s."""
    for _ in range(5):
        before = cpu_seconds()
        python('-m', 'mmdefect', '--help')
        if (seconds := cpu_seconds() - before) <= 0.3:
            return
    pytest.fail(f'mmdefect --help took {seconds:.2f} s')


@pytest.mark.parametrize('name', main.COMMANDS)
def test_feature_help_of_a_command(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each module loads without torch, OpenMMLab or a runtime."""
    module = import_module(main.COMMANDS[name][0])
    if getattr(module, 'PASSES_ON', False):
        return
    with pytest.raises(SystemExit, match='0'):
        main.main([name, '--help'])
    assert module.HELP.partition('\n')[0] in capsys.readouterr().out


def test_smoke_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match='0'):
        main.main(['--version'])
    assert capsys.readouterr().out == f'{__version__}\n'


@pytest.mark.parametrize('words', [['predictt'], ['predict'], ['doctor', '--jsonn']])
def test_exception_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match='2'):
        main.main(words)
    assert 'usage: mmdefect' in capsys.readouterr().err


def test_exception_nothing_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([]) == 2
    assert 'commands:' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('error', 'said'),
    [
        (ValueError('size=0: expected\n at least 1'), 'size=0: expected at least 1'),
        (FileNotFoundError('x does not exist'), 'x does not exist'),
        (main.ToolError('the tool fails'), 'the tool fails'),
        (
            RuntimeError('mat1 and mat2'),
            '`mmdefect doctor`: RuntimeError: mat1 and mat2',
        ),
        (
            RecursionError('maximum depth'),
            '`mmdefect doctor`: RecursionError: maximum depth',
        ),
        (
            UnicodeDecodeError('utf-8', b'\xff', 0, 1, 'invalid start byte'),
            "`mmdefect doctor`: UnicodeDecodeError: 'utf-8' codec can't decode byte "
            '0xff in position 0: invalid start byte',
        ),
        (
            JSONDecodeError('Expecting value', '', 0),
            '`mmdefect doctor`: JSONDecodeError: Expecting value: line 1 column 1 '
            '(char 0)',
        ),
        (
            OSError(27, 'File too large'),
            '`mmdefect doctor`: File too large; expected a place that can be read and '
            'written: check its rights and the space left',
        ),
        (
            OSError(28, 'No space left on device', 'a', None, 'b'),
            'a -> b: No space left on device; expected a place that can be read and '
            'written: check its rights and the space left',
        ),
        (
            PermissionError(13, 'Permission denied', '/there'),
            '/there: Permission denied; expected a place that can be read and written: '
            'check its rights and the space left',
        ),
        (
            FileNotFoundError(2, 'No such file or directory', 'x.pth'),
            'x.pth: No such file or directory; expected a path that is there; check it',
        ),
    ],
)
def test_exception_in_one_line(
    error: Exception,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(args: object) -> int:
        raise error

    monkeypatch.setattr(doctor, 'run', run)
    assert main.main(['doctor']) == 1
    assert capsys.readouterr().err == f'mmdefect: error: {said}\n'
    assert main.main(['doctor', '--traceback']) == 1
    assert 'Traceback' in capsys.readouterr().err


def test_exception_names_what_was_called(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its first arguments, not with a thousand names of files."""

    def run(args: object) -> int:
        raise RecursionError('too deep')

    monkeypatch.setattr(predict, 'run', run)
    assert main.main(['predict', 'my model', *'abcdefgh']) == 1
    said = "`mmdefect predict 'my model' a b c d ...`: RecursionError: too deep"
    assert capsys.readouterr().err == f'mmdefect: error: {said}\n'


def test_exception_without_torch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(args: object) -> int:
        raise ModuleNotFoundError("No module named 'torch'", name='torch')

    monkeypatch.setattr(doctor, 'run', run)
    monkeypatch.setattr('mmdefect.compat.find_spec', lambda name: None)
    assert main.main(['doctor']) == 1
    said = capsys.readouterr().err
    assert said.startswith('mmdefect: error: torch is not installed: expected it for')
    assert 'pip install "mmdefect[onedl]"' in said


def test_exception_a_bug_shows_where(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, 'run', lambda args: {}['x'])
    assert main.main(['doctor']) == 1
    said = capsys.readouterr().err
    assert said.startswith('Traceback')
    assert said.splitlines()[-1].startswith("mmdefect: error: KeyError: 'x'; this is")


def test_exception_interrupted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(args: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, 'run', run)
    assert main.main(['doctor']) == 130
    assert capsys.readouterr().err == '\nmmdefect: interrupted\n'


def test_exception_terminated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A draft is removed; what SIGTERM did before, it does again."""

    def run(args: object) -> int:
        with new_folder(tmp_path / 'out') as draft:
            write_text(draft / 'half', '')
            signal.raise_signal(signal.SIGTERM)
        return 0

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(doctor, 'run', run)
    assert main.main(['doctor']) == 143
    assert capsys.readouterr().err == '\nmmdefect: interrupted\n'
    assert not [*tmp_path.iterdir()]
    assert signal.getsignal(signal.SIGTERM) is before


def test_feature_nobody_reads_on() -> None:
    done = subprocess.run(
        f'{sys.executable} -m mmdefect list presets | head -1; echo ${{PIPESTATUS[0]}}',
        shell=True,
        executable='/bin/bash',
        env=tool_env(PYTHONUNBUFFERED='1'),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ''
    assert done.stdout.splitlines()[-1] in ('0', '141')


def fake_tool(folder: Path, code: str) -> Path:
    """A package whose checkout has one tool."""
    (folder / 'tools').mkdir(parents=True)
    (folder / 'tools/train.py').write_text(code, encoding='utf-8')
    return folder / 'mmdefect'


def test_feature_all_arguments_reach_the_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those that begin with a dash, too; and its exit status comes back."""
    package = fake_tool(tmp_path, 'import sys\nprint(sys.argv[1:])\nsys.exit(3)\n')
    found = tool.find_tool('train.py', package)
    monkeypatch.setattr(tool, 'find_tool', lambda name: found)
    before = sys.argv
    words = ['--work-dir', 'w', 'c.py', '--help', '--cfg-options', 'a=1', '--resume']
    assert main.main(['train', *words]) == 3
    assert capsys.readouterr().out == f'{words}\n'
    assert sys.argv is before


def test_feature_tool_of_an_installed_package(tmp_path: Path) -> None:
    package = tmp_path / 'mmdefect'
    installed = package / '.mim/tools/test.py'
    with pytest.raises(FileNotFoundError, match=r'tools/test\.py is neither in'):
        tool.find_tool('test.py', package)
    installed.parent.mkdir(parents=True)
    installed.touch()
    assert tool.find_tool('test.py', package) == installed


@pytest.mark.parametrize('name', ['train', 'test'])
def test_feature_the_real_tool(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([name, '--help']) == 0
    assert '--cfg-options' in capsys.readouterr().out


def test_exception_of_a_tool(capsys: pytest.CaptureFixture[str]) -> None:
    """What the tool says about a config that is not there, in the same form."""
    assert main.main(['train', 'no/such/config.py']) == 1
    said = capsys.readouterr().err
    assert said.startswith("mmdefect: error: config 'no/such/config.py' does not exist")
    assert said.count('\n') == 1
