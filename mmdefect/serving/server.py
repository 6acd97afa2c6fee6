"""Open packages, listen, serve until told to stop."""

from __future__ import annotations

import math
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdefect.line.opening import refuse_other_looks
from mmdefect.serving.models import Models, Opener, name_packages
from mmdefect.serving.refusal import sentence_of
from mmdefect.serving.settings import ServerSettings, token_from_environment
from mmdefect.utils.checks import check_range

if TYPE_CHECKING:
    import uvicorn

    from mmdefect.deploy.backend import Backend
    from mmdefect.line.folder import Line

_IDLE = 75  # seconds that a connection is kept for the next request
_HEAD = 10  # seconds until the head of a request is complete
_UNREAD = 30  # seconds that an answer is kept for who does not read it


def run(
    packages: Sequence[str | Path],
    *,
    token: str | None = None,
    backend: str = 'auto',
    device: str = 'auto',
    tile: Mapping[str, Any] | None = None,
    open_model: Opener | None = None,
    line: Line | None = None,
    **limits: Any,
) -> int:
    """Serve packages until SIGTERM or SIGINT; requests that have begun are answered.

    Says one line when it listens, and one sentence when it cannot.

    Args:
        packages: Folders; a model has the name of its folder.
        token: By default what the environment variable ``MMDEFECT_TOKEN`` holds.
        backend: ``'auto'``, ``'onnxruntime'`` or ``'openvino'``.
        device: ``'auto'``, ``'cpu'`` or ``'cuda'``.
        tile: For large images: ``size`` and ``overlap`` of
            :class:`~mmdefect.deploy.tiling.TiledBackend`.
        open_model: Opens a package; by default the runtime of packages.
        line: In place of packages; see :class:`.models.Models`.
        limits: The other settings of :class:`.settings.ServerSettings`.

    Returns:
        Exit code: 0 when it was told to stop, 1 if it cannot serve, 2 if what it was
        given is wrong.
    """
    try:
        settings = ServerSettings(token=token or token_from_environment(), **limits)
        name_packages(packages if line is None else [line.folder])
        if line is not None:
            refuse_other_looks(line.folder, tile=tile, bits=settings.bits)
    except ValueError as error:
        return _complain(error, 2)
    try:
        opener = open_model or _opener(backend, device, tile, of_line=line is not None)
        return _serve(packages, settings, opener, line)
    except ModuleNotFoundError as error:
        return _complain(f'{error.name} missing: pip install "mmdefect[serve]"', 1)
    except (OSError, ValueError) as error:
        return _complain(error, 1)


def _serve(
    packages: Sequence[str | Path],
    settings: ServerSettings,
    open_model: Opener,
    line: Line | None,
) -> int:
    import uvicorn

    from mmdefect.serving.app import create_app
    from mmdefect.serving.connections import Listener

    # Before models are opened, which takes longer than to find the port taken.
    with Listener(listen(settings.host, settings.port)) as listener:
        models = Models(packages, open_model=open_model, line=line)
        server = uvicorn.Server(server_config(create_app(models, settings), settings))
        host, port = listener.getsockname()[:2]
        shown = f'[{host}]' if ':' in host else host
        print(f'serving {", ".join(models.names)} on http://{shown}:{port}', flush=True)
        with stopped_by_signals(server):
            server.run(sockets=[listener])
    return 0


def server_config(app: Any, settings: ServerSettings) -> uvicorn.Config:
    """How uvicorn serves an application of ours."""
    import uvicorn

    from mmdefect.serving.connections import protocol

    return uvicorn.Config(
        app,
        http=protocol(min(_HEAD, settings.timeout)),
        loop='asyncio',  # uvloop accepts connections past our listener
        ws='none',
        lifespan='on',
        log_level='error',  # not a line for each hostile request
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=math.ceil(settings.timeout),
    )


def listen(host: str, port: int) -> socket.socket:
    """Listen at an address.

    Args:
        host: Name or address.
        port: 0 for a free one.

    Raises:
        OSError: It is in use, or is not of this machine; in one sentence.
        ValueError: There is no such port.
    """
    check_range('port', port, 0, 65535)  # the system would take it modulo 65536
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)
        family, _, _, _, address = found[0]
        listener = socket.create_server(address[:2], family=family)
    except OSError as error:
        why = (error.strerror or str(error)).partition(' (')[0]
        raise OSError(
            f'cannot listen at {host}, port {port} ({why}): '
            'give another port, or 0 for a free one'
        ) from error
    # Handed on to its connections. asyncio sets it only on sockets that it made, and
    # without it an answer waits 40 ms for the client's acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, 'TCP_USER_TIMEOUT'):  # Linux
        unread = 1000 * _UNREAD
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, unread)
    return listener


@contextmanager
def stopped_by_signals(server: uvicorn.Server) -> Iterator[None]:
    """Before and after uvicorn minds signals: it raises them again when it has ended.

    There is nothing left to stop then, and the exit code is to be 0.
    """

    def stop(number: int, frame: Any) -> None:
        server.should_exit = True

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {one: signal.signal(one, stop) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _opener(
    backend: str, device: str, tile: Mapping[str, Any] | None, *, of_line: bool
) -> Opener:
    """The runtime of packages, which needs no torch.

    Versions of a line look as in its exams: in the tiles of their calibration.
    """
    from mmdefect.deploy.runtime import open_package
    from mmdefect.deploy.tiling import TiledBackend, calibrated_tile, spec_in_tiles

    def open_model(folder: Path) -> Backend:
        opened = open_package(folder, backend=backend, device=device)
        cut = calibrated_tile(opened.spec) if of_line else tile
        if cut is not None:
            return TiledBackend(opened, **cut)
        opened.spec = spec_in_tiles(opened.spec, None)
        return opened

    return open_model


def _complain(error: Exception | str, code: int) -> int:
    said = error if isinstance(error, str) else sentence_of(error)
    print(said, file=sys.stderr, flush=True)
    return code
