"""Thresholds of trained models: of boxes, labels and maps, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmdefect.apis.calibrate import calibrate
from mmdefect.apis.torch_backend import TorchBackend
from mmdefect.functional import cost_threshold
from mmdefect.utils.checkpoint import load_weights
from tests.helpers.tiny_models import CLASSIFIER, MAPS, saved_model, stream_of_boxes


@pytest.fixture(scope='module')
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stream in ``work``, and validation images in ``val``."""
    folder = tmp_path_factory.mktemp('boxes')
    annotated(stream_of_boxes(folder), folder / 'val')
    return folder


@pytest.fixture
def stream(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made / 'val', tmp_path / 'val')
    return Path(shutil.copytree(made / 'work', tmp_path / 'work'))


def drawn(path: Path, seed: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    image = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    cv2.imwrite(str(path), image)
    return image


def annotated(work: Path, folder: Path, *, images: int = 3) -> Path:
    """Images of which the model's own boxes, every second one, are the truth."""
    backend = TorchBackend(work, device='cpu')
    entries, boxes = [], []
    # One more class than the model knows, and in another order.
    names = ['patches', 'crazing', 'dust', 'inclusion']
    for number in range(images):
        image = drawn(folder / f'{number}.png', number)
        (output,) = backend([image])
        entry = {'id': number, 'file_name': f'{number}.png', 'width': 64, 'height': 48}
        entries.append(entry)
        for box, label in zip(output.boxes[::2], output.labels[::2], strict=True):
            x1, y1, x2, y2 = map(float, box)
            name = backend.spec.classes[label]
            if name != 'inclusion':
                category = names.index(name) + 1
                box = [x1, y1, x2 - x1, y2 - y1]
                boxes.append({'image_id': number, 'category_id': category, 'bbox': box})
    boxes.append({'image_id': 0, 'category_id': 3, 'bbox': [1, 1, 20, 20]})
    content = {
        'images': entries,
        'annotations': [{'id': k, **box} for k, box in enumerate(boxes, 1)],
        'categories': [{'id': k, 'name': n} for k, n in enumerate(names, 1)],
    }
    path = folder / 'val.json'
    path.write_text(json.dumps(content), encoding='utf-8')
    return path


def test_feature_boxes(stream: Path, tmp_path: Path) -> None:
    file = tmp_path / 'val/val.json'
    options: dict[str, Any] = {'images': tmp_path / 'val', 'annotations': file}
    found = calibrate(stream, **options, costs=(3, 1), device='cpu', batch_size=2)
    assert found.path == stream / 'step_0/calibrated.pth'
    assert (found.task, found.images) == ('boxes', 3)
    # The truth is known to the model: those that it is less sure of are kept out.
    shown = {name for name in ('crazing', 'patches') if name in found.thresholds}
    assert shown
    assert set(found.thresholds) == shown
    assert any('show no box of' in n and 'inclusion' in n for n in found.notes)
    assert 'the model does not know dust, whose boxes were left out' in found.notes
    saved = load_weights(found.path)
    before = load_weights(stream / 'step_0/epoch_1.pth')
    assert saved['meta']['stream'] == before['meta']['stream']
    for name, value in saved['state_dict'].items():
        assert torch.equal(value, before['state_dict'][name])
    note = saved['meta']['calibration']
    assert note['checkpoint'] == 'epoch_1.pth'
    assert note['thresholds'] == found.thresholds
    for name in shown:
        count = note['counts'][name]
        assert 0 < count['found'] <= count['boxes']
    # What it decides on from now on; and once more, of the same weights.
    assert TorchBackend(stream, device='cpu').spec.thresholds == found.thresholds
    again = calibrate(stream, **options, costs=(1, 9), device='cpu')
    note = load_weights(again.path)['meta']['calibration']
    assert note['checkpoint'] == 'epoch_1.pth'
    assert all(again.thresholds[n] >= found.thresholds[n] for n in shown)
    assert str(again).endswith(f'wrote {again.path}')


def test_feature_in_tiles_and_elsewhere(stream: Path, tmp_path: Path) -> None:
    found = calibrate(
        stream,
        images=tmp_path / 'val',
        annotations=tmp_path / 'val/val.json',
        tile={'size': 40, 'overlap': 10},
        out=tmp_path / 'new/tiled.pth',
        device='cpu',
    )
    assert found.path == tmp_path / 'new/tiled.pth'
    note = load_weights(found.path)['meta']['calibration']
    assert note['tile'] == {'size': 40, 'overlap': 10}
    assert not (stream / 'step_0/calibrated.pth').exists()


def test_feature_the_validation_images_of_the_config(stream, tmp_path) -> None:
    """Boxes and labels, as if their files had been given."""
    config = stream / 'step_0/tiny_sd-idd.py'
    cfg = Config.fromfile(config)
    cfg.val_dataloader = cfg.test_dataloader.to_dict()
    cfg.val_dataloader.dataset.update(
        type='mmdefect.DefectDetDataset',
        data_root=f'{tmp_path}/val/',
        ann_file='val.json',
    )
    cfg.dump(config)
    settings: dict[str, Any] = {'device': 'cpu', 'out': tmp_path / 'x.pth'}
    one = calibrate(stream, **settings)
    two = calibrate(
        stream,
        images=tmp_path / 'val',
        annotations=tmp_path / 'val/val.json',
        **settings,
    )
    assert one.thresholds == two.thresholds
    assert one.images == two.images == 3
    labels = Config(CLASSIFIER)
    labels.val_dataloader = labels.test_dataloader.to_dict()
    labels.val_dataloader.dataset.data_root = str(tmp_path / 'sorted')
    for number in range(4):
        name = ('broken', 'good')[number % 2]
        drawn(tmp_path / f'sorted/{name}/{number}.png', number)
    config, weights = saved_model(labels, tmp_path / 'labels')
    one = calibrate(config, weights=weights, **settings)
    two = calibrate(config, weights=weights, images=tmp_path / 'sorted', **settings)
    assert one.thresholds == two.thresholds
    assert one.images == two.images == 4


def test_feature_labels(tmp_path: Path) -> None:
    config, weights = saved_model(CLASSIFIER, tmp_path / 'model')
    for name, level in (('broken', 60), ('good', 190)):
        for number in range(6):
            image = np.full((32, 32, 3), level + 10 * number, np.uint8)
            path = tmp_path / 'val' / name / f'{number}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), image)
    backend = TorchBackend(config, weights=weights, device='cpu')
    settings: dict[str, Any] = {'weights': weights, 'device': 'cpu', 'batch_size': 4}
    found = calibrate(
        config, images=tmp_path / 'val', costs=(5, 1), out=None, **settings
    )
    assert found.path == weights.with_name('calibrated.pth')
    assert (found.task, found.images) == ('labels', 12)
    saved = load_weights(found.path)
    state, note = saved['state_dict'], saved['meta']['calibration']
    threshold = float(state['head.threshold'])
    assert found.thresholds == {'broken': pytest.approx(threshold)}
    assert note['thresholds']['broken'] == note['threshold']
    assert float(state['head.temperature']) == pytest.approx(note['temperature'])
    # The threshold is that of the probabilities which the new weights say.
    after = TorchBackend(config, weights=found.path, device='cpu')
    assert after.spec.calibrated
    paths = [
        tmp_path / 'val' / name / f'{k}.png'
        for name in ('broken', 'good')
        for k in range(6)
    ]
    scores = torch.tensor(
        [float(after([cv2.imread(str(path))])[0].probabilities[0]) for path in paths]
    )
    truth = torch.tensor([1] * 6 + [0] * 6)
    chosen = cost_threshold(scores, truth, 5, 1)
    assert threshold == pytest.approx(chosen, abs=1e-3)
    assert not backend.spec.calibrated


def test_exception(stream: Path, tmp_path: Path) -> None:
    file = tmp_path / 'val/val.json'

    def refused(message: str, error: type = ValueError, **more: Any) -> None:
        options = {'images': tmp_path / 'val', 'annotations': file, **more}
        with pytest.raises(error, match=message):
            calibrate(stream, device='cpu', **options)
        assert not (stream / 'step_0/calibrated.pth').exists()

    refused(r'^costs=\(0, 1\): expected two positive', costs=(0, 1))
    refused(r'^false_alarm_rate=1: expected more than 0', false_alarm_rate=1)
    refused(r'^confidence=0: expected more than 0', confidence=0)
    refused(r'^annotations=None: expected a COCO file and the fol', annotations=None)
    refused(
        r'^images=None: expected validation images, .* stream never does',
        annotations=None,
        images=None,
    )
    refused('there is no annotation file', FileNotFoundError, annotations='no.json')
    refused(r'^tile overlap=40', tile={'size': 40, 'overlap': 40})
    refused('cannot load the image', images=tmp_path)
    empty = tmp_path / 'empty.json'
    content = json.loads(file.read_text(encoding='utf-8'))
    empty.write_text(json.dumps({**content, 'images': [], 'annotations': []}))
    refused('lists no image: expected some', annotations=empty)
    empty.write_text(json.dumps({**content, 'annotations': []}))
    refused(
        'no threshold can be chosen from these 3 images .*no box of crazing, inclusion',
        annotations=empty,
    )
    content['categories'][1]['name'] = 'Crazing'
    empty.write_text(json.dumps(content))
    refused("names 'Crazing', the class of the model is 'crazing'", annotations=empty)
    # The config names the images of the test.
    cfg = Config.fromfile(stream / 'step_0/tiny_sd-idd.py')
    root = tmp_path / 'test'
    shutil.copytree(tmp_path / 'val', root)
    cfg.test_dataloader.dataset.update(data_root=f'{root}/', ann_file='val.json')
    cfg.dump(stream / 'step_0/tiny_sd-idd.py')
    refused('is the annotation file of the test: expected validation')


def test_exception_nothing_to_choose_and_what_is_there(tmp_path: Path) -> None:
    """Neither a good calibration nor a file of somebody else is replaced."""
    config, weights = saved_model(CLASSIFIER, tmp_path / 'model')
    for name in ('broken', 'good'):
        drawn(tmp_path / f'val/{name}/0.png', len(name))
    settings: dict[str, Any] = {'images': tmp_path / 'val', 'device': 'cpu'}
    found = calibrate(config, weights=weights, **settings)
    before = found.path.read_bytes()
    shutil.rmtree(tmp_path / 'val/good')
    with pytest.raises(ValueError, match=r'^no threshold .* all of one kind.*expected'):
        calibrate(config, weights=weights, **settings)
    assert found.path.read_bytes() == before
    (tmp_path / 'notes.txt').write_text('mine', encoding='utf-8')
    for out in (weights, tmp_path / 'notes.txt', tmp_path):
        held = out.read_bytes() if out.is_file() else None
        with pytest.raises(FileExistsError, match='no calibrated checkpoint: expected'):
            calibrate(config, weights=weights, out=out, **settings)
        assert held is None or out.read_bytes() == held


def test_exception_folders(tmp_path: Path) -> None:
    config, weights = saved_model(MAPS, tmp_path / 'model')

    def refused(message: str, error: type = ValueError, **more: Any) -> None:
        options = {'images': tmp_path / 'good', **more}
        with pytest.raises(error, match=message):
            calibrate(config, weights=weights, device='cpu', **options)

    refused('there is no folder', FileNotFoundError)
    refused('images=None: expected a folder of good images', images=None)
    drawn(tmp_path / 'good/0.png', 0)
    refused('holds no folder: expected one a class or product')
    drawn(tmp_path / 'good/cloths/0.png', 0)
    refused("names the unknown class 'cloths'.*did you mean cloth")
    (tmp_path / 'good/cloths').rename(tmp_path / 'good/CLOTH')
    refused("names 'CLOTH', the class of the model is 'cloth'")
    (tmp_path / 'good/CLOTH').rename(tmp_path / 'good/cloth')
    (tmp_path / 'good/cloth/1.png').write_bytes(b'no image')
    refused('a threshold needs all images')
    refused('expected none with a model of maps', annotations='val.json')
    plain = Config(CLASSIFIER)
    plain.model.head = {'type': 'LinearClsHead', 'num_classes': 2, 'in_channels': 8}
    config, weights = saved_model(plain, tmp_path / 'plain')
    refused('LinearClsHead has no temperature and no threshold')


@pytest.mark.parametrize('task', ['labels', 'maps'])
def test_exception_training_images(task: str, tmp_path: Path) -> None:
    """By their content, whatever they are called; one that is changed is another."""
    train, val = tmp_path / 'train_set', tmp_path / 'val'
    if task == 'maps':
        cfg, folders, inside = Config(MAPS), ('cloth', 'metal'), 'train/good'
        settings = cfg.test_dataloader.dataset.to_dict()
        settings |= {'split': 'train', 'keep_classes': ['metal'], 'replay': 1}
        settings |= {'replay_classes': ['cloth'], 'hold_out': 0}
    else:
        cfg, folders, inside = Config(CLASSIFIER), ('broken', 'good'), ''
        settings = cfg.test_dataloader.dataset.to_dict()
    cfg.train_dataloader = {'dataset': {**settings, 'data_root': str(train)}}
    config, weights = saved_model(cfg, tmp_path / 'model')
    for number, name in enumerate(folders):
        for place in (train / name / inside, val / name):
            drawn(place / '0.png', number)
            drawn(place / f'{place.parent.name}.png', 10 * number + len(str(place)))
    options: dict[str, Any] = {'weights': weights, 'images': val, 'device': 'cpu'}
    with pytest.raises(ValueError, match='training images of this model') as refused:
        calibrate(config, **options)
    assert f'({val}/{folders[0]}/0.png, {val}/{folders[1]}/0.png)' in str(refused.value)
    assert not weights.with_name('calibrated.pth').exists()
    for number, name in enumerate(folders):
        drawn(val / name / '0.png', 100 + number)
    assert not any(
        'training images' in note for note in calibrate(config, **options).notes
    )


def test_exception_training_images_of_boxes(stream: Path, tmp_path: Path) -> None:
    """Also those of the steps before; where they are gone, names are a hint."""
    config = stream / 'step_0/tiny_sd-idd.py'
    cfg = Config.fromfile(config)
    shutil.copytree(tmp_path / 'val', tmp_path / 'learned')
    (tmp_path / 'learned/2.png').rename(tmp_path / 'learned/other.png')
    listed = json.loads((tmp_path / 'val/val.json').read_text(encoding='utf-8'))
    listed['images'] = listed['images'][:2]
    listed['annotations'] = [a for a in listed['annotations'] if a['image_id'] < 2]
    (tmp_path / 'learned/val.json').write_text(json.dumps(listed), encoding='utf-8')
    cfg.train_dataloader.dataset = dict(
        type='mmdefect.DefectDetDataset',
        data_root=f'{tmp_path}/learned/',
        ann_file='val.json',
        keep_classes=['inclusion'],
    )
    cfg.dump(config)
    options: dict[str, Any] = {
        'images': tmp_path / 'val',
        'annotations': tmp_path / 'val/val.json',
        'device': 'cpu',
    }
    with pytest.raises(
        ValueError, match=r'^2 of 3 images are training images .*0\.png'
    ):
        calibrate(stream, **options)
    assert not (stream / 'step_0/calibrated.pth').exists()
    for path in (tmp_path / 'learned').glob('*.png'):
        path.unlink()
    (note,) = (n for n in calibrate(stream, **options).notes if 'training images' in n)
    assert note.startswith('the training images are not here to be compared')
    assert '; 2 have their names (' in note
    (tmp_path / 'learned/val.json').unlink()
    (note,) = (n for n in calibrate(stream, **options).notes if 'training images' in n)
    assert note.endswith('if these images are among them')
