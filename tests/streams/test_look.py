"""What fails late is found before the first step trains."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmdefect.apis import build_runner, load_config
from mmdefect.streams import look
from mmdefect.streams.runner import StreamRunner
from mmdefect.streams.state import StreamState
from mmdefect.streams.stream import build_stream
from mmdefect.testing import make_toy_products
from mmdefect.utils.interrupts import Interrupted
from tests.conftest import REPO
from tests.helpers.image_files import deep, written
from tests.streams.conftest import CONFIG, options, stream_runner

PRODUCTS = REPO / 'configs/anomaly_stream/finetune_toy_3-1x2.py'
LAST = 'scratches'


class Trained(Exception):  # noqa: N818
    """Raised in place of a training."""


@pytest.fixture(autouse=True)
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(self: StreamRunner, cfg: Any, state: Any) -> None:
        raise Trained

    monkeypatch.setattr(StreamRunner, '_train', train)


@pytest.fixture
def changed(toy_neu_det: Path, tmp_path: Path) -> Callable[..., str]:
    """Writes an annotation file of the toy set, changed by a function."""

    def write(split: str, change: Callable[[dict], None]) -> str:
        path = toy_neu_det / 'coco' / f'{split}.json'
        coco = json.loads(path.read_text(encoding='utf-8'))
        change(coco)
        out = tmp_path / f'{split}.json'
        out.write_text(json.dumps(coco), encoding='utf-8')
        return str(out)

    return write


def without_last(coco: dict) -> None:
    """Leave out the boxes of the last class."""
    (number,) = [c['id'] for c in coco['categories'] if c['name'] == LAST]
    coco['annotations'] = [b for b in coco['annotations'] if b['category_id'] != number]


def turned(coco: dict) -> None:
    coco['categories'].reverse()


def renamed(coco: dict) -> None:
    coco['categories'][-1]['name'] = 'something else'


def test_smoke_all_is_looked_at_once(toy_neu_det, tmp_path, monkeypatch) -> None:
    """Each training set, and the one test set with all of its classes."""
    built: list[tuple[str, int]] = []
    build = look._build

    def note(settings: dict) -> Any:
        loader = build(settings)
        path = Path(loader.dataset.ann_file).stem
        built.append((path, len(loader.dataset.metainfo['classes'])))
        return loader

    monkeypatch.setattr(look, '_build', note)
    epochs = {'stream.base.train_cfg.max_epochs': 2}
    runner = stream_runner(toy_neu_det, tmp_path / 'x', **epochs)
    with pytest.raises(Trained):
        runner.train()
    assert built == [('train', 3), ('train', 6), ('test', 6)]
    # Five batches of six: two epochs, then one.
    assert runner._iterations == {0: 10, 1: 5}


NOWHERE = (FileNotFoundError, ValueError)
INCREMENT = 'stream.increment.train_dataloader.dataset.ann_file'
ANN_FILE = '{}_dataloader.dataset.ann_file'


@pytest.mark.parametrize(
    ('more', 'error', 'message'),
    [
        (
            {'test_evaluator.ann_file': 'nowhere.json'},
            FileNotFoundError,
            r'^there is no annotation file nowhere\.json: expected a file',
        ),
        ({ANN_FILE.format('test'): 'nowhere.json'}, NOWHERE, r'nowhere\.json'),
        ({INCREMENT: 'nowhere.json'}, NOWHERE, r'nowhere\.json'),
        (
            {'test_dataloader.persistent_workers': True},
            ValueError,
            r'^test_dataloader\.num_workers=0: expected .*persistent_workers=True',
        ),
        (
            {'train_dataloader.prefetch_factor': 4},
            ValueError,
            r'^train_dataloader\.num_workers=0: expected .* with prefetch_factor=4 in',
        ),
        ({'test_dataloader.batchsize': 1}, TypeError, 'batchsize'),
        (
            {
                'train_dataloader.batch_size': 500,
                'train_dataloader.batch_sampler.drop_last': True,
            },
            ValueError,
            r'^the training set has \d+ images, .*batch_size=500 and drop_last=True',
        ),
    ],
)
def test_exception_settings(more, error, message, toy_neu_det, tmp_path) -> None:
    runner = stream_runner(toy_neu_det, tmp_path / 'x', **more)
    with pytest.raises(error, match=message):
        runner.train()


@pytest.mark.parametrize(
    ('key', 'split', 'change', 'message'),
    [
        (
            ANN_FILE.format('train'),
            'train',
            without_last,
            rf'train\.json: expected a box of every .* step 1, found none of {LAST}',
        ),
        (
            ANN_FILE.format('test'),
            'test',
            turned,
            r'test\.json holds the classes scratches, .*in this order',
        ),
        (
            'test_evaluator.ann_file',
            'test',
            renamed,
            rf"^class {LAST} is not in '.*test\.json'",
        ),
    ],
)
def test_exception_annotations(
    key, split, change, message, changed, toy_neu_det, tmp_path
) -> None:
    """What is refused leaves the work dir free."""
    runner = stream_runner(toy_neu_det, tmp_path / 'x', **{key: changed(split, change)})
    with pytest.raises(ValueError, match=message):
        runner.train()
    assert not (tmp_path / 'x/stream.json').exists()


def test_exception_missing_test_image_of_mmdets_data_set(
    changed, toy_neu_det, tmp_path
) -> None:
    def lose_one(coco: dict) -> None:
        coco['images'][0]['file_name'] = 'IMAGES/gone.jpg'

    more = {'test_dataloader.dataset.ann_file': changed('test', lose_one)}
    more = options(toy_neu_det, **more)
    cfg = load_config(CONFIG, cfg_options=more, work_dir=str(tmp_path / 'x'))
    classes = build_stream(cfg).classes
    cfg.test_dataloader.dataset.update(
        type='CocoDataset', metainfo={'classes': classes}
    )
    with pytest.raises(ValueError, match=r'gone\.jpg \(missing file\), of 12'):
        build_runner(cfg).train()


@pytest.fixture
def deep_root(toy_neu_det: Path, tmp_path: Path) -> Path:
    """The toy set in 16 bits, up to 65535 in training and up to 4095 in test."""
    root = tmp_path / 'deep'
    for split, top in (('train', 65535), ('test', 4095)):
        path = toy_neu_det / f'coco/{split}.json'
        coco = json.loads(path.read_text(encoding='utf-8'))
        for image in coco['images']:
            image['file_name'] = f'{split}_{image["id"]}.png'
            pixels = np.linspace(0, top, 96 * 96).reshape(96, 96).astype(np.uint16)
            written(root, {image['file_name']: deep(pixels, '.png')})
        (root / 'coco').mkdir(exist_ok=True)
        text = json.dumps(coco)
        (root / f'coco/{split}.json').write_text(text, encoding='utf-8')
    return root


def test_exception_test_images_of_other_bits(deep_root: Path, tmp_path: Path) -> None:
    message = 'as 16 bits in the training set and as 12 bits in the test set; expected'
    with pytest.raises(ValueError, match=message):
        stream_runner(deep_root, tmp_path / 'x').train()
    same = {f'{s}_dataloader.dataset.bits': 16 for s in ('train', 'test')}
    with pytest.raises(Trained):
        stream_runner(deep_root, tmp_path / 'x', **same).train()


# ------------------------------------------------------------------- starting again

OTHER = {'stream.protocol': '5+1'}


def test_feature_a_start_that_trained_nothing_is_taken_over(
    toy_neu_det, tmp_path
) -> None:
    for more, sizes in (({}, [3, 3]), (OTHER, [5, 1])):
        with pytest.raises(Trained):
            stream_runner(toy_neu_det, tmp_path / 'x', **more).train()
        steps = StreamState.load(tmp_path / 'x').steps
        assert steps[0].state == 'running'
        assert [len(step.classes) for step in steps] == sizes
    # A checkpoint is a training.
    pointer = tmp_path / 'x/step_0/last_checkpoint'
    pointer.write_text('epoch_1.pth', encoding='utf-8')
    for more in ({}, OTHER):
        with pytest.raises(FileExistsError, match='already holds a stream'):
            stream_runner(toy_neu_det, tmp_path / 'x', **more).train()


def test_feature_an_interruption_says_its_step(
    toy_neu_det, tmp_path, monkeypatch
) -> None:
    def stop(self: StreamRunner, cfg: Any, state: Any) -> None:
        raise Interrupted(130)

    monkeypatch.setattr(StreamRunner, '_train', stop)
    with pytest.raises(Interrupted) as caught:
        stream_runner(toy_neu_det, tmp_path / 'x').train()
    assert caught.value.args == ('step 0',)


def test_feature_products(tmp_path: Path) -> None:
    """Iterations of every step; a metric that cannot be built is refused."""
    root = make_toy_products(tmp_path / 'data', size=32, train=4, test=2)
    data = [f'{s}_dataloader.dataset.data_root' for s in ('train', 'test')]

    def runner(**more: Any) -> Any:
        options = {**dict.fromkeys(data, f'{root}/'), **more}
        options['train_dataloader.batch_size'] = 4
        cfg = load_config(PRODUCTS, cfg_options=options, work_dir=str(tmp_path / 'x'))
        return build_runner(cfg)

    first = runner()
    with pytest.raises(Trained):
        first.train()
    assert sorted(first._iterations) == [0, 1, 2]
    assert all(first._iterations.values())
    with pytest.raises(ValueError, match=r"mode='streamed': expected one of"):
        runner(**{'test_evaluator.mode': 'streamed'}).train()
