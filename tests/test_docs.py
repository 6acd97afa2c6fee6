"""Tables say what their results files say, links lead somewhere, the site builds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.tables.results_table import render_documents, render_text
from tests.helpers.doc_checks import FENCED
from tests.helpers.doc_commands import documents

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / 'docs/results'
LINK = re.compile(r'\]\((?!\w+:)([^)\s#]*)(?:#([^)\s]+))?\)')


def test_smoke() -> None:
    old = render_documents(ROOT, check=True)
    assert old == [], 'run tools/misc/render_results.py'


@pytest.mark.parametrize(
    'path',
    [p for p in sorted(RESULTS.glob('*.json')) if p.stem != 'paper'],
)
def test_feature_every_result_is_shown(path) -> None:
    """A measured table that no document renders would be lost."""
    if not any(
        key.endswith('/all')
        for key in json.loads(path.read_text(encoding='utf-8'))['metrics']
    ):
        pytest.skip('not a table of presets')
    pages = [ROOT / 'README.md', *(ROOT / 'docs').rglob('*.md')]
    assert any(
        f'<!-- results:{path.stem} -->' in page.read_text(encoding='utf-8')
        for page in pages
    )


def rendered(rows: str) -> list[str]:
    block = f'<!-- results:neu-det_3+3_cpu_24e{rows} -->\n<!-- /results -->\n'
    return render_text(block, RESULTS).splitlines()


def test_feature_some_rows() -> None:
    """Those named, as in the whole table, in the order given; no row of a paper."""
    some = rendered(' rows:joint,finetune')
    table = [line for line in some if line.startswith('|')]
    assert [line.split('`')[1] for line in table[2:]] == ['joint', 'finetune']
    assert set(table) < set(rendered(''))
    assert '; commands and runs: `docs/results/neu-det_3+3_cpu_24e.json`' in some[-3]


def test_exception_unknown_row() -> None:
    with pytest.raises(ValueError, match=r'rows=jiont: expected a preset of .*, lwf, '):
        rendered(' rows:finetune,jiont')


def anchors(page: Path) -> set[str]:
    """Names of a page's headings, as GitHub and the site make them."""
    text = FENCED.sub('', page.read_text(encoding='utf-8'))
    titles = re.findall(r'^#+ (.*)$', text, re.MULTILINE)
    return {
        re.sub(r'[^\w\- ]', '', t.lower()).strip().replace(' ', '-') for t in titles
    }


def broken(document: str) -> Iterator[str]:
    page = ROOT / document
    for path, anchor in LINK.findall(FENCED.sub('', page.read_text(encoding='utf-8'))):
        target = page.parent / path if path else page
        if not target.exists():
            yield path
        elif anchor and anchor not in anchors(target):
            yield f'{path}#{anchor}'


@pytest.mark.parametrize('document', documents())
def test_feature_links(document: str) -> None:
    assert list(broken(document)) == []


def test_feature_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `make docs`: with warnings for errors, every page in the navigation."""
    commands = pytest.importorskip('mkdocs.commands.build')
    from mkdocs.config import load_config
    from mkdocs.exceptions import Abort

    monkeypatch.setenv('NO_MKDOCS_2_WARNING', '1')
    config = load_config(
        str(ROOT / 'mkdocs.yml'), strict=True, site_dir=str(tmp_path / 'site')
    )
    try:
        commands.build(config)
    except Abort as error:
        pytest.fail(f'{error}: run make docs')
    pages = {page.name for page in (tmp_path / 'site/methods').iterdir()}
    assert {path.parent.name for path in ROOT.glob('configs/*/README.md')} <= pages
    assert (tmp_path / 'site/files/configs/erd').is_dir()
