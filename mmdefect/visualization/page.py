"""A page of text, tables and pictures, as self-contained HTML and as Markdown."""

from __future__ import annotations

import base64
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from math import isnan
from pathlib import Path

from mmdefect.utils.files import write_text
from mmdefect.version import __version__

# A scroll box shows that there is more: a shadow at the side that is cut, covered by
# paper at the end of the way, and a scroll bar that does not hide.
STYLE = """
:root { --ink: #22303c; --soft: #5d6b78; --line: #d9dfe5; --accent: #3b6fb6;
  --paper: white; --ground: #f3f5f7; --bar: #b4bec8; --shadow: #0004; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif;
  overflow-wrap: break-word; }
main { max-width: 1080px; margin: 0 auto; padding: 40px 24px 56px; }
header { border-left: 5px solid var(--accent); padding-left: 20px; }
header .name { margin: 0; color: var(--soft); font-size: 14px; }
h1 { margin: 4px 0 8px; font-size: 30px; line-height: 1.25; font-weight: 650;
  text-wrap: balance; }
header p.lead { margin: 0; color: var(--soft); font-size: 18px; }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 8px;
  margin-top: 24px; padding: 20px 24px 24px; }
h2 { margin: 0 0 6px; font-size: 18px; }
summary h2 { display: inline; }
p.text { margin: 0 0 14px; color: var(--soft); font-size: 14px; max-width: 92ch; }
.scroll { overflow-x: auto; background:
  linear-gradient(90deg, var(--paper) 40%, transparent) 0 0 / 48px 100% no-repeat local,
  linear-gradient(270deg, var(--paper) 40%, transparent)
    100% 0 / 48px 100% no-repeat local,
  linear-gradient(90deg, var(--shadow), transparent) 0 0 / 16px 100% no-repeat scroll,
  linear-gradient(270deg, var(--shadow), transparent)
    100% 0 / 16px 100% no-repeat scroll var(--paper); }
.scroll::-webkit-scrollbar { height: 8px; }
.scroll::-webkit-scrollbar-thumb { background: var(--bar); border-radius: 4px; }
table { border-collapse: collapse; width: 100%; font-size: 15px;
  font-variant-numeric: tabular-nums; }
th { text-align: left; vertical-align: bottom; color: var(--soft); font-size: 13px;
  font-weight: 600; }
th, td { padding: 8px 11px 8px 0; border-bottom: 1px solid var(--line);
  max-width: 44ch; }
th:first-child, td:first-child { position: sticky; left: 0; max-width: 34ch;
  background: var(--paper); }
tr:last-child td { border-bottom: 0; }
.number { text-align: right; }
td.number { white-space: nowrap; }
td + td:not(.number) { min-width: 12ch; }
table + .pictures, .scroll + .pictures { margin-top: 14px; }
.pictures { display: flex; flex-wrap: wrap; gap: 20px 28px; align-items: flex-start; }
figure { margin: 0; max-width: 100%; overflow-x: auto; }
figure img { display: block; max-width: 100%; height: auto; }
.row .pictures { gap: 6px; }
figcaption { color: var(--soft); font-size: 12px; overflow-wrap: anywhere; }
section.missing { --paper: #fff8ec; border-color: #edd5a8; }
section.missing ul { margin: 0; padding-left: 20px; font-size: 14px; }
footer { --paper: var(--ground); margin-top: 32px; color: var(--soft);
  font-size: 12px; }
footer table, footer th { font-size: 12px; }
@media (max-width: 600px) {
  main { padding: 20px 10px; }
  td { max-width: 60vw; }
  section { padding: 14px; }
  h1 { font-size: 24px; }
  th:first-child, td:first-child { max-width: 36vw; }
  .row .pictures figure { width: calc(50% - 3px); }
}
@media screen and (prefers-color-scheme: dark) {
  :root { color-scheme: dark; --ink: #dfe5eb; --soft: #9fadba; --line: #33404c;
    --accent: #6d9fe0; --paper: #1b232b; --ground: #12181e; --bar: #4c5a67;
    --shadow: #000a; }
  figure img { background: white; }
  section.missing { --paper: #2c2414; border-color: #5d4b22; }
}
@media print { body { background: white; } section { break-inside: avoid; } }
"""


@dataclass(frozen=True)
class Table:
    """A header and rows of text; columns named in ``numbers`` align right."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[str] = ()


@dataclass(frozen=True)
class Picture:
    """A PNG or JPEG.

    Attributes:
        path: The file.
        alt: What it shows, for readers who cannot see it.
        width: Width on the page in pixels.
        caption: Small text below.
        shrinks: Whether it may be smaller where there is no room, as it holds no text
            that has to be read.
    """

    path: Path
    alt: str
    width: int
    caption: str = ''
    shrinks: bool = False


@dataclass(frozen=True)
class Row:
    """Pictures of one thing: they stay together, and wrap on a narrow screen."""

    pictures: Sequence[Picture]
    caption: str


@dataclass(frozen=True)
class Section:
    """A heading with a sentence, then a table, then pictures side by side.

    One that is ``folded`` shows its heading until a reader opens it.
    """

    title: str
    text: str = ''
    table: Table | None = None
    pictures: Sequence[Picture | Row] = ()
    folded: bool = False


@dataclass(frozen=True)
class Page:
    """All of a page.

    Attributes:
        name: What the page is about, in small print above the headline.
        headline: The finding, one sentence in plain words.
        lead: What else a hurried reader should know.
        missing: What could not be shown, one sentence each.
        sections: The body.
        footer: Where the numbers come from.
        footer_text: One line below it.
    """

    name: str
    headline: str
    lead: str = ''
    missing: Sequence[str] = ()
    sections: Sequence[Section] = field(default_factory=list)
    footer: Table | None = None
    footer_text: str = ''


def _table_html(table: Table) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        marks = [
            ' class="number"' if name in table.numbers else '' for name in table.header
        ]
        return ''.join(
            f'<{tag}{mark}>{escape(cell)}</{tag}>'
            for cell, mark in zip(cells, marks, strict=True)
        )

    body = '\n'.join(f'<tr>{row(cells, "td")}</tr>' for cells in table.rows)
    return (
        f'<div class="scroll"><table>\n<thead><tr>{row(table.header, "th")}</tr>'
        f'</thead>\n<tbody>\n{body}\n</tbody></table></div>'
    )


def _picture_html(picture: Picture | Row) -> str:
    text = escape(picture.caption)
    caption = f'<figcaption>{text}</figcaption>' if text else ''
    if isinstance(picture, Row):
        pictures = '\n'.join(map(_picture_html, picture.pictures))
        inner = f'<div class="pictures">\n{pictures}\n</div>'
        return f'<figure class="row">{inner}{caption}</figure>'
    data = base64.b64encode(picture.path.read_bytes()).decode()
    kind = 'jpeg' if picture.path.suffix == '.jpg' else 'png'
    # Text in a picture that is shrunk further cannot be read; it scrolls instead.
    least = f'style="min-width: {7 * picture.width // 10}px" '
    least = '' if picture.shrinks else least
    return (
        f'<figure><img alt="{escape(picture.alt)}" width="{picture.width}" {least}'
        f'src="data:image/{kind};base64,{data}">{caption}</figure>'
    )


def _section_html(section: Section) -> str:
    title = f'<h2>{escape(section.title)}</h2>'
    if section.folded:
        title = f'<details>\n<summary>{title}</summary>'
    parts = [f'<section>\n{title}']
    if section.text:
        parts.append(f'<p class="text">{escape(section.text)}</p>')
    if section.table is not None:
        parts.append(_table_html(section.table))
    if section.pictures:
        pictures = '\n'.join(map(_picture_html, section.pictures))
        parts.append(f'<div class="pictures">\n{pictures}\n</div>')
    return '\n'.join([*parts, '</details>' * section.folded, '</section>'])


def to_html(page: Page) -> str:
    """Return one HTML file with everything inside: no links, no scripts."""
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<title>{escape(page.name)}</title>\n<style>{STYLE}</style>\n</head>',
        f'<body>\n<main>\n<header>\n<p class="name">{escape(page.name)}</p>',
        f'<h1>{escape(page.headline)}</h1>',
        f'<p class="lead">{escape(page.lead)}</p>\n</header>',
    ]
    if page.missing:
        items = '\n'.join(f'<li>{escape(entry)}</li>' for entry in page.missing)
        parts.append(
            '<section class="missing">\n<h2>Not on this page</h2>\n'
            f'<ul>\n{items}\n</ul>\n</section>'
        )
    parts += map(_section_html, page.sections)
    parts.append('<footer>')
    if page.footer is not None:
        parts.append(_table_html(page.footer))
    parts.append(f'<p>{escape(page.footer_text)}</p>\n</footer>')
    return '\n'.join([*parts, '</main>\n</body>\n</html>\n'])


def markdown_table(table: Table) -> str:
    """Return the table in Markdown; names cannot break it or bring HTML."""
    align = ['---:' if name in table.numbers else '---' for name in table.header]
    rows = [[_literal(cell) for cell in row] for row in (table.header, *table.rows)]
    return '\n'.join(f'| {" | ".join(line)} |' for line in (rows[0], align, *rows[1:]))


def text_table(table: Table) -> str:
    """Return the table for a terminal or a log."""
    from terminaltables import AsciiTable  # comes with OpenMMLab

    drawn = AsciiTable([table.header, *table.rows])
    for column, name in enumerate(table.header):
        drawn.justify_columns[column] = 'right' if name in table.numbers else 'left'
    return str(drawn.table)


def _literal(text: str) -> str:
    """Return text that Markdown shows as it is, in one line."""
    return re.sub(r'([<|\[\]])', r'\\\1', ' '.join(text.split()))


def to_markdown(page: Page, folder: Path) -> str:
    """Return the same page in Markdown, its pictures relative to ``folder``."""
    parts = [f'# {_literal(page.name)}', f'**{_literal(page.headline)}**']
    if page.lead:
        parts.append(_literal(page.lead))
    if page.missing:
        items = '\n'.join(f'- {_literal(entry)}' for entry in page.missing)
        parts.append(f'## Not on this page\n\n{items}')
    for section in page.sections:
        parts.append(f'## {_literal(section.title)}')
        if section.text:
            parts.append(_literal(section.text))
        if section.table is not None:
            parts.append(markdown_table(section.table))
        for entry in section.pictures:
            for picture in entry.pictures if isinstance(entry, Row) else [entry]:
                path = picture.path.relative_to(folder).as_posix()
                parts.append(f'![{_literal(picture.alt)}]({path})')
    if page.footer is not None:
        parts.append(f'## Where this comes from\n\n{markdown_table(page.footer)}')
    if page.footer_text:
        parts.append(_literal(page.footer_text))
    return '\n\n'.join(parts) + '\n'


def footer_text(source: str) -> str:
    """Return the line that says who wrote a page, when, from what."""
    now = datetime.now().astimezone().strftime('%Y-%m-%d %H:%M %Z')
    return (
        f'Written {now} by mmdefect {__version__} on Python '
        f'{platform.python_version()} from {source}.'
    )


def write_page(page: Page, folder: Path, *, markdown: str = 'report.md') -> Path:
    """Write ``index.html`` and the Markdown file into a folder.

    Args:
        page: What to write; its pictures lie in ``folder``.
        folder: Where to; it is made.
        markdown: Name of the Markdown file.

    Returns:
        Path of the HTML file.
    """
    write_text(folder / markdown, to_markdown(page, folder))
    path = folder / 'index.html'
    write_text(path, to_html(page))
    return path


# Others are read as they are spelled.
_WORDS = {
    'own_AP50': 'AP50 on own images',
    'image_auroc': 'image AUROC',
    'pixel_auroc': 'pixel AUROC',
    'image_ap': 'image AP',
    'pixel_ap': 'pixel AP',
    'image_f1max': 'image F1-max',
    'pixel_f1max': 'pixel F1-max',
    'aupro': 'AUPRO',
    'false_alarm': 'false alarms',
    'miss': 'misses',
}


def in_words(metric: str) -> str:
    """Return the name of a metric as a reader would write it."""
    return _WORDS.get(metric, metric.replace('_', ' '))


def percent(value: float | None, digits: int = 1) -> str:
    """Return a fraction as text, an en dash where there is none."""
    if value is None or isnan(value):
        return '–'
    return f'{100 * value:.{digits}f} %'
