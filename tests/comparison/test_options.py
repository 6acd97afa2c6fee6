"""What a comparison sets, and what it refuses before it trains."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

from mmdefect.apis import load_config
from mmdefect.comparison.options import (
    check_run,
    epochs_options,
    freeze_options,
    freezing_of,
    parsed,
    protocol_options,
)
from tests.conftest import REPO

LUNA = REPO / 'configs/casting/luna_casting.py'
MOBILENET = REPO / 'configs/casting/mobilenet-v2_casting.py'


def test_feature_freeze_options() -> None:
    hook = 'default_hooks.freeze'
    assert freeze_options('none') == [f'{hook}.mode=none']
    assert freeze_options('head') == [f'{hook}.mode=head']
    assert freeze_options('fraction=0.33') == [
        f'{hook}.mode=fraction',
        f'{hook}.fraction=0.33',
    ]
    assert freeze_options('quadrant=Q3')[1] == f'{hook}.quadrant=Q3'


def test_feature_freeze_takes_back_what_the_config_says() -> None:
    hook = 'default_hooks.freeze'
    own = {f'{hook}.mode': 'fraction', f'{hook}.fraction': 0.5}
    cfg = load_config(MOBILENET, cfg_options=own)
    for freeze, share in (('none', 1.0), ('head', 0.0), ('fraction=0.33', 0.33)):
        options = freeze_options(freeze, cfg)
        assert (f'{hook}.fraction=None' in options) is ('=' not in freeze)
        again = Config(cfg.to_dict())
        again.merge_from_dict(parsed(options))
        assert freezing_of(again)[1] == share


def test_exception_freeze_options() -> None:
    for text in ('some', 'head=1', 'fraction', '', 'none=2'):
        with pytest.raises(ValueError, match='fraction=SHARE'):
            freeze_options(text)


def test_feature_options_are_read_as_by_the_tools() -> None:
    options = parsed(protocol_options('legacy'))  # of all loaders
    assert list(options.values()) == ['legacy'] * 3
    assert parsed(['a.b=1', 'c=[1,2]', 'd=None']) == {'a.b': 1, 'c': [1, 2], 'd': None}
    assert parsed([]) == {}


def test_feature_schedules_end_with_the_training() -> None:
    assert epochs_options(load_config(LUNA), 5) == [
        'train_cfg.max_epochs=5',
        'param_scheduler.1.end=5',
    ]
    legacy = load_config(REPO / 'configs/casting/luna_legacy_casting.py')
    assert epochs_options(legacy, 5) == ['train_cfg.max_epochs=5']


def test_exception_epochs() -> None:
    cfg = load_config(LUNA)
    with pytest.raises(ValueError, match='epochs=0: expected at least 1'):
        epochs_options(cfg, 0)
    with pytest.raises(ValueError, match=r'param_scheduler\.1 .* begins after 1'):
        epochs_options(cfg, 1)


def test_feature_a_schedule_that_does_not_end_is_told() -> None:
    assert check_run(LUNA, []) == []
    assert check_run(LUNA, epochs_options(load_config(LUNA), 5)) == []
    (warning,) = check_run(LUNA, ['train_cfg.max_epochs=5'])
    assert 'param_scheduler.1 ends after 30 epochs' in warning
    assert '--epochs 5' in warning


def test_exception_pretrained_weights_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match='tools/model_converters'):
        check_run(MOBILENET, [])
    assert check_run(MOBILENET, ['model.backbone.init_cfg=None']) == []


def test_exception_freeze_and_config() -> None:
    for freeze in ('fraction=1.5', 'quadrant=Q7'):
        with pytest.raises(ValueError, match=freeze.partition('=')[2]):
            check_run(LUNA, freeze_options(freeze))
    with pytest.raises(FileNotFoundError):
        check_run('configs/casting/nothing_casting.py', [])
