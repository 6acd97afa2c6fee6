"""Tests of mmdefect.utils.setup_env."""

from __future__ import annotations

import sys
from collections import OrderedDict

import pytest
from mmengine.registry import MODELS, TASK_UTILS, DefaultScope

from mmdefect import compat, registry
from mmdefect.utils import register_all_modules


@pytest.fixture(autouse=True)
def _no_default_scope(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DefaultScope, '_instance_dict', OrderedDict())


def test_smoke() -> None:
    register_all_modules()
    assert set(registry.MODELS.modules.values()) <= set(sys.modules)
    assert set(registry.TASK_UTILS.modules.values()) <= set(sys.modules)
    current = DefaultScope.get_current_instance()
    assert current is not None
    assert current.scope_name == 'mmdet'
    # mmdet's own defaults carry no prefix: the reason for the host's scope.
    overlaps = TASK_UTILS.build({'type': 'BboxOverlaps2D'})
    assert type(overlaps).__module__.startswith('mmdet.')
    assert MODELS.get('mmdefect.GFLHead').__module__.startswith('mmdefect.')


def test_feature_scope_is_left_alone() -> None:
    register_all_modules(init_default_scope=False)
    assert DefaultScope.get_current_instance() is None


def test_feature_scope_replaces_another() -> None:
    DefaultScope.get_instance('other', scope_name='mmpretrain')
    register_all_modules()
    current = DefaultScope.get_current_instance()
    assert current is not None
    assert current.scope_name == 'mmdet'


def test_exception_no_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, 'installed_distributions', dict)
    with pytest.raises(ImportError, match='no OpenMMLab build is installed'):
        register_all_modules()
