"""Where config and weights of a trained model are found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mmengine.config import Config

from mmdefect.apis.trained import dataset_of, find_trained, untrained_steps
from tests.helpers.old_work_dir import CONFIG
from tests.helpers.tiny_models import CLASSIFIER, stream_of_boxes


@pytest.fixture(scope='module')
def stream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import mmdet.apis  # noqa: F401  its import is no test's time

    return stream_of_boxes(tmp_path_factory.mktemp('stream'))


def test_smoke_stream(stream: Path) -> None:
    found = find_trained(stream)
    assert found.checkpoint == stream / 'step_0/epoch_1.pth'
    assert (found.config, found.step) == (stream / 'step_0/tiny_sd-idd.py', 0)
    other = find_trained(CONFIG, found.checkpoint)
    assert (other.config, other.step) == (CONFIG, 0)
    assert other.cfg.model.bbox_head.num_classes == 3
    # The folder of a step is a plain work dir.
    assert find_trained(stream / 'step_0').checkpoint == found.checkpoint


def test_feature_calibrated_only_on_request(tmp_path: Path) -> None:
    cfg = Config(CLASSIFIER)
    cfg.dump(tmp_path / 'mine.py')
    for name in ('epoch_3.pth', 'calibrated.pth'):
        (tmp_path / name).write_bytes(b'')
    (tmp_path / 'last_checkpoint').write_text('C:\\elsewhere\\epoch_3.pth')
    assert find_trained(tmp_path).checkpoint.name == 'epoch_3.pth'
    found = find_trained(tmp_path, calibrated=True)
    assert found.checkpoint == tmp_path / 'calibrated.pth'
    assert found.config == tmp_path / 'mine.py'
    named = find_trained(tmp_path, tmp_path / 'other.pth', calibrated=True)
    assert named.checkpoint == tmp_path / 'other.pth'
    (tmp_path / 'epoch_3.pth').unlink()  # to save space
    assert find_trained(tmp_path, calibrated=True).checkpoint.is_file()


def test_feature_dataset_of_test_or_validation() -> None:
    cfg = Config(CLASSIFIER)
    assert dataset_of(cfg).classes == ['broken', 'good']
    loader = cfg.pop('test_dataloader')
    assert dataset_of(cfg) is None
    parts = {'type': 'ConcatDataset', 'datasets': [loader.dataset]}
    wrapped = {'dataset': {'type': 'RepeatDataset', 'dataset': parts}}
    cfg.val_dataloader = wrapped
    assert dataset_of(cfg).classes == ['broken', 'good']


def test_exception_work_dirs(stream: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'^step=1: expected one of the trained steps'):
        find_trained(stream, step=1)
    with pytest.raises(FileNotFoundError, match=r'holds no stream\.json'):
        find_trained(tmp_path)
    (tmp_path / 'last_checkpoint').write_text('epoch_1.pth')
    with pytest.raises(ValueError, match='holds 0 configs: expected the one'):
        find_trained(tmp_path)
    with pytest.raises(ValueError, match=r'^step=0: expected none, .* is no work dir'):
        find_trained(tmp_path, step=0)
    (tmp_path / 'mine.py').write_text("model = dict(type='GFL')", encoding='utf-8')
    for content in (b'\xff\x00\x80', b'a\0b', b'a\x1bb', b''):
        (tmp_path / 'last_checkpoint').write_bytes(content)
        with pytest.raises(ValueError, match=r'last_checkpoint .*: expected'):
            find_trained(tmp_path)
    (tmp_path / 'mine.py').write_text('model = 5', encoding='utf-8')
    (tmp_path / 'last_checkpoint').write_text('epoch_1.pth')
    with pytest.raises(ValueError, match=r'mine\.py has model=5: expected model=dict'):
        find_trained(tmp_path)
    with pytest.raises(ValueError, match=r'^test_dataloader=5: expected dict'):
        dataset_of(Config({'test_dataloader': 5}))
    with pytest.raises(FileNotFoundError, match=r"config '.*none\.py' does not exist"):
        find_trained(tmp_path / 'none.py', 'x.pth')
    with pytest.raises(ValueError, match=r'^checkpoint=None: expected a file'):
        find_trained(Config(CLASSIFIER))


def test_exception_no_step_is_trained(tmp_path: Path) -> None:
    """Of a stream that has just begun."""
    work = stream_of_boxes(tmp_path)
    assert untrained_steps(work) == [1]
    assert untrained_steps(work / 'step_0') == []
    path = work / 'stream.json'
    content = json.loads(path.read_text(encoding='utf-8'))
    for step in content['steps']:
        step['checkpoint'] = None
    path.write_text(json.dumps(content), encoding='utf-8')
    with pytest.raises(ValueError, match='work has no trained step yet: expected one'):
        find_trained(work)
    with pytest.raises(ValueError, match='work has no trained step yet: expected one'):
        find_trained(work, step=0)


def test_exception_weights_in_place_of_a_model(tmp_path: Path) -> None:
    (tmp_path / 'x.pth').touch()
    with pytest.raises(
        ValueError, match=r'x\.pth is a file of weights: expected a con'
    ):
        find_trained(tmp_path / 'x.pth')
