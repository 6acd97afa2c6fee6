"""Tests of what installs: setup.py, requirements, constraints, the model index.

Slow is what is installed and trained.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import mmdefect
from tests.conftest import toy_options

ROOT = Path(__file__).parents[1]
SOURCES = ('mmdefect', 'lab', 'tools', 'configs', 'requirements')
LAB = re.compile(r'^(from|import) lab\b', re.MULTILINE)
CODE = """
import sys
from setuptools import build_meta
name = build_meta.{hook}(sys.argv[1])
heavy = {{'torch', 'numpy', 'mmengine', 'mmdefect'}} & set(sys.modules)
print()
print(name, sorted(heavy))
"""


@pytest.fixture(scope='module')
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of what a build reads, so that it leaves nothing in the tree."""
    clone = tmp_path_factory.mktemp('packaging') / 'clone'
    ignored = shutil.ignore_patterns('__pycache__', '.mim')
    for name in SOURCES:
        shutil.copytree(ROOT / name, clone / name, ignore=ignored)
    for file in ROOT.iterdir():
        if file.is_file():
            shutil.copyfile(file, clone / file.name)
    return clone


def _build(hook: str, clone: Path, target: Path) -> Path:
    target.mkdir()
    result = subprocess.run(
        [sys.executable, '-c', CODE.format(hook=hook), str(target)],
        cwd=clone,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    name, _, heavy = result.stdout.splitlines()[-1].partition(' ')
    assert heavy == '[]'
    return target / name


def _requirements(name: str) -> list[Requirement]:
    lines = (
        (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines()
    )
    bare = (line.partition('#')[0].strip() for line in lines)
    return [Requirement(line) for line in bare if line]


def _pins() -> dict[str, Requirement]:
    lines = (ROOT / 'constraints.txt').read_text(encoding='utf-8').splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith('#')]
    return {canonicalize_name(pin.name): pin for pin in pins}


@pytest.fixture(scope='module')
def wheel(clone: Path) -> Path:
    """Return a wheel that is built from the source distribution, as an index's is."""
    folder = clone.parent
    archive = _build('build_sdist', clone, folder / 'sdist')
    shutil.unpack_archive(archive, folder, filter='data')
    unpacked = folder / f'mmdefect-{mmdefect.__version__}'
    return _build('build_wheel', unpacked, folder / 'wheel')


def test_smoke_wheel(wheel: Path) -> None:
    """It holds all code and data, and the configs and tools below `.mim`."""
    assert wheel.name == f'mmdefect-{mmdefect.__version__}-py3-none-any.whl'
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {
        str(path.relative_to(ROOT))
        for path in (ROOT / 'mmdefect').rglob('*.py')
        if '.mim' not in path.parts
    }
    assert modules <= names
    assert 'mmdefect/py.typed' in names
    assert {'mmdefect/app/style.css', 'mmdefect/app/keys.js'} <= names
    assert 'mmdefect/datasets/splits/neu_det_train.txt' in names
    assert 'mmdefect/datasets/splits/casting_cluster_level.csv' in names
    assert 'mmdefect/.mim/tools/dist_train.sh' in names
    configs = {str(path.relative_to(ROOT)) for path in ROOT.glob('configs/**/*.py')}
    assert {f'mmdefect/.mim/{name}' for name in configs} <= names
    # The laboratory stays at home, and so do the tools that need it.
    assert {name.partition('/')[0] for name in names} == {
        'mmdefect',
        f'mmdefect-{mmdefect.__version__}.dist-info',
    }
    tools = set((ROOT / 'tools').rglob('*.py'))
    need_lab = {path for path in tools if LAB.search(path.read_text(encoding='utf-8'))}
    assert len(need_lab) >= 5
    assert {f'mmdefect/.mim/{path.relative_to(ROOT)}' for path in tools - need_lab} == {
        name for name in names if re.match(r'mmdefect/\.mim/tools/.*\.py$', name)
    }
    metadata = zipfile.ZipFile(wheel).read(
        f'mmdefect-{mmdefect.__version__}.dist-info/METADATA'
    )
    required = [
        line
        for line in metadata.decode().splitlines()
        if line.startswith('Requires-Dist') and 'extra ==' not in line
    ]
    # Which OpenMMLab build to use is the user's choice; what only runs exported models
    # needs neither it nor torch.
    assert not any('mm' in line or 'torch' in line for line in required)
    scripts = zipfile.ZipFile(wheel).read(
        f'mmdefect-{mmdefect.__version__}.dist-info/entry_points.txt'
    )
    assert 'mmdefect = mmdefect.cli.main:main' in scripts.decode().splitlines()


def test_feature_extras(wheel: Path) -> None:
    """Each holds something; of `edge` nothing brings torch or a second OpenCV."""
    found = _extras(wheel)
    extras = {'app', 'bench', 'coco', 'deploy', 'docs', 'edge', 'line', 'openvino'}
    extras |= {'prune', 'publish', 'report', 'saliency', 'serve', 'supervision'}
    extras |= {'tests', 'torch'}
    assert found.keys() == extras | {'all', 'onedl', 'openmmlab'}
    assert all(found.values())
    assert found['edge'] == {'onnxruntime', 'opencv-python-headless'}
    assert found['bench'] == {'scikit-learn'}
    assert found['line'] == {'scipy'}
    for provider in ('onedl', 'openmmlab'):
        assert {'torch', 'torchvision'} < found[provider]
    others = set().union(*(found[name] for name in (extras | {'onedl'}) - {'edge'}))
    assert found['all'] == others
    assert 'opencv-python-headless' not in others


def _extras(wheel: Path) -> dict[str, set[str]]:
    """Names of the packages that each extra asks for."""
    metadata = zipfile.ZipFile(wheel).read(
        f'mmdefect-{mmdefect.__version__}.dist-info/METADATA'
    )
    found: dict[str, set[str]] = {}
    for line in metadata.decode().splitlines():
        key, _, value = line.partition(': ')
        if key == 'Provides-Extra':
            found[value] = set()
        elif key == 'Requires-Dist' and 'extra ==' in value:
            requirement, _, extra = value.partition('; extra == ')
            found[extra.strip('"')].add(
                canonicalize_name(Requirement(requirement).name)
            )
    return found


def test_smoke_editable(clone: Path, tmp_path: Path) -> None:
    """PEP 660 works, and links `.mim` to the files one edits."""
    _build('build_editable', clone, tmp_path / 'editable')
    mim = clone / 'mmdefect' / '.mim'
    assert (mim / 'configs').readlink() == Path('../../configs')
    assert (mim / 'tools' / 'train.py').read_text(encoding='utf-8') == (
        ROOT / 'tools' / 'train.py'
    ).read_text(encoding='utf-8')
    # Once more: links are renewed, not followed and emptied.
    _build('build_editable', clone, tmp_path / 'again')
    assert (clone / 'tools' / 'train.py').is_file()


def test_feature_every_requirement_is_pinned() -> None:
    """And by a version that the requirement allows."""
    pins = _pins()
    for path in sorted((ROOT / 'requirements').glob('*.txt')):
        for requirement in _requirements(path.stem):
            pin = pins[canonicalize_name(requirement.name)]
            pinned = str(pin.specifier).removeprefix('==')
            assert requirement.specifier.contains(pinned), requirement


def test_feature_both_opencv_are_one() -> None:
    """Two distributions install the module cv2, the later over the earlier."""
    pins = _pins()
    one, other = pins['opencv-python'], pins['opencv-python-headless']
    assert one.specifier == other.specifier


def test_feature_cure_names_the_pinned_mmcv() -> None:
    from mmdefect.mmcv_ext_standin import BUILD_COMMAND

    assert BUILD_COMMAND.endswith(f' onedl-mmcv{_pins()["onedl-mmcv"].specifier}')


def test_feature_version_is_one() -> None:
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text(encoding='utf-8'))
    assert citation['version'] == mmdefect.__version__
    assert version('mmdefect') == mmdefect.__version__


def test_feature_model_index() -> None:
    """Every folder of configs has a metafile, and every metafile is listed."""
    folders = {path.parent for path in ROOT.glob('configs/*/*.py')}
    metafiles = {
        f'configs/{folder.name}/metafile.yml'
        for folder in folders
        if folder.name != '_base_'
    }
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text(encoding='utf-8'))
    assert set(index['Import']) == metafiles
    assert [name for name in sorted(metafiles) if not (ROOT / name).is_file()] == []


def test_feature_cross_library_base(tmp_path: Path) -> None:
    """`mmdefect::` bases resolve from anywhere, through `.mim`."""
    (tmp_path / 'mine.py').write_text(
        "_base_ = 'mmdefect::_base_/default_runtime.py'\nmine = 1\n", encoding='utf-8'
    )
    found = Config.fromfile(tmp_path / 'mine.py')
    expected = Config.fromfile(ROOT / 'configs/_base_/default_runtime.py')
    assert found.visualizer.pop('_scope_') == 'mmdefect'  # MMEngine's mark
    assert found.visualizer == expected.visualizer
    assert found.default_scope == expected.default_scope == 'mmdet'
    assert found.keys() == expected.keys() | {'mine'}


def _locked() -> dict[str, tuple[str, list[str]]]:
    """Version and hashes of every package of the locked set."""
    text = (ROOT / 'requirements-locked.txt').read_text(encoding='utf-8')
    lines = [line for line in text.splitlines() if not line.startswith('#')]
    found = {}
    for entry in '\n'.join(lines).replace('\\\n', ' ').splitlines():
        pin, *hashes = entry.split()
        name, _, version_ = pin.partition('==')
        found[canonicalize_name(name)] = (version_, hashes)
    return found


def test_feature_the_locked_set_is_the_pinned_one() -> None:
    """All but pip itself, which installs it; each with the hash of its files."""
    locked, pins = _locked(), _pins()
    assert {name: f'=={version_}' for name, (version_, _) in locked.items()} == {
        name: str(pin.specifier) for name, pin in pins.items() if name != 'pip'
    }
    for name, (_, hashes) in locked.items():
        assert hashes, name
        assert all(re.fullmatch(r'--hash=sha256:[0-9a-f]{64}', h) for h in hashes), name


def test_feature_every_requirement_is_accounted_for() -> None:
    """Its licence and what it is for."""
    text = (ROOT / 'docs/dependencies.md').read_text(encoding='utf-8')
    rows = re.findall(r'^\| (\S+) \| ([^|]+) \| ([^|]+) \|$', text, re.MULTILINE)
    names = {canonicalize_name(name) for name, *_ in rows[1:] if name != '---'}
    files = sorted((ROOT / 'requirements').glob('*.txt'))
    asked = {
        canonicalize_name(r.name) for path in files for r in _requirements(path.stem)
    }
    assert names == asked


def test_feature_actions_are_pinned_by_commit() -> None:
    for path in (ROOT / '.github/workflows').glob('*.yml'):
        used = re.findall(r'uses: (\S+)', path.read_text(encoding='utf-8'))
        assert used
        assert all(re.fullmatch(r'[\w/-]+@[0-9a-f]{40}', one) for one in used), used


UNPACKS = re.compile(r'\b(extractall|unpack_archive|tarfile|extract_file)\b')


def test_feature_no_archive_is_unpacked() -> None:
    """Then no path in one can lead out; whoever needs it writes one `safe_extract`."""
    for folder in ('mmdefect', 'tools', 'lab'):
        for path in sorted((ROOT / folder).rglob('*.py')):
            if '.mim' not in path.parts:
                found = UNPACKS.search(path.read_text(encoding='utf-8'))
                assert found is None, f'{path}: {found}'


@pytest.fixture(scope='module')
def empty_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment without mmdefect, which has what mmdefect needs from this one."""
    folder = tmp_path_factory.mktemp('empty') / 'venv'
    venv.create(folder)
    (site,) = folder.glob('lib/python3*/site-packages')
    (site / 'outer.pth').write_text(f'{sysconfig.get_path("purelib")}\n')
    return folder


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['whl', 'tar.gz'])
def test_feature_installed_in_an_empty_environment(
    kind: str,
    wheel: Path,
    empty_environment: Path,
    toy_neu_det: Path,
    tmp_path: Path,
) -> None:
    """It examines itself and trains, with configs and tools that it brings along."""
    (archive,) = wheel.parents[1].glob(f'*/mmdefect-*.{kind}')
    python = empty_environment / 'bin/python'
    env = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}
    env |= {'PATH': f'{python.parent}{os.pathsep}{env["PATH"]}', 'OMP_NUM_THREADS': '1'}

    def run(*command: object) -> str:
        done = subprocess.run(
            [*map(str, command)],
            cwd=tmp_path, env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    pip = (sys.executable, '-m', 'pip', '--python', python, 'install', '--no-deps')
    offline = ('--no-index', '--no-build-isolation', '--force-reinstall', '--quiet')
    run(*pip, *offline, archive)
    where = run(python, '-c', 'import mmdefect; print(mmdefect.__file__)').strip()
    package = Path(where).parent
    assert empty_environment in package.parents
    assert mmdefect.__version__ in run(python.parent / 'mmdefect', 'doctor')
    config = package / '.mim/configs/gfl/gfl_r18_fpn_toy_neu-det.py'
    options = {**toy_options(toy_neu_det), 'train_cfg.max_epochs': 1}
    given = [f'{key}={value}' for key, value in options.items()]
    command = (python.parent / 'mmdefect', 'train', config, '--work-dir', 'work')
    run(*command, '--cfg-options', *given)
    assert (tmp_path / 'work/epoch_1.pth').is_file()
