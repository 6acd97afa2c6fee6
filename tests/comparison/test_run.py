"""Training and testing one classifier: what does not need a training."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from mmengine.config import Config

from mmdefect.comparison.run import (
    checkpoint_to_test,
    epoch_times,
    image_size,
    train_and_test,
)
from tests.helpers.study_runs import RECORD, WorkDir


def test_feature_which_checkpoint_is_tested(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='with a checkpoint'):
        checkpoint_to_test(tmp_path)
    # The pointer holds the path at the time of the training; folders move.
    (tmp_path / 'last_checkpoint').write_text(
        '/elsewhere/epoch_3.pth', encoding='utf-8'
    )
    assert checkpoint_to_test(tmp_path) == tmp_path / 'epoch_3.pth'
    for number, name in enumerate(('best_a_epoch_10.pth', 'best_a_epoch_9.pth')):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (number, number))
    assert checkpoint_to_test(tmp_path).name == 'best_a_epoch_9.pth'
    (tmp_path / 'calibrated.pth').touch()
    assert checkpoint_to_test(tmp_path).name == 'calibrated.pth'


def test_feature_epoch_times(tmp_path: Path) -> None:
    folder = tmp_path / '20260101_000000/vis_data'
    folder.mkdir(parents=True)
    rows = [
        {'loss': 1.0, 'time': 0.25, 'epoch': 1, 'step': 10},
        {'defect/errors': 3, 'time': 9.0, 'step': 1},
        {'loss': 0.5, 'time': 0.75, 'epoch': 2, 'step': 20},
    ]
    (folder / 'scalars.json').write_text(
        ''.join(f'{json.dumps(r)}\n' for r in rows), encoding='utf-8'
    )
    # Half a second an iteration; the log need not reach the end of an epoch.
    assert epoch_times(tmp_path, iterations=14) == (2, 7.0)
    with pytest.raises(ValueError, match='with a logged training'):
        epoch_times(tmp_path / 'other', iterations=1)


def test_feature_image_size() -> None:
    pipeline = [{'type': 'Load'}, {'type': 'mmpretrain.Resize', 'scale': (300, 200)}]
    cfg = Config({'test_dataloader': {'dataset': {'pipeline': pipeline}}})
    assert image_size(cfg) == (200, 300)
    # What is cropped last counts; one number is a square; datasets may be wrapped.
    crop = [*pipeline, {'type': 'CenterCrop', 'crop_size': 224}]
    wrapped = {'type': 'RepeatDataset', 'dataset': {'pipeline': crop}}
    assert image_size(Config({'test_dataloader': {'dataset': wrapped}})) == (224, 224)
    cfg.test_dataloader.dataset.pipeline = pipeline[:1]
    with pytest.raises(ValueError, match='expected a Resize'):
        image_size(cfg)


def test_feature_finished_is_not_done_again(make_run: WorkDir) -> None:
    """Nothing is started: there are no tools where it would look for them."""
    folder = make_run('a', command='tools/dist_train.sh c.py 1 --work-dir W --resume')
    command = f'tools/dist_train.sh c.py 1 --work-dir {folder} --resume'
    folder = make_run('b', command=command.replace('/a ', '/b '))
    found = train_and_test('c.py', folder, tools=Path('/nowhere/tools'))
    assert found.model == RECORD.model
    folder = make_run('another')
    with pytest.raises(ValueError, match='another --work-dir'):
        train_and_test('c.py', folder, tools=Path('/nowhere/tools'))


@pytest.mark.parametrize('how', ['newer weights', 'no predictions'])
def test_feature_what_is_outdated_is_done_again(make_run: WorkDir, how: str) -> None:
    """It gets as far as the tools, which are not where it would look for them."""
    command = 'tools/dist_train.sh c.py 1 --work-dir {} --resume'
    folder = make_run('a', command=command)
    folder = make_run('b', command=command.format(folder.with_name('b')))
    (folder / 'calibrated.pth').touch()
    os.utime(folder / 'calibrated.pth', (1, 1))
    given = {'config': 'c.py', 'work_dir': folder, 'tools': Path('/nowhere/tools')}
    assert train_and_test(**given).model == RECORD.model
    (folder / 'begun.json').write_text(json.dumps({'command': command.format(folder)}))
    if how == 'newer weights':
        (folder / 'calibrated.pth').touch()
    else:
        (folder / 'test.jsonl').unlink()
    with pytest.raises(FileNotFoundError, match='/nowhere/tools/dist_test'):
        train_and_test(**given)
