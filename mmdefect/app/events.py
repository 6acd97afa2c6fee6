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

_OF_A_USER = (OSError, ValueError, RuntimeError)


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


def kept(function: Callable[..., Any]) -> Callable[..., Any]:
    """As :func:`told`, but all that is shown stays as it is, and can be corrected.

    For functions after whose error nothing that the page shows is wrong: Gradio covers
    what a function that raises would have filled.
    """

    @wraps(function)
    def once(*given: Any) -> Any:
        try:
            return function(*given)
        except _OF_A_USER as error:
            gr.Warning(str(error), duration=20)
            return gr.skip()

    return once


@contextmanager
def _in_the_page() -> Iterator[None]:
    try:
        yield
    except _OF_A_USER as error:
        raise gr.Error(str(error), duration=None, print_exception=False) from error
