"""Which checkpoint is continued at when a disk has spoiled some."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mmdefect.utils.checkpoint import load_weights
from mmdefect.utils.whole_checkpoint import hash_beside, newest_whole, publish, remove


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A work dir with epochs 8 to 10, the last one named."""
    for epoch in (8, 9, 10):
        torch.save({'w': torch.full((50,), float(epoch))}, tmp_path / 'x.tmp')
        publish(tmp_path / 'x.tmp', tmp_path / f'epoch_{epoch}.pth')
    (tmp_path / 'last_checkpoint').write_text('/elsewhere/epoch_10.pth')
    (tmp_path / 'best_f1_epoch_11.pth').write_bytes(b'of no training')
    return tmp_path


def found(work_dir: Path) -> tuple[str | None, list[str]]:
    said: list[str] = []
    path = newest_whole(work_dir, said.append)
    return path and path.name, said


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(b'\x00\x00\x20\x41') + 2] ^= 1  # of the number 10
    path.write_bytes(content)


def test_smoke(saved: Path, tmp_path: Path) -> None:
    """The hash is one that other programs read."""
    assert found(saved) == ('epoch_10.pth', [])
    assert not (saved / 'x.tmp').exists()
    said = subprocess.run(
        ['sha256sum', '-c', 'epoch_10.pth.sha256'],
        cwd=saved, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert said == 'epoch_10.pth: OK\n'
    assert found(tmp_path / 'nothing') == (None, [])


@pytest.mark.parametrize(
    ('spoil', 'why'),
    [
        (Path.unlink, 'missing'),
        (cut, r'it has changed: not the file that epoch_10\.pth\.sha256 was written f'),
        (flip, 'it has changed: not the file that'),
        (lambda path: path.write_bytes(b''), 'it has changed'),
    ],
)
def test_feature_the_one_before_is_taken_and_the_spoiled_one_named(
    saved: Path, spoil: Callable[[Path], object], why: str
) -> None:
    spoil(saved / 'epoch_10.pth')
    name, (said,) = found(saved)
    assert name == 'epoch_9.pth'
    message = rf'passed over, not whole: epoch_10\.pth \({why}.*\); continues at .*_9'
    assert re.match(message, said)


@pytest.mark.parametrize('text', ['', '\0\0\0', '\n', 'epoch_7.pth'])
def test_feature_a_pointer_that_a_disk_has_lost(saved: Path, text: str) -> None:
    (saved / 'last_checkpoint').write_text(text)
    assert found(saved)[0] == 'epoch_10.pth'


def test_feature_without_a_hash_the_file_itself_is_read(saved: Path) -> None:
    """As when a kill comes before the hash is written, and in older work dirs."""
    hash_beside(saved / 'epoch_10.pth').unlink()
    assert found(saved) == ('epoch_10.pth', [])
    flip(saved / 'epoch_10.pth')
    name, (said,) = found(saved)
    assert name == 'epoch_9.pth'
    assert 'epoch_10.pth (cannot be read as a checkpoint (Bad CRC-32 for' in said


def test_exception_none_is_whole(saved: Path) -> None:
    for path in saved.glob('epoch_*.pth'):
        cut(path)
    message = (
        r'found none that is whole: epoch_10\.pth .* epoch_8\.pth .*; put one back'
    )
    with pytest.raises(ValueError, match=message):
        found(saved)
    for path in saved.glob('epoch_*.pth'):
        remove(path)
    (saved / 'last_checkpoint').write_text('')
    with pytest.raises(ValueError, match='whole: no file at all; put one back'):
        found(saved)
    (saved / 'last_checkpoint').unlink()  # how to begin anew
    assert found(saved) == (None, [])


def test_exception_what_is_read_back_is_not_what_was_written(tmp_path: Path) -> None:
    """The file of before keeps its name."""
    draft, path = tmp_path / 'epoch_1.pth.tmp', tmp_path / 'epoch_1.pth'
    torch.save({'w': torch.full((50,), 10.0)}, draft)
    publish(draft, path)
    before = path.read_bytes(), hash_beside(path).read_bytes()
    draft.write_bytes(before[0])
    flip(draft)
    with pytest.raises(ValueError, match=r'Bad CRC-32'):
        publish(draft, path)
    assert (path.read_bytes(), hash_beside(path).read_bytes()) == before
    assert load_weights(path)['w'][0] == 10
