"""The page in a browser. Slow: Gradio, a server and Chromium, started once.

MMDEFECT_SCREENSHOTS=docs pytest tests/app/test_page.py draws the pictures of the docs.
"""

from __future__ import annotations

import io
import os
import re
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from mmdefect.app.desk import Desk
from mmdefect.line import queue
from mmdefect.line.folder import Line
from mmdefect.line.verdicts import give
from mmdefect.serving.server import listen
from tests.helpers.chromium import Watched, chromium
from tests.helpers.page_line import THRESHOLDS, package, plate, write
from tests.helpers.served import wait_until

pytestmark = pytest.mark.slow
PICTURES = os.environ.get('MMDEFECT_SCREENSHOTS')
SHOWN = {400: 'Review', 1280: 'Look'}
TABS = ('Look', 'Compare', 'Review', 'Status')


@pytest.fixture(scope='module')
def photos(line: Line) -> list[Path]:
    return sorted((line.folder.parent / 'photos').iterdir())


@pytest.fixture(scope='module')
def named() -> Iterator[list[str]]:
    """Machines that this process has asked the address of."""
    names: list[str] = []
    look_up = socket.getaddrinfo

    def heard(host: Any, *given: Any, **named: Any) -> Any:
        names.append(host)
        return look_up(host, *given, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, 'getaddrinfo', heard)
        yield names


@contextmanager
def running(desk: Desk) -> Iterator[str]:
    """A server of a page in a thread; its address."""
    from mmdefect.app.server import own_folder, server_of

    with own_folder(), listen('127.0.0.1', 0) as listener:
        server = server_of(desk)
        thread = threading.Thread(
            target=server.run, kwargs={'sockets': [listener]}, daemon=True
        )
        thread.start()
        wait_until(lambda: server.started)
        yield f'http://127.0.0.1:{listener.getsockname()[1]}/'
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture(scope='module')
def url(line: Line, named: list[str]) -> Iterator[str]:
    pytest.importorskip('gradio')
    with running(Desk(line.folder)) as address:
        yield address


@pytest.fixture(scope='module')
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope='module')
def wide(browser: Any, url: str) -> Watched:
    watched = Watched(browser, viewport={'width': 1280, 'height': 900})
    watched.page.goto(url)
    shows(watched.page, '#counted', 'threshold 0.6')
    return watched


def shows(page: Any, place: str, text: str) -> None:
    """Wait until a place of the page shows a text."""
    page.locator(place).get_by_text(text).first.wait_for()


def open_tab(page: Any, name: str) -> None:
    page.get_by_role('tab', name=name, exact=True).click()


def test_feature_pictures_are_looked_at(wide: Watched, photos: list[Path]) -> None:
    wide.page.set_input_files('#drop input[type=file]', photos)
    shows(wide.page, '#looked', '5 looked at')
    shows(wide.page, '#looked', '3 defective, 2 ok')
    assert wide.page.locator('#gallery img').count() >= 5
    shows(wide.page, '#results', 'part_2.png')


def test_feature_the_slider_counts_misses_and_false_alarms(wide: Watched) -> None:
    """And decides anew on what was looked at when it is let go."""
    shows(wide.page, '#counted', 'alarms on 3 of the 5 looked at')
    wide.page.locator('#examine').click()
    shows(wide.page, '#counted', '0 of 5 defects missed')
    wide.page.locator('#examine').wait_for(state='hidden')
    slider = wide.page.locator('#threshold input[type=range]')
    slider.fill('0.8')
    shows(wide.page, '#counted', '2 of 5 defects missed')
    slider.fill('0.3')
    shows(wide.page, '#counted', '6 of 6 false alarms')
    slider.dispatch_event('pointerup')
    shows(wide.page, '#looked', '5 looked at: 5 defective')


def test_feature_two_versions_decide_differently(wide: Watched, line: Line) -> None:
    open_tab(wide.page, 'Compare')
    faint = line.exams_dir / 'plates/images/plate/test/scratch/0.png'
    wide.page.set_input_files('#pair input[type=file]', faint)
    shows(wide.page, '#compared', 'They decide differently')
    shows(wide.page, '#compared', 'v0001')


def test_feature_verdicts_by_keys(wide: Watched, line: Line) -> None:
    first = queue.entries(line)[0].image
    open_tab(wide.page, 'Review')
    shows(wide.page, '#waiting', '1 of 4')
    wide.page.keyboard.press('1')
    shows(wide.page, '#waiting', '1 of 3')
    (verdict,) = line.log.rows(kind='verdict')
    assert (verdict.decision, verdict.image) == ('confirmed', first)
    wide.page.keyboard.press('ArrowRight')
    shows(wide.page, '#waiting', '2 of 3')
    wide.page.keyboard.press('ArrowRight')
    shows(wide.page, '#waiting', '3 of 3')


def test_feature_a_box_by_two_clicks(wide: Watched, line: Line) -> None:
    """And a kind by typing, during which keys are letters."""
    image = queue.entries(line)[-1].image
    wide.page.fill('#kind input', 'scratch 2')
    wide.page.keyboard.press('Enter')
    picture = wide.page.locator('#review img')
    box = picture.bounding_box()
    for x, y in ((0.5, 0.5), (0.75, 0.9)):
        before = picture.get_attribute('src')
        picture.click(position={'x': x * box['width'], 'y': y * box['height']})
        # A mark, then a box: each is another picture.
        wait_until(lambda src=before: picture.get_attribute('src') != src)
    text = wide.page.locator('#box').locator('input, textarea').input_value()
    assert re.fullmatch(r'\d+, \d+, \d+, \d+', text)
    wide.page.locator('#say-missed').click()
    shows(wide.page, '#waiting', '2 of 2')
    *_, verdict = line.log.rows(kind='verdict')
    assert (verdict.decision, verdict.image) == ('missed', image)
    assert verdict.kinds == ('scratch 2',)
    things = [{'name': 'scratch 2', 'box': list(map(float, text.split(', ')))}]
    assert verdict.body['things'] == things


def test_exception_a_verdict_that_does_not_fit(wide: Watched, line: Line) -> None:
    """The sentence is shown, nothing is written down, and nothing is covered."""
    before = line.log.count(kind='verdict')
    wide.page.fill('#box input, #box textarea', '1, 2, 30, 40')
    wide.page.fill('#kind input', 'scratch 2')
    wide.page.keyboard.press('Enter')
    wide.page.locator('#waiting').click()  # keys are letters in a field
    wide.page.keyboard.press('4')
    wide.page.get_by_text('a model of maps names no kind').first.wait_for()
    assert line.log.count(kind='verdict') == before
    shows(wide.page, '#waiting', '2 of 2')
    assert wide.page.locator('.error').filter(has_text='Error').count() == 0
    assert wide.page.input_value('#box input, #box textarea') == '1, 2, 30, 40'
    assert wide.page.input_value('#kind input') == 'scratch 2'
    assert wide.page.locator('#review img').is_visible()


@pytest.mark.parametrize('how', ['gone', 'covered'])
def test_exception_keys_say_nothing_of_what_nobody_sees(
    wide: Watched, line: Line, how: str
) -> None:
    before = line.log.count(kind='verdict'), queue.count(line)
    does = {
        'gone': ("style.display = 'none'", "style.display = ''"),
        'covered': (
            "insertAdjacentHTML('beforeend', '<i class=error></i>')",
            "querySelector('.error').remove()",
        ),
    }[how]
    wide.page.evaluate(f"document.querySelector('#review').{does[0]}")
    for key in '15':
        wide.page.keyboard.press(key)
    wide.page.wait_for_timeout(500)
    assert (line.log.count(kind='verdict'), queue.count(line)) == before
    wide.page.evaluate(f"document.querySelector('#review').{does[1]}")


def test_feature_what_could_not_be_read_is_a_card_and_is_dismissed(
    wide: Watched, line: Line
) -> None:
    row = line.log.append('decision', version='v0002', source='empty.png')
    queue.enqueue(line, row, 'error', 'cannot read empty.png (zero bytes)')
    open_tab(wide.page, 'Status')
    open_tab(wide.page, 'Review')
    shows(wide.page, '#waiting', '2 of 3')
    wide.page.keyboard.press('ArrowRight')
    shows(wide.page, '#waiting', '3 of 3: it could not be read')
    shows(wide.page, '#waiting', 'cannot read empty.png (zero bytes)')
    assert wide.page.locator('#review img').is_visible()
    wide.page.keyboard.press('5')
    shows(wide.page, '#waiting', '2 of 2')
    assert queue.count(line) == 2


def test_feature_what_another_says_meanwhile_is_told(wide: Watched, line: Line) -> None:
    """Before it is replaced by a second press."""
    open_tab(wide.page, 'Status')
    open_tab(wide.page, 'Review')
    shows(wide.page, '#waiting', 'of 2')
    name = wide.page.locator('#waiting td').first.inner_text()
    (image,) = (e.image for e in queue.entries(line) if name in str(e.source))
    row = give(line, image, 'false alarm', by='Bo')
    wide.page.keyboard.press('1')
    said = f'{name} was judged meanwhile: false alarm anomaly by Bo, row {row.id}'
    wide.page.get_by_text(said).first.wait_for()
    assert next(line.log.rows(newest=True, limit=1)) == row
    wide.page.keyboard.press('1')
    said = f'row {row.id + 1}; replaces false alarm anomaly, row {row.id}'
    wide.page.get_by_text(said).first.wait_for()
    shows(wide.page, '#waiting', '1 of 1')


def test_feature_drift_and_reports(wide: Watched, url: str) -> None:
    open_tab(wide.page, 'Status')
    shows(wide.page, '#standing', 'v0002 in use')
    shows(wide.page, '#standing', 'brightness')
    shows(wide.page, '#standing', '2026-05-1')
    link = wide.page.locator('#standing a').first.get_attribute('href')
    assert httpx.get(url + link.removeprefix('/'), verify=False).status_code == 200


def test_feature_nothing_from_elsewhere_and_no_error(
    wide: Watched, named: list[str]
) -> None:
    """Neither by the browser nor by the server."""
    assert wide.asked
    assert wide.elsewhere() == []
    pictures = [url for url in wide.asked if 'file=' in url]
    assert pictures
    # Written once: Gradio would write others over what a browser is reading.
    assert all('/pictures/' in url for url in pictures)
    assert {*named} <= {'127.0.0.1', 'localhost'}
    assert wide.errors == []


def test_smoke_a_model_has_one_tab(browser: Any, tmp_path: Path) -> None:
    """And no exam, so that a slider counts what was looked at alone."""
    pytest.importorskip('gradio')
    desk = Desk(package(tmp_path / 'plates', THRESHOLDS[0]))
    photo = write(tmp_path / 'part.png', plate(0, 240))
    with running(desk) as address:
        watched = Watched(browser)
        watched.page.goto(address)
        shows(watched.page, '#counted', 'threshold 0.8')
        assert watched.page.get_by_role('tab').count() == 0
        watched.page.set_input_files('#drop input[type=file]', photo)
        shows(watched.page, '#counted', 'alarms on 1 of the 1 looked at')
        assert not watched.page.locator('#exam, #examine').first.is_visible()
        assert watched.errors == []
        watched.context.close()


def test_exception_only_this_machine_may_ask(url: str) -> None:
    """A name of another site that leads here is refused."""
    found = httpx.get(url, headers={'host': 'evil.example'}, verify=False)
    assert found.status_code == 400
    assert httpx.get(f'{url}report/none', verify=False).status_code == 404


def test_exception_pages_of_other_sites_may_not_send(
    wide: Watched, browser: Any, url: str
) -> None:
    """What they send would arrive, though they may not read the answer."""
    folder = Path(os.environ['GRADIO_TEMP_DIR'])
    before = sorted(folder.rglob('*'))
    send = """url => { const form = new FormData();
        form.append('files', new Blob(['much']), 'a.png');
        return fetch(url, {method: 'POST', mode: 'no-cors', body: form})
            .then(answer => answer.status); }"""
    upload = f'{url}gradio_api/upload'
    other = Watched(browser)
    with blank_page() as elsewhere:
        other.page.goto(elsewhere)
        assert other.page.evaluate(send, upload) == 0  # not told
        other.page.evaluate('url => { new Image().src = url }', upload)
        other.page.wait_for_timeout(200)
    other.context.close()
    assert sorted(folder.rglob('*')) == before
    assert wide.page.evaluate(send, upload) == 200
    assert len(sorted(folder.rglob('*'))) > len(before)


@contextmanager
def blank_page() -> Iterator[str]:
    """Of another site, as another port is one."""

    class Blank(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(('127.0.0.1', 0), Blank) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}/'
        server.shutdown()


def test_exception_a_file_that_is_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip('gradio')
    from mmdefect.app import server

    assert server.LARGEST == '600mb'
    monkeypatch.setattr(server, 'LARGEST', 1000)
    with running(Desk(package(tmp_path / 'plates', THRESHOLDS[0]))) as small:
        files = {'files': ('a.png', bytes(2000))}
        sent = httpx.post(f'{small}gradio_api/upload', files=files, verify=False)
    assert sent.status_code == 413


def test_feature_what_a_killed_page_has_left_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what a page has that is open stays."""
    pytest.importorskip('gradio')
    from mmdefect.app.server import own_folder

    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    ended = subprocess.Popen(['true'])
    ended.wait()
    names = (f'{ended.pid}-a', f'{os.getpid()}-a', f'{os.getppid()}-a', 'theirs')
    for name in names:
        (tmp_path / f'mmdefect-app-{name}/deep').mkdir(parents=True)
    with own_folder():
        own = Path(os.environ['GRADIO_TEMP_DIR'])
        assert own.parent == tmp_path
    left = {path.name.removeprefix('mmdefect-app-') for path in tmp_path.iterdir()}
    assert left == {*names[1:]}


def take(page: Any, path: Path) -> None:
    """A picture of the page in 256 colours, which keeps it small."""
    page.wait_for_timeout(1000)
    picture = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert('RGB')
    picture.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
        path, optimize=True
    )
    assert path.stat().st_size < 200_000


@pytest.mark.parametrize(('width', 'theme'), [(400, 'dark'), (1280, 'light')])
def test_feature_no_scrolling_sideways(
    browser: Any, url: str, photos: list[Path], tmp_path: Path, width: int, theme: str
) -> None:
    watched = Watched(
        browser, viewport={'width': width, 'height': 900}, color_scheme=theme
    )
    page = watched.page
    page.goto(url)
    shows(page, '#counted', 'threshold 0.6')
    page.set_input_files('#drop input[type=file]', photos)
    shows(page, '#looked', '5 looked at')
    shows(page, '#counted', 'looked at')
    page.locator('#threshold input[type=range]').fill('0.7')
    shows(page, '#counted', 'alarms on 1 of the 5')
    for name in TABS:
        open_tab(page, name)
        page.wait_for_timeout(600)
        if PICTURES and SHOWN[width] == name:
            take(page, Path(PICTURES) / f'line_{width}.png')
        assert not watched.is_wider_than_its_window(), name
    assert watched.errors == []
    watched.context.close()
