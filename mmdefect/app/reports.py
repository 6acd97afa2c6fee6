"""Pages that were written before: of promotions, and of the streams behind a model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from html import escape
from pathlib import Path
from urllib.parse import quote

from mmdefect.app.desk import Desk

#: Address of a report: behind it its name.
BELOW = '/report/'
#: As many folders above a checkpoint a stream's report is looked for.
_UP = 4


def reports(desk: Desk) -> dict[str, Path]:
    """Reports by name, those of promotions first, the newest of them on top."""
    found = {}
    if desk.line is not None:
        pages = sorted(desk.line.reports_dir.glob('*/index.html'), reverse=True)
        found = {f'promotion {_told(page.parent.name)}': page for page in pages}
    if desk.current() is not None:
        found |= {f'stream {page.parent.parent.name}': page for page in _streams(desk)}
    return found


def links(desk: Desk) -> str:
    """All reports as a list of links, in HTML; empty without any."""
    items = ''.join(
        f'<li><a href="{BELOW}{quote(name)}" target="_blank">{escape(name)}</a></li>'
        for name in reports(desk)
    )
    return f'<ul>{items}</ul>' if items else ''


def _told(folder: str) -> str:
    """A promotion's folder is called by its time, its package and digits of that."""
    found = re.fullmatch(r'(\d{8}T\d{6})\d*-(.*)-[0-9a-f]{8}', folder)
    if found is None:
        return folder
    time = datetime.strptime(found[1], '%Y%m%dT%H%M%S')
    return f'{time:%Y-%m-%d %H:%M:%S} {found[2]}'


def _streams(desk: Desk) -> Iterator[Path]:
    """Reports of the stream that the version in use was learned in, near its files."""
    about = desk.model().spec.about
    given = [
        Path(str(about[key])) for key in ('checkpoint', 'config') if about.get(key)
    ]
    if desk.line is None:
        given.insert(0, desk.path / 'checkpoint')
    for path in given:
        for folder in [*path.absolute().parents][:_UP]:
            page = folder / 'report' / 'index.html'
            if page.is_file():
                yield page
