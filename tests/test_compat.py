"""Tests of mmdefect.compat: providers, the stand-in's finder, the cost of importing."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from importlib.metadata import PackageNotFoundError

import pytest

from mmdefect import compat

HEAVY = ('torch', 'mmengine', 'mmcv', 'mmdet', 'mmpretrain')


def _python(code: str) -> str:
    """Run code in a fresh interpreter and return what it printed."""
    result = subprocess.run(
        [sys.executable, '-c', textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def _pretend_installed(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    def version(name: str) -> str:
        if name not in names:
            raise PackageNotFoundError(name)
        return '1.0'

    monkeypatch.setattr(compat, 'version', version)


@pytest.mark.parametrize(
    ('names', 'provider'),
    [
        (('onedl-mmengine', 'onedl-mmcv', 'onedl-mmdetection'), 'onedl'),
        (('mmengine', 'mmcv', 'mmdet', 'mmpretrain'), 'openmmlab'),
        (('mmengine-lite', 'mmcv-lite', 'mmdet'), 'openmmlab'),
    ],
)
def test_smoke(
    monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], provider: str
) -> None:
    _pretend_installed(monkeypatch, *names)
    assert compat.check_provider() == provider


def test_exception_no_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend_installed(monkeypatch)
    with pytest.raises(ImportError) as error:
        compat.check_provider()
    assert str(error.value) == (
        'mmdefect needs mmengine, mmcv and mmdet, and no OpenMMLab build is installed: '
        'run `pip install onedl-mmengine onedl-mmcv onedl-mmdetection '
        'onedl-mmpretrain`'
    )


def test_exception_two_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend_installed(monkeypatch, 'onedl-mmengine', 'onedl-mmcv', 'mmcv')
    with pytest.raises(ImportError) as error:
        compat.check_provider()
    assert str(error.value) == (
        'two OpenMMLab builds are installed over each other (onedl-mmengine, '
        'onedl-mmcv and mmcv): expected one; run `pip uninstall -y onedl-mmengine '
        'onedl-mmcv mmcv`, then `pip install onedl-mmengine onedl-mmcv '
        'onedl-mmdetection onedl-mmpretrain`'
    )


def test_exception_incomplete_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend_installed(monkeypatch, 'onedl-mmengine', 'onedl-mmcv')
    with pytest.raises(
        ImportError, match=r"'onedl' lacks mmdet: run `pip install onedl"
    ):
        compat.check_provider()
    assert compat.check_provider(['mmengine', 'mmcv']) == 'onedl'


def test_feature_import_is_light() -> None:
    """Time of the processor, once in five tries: the machine does other things too."""
    code = f"""
        import sys, time
        start = time.process_time()
        import mmdefect
        seconds = time.process_time() - start
        loaded = [name for name in {HEAVY!r} if name in sys.modules]
        print(seconds, loaded)
    """
    for _ in range(5):
        seconds, loaded = _python(code).split(' ', 1)
        assert loaded == '[]'
        if float(seconds) <= 0.5:
            return
    pytest.fail(f'import mmdefect took {seconds} s')


@pytest.mark.parametrize('first', ['mmdefect', 'mmengine'])
def test_feature_the_scope_comes_with_mmengine(first: str) -> None:
    """Whichever is imported first; its loader stays what it was for everybody else."""
    second = {'mmdefect': 'mmengine', 'mmengine': 'mmdefect'}[first]
    output = _python(f"""
        import sys
        import {first}
        assert 'mmdefect.registry' not in sys.modules
        import {second}
        assert 'mmdefect.registry' in sys.modules
        from mmengine.config.utils import MODULE2PACKAGE
        from mmengine.registry import HOOKS
        assert MODULE2PACKAGE['mmdefect'] == 'mmdefect'
        assert 'EpochSeedHook' in HOOKS.children['mmdefect'].modules
        spec = sys.modules['mmengine.registry'].__spec__
        print(type(spec.loader).__name__, spec.loader.is_package(spec.name))
    """)
    assert output == 'SourceFileLoader True'


def test_feature_looking_for_mmengine_does_not_load_it() -> None:
    output = _python("""
        import sys
        import mmdefect
        from importlib.util import find_spec
        assert find_spec('mmengine') is not None
        assert 'mmengine' not in sys.modules
        finders = [type(one).__name__ for one in sys.meta_path]
        from mmdefect import compat
        compat.install_registry_finder()
        print(finders == [type(one).__name__ for one in sys.meta_path], finders[0])
    """)
    assert output == 'True RegistryFinder'


def test_exception_no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    compat.check_torch()
    monkeypatch.setattr(compat, 'find_spec', lambda name: None)
    with pytest.raises(ImportError, match=r'run `pip install "mmdefect\[onedl\]"`'):
        compat.check_torch()


def test_feature_import_without_mmengine_defers_the_error() -> None:
    """`import mmdefect` must survive, or nobody could be told what to install."""
    message = _python("""
        import importlib.util
        from importlib.metadata import PackageNotFoundError

        found = importlib.util.find_spec
        importlib.util.find_spec = (
            lambda name, *args: None if name == 'mmengine' else found(name, *args)
        )
        import mmdefect
        from mmdefect import compat
        def version(name): raise PackageNotFoundError(name)
        compat.version = version
        try:
            compat.check_provider()
        except ImportError as error:
            print(error)
    """)
    assert 'run `pip install onedl-mmengine' in message


def test_feature_standin_is_served_once_and_only_as_mmcv_ext() -> None:
    output = _python("""
        import sys
        import mmdefect
        from mmdefect import compat
        compat.install_mmcv_ext_finder()
        finders = [f for f in sys.meta_path if isinstance(f, compat.MMCVExtFinder)]
        assert len(finders) == 1 and sys.meta_path[-1] is finders[0]
        assert finders[0].find_spec('mmcv._extra', None) is None
        import importlib.util
        assert importlib.util.find_spec('mmcv_ext_nothing') is None
        print(finders[0].find_spec('mmcv._ext', None).origin)
    """)
    assert output.endswith('mmcv_ext_standin.py')


def test_feature_compiled_ops_win(tmp_path) -> None:
    """A `_ext` found in mmcv's own folder is imported, the stand-in is not asked."""
    (tmp_path / '_ext.py').write_text("compiled = 'yes'\n", encoding='utf-8')
    output = _python(f"""
        import mmdefect, sys, types
        # An empty mmcv whose folder holds an `_ext`: as if mmcv had been compiled.
        mmcv = types.ModuleType('mmcv')
        mmcv.__path__ = [{str(tmp_path)!r}]
        sys.modules['mmcv'] = mmcv
        import mmcv._ext
        print(mmcv._ext.compiled)
    """)
    assert output == 'yes'
