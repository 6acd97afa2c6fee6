"""Repeated streams as runs and flat metrics."""

from __future__ import annotations

import json

import pytest

from lab.results import today
from lab.stream_results import collect
from mmdefect.datasets.boxes.memory_file import Memory, Remembered, write_memory
from mmdefect.streams.matrix import StreamMatrix
from tests.helpers.synthetic_stream import NEW, OLD, make_stream

LOW = [0.1, 0.1, 0.1, 0.5, 0.5, 0.5]
HIGH = [0.3, 0.3, 0.3, 0.7, 0.7, 0.7]


def stream(root, name, *, seed, **kwargs):
    work_dir = make_stream(root, name, **kwargs)
    (work_dir / 'step_1' / f'{name}.py').write_text(
        f'randomness = dict(seed={seed})\n', encoding='utf-8'
    )
    return work_dir


def change_step(work_dir, step, **changes) -> None:
    path = work_dir / 'stream.json'
    state = json.loads(path.read_text(encoding='utf-8'))
    state['steps'][step] |= changes
    path.write_text(json.dumps(state), encoding='utf-8')


def ran_at(commit, hardware='a CPU'):
    return {'commit': commit, 'hardware': hardware, 'software': 'torch 2'}


def write_scores(work_dir, rows) -> None:
    """Write ``matrix.json`` anew: (old, new, values of old and new) of each step."""
    matrix = StreamMatrix(classes=OLD + NEW, metrics=['AP50'])
    for step, (old, new, values) in enumerate(rows):
        scalars = dict(zip((f'AP50/{n}' for n in old + new), values, strict=True))
        matrix.add_step(step=step, old=old, new=new, scalars=scalars)
    matrix.save(work_dir / 'matrix.json')


def test_smoke(tmp_path) -> None:
    work_dirs = [
        stream(tmp_path, 'f0', seed=3, last=LOW),
        stream(tmp_path, 'f1', seed=4, last=HIGH),
    ]
    found = collect({'finetune': work_dirs}, command='make')
    assert found.seeds == [3, 4]
    assert list(found.runs['finetune']) == ['3', '4']
    run = found.runs['finetune']['3']
    scores = {'teacher/old': 0.71, 'old': 0.1, 'new': 0.5, 'all': 0.3}
    assert run.pop('metrics') == pytest.approx(scores)
    assert run == {
        **ran_at('0123456789'),
        'date': today(),
        'duration_s': 166.8,
        'command': 'make',
    }
    assert found.duration_s == pytest.approx(4 * 83.4)
    assert found.environment['commit'] == '0123456789'
    assert found.metrics == pytest.approx(
        {
            'teacher/old': 0.71,
            'teacher/old_std': 0.0,
            'finetune/old': 0.2,
            'finetune/old_std': 0.02**0.5,
            'finetune/new': 0.6,
            'finetune/new_std': 0.02**0.5,
            'finetune/all': 0.4,
            'finetune/all_std': 0.02**0.5,
        }
    )


def test_feature_runs_are_added_and_replaced(tmp_path) -> None:
    f0 = stream(tmp_path, 'f0', seed=0, last=LOW)
    f10 = stream(tmp_path, 'f10', seed=10, last=LOW)
    known = collect({'finetune': [f0, f10]}, command='first').runs
    f2 = stream(tmp_path, 'f2', seed=2, last=LOW)
    again = stream(tmp_path, 'again', seed=10, last=HIGH)
    change_step(again, 0, reused_from='f10', environment={}, duration_s=0.0)
    change_step(again, 1, environment=ran_at('fedcba9876', 'a GPU'))
    found = collect({'finetune': [again, f2]}, command='second', known=known)
    entries = found.runs['finetune']
    assert list(entries) == ['0', '2', '10']
    assert [e['command'] for e in entries.values()] == ['first', 'second', 'second']
    assert entries['0'] == known['finetune']['0']
    assert known['finetune']['10']['command'] == 'first'
    assert found.seeds == [0, 2, 10]
    assert found.metrics['finetune/old'] == pytest.approx((0.1 + 0.1 + 0.3) / 3)
    assert found.duration_s == pytest.approx(5 * 83.4)
    assert found.environment == ran_at('0123456789; fedcba9876', 'a CPU; a GPU')


def test_feature_a_preset_with_fewer_seeds(tmp_path) -> None:
    found = collect(
        {
            'finetune': [stream(tmp_path, 'f', seed=0, last=LOW)],
            'joint': [
                stream(tmp_path, 'j1', seed=1, last=LOW),
                stream(tmp_path, 'j0', seed=0, last=HIGH),
            ],
        },
        command='make',
    )
    assert found.seeds == [0, 1]
    assert found.metrics['finetune/old'] == pytest.approx(0.1)
    assert 'finetune/old_std' not in found.metrics
    assert found.metrics['joint/old'] == pytest.approx(0.2)
    assert found.metrics['joint/old_std'] == pytest.approx(0.02**0.5)


def test_feature_teacher_is_the_mean_over_all_seeds(tmp_path) -> None:
    work_dirs = [stream(tmp_path, f'{seed}', seed=seed) for seed in (0, 1)]
    other = stream(tmp_path, 'j', seed=1)
    for work_dir in (work_dirs[1], other):
        rows = [([], OLD, [0.5] * 3), (OLD, NEW, LOW)]
        write_scores(work_dir, rows)
    found = collect({'finetune': work_dirs, 'joint': [other]}, command='make')
    assert found.metrics['teacher/old'] == pytest.approx((0.71 + 0.5) / 2)
    assert found.metrics['teacher/old_std'] == pytest.approx(0.21 / 2**0.5)


def test_feature_more_steps_count_after_the_last(tmp_path) -> None:
    work_dir = stream(tmp_path, 'f', seed=0)
    state = json.loads((work_dir / 'stream.json').read_text(encoding='utf-8'))
    state['steps'].append({**state['steps'][1], 'step': 2})
    (work_dir / 'stream.json').write_text(json.dumps(state), encoding='utf-8')
    first, second, third = OLD[:2], [OLD[2], NEW[0]], NEW[1:]
    rows = [
        ([], first, [0.9, 0.7]),
        (first, second, [0.6, 0.6, 0.6, 0.6]),
        (first + second, third, [0.1, 0.1, 0.3, 0.3, 0.5, 0.5]),
    ]
    write_scores(work_dir, rows)
    found = collect({'finetune': [work_dir]}, command='make')
    assert found.runs['finetune']['0']['metrics'] == pytest.approx(
        {'teacher/old': 0.8, 'old': 0.2, 'new': 0.5, 'all': 0.3}
    )


def test_exception_another_teacher(tmp_path) -> None:
    known = collect({'finetune': [stream(tmp_path, 'f', seed=7)]}, command='make').runs
    other = stream(tmp_path, 'j', seed=7)
    write_scores(other, [([], OLD, [0.71, 0.71, 0.7101]), (OLD, NEW, LOW)])
    message = r'joint of seed 7: expected .* as of finetune, not of 0\.7100'
    with pytest.raises(ValueError, match=message):
        collect({'joint': [other]}, command='make', known=known)


def test_exception_seed(tmp_path) -> None:
    work_dirs = [stream(tmp_path, name, seed=1) for name in ('a', 'b')]
    with pytest.raises(ValueError, match=r'b: expected another seed than 1'):
        collect({'finetune': work_dirs}, command='make')
    unknown = stream(tmp_path, 'f0', seed=None)
    with pytest.raises(ValueError, match=r'expected randomness\.seed'):
        collect({'finetune': [unknown]}, command='make')


def test_feature_resumed_at_a_later_commit(tmp_path) -> None:
    """The only step that was trained names both."""
    work_dir = stream(tmp_path, 'f0', seed=0)
    change_step(work_dir, 0, reused_from='f10', environment={}, duration_s=0.0)
    change_step(work_dir, 1, environment=ran_at('0123456789; fedcba9876'))
    found = collect({'finetune': [work_dir]}, command='make')
    assert found.runs['finetune']['0']['commit'] == '0123456789; fedcba9876'


def test_feature_steps_of_several_commits(tmp_path) -> None:
    """All are named, the first step's first."""
    work_dir = stream(tmp_path, 'f0', seed=0)
    change_step(work_dir, 1, environment=ran_at('0123456789; fedcba9876'))
    found = collect({'finetune': [work_dir]}, command='make')
    assert found.runs['finetune']['0']['commit'] == '0123456789; fedcba9876'


def test_exception_unfinished(tmp_path) -> None:
    work_dir = stream(tmp_path, 'f0', seed=0)
    change_step(work_dir, 1, state='running')
    with pytest.raises(ValueError, match='its steps are finished, running with'):
        collect({'finetune': [work_dir]}, command='make')


def write_product_scores(work_dir) -> None:
    """Two steps of three and three products; the new ones have no masks."""
    matrix = StreamMatrix(classes=OLD + NEW, metrics=['image_auroc', 'pixel_auroc'])
    nan = float('nan')
    for step, (old, new, image, pixel) in enumerate(
        [
            ([], OLD, [0.9] * 3, [0.8, 0.9, 1.0]),
            (OLD, NEW, [0.7] * 3 + [0.5] * 3, [0.7] * 3 + [nan] * 3),
        ]
    ):
        scalars = {}
        for name, one, other in zip(old + new, image, pixel, strict=True):
            scalars |= {f'image_auroc/{name}': one, f'pixel_auroc/{name}': other}
        matrix.add_step(step=step, old=old, new=new, scalars=scalars)
    matrix.save(work_dir / 'matrix.json')


def test_feature_measures_of_products(tmp_path) -> None:
    work_dir = stream(tmp_path, 'iuf', seed=0)
    write_product_scores(work_dir)
    found = collect({'iuf': [work_dir]}, command='make').metrics
    assert found == pytest.approx(
        {
            'iuf/ACC_image': (0.9 + 0.6) / 2,
            'iuf/FM_iuf_image': 0.9 - 0.6,
            'iuf/forgetting_image': 0.2,
            'iuf/base_image': 0.9,
            'iuf/last_image': 0.6,
            'iuf/ACC_pixel': (0.9 + 0.7) / 2,
            'iuf/FM_iuf_pixel': 0.2,
            'iuf/forgetting_pixel': 0.2,
            'iuf/base_pixel': 0.9,
            'iuf/last_pixel': 0.7,
            **{f'iuf/image_last/{name}': 0.7 for name in OLD},
            **{f'iuf/image_last/{name}': 0.5 for name in NEW},
            **{f'iuf/pixel_last/{name}': 0.7 for name in OLD},
        }
    )


def test_exception_a_config_is_not_run(tmp_path) -> None:
    work_dir = stream(tmp_path, 'f0', seed=0)
    ran = tmp_path / 'ran'
    path = work_dir / 'step_1/f0.py'
    path.write_text(f'randomness = open({str(ran)!r}, "w")\n', encoding='utf-8')
    with pytest.raises(ValueError, match='files of a work dir are not run'):
        collect({'finetune': [work_dir]}, command='make')
    assert not ran.exists()
    change_step(work_dir, 1, config='../f0.py')
    with pytest.raises(ValueError, match='which is outside of its work dir'):
        collect({'finetune': [work_dir]}, command='make')


def test_feature_diagnosed_boxes(tmp_path) -> None:
    """What is wrong, what was kept for the last step, and what the increments took."""
    work_dir = stream(tmp_path, 'kept', seed=0, last=HIGH)
    matrix = StreamMatrix.load(work_dir / 'matrix.json')
    last = matrix.steps[-1]
    scalars = {f'coco/AP50/{n}': v for n, v in last.per_class['AP50'].items()}
    scalars |= {f'coco/AP/{n}': v for n, v in last.per_class['AP50'].items()}
    scalars |= {'coco/new_own_AP50': 0.8, 'coco/foreign_false_alarms': 17}
    matrix.add_step(step=1, old=last.old, new=last.new, scalars=scalars)
    matrix.save(work_dir / 'matrix.json')
    image = tmp_path / 'a.png'
    image.write_bytes(b'.' * 2000)
    about = {'kept_for': OLD[0], 'step': 0, 'source': 'a.png', 'bytes': 0}
    kept = Remembered(**about, width=1, height=1, boxes=[])
    memory = Memory(step=0, classes=OLD, budget={}, seed=0, images=[kept])
    write_memory(work_dir / 'step_0/memory', memory, [image])
    found = collect({'keep': [work_dir]}, command='make').metrics
    took = json.loads((work_dir / 'stream.json').read_text('utf-8'))['steps'][1]
    assert found['keep/new_own'] == 0.8
    assert found['keep/foreign_false_alarms'] == 17
    assert found['keep/kept_mb'] == 0.002
    assert found['keep/seconds'] == took['duration_s'] > 0
