"""The page's server: this machine only, and nothing is loaded from elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Before Gradio is imported, which asks its maker for news otherwise.
os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'

import gradio as gr
import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware

from mmdefect.app.desk import Desk
from mmdefect.app.guard import Message, OnlyItself, Send
from mmdefect.app.page import HEAD, STYLE, build, theme
from mmdefect.app.reports import BELOW, reports
from mmdefect.serving.server import listen, stopped_by_signals

HOST = '127.0.0.1'
#: Of a file that is sent: the largest picture that is read, without compression.
LARGEST = '600mb'
_FOLDER = 'mmdefect-app-'
#: What a browser may load: scripts in the page itself are Gradio's.
_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
)
# Gradio's template names fonts and a script for iframes, which this page is never in.
_ELSEWHERE = re.compile(
    rb'<(?:link|script)\b[^>]*\b(?:href|src)="https?://[^>]*>(?:\s*</script>)?'
)


class OnlyFromHere:
    """Serves the page without what its template would load from elsewhere."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Any, send: Send) -> None:
        """Answer; only the page itself is changed."""
        if scope['type'] != 'http' or scope['path'] != '/':
            await self.app(scope, receive, send)
            return
        heads = [one for one in scope['headers'] if one[0] != b'accept-encoding']
        held: list[Message] = []

        async def hold(message: Message) -> None:
            held.append(message)

        await self.app({**scope, 'headers': heads}, receive, hold)
        body = b''.join(one.get('body', b'') for one in held)
        body = _ELSEWHERE.sub(b'', body)
        start = next(one for one in held if one['type'] == 'http.response.start')
        kept = [one for one in start['headers'] if one[0] != b'content-length']
        kept.append((b'content-length', str(len(body)).encode()))
        kept.append((b'content-security-policy', _POLICY.encode()))
        await send({**start, 'headers': kept})
        await send({'type': 'http.response.body', 'body': body})


def create_app(desk: Desk) -> Any:
    """The application of a page: the page at ``/``, its reports below."""
    app = FastAPI(openapi_url=None)

    @app.get(f'{BELOW}{{name}}')
    def report(name: str) -> FileResponse:
        page = reports(desk).get(name)
        if page is None:
            raise HTTPException(404, f'no report {name}')
        return FileResponse(page, media_type='text/html')

    app = gr.mount_gradio_app(
        app,
        build(desk),
        path='/',
        footer_links=[],
        theme=theme(),
        css=STYLE,
        head=HEAD,
        ssr_mode=False,
        show_error=True,
        max_file_size=LARGEST,
    )
    # A page of another site must not reach this one by a name that leads here.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, 'localhost'])
    return OnlyItself(OnlyFromHere(app), open_at=BELOW)


def server_of(desk: Desk) -> uvicorn.Server:
    """A server of the page that has not begun to listen."""
    config = uvicorn.Config(
        create_app(desk),
        log_level='critical',  # what fails is said in the page
        # Open pages keep a connection for as long as they are open.
        timeout_graceful_shutdown=1,
    )
    return uvicorn.Server(config)


def serve(desk: Desk, port: int) -> None:
    """Serve the page until SIGTERM or Ctrl-C, and say where it is.

    Args:
        desk: What it is about.
        port: 0 for a free one.

    Raises:
        OSError: The port is taken.
    """
    with listen(HOST, port) as listener, own_folder():
        server = server_of(desk)
        print(f'http://{HOST}:{listener.getsockname()[1]}', flush=True)
        with stopped_by_signals(server):
            server.run(sockets=[listener])


@contextmanager
def own_folder() -> Iterator[None]:
    """Pictures that a browser sends or gets lie in a folder that ends with the page.

    Those of pages that were killed go first.
    """
    before = os.environ.get('GRADIO_TEMP_DIR')
    for left in Path(tempfile.gettempdir()).glob(f'{_FOLDER}*'):
        if _is_left(left):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f'{_FOLDER}{os.getpid()}-') as folder:
        os.environ['GRADIO_TEMP_DIR'] = folder
        try:
            yield
        finally:
            os.environ.pop('GRADIO_TEMP_DIR')
            if before is not None:
                os.environ['GRADIO_TEMP_DIR'] = before


def _is_left(folder: Path) -> bool:
    """Whether it is ours, and the process in its name is no more."""
    number = folder.name.removeprefix(_FOLDER).partition('-')[0]
    if not number.isdecimal() or folder.is_symlink():
        return False
    try:
        mine = folder.stat().st_uid == os.getuid()
        os.kill(int(number), 0)
    except ProcessLookupError:
        return mine
    except (OSError, OverflowError):  # gone meanwhile, or somebody else's
        pass
    return False
