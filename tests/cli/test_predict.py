"""``mmdefect predict`` on packages that are written by hand: no torch, no training."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mmdefect.cli import results
from tests.cli.conftest import Run, lines
from tests.helpers.hand_package import hand_package
from tests.helpers.photos import photo, photos


def names(out: Path) -> list[str]:
    return [Path(line['source']).name for line in lines(out)]


def test_smoke_a_line_an_image(predict: Run, tmp_path: Path) -> None:
    folder = photos(tmp_path / 'photos')
    status, said, _ = predict(folder)
    assert status == 0
    decisions = ['defective', 'ok', 'ok', 'error']
    assert len(said) == 5
    for line, name, decision in zip(
        said, ['00', '01', '02', 'broken'], decisions, strict=False
    ):
        assert line.startswith(f'{folder}/{name}.png: {decision}')
    assert said[-1] == '4 images: 2 ok, 1 defective, 0 undecided, 1 error'


def test_feature_results(predict: Run, tmp_path: Path) -> None:
    """The summary says where they are; each is what ``to_dict`` says."""
    out = tmp_path / 'out'
    status, said, _ = predict(photos(tmp_path / 'photos'), '--out', out, '--quiet')
    assert (status, len(said)) == (0, 2)
    assert said[1] == f'results: {out}'
    assert names(out) == ['00.png', '01.png', '02.png', 'broken.png']
    first, *_, broken = lines(out)
    assert (first['decision'], first['name'], first['calibrated']) == (
        'defective',
        'red',
        True,
    )
    assert 'cannot read the image' in broken['error']
    files = {path.name for path in out.iterdir()}
    assert files == {'.lock', 'results.jsonl', 'settings.json'}


def test_feature_not_calibrated(predict: Run, tmp_path: Path) -> None:
    other = tmp_path / 'other'
    hand_package(other, 'maps')
    _, said, _ = predict(photo(tmp_path / 'a.png', 'red'), model=other)
    assert said[-1].endswith('1 undecided, 0 errors (not calibrated)')


def test_feature_every_image_failed(predict: Run, tmp_path: Path) -> None:
    folder = photos(tmp_path / 'photos', 0)
    assert predict(folder)[0] == 1
    assert predict(folder, '--out', tmp_path / 'out')[0] == 1


def test_feature_goes_on_after_a_kill(predict: Run, tmp_path: Path) -> None:
    """What is written is not done again; half a line is; the order is the folder's."""
    folder, out = photos(tmp_path / 'photos', 5, broken=False), tmp_path / 'out'
    whole = tmp_path / 'whole'
    predict(folder, '--out', whole)
    predict(folder, '--out', out)
    file = out / 'results.jsonl'
    kept = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(kept[0] + kept[2] + kept[3][:20])
    status, said, _ = predict(folder, '--out', out)
    assert status == 0
    assert said[0] == '2 of 5 were done before'
    assert [line.partition(':')[0] for line in said[1:4]] == [
        f'{folder}/{name}.png' for name in ('01', '03', '04')
    ]
    assert said[4].startswith('5 images')
    assert file.read_bytes() == (whole / 'results.jsonl').read_bytes()


def test_feature_what_failed_is_tried_again(predict: Run, tmp_path: Path) -> None:
    folder, out = photos(tmp_path / 'photos', 1), tmp_path / 'out'
    predict(folder, '--out', out)
    photo(folder / 'broken.png', 'red')
    photo(folder / '0.png', 'blue')  # comes first
    _, said, _ = predict(folder, '--out', out)
    assert said[-2].startswith('3 images: 1 ok, 2 defective, 0 undecided, 0 errors')
    assert names(out) == ['0.png', '00.png', 'broken.png']


def test_feature_another_folder_adds(predict: Run, tmp_path: Path) -> None:
    out = tmp_path / 'out'
    predict(photos(tmp_path / 'monday', 1, broken=False), '--out', out)
    _, said, _ = predict(photos(tmp_path / 'april', 2, broken=False), '--out', out)
    assert said[-2].startswith('3 images')
    assert names(out) == ['00.png', '00.png', '01.png']
    assert 'monday' in lines(out)[0]['source']


@pytest.mark.parametrize(
    ('words', 'named'),
    [
        (['--threshold', '0.9'], 'description of the model, threshold'),
        (['--format', 'labelme'], 'format'),
    ],
)
def test_exception_other_settings(
    words: list[str], named: str, predict: Run, tmp_path: Path
) -> None:
    folder, out = photos(tmp_path / 'photos', 1, broken=False), tmp_path / 'out'
    predict(folder, '--out', out)
    before = (out / 'results.jsonl').read_bytes()
    status, _, said = predict(folder, '--out', out, *words)
    assert status == 1
    assert said == (
        f'mmdefect: error: {out} holds results made with another {named}: expected the '
        'same, to go on; give another --out, or --overwrite\n'
    )
    assert (out / 'results.jsonl').read_bytes() == before


def test_exception_another_model(predict: Run, tmp_path: Path) -> None:
    folder, out = photos(tmp_path / 'photos', 1, broken=False), tmp_path / 'out'
    other = tmp_path / 'other'
    hand_package(other, 'labels')
    predict(folder, '--out', out)
    status, _, said = predict(folder, '--out', out, model=other)
    assert status == 1
    assert 'another description of the model, model' in said


def test_feature_overwrite(predict: Run, tmp_path: Path) -> None:
    """What the command has written goes, and nothing else."""
    folder, out = photos(tmp_path / 'photos', 2, broken=False), tmp_path / 'out'
    predict(folder, '--out', out, '--save-pictures', '--format', 'json')
    (out / 'pictures/note.txt').touch()
    (folder / '00.png').unlink()
    words = ('--out', out, '--overwrite', '--threshold', 'red=0.9')
    status, said, _ = predict(folder, *words)
    assert (status, said[-2][:7]) == (0, '1 image')
    assert {path.name for path in out.iterdir()} == {
        '.lock',
        'results.jsonl',
        'settings.json',
        'pictures',
    }
    assert [path.name for path in (out / 'pictures').iterdir()] == ['note.txt']


def test_exception_pictures_among_the_photographs(predict: Run, tmp_path: Path) -> None:
    folder = photos(tmp_path / 'photos', 1, broken=False)
    for out in (folder / 'out', folder):
        status, _, said = predict(folder, '--out', out, '--save-pictures')
        assert status == 1
        assert f'--out {out}: expected a folder outside of {folder}' in said
    status, *_ = predict(folder, '--out', folder / 'out')  # lines of text are no images
    assert status == 0


def test_exception_folder_of_something_else(predict: Run, tmp_path: Path) -> None:
    out = tmp_path / 'out'
    (out / 'mine').mkdir(parents=True)
    folder = photos(tmp_path / 'photos', 1)
    for words in ([], ['--overwrite']):
        status, _, said = predict(folder, '--out', out, *words)
        assert status == 1
        assert said.startswith(f'mmdefect: error: {out} holds something already')
    assert [path.name for path in out.iterdir()] == ['mine']


def test_exception_a_line_of_something_else(predict: Run, tmp_path: Path) -> None:
    folder, out = photos(tmp_path / 'photos', 1), tmp_path / 'out'
    predict(folder, '--out', out)
    with (out / 'results.jsonl').open('a', encoding='utf-8') as file:
        file.write('[1]\n')
    _, _, said = predict(folder, '--out', out)
    assert 'results.jsonl, line 3: expected a result; remove the line' in said


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (['--format', 'json'], '--format: expected --out as well'),
        (['--save-pictures'], '--save-pictures: expected --out as well'),
        (['--tile', '1024'], '--tile 1024: expected two numbers of pixels'),
        (['--threshold', 'much'], '--threshold much: expected one number'),
        (['--threshold', '1', '--threshold', '2'], 'each name once'),
        (['--threshold', 'reed=1'], "names the unknown class 'reed'"),
        (['--batch-size', '0'], 'batch_size=0: expected at least 1'),
        (['--launcher', 'pytorch', '--out', 'x'], 'expected RANK and WORLD_SIZE in'),
    ],
)
def test_exception_settings(
    words: list[str], said: str, predict: Run, tmp_path: Path
) -> None:
    status, _, error = predict(photos(tmp_path / 'photos', 1), *words)
    assert status == 1
    assert said in error
    assert error.count('\n') == 1


@pytest.mark.parametrize(
    ('given', 'said'),
    [
        ('none', 'none does not exist: expected an image, a folder'),
        ('empty', 'empty holds no images: expected .png'),
        ('*.jpeg', 'nothing matches'),
    ],
)
def test_exception_inputs(given: str, said: str, predict: Run, tmp_path: Path) -> None:
    """Nothing is begun if one of several is wrong."""
    (tmp_path / 'empty').mkdir()
    good = photo(tmp_path / 'a.png', 'red')
    status, out, error = predict(good, tmp_path / given, '--out', tmp_path / 'out')
    assert (status, out) == (1, [])
    assert said in error
    assert not (tmp_path / 'out').exists()


def test_exception_no_model(predict: Run, tmp_path: Path) -> None:
    good = photo(tmp_path / 'a.png', 'red')
    status, _, error = predict(good, '--backend', 'torch')
    assert status == 1
    assert "backend='torch': expected onnxruntime or openvino" in error


def test_feature_inputs(
    predict: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A glob, a folder, a file twice: each image once, as they were named."""
    monkeypatch.chdir(photos(tmp_path / 'photos', 4, broken=False))
    photo(Path('sub/x.png'), 'red')
    _, said, _ = predict('0[23].png', 'sub', '00.png', '02.png')
    assert [line.partition(':')[0] for line in said[:-1]] == [
        '02.png',
        '03.png',
        'sub/x.png',
        '00.png',
    ]


def test_feature_threshold(predict: Run, tmp_path: Path) -> None:
    red = photo(tmp_path / 'a.png', 'red')
    assert ': defective' in predict(red)[1][0]
    assert ': ok' in predict(red, '--threshold', 'red=0.99')[1][0]
    assert ': ok' in predict(red, '--threshold', '0.99')[1][0]


def test_feature_json(predict: Run, tmp_path: Path) -> None:
    out = tmp_path / 'out'
    predict(photos(tmp_path / 'photos', 2), '--out', out, '--format', 'json')
    text = (out / 'results.json').read_text(encoding='utf-8')
    assert json.loads(text) == lines(out)


def test_feature_labelme(predict: Run, tmp_path: Path) -> None:
    """One file a readable image, which finds its image."""
    out = tmp_path / 'out'
    predict(photos(tmp_path / 'photos', 2), '--out', out, '--format', 'labelme')
    files = sorted((out / 'labelme').iterdir())
    assert [path.name for path in files] == ['00.json', '01.json']
    content = json.loads(files[0].read_text(encoding='utf-8'))
    assert content['flags'] == {'red': True}
    assert (files[0].parent / content['imagePath']).resolve() == (
        tmp_path / 'photos/00.png'
    )


def test_feature_labelme_of_one_name(predict: Run, tmp_path: Path) -> None:
    """Digits tell images of one name apart, also one that comes another day."""
    out, words = tmp_path / 'out', ('--out', tmp_path / 'out', '--format', 'labelme')
    photo(tmp_path / 'mon/a.png', 'red')
    photo(tmp_path / 'mon/b.png', 'red')
    photo(tmp_path / 'tue/A.png', 'blue')
    photo(tmp_path / 'wed/b.png', 'blue')
    predict(tmp_path / 'mon', tmp_path / 'tue', *words)
    predict(tmp_path / 'wed', *words)
    files = {line['source']: out / line['labelme'] for line in lines(out)}
    named = [re.sub('-[0-9a-f]{8}', '-', path.name) for path in files.values()]
    assert sorted(named) == ['A.png-.json', 'a.png-.json', 'b.json', 'b.png-.json']
    for source, path in files.items():
        image = json.loads(path.read_text(encoding='utf-8'))['imagePath']
        assert (path.parent / image).resolve() == Path(source)
    photo(tmp_path / 'mon/b.png', 'blue').touch()
    assert predict(tmp_path / 'mon', *words)[0] == 0
    assert len([*(out / 'labelme').iterdir()]) == 4
    (out / 'labelme/mine.json').touch()
    predict(tmp_path / 'mon', *words, '--overwrite')
    left = {path.name for path in (out / 'labelme').iterdir()}
    assert left == {'a.json', 'b.json', 'mine.json'}


def test_feature_other_kinds_are_named(
    predict: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line at the end; named by themselves they are looked at."""
    monkeypatch.chdir(photos(tmp_path / 'photos', 2, broken=False))
    Path('sub').mkdir()
    for name in ('a.GIF', 'sub/b.webp', 'c.mp4', 'notes.txt'):
        Path(name).touch()
    Image.new('RGB', (48, 24), 'red').save('sub/b.webp', lossless=True)
    kinds = (
        'passed over: 1 .gif, 1 .mp4, 1 .webp (a.GIF, c.mp4, b.webp); folders are not'
    )
    for given in ('.', '*', '**'):
        status, said, _ = predict(given)
        assert (status, said[-2][:8]) == (0, '2 images')
        assert said[-1].startswith(kinds)
    status, said, _ = predict('.', '*/*.webp', '--out', tmp_path / 'out')
    assert said[-3].startswith('3 images: 1 ok, 2 defective')
    assert said[-1].startswith('passed over: 1 .gif, 1 .mp4 (a.GIF, c.mp4)')
    assert len(predict('*.png')[1]) == 3
    _, _, error = predict('sub')
    assert 'sub holds no images (1: b.webp of other kinds): expected .png' in error


def test_feature_coco(predict: Run, tmp_path: Path) -> None:
    """Detections, categories and images of one file, failed images left out."""
    boxes, out = tmp_path / 'boxes', tmp_path / 'out'
    hand_package(boxes, 'boxes', thresholds={'dent': 0.5, 'crack': 0.5})
    folder = photos(tmp_path / 'photos', 2)
    dark = np.full((24, 48, 3), 77, np.uint8)  # its boxes score 0.3
    assert cv2.imwrite(str(folder / '01.png'), dark)
    predict(folder, '--out', out, '--format', 'coco', model=boxes)
    found = json.loads((out / 'coco.json').read_text(encoding='utf-8'))
    assert [image['file_name'] for image in found['images']] == [
        str(folder / '00.png'),
        str(folder / '01.png'),
    ]
    assert found['categories'] == [
        {'id': 1, 'name': 'dent'},
        {'id': 2, 'name': 'crack'},
    ]
    kept = [one for line in lines(out) for one in line.get('boxes', [])]
    assert len(found['annotations']) == len(kept) > 0
    one = found['annotations'][0]
    assert one['area'] == one['bbox'][2] * one['bbox'][3]
    assert one['image_id'] in (1, 2)
    # Anew with all boxes: more of them, and not mixed with those of before.
    words = ('--out', tmp_path / 'all', '--format', 'coco', '--everything')
    predict(folder, *words, model=boxes)
    more = json.loads((tmp_path / 'all/coco.json').read_text(encoding='utf-8'))
    assert len(more['annotations']) > len(found['annotations'])


def test_exception_coco_of_labels(predict: Run, tmp_path: Path) -> None:
    folder = photos(tmp_path / 'photos', 1)
    status, _, said = predict(folder, '--out', tmp_path / 'o', '--format', 'coco')
    assert status == 1
    assert "format='coco': expected a model of boxes or maps" in said
    assert not (tmp_path / 'o').exists()


def test_feature_pictures(predict: Run, tmp_path: Path) -> None:
    out = tmp_path / 'out'
    predict(photos(tmp_path / 'photos', 1), '--out', out, '--save-pictures')
    drawn, broken = lines(out)
    assert cv2.imread(str(out / drawn['picture'])) is not None
    assert 'picture' not in broken
    assert len([*(out / 'pictures').iterdir()]) == 1


def test_feature_a_video(predict: Run, tmp_path: Path) -> None:
    """Its frames stand where it was named."""
    path = tmp_path / 'line.avi'
    codec = cv2.VideoWriter_fourcc(*'MJPG')
    writer = cv2.VideoWriter(str(path), codec, 5, (48, 24))
    if not writer.isOpened():
        pytest.skip('this OpenCV cannot write videos')
    frame = cv2.imread(str(photo(tmp_path / 'a.png', 'red')))
    for _ in range(3):
        writer.write(frame)
    writer.release()
    out = tmp_path / 'out'
    predict(path, tmp_path / 'a.png', '--out', out)
    assert names(out) == ['line.avi#0', 'line.avi#1', 'line.avi#2', 'a.png']


def record(source: str, **more: object) -> dict:
    return dict(source=source, decision='ok', size=[1, 1], **more)


def test_feature_a_million_lines_are_not_held(tmp_path: Path) -> None:
    """Merging keeps places, not results."""
    folder = results.ResultFolder(tmp_path / 'out')
    folder.open({})
    for number in reversed(range(100)):
        folder.add(record(str(number), text='x' * 1000))
    folder.merge([str(number) for number in range(100)])
    assert [r['source'] for r in folder.records()] == [*map(str, range(100))]
    assert all(at.path.name == 'results.jsonl' for at in folder.places().values())
    shutil.rmtree(tmp_path / 'out')
