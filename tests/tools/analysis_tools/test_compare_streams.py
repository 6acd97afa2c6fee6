"""A page of streams, and its table."""

from __future__ import annotations

import pytest

from tests.helpers.study_runs import load_tool
from tests.helpers.synthetic_stream import make_stream


def test_smoke(tmp_path, capsys) -> None:
    main = load_tool('tools/analysis_tools/compare_streams.py').main
    out = ['--out', str(tmp_path / 'out')]
    main([f'finetune={make_stream(tmp_path)}', *out])
    said = capsys.readouterr().out
    # What the numbers are, before the numbers.
    assert said.index('Old kept is the score') < said.index('| Model |')
    assert '| finetune | 2.7 % | 72.3 % | 37.5 % | 4 % |' in said
    assert said.endswith(f'report: {tmp_path / "out" / "index.html"}\n')
    assert (tmp_path / 'out' / 'index.html').is_file()
    with pytest.raises(SystemExit, match='2'):
        main([str(tmp_path), *out])
    assert 'expected NAME=WORK_DIR' in capsys.readouterr().err
