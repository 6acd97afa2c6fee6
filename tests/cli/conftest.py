"""``mmdefect predict`` with a package that anyone can compute by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mmdefect.cli.main import main
from tests.helpers.hand_package import hand_package

Run = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Red is defective."""
    folder = tmp_path_factory.mktemp('model') / 'labels'
    hand_package(
        folder, 'labels', defective='red', thresholds={'red': 0.5}, calibrated=True
    )
    return folder


@pytest.fixture
def predict(model: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Exit status, lines on stdout, and stderr of the command."""

    def run(*words: object, model: Path = model) -> tuple[int, list[str], str]:
        status = main(['predict', str(model), *map(str, words)])
        said = capsys.readouterr()
        return status, said.out.splitlines(), said.err

    return run


def lines(out: Path) -> list[dict]:
    """What a folder of results holds."""
    text = (out / 'results.jsonl').read_text(encoding='utf-8')
    return [json.loads(line) for line in text.splitlines()]
