"""What comes with mmdefect: read from its configs, their READMEs and the results."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parents[1]
#: What a result is told by, in this order; numbers of the first group are shares.
SHARES = (
    *('old', 'new', 'all', 'ACC_image', 'forgetting_image', 'ACC_pixel'),
    'balanced_accuracy_mean',
)
COUNTS = ('errors', 'miss', 'false_alarm', 'images')
_USE = re.compile(r'\*\*Use it\*\*\s+(.*?)(?:[.:](?:\s|$)|\n\n)', re.DOTALL)
_LINK = re.compile(r'\[([^]]*)\]\([^)]*\)')


def root_of(package: Path = PACKAGE) -> Path:
    """Folder of ``configs``: of the checkout, or in the installed package.

    Raises:
        FileNotFoundError: There is none.
    """
    for root in (package.parent, package / '.mim'):
        if (root / 'configs').is_dir():
            return root
    raise FileNotFoundError(
        f'{package / ".mim" / "configs"} does not exist: expected the configs that '
        'come with mmdefect; install it again'
    )


def presets(root: Path) -> dict[str, list[str]]:
    """Names of the presets of each folder of configs."""
    folders = sorted(path for path in (root / 'configs').iterdir() if path.is_dir())
    found = {
        folder.name: sorted(path.stem for path in folder.glob('*.py'))
        for folder in folders
        if not folder.name.startswith('_')
    }
    return {name: names for name, names in found.items() if names}


def methods(root: Path) -> list[dict[str, Any]]:
    """Folder, title, when to use it, and how many presets, of each method."""
    found = []
    for name, names in presets(root).items():
        title, use = _readme(root / 'configs' / name / 'README.md')
        entry = dict(name=name, title=title, use=use, presets=len(names))
        found.append(entry)
    return found


def _readme(path: Path) -> tuple[str, str]:
    text = path.read_text(encoding='utf-8') if path.is_file() else ''
    title = text.partition('\n')[0].removeprefix('# ').strip()
    use = _USE.search(text)
    return title, ' '.join(_LINK.sub(r'\1', use[1]).split()) if use else ''


def datasets(root: Path) -> list[dict[str, Any]]:
    """Name, description and folder of each data set that has a config."""
    found = []
    for path in sorted((root / 'configs/_base_/datasets').glob('*.py')):
        text = path.read_text(encoding='utf-8')
        folder = re.search(r"^data_root = '([^']+)'", text, re.MULTILINE)
        if folder and folder[1] != 'data/':
            comment = re.match(r'# (.*?\.)(?:\s|$)', text.replace('\n# ', ' '))
            about = re.sub(r' \([^)]*\.md\)', '', comment[1]) if comment else ''
            found.append(dict(name=path.stem, about=about, folder=folder[1]))
    return found


def results(root: Path) -> list[dict[str, Any]]:
    """Measured results: of a checkout all, of an installed package the published.

    Returns:
        Each with name, dataset, date, commit and rows: name -> measure -> number.
    """
    files = sorted((root / 'docs/results').glob('*.json'))
    found = [*filter(None, map(_result, files))]
    return found or [*_published(root)]


def _result(path: Path) -> dict[str, Any] | None:
    from mmdefect.utils.text_files import read_json

    content = read_json(path, 'result')
    rows: dict[str, dict[str, float]] = {}
    for key, value in content.get('metrics', {}).items():
        row, _, measure = key.rpartition('/')
        if row and row.count('/') < 3 and measure in (*SHARES, *COUNTS):
            rows.setdefault(row, {})[measure] = value
    told = {row: found for row, found in rows.items() if _tells(found)}
    if not told:
        return None
    keys = ('name', 'dataset', 'date', 'commit')
    return {**{key: content.get(key) for key in keys}, 'rows': told}


def _tells(row: dict[str, float]) -> bool:
    """Whether there is more than the number of images, or one of many parts."""
    return bool(row.keys() - {'images'})


def _published(root: Path) -> Iterator[dict[str, Any]]:
    try:
        import yaml
    except ImportError:  # where only packages run
        return
    for path in sorted((root / 'configs').glob('*/metafile.yml')):
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
        for model in content.get('Models') or ():
            for result in model.get('Results') or ():
                yield dict(
                    name=model['Name'],
                    dataset=result.get('Dataset'),
                    date=None,
                    commit=None,
                    rows={model['Name']: result.get('Metrics', {})},
                )
