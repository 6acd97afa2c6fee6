"""Connections that would hold the server up: too many, too slow, read by nobody."""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import resource
import socket
import time
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

_LOG = logging.getLogger('mmdefect.serving')
_MOST = 1000  # a connection may hold 64 KiB of a request that is not complete


class Listener(socket.socket):
    """Closes new connections at once when half of the descriptors are in use.

    Without any left asyncio can neither accept nor recover, and logs it thousands of
    times a second.

    Args:
        listener: What it takes over; it is detached.
        most: Descriptors of the whole process; by default half of those that it may
            have, and 1000 at the most.
    """

    def __init__(self, listener: socket.socket, *, most: int | None = None) -> None:
        super().__init__(fileno=listener.detach())
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        half = _MOST if soft == resource.RLIM_INFINITY else soft // 2
        self._most = min(_MOST, half) if most is None else most
        self._said = -math.inf

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection.

        Raises:
            ConnectionAbortedError: There are too many; asyncio then looks again.
        """
        try:
            connection, address = super().accept()
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
        else:
            # A new descriptor is the lowest that is free: so many are in use.
            if connection.fileno() < self._most:
                return connection, address
            connection.close()
        if time.monotonic() > self._said + 1:
            self._said = time.monotonic()
            _LOG.warning('too many connections: new ones are closed')
        raise ConnectionAbortedError


class Protocol(H11Protocol):
    """uvicorn's, which waits for a request only so long once a connection is used.

    Between requests uvicorn's own limit holds until a client sends something.
    """

    seconds = 10.0
    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """End to wait if a request has begun with this."""
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._wait()
        else:
            self._stop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._limit is None:
            self._limit = self.loop.call_later(self.seconds, self.transport.abort)

    def _stop(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None


def protocol(seconds: float) -> type[Protocol]:
    """The protocol of a server.

    Args:
        seconds: Until the head of a request is complete.
    """
    return type('Protocol', (Protocol,), {'seconds': seconds})
