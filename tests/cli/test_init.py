"""``mmdefect init`` on drawn folders, and two iterations of what it writes.

Slow are trainings: a detector from one annotation format trains in the fast tier.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmdefect.apis import DefectInferencer
from mmdefect.cli.init_maps import CERTIFIED
from mmdefect.cli.main import main
from mmdefect.functional.tolerance import images_needed
from mmdefect.streams.state import StepState, StreamState
from mmdefect.testing import make_toy_products
from tests.helpers.annotation_files import CLASSES, WRITERS, draw
from tests.helpers.tool_runs import flags, run_here

Out = pytest.CaptureFixture[str]
FAST = 'labelme'
each_format = pytest.mark.parametrize(
    'kind',
    [
        pytest.param(kind, marks=() if kind == FAST else pytest.mark.slow)
        for kind in WRITERS
    ],
)
TWO_ITERATIONS = {
    'train_cfg.max_epochs': 1,
    'train_dataloader.dataset.indices': 4,
    'train_dataloader.batch_size': 2,
    'train_dataloader.num_workers': 0,
    'val_dataloader.num_workers': 0,
    'default_hooks.logger.interval': 1,
    'param_scheduler': '[]',
}


@pytest.fixture(scope='module', autouse=True)
def loaded() -> None:
    """What trainings import: seconds that are none of a test's own."""
    import mmdet.apis
    import mmpretrain.apis

    assert mmdet.apis
    assert mmpretrain.apis


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own, as a user has it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def init(*words: object) -> int:
    return main(['init', *map(str, words)])


def said(capsys: Out) -> str:
    """On both streams."""
    found = capsys.readouterr()
    return found.out + found.err


def losses(work_dir: Path) -> list[float]:
    """Loss of each iteration that was logged."""
    (log,) = work_dir.glob('2*/vis_data/scalars.json')
    rows = map(json.loads, log.read_text(encoding='utf-8').splitlines())
    return [row['loss'] for row in rows if 'loss' in row]


def train(config: str, **options: Any) -> list[float]:
    """Train two iterations by the tool."""
    if Config.fromfile(config).get('test_dataloader'):
        options['test_dataloader.num_workers'] = 0
    run_here(
        'tools/train.py', config, '--work-dir', 'work', *flags(TWO_ITERATIONS | options)
    )
    return losses(Path('work'))


@each_format
def test_feature_boxes_train(kind: str, capsys: Out) -> None:
    """Every format gives a detector of its own two classes."""
    WRITERS[kind](Path('parts'))
    assert init('boxes', 'parts', '--out', 'line.py') == 0
    printed = said(capsys)
    assert 'train: 9 images, 9 boxes (dent 7, scratch 2)' in printed
    assert 'images: 12, coloured; 12 of 96 x 64' in printed
    assert printed.splitlines()[-2] == 'Next: mmdefect train line.py'
    cfg = Config.fromfile('line.py')
    assert cfg.model.bbox_head.num_classes == 2
    assert list(cfg.train_dataloader.dataset.metainfo.classes) == CLASSES
    assert 'BoxCalibrationHook' in str(cfg.custom_hooks)
    assert cfg.test_dataloader is None  # val is no test
    found = train('line.py')
    assert len(found) == 2
    assert all(0 < loss < 100 for loss in found)
    assert Path('work/epoch_1.pth').is_file()


@pytest.mark.slow
def test_feature_boxes_of_three_subsets_are_calibrated() -> None:
    """With images for validation that no test sees, training ends with thresholds."""
    for subset in ('train', 'valid', 'test'):
        WRITERS['labelme'](Path('parts', subset))
    for subset, kept in {'valid': range(6), 'test': range(6, 12)}.items():
        for path in Path('parts', subset).iterdir():
            if int(path.stem.split()[-1]) not in kept:
                path.unlink()
    assert init('boxes', 'parts', '--out', 'line.py') == 0
    longer = {'train_cfg.max_epochs': 60, 'train_dataloader.dataset.indices': 'None'}
    longer |= {'train_dataloader.batch_size': 4, 'train_cfg.val_interval': 60}
    longer |= {'default_hooks.checkpoint.interval': 60}
    train('line.py', **longer)
    assert Path('work/calibrated.pth').is_file()
    inferencer = DefectInferencer('work', device='cpu')
    assert inferencer.spec.calibrated
    assert inferencer.predict_one('parts/test/part 7.png').calibrated


def test_feature_what_is_suspicious_of_boxes(capsys: Out) -> None:
    WRITERS['yolo'](Path('parts'))
    labels = Path('parts/labels/part 0.txt')
    labels.write_text('0 0.5 0.5 0.02 0.02\n' * 2, encoding='utf-8')
    shutil.copy('parts/images/part 0.png', 'parts/images/copy.png')
    shutil.copy(labels, 'parts/labels/copy.txt')
    Image.new('L', (9, 9)).save('parts/images/more.png')
    assert init('boxes', 'parts', '--out', 'line.py') == 0
    printed = said(capsys)
    for text in (
        'classes with fewer than 10 boxes in training (2: dent 8, scratch 2)',
        'images without annotations, left out: 1: images/more.png',
        'duplicate boxes: 2: images/copy.png dent',
        'identical files, all of them in training: 1: images/copy.png = images/part 0',
        '4 of 15 boxes are narrower than 8 px at 96 x 64',
        'there are no pretrained weights at data/weights/mobilenet_v2-in1k-mmdet.pth',
    ):
        assert text in printed
    cfg = Config.fromfile('line.py')
    assert cfg.model.backbone.init_cfg is None
    assert cfg.model.backbone.frozen_stages == -1


def test_feature_own_weights_and_own_subsets(capsys: Out) -> None:
    """With weights the preset's backbone stays; folders decide what validates."""
    weights = Path('data/weights/mobilenet_v2-in1k-mmdet.pth')
    weights.parent.mkdir(parents=True)
    weights.touch()
    for subset in ('train', 'valid', 'test'):
        WRITERS['labelme'](Path('parts', subset))
    for subset, number in {'valid': 0, 'test': 1}.items():
        for path in Path('parts', subset).glob('*'):
            if not path.stem.endswith(f' {number}'):
                path.unlink()
    assert init('boxes', 'parts', '--out', 'line.py') == 0
    assert 'split as the data set is' in said(capsys)
    cfg = Config.fromfile('line.py')
    assert cfg.model.backbone.init_cfg.checkpoint == str(weights)
    files = [cfg[f'{s}_dataloader'].dataset.ann_file for s in ('train', 'val', 'test')]
    assert files == [f'line_data/{s}.json' for s in ('train', 'val', 'test')]
    assert cfg.custom_hooks[-1].type == 'mmdefect.BoxCalibrationHook'
    for path, number in zip(files, (12, 1, 1), strict=True):
        content = json.loads(Path(path).read_text(encoding='utf-8'))
        assert len(content['images']) == number


def test_exception_what_is_there_already(capsys: Out) -> None:
    WRITERS['voc'](Path('parts'))
    assert init('boxes', 'parts', '--out', 'line.py') == 0
    before = Path('line.py').read_text(encoding='utf-8')
    Path('line.py').write_text('# mine', encoding='utf-8')
    assert init('boxes', 'parts', '--out', 'line.py') == 1
    assert 'error: --out line.py: there is something of this name' in (said(capsys))
    assert Path('line.py').read_text(encoding='utf-8') == '# mine'
    assert init('boxes', 'parts', '--out', 'line.py', '--force') == 0
    assert Path('line.py').read_text(encoding='utf-8') == before
    Path('line.py').unlink()
    assert init('boxes', 'parts', '--out', 'line.py') == 1
    assert 'line_data holds something already' in said(capsys)


def test_feature_no_list_of_another_run_is_left(
    sorted_parts: None, capsys: Out
) -> None:
    """Its images may be in other splits now; own files stay."""
    data = Path('line_data')
    assert init('labels', 'parts', '--out', 'line.py') == 0
    Path(data, 'notes.txt').touch()
    WRITERS['voc'](Path('boxes'))
    assert init('boxes', 'boxes', '--out', 'line.py', '--force') == 0
    assert {path.name for path in data.iterdir()} == {
        'notes.txt',
        'train.json',
        'val.json',
    }
    photos(Path('line_data/gear/train/good'), 5, seed=0)
    assert init('maps', 'line_data/gear', '--out', 'line.py', '--force') == 1
    assert 'line_data, which holds what is read: expected' in said(capsys)
    shutil.move('line_data/gear', 'gear')
    assert init('maps', 'gear', '--out', 'line.py', '--force') == 0
    assert [path.name for path in data.iterdir()] == ['notes.txt']


@pytest.mark.parametrize('folder', ['sc\nrap', 'sc\u2028rap', ' scrap'])
def test_exception_names_that_lists_cannot_hold(folder: str, capsys: Out) -> None:
    photos(Path('parts/good'), 2, seed=0)
    photos(Path('parts', folder), 2, seed=1)
    assert init('labels', 'parts', '--out', 'line.py') == 1
    assert 'begins with a space or holds the end of a line (2: ' in (said(capsys))
    assert [path.name for path in Path().iterdir()] == ['parts']


@pytest.mark.parametrize('task', ['maps', 'labels'])
def test_exception_names_that_are_no_text(task: str, capsys: Out) -> None:
    photos(Path('parts/good'), 2, seed=0)
    photos(Path('parts/bad'), 2, seed=1)
    Path('parts/bad/1.png').rename(os.fsdecode(b'parts/bad/\xff.png'))
    assert init(task, 'parts', '--out', 'line.py') == 1
    assert r'no UTF-8 (1: bad/\udcff.png): expected text; rename' in (said(capsys))
    assert init(task, 'parts', '--out', os.fsdecode(b'\xff.py')) == 1
    assert r'no UTF-8 (1: \udcff.py)' in said(capsys)
    assert [path.name for path in Path().iterdir()] == ['parts']


def two_formats() -> None:
    WRITERS['voc'](Path('parts'))
    WRITERS['labelme'](Path('parts'))


def no_boxes() -> None:
    WRITERS['labelme'](Path('parts'))
    for path in Path('parts').glob('*.json'):
        content = json.loads(path.read_text(encoding='utf-8'))
        path.write_text(json.dumps({**content, 'shapes': []}), encoding='utf-8')


def two_cases() -> None:
    WRITERS['labelme'](Path('parts'))
    path = Path('parts/part 1.json')
    text = path.read_text(encoding='utf-8').replace('"dent"', '"Dent"')
    path.write_text(text, encoding='utf-8')


@pytest.mark.parametrize(
    ('make', 'words', 'message'),
    [
        (
            two_formats,
            ['boxes'],
            r'holds two formats at once, LabelMe \(part 0.json\) and Pascal VOC',
        ),
        (no_boxes, ['boxes'], 'parts holds no box: expected some to learn from'),
        (two_cases, ['boxes'], r"'dent' \(.*0.json\) and 'Dent' \(.*1.json\) differ"),
        (lambda: None, ['boxes'], 'there is no folder parts'),
        (lambda: draw(Path('parts')), ['boxes'], 'parts holds no annotations'),
        (lambda: Path('parts').mkdir(), ['maps'], 'parts holds no image'),
        (lambda: draw(Path('parts/a')), ['labels'], 'holds 1 folders of images'),
        (
            lambda: [draw(Path('parts', n)) for n in 'ab'],
            ['labels'],
            'the folders a, b do not say which of them holds good parts',
        ),
        (
            lambda: [draw(Path('parts', n)) for n in 'ab'],
            ['maps', '--good', 'c'],
            "good='c': expected one of a, b",
        ),
    ],
)
def test_exception_one_sentence_and_nothing_written(
    make: Callable[[], Any], words: list[str], message: str, capsys: Out
) -> None:
    make()
    before = sorted(Path().rglob('*'))
    assert init(words[0], 'parts', '--out', 'line.py', *words[1:]) == 1
    printed = said(capsys)
    report = 'ERROR: ' in printed
    assert report != ('mmdefect: error: ' in printed)
    assert report == ('Nothing written: see the errors above.' in printed)
    assert re.search(message, printed), printed
    assert sorted(Path().rglob('*')) == before


def test_exception_no_name_of_a_config(capsys: Out) -> None:
    assert init('maps', 'parts', '--out', 'line') == 1
    assert '--out line: expected the name of a config' in said(capsys)


def photos(folder: Path, number: int, *, seed: int, square: bool = False) -> None:
    """Noise, with a dark square if a part is defective."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for k in range(number):
        pixels = rng.integers(100, 130, (32, 48), np.uint8)
        if square:
            pixels[8:20, 10:30] = 10
        Image.fromarray(pixels).save(folder / f'{k}.png')


@pytest.fixture
def sorted_parts() -> None:
    """Good parts and scrap, one photograph twice."""
    photos(Path('parts/good'), 8, seed=0)
    photos(Path('parts/scrap'), 8, seed=1, square=True)
    shutil.copy('parts/scrap/7.png', 'parts/good/wrong.png')
    shutil.copy('parts/good/0.png', 'parts/good/again.png')


@pytest.mark.parametrize('task', ['boxes', 'maps', 'labels'])
def test_feature_pictures_of_other_kinds(task: str, capsys: Out) -> None:
    if task == 'boxes':
        WRITERS['labelme'](Path('parts'))
    else:
        photos(Path('parts/good'), 8, seed=0)
        photos(Path('parts/bad'), 8, seed=1, square=True)
    Path('parts/a.webp').touch()
    assert init(task, 'parts', '--out', 'line.py') == 0
    assert 'pictures of other kinds, left out: 1: a.webp; save them' in said(capsys)


@pytest.mark.slow
def test_feature_labels_train(sorted_parts: None) -> None:
    assert init('labels', 'parts', '--out', 'line.py') == 0
    found = train('line.py')
    assert len(found) == 2
    assert all(0 < loss < 10 for loss in found)


def test_feature_labels(sorted_parts: None, capsys: Out) -> None:
    assert init('labels', 'parts', '--out', 'line.py') == 0
    printed = said(capsys)
    assert 'train: 12 images (scrap 6, good 6)' in printed
    assert 'val: 3 images (scrap 1, good 2)' in printed
    assert 'defective class: scrap, good: good' in printed
    assert 'once (1: good/wrong.png = scrap/7.png): one of each is sort' in printed
    assert 'identical files, 4: good/0.png, good/again.png, good/wrong.png, ' in printed
    assert 'images: 18, grey; 18 of 48 x 32' in printed
    cfg = Config.fromfile('line.py')
    assert cfg.model.backbone.init_cfg is None
    assert cfg.param_scheduler[1].end == cfg.train_cfg.max_epochs


def test_feature_labels_of_several_kinds_and_own_subsets(capsys: Out) -> None:
    """Kinds of defects are one class; what is in folders of subsets stays there."""
    for seed, subset in enumerate(('train', 'test')):
        photos(Path('parts', subset, 'OK'), 8, seed=seed)
        for kind in ('dent', 'not_ok'):
            folder = Path('parts', subset, kind)
            photos(folder, 4, seed=10 * seed + len(kind), square=True)
    assert init('labels', 'parts', '--out', 'line.py') == 0
    printed = said(capsys)
    assert 'defective are: dent, not_ok' in printed
    assert 'test: 16 images (defective 8, OK 8)' in printed
    lines = Path('line_data/test.txt').read_text(encoding='utf-8').splitlines()
    assert {line.split('/')[1]: line[-1] for line in lines} == {
        'OK': '1',
        'dent': '0',
        'not_ok': '0',
    }
    shutil.rmtree('parts/train')
    assert init('labels', 'parts', '--out', 'line.py', '--force') == 1
    assert 'expected train, val and test, or none' in said(capsys)


@pytest.mark.slow
def test_feature_maps_train(capsys: Out) -> None:
    """Products in MVTec-AD's folders, one without test images, in one step."""
    make_toy_products(Path('line'), size=32, products=2, train=5, test=5)
    shutil.rmtree('line/dots/test')
    shutil.rmtree('line/dots/ground_truth')
    assert init('maps', 'line', '--out', 'line.py') == 0
    printed = said(capsys)
    assert 'cloth: 5 train, ' in printed
    assert 'products without defective test images (1: dots)' in printed
    assert not Path('line_data').exists()
    cfg = Config.fromfile('line.py')
    assert cfg.stream.protocol == [['cloth', 'dots']]
    learn = {'train_dataloader.batch_size': 5}
    run_here('tools/train.py', 'line.py', '--work-dir', 'work', *flags(learn))
    matrix = json.loads(Path('work/matrix.json').read_text(encoding='utf-8'))
    scores = matrix['steps'][0]['scalars']
    assert scores['anomaly/good_images/dots'] == 1
    assert 0 <= scores['anomaly/image_auroc/cloth'] <= 1


@pytest.mark.parametrize('layout', ['product', 'loose', 'folders'])
def test_feature_maps_of_other_folders(layout: str, capsys: Out) -> None:
    """One product, a folder of good images, good ones beside defective ones."""
    if layout == 'product':
        photos(Path('gear/train/good'), 5, seed=0)
    elif layout == 'loose':
        photos(Path('gear'), 5, seed=0)
    else:
        photos(Path('gear/good'), 5, seed=0)
        photos(Path('gear/dent'), 2, seed=1, square=True)
    assert init('maps', 'gear', '--out', 'cfgs/line.py') == 0
    printed = said(capsys)
    counts = {'product': (5, 0, 0), 'loose': (4, 1, 0), 'folders': (4, 1, 2)}[layout]
    train_, good, bad = counts
    assert f'gear: {train_} train, {good} good and {bad} defective test' in printed
    cfg = Config.fromfile('cfgs/line.py')
    assert cfg.stream.protocol == [['gear']]
    if layout == 'product':
        assert cfg.train_dataloader.dataset.data_root == '.'
        return
    dataset = cfg.test_dataloader.dataset
    lines = Path(dataset.data_root, dataset.meta_file).read_text(encoding='utf-8')
    assert sum('"label": 1' in line for line in lines.splitlines()) == bad
    assert len(lines.splitlines()) == good + bad


def test_feature_maps_after_what_is_known(capsys: Out) -> None:
    """A new product beside those of a work dir, whose images are not needed."""
    make_toy_products(Path('new'), size=32, products=2, train=5, test=5)
    steps = [
        StepState(0, ['bolt'], 'finished', checkpoint='step_0/epoch_1.pth'),
        StepState(1, ['cloth'], 'finished', checkpoint='step_1/epoch_1.pth'),
        StepState(2, ['nut']),
    ]
    Path('work').mkdir()
    StreamState(name='line', classes=['bolt', 'cloth', 'nut'], steps=steps).save(
        Path('work')
    )
    assert init('maps', 'new', '--after', 'work', '--out', 'line.py') == 0
    cfg = Config.fromfile('line.py')
    assert cfg.stream.protocol == [['bolt', 'cloth'], ['dots']]
    assert cfg.stream.start_from == 'work/step_1/epoch_1.pth'
    assert cfg.products == ['bolt', 'cloth', 'dots']
    assert cfg.model.type == 'mmdefect.ProductMemory'
    shutil.rmtree('new/dots')
    capsys.readouterr()
    assert init('maps', 'new', '--after', 'work', '--out', 'line.py', '--force') == 1
    text = said(capsys)
    assert 'work knows bolt, cloth already: expected another product' in text
    assert init('maps', 'new', '--after', 'none', '--out', 'x.py') == 1
    assert 'none holds no stream.json: expected' in said(capsys)
    StreamState(name='line', classes=['nut'], steps=[StepState(0, ['nut'])]).save(
        Path('work')
    )
    assert init('maps', 'new', '--after', 'work', '--out', 'x.py') == 1
    assert 'expected a work dir with a trained step' in said(capsys)


def test_feature_maps_say_what_certifies_an_alarm(capsys: Out) -> None:
    """The number of the warning is that of the preset."""
    photos(Path('gear/train/good'), 5, seed=0)
    assert init('maps', 'gear', '--out', 'line.py') == 0
    assert f'fewer than {CERTIFIED} good images' in said(capsys)
    wanted = Config.fromfile('line.py').model.alarm
    assert 2 * images_needed(**wanted) == CERTIFIED
