"""From pictures to decisions: lazy, in order, and no image ends a run."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
import tracemalloc
import types
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mmdefect.apis import DefectInferencer
from mmdefect.apis.inferencer import MOST_FAILURES, open_backend
from mmdefect.deploy.outputs import LabelOutput
from tests.conftest import tool_env
from tests.helpers.tiny_models import CLASSIFIER, FakeBackend, saved_model


def picture(value: int, height: int = 6, width: int = 8) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Any:
    """An inferencer around a backend that needs no network."""

    def make(fake: FakeBackend, **settings: Any) -> DefectInferencer:
        name = 'mmdefect.apis.inferencer.open_backend'
        monkeypatch.setattr(name, lambda *_, **__: fake)
        return DefectInferencer('anything', **settings)

    return make


def test_smoke_results_in_order(opened: Any, tmp_path: Path) -> None:
    for number, value in enumerate((0, 255, 51)):
        assert cv2.imwrite(str(tmp_path / f'{number}.png'), picture(value))
    (tmp_path / '1b.png').write_bytes(b'broken')
    backend = FakeBackend()
    found = list(opened(backend, batch_size=3)(tmp_path))
    assert [Path(f.source).name for f in found] == ['0.png', '1.png', '1b.png', '2.png']
    wanted = ['ok', 'defective', 'undecided', 'ok']
    assert [f.decision for f in found] == wanted
    assert found[1].kinds == ('scratch',)
    assert found[1].size == (8, 6)
    assert str(found[2].error).endswith('(no image): correct or restore the file')
    assert backend.batches == [2, 1]  # the broken one takes no place in the network
    assert all(f.image is None for f in found)


def test_feature_one_picture(opened: Any, tmp_path: Path) -> None:
    inferencer = opened(FakeBackend('labels'))
    found = inferencer.predict_one(picture(204))
    assert (found.decision, found.name) == ('defective', 'broken')
    np.testing.assert_array_equal(found.image, picture(204))
    for name in 'ab':
        assert cv2.imwrite(str(tmp_path / f'{name}.png'), picture(3))
    assert inferencer.predict_one(tmp_path / 'a.png').decision == 'ok'
    with pytest.raises(ValueError, match='expected one picture'):
        inferencer.predict_one(tmp_path)


def test_feature_a_generator_is_consumed_lazily(opened: Any) -> None:
    """For ever going on, and a few pictures ahead of the results."""
    made = itertools.count()
    last = -1

    def endless() -> Iterator[np.ndarray]:
        nonlocal last
        for last in made:
            yield picture(last % 200)

    results = opened(FakeBackend(), batch_size=4)(endless())
    assert last == -1  # nothing is asked for before a result is
    for number, found in enumerate(itertools.islice(results, 20)):
        assert found.source == f'array {number}'
        # The rest of a batch, one that waits, and one in the hands of the thread.
        assert last <= number + 4 + 4 + 2
    results.close()
    assert not [t for t in threading.enumerate() if t.name == 'frames']


def test_feature_constant_memory(opened: Any) -> None:
    """3,000 pictures of 30 kB, of which never more than a few are there."""
    pictures = (np.full((100, 100, 3), k % 256, np.uint8) for k in range(3000))
    results = opened(FakeBackend('maps'), batch_size=8)(pictures)
    next(results)
    tracemalloc.start()
    count = sum(1 for _ in results)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 2999
    assert peak < 60 * 100 * 100 * 4, peak


def test_feature_two_batches_at_once(opened: Any) -> None:
    """A runtime computes one while the next is prepared; results stay in order."""
    both = threading.Barrier(2, timeout=5)

    class Runtime(FakeBackend):
        name = 'onnxruntime'

        def __call__(self, images: Any) -> Any:
            if len(images) == 2 and images[0][0, 0, 0] < 40:
                both.wait()  # nobody passes alone
            return super().__call__(images)

    backend = Runtime(fails_on=[13])
    values = [10, 255, 30, 255, 200, 13, 201]
    results = opened(backend, batch_size=2)(picture(v) for v in values)
    found = [*results]
    assert [f.source for f in found] == [f'array {k}' for k in range(7)]
    assert [f.kinds == ('scratch',) for f in found] == [v > 90 for v in values]
    assert [bool(f.error) for f in found] == [v == 13 for v in values]
    assert sorted(backend.batches) == [1, 1, 1, 2, 2, 2]


def test_feature_no_result_waits_for_the_next_picture(opened: Any) -> None:
    """As with a camera that takes the next part when this one has been decided on."""
    backend, decided = FakeBackend(), threading.Event()
    backend.name = 'onnxruntime'

    def parts() -> Iterator[np.ndarray]:
        yield picture(200)
        assert decided.wait(timeout=5)
        yield picture(10)

    results = opened(backend)(parts())
    assert next(results).decision == 'defective'
    decided.set()
    assert [f.decision for f in results] == ['ok']


def test_feature_runtimes_are_lazy_too(opened: Any) -> None:
    """Three batches ahead at most; closing ends all threads; errors come in place."""
    backend, last = FakeBackend(), -1
    backend.name = 'openvino'

    def endless() -> Iterator[np.ndarray]:
        nonlocal last
        for last in itertools.count():
            yield picture(last % 200)

    results = opened(backend, batch_size=4)(endless())
    for number, found in enumerate(itertools.islice(results, 20)):
        assert found.source == f'array {number}'
        assert last <= number + 5 * 4 + 2
    results.close()
    names = {t.name for t in threading.enumerate()}
    assert not [name for name in names if name.startswith(('frames', 'look'))]

    def broken() -> Iterator[np.ndarray]:
        yield picture(1)
        raise OSError('the cable')

    results = opened(backend)(broken())
    assert next(results).decision == 'ok'
    with pytest.raises(OSError, match='the cable'):
        next(results)


def test_feature_a_picture_on_which_the_model_fails(opened: Any) -> None:
    """The others of its batch are looked at, and it says why."""
    backend = FakeBackend(fails_on=[13])
    values = [250, 13, 251, 252]
    found = list(opened(backend, batch_size=4)([picture(v) for v in values]))
    assert [f.decision for f in found] == ['defective', 'undecided'] + ['defective'] * 2
    assert found[1].error == (
        'the model cannot look at array 1 of 8x6 pixels (RuntimeError: no picture of '
        '13): expected a picture like those of the training'
    )
    assert backend.batches == [4, 1, 1, 1, 1]


def test_exception_a_model_that_fails_always(opened: Any) -> None:
    inferencer = opened(FakeBackend(fails_on=[13]), batch_size=4)
    results = inferencer(picture(13) for _ in itertools.count())
    found = list(itertools.islice(results, MOST_FAILURES - 1))
    assert all(f.error for f in found)
    with pytest.raises(RuntimeError, match=r'fails on the first 16 pictures.* of 13$'):
        next(results)


def test_feature_a_model_that_works_is_never_given_up(opened: Any) -> None:
    """Once it has looked at a picture, what it fails on are these pictures."""
    inferencer = opened(FakeBackend(fails_on=[13]), batch_size=4)
    values = [250] + [13] * (3 * MOST_FAILURES) + [251]
    found = list(inferencer(picture(value) for value in values))
    assert [bool(f.error) for f in found] == [v == 13 for v in values]


def test_feature_failures_of_several_kinds_are_no_matter_of_the_model(
    opened: Any,
) -> None:
    class Moody(FakeBackend):
        def _say(self, image: np.ndarray) -> Any:
            raise (ValueError, RuntimeError)[image[0, 0, 0] % 2]('no')

    found = list(opened(Moody())(picture(k) for k in range(3 * MOST_FAILURES)))
    assert all(f.error for f in found)


def test_exception_numbers_that_are_none(opened: Any) -> None:
    class Broken(FakeBackend):
        def _say(self, image: np.ndarray) -> Any:
            return LabelOutput(probabilities=np.full(2, np.nan, np.float32))

    found = opened(Broken('labels')).predict_one(picture(3))
    assert found.decision == 'undecided'
    assert 'NaN or infinite numbers (probabilities)' in str(found.error)


def test_feature_thresholds_are_moved(opened: Any) -> None:
    image = picture(128)
    assert opened(FakeBackend()).predict_one(image).decision == 'defective'
    for threshold in (0.6, {'scratch': 0.6}):
        inferencer = opened(FakeBackend(), threshold=threshold)
        assert inferencer.predict_one(image).decision == 'ok'
    assert opened(FakeBackend('maps')).predict_one(image).decision == 'undecided'
    inferencer = opened(FakeBackend('maps'), threshold={'metal': 0.5}, product='metal')
    found = inferencer.predict_one(image)
    assert (found.decision, found.product) == ('defective', 'metal')


def test_feature_twelve_bits(opened: Any, tmp_path: Path) -> None:
    deep = np.full((6, 8, 3), 4095, np.uint16)
    assert cv2.imwrite(str(tmp_path / 'deep.png'), deep)
    (found,) = opened(FakeBackend())(tmp_path)
    assert 'give bits=12' in str(found.error)
    (found,) = opened(FakeBackend(), bits=12)(tmp_path)
    assert found.scores[0] == 1


def test_feature_progress(opened: Any, capsys: pytest.CaptureFixture) -> None:
    inferencer = opened(FakeBackend())
    list(inferencer([picture(1)] * 3, show_progress=True))
    said = capsys.readouterr().err
    assert '[' + 24 * '#' + '] 3/3 pictures' in said
    list(inferencer((picture(1) for _ in range(3)), show_progress=True))
    assert '\r3 pictures, ' in capsys.readouterr().err
    list(inferencer([picture(1)]))  # no terminal
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'batch_size': 0}, r'^batch_size=0: expected at least 1'),
        ({'backend': 'tpu'}, r"^backend='tpu': expected one of auto, torch"),
        ({'bits': 99}, r'^bits=99: expected at least 8 and'),
        ({'threshold': {'dents': 1}}, "threshold names the unknown class 'dents'"),
        ({'threshold': float('nan')}, r'^threshold=nan: expected a finite number'),
        ({'threshold': 1.5}, r'^threshold=1\.5: expected at least 0 and at most 1'),
        ({'threshold': '0.5'}, r"^threshold='0\.5': expected a finite number"),
        ({'batch_size': '2'}, r"^batch_size='2': expected a whole number"),
        ({'batch_size': 1.5}, r'^batch_size=1\.5: expected a whole number'),
        ({'batch_size': True}, r'^batch_size=True: expected a whole number'),
        ({'bits': 8.0}, r'^bits=8\.0: expected a whole number'),
        ({'step': '1'}, r"^step='1': expected a whole number"),
        ({'weights': 5}, r'^weights=5: expected a path'),
        ({'product': 5}, r'^product=5: expected a name'),
        ({'device': None}, r'^device=None: expected a name'),
        ({'backend': None}, r'^backend=None: expected one of auto'),
        ({'tile': 5}, r'^tile=5: expected dict\(size='),
        (
            {'product': 'metal'},
            r"^product='metal': expected none with a model of boxes",
        ),
        ({'tile': {'overlap': 3}}, r'^tile=.*expected dict\(size=\.\.\., overlap='),
    ],
)
def test_exception_settings(settings: dict, message: str, opened: Any) -> None:
    with pytest.raises(ValueError, match=message):
        opened(FakeBackend(), **settings)


@pytest.mark.parametrize('model', [None, 5, {'type': 'GFL'}])
def test_exception_model(model: Any) -> None:
    with pytest.raises(ValueError, match=r'^model=.*: expected a path or a Config'):
        DefectInferencer(model)


def test_exception_product(opened: Any) -> None:
    with pytest.raises(ValueError, match="product names the unknown class 'metl'"):
        opened(FakeBackend('maps'), product='metl')


def test_feature_thresholds_of_tiles_and_of_whole_images(opened: Any) -> None:
    """Those of maps hold for what they were chosen on, and for nothing else."""

    def calibrated(chosen: dict | None, **settings: Any) -> bool:
        backend = FakeBackend('maps')
        about = {'calibration': {'tile': chosen}}
        backend.spec = replace(backend.spec, calibrated=True, about=about)
        return opened(backend, **settings).spec.calibrated

    tile = {'size': 64, 'overlap': 16}
    assert calibrated(None)
    assert calibrated(tile, tile=tile)
    assert not calibrated(None, tile=tile)
    assert not calibrated(tile)


def test_exception_inputs_before_anything_runs(opened: Any, tmp_path: Path) -> None:
    backend = FakeBackend()
    with pytest.raises(ValueError, match='holds no images'):
        opened(backend)(tmp_path)
    assert not backend.batches


def package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A package, and what its runtime is asked for."""
    asked: list[Any] = []

    def open_package(folder: Path, *, backend: str, device: str) -> FakeBackend:
        asked.append((folder, backend, device))
        return FakeBackend()

    runtime: Any = types.ModuleType('mmdefect.deploy.runtime')
    runtime.open_package = open_package
    monkeypatch.setitem(sys.modules, 'mmdefect.deploy.runtime', runtime)
    (folder / 'package.json').write_text(json.dumps({}))
    return asked


WITHOUT = """
import sys

for name in ('torch', 'mmengine', 'mmcv', 'mmdet', 'mmpretrain', 'matplotlib'):
    sys.modules[name] = None  # as if it were not installed
import numpy as np
import mmdefect.apis.inferencer as module
from mmdefect.apis import DefectInferencer
from mmdefect.deploy.outputs import BoxOutput
from mmdefect.deploy.spec import ModelSpec

class Backend:
    spec = ModelSpec(task='boxes', classes=('dent',), default_threshold=0.3)
    def __call__(self, images):
        one = np.ones(1, np.float32)
        return [BoxOutput(boxes=np.ones((1, 4), np.float32), scores=one,
                          labels=np.zeros(1, np.int64)) for _ in images]

module.open_backend = lambda *_, **__: Backend()
found = DefectInferencer('package').predict_one(np.zeros((9, 9, 3), np.uint8))
found.save(sys.argv[1])
print(found)
"""


def test_feature_neither_torch_nor_openmmlab_is_needed(tmp_path: Path) -> None:
    """In a process of its own: what is imported once stays imported."""
    done = subprocess.run(
        [sys.executable, '-c', WITHOUT, str(tmp_path)],
        env=tool_env(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('array 0: defective (not calibrated), 1 dent')
    assert len(list(tmp_path.iterdir())) == 2


def test_feature_a_package_has_its_own_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = package(tmp_path, monkeypatch)
    inferencer = DefectInferencer(str(tmp_path), backend='openvino', device='cpu')
    assert asked == [(tmp_path, 'openvino', 'cpu')]
    assert inferencer.predict_one(picture(255)).decision == 'defective'
    with pytest.raises(ValueError, match=r"^backend='torch': expected onnxruntime or"):
        open_backend(tmp_path, backend='torch')
    with pytest.raises(ValueError, match=r'^weights=x\.pth: expected none'):
        open_backend(tmp_path, weights='x.pth')
    with pytest.raises(ValueError, match=r'^step=0: expected none'):
        open_backend(tmp_path, step=0)


@pytest.fixture(scope='module')
def classifier(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return saved_model(CLASSIFIER, tmp_path_factory.mktemp('classifier'))


def test_feature_a_trained_model(classifier: tuple[Path, Path]) -> None:
    config, weights = classifier
    with pytest.raises(ValueError, match=r"^backend='onnxruntime': expected torch for"):
        DefectInferencer(config, weights=weights, backend='onnxruntime')
    inferencer = DefectInferencer(config, weights=weights, device='cpu', batch_size=2)
    sizes = [(20, 30), (30, 20), (20, 30)]
    images = [np.random.default_rng(k).integers(0, 255, (*s, 3), np.uint8) for k, s in
              enumerate(sizes)]  # fmt: skip
    found = list(inferencer(images))
    alone = [inferencer.predict_one(image) for image in images]
    for one, other in zip(found, alone, strict=True):
        assert one.decision in ('ok', 'defective')
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-6)
    assert 'not calibrated' in str(found[0])
