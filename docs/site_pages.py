"""Bring pages of the repository that stand outside docs/ into the site.

READMEs stay beside what they describe, where GitHub shows them; here they become pages,
and links to other files of the repository become links to copies of them.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r'(?<=\]\()(?!\w+:|#)([^)\s#]+)')
CODE = re.compile(r'(^ *```.*?^ *```$)', re.MULTILINE | re.DOTALL)
NAMED_LINK = re.compile(r'\[([^\]]+)\]\((?!\w+:|#)([^)\s#]+)\)')


def pages_outside() -> dict[str, str]:
    """Return path in the repository -> path in the site."""
    methods = sorted(ROOT.glob('configs/*/README.md'))
    return {
        'README.md': 'first_page.md',
        'CONTRIBUTING.md': 'contributing.md',
        'SECURITY.md': 'security.md',
        'data/README.md': 'reference/data.md',
        **{
            path.relative_to(ROOT).as_posix(): f'methods/{path.parent.name}.md'
            for path in methods
        },
    }


OUTSIDE = pages_outside()
SOURCES = {target: source for source, target in OUTSIDE.items()}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages, and every file that a page links to."""
    for source, target in OUTSIDE.items():
        text = (ROOT / source).read_text(encoding='utf-8')
        files.append(File.generated(config, target, content=text))
    linked = set()
    for file in files.documentation_pages():
        source = source_of(file.src_uri)
        text = (ROOT / source).read_text(encoding='utf-8')
        for part in CODE.split(text)[::2]:
            linked |= {repository_path(source, m[1]) for m in LINK.finditer(part)}
    for path in sorted(linked):
        if in_site(path).startswith('files/') and (ROOT / path).is_file():
            copy = File.generated(config, in_site(path), abs_src_path=str(ROOT / path))
            files.append(copy)
    return files


def on_page_markdown(
    markdown: str, *, page: Page, config: MkDocsConfig, files: Files
) -> str:
    """Point the links of a page to where the site has what they name."""
    here = page.file.src_uri
    source = source_of(here)

    def moved(match: re.Match[str]) -> str:
        target = in_site(repository_path(source, match[1]))
        return posixpath.relpath(target, posixpath.dirname(here) or '.')

    def folder_as_text(match: re.Match[str]) -> str:
        is_folder = (ROOT / repository_path(source, match[2])).is_dir()
        return match[1] if is_folder else match[0]

    parts = CODE.split(markdown)
    for number in range(0, len(parts), 2):
        text = NAMED_LINK.sub(folder_as_text, parts[number])
        parts[number] = LINK.sub(moved, text)
    return ''.join(parts)


def source_of(page: str) -> str:
    """Return the path in the repository of a page of the site."""
    return SOURCES.get(page, f'docs/{page}')


def repository_path(source: str, link: str) -> str:
    """Return the path in the repository that a link on a page names."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def in_site(path: str) -> str:
    """Return where the site has a file of the repository."""
    if path in OUTSIDE:
        return OUTSIDE[path]
    return path.removeprefix('docs/') if path.startswith('docs/') else f'files/{path}'
