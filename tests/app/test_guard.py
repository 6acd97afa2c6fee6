"""Who may ask the page."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mmdefect.app.guard import OnlyItself

HERE = {'host': '127.0.0.1:7860'}
OWN = {**HERE, 'origin': 'http://127.0.0.1:7860', 'sec-fetch-site': 'same-origin'}
LINK = {**HERE, 'sec-fetch-site': 'cross-site', 'sec-fetch-dest': 'document'}


def status(path: str, heads: dict[str, str], **scope: Any) -> Any:
    """What is answered: 200 by the page itself."""
    sent: list[Any] = []

    async def page(scope: Any, receive: Any, send: Any) -> None:
        await send({'status': 200})

    async def send(message: Any) -> None:
        sent.append(message)

    pairs = [(name.encode(), value.encode()) for name, value in heads.items()]
    given = {'type': 'http', 'method': 'GET', 'path': path, 'headers': pairs, **scope}
    asyncio.run(OnlyItself(page, open_at='/report/')(given, None, send))
    return sent[0].get('status') or sent[0]['type']


@pytest.mark.parametrize(
    ('path', 'heads', 'method'),
    [
        ('/', HERE, 'GET'),
        ('/upload', HERE, 'POST'),  # no browser
        ('/upload', OWN, 'POST'),
        ('/', {**HERE, 'sec-fetch-site': 'none'}, 'GET'),
        ('/', LINK, 'GET'),
        ('/report/a', LINK, 'GET'),
    ],
)
def test_feature_answered(path: str, heads: dict[str, str], method: str) -> None:
    assert status(path, heads, method=method) == 200


@pytest.mark.parametrize(
    ('path', 'heads', 'method'),
    [
        ('/upload', {**HERE, 'origin': 'http://evil.example'}, 'POST'),
        ('/upload', {**HERE, 'origin': 'http://127.0.0.1:3000'}, 'POST'),
        ('/upload', {**HERE, 'origin': 'http://localhost:7860'}, 'POST'),
        ('/upload', {**HERE, 'origin': 'null'}, 'POST'),
        ('/', {**LINK, 'origin': 'http://evil.example'}, 'POST'),
        ('/', LINK, 'POST'),
        ('/file', LINK, 'GET'),
        ('/', {**LINK, 'sec-fetch-dest': 'iframe'}, 'GET'),
        ('/file', {**LINK, 'sec-fetch-dest': 'image'}, 'GET'),
        ('/file', {**HERE, 'sec-fetch-site': 'same-site'}, 'GET'),
    ],
)
def test_exception_refused(path: str, heads: dict[str, str], method: str) -> None:
    assert status(path, heads, method=method) == 403


def test_exception_a_socket_is_closed() -> None:
    heads = {**HERE, 'origin': 'http://evil.example'}
    assert status('/', heads, type='websocket') == 'websocket.close'
    assert status('/', OWN, type='websocket') == 200
