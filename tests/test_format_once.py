"""The text of a config is what MMEngine and yapf make of it, also the second time."""

from __future__ import annotations

from mmengine.config import Config
from yapf.yapflib import yapf_api

from tests.helpers.format_once import LAID_OUT, lay_out


def test_feature_the_same_text() -> None:
    assert yapf_api.FormatCode is not lay_out
    cfg = Config({'model': {'type': 'GFL', 'sizes': list(range(40))}})
    before = len(LAID_OUT)
    first, second = cfg.pretty_text, cfg.pretty_text
    assert len(LAID_OUT) == before + 1
    (_, settings), (text, _) = list(LAID_OUT.items())[-1]
    assert first == second == text
    assert 'split_before_expression_after_opening_paren' in settings
    cfg.model.type = 'ATSS'
    assert cfg.pretty_text == first.replace('GFL', 'ATSS')


def test_feature_settings_count() -> None:
    line = f'a = dict({", ".join(f"b{n}={n}" for n in range(20))})\n'
    for settings in ({'column_limit': 40}, {'column_limit': 400}):
        expected = lay_out(line, style_config=settings)
        assert yapf_api.FormatCode(line, style_config=settings) == expected
