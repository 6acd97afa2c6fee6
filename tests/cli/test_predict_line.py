"""``mmdefect predict --line``: each decision stands in the log of the line."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mmdefect.cli import predict
from mmdefect.cli.main import main
from mmdefect.deploy.result import Prediction
from mmdefect.line.folder import Line
from mmdefect.line.images import image_hash
from mmdefect.line.record import Recorder
from mmdefect.line.settings import LineSettings
from tests.helpers.full_disk import full_disk
from tests.helpers.photos import photos

Run = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def line(model: Path, tmp_path: Path) -> Line:
    """Its only version finds red."""
    line = Line.create(tmp_path / 'my_line')
    shutil.copytree(model, line.versions_dir / 'v0001')
    line.pointer.symlink_to('versions/v0001')
    return line


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def called(*words: object) -> tuple[int, list[str], str]:
        status = main(['predict', *map(str, words)])
        said = capsys.readouterr()
        return status, said.out.splitlines(), said.err

    return called


def test_smoke_the_version_in_use(run: Run, line: Line, tmp_path: Path) -> None:
    folder = photos(tmp_path / 'photos')
    status, said, _ = run('--line', line.folder, folder)
    assert (status, len(said)) == (0, 5)
    rows = [*line.log.rows()]
    assert [row.decision for row in rows] == ['defective', 'ok', 'ok', 'undecided']
    assert [Path(row.source).name for row in rows] == [
        '00.png',
        '01.png',
        '02.png',
        'broken.png',
    ]
    for row in rows:
        content = Path(row.source).read_bytes()
        assert row.image == hashlib.sha256(content).hexdigest()
        assert row.version == 'v0001'
    assert rows[0].kinds == ('red',)
    assert 'cannot read the image' in rows[3].body['error']
    assert line.images.find(rows[0].image)
    assert not line.images.find(rows[1].image)
    assert line.log.verify().ok


def test_feature_what_was_decoded_is_hashed_and_kept(
    run: Run, line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever has taken the name of the file since."""
    folder = photos(tmp_path / 'photos', 1, broken=True)
    before = [path.read_bytes() for path in sorted(folder.iterdir())]
    real = predict.recorded

    def overwritten(recorder: Recorder, prediction: Prediction) -> Prediction:
        Path(prediction.source).write_bytes(b'another')
        done = real(recorder, prediction)
        assert done.data is None  # of a million images none stays in memory
        return done

    monkeypatch.setattr(predict, 'recorded', overwritten)
    assert run('--line', line.folder, folder)[0] == 0
    rows = [*line.log.rows()]
    assert [row.image for row in rows] == [image_hash(data, None) for data in before]
    kept = line.images.find(str(rows[0].image))
    assert kept is not None
    assert kept.read_bytes() == before[0]


def test_feature_an_empty_file_has_a_hash(run: Run, line: Line, tmp_path: Path) -> None:
    """The one by which a server and `--image` know it."""
    (tmp_path / 'empty.png').touch()
    run('--line', line.folder, tmp_path / 'empty.png')
    (row,) = line.log.rows(image=image_hash(b'', None))
    assert 'zero bytes' in row.body['error']


@pytest.mark.parametrize('form', ['before', 'between', 'behind', 'model'])
def test_feature_wherever_it_stands(
    run: Run, line: Line, tmp_path: Path, form: str
) -> None:
    folder, out = photos(tmp_path / 'photos', 1, broken=False), tmp_path / 'out'
    given = ('--line', line.folder)
    words = {
        'before': (*given, folder, '--out', out),
        'between': (line.pointer, *given, folder, '--out', out),
        'behind': (folder, '--out', out, *given),
        'model': (line.versions_dir / 'v0001', '--out', out, folder, *given),
    }[form]
    assert run(*words)[0] == 0
    assert line.log.count() == 1
    assert (out / 'results.jsonl').is_file()


def test_feature_model_and_input_may_be_apart(
    run: Run, model: Path, tmp_path: Path
) -> None:
    folder = photos(tmp_path / 'photos', 1, broken=False)
    assert run(model, '--out', tmp_path / 'out', folder)[0] == 0


def test_exception_models_that_are_no_version(
    run: Run, line: Line, model: Path, tmp_path: Path
) -> None:
    folder = photos(tmp_path / 'photos', 1)
    status, _, err = run(model, folder, '--line', line.folder)
    assert status == 1
    assert 'the model is no version of the line' in err
    status, _, err = run(line.folder, folder)
    assert status == 1
    assert f'my_line is a line: expected it as --line {line.folder}' in err
    line.pointer.unlink()
    assert 'has no version yet' in run('--line', line.folder, folder)[2]
    assert line.log.count() == 0


def test_exception_nothing_to_look_at(run: Run, line: Line, model: Path) -> None:
    assert 'expected MODEL and INPUT' in run(model)[2]
    given = ('--line', line.folder)
    assert 'expected INPUT' in run(line.pointer, *given)[2]
    assert 'is no line' in run('--line', model, 'x')[2]
    inside = line.folder / 'results'
    for words in ((*given, 'x'), (model, 'x')):
        said = run(*words, '--out', inside)[2]
        assert 'results is inside of the line' in said


@pytest.mark.parametrize('policy', ['refuse', 'serve'])
def test_exception_a_full_disk(
    run: Run, line: Line, tmp_path: Path, policy: str
) -> None:
    """Refused at the first that cannot be written; or served, and said everywhere."""
    LineSettings(keep_images='none', on_full_disk=policy).save(line.folder)
    folder, out = photos(tmp_path / 'photos', 2, broken=False), tmp_path / 'out'
    with full_disk(4000):
        status, said, err = run('--line', line.folder, folder, '--out', out)
    results = (out / 'results.jsonl').read_text()
    if policy == 'refuse':
        assert status == 1
        assert err.startswith('mmdefect: error: the decision on ')
        assert 'is refused, as on_full_disk of' in err
        assert results == ''
    else:
        assert status == 0
        note = 'served without a whole record: its row in the log is not written'
        assert [note in text for text in said] == [True, True, False, False]
        assert results.count(f'"note": "{note}') == 2


def test_exception_a_threshold_that_no_exam_has_seen(
    run: Run, line: Line, tmp_path: Path
) -> None:
    """By the log the version would have decided so."""
    folder = photos(tmp_path / 'photos', 1)
    status, _, err = run('--line', line.folder, folder, '--threshold', '0.9')
    assert status == 1
    assert 'error: --threshold 0.9: expected none with --line, whose exams' in err
    assert line.log.count() == 0


def test_exception_a_damaged_version(run: Run, line: Line, tmp_path: Path) -> None:
    (line.versions_dir / 'v0001' / 'model.onnx').write_bytes(b'another')
    status, _, err = run('--line', line.folder, photos(tmp_path / 'photos', 1))
    assert status == 1
    assert 'restore it, or go on with another by `mmdefect line rollback`' in err
