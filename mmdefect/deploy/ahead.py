"""What is made beside what is done with it, a few at a time: pictures, results."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from queue import Full, Queue
from threading import Event, Thread
from typing import Any, TypeVar

T = TypeVar('T')


def read_ahead(items: Iterator[T], *, size: int) -> Generator[T, None, None]:
    """The same items, made by a thread of their own while the caller computes.

    Closing the generator, or dropping it, ends the thread and closes ``items``.

    Args:
        items: Of any iterator; what it raises is raised here.
        size: How many wait at most.
    """
    queue: Queue[T | BaseException | None] = Queue(size)
    stop = Event()
    arguments = (items, _putter(queue, stop))
    thread = Thread(target=_produce, args=arguments, daemon=True, name='frames')
    thread.start()
    try:
        while (item := queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        # Not for ever: a generator of the caller may be waiting for its next part.
        thread.join(timeout=1)


def _putter(queue: Queue[Any], stop: Event) -> Callable[[Any], bool]:
    """A function that waits for a free place, and says whether there was one."""

    def put(item: Any) -> bool:
        while not stop.is_set():
            with suppress(Full):
                queue.put(item, timeout=0.05)
                return True
        return False

    return put


def _produce(items: Iterator[Any], put: Callable[[Any], bool]) -> None:
    try:
        for item in items:
            if not put(item):
                return
        put(None)
    except BaseException as error:  # whatever it is, it belongs to the caller
        put(error)
    finally:
        close = getattr(items, 'close', None)
        if close is not None:
            close()
