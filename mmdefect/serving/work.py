"""A bounded number of threads, for a bounded number of requests."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

from mmdefect.serving.refusal import Refused

T = TypeVar('T')
_RETRY = '1'  # seconds; most images take less


class Work:
    """Threads that look at images, and the requests that may wait for them.

    Args:
        concurrency: Number of threads.
        queue: Requests that may wait beside one a thread.
    """

    def __init__(self, *, concurrency: int, queue: int) -> None:
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix='look')
        self._lock = threading.Lock()
        self._places = self._free = concurrency + queue
        self._waiting = 0
        self._concurrency = concurrency
        self._began: dict[int, float] = {}  # of the jobs that run

    @property
    def waiting(self) -> int:
        """Images that no thread has begun with."""
        return self._waiting

    @property
    def taken(self) -> int:
        """Requests that are read, wait or are computed."""
        return self._places - self._free

    def is_stuck(self, seconds: float) -> bool:
        """Whether every thread has been at one job for longer than this."""
        with self._lock:
            late = [time.monotonic() - at > seconds for at in self._began.values()]
        return sum(late) >= self._concurrency

    def enter(self) -> Place:
        """Take one of the places.

        Raises:
            Refused: All are taken.
        """
        with self._lock:
            if not self._free:
                raise Refused(
                    503,
                    'busy',
                    f'{self._places} requests are being served: try again in {_RETRY} '
                    's, or start the server with a larger queue',
                    headers={'Retry-After': _RETRY},
                )
            self._free -= 1
        return Place(self)

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def leave(self) -> None:
        """Give a place back."""
        with self._lock:
            self._free += 1

    def start(self, job: Callable[[], T]) -> Future[T]:
        """Have a thread do something."""

        def begin() -> T:
            number = threading.get_ident()
            with self._lock:
                self._waiting -= 1
                self._began[number] = time.monotonic()
            try:
                return job()
            finally:
                with self._lock:
                    del self._began[number]

        def skipped(future: Future[T]) -> None:
            if future.cancelled():
                self._count(-1)

        self._count(1)
        future = self._pool.submit(begin)
        future.add_done_callback(skipped)
        return future

    def _count(self, by: int) -> None:
        with self._lock:
            self._waiting += by


class Place:
    """The place of one request: free when it is answered and all its jobs have ended.

    A job that runs when its request is out of time cannot be stopped: its thread is
    busy, so the place stays taken.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._holders = 1

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._drop()

    def submit(self, job: Callable[[], T]) -> asyncio.Future[T]:
        """Have a thread do something for the request; cancelled if not begun."""
        with self._lock:
            self._holders += 1
        future = self._work.start(job)
        future.add_done_callback(lambda _: self._drop())
        return asyncio.wrap_future(future)

    def _drop(self) -> None:
        with self._lock:
            self._holders -= 1
            last = not self._holders
        if last:
            self._work.leave()
