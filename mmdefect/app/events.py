"""How the page's functions are called, and how it says what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from inspect import isgeneratorfunction
from typing import Any

import gradio as gr

#: One picture at a time through a model, whoever asks.
MODEL: dict[str, Any] = {'concurrency_id': 'model', 'api_visibility': 'private'}
#: What must neither wait for a model nor flicker: the slider.
QUICK: dict[str, Any] = {
    'queue': False,
    'show_progress': 'hidden',
    'api_visibility': 'private',
}


def told(function: Callable[..., Any]) -> Callable[..., Any]:
    """Show errors that a user can do something about as their sentence."""
    if isgeneratorfunction(function):

        @wraps(function)
        def each(*given: Any) -> Iterator[Any]:
            with _in_the_page():
                yield from function(*given)

        return each

    @wraps(function)
    def once(*given: Any) -> Any:
        with _in_the_page():
            return function(*given)

    return once


@contextmanager
def _in_the_page() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        raise gr.Error(str(error), duration=None, print_exception=False) from error
