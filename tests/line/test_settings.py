"""What ``line.json`` may say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmdefect.line.settings import (
    FILE,
    DriftBands,
    LineSettings,
    QueueRule,
    read_settings,
)


def test_smoke_written_and_read(tmp_path: Path) -> None:
    settings = LineSettings(
        keep_images='newest',
        keep_gb=0.5,
        on_full_disk='serve',
        queue=QueueRule(margin=0, unknown_product=False),
        drift=DriftBands(psi=0.1, least=10),
    )
    settings.save(tmp_path)
    assert read_settings(tmp_path) == settings


def test_feature_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"format_version": 1, "queue": {"margin": 0.2}}')
    found = read_settings(tmp_path)
    assert found == LineSettings(queue=QueueRule(margin=0.2))
    assert (found.keep_images, found.on_full_disk) == ('alarms', 'refuse')


@pytest.mark.parametrize(
    ('content', 'why'),
    [
        ({}, 'format_version=null: expected what `mmdefect line init` writes'),
        ({'format_version': 2}, 'expected at most 1, it is of a newer mmdefect'),
        ({'keep_image': 'all'}, 'keep_image: expected some of keep_images, keep_gb'),
        ({'keep_images': 'some'}, "keep_images='some': expected one of none, alarms"),
        ({'keep_gb': -1}, 'keep_gb=-1: expected at least 0'),
        ({'keep_gb': 1e300}, r'keep_gb=1e\+300: expected at most 1000000'),
        (
            {'on_full_disk': 'wait'},
            "on_full_disk='wait': expected one of refuse, serve",
        ),
        ({'queue': 1}, 'queue=1: expected an object'),
        ({'queue': {'margins': 1}}, r'queue\.margins: expected some of margin'),
        ({'queue': {'margin': 2}}, r'queue\.margin=2: expected'),
        ({'queue': {'unknown_product': 1}}, r'queue\.unknown_product=1: expected true'),
        ({'drift': {'ks_p': 'x'}}, r"drift\.ks_p='x': expected a finite number"),
        ({'drift': {'window_days': 0.5}}, r'drift\.window_days=0\.5: expected a whole'),
    ],
)
def test_exception_entries(tmp_path: Path, content: dict, why: str) -> None:
    whole = content and {'format_version': 1, **content}
    (tmp_path / FILE).write_text(json.dumps(whole))
    with pytest.raises(ValueError, match=why) as error:
        read_settings(tmp_path)
    assert str(tmp_path / FILE) in str(error.value)


def test_exception_no_json(tmp_path: Path) -> None:
    (tmp_path / 'line.json').write_text('{')
    with pytest.raises(ValueError, match='the settings of a line'):
        read_settings(tmp_path)
