"""The text of a config says what yapf's says, but for where lines end."""

from __future__ import annotations

import ast

import pytest
from mmengine.config import Config
from yapf.yapflib import yapf_api

from mmdefect.apis import load_config
from tests.conftest import REPO
from tests.helpers.quick_layout import lay_out

CONFIG = REPO / 'configs/erd/erd_r18_fpn_toy_neu-det_3+3.py'


def test_feature_the_same_names_and_values(monkeypatch: pytest.MonkeyPatch) -> None:
    assert yapf_api.FormatCode is not lay_out
    cfg = load_config(CONFIG)
    cfg.model.odd = {'1': (0.1 + 0.2, -1e-30), 'text': 'a\n\'"ü'}
    quick = cfg.pretty_text
    assert len(quick.splitlines()) == len(cfg.to_dict())
    assert "type='mmdefect." in quick
    monkeypatch.setattr(yapf_api, 'FormatCode', lay_out)
    assert ast.dump(ast.parse(cfg.pretty_text)) == ast.dump(ast.parse(quick))


def test_exception_no_config() -> None:
    cfg = Config({'a': object()})
    with pytest.raises(SyntaxError, match='Failed to format the config file'):
        _ = cfg.pretty_text
