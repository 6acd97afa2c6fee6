"""A toy stream that remembers images: what it trains with, resumed, moved, damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import DATASETS, DefaultScope
from mmengine.runner import Runner

from mmdefect.apis import load_config
from mmdefect.datasets.boxes.memory_file import MANIFEST, read_memory
from mmdefect.models.detection.drawing import draw_images
from mmdefect.streams import drawn
from mmdefect.streams.pseudo_labels import label_new_kinds
from mmdefect.streams.recall import PSEUDO_LABELS
from mmdefect.streams.state import StepState, StreamState
from mmdefect.streams.stream import build_stream
from mmdefect.utils.checkpoint import load_weights
from mmdefect.utils.dumped_config import read_dumped_config
from mmdefect.utils.files import write_json
from mmdefect.utils.text_files import read_json
from tests.conftest import REPO
from tests.helpers.ranks import run_ranks
from tests.streams.conftest import (
    CONFIG,
    copied,
    copy_midway,
    draw_nothing,
    options,
    stream_runner,
)

pytestmark = pytest.mark.usefixtures('undrawn')
KEPT = {'stream.memory': dict(images=3)}


def test_exception_joint() -> None:
    joint = CONFIG.with_stem(CONFIG.stem.replace('finetune', 'joint'))
    cfg = load_config(joint, cfg_options=KEPT)
    with pytest.raises(ValueError, match=r"with train_on='seen': expected"):
        build_stream(cfg)


def test_feature_step_0_is_the_same_for_all_budgets() -> None:
    """So that they share one teacher."""
    plain, kept = (
        build_stream(cfg).resolve(cfg, 0).pretty_text
        for cfg in (load_config(CONFIG), load_config(CONFIG, cfg_options=KEPT))
    )
    assert plain == kept


def test_feature_matched_iterations(tmp_path: Path) -> None:
    """Twice the epochs of an increment, and a learning rate that ends with them."""
    base = 'gfl_stream/finetune_mobilenet-v2_fpn_cpu_neu-det_3+3.py'
    bases = [f'mmdefect::{base}', 'mmdefect::_base_/methods/keep_matched.py']
    path = tmp_path / 'matched.py'
    path.write_text(f'_base_ = {bases}', encoding='utf-8')
    cfg = load_config(path)
    stream = build_stream(cfg)
    for step, epochs in ((0, 24), (1, 48)):
        resolved = stream.resolve(cfg, step)
        assert resolved.train_cfg.max_epochs == epochs
        assert resolved.param_scheduler[1].end == epochs
        assert resolved.param_scheduler[0].end == 50


def test_exception_outer_pipeline(tmp_path: Path) -> None:
    cfg = load_config(CONFIG, cfg_options=KEPT)
    step = build_stream(cfg).resolve(cfg, 1)
    step.train_dataloader.dataset = dict(
        type='MultiImageMixDataset',
        pipeline=[dict(type='Mosaic')],
        dataset=step.train_dataloader.dataset,
    )
    with pytest.raises(ValueError, match=r'pipeline of MultiImageMixDataset: expected'):
        build_stream(cfg).recall(step, 1, tmp_path)


class Batches(Hook):
    """Note how many images of a batch are marked, and with which labels."""

    def __init__(self) -> None:
        self.sizes: set[tuple[int, int]] = set()
        self.labels: set[int] = set()
        self.rehearsed: set[int] = set()

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        samples = data_batch['data_samples']
        marked = [s for s in samples if s.metainfo.get('replayed')]
        self.sizes.add((len(samples) - len(marked), len(marked)))
        for sample in marked:
            self.labels |= set(sample.gt_instances.labels.tolist())
        for sample in samples:
            if sample.metainfo.get('rehearsed'):
                self.rehearsed |= set(sample.gt_instances.labels.tolist())


def watched(seen: Batches, patch: pytest.MonkeyPatch) -> None:
    """Have increments note their batches."""
    train = Runner.train

    def noting(self: Runner) -> Any:
        if (Path(self.work_dir).parent / 'step_0/memory').is_dir():
            self.register_hook(seen)
        return train(self)

    patch.setattr(Runner, 'train', noting)


@pytest.fixture(scope='module')
def seen() -> Batches:
    return Batches()


@pytest.fixture(scope='module')
def finished(
    tmp_path_factory: pytest.TempPathFactory, toy_neu_det: Path, seen: Batches
) -> Path:
    """A stream of two steps that keeps three images a class."""
    work_dir = tmp_path_factory.mktemp('work') / 'kept'
    with pytest.MonkeyPatch.context() as patch:
        draw_nothing(patch)
        watched(seen, patch)
        stream_runner(toy_neu_det, work_dir, **KEPT).train()
    return work_dir


@pytest.mark.slow
class TestStream:
    def test_feature_constant(self, finished: Path) -> None:
        """Three images a class after each step, those of step 0 carried over."""
        first, second = (
            json.loads((finished / f'step_{k}/memory' / MANIFEST).read_text('utf-8'))
            for k in (0, 1)
        )
        assert len(first['images']) == 9
        assert len(second['images']) == 18
        assert [i['sha256'] for i in second['images'][:9]] == [
            i['sha256'] for i in first['images']
        ]
        assert {i['step'] for i in second['images'][9:]} == {1}
        for image in second['images']:
            shown = {box['class'] for box in image['boxes']}
            assert image['kept_for'] in shown
            assert shown <= set(second['classes'][3 * image['step'] :][:3])

    def test_feature_batches(self, finished: Path, seen: Batches) -> None:
        """Two beside six, of old classes."""
        assert {marked for _, marked in seen.sizes} == {2}
        assert max(own for own, _ in seen.sizes) == 6
        assert seen.labels == {0, 1, 2}

    def test_feature_recorded_step_trains_alone(self, finished: Path) -> None:
        cfg = read_dumped_config(finished / f'step_1/{CONFIG.stem}.py')
        assert cfg.train_dataloader.dataset.type == 'mmdefect.ReplayDataset'
        memory = cfg.train_dataloader.dataset.memory
        assert memory.folder == str(finished / 'step_0/memory')
        assert memory.classes == memory.seen_classes[:3]

    def test_feature_finished_moved_and_resumed(
        self, finished: Path, toy_neu_det: Path, tmp_path: Path
    ) -> None:
        moved = copied(finished, tmp_path / 'moved')
        stream_runner(toy_neu_det, moved, resume=True, **KEPT).train()

    def test_exception_gone(
        self, finished: Path, toy_neu_det: Path, tmp_path: Path
    ) -> None:
        moved = copied(finished, tmp_path / 'moved')
        image = next((moved / 'step_0/memory').glob('*.jpg'), None) or next(
            (moved / 'step_0/memory').glob('*.png')
        )
        image.unlink()
        runner = stream_runner(toy_neu_det, moved, resume=True, **KEPT)
        with pytest.raises(FileNotFoundError, match=rf'{image.name} is gone'):
            runner.train()

    def test_exception_another_budget(
        self, finished: Path, toy_neu_det: Path, tmp_path: Path
    ) -> None:
        moved = copied(finished, tmp_path / 'moved')
        more = {'stream.memory': dict(images=4)}
        runner = stream_runner(toy_neu_det, moved, resume=True, **more)
        with pytest.raises(ValueError, match=r"memory=\{'images': 3\}: expected"):
            runner.train()

    def test_exception_more_than_there_are(
        self, toy_neu_det: Path, tmp_path: Path
    ) -> None:
        """Before anything trains."""
        more = {'stream.memory': dict(images=50)}
        runner = stream_runner(toy_neu_det, tmp_path / 'work', **more)
        with pytest.raises(ValueError, match=r'images=50: expected at most \d+, the'):
            runner.train()
        assert not (tmp_path / 'work/step_0').is_dir()

    def test_feature_another_stream_goes_on(
        self, finished: Path, toy_neu_det: Path, tmp_path: Path
    ) -> None:
        """The teacher and the memory of a step, in a stream of its own."""
        more = {
            'stream.memory': dict(images=2, start_from=str(finished / 'step_0/memory')),
            'stream.start_from': str(finished / 'step_0/epoch_1.pth'),
        }
        work_dir = tmp_path / 'work'
        stream_runner(toy_neu_det, work_dir, **more).train()
        kept = json.loads((work_dir / 'step_0/memory' / MANIFEST).read_text('utf-8'))
        assert len(kept['images']) == 6

    def test_exception_memory_of_other_classes(
        self, finished: Path, toy_neu_det: Path, tmp_path: Path
    ) -> None:
        folder = str(finished / 'step_1/memory')
        more = {'stream.memory': dict(images=2, start_from=folder)}
        runner = stream_runner(toy_neu_det, tmp_path / 'work', **more)
        with pytest.raises(ValueError, match=r'expected no class as class 3, it has'):
            runner.train()


@pytest.mark.slow
def test_feature_two_processes_keep_the_same(
    warm: Path, finished: Path, toy_neu_det: Path, tmp_path: Path
) -> None:
    """One writes, all read it."""
    given = {**options(toy_neu_det), 'stream.memory.images': 3}
    changes = [f'{key}={value}' for key, value in given.items()]
    where = ['--work-dir', tmp_path, '--launcher', 'pytorch', '--cfg-options']
    run_ranks(REPO / 'tools/train.py', CONFIG, *where, *changes, programs=warm)
    for name in ('step_0/memory', 'step_1/memory'):
        alone, together = (
            (folder / name / MANIFEST).read_text('utf-8')
            for folder in (finished, tmp_path)
        )
        assert together == alone


@pytest.mark.slow
def test_feature_three_steps(toy_neu_det: Path, tmp_path: Path) -> None:
    """The recommended preset; what step 0 kept is there to the end."""
    config = REPO / 'configs/keep/keep-10_r18_fpn_toy_neu-det_2+2+2.py'
    stream_runner(toy_neu_det, tmp_path, config, **{'stream.memory.images': 2}).train()
    last = read_memory(tmp_path / 'step_2/memory')
    assert [image.step for image in last.images] == [0] * 4 + [1] * 4 + [2] * 4
    first = read_memory(tmp_path / 'step_0/memory')
    assert [i.sha256 for i in last.images[:4]] == [i.sha256 for i in first.images]
    cfg = read_dumped_config(tmp_path / f'step_2/{config.stem}.py')
    assert cfg.model.bbox_head.step_sizes == [2, 2, 2]
    memory = cfg.train_dataloader.dataset.memory
    assert memory.folder == str(tmp_path / 'step_1/memory')


@pytest.mark.slow
def test_feature_interim_labels(
    finished: Path, toy_neu_det: Path, tmp_path: Path
) -> None:
    """Another stream's model labels new kinds on kept images."""
    more = {
        'stream.memory': dict(images=2, interim=str(finished), interim_score=0.0),
        'stream.start_from': str(finished),
        'stream.increment.model.test_cfg.score_thr': 0.001,
    }
    stream_runner(toy_neu_det, tmp_path / 'work', **more).train()
    path = tmp_path / f'work/step_1/{PSEUDO_LABELS}'
    labels = read_json(path)
    memory = read_memory(tmp_path / 'work/step_0/memory')
    assert set(labels['boxes']) == {image.file for image in memory.images}
    found = {box['class'] for boxes in labels['boxes'].values() for box in boxes}
    new = StreamState.load(finished).classes[3:]
    assert found
    assert found <= set(new)
    assert labels['score'] == 0
    cfg = read_dumped_config(tmp_path / f'work/step_1/{CONFIG.stem}.py')
    with DefaultScope.overwrite_default_scope('mmdet'):
        data = DATASETS.build(cfg.train_dataloader.dataset.memory)
    shown = {
        box['bbox_label']
        for index in range(len(data))
        for box in data.get_data_info(index)['instances']
    }
    assert shown == {0, 1, 2} | {3 + new.index(name) for name in found}
    # The same again; another score is another training.
    stream_runner(toy_neu_det, tmp_path / 'work', resume=True, **more).train()
    path.write_text(
        path.read_text('utf-8').replace('"score": 0.0,', '"score": 0.3,', 1)
    )
    state = read_json(tmp_path / 'work/stream.json')
    state['steps'][1]['state'] = 'running'
    write_json(tmp_path / 'work/stream.json', state)
    runner = stream_runner(toy_neu_det, tmp_path / 'work', resume=True, **more)
    with pytest.raises(ValueError, match=r'is of another model or score than'):
        runner.train()


def test_exception_interim_has_not_trained(toy_neu_det: Path, tmp_path: Path) -> None:
    stages = [StepState(0, ['a']), StepState(1, ['b'])]
    StreamState('new_only', ['a', 'b'], stages).save(tmp_path)
    with pytest.raises(ValueError, match=r'expected a stream that has trained step 1'):
        label_new_kinds(
            Config(),
            tmp_path / PSEUDO_LABELS,
            interim=tmp_path,
            score=0.5,
            step=1,
            memory=tmp_path,
            old_classes=['a'],
            seen_classes=['a', 'b'],
        )


@pytest.mark.slow
@pytest.mark.parametrize('method', ['keep/keep-0', 'erd/erd'])
def test_feature_crops(
    method: str,
    finished: Path,
    toy_neu_det: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Old objects in new images, and mosaics of them; no image is added."""
    seen = Batches()
    watched(seen, monkeypatch)
    config = REPO / f'configs/{method}_r18_fpn_toy_neu-det_3+3.py'
    more = {'stream.memory': dict(crops=4), 'stream.start_from': str(finished)}
    more['stream.increment.train_cfg.max_epochs'] = 2
    stream_runner(toy_neu_det, tmp_path / 'work', config, **more).train()
    memory = read_memory(tmp_path / 'work/step_0/memory')
    assert len(memory.images) == 12
    assert all(image.boxes[0]['bbox'][:2] == [0, 0] for image in memory.images)
    assert seen.labels <= {0, 1, 2}
    assert seen.labels  # of mosaics
    assert seen.rehearsed & {0, 1, 2}
    assert seen.rehearsed & {3, 4, 5}
    assert max(map(sum, seen.sizes)) == 6


@pytest.mark.slow
def test_feature_drawn(
    finished: Path,
    toy_neu_det: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No pixel of a photograph; a drawing that was killed goes on, and ends alike."""
    config = REPO / 'configs/keep/keep-0_r18_fpn_toy_neu-det_3+3.py'
    more = {
        'stream.memory': dict(drawn=2, iterations=3),
        'stream.start_from': str(finished),
    }
    whole, killed = tmp_path / 'whole', tmp_path / 'killed'
    calls: list[int] = []

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError('killed')
        return draw_images(*args, **kwargs)

    monkeypatch.setattr(drawn, 'draw_images', counted)
    with pytest.raises(RuntimeError, match='killed'):
        stream_runner(toy_neu_det, killed, config, **more).train()
    stream_runner(toy_neu_det, killed, config, resume=True, **more).train()
    assert len(calls) == 1 + 3 + 3  # the one that failed, and once each class
    assert not (killed / 'step_0/drawing').exists()
    seen = Batches()
    watched(seen, monkeypatch)
    stream_runner(toy_neu_det, whole, config, **more).train()
    assert seen.labels == {0, 1, 2}
    memory = read_memory(whole / 'step_1/memory')
    assert memory.images == read_memory(killed / 'step_1/memory').images
    assert [image.step for image in memory.images] == [0] * 6 + [1] * 6
    side = build_stream(load_config(config)).resolve(load_config(config), 0)
    (size,) = {(image.width, image.height) for image in memory.images}
    assert max(size) == max(side.test_dataloader.dataset.pipeline[1].scale)
    for image in memory.images:
        assert image.file.endswith('.png')
        assert image.shows(image.kept_for)
        assert all(0 <= v <= max(size) for box in image.boxes for v in box['bbox'])


@pytest.mark.slow
def test_feature_two_processes_draw(
    warm: Path, finished: Path, toy_neu_det: Path, tmp_path: Path
) -> None:
    """One draws, with losses that ask nobody, and the other waits."""
    given = {
        **options(toy_neu_det),
        'stream.memory.drawn': 1,
        'stream.memory.iterations': 2,
        'stream.start_from': finished,
    }
    config = REPO / 'configs/keep/keep-0_r18_fpn_toy_neu-det_3+3.py'
    changes = [f'{key}={value}' for key, value in given.items()]
    where = ['--work-dir', tmp_path, '--launcher', 'pytorch', '--cfg-options']
    run_ranks(REPO / 'tools/train.py', config, *where, *changes, programs=warm)
    assert [len(read_memory(tmp_path / f'step_{k}/memory').images) for k in (0, 1)] == [
        3, 6,
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize('method', ['erd/lwf', 'sd_idd/sd-idd'])
def test_feature_moved_and_resumed_is_bit_equal(
    method: str,
    finished: Path,
    toy_neu_det: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = REPO / f'configs/{method}_r18_fpn_toy_neu-det_3+3.py'
    more = {
        **KEPT,
        'stream.increment.train_cfg.max_epochs': 2,
        'stream.start_from': str(finished),
    }
    whole, moved = tmp_path / 'whole', tmp_path / 'moved'
    with monkeypatch.context() as patch:
        copy_midway(patch, moved)
        stream_runner(toy_neu_det, whole, config, **more).train()
    stream_runner(toy_neu_det, moved, config, resume=True, **more).train()
    expected = load_weights(whole / 'step_1/epoch_2.pth')['state_dict']
    found = load_weights(moved / 'step_1/epoch_2.pth')['state_dict']
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
