"""Whose the folder of results is, and of which photograph a result in it is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mmdefect.cli.inputs import full_name, names_pictures_of
from mmdefect.cli.result_lines import lines_of
from mmdefect.cli.results import ResultFolder
from tests.cli.conftest import Run, lines
from tests.helpers.photos import photo, photos


def test_exception_overwritten_while_it_is_written(
    predict: Run, tmp_path: Path
) -> None:
    """From the first result to the end, the merge among it."""
    folder, out = photos(tmp_path / 'photos', 1, broken=False), tmp_path / 'out'
    other = ResultFolder(out)
    other.open({})
    other.add(dict(source='a', decision='ok', size=[1, 1]))
    other.add(dict(source='b', decision='ok', size=[1, 1]))
    other.merge(['b', 'a'])
    before = (out / 'results.jsonl').read_bytes()
    status, _, said = predict(folder, '--out', out, '--overwrite')
    assert status == 1
    assert f'{out} is being written by another process' in said
    assert (out / 'results.jsonl').read_bytes() == before
    other.close()
    assert predict(folder, '--out', out, '--overwrite')[0] == 0
    assert [Path(line['source']).name for line in lines(out)] == ['00.png']


def test_feature_a_kill_before_the_settings(predict: Run, tmp_path: Path) -> None:
    photo(tmp_path / 'a.png', 'red')
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out/.lock').touch()
    (tmp_path / 'out/settings.json.tmp').touch()
    assert predict(tmp_path / 'a.png', '--out', tmp_path / 'out')[0] == 0


@pytest.mark.parametrize('settings', ['{"editor.tabSize": 2}', '[]', '{', None])
def test_exception_folder_of_another_program(
    settings: str | None, predict: Run, tmp_path: Path
) -> None:
    """Which has files that are called like ours."""
    out, image = tmp_path / 'out', photo(tmp_path / 'a.png', 'red')
    for name in ('coco.json', 'results.json', 'pictures/a.jpg', 'labelme/a.json'):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text('mine', encoding='utf-8')
    if settings is not None:
        (out / 'settings.json').write_text(settings, encoding='utf-8')
    before = sorted(out.rglob('*'))
    for words in ([], ['--overwrite'], ['--overwrite', '--format', 'json']):
        status, _, said = predict(image, '--out', out, *words)
        assert status == 1
        assert said.startswith(f'mmdefect: error: {out} holds something already')
    assert sorted(out.rglob('*')) == before


def test_feature_overwrite_leaves_what_is_not_ours(
    predict: Run, tmp_path: Path
) -> None:
    """Nor goes it where a link leads."""
    folder, out = photos(tmp_path / 'photos', 1, broken=False), tmp_path / 'out'
    words = (folder, '--out', out, '--save-pictures')
    predict(*words)
    (drawn,) = (out / 'pictures').iterdir()
    own = [out / 'pictures/holiday.jpg', out / 'results.json']
    for path in own:
        path.write_text('mine', encoding='utf-8')
    status, _, said = predict(folder, '--out', out, '--overwrite', '--format', 'json')
    assert status == 1
    assert f'{own[1]} is not of the results that are there: expected no such' in said
    predict(folder, '--out', out, '--overwrite')
    assert not drawn.exists()
    assert all(path.is_file() for path in own)
    predict(*words, '--overwrite')
    (out / 'pictures').rename(tmp_path / 'elsewhere')
    (out / 'pictures').symlink_to(tmp_path / 'elsewhere')
    predict(folder, '--out', out, '--overwrite')
    assert (tmp_path / 'elsewhere' / drawn.name).is_file()


def test_feature_the_same_name_elsewhere(
    predict: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day, colour in (('mon', 'red'), ('tue', 'blue')):
        photo(tmp_path / day / 'photos/x.png', colour)
        monkeypatch.chdir(tmp_path / day)
        words = ('--out', tmp_path / 'out', '--save-pictures')
        _, said, _ = predict('photos', *words)
        assert said[0].startswith('photos/x.png: ')  # as it was named
    found = {line['source']: line for line in lines(tmp_path / 'out')}
    mon, tue = (found[str(tmp_path / day / 'photos/x.png')] for day in ('mon', 'tue'))
    assert (mon['decision'], tue['decision']) == ('defective', 'ok')
    assert mon['picture'] != tue['picture']
    # And from anywhere it is the same photograph.
    monkeypatch.chdir(tmp_path)
    assert predict('mon/photos', *words)[1][0] == '1 of 1 were done before'


def test_feature_a_replaced_photograph(predict: Run, tmp_path: Path) -> None:
    folder, out = photos(tmp_path / 'photos', 2, broken=False), tmp_path / 'out'
    predict(folder, '--out', out)
    photo(folder / '00.png', 'blue')
    os.utime(folder / '00.png', ns=(1, 1))
    status, said, _ = predict(folder, '--out', out)
    assert (status, said[0]) == (0, '1 of 2 were done before')
    assert [line['decision'] for line in lines(out)] == ['ok', 'ok']
    assert lines(out)[0]['file'] == [(folder / '00.png').stat().st_size, 1]


def test_feature_a_replaced_video(tmp_path: Path) -> None:
    """Frames of what it was go; of a video that is not named they stay."""
    folder = ResultFolder(tmp_path)
    folder.open({})
    for stamp, frames in (([9, 1], 3), ([7, 2], 2)):
        for video in ('a.avi', 'b.avi')[: frames - 1]:
            for number in range(frames):
                source = f'{video}#{number}'
                made = dict(decision='ok', size=[1, 1], file=stamp)
                folder.add(dict(source=source, **made))
    folder.merge(['a.avi'])
    found = [record['source'] for record in folder.records()]
    assert found == ['b.avi#0', 'b.avi#1', 'b.avi#2', 'a.avi#0', 'a.avi#1']
    folder.close()


def test_feature_spellings(
    predict: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one image: it goes on, in order, and is looked at once."""
    monkeypatch.chdir(photos(tmp_path / 'photos', 4, broken=False))
    predict('./0[23].png', '--out', tmp_path / 'out')
    given = ('./*.png', '.', '../photos/00.png', tmp_path / 'photos/01.png')
    _, said, _ = predict(*given, '--out', tmp_path / 'out')
    assert said[0] == '2 of 4 were done before'
    assert said[-2].startswith('4 images')
    assert [Path(line['source']).name for line in lines(tmp_path / 'out')] == [
        f'{number:02}.png' for number in range(4)
    ]


def test_feature_full_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step up is one from where a link leads; two links to files are two images."""
    (tmp_path / 'a/b').mkdir(parents=True)
    (tmp_path / 'link').symlink_to(tmp_path / 'a/b')
    photo(tmp_path / 'a/x.png', 'red')
    (tmp_path / 'y.png').symlink_to(tmp_path / 'a/x.png')
    monkeypatch.chdir(tmp_path)
    assert full_name('link/../x.png') == str(tmp_path / 'a/x.png')
    assert full_name('./y.png') == str(tmp_path / 'y.png')
    assert full_name('v.avi#3') == str(tmp_path / 'v.avi#3')
    assert full_name(0) == 'camera 0'
    assert full_name('camera 0#12') == 'camera 0#12'


@pytest.mark.parametrize(
    ('given', 'expected'),
    [
        ('in', True),
        ('in/out', True),
        ('in/out/pictures', True),
        ('in/*', True),
        ('*/out', True),
        ('in/**', True),
        ('./in/**/*.jpg', True),
        ('in/**/p*/x*', True),
        ('in/../in/o*/*/*.jp*', True),
        ('in/**/*.png', False),
        ('in/*.jpg', False),
        ('in/[a-n]*', False),
        ('in/deep', False),
        ('in/00.png', False),
        ('other/**', False),
    ],
)
def test_feature_inputs_that_find_pictures(
    given: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos(tmp_path / 'in', 1).parent)
    assert names_pictures_of(given, Path('in/out/pictures')) is expected


def test_exception_pictures_in_a_glob(
    predict: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos(tmp_path / 'in', 1, broken=False))
    status, _, said = predict('**', '--out', 'a/out', '--save-pictures')
    assert status == 1
    assert '--out a/out: expected a folder outside of **' in said
    for _ in range(2):
        status, out, _ = predict('*.png', '--out', 'out', '--save-pictures')
        assert (status, out[-2][:7]) == (0, '1 image')


def test_feature_long_names(predict: Run, tmp_path: Path) -> None:
    """Letters of four bytes, as many as fit in a name; bytes that are no letter."""
    folder, out = tmp_path / 'in', tmp_path / 'out'
    for name in ('\U00020000' * 60, '\udcff', 'x' * 250):
        photo(folder / 'a.png', 'red').rename(folder / f'{name}.png')
    for form in ('json', 'labelme'):
        words = ('--out', out, '--save-pictures', '--format', form, '--overwrite')
        status, said, _ = predict(folder, *words, '--quiet')
        assert (status, said[0][:22]) == (0, '3 images: 0 ok, 3 defe')
    assert len([*(out / 'labelme').iterdir()]) == 3


@pytest.mark.parametrize(
    'change',
    [
        {'decision': None},
        {'decision': 5},
        {'decision': []},
        {'size': None},
        {'size': [1]},
        {'size': ['1', '2']},
        {'source': [1]},
        {'source': None},
        {'error': None},
        {'coco': 5},
        {'coco': [5]},
        {'coco': [{}]},
        {'coco': [{'bbox': [1, 2, 3]}]},
        '[' * 100_000,
        '"source"',
        '',
        '{"source": ' + '9' * 5000 + '}',
    ],
)
def test_exception_a_line_by_hand(change: dict | str, tmp_path: Path) -> None:
    good = dict(source='a', decision='ok', size=[1, 2], coco=[])
    changed = change if isinstance(change, str) else json.dumps({**good, **change})
    file = tmp_path / 'results.jsonl'
    file.write_text(f'{json.dumps(good)}\n{changed}\n', encoding='utf-8')
    with pytest.raises(ValueError, match=r'results\.jsonl, line 2: expected a result;'):
        [*lines_of(file)]


def test_exception_another_package(predict: Run, model: Path, tmp_path: Path) -> None:
    """Of the same classes and thresholds, in the same place."""
    image, out = photo(tmp_path / 'a.png', 'red'), tmp_path / 'out'
    predict(image, '--out', out)
    file = model / 'package.json'
    content = json.loads(file.read_text(encoding='utf-8'))
    content['input']['mean'] = [1.0, 1.0, 1.0]
    file.write_text(json.dumps(content), encoding='utf-8')
    status, _, said = predict(image, '--out', out)
    assert status == 1
    assert 'holds results made with another package: expected the same' in said


def test_exception_no_input(predict: Run, tmp_path: Path) -> None:
    status, _, said = predict('', '--out', tmp_path / 'out', '--save-pictures')
    assert status == 1
    assert said.startswith("mmdefect: error: INPUT '': expected a path, a glob or the")
