"""The system's Chromium for tests of pages; playwright downloads none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

NAMES = ('chromium', 'chromium-browser', 'google-chrome')
QUIET = (
    '--no-sandbox',
    '--disable-gpu',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
)


@contextmanager
def chromium() -> Iterator[Any]:
    """A headless browser; the test is skipped where there is none."""
    api = pytest.importorskip('playwright.sync_api')
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f'no browser: none of {", ".join(NAMES)} is installed')
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*QUIET])
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """A page of a browser, and all that it has asked for or complained about."""

    def __init__(self, browser: Any, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.asked: list[str] = []
        self.errors: list[str] = []
        self.page.on('request', lambda request: self.asked.append(request.url))
        self.page.on('console', self._hear)
        self.page.on('pageerror', lambda error: self.errors.append(str(error)))

    def _hear(self, message: Any) -> None:
        if message.type == 'error':
            self.errors.append(message.text)

    def elsewhere(self) -> list[str]:
        """What was asked of other machines."""
        here = ('127.0.0.1', 'localhost', None)
        return [url for url in self.asked if urlsplit(url).hostname not in here]

    def is_wider_than_its_window(self) -> bool:
        """Whether a reader has to scroll sideways."""
        root = 'document.documentElement'
        return bool(self.page.evaluate(f'{root}.scrollWidth > {root}.clientWidth'))
