"""The anomaly maps that a test leaves."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from mmdefect.engine.hooks.pictures import anomaly_maps
from mmdefect.engine.hooks.pictures.anomaly_maps import (
    AnomalyMapHook,
    choose,
    picture_files,
)
from mmdefect.registry import HOOKS
from mmdefect.structures import AnomalySample
from mmdefect.visualization.anomaly import GAP, heat_overlay

# Product, defect; the value of each map grows with the place in this list.
TEST_SET = [
    ('tile', 'good'),
    ('tile', 'good'),
    ('tile', 'crack'),
    ('tile', 'crack'),
    ('tile', 'oil'),
    ('zipper', 'good'),
    ('zipper', 'teeth'),
]


class Products(list):
    """The test set, its images written as grey 40 x 60 plates."""

    get_data_info = list.__getitem__

    def __init__(self, root) -> None:
        for number, (product, defect) in enumerate(TEST_SET):
            path = root / 'images' / product / defect / f'{number:03d}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.full((40, 60, 3), 20 * number, np.uint8))
            info = {'img_path': str(path), 'class_name': product, 'defect': defect}
            self.append({**info, 'gt_label': int(defect != 'good')})


def prediction(info: dict, number: int) -> AnomalySample:
    """A map from ``number`` to ``number + 1``; teeth have no mask."""
    sample = AnomalySample(
        metainfo={k: info[k] for k in ('img_path', 'class_name', 'defect')}
    )
    sample.gt_label = torch.tensor(info['gt_label'])
    sample.pred_score = torch.tensor(number / 10)
    sample.pred_map = number + torch.linspace(0, 1, 20 * 30).reshape(20, 30)
    if info['defect'] != 'teeth':
        sample.gt_mask = torch.zeros(20, 30, dtype=torch.bool)
        sample.gt_mask[5:9, 6:12] = bool(info['gt_label'])
    return sample


@pytest.fixture
def runner(tmp_path) -> SimpleNamespace:
    work_dir = tmp_path / 'step_0'
    work_dir.mkdir()
    added: dict[str, np.ndarray] = {}
    return SimpleNamespace(
        test_dataloader=SimpleNamespace(dataset=Products(tmp_path)),
        work_dir=str(work_dir),
        visualizer=SimpleNamespace(added=added, add_image=added.__setitem__),
        logger=logging.getLogger('maps'),
    )


def run(runner, hook, numbers=range(7)) -> dict:
    infos = runner.test_dataloader.dataset
    hook.before_test_epoch(runner)
    for batch, number in enumerate(numbers):
        hook.after_test_iter(runner, batch, None, [prediction(infos[number], number)])
    hook.after_test_epoch(runner)
    return json.loads(Path(runner.work_dir, 'maps.json').read_text(encoding='utf-8'))


def written(folder) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*.png'))


def test_smoke(runner, tmp_path) -> None:
    hook = HOOKS.build({'type': 'mmdefect.AnomalyMapHook'})
    content = run(runner, hook)
    assert (content['low'], content['high']) == (0, 7)
    shown = [(e['picture'], e['defect'], e['score']) for e in content['maps']]
    # Of tile a crack and an oil stain, not two cracks; then the first good one.
    assert shown == [
        ('maps/tile_0.png', 'crack', 0.2),
        ('maps/tile_1.png', 'oil', 0.4),
        ('maps/tile_2.png', 'good', 0),
        ('maps/zipper_0.png', 'teeth', 0.6),
        ('maps/zipper_1.png', 'good', 0.5),
    ]
    assert [len(entry['panels']) for entry in content['maps']] == [4, 4, 2, 3, 2]
    step = tmp_path / 'step_0'
    assert written(step) == sorted(entry['picture'] for entry in content['maps'])
    picture = cv2.imread(str(step / 'maps' / 'tile_0.png'))
    assert picture.shape == (40, 4 * 60 + 3 * GAP, 3)
    assert content['maps'][0]['product'] == 'tile'
    assert content['maps'][0]['img_path'].endswith('images/tile/crack/002.png')


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'max_score': float('nan')}, 'max_score=nan: expected finite numbers'),
        ({'max_score': float('inf')}, 'max_score=inf: expected finite numbers'),
        ({'min_score': 2, 'max_score': 1.5}, r'min_score=2, max_score=1\.5: expected'),
        ({'min_score': 2, 'max_score': 2}, r'the first smaller'),
        ({'per_class': 0}, 'per_class=0: expected at least 1'),
    ],
)
def test_exception_arguments(settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        AnomalyMapHook(**settings)


def test_feature_single_and_compound_of_all(runner, tmp_path) -> None:
    hook = AnomalyMapHook(single=True, compound=True, out_dir='all')
    run(runner, hook)
    for kind in ('single', 'compound'):
        files = written(tmp_path / 'step_0' / 'all' / kind)
        assert len(files) == len(TEST_SET)
        assert files[0] == 'tile/crack/002.png'
    overlay = cv2.imread(str(tmp_path / 'step_0/all/single/tile/oil/004.png'))
    info = runner.test_dataloader.dataset[4]
    image, pixels = cv2.imread(info['img_path']), prediction(info, 4).pred_map
    expected = heat_overlay(image, pixels.half().numpy(), low=0, high=7)
    # Below it, the image score.
    np.testing.assert_array_equal(overlay[:40], expected)
    assert overlay[40:].min() < 128 < overlay[40:].mean()
    compound = cv2.imread(str(tmp_path / 'step_0/all/compound/tile/good/000.png'))
    assert compound.shape == (40 + 16, 2 * 60 + GAP, 3)
    assert compound[40:].min() < 128 < compound[40:].mean()


def test_feature_given_scale(runner) -> None:
    def ends(**kwargs) -> tuple[float, float]:
        content = run(runner, AnomalyMapHook(**kwargs))
        return content['low'], content['high']

    assert ends(min_score=1, max_score=3) == (1, 3)
    assert ends(max_score=3) == (0, 3)
    # Beyond every map there is nothing to scale.
    assert ends(min_score=9) == (9, 9)
    assert ends(max_score=-2) == (-2, -2)


def test_feature_ranks_share_scale_and_list(runner, tmp_path, monkeypatch) -> None:
    other = {'picture': 'maps/zipper_0.png', 'product': 'zipper'}
    path = runner.test_dataloader.dataset[6]['img_path']

    def gather(mine):
        return [mine, (-3.0, 50.0) if isinstance(mine, tuple) else {path: other}]

    monkeypatch.setattr(anomaly_maps, 'all_gather_object', gather)
    content = run(runner, AnomalyMapHook(), numbers=[0, 2, 4])
    assert (content['low'], content['high']) == (-3, 50)
    assert [entry['picture'] for entry in content['maps']] == [
        f'maps/{name}.png' for name in ('tile_0', 'tile_1', 'tile_2', 'zipper_0')
    ]
    assert len(written(tmp_path / 'step_0')) == 3  # the other rank writes its own
    monkeypatch.setattr(anomaly_maps, 'is_main_process', lambda: False)
    (tmp_path / 'step_0' / 'maps.json').write_text('{}', encoding='utf-8')
    assert run(runner, AnomalyMapHook()) == {}


def test_feature_backends_get_rgb(runner, tmp_path) -> None:
    run(runner, AnomalyMapHook())
    assert runner.visualizer.added == {}
    run(runner, AnomalyMapHook(backend=True))
    added = runner.visualizer.added
    assert list(added)[:2] == ['map_tile_0', 'map_tile_1']
    picture = cv2.imread(str(tmp_path / 'step_0' / 'maps' / 'tile_0.png'))
    np.testing.assert_array_equal(added['map_tile_0'], picture[..., ::-1])


def test_feature_large_images_are_shrunk_for_the_report(runner, tmp_path) -> None:
    info = runner.test_dataloader.dataset[2]
    cv2.imwrite(info['img_path'], np.zeros((300, 1024, 3), np.uint8))
    run(runner, AnomalyMapHook(compound=True))
    small = cv2.imread(str(tmp_path / 'step_0' / 'maps' / 'tile_0.png'))
    assert small.shape == (75, 4 * 256 + 3 * GAP, 3)
    large = cv2.imread(str(tmp_path / 'step_0/compound/tile/crack/002.png'))
    assert large.shape == (300 + 300 // 14, 4 * 1024 + 3 * GAP, 3)


def test_feature_lost_image_and_broken_map(runner, caplog, tmp_path) -> None:
    infos = runner.test_dataloader.dataset
    (tmp_path / 'images/tile/crack/002.png').unlink()
    hook = AnomalyMapHook()
    hook.before_test_epoch(runner)
    samples = [prediction(infos[k], k) for k in (2, 4)]
    samples[1].pred_map = torch.full((20, 30), float('nan'))
    samples[1].pred_score = torch.tensor(float('nan'))
    with caplog.at_level(logging.WARNING, logger='maps'):
        hook.after_test_iter(runner, 0, None, samples)
        hook.after_test_epoch(runner)
    assert 'annot load the image' in caplog.text
    file = tmp_path / 'step_0/maps.json'
    content = json.loads(file.read_text(encoding='utf-8'))
    assert [entry['score'] for entry in content['maps']] == [None]
    # The lost image's map still counts.
    assert (content['low'], content['high']) == (2, 3)


def test_feature_choice_takes_kinds_in_turn() -> None:
    infos = [
        {'img_path': path, 'class_name': 'a/b', 'defect': kind, 'gt_label': label}
        for path, kind, label in (
            *(('1', 'x', 1), ('2', 'x', 1), ('3', 'good', 0)),
            *(('4', 'y', 1), ('5', 'y', 1)),
        )
    ]
    assert list(choose(infos, per_class=3)) == ['1', '4', '2', '3']
    assert choose(infos, per_class=1) == {'1': 'a_b_0', '3': 'a_b_1'}
    assert choose(infos[:1], per_class=2) == {'1': 'a_b_0'}  # without a good one
    assert choose([], per_class=1) == {}


def test_feature_pictures_of_one_name_do_not_replace_each_other() -> None:
    infos = [
        {'img_path': path, 'class_name': 'a', 'defect': 'good'}
        for path in ('x/0.png', 'x/0.jpg', 'x/0_2.png', 'y/0.png', 'x/0.png')
    ]
    assert {path: str(file) for path, file in picture_files(infos).items()} == {
        'x/0.png': 'a/good/0.png',
        'x/0.jpg': 'a/good/0_2.png',
        'x/0_2.png': 'a/good/0_2_2.png',
        'y/0.png': 'a/good/0_3.png',
    }


def test_feature_pictures_follow_the_stored_pixels(runner, tmp_path) -> None:
    from PIL import Image

    info = runner.test_dataloader.dataset[2]
    info['img_path'] = str(tmp_path / 'turned.jpg')
    exif = Image.Exif()
    exif[0x0112] = 6  # a viewer turns it by 90 degrees, masks know nothing of it
    Image.new('RGB', (60, 40), 'grey').save(info['img_path'], exif=exif)
    run(runner, AnomalyMapHook(single=True))
    picture = cv2.imread(str(tmp_path / 'step_0/single/tile/crack/turned.png'))
    assert picture.shape == (40 + 16, 60, 3)
