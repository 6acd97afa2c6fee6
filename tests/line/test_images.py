"""Which pictures stay."""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmdefect.line.images import (
    ImageStore,
    Picture,
    file_name,
    image_hash,
    suffix_of,
)


def name(number: int) -> str:
    return f'{number:064x}'


def kept(store: ImageStore) -> list[int]:
    files = [path for path in store.folder.rglob('*') if path.is_file()]
    return sorted(int(path.stem.removeprefix('pixels-'), 16) for path in files)


def fill(store: ImageStore, numbers: range, size: int = 1000) -> None:
    """One a second, in the past."""
    for number in numbers:
        path = store.add(name(number), bytes(size), suffix='.png')
        os.utime(path, (number, number))


def test_smoke_added_and_found(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    image = 'ab' + 62 * '0'
    path = store.add(image, b'content', suffix='.jpg')
    assert path == tmp_path / 'ab' / f'{image}.jpg'
    assert path.read_bytes() == b'content'
    assert store.find(image) == path
    assert store.find('ac' + 62 * '0') is None
    frame = store.add(f'pixels:{image}', b'other', suffix='.png')
    assert frame == tmp_path / 'ab' / f'pixels-{image}.png'
    assert store.find(f'pixels:{image}') == frame
    assert store.find(image) == path


def test_feature_without_a_limit_all_stay(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    fill(store, range(50))
    assert kept(store) == [*range(50)]


def test_feature_the_oldest_go_first(tmp_path: Path) -> None:
    """There are never more bytes than the limit, and most of it is used."""
    store = ImageStore(tmp_path, keep_bytes=20_000)
    for number in range(60):
        fill(store, range(number, number + 1))
        found = kept(store)
        assert len(found) <= 20
        assert found == [*range(number + 1 - len(found), number + 1)]
    assert len(found) >= 18


def test_feature_what_is_seen_again_is_new(tmp_path: Path) -> None:
    store = ImageStore(tmp_path, keep_bytes=5000)
    fill(store, range(4))
    store.add(name(0), bytes(1000), suffix='.png')
    fill(store, range(4, 7))
    assert 0 in kept(store)
    assert 1 not in kept(store)


def test_feature_what_is_needed_stays(tmp_path: Path) -> None:
    """Even if nothing else does: `newest` never removes what is in the queue."""
    needed = {name(0), f'pixels:{name(1)}'}
    store = ImageStore(tmp_path, keep_bytes=4000, is_needed=needed.__contains__)
    os.utime(store.add(f'pixels:{name(1)}', bytes(1000), suffix='.png'), (1, 1))
    fill(store, range(1))
    fill(store, range(2, 12))
    assert kept(store)[:2] == [0, 1]
    assert len(kept(store)) <= 4
    needed.clear()
    fill(store, range(12, 14))
    assert not {0, 1} & {*kept(store)}


def test_feature_what_was_there_counts(tmp_path: Path) -> None:
    fill(ImageStore(tmp_path), range(30))
    store = ImageStore(tmp_path, keep_bytes=10_000)
    fill(store, range(30, 31))
    assert len(kept(store)) <= 10
    assert kept(store)[-1] == 30


def test_feature_drafts_of_a_kill_go(tmp_path: Path) -> None:
    """But not while somebody writes one."""
    draft = tmp_path / f'{name(0)}.png.1-1.tmp'
    draft.write_bytes(b'half')
    store, writer = ImageStore(tmp_path), os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(writer, fcntl.LOCK_SH)
    fill(store, range(1))
    with pytest.raises(BlockingIOError):
        store.sweep()
    assert draft.exists()
    os.close(writer)
    store.sweep()
    assert not draft.exists()
    assert kept(store) == [0]


def test_feature_hashes() -> None:
    """Of the bytes of a file; of pixels with their shape."""
    empty = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert image_hash(b'', pixels) == empty
    assert image_hash(None, None) is None
    found = image_hash(None, pixels)
    digest = hashlib.sha256(b'2x2x3' + bytes(range(12))).hexdigest()
    assert found == f'pixels:{digest}'
    assert image_hash(None, pixels[:, ::-1][:, ::-1]) == found
    assert image_hash(None, pixels.reshape(4, 1, 3)) != found


def test_feature_a_changed_picture_is_never_read(tmp_path: Path) -> None:
    """By the bytes of a file, or the pixels of a frame."""
    store = ImageStore(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 255, (6, 5, 3), np.uint8)
    file = cv2.imencode('.png', pixels)[1].tobytes()
    for image in (image_hash(file, None), image_hash(None, pixels)):
        path = store.add(str(image), file, suffix='.png')
        assert store.read(str(image)) == Picture(path, file)
        for other in (cv2.imencode('.png', pixels[::-1])[1].tobytes(), b'x', b''):
            path.write_bytes(other)
            with pytest.raises(ValueError, match=rf'{path.name} was changed'):
                store.read(str(image))
    assert store.read(name(1)) is None


def test_feature_what_is_none_of_ours_stays(tmp_path: Path) -> None:
    """It is in nobody's way, and is not removed."""
    foreign = [tmp_path / 'ab/notes.txt', tmp_path / 'mine.tmp', tmp_path / 'ab/c.png']
    (tmp_path / 'ab').mkdir()
    for path in foreign:
        path.write_bytes(bytes(9000))
        os.utime(path, (1, 1))
    store = ImageStore(tmp_path, keep_bytes=4000)
    fill(store, range(10))
    store.sweep()
    assert all(path.is_file() for path in foreign)
    assert len([*tmp_path.glob('00/*')]) in (3, 4)


@pytest.mark.parametrize('image', ['', 'a', '../' * 20, 'A' * 64, f'pixel:{name(1)}'])
def test_exception_what_is_no_hash(tmp_path: Path, image: str) -> None:
    with pytest.raises(ValueError, match='expected the SHA-256 of an image'):
        file_name(image)
    with pytest.raises(ValueError, match='expected the SHA-256 of an image'):
        ImageStore(tmp_path).find(image)


def test_feature_a_damaged_picture_is_written_anew(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    fill(store, range(1))
    path = store.find(name(0))
    assert path is not None
    path.write_bytes(b'')
    fill(store, range(1))
    assert path.read_bytes() == bytes(1000)


def test_feature_suffixes_are_of_the_content() -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    for suffix in ('.png', '.jpg', '.tif', '.bmp'):
        assert suffix_of(cv2.imencode(suffix, pixels)[1].tobytes()) == suffix
    assert suffix_of(b'') == suffix_of(b'no image') == '.bin'
