"""A server of a line: it writes down what it decides, and goes with its versions."""

from __future__ import annotations

import hashlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from mmdefect.line.folder import Line
from mmdefect.line.record import Recorder
from mmdefect.line.settings import LineSettings
from mmdefect.serving import models, service
from mmdefect.serving.app import create_app
from mmdefect.serving.models import Models, PackageError
from mmdefect.serving.service import Service
from tests.helpers.served import (
    ShadeBackend,
    client,
    part,
    served,
    wait_until,
    write_package,
)

PART = part(60)
FILE = {'file': ('a.png', PART.data)}


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, '_FOLLOW', 0.01)


@pytest.fixture
def line(tmp_path: Path) -> Line:
    line = Line.create(tmp_path / 'my_line', settings=LineSettings(keep_images='none'))
    for version, kind in (('v0001', 'scratch'), ('v0002', 'dent')):
        write_package(line.versions_dir / version, kind)
    use(line, 'v0001')
    return line


def use(line: Line, version: str) -> None:
    """As a promotion does, in one step."""
    new = line.folder / 'current.new'
    new.symlink_to(Path('versions') / version)
    new.replace(line.pointer)


def client_of(line: Line) -> TestClient:
    return TestClient(create_app(Models([], open_model=ShadeBackend, line=line)))


def answer(to: Any, **file: Any) -> dict:
    return to.post('/predict', files=file or FILE).json()


def test_smoke_decisions_are_written_down(line: Line) -> None:
    with client_of(line) as to:
        assert to.get('/models').json()['models'][0]['version'] == 'v0001'
        found = answer(to)
        assert (found['model'], found['version']) == ('my_line', 'v0001')
        bad = to.post('/predict', files={'file': ('b.png', b'x')})
        assert bad.status_code == 422
    seen, refused = line.log.rows()
    assert (seen.version, seen.source, seen.decision) == ('v0001', 'a.png', 'defective')
    assert seen.image == hashlib.sha256(PART.data).hexdigest()
    assert (seen.kinds, seen.body['size']) == (('scratch',), [64, 48])
    assert (refused.source, refused.decision) == ('b.png', 'undecided')
    assert refused.body['error'] == bad.json()['error']
    # What waits is kept whatever the policy is, and if nobody can read it.
    assert line.images.find(str(refused.image)).read_bytes() == b'x'
    assert line.log.verify().ok


def test_exception_a_threshold_that_no_exam_has_seen(line: Line) -> None:
    """By the log the version would have decided so."""
    with client_of(line) as to:
        answer = to.post('/predict', files=FILE, data={'threshold': '0.99'})
    assert answer.status_code == 422
    assert 'threshold: expected none of the version of a line' in answer.json()['error']
    assert line.log.count() == 0


def test_feature_a_promotion_needs_no_restart(line: Line) -> None:
    """Nor does a rollback; each answer and each row says which version it is of."""
    with client_of(line) as to:
        for version, kind in (('v0002', 'dent'), ('v0001', 'scratch')):
            use(line, version)
            wait_until(lambda v=version: answer(to)['version'] == v)
            found = answer(to)['predictions'][0]
            assert found['boxes'][0]['name'] == kind
            newest = next(line.log.rows(newest=True, limit=1))
            assert (newest.version, newest.kinds) == (version, (kind,))
    assert line.log.verify().ok


def test_feature_many_at_once_while_it_is_promoted(line: Line) -> None:
    """Every request is answered, and each answer has its row, of the same version."""
    opened = Models([], open_model=ShadeBackend, line=line)
    with served(opened, concurrency=4) as url, ThreadPoolExecutor(4) as threads:

        def ask(number: int) -> tuple[str, str]:
            if number == 30:
                use(line, 'v0002')
            if number > 30:
                time.sleep(0.005)
            with client(url) as to:
                found = answer(to, file=(f'{number}.png', part(number).data))
            return f'{number}.png', found['version']

        answers = [*threads.map(ask, range(90))]
    assert {version for _, version in answers} == {'v0001', 'v0002'}
    assert sorted((row.source, row.version) for row in line.log.rows()) == sorted(
        answers
    )
    assert line.log.verify().ok


def test_exception_a_version_that_does_not_open(
    line: Line, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The old one goes on; it is tried again, more and more seldom, until it opens."""
    monkeypatch.setattr(service, '_PAUSE', 0.02)
    monkeypatch.setattr(service, '_LONGEST', 0.04)
    (line.versions_dir / 'v0002' / 'shade.json').write_text('{')
    with client_of(line) as to:
        assert 'mmdefect_line_behind 0.0' in to.get('/metrics').text
        use(line, 'v0002')
        wait_until(lambda: caplog.text.count('next try in') > 2)
        assert answer(to)['version'] == 'v0001'
        assert to.post('/reload').status_code == 422
        told = to.get('/metrics').text
        assert 'mmdefect_line_behind 1.0' in told
        assert 'reloads_total{model="my_line",outcome="replaced"}' not in told
        write_package(line.versions_dir / 'v0002', 'dent')
        wait_until(lambda: answer(to)['version'] == 'v0002')
        told = to.get('/metrics').text
        assert 'mmdefect_line_behind 0.0' in told
        assert 'reloads_total{model="my_line",outcome="replaced"} 1.0' in told
    pauses = [float(one.split()[-2]) for one in caplog.messages if 'next try' in one]
    assert pauses[:3] == [0.02, 0.04, 0.04]


def test_exception_a_version_is_not_tried_each_second(line: Line) -> None:
    (line.versions_dir / 'v0002' / 'shade.json').write_text('{')
    with client_of(line) as to:
        use(line, 'v0002')
        kept = 'mmdefect_reloads_total{model="my_line",outcome="kept"} 1.0'
        wait_until(lambda: kept in to.get('/metrics').text)
        for _ in range(5):
            assert answer(to)['version'] == 'v0001'
        assert kept in to.get('/metrics').text


def test_exception_a_recorder_that_cannot_be_made(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is not replaced without what writes its decisions down."""
    broken = threading.Event()
    broken.set()

    class Failing(Recorder):
        def __init__(self, line: Line, *, version: str | None) -> None:
            if version == 'v0002' and broken.is_set():
                raise OSError('too many open files')
            super().__init__(line, version=version)

    monkeypatch.setattr(service, '_PAUSE', 0.01)
    monkeypatch.setattr(models, 'Recorder', Failing)
    with client_of(line) as to:
        use(line, 'v0002')
        refused = to.post('/reload')
        assert refused.status_code == 422
        assert 'my_line: too many open files (the old one' in refused.json()['error']
        found = answer(to)
        assert found['version'] == 'v0001'
        assert found['predictions'][0]['boxes'][0]['name'] == 'scratch'
        broken.clear()
        wait_until(lambda: answer(to)['version'] == 'v0002')
    for row in line.log.rows():
        assert row.kinds == ({'v0001': 'scratch', 'v0002': 'dent'}[str(row.version)],)


def test_exception_nothing_ends_who_follows(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even what is said of no package, as when no thread can be started."""
    monkeypatch.setattr(service, '_PAUSE', 0.01)
    reload, tried = Service.reload, threading.Event()

    async def failing(self: Service, name: str | None) -> list[str]:
        if tried.is_set():
            return await reload(self, name)
        tried.set()
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Service, 'reload', failing)
    with client_of(line) as to:
        use(line, 'v0002')
        wait_until(lambda: answer(to)['version'] == 'v0002')
        assert tried.is_set()


def test_exception_a_line_without_a_version(line: Line) -> None:
    line.pointer.unlink()
    with pytest.raises(PackageError, match=r'my_line: .* has no version yet'):
        Models([], open_model=ShadeBackend, line=line)


@pytest.mark.parametrize('policy', ['refuse', 'serve'])
def test_exception_a_full_disk(
    line: Line, monkeypatch: pytest.MonkeyPatch, policy: Any
) -> None:
    line.settings = LineSettings(keep_images='none', on_full_disk=policy)

    def full(*given: Any, **fields: Any) -> None:
        raise OSError('decisions.db cannot be written')

    monkeypatch.setattr(line.log, 'append', full)
    with client_of(line) as to:
        found = to.post('/predict', files=FILE)
        text = to.get('/metrics').text
    if policy == 'refuse':
        assert found.status_code == 507
        assert 'is refused, as on_full_disk of' in found.json()['error']
        assert 'mmdefect_errors_total{reason="record"} 1.0' in text
    else:
        assert found.status_code == 200
        note = found.json()['predictions'][0]['note']
        assert note.startswith('served without a whole record: its row')
